// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sockets that are older than the probes: one pass over all descriptors of all processes, run once
 * after attaching.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "probe/lib/sock.bpf.h"
#include "probe/lib/used.bpf.h"

static __always_inline void owner_of(struct task_struct *task, struct owner *o)
{
	o->start_ns = task->group_leader->start_boottime;
	o->tgid = task->tgid;
	o->exec_id = (__u32)task->self_exec_id;
}

SEC("iter/task_file")
int adopt_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct owner who;
	struct sock *sk;
	__u64 address;

	/* Of a process's threads the iterator shows those that have a table of their own. */
	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !sock_is_inet(sk))
		return 0;
	owner_of(task, &who);
	if (sk->sk_protocol == IPPROTO_TCP ? !tcp_on : !dgram_on)
		return 0;
	if (sk->sk_protocol == IPPROTO_TCP) {
		bpf_get_socket_cookie(sk);		    /* gives it one if it has none */
		address = (__u64)BPF_CORE_READ(socket, sk); /* as a number, not a pointer */
		tcp_adopt(address, &who);
	} else {
		dgram_adopt(bpf_get_socket_cookie(sk), &who);
	}
	return 0;
}
