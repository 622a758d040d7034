// SPDX-License-Identifier: Apache-2.0
#include "discover/survey.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/mountinfo.h"

/* --- names --- */

static const char *after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) ? NULL : s + len;
}

const char *survey_name_of_path(const char *path)
{
	const char *name = after(path, "/run/netns/");

	if (!name)
		name = after(path, "/var/run/netns/");
	return name && *name && !strchr(name, '/') ? name : path;
}

static int rank(const char *name)
{
	if (name[0] != '/')
		return 0;
	return after(name, "/run/docker/netns/") || after(name, "/var/run/docker/netns/") ? 1 : 2;
}

int survey_compare_names(const char *a, const char *b)
{
	int d = rank(a) - rank(b);

	if (!d)
		d = strcmp(a, b);
	return d < 0 ? -1 : d > 0;
}

unsigned int survey_inode_of_root(const char *root)
{
	unsigned long inode;
	const char *digits = after(root, "net:[");
	char *end;

	if (!digits || *digits < '0' || *digits > '9')
		return 0;
	inode = strtoul(digits, &end, 10);
	return strcmp(end, "]") || inode > UINT_MAX ? 0 : (unsigned int)inode;
}

/* A bind mount of a network namespace, as somebody sees it. */
struct bound {
	struct netns_entry *en;
	char *name;
	char *path; /* by which we reach it */
};

struct bounds {
	const struct netns_table *table;
	struct bound *v;
	size_t n, cap;
	uint32_t pid; /* whose mounts are being read */
	bool failed;
};

static bool grow(struct bounds *b)
{
	size_t cap = b->cap ? 2 * b->cap : 64;
	struct bound *v;

	if (b->n < b->cap)
		return true;
	v = reallocarray(b->v, cap, sizeof(*v));
	if (!v)
		return false;
	b->v = v;
	b->cap = cap;
	return true;
}

static void note_mount(void *arg, const struct mount_entry *m)
{
	struct bounds *b = arg;
	struct netns_entry *en;
	struct bound found;

	if (strcmp(m->fs_type, "nsfs"))
		return;
	en = netns_table_get_inode(b->table, survey_inode_of_root(m->root));
	if (!en)
		return;
	found.en = en;
	found.name = strdup(survey_name_of_path(m->mount_point));
	if (asprintf(&found.path, "/proc/%u/root%s", b->pid, m->mount_point) < 0)
		found.path = NULL;
	if (!found.name || !found.path || !grow(b)) {
		free(found.name);
		free(found.path);
		b->failed = true;
		return;
	}
	b->v[b->n++] = found;
}

static int compare_mounts(const struct task_row *a, const struct task_row *b)
{
	if (a->mnt_inode != b->mnt_inode)
		return a->mnt_inode < b->mnt_inode ? -1 : 1;
	return a->root_id < b->root_id ? -1 : a->root_id > b->root_id;
}

static int by_mounts(const void *x, const void *y)
{
	const struct task_row *a = x, *b = y;
	int d = compare_mounts(a, b);

	return d ? d : (int)(a->pid > b->pid) - (int)(a->pid < b->pid);
}

/*
 * Read the mounts of each distinct view once, by its oldest process; where that has just ended, by
 * another. Sorts the rows.
 */
static void read_mounts(struct bounds *b, struct task_row *rows, size_t n)
{
	const struct task_row *done = NULL;
	char path[64];

	qsort(rows, n, sizeof(*rows), by_mounts);
	for (size_t i = 0; i < n; i++) {
		if (done && !compare_mounts(done, &rows[i]))
			continue;
		b->pid = rows[i].pid;
		snprintf(path, sizeof(path), "/proc/%u/mountinfo", b->pid);
		if (!mountinfo_read(path, note_mount, b))
			done = &rows[i];
	}
}

static int by_entry_and_name(const void *x, const void *y)
{
	const struct bound *a = x, *b = y;

	if (a->en != b->en)
		return (uintptr_t)a->en < (uintptr_t)b->en ? -1 : 1;
	return survey_compare_names(a->name, b->name);
}

static bool same_names(const struct netns *ns, char **names, unsigned int n)
{
	if (ns->n_names != n)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (strcmp(ns->names[i], names[i]))
			return false;
	return true;
}

static void free_names(char **names, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/*
 * Give @en the names of the @n bounds, sorted, all its own; takes strings out of them. True: they
 * are other ones.
 */
static bool take_names(struct netns_entry *en, struct bound *v, size_t n)
{
	char **names = calloc(n, sizeof(*names));
	unsigned int n_names = 0;
	bool same;

	if (n && !names)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (n_names && !strcmp(names[n_names - 1], v[i].name))
			continue;
		names[n_names++] = v[i].name;
		v[i].name = NULL;
	}
	free(en->mount_path);
	en->mount_path = NULL;
	if (n) {
		en->mount_path = v[0].path;
		v[0].path = NULL;
		en->ns.held_by |= NETNS_HELD_BY_MOUNT;
	}
	same = same_names(&en->ns, names, n_names);
	if (same) {
		free_names(names, n_names);
		return false;
	}
	free_names(en->ns.names, en->ns.n_names);
	en->ns.names = names;
	en->ns.n_names = n_names;
	return true;
}

static void apply_names(struct bounds *b, survey_named_fn named, void *arg)
{
	struct netns_entry *en;
	size_t from, to;

	for (en = netns_table_next(b->table, NULL); en; en = netns_table_next(b->table, en))
		en->marked = false;
	if (b->n)
		qsort(b->v, b->n, sizeof(*b->v), by_entry_and_name);
	for (from = 0; from < b->n; from = to) {
		en = b->v[from].en;
		for (to = from; to < b->n && b->v[to].en == en; to++)
			;
		en->marked = true;
		if (take_names(en, b->v + from, to - from) && named)
			named(arg, en);
	}
	for (en = netns_table_next(b->table, NULL); en; en = netns_table_next(b->table, en))
		if (!en->marked && take_names(en, NULL, 0) && named)
			named(arg, en);
}

static void bounds_fini(struct bounds *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].name);
		free(b->v[i].path);
	}
	free(b->v);
}

/* --- processes --- */

static int by_home(const void *x, const void *y)
{
	const struct task_row *a = x, *b = y;

	if (a->netns_cookie != b->netns_cookie)
		return a->netns_cookie < b->netns_cookie ? -1 : 1;
	return (int)(a->tgid > b->tgid) - (int)(a->tgid < b->tgid);
}

/* A process counts in each namespace that a thread of it lives in. Sorts the rows. */
static void count_processes(const struct netns_table *t, struct task_row *rows, size_t n)
{
	struct netns_entry *en;

	qsort(rows, n, sizeof(*rows), by_home);
	for (size_t i = 0; i < n; i++) {
		if (i && !by_home(&rows[i - 1], &rows[i]))
			continue;
		en = netns_table_get(t, rows[i].netns_cookie);
		if (!en)
			continue;
		if (!en->ns.n_processes++) {
			en->process = rows[i].pid;
			en->ns.holder_pid = rows[i].tgid;
		}
		en->ns.held_by |= NETNS_HELD_BY_PROCESS;
	}
}

static void forget_processes(const struct netns_table *t, bool descriptors)
{
	unsigned int kept = NETNS_HELD_BY_KERNEL;
	struct netns_entry *en;

	if (!descriptors)
		kept |= NETNS_HELD_BY_DESCRIPTOR | NETNS_HELD_BY_SOCKET;
	for (en = netns_table_next(t, NULL); en; en = netns_table_next(t, en)) {
		en->ns.held_by &= kept;
		en->ns.n_processes = 0;
		en->ns.holder_pid = 0;
		en->process = 0;
		if (descriptors)
			en->descriptor_pid = en->socket_pid = 0;
	}
}

/* --- descriptors --- */

static void note_holder(struct netns_entry *en, const struct held_row *row)
{
	if (row->kind == HELD_SOCKET) {
		if (!(en->ns.held_by & NETNS_HELD_BY_SOCKET)) {
			en->socket_pid = row->tgid;
			en->socket = row->fd;
		}
		en->ns.held_by |= NETNS_HELD_BY_SOCKET;
	} else {
		if (!(en->ns.held_by & NETNS_HELD_BY_DESCRIPTOR)) {
			en->descriptor_pid = row->tgid;
			en->descriptor = row->fd;
		}
		en->ns.held_by |= NETNS_HELD_BY_DESCRIPTOR;
	}
}

static int survey_descriptors(struct netns_table *t, struct netns_kernel *k, struct err *e)
{
	const struct held_row *rows;
	struct netns_entry *en;
	size_t n;
	int err;

	err = netns_kernel_holders(k, &rows, &n, e);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		en = netns_table_get(t, rows[i].netns_cookie);
		if (en)
			note_holder(en, &rows[i]);
	}
	return 0;
}

/* Who has it open stands in for who lives in it. */
static void name_holders(const struct netns_table *t)
{
	struct netns_entry *en;

	for (en = netns_table_next(t, NULL); en; en = netns_table_next(t, en)) {
		if (!en->ns.holder_pid)
			en->ns.holder_pid = en->descriptor_pid;
		if (!en->ns.holder_pid)
			en->ns.holder_pid = en->socket_pid;
	}
}

int netns_survey(struct netns_table *t, struct netns_kernel *k, bool descriptors,
		 survey_named_fn named, void *arg, struct err *e)
{
	struct bounds b = { .table = t };
	const struct task_row *rows;
	struct task_row *sorted;
	size_t n;
	int err;

	err = netns_kernel_tasks(k, &rows, &n, e);
	if (err)
		return err;
	sorted = malloc(n * sizeof(*sorted) + 1);
	if (!sorted)
		return err_set(e, ENOMEM, "out of memory");
	memcpy(sorted, rows, n * sizeof(*sorted));
	forget_processes(t, descriptors);
	count_processes(t, sorted, n);
	if (descriptors)
		err = survey_descriptors(t, k, e);
	name_holders(t);
	read_mounts(&b, sorted, n);
	if (b.failed)
		err = err_set(e, ENOMEM, "out of memory");
	else
		apply_names(&b, named, arg);
	bounds_fini(&b);
	free(sorted);
	return err;
}
