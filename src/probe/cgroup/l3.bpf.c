// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Packets and bytes of all protocols by cgroup and namespace, where IP and socket meet: also TCP,
 * all of ICMP, and raw sockets. Runs for every packet of every socket.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "probe/lib/layer.bpf.h"

enum { L3_PASS = 1, TCP_LENGTH_AT = 12 };

static __always_inline int l3_packet(struct __sk_buff *ctx, __u8 direction)
{
	struct layer_key key = { .layer = LAYER_L3, .direction = direction };
	struct layer_packet p = { .length = ctx->len, .segments = ctx->gso_segs };
	/* That is what it is; as an address it can be read on every kernel. */
	const struct sk_buff *skb = (const struct sk_buff *)ctx;

	if (bpf_skb_load_bytes(ctx, 0, p.ip, sizeof(p.ip)))
		return L3_PASS;
	key.netns_cookie = BPF_CORE_READ(skb, dev, nd_net.net, net_cookie);
	key.place = bpf_skb_cgroup_id(ctx);
	key.class = layer_class(ctx->protocol, p.ip);
	if (key.class == LAYER_TCP)
		bpf_skb_load_bytes(ctx, layer_ip_length(p.ip) + TCP_LENGTH_AT, &p.tcp_words, 1);
	layer_count(&key, &p);
	return L3_PASS;
}

SEC("cgroup_skb/egress")
int l3_egress(struct __sk_buff *ctx)
{
	return l3_packet(ctx, LAYER_TX);
}

SEC("cgroup_skb/ingress")
int l3_ingress(struct __sk_buff *ctx)
{
	return l3_packet(ctx, LAYER_RX);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
