/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_COMPAT_BPF_H
#define NSLENS_PROBE_LIB_COMPAT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "probe/lib/maps.bpf.h"

/*
 * What kernels from 6.1 on do differently, each with the commit that made it so. The verifier drops
 * the branch that isn't the running kernel's, so newer kernels pay nothing for older ones. Which
 * programs are loaded at all is decided in user space: probe/hooks.c.
 */

/*
 * A kfunc's name in this object: libbpf ignores what stands behind "___", and its linker refuses a
 * kfunc that two objects name alike. The Makefile says BPF_OBJECT.
 */
#define kfunc_here_named(name, object) name##___##object
#define kfunc_here_of(name, object) kfunc_here_named(name, object)
#define kfunc_here(name) kfunc_here_of(name, BPF_OBJECT)

/* a35b9af4ec2c (6.2) "bpf: Add a kfunc for generic type cast" */
extern void *kfunc_here(bpf_rdonly_cast)(const void *obj, __u32 btf_id) __weak __ksym;
#define CAN_READ_IN_PLACE bpf_ksym_exists(kfunc_here(bpf_rdonly_cast))
#define read_in_place(p, type) \
	((type *)kfunc_here(bpf_rdonly_cast)((void *)(p), bpf_core_type_id_kernel(type)))

/*
 * The kernel's object @p, of @type, as one that is only read. The same pointer, at no cost; but of
 * one that could be handed to the kernel, 6.3 and later look up each pointer read from it by name
 * among all types of the kernel, which was a third of the verifier's time.
 */
#define for_reading(p, type) (CAN_READ_IN_PLACE ? read_in_place(p, type) : (type *)(p))

/* fd264ca02094 (6.2) "bpf: Add a kfunc to type cast from bpf uapi ctx to kernel ctx" */
extern void *kfunc_here(bpf_cast_to_kern_ctx)(void *obj) __weak __ksym;
#define CAN_SEE_CONTEXT bpf_ksym_exists(kfunc_here(bpf_cast_to_kern_ctx))

/* The device that a packet is at, for place_read(); or NULL. */
static __always_inline struct net_device *place_device(struct __sk_buff *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx;

	/* That is what it is; before 6.2 the verifier doesn't let it be seen but as an address. */
	if (!CAN_SEE_CONTEXT)
		return BPF_CORE_READ(skb, dev);
	skb = for_reading(kfunc_here(bpf_cast_to_kern_ctx)(ctx), struct sk_buff);
	return skb->dev;
}

/* place_read(dev->a->b, dev, a, b): a member of that device. */
#define place_read(direct, ...) (CAN_SEE_CONTEXT ? (direct) : BPF_CORE_READ(__VA_ARGS__))

/*
 * The TCP socket at an address that was kept as a number, for reading: what is there may be another
 * one by now. Pointers in a copy are but numbers: see sock_netns(). NULL: it can't be read.
 */
static __always_inline struct tcp_sock *tcp_sock_at(__u64 address)
{
	__u32 zero = 0;
	void *copy;

	if (CAN_READ_IN_PLACE)
		return read_in_place(address, struct tcp_sock);
	copy = bpf_map_lookup_elem(&tcp_sock_room, &zero);
	if (!copy || bpf_core_type_size(struct tcp_sock) > TCP_SOCK_ROOM ||
	    bpf_probe_read_kernel(copy, bpf_core_type_size(struct tcp_sock), (void *)address))
		return NULL;
	return copy;
}

/* A member of a socket at an address that the verifier knows nothing of. */
#define sock_read(sk, member)                                       \
	(CAN_READ_IN_PLACE ? read_in_place(sk, struct sock)->member \
			   : BPF_CORE_READ((struct sock *)(sk), member))

/* The device of a socket's route, its name to be read by address; or NULL, and the ifindex 0. */
static __always_inline struct net_device *sock_device(const struct sock *sk, __u32 *ret_ifindex)
{
	struct dst_entry *dst = for_reading(sk, struct sock)->sk_dst_cache;
	struct net_device *dev = NULL;

	if (dst)
		dev = CAN_READ_IN_PLACE ? dst->dev : BPF_CORE_READ(dst, dev);
	*ret_ifindex = 0;
	if (dev)
		*ret_ifindex = CAN_READ_IN_PLACE ? dev->ifindex : BPF_CORE_READ(dev, ifindex);
	return dev;
}

/* The namespace of a socket; @kept: of one that tcp_sock_at() gave. */
static __always_inline void sock_netns(const struct sock *sk, bool kept, __u64 *ret_cookie,
				       __u32 *ret_inode)
{
	if (kept && !CAN_READ_IN_PLACE) {
		*ret_cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
		*ret_inode = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	} else {
		sk = for_reading(sk, struct sock);
		*ret_cookie = sk->__sk_common.skc_net.net->net_cookie;
		*ret_inode = sk->__sk_common.skc_net.net->ns.inum;
	}
}

#endif
