// SPDX-License-Identifier: Apache-2.0
/* What becomes of a hook, and whether that is a finding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "detect/hook.h"

static struct device_hook hook(enum hook_state state, uint32_t before, const char *why)
{
	struct device_hook h = { .state = state, .before_prog_id = before };

	strncpy(h.why, why, sizeof(h.why) - 1);
	return h;
}

static bool finds(struct device_hook was, struct device_hook is, struct finding_event *ret,
		  char text[DETECT_HOOK_TEXT_MAX])
{
	*ret = (struct finding_event){ 0 };
	*text = '\0';
	return detect_hook(&was, &is, ret, text);
}

static void the_usual_is_no_finding(void **state)
{
	char text[DETECT_HOOK_TEXT_MAX];
	struct finding_event f;

	assert_false(finds(hook(HOOK_NONE, 0, ""), hook(HOOK_WAITING, 0, ""), &f, text));
	assert_false(finds(hook(HOOK_WAITING, 0, ""), hook(HOOK_ATTACHED, 0, ""), &f, text));
	assert_false(finds(hook(HOOK_WAITING, 0, ""), hook(HOOK_FAILED, 0, "no"), &f, text));
	assert_false(finds(hook(HOOK_ATTACHED, 0, ""), hook(HOOK_ATTACHED, 0, ""), &f, text));
	/* With --hook-order last others come first: the state stays. */
	assert_false(finds(hook(HOOK_ATTACHED, 0, ""), hook(HOOK_ATTACHED, 17, ""), &f, text));
}

static void a_program_before_ours(void **state)
{
	char text[DETECT_HOOK_TEXT_MAX];
	struct finding_event f;

	assert_true(finds(hook(HOOK_ATTACHED, 0, ""), hook(HOOK_STARVED, 17, ""), &f, text));
	assert_int_equal(f.type, FINDING_HOOK_STARVED);
	assert_int_equal(f.prog_id, 17);
	assert_false(f.over);
	assert_non_null(strstr(text, "program 17 runs before ours"));
	assert_false(finds(hook(HOOK_STARVED, 17, ""), hook(HOOK_STARVED, 17, ""), &f, text));
	assert_true(finds(hook(HOOK_STARVED, 17, ""), hook(HOOK_STARVED, 18, ""), &f, text));
	assert_int_equal(f.prog_id, 18);
	assert_true(finds(hook(HOOK_STARVED, 17, ""), hook(HOOK_ATTACHED, 0, ""), &f, text));
	assert_true(f.over);
}

static void taken_off_and_put_back(void **state)
{
	char text[DETECT_HOOK_TEXT_MAX];
	struct finding_event f;

	assert_true(
		finds(hook(HOOK_ATTACHED, 0, ""), hook(HOOK_WAITING, 0, "taken off"), &f, text));
	assert_int_equal(f.type, FINDING_HOOK_REMOVED);
	assert_false(f.over);
	assert_true(
		finds(hook(HOOK_STARVED, 17, ""), hook(HOOK_WAITING, 0, "taken off"), &f, text));
	assert_int_equal(f.type, FINDING_HOOK_REMOVED);
	assert_true(
		finds(hook(HOOK_WAITING, 0, "taken off"), hook(HOOK_ATTACHED, 0, ""), &f, text));
	assert_int_equal(f.type, FINDING_HOOK_REMOVED);
	assert_true(f.over);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual_is_no_finding),
		cmocka_unit_test(a_program_before_ours),
		cmocka_unit_test(taken_off_and_put_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
