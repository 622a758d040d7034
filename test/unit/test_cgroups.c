// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "identity/cgroups.h"

static uint64_t inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* Any folder does as a tree to scan, for inodes are what counts. */
static void scans_the_tree(void **state)
{
	char root[] = "/tmp/nslens-cgroups-XXXXXX", line[256];
	struct cgroups *c;
	size_t n, bytes;
	FILE *f;

	assert_non_null(mkdtemp(root));
	assert_int_equal(chdir(root), 0);
	assert_int_equal(mkdir("tree", 0700) | mkdir("tree/a", 0700) | mkdir("tree/a/b", 0700), 0);
	f = fopen("mountinfo", "we");
	assert_non_null(f);
	snprintf(line, sizeof(line), "1 1 0:1 / %s/tree rw - cgroup2 none rw\n", root);
	fputs("1 1 0:1 / / rw - ext4 none rw\n"
	      "1 1 0:1 / /proc rw - cgroup none rw\n"
	      "1 1 0:1 /part /dev rw - cgroup2 none rw\n",
	      f);
	fputs(line, f);
	fclose(f);

	assert_int_equal(cgroups_new("mountinfo", &c), 0);
	assert_string_equal(cgroups_path(c, inode_of("tree")), "/");
	assert_string_equal(cgroups_path(c, inode_of("tree/a")), "/a");
	assert_string_equal(cgroups_path(c, inode_of("tree/a/b")), "/a/b");
	assert_null(cgroups_path(c, inode_of(".")));
	cgroups_usage(c, &n, &bytes);
	assert_int_equal(n, 3);
	cgroups_free(c);
	assert_int_equal(unlink("mountinfo") | rmdir("tree/a/b") | rmdir("tree/a") | rmdir("tree"),
			 0);
	assert_int_equal(chdir("/") | rmdir(root), 0);
}

static void follows_records(void **state)
{
	struct cgroups *c;
	size_t n, bytes, empty_bytes;

	assert_int_equal(cgroups_new("/nonexistent", &c), 0);
	cgroups_usage(c, &n, &empty_bytes);
	assert_null(cgroups_path(c, 5));
	assert_int_equal(cgroups_add(c, 5, "/abc", 2), 0);
	assert_string_equal(cgroups_path(c, 5), "/a");
	assert_int_equal(cgroups_add(c, 5, "/new", 4), 0);
	assert_string_equal(cgroups_path(c, 5), "/new");
	cgroups_usage(c, &n, &bytes);
	assert_int_equal(n, 1);
	cgroups_remove(c, 5);
	cgroups_remove(c, 5);
	assert_null(cgroups_path(c, 5));
	cgroups_usage(c, &n, &bytes);
	assert_int_equal(n, 0);
	assert_int_equal(bytes, empty_bytes);
	cgroups_free(c);
}

static void is_bounded(void **state)
{
	struct cgroups *c;
	int err = 0;
	uint64_t id;

	assert_int_equal(cgroups_new("/nonexistent", &c), 0);
	for (id = 1; !err && id < 100000; id++)
		err = cgroups_add(c, id, "/a", 2);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(id, 65536 + 2);
	assert_string_equal(cgroups_path(c, 1), "/a");
	cgroups_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scans_the_tree),
		cmocka_unit_test(follows_records),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
