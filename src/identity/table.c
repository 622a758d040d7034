// SPDX-License-Identifier: Apache-2.0
#include "identity/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "identity/cgroups.h"
#include "identity/container.h"
#include "identity/decode.h"
#include "identity/processes.h"
#include "identity/procfs.h"
#include "identity/redact.h"

enum { DEFAULT_MAX_IDLE = 8192 };

struct process_table {
	struct processes *processes;
	struct cgroups *cgroups;
	int proc_fd;
	bool take_args;
};

int process_table_new(const struct process_table_options *options, struct process_table **ret,
		      struct err *e)
{
	const char *root = options->proc_root ? options->proc_root : "/proc";
	struct process_table *t = calloc(1, sizeof(*t));
	char mountinfo[256];

	if (!t)
		return err_set(e, ENOMEM, "no memory for the table of processes");
	t->take_args = !options->no_args;
	t->proc_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->proc_fd < 0) {
		int err = err_set(e, errno, "can't open %s: %s; is it mounted?", root,
				  strerror(errno));

		process_table_free(t);
		return err;
	}
	snprintf(mountinfo, sizeof(mountinfo), "%s/self/mountinfo", root);
	if (processes_new(options->max_idle ? options->max_idle : DEFAULT_MAX_IDLE,
			  &t->processes) ||
	    cgroups_new(mountinfo, &t->cgroups)) {
		process_table_free(t);
		return err_set(e, ENOMEM, "no memory for the table of processes");
	}
	*ret = t;
	return 0;
}

void process_table_free(struct process_table *t)
{
	if (!t)
		return;
	processes_free(t->processes);
	cgroups_free(t->cgroups);
	if (t->proc_fd >= 0)
		close(t->proc_fd);
	free(t);
}

static void set_cgroup(struct process *p, const char *path)
{
	struct container_ref ref;

	if (!path || !*path)
		return;
	p->cgroup = strdup(path);
	if (!container_parse(path, &ref))
		return;
	p->container_id = strdup(ref.id);
	p->container_runtime = ref.runtime;
}

/* What lacks in the record: the parent's path, if the parent was read or announced itself. */
static void set_parent(struct process_table *t, struct process *p, const struct owner *parent)
{
	const struct process *found;

	if (p->parent_executable || !parent->tgid)
		return;
	found = processes_find(t->processes, parent);
	if (found && found->executable)
		p->parent_executable = strdup(found->executable);
}

static int take_process(struct process_table *t, const struct rec_hdr *rec, size_t size)
{
	const struct rec_process *r = (const struct rec_process *)rec;
	struct process *p;
	int err = decode_process(rec, size, t->take_args, &p);

	if (err)
		return err;
	set_cgroup(p, cgroups_path(t->cgroups, r->cgroup_id));
	set_parent(t, p, &r->parent);
	return processes_put(t->processes, p);
}

static int take_cgroup(struct process_table *t, const struct rec_hdr *rec, size_t size)
{
	const struct rec_cgroup *r;
	const char *path;
	int err = decode_cgroup(rec, size, &r, &path);

	if (err)
		return err;
	if (r->happened == CGROUP_REMOVED)
		cgroups_remove(t->cgroups, r->id);
	else if (r->path_len)
		return cgroups_add(t->cgroups, r->id, path, r->path_len);
	return 0;
}

int process_table_record(struct process_table *t, const struct rec_hdr *rec, size_t size)
{
	if (size < sizeof(*rec))
		return -EBADMSG;
	switch (rec->type) {
	case REC_PROCESS: return take_process(t, rec, size);
	case REC_CGROUP: return take_cgroup(t, rec, size);
	default: return -EBADMSG;
	}
}

static char *string_or_null(const char *s)
{
	return *s ? strdup(s) : NULL;
}

/*
 * Fill in what /proc tells. It shows the process as it is now: if it has done another exec since,
 * nothing of what an exec replaces is taken.
 */
static void fill_from_proc(struct process_table *t, const struct owner *owner, struct process *p)
{
	bool replaced = processes_has_later(t->processes, owner);
	struct procfs_process *f = malloc(sizeof(*f));

	if (f && !procfs_read(t->proc_fd, owner->tgid, owner->start_ns, t->take_args, f)) {
		p->parent_pid = f->parent_pid;
		p->pid_in_namespace = f->pid_in_namespace;
		p->parent_executable = string_or_null(f->parent_executable);
		set_cgroup(p, f->cgroup);
		if (!replaced) {
			p->uid = f->uid;
			p->name = string_or_null(f->name);
			p->executable = string_or_null(f->executable);
			p->args = redact_args(f->args, f->args_len, f->args_cut, &p->n_args);
		}
	}
	free(f);
}

struct process *process_table_get(struct process_table *t, const struct owner *owner)
{
	struct process *p;

	if (!owner->tgid)
		return NULL;
	p = processes_find(t->processes, owner);
	if (p)
		return process_ref(p);
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->n_ref = 2; /* the table's, the caller's */
	p->pid = owner->tgid;
	p->start_ns = owner->start_ns;
	p->exec_id = owner->exec_id;
	p->uid = PROCESS_NO_UID;
	fill_from_proc(t, owner, p);
	processes_put(t->processes, p);
	return p;
}

void process_table_expire(struct process_table *t, uint64_t now_ns)
{
	processes_expire(t->processes, now_ns);
}

void process_table_usage(const struct process_table *t, uint64_t *ret_images, uint64_t *ret_bytes)
{
	size_t n_cgroups, cgroup_bytes;

	processes_usage(t->processes, ret_images, ret_bytes);
	cgroups_usage(t->cgroups, &n_cgroups, &cgroup_bytes);
	*ret_bytes += cgroup_bytes;
}

const char *process_table_cgroup(struct process_table *t, uint64_t id)
{
	return cgroups_path(t->cgroups, id);
}
