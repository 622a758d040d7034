// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "discover/sockets.h"

/* Every descriptor of every process of the reader's pid namespace: all namespaces' sockets. */

enum { FAMILY_INET = 2, FAMILY_INET6 = 10 };
enum { STATE_LISTEN = 10 };

static __always_inline void read_address(struct rec_socket *r, struct sock *sk)
{
	if (r->family == FAMILY_INET) {
		__builtin_memcpy(r->local, &sk->__sk_common.skc_rcv_saddr, 4);
		__builtin_memcpy(r->peer, &sk->__sk_common.skc_daddr, 4);
		return;
	}
	if (!bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		return;
	BPF_CORE_READ_INTO(&r->local, sk, __sk_common.skc_v6_rcv_saddr);
	BPF_CORE_READ_INTO(&r->peer, sk, __sk_common.skc_v6_daddr);
	if (BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only))
		r->flags |= REC_SOCKET_V6ONLY;
}

static __always_inline __u32 unless_negative(__s32 n)
{
	return n > 0 ? n : 0;
}

static __always_inline void read_tcp_queues(struct rec_socket *r, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	if (r->state == STATE_LISTEN) {
		r->rx_queue = sk->sk_ack_backlog;
		r->tx_queue = sk->sk_max_ack_backlog;
		return;
	}
	r->rx_queue = unless_negative(BPF_CORE_READ(tp, rcv_nxt) - BPF_CORE_READ(tp, copied_seq));
	r->tx_queue = unless_negative(BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_una));
}

/* sk_wmem_alloc holds one for the socket's own life; UDP returns the room of what was read late. */
static __always_inline void read_queues(struct rec_socket *r, struct sock *sk)
{
	__s32 rx, tx;

	if (r->protocol == IPPROTO_TCP && r->type == SOCK_STREAM) {
		read_tcp_queues(r, sk);
		return;
	}
	rx = sk->sk_backlog.rmem_alloc.counter;
	tx = sk->sk_wmem_alloc.refs.counter - 1;
	if (r->protocol == IPPROTO_UDP && r->type == SOCK_DGRAM)
		rx -= BPF_CORE_READ((struct udp_sock *)sk, forward_deficit);
	r->rx_queue = unless_negative(rx);
	r->tx_queue = unless_negative(tx);
}

static __always_inline void read_socket(struct rec_socket *r, struct sock *sk)
{
	r->netns_cookie = sk->__sk_common.skc_net.net->net_cookie;
	r->netns_inode = sk->__sk_common.skc_net.net->ns.inum;
	r->uid = sk->sk_uid.val;
	r->ifindex = sk->__sk_common.skc_bound_dev_if;
	r->type = sk->sk_type;
	r->protocol = sk->sk_protocol;
	r->local_port = sk->__sk_common.skc_num;
	r->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
	r->state = sk->__sk_common.skc_state;
	read_address(r, sk);
	read_queues(r, sk);
}

static __always_inline void read_owner(struct owner *o, struct task_struct *task)
{
	o->start_ns = task->group_leader->start_boottime;
	o->tgid = task->tgid;
	o->exec_id = task->self_exec_id;
}

SEC("iter/task_file")
int sockets_walk(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct rec_socket r = {};
	struct socket *sock;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk)
		return 0;
	r.family = sk->__sk_common.skc_family;
	if (r.family != FAMILY_INET && r.family != FAMILY_INET6)
		return 0;
	r.cookie = bpf_get_socket_cookie(sk);
	r.fd = ctx->fd;
	read_socket(&r, sk);
	read_owner(&r.owner, task);
	/* A full buffer makes the kernel come back with this descriptor at the next read. */
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
