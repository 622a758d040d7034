// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "discover/walk.h"

/*
 * Every network namespace of the kernel, and who holds it. Nothing here is attached to a device;
 * only netns_birth is attached at all, and only while somebody keeps a registry.
 */

enum {
	MAX_ANCESTORS = 1 << 16, /* deeper process trees than anybody has */
	MAX_NETNS = 1 << 22,
	NSFS_FS_MAGIC = 0x6e736673,
	NEWNET = 0x40000000, /* CLONE_NEWNET */
};

/* What only some kernels have: 6.18 and later; 6.17 and before. */
struct ns_common___new {
	__u32 ns_type;
	refcount_t __ns_ref;
	__u64 ns_id;
} __attribute__((preserve_access_index));

struct ns_common___old {
	refcount_t count;
} __attribute__((preserve_access_index));

struct proc_ns_operations___old {
	int type;
} __attribute__((preserve_access_index));

struct netns_rows {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct netns_row));
};

/* One array, that user space puts here: as large as the list was last time, and more. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct netns_rows);
} netns_out SEC(".maps");

/* --- the list of namespaces --- */

static long climb(__u32 i, struct task_struct **task)
{
	if (!BPF_CORE_READ(*task, pid))
		return 1;
	*task = BPF_CORE_READ(*task, real_parent);
	return 0;
}

/*
 * The idle task, every process's ancestor, lives in the initial namespaces, wherever the caller
 * lives.
 */
static struct net *initial_netns(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	bpf_loop(MAX_ANCESTORS, climb, &task, 0);
	if (BPF_CORE_READ(task, pid))
		return NULL;
	return BPF_CORE_READ(task, nsproxy, net_ns);
}

static __always_inline __u32 is_dying(struct net *net)
{
	struct ns_common___old *old = (void *)net + bpf_core_field_offset(struct net, ns);
	struct ns_common___new *new = (void *)old;

	if (bpf_core_field_exists(new->__ns_ref))
		return !BPF_CORE_READ(new, __ns_ref.refs.counter);
	if (bpf_core_field_exists(old->count))
		return !BPF_CORE_READ(old, count.refs.counter);
	return 0;
}

struct visit {
	struct list_head *head, *at;
};

static long visit_netns(__u32 i, struct visit *v)
{
	struct list_head *at = v->at;
	struct ns_common___new *ns;
	struct netns_row *row;
	struct net *net;
	__u32 zero = 0;
	void *rows;

	if (at == v->head || !at)
		return 1;
	net = (void *)at - bpf_core_field_offset(struct net, list);
	v->at = BPF_CORE_READ(at, next);
	rows = bpf_map_lookup_elem(&netns_out, &zero);
	if (!rows)
		return 1;
	row = bpf_map_lookup_elem(rows, &i);
	if (!row)
		return 0; /* go on: the count says how much room is needed */
	row->cookie = BPF_CORE_READ(net, net_cookie);
	row->ns_id = 0;
	ns = (void *)net + bpf_core_field_offset(struct net, ns);
	if (bpf_core_field_exists(ns->ns_id))
		row->ns_id = BPF_CORE_READ(ns, ns_id);
	row->inode = BPF_CORE_READ(net, ns.inum);
	row->dying = is_dying(net);
	return 0;
}

/*
 * Returns how many there are, 0 if the list is not found. The initial namespace is the first of
 * the list, so what precedes it is the list's head. A raw tracepoint program that is only ever run
 * by hand: such a run holds rcu_read_lock() on every kernel, so nothing on the list is freed under
 * it.
 */
SEC("raw_tp")
int netns_walk(void *ctx)
{
	struct net *net = initial_netns();
	struct visit v;
	long n;

	if (!net)
		return 0;
	v.at = (void *)net + bpf_core_field_offset(struct net, list);
	v.head = BPF_CORE_READ(net, list.prev);
	n = bpf_loop(MAX_NETNS, visit_netns, &v, 0);
	return n > 0 ? n - 1 : 0; /* the last call was the one that met the head */
}

/* --- who lives where --- */

static __always_inline __u64 mix(__u64 a)
{
	a *= 0x9e3779b97f4a7c15ULL;
	return a ^ (a >> 29);
}

/* Tells roots apart without giving the kernel's addresses away. */
static __always_inline __u64 root_id(struct task_struct *task)
{
	__u64 mnt = (__u64)BPF_CORE_READ(task, fs, root.mnt);

	return mix(mix(mnt) + (__u64)BPF_CORE_READ(task, fs, root.dentry));
}

SEC("iter/task")
int netns_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_row row = {};
	struct nsproxy *ns;

	if (!task)
		return 0;
	ns = task->nsproxy;
	if (!ns)
		return 0;
	row.pid = task->pid;
	row.tgid = task->tgid;
	if (row.pid != row.tgid && BPF_CORE_READ(task, group_leader, nsproxy) == ns)
		return 0;
	row.netns_cookie = BPF_CORE_READ(ns, net_ns, net_cookie);
	row.cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	row.mnt_inode = BPF_CORE_READ(ns, mnt_ns, ns.inum);
	row.root_id = root_id(task);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

/* --- who holds what --- */

/* What was written last: a process with many sockets has them in one namespace, as a rule. */
static struct held_row held_last;

static __always_inline bool is_net(struct ns_common *ns)
{
	struct ns_common___new *new = (void *)ns;
	struct proc_ns_operations___old *ops;

	if (bpf_core_field_exists(new->ns_type))
		return BPF_CORE_READ(new, ns_type) == NEWNET;
	ops = (void *)BPF_CORE_READ(ns, ops);
	return BPF_CORE_READ(ops, type) == NEWNET;
}

static __always_inline struct net *net_of_file(struct file *file, __u32 *kind)
{
	struct socket *sock = bpf_sock_from_file(file);
	struct ns_common *ns;

	if (sock) {
		*kind = HELD_SOCKET;
		return BPF_CORE_READ(sock, sk, __sk_common.skc_net.net);
	}
	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != NSFS_FS_MAGIC)
		return NULL;
	ns = BPF_CORE_READ(file, f_inode, i_private);
	if (!ns || !is_net(ns))
		return NULL;
	*kind = HELD_DESCRIPTOR;
	return (void *)ns - bpf_core_field_offset(struct net, ns);
}

SEC("iter/task_file")
int netns_holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct held_row row = {};
	struct net *net;

	if (!ctx->meta->seq_num)
		held_last.tgid = 0;
	if (!task || !file)
		return 0;
	net = net_of_file(file, &row.kind);
	if (!net)
		return 0;
	row.netns_cookie = BPF_CORE_READ(net, net_cookie);
	row.tgid = task->tgid;
	row.fd = ctx->fd;
	if (row.tgid == held_last.tgid && row.kind == held_last.kind &&
	    row.netns_cookie == held_last.netns_cookie)
		return 0;
	/* A full buffer makes the kernel come back with this descriptor at the next read. */
	if (!bpf_seq_write(ctx->meta->seq, &row, sizeof(row)))
		held_last = row;
	return 0;
}

/* --- births --- */

/* Births that found no room in the ring; the reader is awake anyway. */
__u64 births_unsaid = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} births SEC(".maps");

/*
 * Every new namespace gets per-CPU memory for its TCP statistics. Another allocation of exactly
 * that size makes the reader look in vain.
 */
SEC("raw_tp/percpu_alloc_percpu")
int netns_birth(struct bpf_raw_tracepoint_args *ctx)
{
	struct birth_row *row;

	if (ctx->args[3] != bpf_core_type_size(struct linux_mib))
		return 0;
	row = bpf_ringbuf_reserve(&births, sizeof(*row), 0);
	if (!row) {
		__sync_fetch_and_add(&births_unsaid, 1);
		return 0;
	}
	row->ts_ns = bpf_ktime_get_ns();
	bpf_ringbuf_submit(row, BPF_RB_FORCE_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
