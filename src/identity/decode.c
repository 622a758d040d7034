// SPDX-License-Identifier: Apache-2.0
#include "identity/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "identity/redact.h"

/* Names stand leaf first, each with its NUL. Are they that, each a name? */
static bool names_are_sound(const char *names, size_t len)
{
	if (!len)
		return true;
	if (names[0] == '\0' || names[len - 1] != '\0' || memchr(names, '/', len))
		return false;
	return !memmem(names, len, "\0", 2);
}

/*
 * "curl\0bin\0usr\0" to "/usr/bin/curl"; @cut: to ".../usr/bin/curl". NULL: empty, or no memory.
 */
static char *path_of_names(const char *names, size_t len, bool cut)
{
	struct buf path = { 0 };
	const char *end = names + len, *name;

	if (!len)
		return NULL;
	if (cut)
		buf_adds(&path, "...");
	while (end > names) {
		name = end - 1;
		while (name > names && name[-1])
			name--;
		buf_addc(&path, '/');
		buf_adds(&path, name);
		end = name;
	}
	return buf_take(&path);
}

static int check_process(const struct rec_process *r, size_t size)
{
	const char *data = (const char *)(r + 1);
	size_t want = sizeof(*r) + r->exe_len + r->parent_exe_len + r->args_len;

	if (size != want || r->hdr.size != size || !r->owner.tgid)
		return -EBADMSG;
	if (!names_are_sound(data, r->exe_len) ||
	    !names_are_sound(data + r->exe_len, r->parent_exe_len))
		return -EBADMSG;
	return 0;
}

int decode_process(const struct rec_hdr *rec, size_t size, bool take_args, struct process **ret)
{
	const struct rec_process *r = (const struct rec_process *)rec;
	const char *data = (const char *)(r + 1), *parent, *args;
	struct process *p;

	if (size < sizeof(*r) || check_process(r, size))
		return -EBADMSG;
	parent = data + r->exe_len;
	args = parent + r->parent_exe_len;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->n_ref = 1;
	p->pid = r->owner.tgid;
	p->start_ns = r->owner.start_ns;
	p->exec_id = r->owner.exec_id;
	p->pid_in_namespace = r->pid_in_namespace;
	p->uid = r->uid;
	p->parent_pid = r->parent.tgid;
	p->parent_start_ns = r->parent.start_ns;
	p->name = strndup(r->comm, sizeof(r->comm));
	p->executable = path_of_names(data, r->exe_len, r->flags & PROCESS_EXE_CUT);
	p->parent_executable = path_of_names(parent, r->parent_exe_len,
					     r->flags & PROCESS_PARENT_EXE_CUT);
	if (take_args)
		p->args = redact_args(args, r->args_len, r->args_total > r->args_len, &p->n_args);
	*ret = p;
	return 0;
}

int decode_cgroup(const struct rec_hdr *rec, size_t size, const struct rec_cgroup **ret_rec,
		  const char **ret_path)
{
	const struct rec_cgroup *r = (const struct rec_cgroup *)rec;
	const char *path = (const char *)(r + 1);

	if (size < sizeof(*r) || r->hdr.size != size || size != sizeof(*r) + r->path_len)
		return -EBADMSG;
	if (r->happened != CGROUP_MADE && r->happened != CGROUP_REMOVED)
		return -EBADMSG;
	if (r->path_len && (path[0] != '/' || memchr(path, '\0', r->path_len)))
		return -EBADMSG;
	*ret_rec = r;
	*ret_path = path;
	return 0;
}
