// SPDX-License-Identifier: Apache-2.0
#include "discover/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "discover.skel.h"
#include "sys/bpf_refusal.h"

enum { FIRST_ROWS = 512, READ_BYTES = 1 << 15 };

struct netns_kernel {
	struct discover_bpf *bpf;
	struct netns_row *rows; /* the kernel's own memory, mapped */
	size_t n_rows;
	struct bpf_link *tasks_link, *holders_link, *birth_link;
	struct buf tasks, holders;
	struct ring_buffer *births;
	unsigned int n_births;
	uint64_t n_unsaid;
};

/* --- loading --- */

static int explain_load(int err, struct err *e)
{
	static const unsigned int caps[] = { CAP_BPF, CAP_PERFMON };

	return bpf_refusal_explain(err, "cannot read the kernel's list of network namespaces", caps,
				   ARRAY_SIZE(caps), e);
}

/* The object has programs of others, too: load only ours. */
static void choose_programs(struct netns_kernel *k, bool births)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, k->bpf->obj) bpf_program__set_autoload(p, false);
	bpf_program__set_autoload(k->bpf->progs.netns_walk, true);
	bpf_program__set_autoload(k->bpf->progs.netns_tasks, true);
	bpf_program__set_autoload(k->bpf->progs.netns_holders, true);
	bpf_program__set_autoload(k->bpf->progs.netns_birth, births);
}

/* Make room for @n rows in the kernel; what there was is gone. */
static int make_room(struct netns_kernel *k, size_t n)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	struct netns_row *rows = MAP_FAILED;
	__u32 zero = 0;
	int fd, err;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "netns_rows", sizeof(zero), sizeof(*rows), (__u32)n,
			    &opts);
	if (fd < 0)
		return -errno;
	rows = mmap(NULL, n * sizeof(*rows), PROT_READ, MAP_SHARED, fd, 0);
	err = rows == MAP_FAILED ? -errno : 0;
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(k->bpf->maps.netns_out), &zero, &fd, 0);
	close(fd);
	if (err) {
		if (rows != MAP_FAILED)
			munmap(rows, n * sizeof(*rows));
		return err;
	}
	if (k->rows)
		munmap(k->rows, k->n_rows * sizeof(*rows));
	k->rows = rows;
	k->n_rows = n;
	return 0;
}

static int load(struct netns_kernel *k, bool births, struct err *e)
{
	int err;

	k->bpf = discover_bpf__open();
	if (!k->bpf)
		return explain_load(-errno, e);
	choose_programs(k, births);
	err = discover_bpf__load(k->bpf);
	if (!err)
		err = make_room(k, FIRST_ROWS);
	return err ? explain_load(err, e) : 0;
}

int netns_kernel_new(struct netns_kernel **ret, bool births, struct err *e)
{
	struct netns_kernel *k = calloc(1, sizeof(*k));
	int err;

	bpf_complaint_listen();
	err = k ? load(k, births, e) : err_set(e, ENOMEM, "out of memory");
	if (err) {
		netns_kernel_free(k);
		return err;
	}
	*ret = k;
	return 0;
}

void netns_kernel_free(struct netns_kernel *k)
{
	if (!k)
		return;
	bpf_link__destroy(k->birth_link);
	bpf_link__destroy(k->tasks_link);
	bpf_link__destroy(k->holders_link);
	ring_buffer__free(k->births);
	if (k->rows)
		munmap(k->rows, k->n_rows * sizeof(*k->rows));
	discover_bpf__destroy(k->bpf);
	buf_fini(&k->tasks);
	buf_fini(&k->holders);
	free(k);
}

/* --- the list --- */

int netns_kernel_walk(struct netns_kernel *k, const struct netns_row **ret, size_t *ret_n,
		      struct err *e)
{
	static const char what[] = "cannot read the kernel's list of network namespaces";
	int fd = bpf_program__fd(k->bpf->progs.netns_walk), err;

	for (;;) {
		LIBBPF_OPTS(bpf_test_run_opts, run);

		err = bpf_prog_test_run_opts(fd, &run);
		if (err)
			return err_set(e, -err, "%s: %s", what, strerror(-err));
		if (!run.retval)
			return err_set(e, EINVAL,
				       "%s: it is not where this kernel is expected to have it",
				       what);
		*ret = k->rows;
		*ret_n = run.retval;
		if (run.retval <= k->n_rows)
			return 0;
		err = make_room(k, run.retval + run.retval / 4);
		if (err)
			return err_set(e, -err, "%s: no room for %u: %s", what, run.retval,
				       strerror(-err));
	}
}

/* --- the iterators --- */

static int read_all(int fd, struct buf *to)
{
	static char chunk[READ_BYTES];
	ssize_t n;

	buf_reset(to);
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0)
			buf_add(to, chunk, (size_t)n);
	}
	return to->failed ? -ENOMEM : 0;
}

static int iterate(struct bpf_program *prog, struct bpf_link **link, struct buf *to)
{
	int fd, err;

	if (!*link)
		*link = bpf_program__attach_iter(prog, NULL);
	if (!*link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(*link));
	if (fd < 0)
		return -errno;
	err = read_all(fd, to);
	close(fd);
	return err;
}

int netns_kernel_tasks(struct netns_kernel *k, const struct task_row **ret, size_t *ret_n,
		       struct err *e)
{
	int err = iterate(k->bpf->progs.netns_tasks, &k->tasks_link, &k->tasks);

	if (err)
		return err_set(e, -err, "cannot read the kernel's list of processes: %s",
			       strerror(-err));
	*ret = (const void *)k->tasks.data;
	*ret_n = k->tasks.len / sizeof(**ret);
	return 0;
}

int netns_kernel_holders(struct netns_kernel *k, const struct held_row **ret, size_t *ret_n,
			 struct err *e)
{
	int err = iterate(k->bpf->progs.netns_holders, &k->holders_link, &k->holders);

	if (err)
		return err_set(e, -err, "cannot read the kernel's list of descriptors: %s",
			       strerror(-err));
	*ret = (const void *)k->holders.data;
	*ret_n = k->holders.len / sizeof(**ret);
	return 0;
}

/* --- births --- */

static int count_birth(void *arg, void *data, size_t size)
{
	struct netns_kernel *k = arg;

	k->n_births++;
	return 0;
}

int netns_kernel_watch_births(struct netns_kernel *k, int *ret_fd, struct err *e)
{
	static const char what[] = "cannot hear of the birth of network namespaces";

	bpf_complaint_listen();
	k->births = ring_buffer__new(bpf_map__fd(k->bpf->maps.births), count_birth, k, NULL);
	if (k->births)
		k->birth_link = bpf_program__attach(k->bpf->progs.netns_birth);
	if (!k->birth_link)
		return err_set(e, errno, "%s: tracepoint percpu_alloc_percpu: %s", what,
			       strerror(errno));
	*ret_fd = ring_buffer__epoll_fd(k->births);
	return 0;
}

unsigned int netns_kernel_births(struct netns_kernel *k)
{
	uint64_t unsaid = k->bpf->bss->births_unsaid;
	unsigned int n;

	k->n_births = 0;
	ring_buffer__consume(k->births);
	n = k->n_births + (unsigned int)(unsaid - k->n_unsaid);
	k->n_unsaid = unsaid;
	return n;
}
