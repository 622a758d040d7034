/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_CONNTRACK_BPF_H
#define NSLENS_PROBE_LIB_CONNTRACK_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "probe/lib/compat.bpf.h"

/*
 * What an outgoing packet was before its own namespace translated its addresses: cgroup egress
 * comes behind netfilter. Connection tracking hangs on the packet still, so this asks nobody. Its
 * types may be those of a module: where that isn't loaded yet when the probes are, packets are
 * taken as they are.
 */

/* struct nf_conntrack_tuple, from the sender's view; the same since Linux 2.6.24. */
struct conntrack_tuple {
	__u8 saddr[16];
	__be16 sport;
	__u16 l3num;
	__u8 daddr[16];
	__be16 dport;
	__u8 protonum, dir;
};

struct nf_conntrack_tuple___net {
	__u8 any;
};

struct nf_conntrack_tuple_hash___net {
	struct nf_conntrack_tuple___net tuple;
} __attribute__((preserve_access_index));

struct nf_conn___net {
	struct nf_conntrack_tuple_hash___net tuplehash[2];
	unsigned long status;
} __attribute__((preserve_access_index));

struct sk_buff___ct {
	unsigned long _nfct;
} __attribute__((preserve_access_index));

/* The packet's entry, with its direction and state in the low bits; 0: none, or not to be seen. */
static __always_inline unsigned long conntrack_of(struct __sk_buff *ctx)
{
	struct sk_buff___ct *skb = (struct sk_buff___ct *)ctx;

	if (!bpf_core_type_exists(struct nf_conn___net) ||
	    !bpf_core_field_exists(struct sk_buff___ct, _nfct))
		return 0;
	if (!bpf_ksym_exists(bpf_cast_to_kern_ctx))
		return BPF_CORE_READ(skb, _nfct);
	skb = bpf_cast_to_kern_ctx(ctx);
	return skb->_nfct;
}

/* False: nothing was translated, or it isn't known. */
static __always_inline bool conntrack_as_sent(struct __sk_buff *ctx, struct conntrack_tuple *ret)
{
	enum { INFO_MASK = 7, FIRST_REPLY = 3, SRC_OR_DST_NAT = 1 << 4 | 1 << 5 };
	unsigned long nfct = conntrack_of(ctx), status = 0;
	const void *ct = (const void *)(nfct & ~(unsigned long)INFO_MASK);
	__u32 offset;

	if (!ct)
		return false;
	bpf_probe_read_kernel(&status, sizeof(status),
			      ct + bpf_core_field_offset(struct nf_conn___net, status));
	if (!(status & SRC_OR_DST_NAT))
		return false;
	offset = bpf_core_field_offset(struct nf_conn___net, tuplehash) +
		 bpf_core_field_offset(struct nf_conntrack_tuple_hash___net, tuple);
	if ((nfct & INFO_MASK) >= FIRST_REPLY)
		offset += bpf_core_type_size(struct nf_conntrack_tuple_hash___net);
	return !bpf_probe_read_kernel(ret, sizeof(*ret), ct + offset);
}

_Static_assert(sizeof(struct conntrack_tuple) == 40, "nf_conntrack_tuple");

#endif
