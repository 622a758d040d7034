// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "sys/mountinfo.h"

static struct mount_entry parse(const char *text, char *line, size_t size)
{
	struct mount_entry m = { 0 };

	snprintf(line, size, "%s", text);
	assert_int_equal(mountinfo_parse(line, &m), 0);
	return m;
}

static void reads_a_bound_namespace(void **state)
{
	char line[256];
	struct mount_entry m = parse(
		"312 29 0:4 net:[4026532177] /run/netns/web rw shared:167 - nsfs nsfs rw", line,
		sizeof(line));

	assert_string_equal(m.root, "net:[4026532177]");
	assert_string_equal(m.mount_point, "/run/netns/web");
	assert_string_equal(m.fs_type, "nsfs");
}

static void passes_over_any_number_of_optional_fields(void **state)
{
	char line[256];
	struct mount_entry m;

	m = parse("1 2 0:4 / /a rw - tmpfs none rw", line, sizeof(line));
	assert_string_equal(m.fs_type, "tmpfs");
	m = parse("1 2 0:4 / /a rw shared:1 master:2 unbindable - proc none rw", line,
		  sizeof(line));
	assert_string_equal(m.fs_type, "proc");
}

static void undoes_octal_escapes_only(void **state)
{
	char line[256];
	struct mount_entry m;

	m = parse("1 2 0:4 / /a\\040b\\134\\011c\\04 rw - tmpfs none rw", line, sizeof(line));
	assert_string_equal(m.mount_point, "/a b\\\tc\\04");
}

static void refuses_what_is_cut_short(void **state)
{
	static const char whole[] = "1 2 0:4 /r /m rw shared:1 - nsfs";
	struct mount_entry m;
	char line[64];

	for (size_t len = 0; len < sizeof(whole) - sizeof("nsfs") + 1; len++) {
		snprintf(line, sizeof(line), "%.*s", (int)len, whole);
		assert_int_equal(mountinfo_parse(line, &m), -EINVAL);
	}
	snprintf(line, sizeof(line), "%s", whole);
	assert_int_equal(mountinfo_parse(line, &m), 0);
}

static void count_mount(void *arg, const struct mount_entry *mount)
{
	unsigned int *n = arg;

	*n += mount->mount_point[0] == '/';
}

static void reads_its_own_mounts(void **state)
{
	unsigned int n = 0;

	assert_int_equal(mountinfo_read("/proc/self/mountinfo", count_mount, &n), 0);
	assert_true(n > 0);
	assert_int_equal(mountinfo_read("/proc/self/no-such-file", count_mount, &n), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_bound_namespace),
		cmocka_unit_test(passes_over_any_number_of_optional_fields),
		cmocka_unit_test(undoes_octal_escapes_only),
		cmocka_unit_test(refuses_what_is_cut_short),
		cmocka_unit_test(reads_its_own_mounts),
	};

	return cmocka_run_group_tests_name("mountinfo", tests, NULL, NULL);
}
