// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/idle.h"
#include "base/base.h"

enum { ROOM = 65536 };

static const uint64_t usual_ns = 60 * NS_PER_SEC;

static void test_half_empty_is_as_usual(void **state)
{
	assert_int_equal(idle_in_room(usual_ns, 0, ROOM), usual_ns);
	assert_int_equal(idle_in_room(usual_ns, ROOM / 2, ROOM), usual_ns);
	assert_false(idle_is_crowded(ROOM / 2, ROOM));
}

static void test_the_fuller_the_shorter(void **state)
{
	uint64_t before = usual_ns;

	for (size_t n = ROOM / 2 + 1; n < ROOM / 4 * 3; n++) {
		uint64_t now = idle_in_room(usual_ns, n, ROOM);

		assert_true(now < before && now > 100 * NS_PER_MS);
		before = now;
	}
	assert_true(before < NS_PER_SEC);
}

static void test_crowded_leaves_what_talks(void **state)
{
	assert_true(idle_is_crowded(ROOM / 4 * 3, ROOM));
	assert_int_equal(idle_in_room(usual_ns, ROOM / 4 * 3, ROOM), 100 * NS_PER_MS);
	assert_int_equal(idle_in_room(usual_ns, 2 * ROOM, ROOM), 100 * NS_PER_MS);
}

static void test_it_never_gets_longer(void **state)
{
	assert_int_equal(idle_in_room(NS_PER_MS, ROOM, ROOM), NS_PER_MS);
	assert_int_equal(idle_in_room(UINT64_MAX, 1, 1), 100 * NS_PER_MS);
	assert_int_equal(idle_in_room(UINT64_MAX, 0, 1), UINT64_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_empty_is_as_usual),
		cmocka_unit_test(test_the_fuller_the_shorter),
		cmocka_unit_test(test_crowded_leaves_what_talks),
		cmocka_unit_test(test_it_never_gets_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
