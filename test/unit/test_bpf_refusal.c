// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "sys/bpf_refusal.h"
#include "sys/kernel_release.h"

/* --- what libbpf says --- */

static void the_first_complaint_counts(void **state)
{
	struct bpf_complaint c = { 0 };

	bpf_complaint_take(&c, "libbpf: Failed to bump RLIMIT_MEMLOCK (err = -1)\n");
	assert_string_equal(c.text, "Failed to bump RLIMIT_MEMLOCK (err = -1)");
	bpf_complaint_take(&c, "libbpf: prog 'dgram_bind4': BPF program load failed: Operation not "
			       "permitted\n");
	bpf_complaint_take(&c, "libbpf: permission error while running as root; try raising "
			       "'ulimit -l'? current value: 8.0 MiB\n");
	bpf_complaint_take(&c, "libbpf: prog 'other': failed to load: -1\n");
	assert_string_equal(c.program, "dgram_bind4");
	assert_string_equal(c.text, "Operation not permitted");
	assert_false(c.by_verifier);
}

static void the_verifier_s_last_word_says_more(void **state)
{
	struct bpf_complaint c = { 0 };

	bpf_complaint_take(&c, "libbpf: prog 'x': BPF program load failed: Permission denied\n");
	bpf_complaint_take(&c, "libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n"
			       "0: R1=ctx() R10=fp0\n"
			       "; int x = *p;\n"
			       "R1 invalid mem access 'scalar'\n"
			       "processed 3 insns (limit 1000000)\n"
			       "-- END PROG LOAD LOG --\n");
	assert_string_equal(c.program, "x");
	assert_string_equal(c.text, "R1 invalid mem access 'scalar'");
	assert_true(c.by_verifier);
}

static void of_no_program(void **state)
{
	struct bpf_complaint c = { 0 };

	bpf_complaint_take(&c, "libbpf: kernel BTF is missing at '/sys/kernel/btf/vmlinux', was "
			       "CONFIG_DEBUG_INFO_BTF enabled?\n");
	assert_string_equal(c.program, "");
	assert_string_equal(c.text, "kernel BTF is missing at '/sys/kernel/btf/vmlinux', was "
				    "CONFIG_DEBUG_INFO_BTF enabled?");
}

/* Odd messages neither overrun nor bring a second line. */
static void odd_messages(void **state)
{
	static const char *const messages[] = {
		"",
		"\n",
		"libbpf: ",
		"prog '",
		"prog 'x",
		"prog 'x'",
		"prog '': y",
		"a\tb\x1b[31m",
		"libbpf: prog 'a_name_that_is_longer_than_any_that_the_kernel_takes': why\n",
		"libbpf: prog 'x': -- BEGIN PROG LOAD LOG --",
		"-- BEGIN PROG LOAD LOG --\n\n\n",
		"prog 'x': -- BEGIN PROG LOAD LOG --\nprocessed 0 insns\n-- END PROG LOAD LOG --\n",
	};
	char long_one[2000];

	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	for (size_t i = 0; i <= ARRAY_SIZE(messages); i++) {
		struct bpf_complaint c = { 0 };

		bpf_complaint_take(&c, i < ARRAY_SIZE(messages) ? messages[i] : long_one);
		assert_null(strpbrk(c.text, "\n\t\x1b"));
		assert_null(strpbrk(c.program, "\n\t\x1b"));
	}
}

/* --- the one line --- */

static const char *say(const struct bpf_refusal *r, int err)
{
	static struct err e;

	assert_int_equal(bpf_refusal_say(r, "cannot load the probes", &e), err);
	assert_null(strchr(e.text, '\n'));
	assert_ptr_equal(strstr(e.text, "cannot load the probes: "), e.text);
	return e.text + strlen("cannot load the probes: ");
}

static const struct bpf_complaint no_complaint, of_memory = { .text = "Failed to bump" };
static const struct bpf_complaint of_x = { .program = "x", .text = "unknown func bpf_y#200" };

static void capabilities_come_first(void **state)
{
	struct bpf_refusal r = { .err = -EINVAL,
				 .missing = "CAP_BPF, CAP_PERFMON",
				 .release = "4.19.0",
				 .complaint = &no_complaint };

	assert_string_equal(say(&r, -EPERM),
			    "this process lacks CAP_BPF, CAP_PERFMON; run it as root");
}

static void no_btf(void **state)
{
	struct bpf_refusal r = {
		.err = -ESRCH, .missing = "", .release = "6.12.9-amd64", .complaint = &no_complaint
	};

	assert_string_equal(say(&r, -ENOENT),
			    "no BTF at /sys/kernel/btf/vmlinux; boot a kernel that is built with "
			    "CONFIG_DEBUG_INFO_BTF=y, and mount /sys");
}

static void an_old_kernel(void **state)
{
	struct bpf_refusal r = { .err = -EINVAL,
				 .missing = "",
				 .has_btf = true,
				 .release = "5.10.0-28-amd64",
				 .complaint = &of_x };

	assert_string_equal(say(&r, -EINVAL),
			    "Linux 5.10.0-28-amd64 is too old, and refuses BPF program x: unknown "
			    "func bpf_y#200; use Linux 6.1 or later");
	r.release = "6.0.19";
	assert_non_null(strstr(say(&r, -EINVAL), "too old"));
	r.release = "6.1.0";
	assert_null(strstr(say(&r, -EINVAL), "too old"));
	r.release = "unheard-of";
	assert_null(strstr(say(&r, -EINVAL), "too old"));
}

static void forbidden_for_another_reason(void **state)
{
	struct bpf_refusal r = { .err = -EPERM,
				 .missing = "",
				 .has_btf = true,
				 .release = "6.12.9",
				 .complaint = &of_memory };

	assert_string_equal(say(&r, -EPERM),
			    "Linux 6.12.9 does not permit BPF here: Operation not permitted; "
			    "'nslens doctor' says what forbids it");
}

static void a_refused_program(void **state)
{
	struct bpf_refusal r = { .err = -EINVAL,
				 .missing = "",
				 .has_btf = true,
				 .release = "6.12.9",
				 .complaint = &of_x };

	assert_string_equal(
		say(&r, -EINVAL),
		"Linux 6.12.9 refuses BPF program x: unknown func bpf_y#200; 'nslens "
		"doctor' says what is missing, NSLENS_DEBUG=1 shows all that the kernel "
		"said");
}

static void releases(void **state)
{
	assert_int_equal(kernel_release_parse("6.1.0-18-amd64"), KERNEL_RELEASE_OLDEST);
	assert_int_equal(kernel_release_parse("6.12"), KERNEL_RELEASE(6, 12));
	assert_true(kernel_release_parse("10.0.1") > kernel_release_parse("6.18.44"));
	assert_int_equal(kernel_release_parse("6.300"), 0);
	assert_int_equal(kernel_release_parse("six"), 0);
	assert_int_equal(kernel_release_parse(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_complaint_counts),
		cmocka_unit_test(the_verifier_s_last_word_says_more),
		cmocka_unit_test(of_no_program),
		cmocka_unit_test(odd_messages),
		cmocka_unit_test(capabilities_come_first),
		cmocka_unit_test(no_btf),
		cmocka_unit_test(an_old_kernel),
		cmocka_unit_test(forbidden_for_another_reason),
		cmocka_unit_test(a_refused_program),
		cmocka_unit_test(releases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
