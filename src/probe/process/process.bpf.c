// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi/process.h"
#include "probe/lib/emit.bpf.h"
#include "probe/lib/task.bpf.h"

enum {
	DATA_MAX = 2 * (PROCESS_PATH_MAX + PROCESS_NAME_MAX) + PROCESS_ARGS_MAX,
	N_SLOTS = 2,
	EBUSY = 16,
};

/* Turned off by --no-args, before load. */
const volatile bool process_take_args = true;

/* See task.bpf.h. */
const volatile __s64 task_preempt_count_off = 0;

/*
 * Images that user space was told of. Forgetting one (LRU) costs a second record, nothing else.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct owner);
	__type(value, __u8);
} proc_announced SEC(".maps");

/* The last one of each CPU: most often it is that one again. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct owner);
} proc_last SEC(".maps");

/*
 * Where a record is put together before it is copied to the ring in its true length. A program
 * can be preempted or interrupted by another on the same CPU, so a slot is taken and given back.
 */
struct proc_slot {
	__u32 busy;
	__u32 reserved;
	union {
		struct {
			struct rec_process rec;
			char data[DATA_MAX];
		} process;
		struct {
			struct rec_cgroup rec;
			char path[CGROUP_PATH_MAX];
		} cgroup;
	};
};

struct slots {
	struct proc_slot slot[N_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slots);
} proc_scratch SEC(".maps");

static __always_inline struct proc_slot *slot_take(void)
{
	__u32 zero = 0;
	struct slots *s = bpf_map_lookup_elem(&proc_scratch, &zero);

	if (!s)
		return NULL;
	if (!__sync_lock_test_and_set(&s->slot[0].busy, 1))
		return &s->slot[0];
	if (!__sync_lock_test_and_set(&s->slot[1].busy, 1))
		return &s->slot[1];
	return NULL;
}

static __always_inline void slot_give(struct proc_slot *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/* --- the path of a file, by its dentries and mounts --- */

struct walk {
	struct proc_slot *slot;
	struct dentry *dentry;
	struct mount *mount;
	__u32 start, off; /* into slot->process.data */
	bool whole;
};

/* BPF_CORE_READ takes every member on its way for the kernel's, hence the local variables. */
static long walk_step(__u32 i, struct walk *w)
{
	struct dentry *dentry = w->dentry, *up;
	struct mount *mount = w->mount, *below;
	long n;

	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		below = BPF_CORE_READ(mount, mnt_parent);
		w->whole = below == mount;
		w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = below;
		return w->whole;
	}
	if (w->off - w->start > PROCESS_PATH_MAX || w->off > DATA_MAX - PROCESS_NAME_MAX)
		return 1;
	n = bpf_probe_read_kernel_str(w->slot->process.data + w->off, PROCESS_NAME_MAX,
				      BPF_CORE_READ(dentry, d_name.name));
	if (n <= 1)
		return 1;
	w->off += n;
	/* A root that is no mount's: a file without a name in any folder, such as a memfd. */
	up = BPF_CORE_READ(dentry, d_parent);
	w->whole = up == dentry;
	w->dentry = up;
	return w->whole;
}

/* Write the names of @file's path at @off; returns the offset behind them. */
static __always_inline __u32 file_path(struct proc_slot *s, struct file *file, __u32 off,
				       bool *ret_whole)
{
	struct walk w = { .slot = s, .start = off, .off = off };
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);

	w.dentry = BPF_CORE_READ(file, f_path.dentry);
	w.mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	if (mnt && w.dentry)
		bpf_loop(PROCESS_PATH_NAMES, walk_step, &w, 0);
	*ret_whole = w.whole;
	return w.off;
}

/*
 * Write the executable of the task at @address at @off; returns the offset behind it. Nothing, if
 * the task ended or did an exec in the meantime: what was read may be rubbish. A global function,
 * so that it is verified once, not in each state of its callers.
 */
__noinline __u32 task_exe(struct proc_slot *s, __u64 address, __u32 off, bool *ret_whole)
{
	struct task_struct *task = (struct task_struct *)address;
	struct mm_struct *mm;
	struct file *file;
	__u32 end;

	if (!s || !ret_whole)
		return 0;
	mm = BPF_CORE_READ(task, mm);
	file = BPF_CORE_READ(mm, exe_file);
	*ret_whole = true;
	if (!mm || !file)
		return off;
	end = file_path(s, file, off, ret_whole);
	if (BPF_CORE_READ(task, mm) == mm && BPF_CORE_READ(mm, exe_file) == file)
		return end;
	return off;
}

/* --- the record of a process --- */

static __always_inline __u32 task_pid_in_namespace(struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid upid = { 0 };

	bpf_core_read(&upid,
		      bpf_core_type_size(struct upid) < sizeof(upid) ? sizeof(int) : sizeof(upid),
		      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			      level * bpf_core_type_size(struct upid));
	return (__u32)upid.nr;
}

static __always_inline void task_parent(struct task_struct *leader, struct owner *ret_owner,
					struct task_struct **ret)
{
	struct task_struct *parent = BPF_CORE_READ(leader, real_parent, group_leader);

	ret_owner->tgid = BPF_CORE_READ(parent, tgid);
	ret_owner->start_ns = ret_owner->tgid ? BPF_CORE_READ(parent, start_boottime) : 0;
	ret_owner->exec_id = ret_owner->tgid ? (__u32)BPF_CORE_READ(parent, self_exec_id) : 0;
	*ret = parent;
}

/* Copy the arguments to @off; returns the offset behind them. */
static __always_inline __u32 task_args(struct proc_slot *s, struct task_struct *task, __u32 off)
{
	struct rec_process *r = &s->process.rec;
	__u64 start = BPF_CORE_READ(task, mm, arg_start);
	__u64 end = BPF_CORE_READ(task, mm, arg_end);
	__u32 n;

	r->args_total = 0;
	r->flags |= PROCESS_NO_ARGS;
	if (!process_take_args || !start || end <= start || off > DATA_MAX - PROCESS_ARGS_MAX)
		return off;
	n = end - start > PROCESS_ARGS_MAX ? PROCESS_ARGS_MAX : (__u32)(end - start);
	if (n > PROCESS_ARGS_MAX || bpf_probe_read_user(s->process.data + off, n, (void *)start))
		return off;
	r->args_total = end - start > 0xffffffff ? 0xffffffff : (__u32)(end - start);
	r->flags &= ~PROCESS_NO_ARGS;
	return off + n;
}

static __always_inline __u32 process_fill_data(struct proc_slot *s, struct task_struct *task,
					       struct task_struct *parent)
{
	struct rec_process *r = &s->process.rec;
	__u32 exe, parent_exe, args;
	bool whole = true;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &task); /* as a number, not a pointer */
	exe = task_exe(s, address, 0, &whole);
	if (!whole)
		r->flags |= PROCESS_EXE_CUT;
	parent_exe = r->parent.tgid ? task_exe(s, (__u64)parent, exe, &whole) : exe;
	if (!whole && r->parent.tgid)
		r->flags |= PROCESS_PARENT_EXE_CUT;
	args = task_args(s, task, parent_exe);
	r->exe_len = exe;
	r->parent_exe_len = parent_exe - exe;
	r->args_len = args - parent_exe;
	return args;
}

/* Returns the size of the record. */
static __always_inline __u32 process_fill(struct proc_slot *s, const struct owner *o)
{
	struct task_struct *task = task_current(), *leader = task->group_leader, *parent;
	struct rec_process *r = &s->process.rec;

	r->owner = *o;
	task_parent(leader, &r->parent, &parent);
	r->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	r->uid = BPF_CORE_READ(task, cred, euid.val);
	r->pid_in_namespace = task_pid_in_namespace(leader);
	BPF_CORE_READ_STR_INTO(&r->comm, leader, comm);
	r->flags = 0;
	r->reserved = 0;
	if (!task_is_kernel_thread())
		return sizeof(*r) + process_fill_data(s, task, parent);
	r->flags = PROCESS_KERNEL_THREAD | PROCESS_NO_ARGS;
	r->exe_len = r->parent_exe_len = r->args_len = 0;
	r->args_total = 0;
	return sizeof(*r);
}

/*
 * A function of its own, verified once in each program that calls it. Arguments and paths are
 * read here and now, as the process may be gone before user space looks; processes that never
 * touch a socket never come here.
 */
__noinline int process_announce_current(void)
{
	struct owner o = { 0 }, *last;
	struct proc_slot *s;
	__u32 zero = 0, size;
	__u8 yes = 1;
	long err;

	last = bpf_map_lookup_elem(&proc_last, &zero);
	if (!owner_current(&o) || !last || owner_equal(last, &o))
		return 0;
	if (bpf_map_lookup_elem(&proc_announced, &o)) {
		*last = o;
		return 0;
	}
	s = slot_take();
	if (!s) {
		count_lost(LOST_PROCESS);
		return -EBUSY;
	}
	size = process_fill(s, &o);
	if (size > sizeof(s->process))
		size = sizeof(s->process);
	err = emit_output(&s->process.rec.hdr, REC_PROCESS, size, LOST_PROCESS);
	slot_give(s);
	if (!err)
		bpf_map_update_elem(&proc_announced, &o, &yes, BPF_ANY);
	return err;
}

/* --- cgroups --- */

static __always_inline int cgroup_event(struct cgroup *cgrp, const char *path, __u16 happened)
{
	struct rec_cgroup *r;
	struct proc_slot *s;
	long n;

	if (cgrp->root->hierarchy_id !=
	    0) /* the cgroup2 hierarchy is 0, those of version 1 are not */
		return 0;
	s = slot_take();
	if (!s) {
		count_lost(LOST_PROCESS);
		return 0;
	}
	r = &s->cgroup.rec;
	r->id = cgrp->kn->id;
	r->happened = happened;
	r->reserved = 0;
	n = bpf_probe_read_kernel_str(s->cgroup.path, sizeof(s->cgroup.path), path);
	n = n > 0 && n < CGROUP_PATH_MAX ? n - 1 : 0;
	r->path_len = n;
	emit_output(&r->hdr, REC_CGROUP, sizeof(*r) + n, LOST_PROCESS);
	slot_give(s);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup *cgrp, const char *path)
{
	return cgroup_event(cgrp, path, CGROUP_MADE);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_removed, struct cgroup *cgrp, const char *path)
{
	return cgroup_event(cgrp, path, CGROUP_REMOVED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
