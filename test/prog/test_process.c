// SPDX-License-Identifier: Apache-2.0
/*
 * The process probe on this kernel: children that touch a socket and are gone before anybody looks
 * have to be known. The test program runs itself again as such a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "abi/process.h"
#include "base/base.h"
#include "identity/table.h"
#include "probe/probe.h"
#include "sys/cgroup2.h"

enum { TOUCH_UID = 12345, IMAGES_MAX = 64 };

static char self[PATH_MAX];

/* What the probes told about the child: owners in the order in which they came. */
struct fixture {
	struct probes *probes;
	struct process_table *table;
	pid_t child;
	struct owner images[IMAGES_MAX];
	unsigned int n_images;
};

static void on_record(void *arg, const struct rec_hdr *rec, size_t size)
{
	const struct rec_process *r = (const struct rec_process *)rec;
	struct fixture *f = arg;

	if (rec->type != REC_PROCESS && rec->type != REC_CGROUP)
		return;
	assert_int_equal(process_table_record(f->table, rec, size), 0);
	if (rec->type == REC_PROCESS && r->owner.tgid == (uint32_t)f->child &&
	    f->n_images < IMAGES_MAX)
		f->images[f->n_images++] = r->owner;
}

static int open_probes(void **state, bool no_args)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct process_table_options table = { .no_args = no_args };
	struct probe_options probes = { .no_args = no_args, .record = on_record, .arg = f };
	struct err e;

	*state = f;
	if (process_table_new(&table, &f->table, &e) || probes_open(&probes, &f->probes, &e)) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int setup(void **state)
{
	return open_probes(state, false);
}

static int setup_no_args(void **state)
{
	return open_probes(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	probes_close(f->probes);
	process_table_free(f->table);
	free(f);
	return 0;
}

/* --- the child -------------------------------------------------------------------------------- */

/* Listen in a network namespace of its own. Exit status 0 if that went well. */
static int touch(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || listen(fd, 1);
}

static void *touch_thread(void *arg)
{
	return (void *)(intptr_t)touch();
}

/* As arguments say: "touch", "thread" to do it in a thread, "again PROGRAM" to exec that then. */
static int child_main(char **argv)
{
	void *failed = NULL;
	pthread_t thread;

	if (!strcmp(argv[1], "thread"))
		return pthread_create(&thread, NULL, touch_thread, NULL) ||
		       pthread_join(thread, &failed) || failed;
	if (touch() || touch())
		return 1;
	if (strcmp(argv[1], "again"))
		return 0;
	execl(argv[2], argv[2], "touch", "second", NULL);
	return 1;
}

/* What is done in the child before exec. */
typedef int (*prepare_fn)(void *arg);

static _Noreturn void child_exec(prepare_fn prepare, void *arg, const char *exe, char *const *argv)
{
	if (unshare(CLONE_NEWNET) || (prepare && prepare(arg)))
		_exit(101);
	execv(exe, argv);
	_exit(102);
}

/* Run it to its end, then read what the probes told. @flags: of clone. */
static void run_child(struct fixture *f, unsigned long flags, prepare_fn prepare, void *arg,
		      const char *exe, char *const *argv)
{
	int status;

	f->child = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	assert_true(f->child >= 0);
	if (!f->child)
		child_exec(prepare, arg, exe, argv);
	assert_int_equal(waitpid(f->child, &status, 0), f->child);
	assert_int_equal(status, 0);
	assert_true(probes_drain(f->probes) > 0);
}

static struct process *child_image(struct fixture *f, unsigned int i)
{
	assert_true(i < f->n_images);
	return process_table_get(f->table, &f->images[i]);
}

/* --- tests ------------------------------------------------------------------------------------ */

static int become_user(void *arg)
{
	return setresuid((uid_t)-1, TOUCH_UID, (uid_t)-1);
}

static void knows_a_child_that_is_gone(void **state)
{
	char *argv[] = { "touch-it", "touch", "--password=secret", "", "last", NULL };
	struct fixture *f = *state;
	struct process *p;

	run_child(f, 0, become_user, NULL, self, argv);
	assert_int_equal(f->n_images, 1);
	p = child_image(f, 0);
	assert_int_equal(p->pid, f->child);
	assert_int_equal(p->pid_in_namespace, f->child);
	assert_int_equal(p->uid, TOUCH_UID);
	assert_int_equal(p->parent_pid, getpid());
	assert_string_equal(p->parent_executable, self);
	assert_string_equal(p->executable, self);
	assert_string_equal(p->name, "test_process");
	assert_int_equal(p->n_args, 5);
	assert_string_equal(p->args[0], "touch-it");
	assert_string_equal(p->args[2], "--password=[redacted]");
	assert_string_equal(p->args[3], "");
	assert_string_equal(p->args[4], "last");
	assert_non_null(p->cgroup);
	process_unref(p);
}

static void tells_an_exec_from_the_next(void **state)
{
	char *argv[] = { "first", "again", self, NULL };
	struct fixture *f = *state;
	struct process *first, *second;

	run_child(f, 0, NULL, NULL, self, argv);
	assert_int_equal(f->n_images, 2);
	first = child_image(f, 0);
	second = child_image(f, 1);
	assert_int_equal(first->start_ns, second->start_ns);
	assert_int_equal(first->exec_id + 1, second->exec_id);
	assert_string_equal(first->args[0], "first");
	assert_string_equal(second->args[2], "second");
	process_unref(first);
	process_unref(second);
}

static void names_the_process_of_a_thread(void **state)
{
	char *argv[] = { "touch-it", "thread", NULL };
	struct fixture *f = *state;
	struct process *p;

	run_child(f, 0, NULL, NULL, self, argv);
	p = child_image(f, 0);
	assert_int_equal(p->pid, f->child);
	assert_string_equal(p->args[1], "thread");
	process_unref(p);
}

static void knows_the_pid_in_a_namespace(void **state)
{
	char *argv[] = { "touch-it", "touch", NULL };
	struct fixture *f = *state;
	struct process *p;

	run_child(f, CLONE_NEWPID, NULL, NULL, self, argv);
	p = child_image(f, 0);
	assert_int_equal(p->pid, f->child);
	assert_int_equal(p->pid_in_namespace, 1);
	process_unref(p);
}

/* A mount of its own over @arg, and in it the program, bound to a file. */
static int mount_program(void *arg)
{
	char path[PATH_MAX];
	int fd;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("nslens-test", arg, "tmpfs", 0, NULL))
		return -1;
	snprintf(path, sizeof(path), "%s/bin", (char *)arg);
	if (mkdir(path, 0755))
		return -1;
	snprintf(path, sizeof(path), "%s/bin/prog", (char *)arg);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	if (fd < 0)
		return -1;
	close(fd);
	return mount(self, path, NULL, MS_BIND, NULL);
}

static void writes_the_path_of_the_mount_namespace(void **state)
{
	char *argv[] = { "touch-it", "touch", NULL }, dir[] = "/tmp/nslens-mount-XXXXXX";
	struct fixture *f = *state;
	char path[PATH_MAX];
	struct process *p;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/bin/prog", dir);
	run_child(f, CLONE_NEWNS, mount_program, dir, path, argv);
	rmdir(dir);
	p = child_image(f, 0);
	assert_string_equal(p->executable, path);
	assert_string_equal(p->parent_executable, self);
	process_unref(p);
}

static int copy_self(int to_fd)
{
	int fd = open(self, O_RDONLY | O_CLOEXEC);
	char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(to_fd, buf, (size_t)n) != n)
			return -1;
	close(fd);
	return n < 0 ? -1 : 0;
}

static void knows_a_program_without_a_file(void **state)
{
	char *argv[] = { "touch-it", "touch", NULL }, path[32];
	struct fixture *f = *state;
	struct process *p;
	int fd = memfd_create("prog", 0);

	assert_true(fd >= 0);
	assert_int_equal(copy_self(fd), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	run_child(f, 0, NULL, NULL, path, argv);
	close(fd);
	p = child_image(f, 0);
	assert_string_equal(p->executable, "/memfd:prog");
	process_unref(p);
}

/* Folders nested @depth deep with names of @len, made below the working directory; or removed. */
static int nest(unsigned int depth, unsigned int len, bool make)
{
	char name[256];

	memset(name, 'd', len);
	name[len] = '\0';
	for (unsigned int i = 0; make && i < depth; i++)
		if (mkdir(name, 0755) || chdir(name))
			return -1;
	for (unsigned int i = 0; !make && i < depth; i++)
		if (chdir("..") || rmdir(name))
			return -1;
	return 0;
}

static void expect_cut_path(struct fixture *f, unsigned int depth, unsigned int len)
{
	char *argv[] = { "touch-it", "touch", NULL }, dir[] = "/tmp/nslens-deep-XXXXXX";
	struct process *p;
	size_t n;
	int fd;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(nest(depth, len, true), 0);
	fd = open("prog", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(copy_self(fd), 0);
	close(fd);
	run_child(f, 0, NULL, NULL, "prog", argv);
	assert_int_equal(unlink("prog"), 0);
	assert_int_equal(nest(depth, len, false), 0);
	assert_int_equal(chdir("/") | rmdir(dir), 0);
	p = child_image(f, 0);
	n = strlen(p->executable);
	assert_memory_equal(p->executable, ".../d", 5);
	assert_string_equal(p->executable + n - 7, "dd/prog");
	assert_true(n > 100);
	process_unref(p);
}

static void marks_a_path_too_deep(void **state)
{
	expect_cut_path(*state, 80, 3);
}

static void marks_a_path_too_long(void **state)
{
	expect_cut_path(*state, 8, 250);
}

static void marks_arguments_too_long(void **state)
{
	char word[300], *argv[] = { "touch-it", "touch", word, word, NULL };
	struct fixture *f = *state;
	struct process *p;

	memset(word, 'w', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	run_child(f, 0, NULL, NULL, self, argv);
	p = child_image(f, 0);
	assert_int_equal(p->n_args, 4);
	assert_int_equal(strlen(p->args[2]), 299);
	assert_int_equal(strlen(p->args[3]), 512 - 9 - 6 - 300 + 3);
	assert_string_equal(p->args[3] + strlen(p->args[3]) - 4, "w...");
	process_unref(p);
}

static void takes_no_arguments_if_told_so(void **state)
{
	char *argv[] = { "touch-it", "touch", NULL };
	struct fixture *f = *state;
	struct process *p;

	run_child(f, 0, NULL, NULL, self, argv);
	p = child_image(f, 0);
	assert_int_equal(p->n_args, 0);
	assert_string_equal(p->executable, self);
	process_unref(p);
}

/* Moves this process to the cgroup whose descriptor @arg points at. */
static int join_cgroup(void *arg)
{
	int fd = openat(*(int *)arg, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) != 1;
}

static void knows_a_cgroup_that_is_gone(void **state)
{
	char *argv[] = { "touch-it", "touch", NULL }, name[64], path[80];
	int root_fd = cgroup2_open(), fd;
	struct fixture *f = *state;
	struct process *p;

	snprintf(name, sizeof(name), "nslens-test-%d", getpid());
	snprintf(path, sizeof(path), "/%s", name);
	assert_int_equal(mkdirat(root_fd, name, 0755), 0);
	fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	run_child(f, 0, join_cgroup, &fd, self, argv);
	close(fd);
	assert_int_equal(unlinkat(root_fd, name, AT_REMOVEDIR), 0);
	close(root_fd);
	p = child_image(f, 0);
	assert_string_equal(p->cgroup, path);
	process_unref(p);
}

#define with_probes(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static int test_all(void)
{
	const struct CMUnitTest tests[] = {
		with_probes(knows_a_child_that_is_gone),
		with_probes(tells_an_exec_from_the_next),
		with_probes(names_the_process_of_a_thread),
		with_probes(knows_the_pid_in_a_namespace),
		with_probes(writes_the_path_of_the_mount_namespace),
		with_probes(knows_a_program_without_a_file),
		with_probes(marks_a_path_too_deep),
		with_probes(marks_a_path_too_long),
		with_probes(marks_arguments_too_long),
		with_probes(knows_a_cgroup_that_is_gone),
		cmocka_unit_test_setup_teardown(takes_no_arguments_if_told_so, setup_no_args,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return child_main(argv);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	return test_all();
}
