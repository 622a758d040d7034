// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The witness: packets and bytes of every device of every namespace, by two tracepoints of the
 * host: behind the queue discipline on the way out, before any hook on the way in. It only looks.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probe/lib/layer.bpf.h"

enum { TCP_LENGTH_AT = 12 };

static __always_inline __u32 device_segments(const struct sk_buff *skb)
{
	struct skb_shared_info *info = (struct skb_shared_info *)(skb->head + skb->end);

	return BPF_CORE_READ(info, gso_segs);
}

/* @network: where the network header is, from skb->head on. */
static __always_inline int device_packet(const struct sk_buff *skb, const struct net_device *dev,
					 __u32 network, struct layer_packet *p, __u8 direction)
{
	struct layer_key key = { .layer = LAYER_DEVICE, .direction = direction };
	const unsigned char *ip = skb->head + network;

	bpf_probe_read_kernel(p->ip, sizeof(p->ip), ip);
	p->segments = device_segments(skb);
	key.netns_cookie = dev->nd_net.net->net_cookie;
	key.place = dev->ifindex;
	key.class = layer_class(skb->protocol, p->ip);
	if (key.class == LAYER_TCP && p->segments > 1)
		bpf_probe_read_kernel(&p->tcp_words, 1,
				      ip + layer_ip_length(p->ip) + TCP_LENGTH_AT);
	layer_count(&key, p);
	return 0;
}

/* Here the packet begins with its L2 header. */
SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(device_tx, const struct sk_buff *skb, const struct net_device *dev)
{
	__u32 data = (__u64)skb->data - (__u64)skb->head;
	struct layer_packet p = { .length = skb->len };

	if (skb->network_header > data)
		p.l2_length = skb->network_header - data;
	return device_packet(skb, dev, skb->network_header, &p, LAYER_TX);
}

/* Here it begins behind it, and nothing but mac_header is set yet. */
SEC("tp_btf/netif_receive_skb")
int BPF_PROG(device_rx, struct sk_buff *skb)
{
	__u32 data = (__u64)skb->data - (__u64)skb->head;
	struct layer_packet p = { .length = skb->len };

	if (data > skb->mac_header)
		p.l2_length = data - skb->mac_header;
	p.length += p.l2_length;
	return device_packet(skb, skb->dev, data, &p, LAYER_RX);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
