// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "abi/process.h"
#include "base/base.h"
#include "identity/table.h"

#define SECOND NS_PER_SEC

/* A record to build and to spoil. */
struct record {
	union {
		struct rec_hdr hdr;
		struct rec_process process;
		struct rec_cgroup cgroup;
		char bytes[1024];
	};
	size_t size;
};

static struct record process_record(const struct owner *o, const char *exe, size_t exe_len,
				    const char *args, size_t args_len)
{
	struct record r = { .process = { .owner = *o,
					 .parent = { .tgid = 1, .start_ns = 5 },
					 .cgroup_id = 99,
					 .uid = 1000,
					 .pid_in_namespace = 3,
					 .comm = "curl",
					 .exe_len = (uint16_t)exe_len,
					 .args_len = (uint16_t)args_len,
					 .args_total = (uint32_t)args_len } };

	memcpy(r.bytes + sizeof(r.process), exe, exe_len);
	memcpy(r.bytes + sizeof(r.process) + exe_len, args, args_len);
	r.size = sizeof(r.process) + exe_len + args_len;
	r.hdr.type = REC_PROCESS;
	r.hdr.size = (uint16_t)r.size;
	return r;
}

static struct record cgroup_record(uint64_t id, uint16_t happened, const char *path)
{
	struct record r = {
		.cgroup = { .id = id, .happened = happened, .path_len = (uint16_t)strlen(path) }
	};

	memcpy(r.bytes + sizeof(r.cgroup), path, strlen(path));
	r.size = sizeof(r.cgroup) + strlen(path);
	r.hdr.type = REC_CGROUP;
	r.hdr.size = (uint16_t)r.size;
	return r;
}

static struct record curl_record(const struct owner *o)
{
	return process_record(o, "curl\0bin\0usr", 13, "curl\0--password=x", 18);
}

/* A table over an empty /proc, so that nothing comes from elsewhere. */
struct fixture {
	struct process_table *table;
	char root[32];
};

static struct process_table *table_new(const char *root, unsigned int max_idle, bool no_args)
{
	struct process_table_options options = { .no_args = no_args,
						 .max_idle = max_idle,
						 .proc_root = root };
	struct process_table *t = NULL;

	assert_int_equal(process_table_new(&options, &t, NULL), 0);
	return t;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	memcpy(f->root, "/tmp/nslens-table-XXXXXX", 25);
	if (!mkdtemp(f->root))
		return -1;
	f->table = table_new(f->root, 0, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	process_table_free(f->table);
	rmdir(f->root);
	free(f);
	return 0;
}

static int give(struct process_table *t, const struct record *r)
{
	return process_table_record(t, &r->hdr, r->size);
}

static uint64_t images(const struct process_table *t)
{
	uint64_t n, bytes;

	process_table_usage(t, &n, &bytes);
	return n;
}

static void knows_what_records_told(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000, .exec_id = 2 };
	struct record made = cgroup_record(99, CGROUP_MADE, "/a"), r = curl_record(&o);
	struct process *p;

	assert_int_equal(give(t, &made), 0);
	assert_int_equal(give(t, &r), 0);
	p = process_table_get(t, &o);
	assert_non_null(p);
	assert_int_equal(p->n_ref, 2);
	assert_int_equal(p->pid, 10);
	assert_int_equal(p->pid_in_namespace, 3);
	assert_int_equal(p->exec_id, 2);
	assert_int_equal(p->start_ns, 1000);
	assert_int_equal(p->uid, 1000);
	assert_int_equal(p->parent_pid, 1);
	assert_int_equal(p->parent_start_ns, 5);
	assert_string_equal(p->name, "curl");
	assert_string_equal(p->executable, "/usr/bin/curl");
	assert_null(p->parent_executable);
	assert_string_equal(p->cgroup, "/a");
	assert_null(p->container_id);
	assert_int_equal(p->n_args, 2);
	assert_string_equal(p->args[1], "--password=[redacted]");
	process_unref(p);
}

static void keeps_images_of_one_process_apart(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner sh = { .tgid = 10, .start_ns = 1000, .exec_id = 2 }, curl = sh, other = sh;
	struct record r;
	struct process *p;

	curl.exec_id = 3;
	other.start_ns = 2000;
	r = process_record(&sh, "sh", 3, "sh", 3);
	assert_int_equal(give(t, &r), 0);
	r = curl_record(&curl);
	assert_int_equal(give(t, &r), 0);
	p = process_table_get(t, &sh);
	assert_string_equal(p->executable, "/sh");
	process_unref(p);
	p = process_table_get(t, &curl);
	assert_string_equal(p->executable, "/usr/bin/curl");
	process_unref(p);
	p = process_table_get(t, &other);
	assert_null(p->executable);
	process_unref(p);
}

static void makes_a_bare_image_of_the_unknown(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000, .exec_id = 2 }, nobody = { 0 };
	struct process *p = process_table_get(t, &o);

	assert_null(process_table_get(t, &nobody));
	assert_int_equal(p->pid, 10);
	assert_int_equal(p->start_ns, 1000);
	assert_int_equal(p->uid, PROCESS_NO_UID);
	assert_null(p->name);
	assert_null(p->executable);
	assert_int_equal(p->n_args, 0);
	process_unref(p);
	assert_int_equal(images(t), 1);
}

static void a_record_replaces_what_was_guessed(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000, .exec_id = 2 };
	struct process *old = process_table_get(t, &o), *p;
	struct record r = curl_record(&o);

	assert_null(old->executable);
	assert_int_equal(give(t, &r), 0);
	/* Who holds it from before sees it, too. */
	assert_string_equal(old->executable, "/usr/bin/curl");
	p = process_table_get(t, &o);
	assert_ptr_equal(p, old);
	assert_int_equal(images(t), 1);
	process_unref(old);
	process_unref(p);
}

/* A process that is about to end has let go of its memory: no executable, no arguments. */
static void a_poorer_record_takes_nothing_away(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000, .exec_id = 2 };
	struct record rich = curl_record(&o), poor = process_record(&o, "", 0, "", 0);
	struct process *p;

	poor.process.pid_in_namespace = 4;
	assert_int_equal(give(t, &rich), 0);
	p = process_table_get(t, &o);
	assert_int_equal(give(t, &poor), 0);
	assert_string_equal(p->executable, "/usr/bin/curl");
	assert_int_equal(p->n_args, 2);
	assert_int_equal(p->pid_in_namespace, 4);
	process_unref(p);
}

static void forgets_after_the_grace_period(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000 }, held = { .tgid = 11, .start_ns = 1 };
	struct process *p = process_table_get(t, &held);
	uint64_t n, bytes, empty_bytes;

	process_unref(process_table_get(t, &o));
	process_table_expire(t, 100 * SECOND);
	process_table_expire(t, 129 * SECOND);
	assert_int_equal(images(t), 2);
	process_table_expire(t, 130 * SECOND);
	assert_int_equal(images(t), 1);
	process_table_expire(t, 200 * SECOND);
	assert_int_equal(images(t), 1);
	process_unref(p);
	process_table_expire(t, 300 * SECOND);
	assert_int_equal(images(t), 1);
	process_table_expire(t, 330 * SECOND);
	process_table_usage(t, &n, &empty_bytes);
	assert_int_equal(n, 0);
	process_unref(process_table_get(t, &o));
	process_table_usage(t, &n, &bytes);
	assert_true(bytes > empty_bytes);
}

static void use_starts_the_grace_period_anew(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000 };

	process_unref(process_table_get(t, &o));
	process_table_expire(t, 100 * SECOND);
	process_unref(process_table_get(t, &o));
	process_table_expire(t, 130 * SECOND);
	assert_int_equal(images(t), 1);
	process_table_expire(t, 160 * SECOND);
	assert_int_equal(images(t), 0);
}

static void holds_no_more_idle_images_than_allowed(void **state)
{
	struct process_table *t = table_new(((struct fixture *)*state)->root, 64, false);
	struct owner o = { .start_ns = 1 };
	struct process *first, *used;
	uint64_t before;

	o.tgid = 1;
	first = process_table_get(t, &o);
	o.tgid = 2;
	process_unref(process_table_get(t, &o));
	for (o.tgid = 3; o.tgid < 60; o.tgid++)
		process_unref(process_table_get(t, &o));
	o.tgid = 2;
	process_unref(process_table_get(t, &o)); /* used, so among the young again */
	for (o.tgid = 100; o.tgid < 120; o.tgid++)
		process_unref(process_table_get(t, &o));
	assert_in_range(images(t), 50, 66);
	before = images(t);
	o.tgid = 2;
	used = process_table_get(t, &o);
	assert_int_equal(images(t), before);
	o.tgid = 1;
	assert_ptr_equal(process_table_get(t, &o), first);
	process_unref(first);
	process_unref(first);
	process_unref(used);
	process_table_free(t);
}

static void follows_cgroups(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000 };
	static const char id[] = "0123456789abcdef0123456789abcdef"
				 "0123456789abcdef0123456789abcdef";
	struct record removed = cgroup_record(99, CGROUP_REMOVED, "/x"), made, r = curl_record(&o);
	struct process *p;
	char path[128];

	snprintf(path, sizeof(path), "/system.slice/docker-%s.scope", id);
	made = cgroup_record(99, CGROUP_MADE, path);
	assert_int_equal(give(t, &made), 0);
	assert_int_equal(give(t, &r), 0);
	assert_int_equal(give(t, &removed), 0);
	p = process_table_get(t, &o);
	assert_string_equal(p->cgroup, path);
	assert_string_equal(p->container_id, id);
	assert_string_equal(p->container_runtime, "docker");
	process_unref(p);
	assert_int_equal(give(t, &r), 0);
	p = process_table_get(t, &o);
	assert_null(p->cgroup);
	process_unref(p);
}

static void no_args_means_none(void **state)
{
	struct process_table *t = table_new(((struct fixture *)*state)->root, 0, true);
	struct owner o = { .tgid = 10, .start_ns = 1000 };
	struct record r = curl_record(&o);
	struct process *p;

	assert_int_equal(give(t, &r), 0);
	p = process_table_get(t, &o);
	assert_int_equal(p->n_args, 0);
	assert_string_equal(p->executable, "/usr/bin/curl");
	process_unref(p);
	process_table_free(t);
}

static void refuses_bad_records(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000 };
	struct record good = curl_record(&o), r;

	for (size_t size = 0; size < good.size; size++) {
		r = good;
		r.size = size;
		assert_int_equal(give(t, &r), -EBADMSG);
		r.hdr.size = (uint16_t)size;
		assert_int_equal(give(t, &r), -EBADMSG);
	}
	r = good;
	r.process.exe_len = 1000;
	assert_int_equal(give(t, &r), -EBADMSG);
	r = good;
	r.process.exe_len--;
	r.process.args_len++;
	assert_int_equal(give(t, &r), -EBADMSG);
	r = good;
	r.process.owner.tgid = 0;
	assert_int_equal(give(t, &r), -EBADMSG);
	r = good;
	r.hdr.type = REC_TCP;
	assert_int_equal(give(t, &r), -EBADMSG);
	r = cgroup_record(1, 3, "/a");
	assert_int_equal(give(t, &r), -EBADMSG);
	r = cgroup_record(1, CGROUP_MADE, "a");
	assert_int_equal(give(t, &r), -EBADMSG);
	assert_int_equal(images(t), 0);
	assert_int_equal(give(t, &good), 0);
}

static void marks_paths_that_were_cut(void **state)
{
	struct process_table *t = ((struct fixture *)*state)->table;
	struct owner o = { .tgid = 10, .start_ns = 1000 };
	struct record r = curl_record(&o);
	struct process *p;

	r.process.flags = PROCESS_EXE_CUT;
	r.process.args_total = 1000;
	assert_int_equal(give(t, &r), 0);
	p = process_table_get(t, &o);
	assert_string_equal(p->executable, ".../usr/bin/curl");
	assert_int_equal(p->n_args, 3);
	assert_string_equal(p->args[2], "...");
	process_unref(p);
}

static uint64_t own_start_ns(void)
{
	unsigned long long ticks = 0;
	FILE *f = fopen("/proc/self/stat", "re");

	assert_non_null(f);
	assert_int_equal(
		fscanf(f,
		       "%*d %*s %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		       "%*s %*s %*s %*s %llu",
		       &ticks),
		1);
	fclose(f);
	return ticks * (SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void reads_older_processes_from_proc(void **state)
{
	struct process_table *t = table_new(NULL, 0, false);
	struct owner o = { .tgid = (uint32_t)getpid(), .start_ns = own_start_ns(), .exec_id = 4 };
	struct owner earlier = o, stranger = o;
	struct process *p = process_table_get(t, &o);
	char exe[4096] = { 0 };

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(p->executable, exe);
	assert_int_equal(p->parent_pid, getppid());
	assert_int_equal(p->uid, geteuid());
	assert_true(p->n_args > 0);
	process_unref(p);

	/* /proc shows exec 4: nothing of what that replaced is told of exec 3. */
	earlier.exec_id = 3;
	p = process_table_get(t, &earlier);
	assert_null(p->executable);
	assert_int_equal(p->n_args, 0);
	assert_int_equal(p->parent_pid, getppid());
	process_unref(p);

	stranger.start_ns += SECOND;
	p = process_table_get(t, &stranger);
	assert_null(p->executable);
	assert_int_equal(p->parent_pid, 0);
	process_unref(p);
	process_table_free(t);
}

#define with_table(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_table(knows_what_records_told),
		with_table(keeps_images_of_one_process_apart),
		with_table(makes_a_bare_image_of_the_unknown),
		with_table(a_record_replaces_what_was_guessed),
		with_table(a_poorer_record_takes_nothing_away),
		with_table(forgets_after_the_grace_period),
		with_table(use_starts_the_grace_period_anew),
		with_table(holds_no_more_idle_images_than_allowed),
		with_table(follows_cgroups),
		with_table(no_args_means_none),
		with_table(refuses_bad_records),
		with_table(marks_paths_that_were_cut),
		cmocka_unit_test(reads_older_processes_from_proc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
