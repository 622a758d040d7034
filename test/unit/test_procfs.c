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
#include "identity/procfs.h"
#include "model/process.h"

#define STAT_TAIL " 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 "

/* A made-up /proc in a folder of its own; the working directory is there. */
static int fake_proc_setup(void **state)
{
	char *root = strdup("/tmp/nslens-proc-XXXXXX");

	*state = root;
	return !root || !mkdtemp(root) || chdir(root);
}

static int fake_proc_teardown(void **state)
{
	static const char *const files[] = { "7/stat", "7/status", "7/cmdline", "7/cgroup",
					     "7/exe",  "7",	   "3/exe",	"3" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (unlink(files[i]))
			rmdir(files[i]);
	if (chdir("/") || rmdir(*state))
		return -1;
	free(*state);
	return 0;
}

static void write_file(const char *name, const char *data, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void write_text(const char *name, const char *text)
{
	write_file(name, text, strlen(text));
}

static void make_process(void)
{
	assert_int_equal(mkdir("7", 0700), 0);
	assert_int_equal(mkdir("3", 0700), 0);
	write_text("7/stat", "7 (a) b (c)) S 3" STAT_TAIL "1234 0 0\n");
	write_text("7/status",
		   "Name:\ta\nUid:\t0\t1000\t0\t0\nNStgid:\t7\t5\t2\nNSpid:\t7\t5\t9\n");
	write_text("7/cgroup", "4:memory:/x\n0::/a/b (deleted)\n");
	write_file("7/cmdline", "prog\0-x\0", 8);
	assert_int_equal(symlink("/usr/bin/prog (deleted)", "7/exe"), 0);
	assert_int_equal(symlink("/sbin/init", "3/exe"), 0);
}

static void reads_a_process(void **state)
{
	int proc_fd = open(".", O_RDONLY | O_DIRECTORY);
	uint64_t tick = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK), start = 1234 * tick;
	struct procfs_process p;

	make_process();
	assert_int_equal(procfs_read(proc_fd, 7, start + tick - 1, true, &p), 0);
	assert_int_equal(p.start_ns, start);
	assert_int_equal(p.parent_pid, 3);
	assert_int_equal(p.pid_in_namespace, 2);
	assert_int_equal(p.uid, 1000);
	assert_string_equal(p.name, "a) b (c)");
	assert_string_equal(p.executable, "/usr/bin/prog");
	assert_string_equal(p.parent_executable, "/sbin/init");
	assert_string_equal(p.cgroup, "/a/b");
	assert_int_equal(p.args_len, 8);
	assert_false(p.args_cut);
	assert_memory_equal(p.args, "prog\0-x", 8);

	assert_int_equal(procfs_read(proc_fd, 7, 0, false, &p), 0);
	assert_int_equal(p.args_len, 0);
	assert_int_equal(procfs_read(proc_fd, 7, start + 2 * tick, true, &p), -ESTALE);
	assert_int_equal(procfs_read(proc_fd, 7, start - 2 * tick, true, &p), -ESTALE);
	assert_int_equal(procfs_read(proc_fd, 8, start, true, &p), -ESRCH);
	close(proc_fd);
}

static void cuts_long_arguments(void **state)
{
	int proc_fd = open(".", O_RDONLY | O_DIRECTORY);
	struct procfs_process p;
	char args[513];

	make_process();
	memset(args, 'x', sizeof(args));
	args[sizeof(args) - 1] = '\0';
	write_file("7/cmdline", args, sizeof(args));
	assert_int_equal(procfs_read(proc_fd, 7, 0, true, &p), 0);
	assert_int_equal(p.args_len, 512);
	assert_true(p.args_cut);
	write_file("7/cmdline", args + 1, sizeof(args) - 1);
	assert_int_equal(procfs_read(proc_fd, 7, 0, true, &p), 0);
	assert_int_equal(p.args_len, 512);
	assert_false(p.args_cut);
	close(proc_fd);
}

static void lives_with_what_lacks(void **state)
{
	int proc_fd = open(".", O_RDONLY | O_DIRECTORY);
	struct procfs_process p;

	make_process();
	unlink("7/exe");
	unlink("7/status");
	write_text("7/cgroup", "4:memory:/x\n");
	write_text("7/cmdline", "");
	assert_int_equal(procfs_read(proc_fd, 7, 0, true, &p), 0);
	assert_string_equal(p.executable, "");
	assert_string_equal(p.cgroup, "");
	assert_int_equal(p.uid, PROCESS_NO_UID);
	assert_int_equal(p.args_len, 0);
	write_text("7/stat", "7 (broken");
	assert_int_equal(procfs_read(proc_fd, 7, 0, true, &p), -EBADMSG);
	unlink("7/stat");
	assert_int_equal(procfs_read(proc_fd, 7, 0, true, &p), -ESRCH);
	close(proc_fd);
}

static void reads_only_the_line_of_cgroup2(void **state)
{
	char path[16];

	assert_true(procfs_parse_cgroup("0::/\n", path, sizeof(path)));
	assert_string_equal(path, "/");
	assert_true(procfs_parse_cgroup("12:cpu:/0::/no\n0::/yes", path, sizeof(path)));
	assert_string_equal(path, "/yes");
	assert_false(procfs_parse_cgroup("1:name=systemd:/x\n10::/x\n", path, sizeof(path)));
	assert_false(procfs_parse_cgroup("0::/0123456789abcdef\n", path, sizeof(path)));
	assert_false(procfs_parse_cgroup("", path, sizeof(path)));
}

static void compares_starts_by_the_tick(void **state)
{
	assert_true(procfs_start_agrees(105, 100, 10));
	assert_true(procfs_start_agrees(110, 100, 10));
	assert_true(procfs_start_agrees(90, 100, 10));
	assert_false(procfs_start_agrees(111, 100, 10));
	assert_false(procfs_start_agrees(89, 100, 10));
}

#define with_fake_proc(test) \
	cmocka_unit_test_setup_teardown(test, fake_proc_setup, fake_proc_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fake_proc(reads_a_process),
		with_fake_proc(cuts_long_arguments),
		with_fake_proc(lives_with_what_lacks),
		cmocka_unit_test(reads_only_the_line_of_cgroup2),
		cmocka_unit_test(compares_starts_by_the_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
