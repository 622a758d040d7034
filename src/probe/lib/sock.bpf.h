/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_SOCK_BPF_H
#define NSLENS_PROBE_LIB_SOCK_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { AF_INET = 2, AF_INET6 = 10 };

/* IPv4 or IPv6? */
static __always_inline bool sock_is_inet(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return family == AF_INET || family == AF_INET6;
}

/* Both addresses, each 16 bytes as in the records. */
static __always_inline void sock_addrs(const struct sock *sk, __u8 *laddr, __u8 *raddr)
{
	if (sk->__sk_common.skc_family == AF_INET) {
		__builtin_memset(laddr, 0, 16);
		__builtin_memset(raddr, 0, 16);
		*(__be32 *)laddr = sk->__sk_common.skc_rcv_saddr;
		*(__be32 *)raddr = sk->__sk_common.skc_daddr;
		return;
	}
	__builtin_memcpy(laddr, &sk->__sk_common.skc_v6_rcv_saddr, 16);
	__builtin_memcpy(raddr, &sk->__sk_common.skc_v6_daddr, 16);
}

/* Its cookie, which it is given if it has none. */
static __always_inline __u64 sock_cookie(const struct sock *sk)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;

	return cookie ?: bpf_get_socket_cookie((void *)sk);
}

/* Local port in host order; skc_num is 0 once the state is CLOSE, inet_sport stays. */
static __always_inline __u16 sock_lport(const struct sock *sk)
{
	return bpf_ntohs(((const struct inet_sock *)sk)->inet_sport);
}

#endif
