// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who uses a socket: every send and receive call, always in the caller's own context. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probe/lib/sock.bpf.h"
#include "probe/lib/used.bpf.h"

struct mptcp_sock___first {
	struct sock *first;
} __attribute__((preserve_access_index));

/* An MPTCP socket carries nothing itself: the cookie of its first TCP subflow, 0 if it has none. */
static __always_inline __u64 mptcp_subflow(struct sock *sk)
{
	struct sock *first;

	if (!bpf_core_field_exists(struct mptcp_sock___first, first))
		return 0;
	first = BPF_CORE_READ((struct mptcp_sock___first *)sk, first);
	return first ? BPF_CORE_READ(first, __sk_common.skc_cookie.counter) : 0;
}

static __always_inline void tcp_socket_used(struct sock *sk)
{
	__u64 address = 0;

	if (!tcp_on || !tcp_used(sock_cookie(sk)))
		return;
	bpf_probe_read_kernel(&address, sizeof(address), &sk); /* as a number, not a pointer */
	tcp_found(address);
}

/* Returns 0, which the verifier wants to see of programs at functions. */
static __always_inline int socket_used(struct sock *sk, int ret)
{
	if (ret < 0 || !sock_is_inet(sk))
		return 0;
	switch (sk->sk_protocol) {
	case IPPROTO_TCP: tcp_socket_used(sk); break;
	case IPPROTO_MPTCP:
		if (tcp_on)
			tcp_used(mptcp_subflow(sk));
		break;
	default: dgram_used(sock_cookie(sk));
	}
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(io_send, struct sock *sk, int ret)
{
	return socket_used(sk, ret);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(io_recv, struct sock *sk, int ret)
{
	return socket_used(sk, ret);
}

/*
 * Before 6e6eda44b939 (6.3) there are no such tracepoints: the functions that all sends and
 * receives of these families go through. Without sendpage, sendfile() would be missing.
 */
SEC("?fexit/inet_sendmsg")
int BPF_PROG(io_sent4, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
	return socket_used(sock->sk, ret);
}

SEC("?fexit/inet6_sendmsg")
int BPF_PROG(io_sent6, struct socket *sock, struct msghdr *msg, size_t size, int ret)
{
	return socket_used(sock->sk, ret);
}

SEC("?fexit/inet_sendpage")
int BPF_PROG(io_sent_page, struct socket *sock, struct page *page, int offset, size_t size,
	     int flags, long ret)
{
	return socket_used(sock->sk, ret < 0 ? -1 : 0);
}

SEC("?fexit/inet_recvmsg")
int BPF_PROG(io_received4, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
	return socket_used(sock->sk, ret);
}

SEC("?fexit/inet6_recvmsg")
int BPF_PROG(io_received6, struct socket *sock, struct msghdr *msg, size_t size, int flags, int ret)
{
	return socket_used(sock->sk, ret);
}
