/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_LAYER_BPF_H
#define NSLENS_PROBE_LIB_LAYER_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi/layer.h"
#include "probe/lib/emit.bpf.h"
#include "probe/lib/maps.bpf.h"
#include "probe/lib/parse.bpf.h"

/* What counting by layer needs of a packet; filled by who reaches it. */
struct layer_packet {
	__u32 length;	 /* of the skb, from the layer's header on */
	__u32 l2_length; /* of that, before the network header */
	__u32 segments;	 /* 0 or 1: it is one packet */
	__u8 ip[10];	 /* the begin of the network header */
	__u8 tcp_words;	 /* byte 12 of the TCP header: its length in words, times 16 */
};

enum { LAYER_UDP_LEN = 8 };

/* What an IP packet is, by its protocol (IPv6: next header). */
static __always_inline __u8 layer_class_of(__u8 proto)
{
	switch (proto) {
	case PARSE_TCP: return LAYER_TCP;
	case PARSE_UDP: return LAYER_UDP;
	case PARSE_ICMP:
	case PARSE_ICMP6: return LAYER_ICMP;
	}
	return LAYER_OTHER_IP;
}

/* What the packet is, by its ethertype (network order) and the begin of its IP header. */
static __always_inline __u8 layer_class(__u16 ethertype, const __u8 ip[10])
{
	if (ethertype == bpf_htons(0x0800))
		return layer_class_of(ip[9]);
	if (ethertype == bpf_htons(0x86dd))
		return layer_class_of(ip[6]);
	return LAYER_NOT_IP;
}

/* Of the header that ip[] begins, for TCP and UDP: IPv6 has no extension headers then. */
static __always_inline __u32 layer_ip_length(const __u8 ip[10])
{
	return ip[0] >> 4 == 4 ? (ip[0] & 0xf) * 4 : PARSE_IP6_LEN;
}

/* The length of all its headers; 0: it is neither TCP nor UDP. */
static __always_inline __u32 layer_headers(__u8 class, const struct layer_packet *p)
{
	__u32 length = p->l2_length + layer_ip_length(p->ip);

	if (class == LAYER_TCP)
		return length + (p->tcp_words >> 4) * 4;
	return class == LAYER_UDP ? length + LAYER_UDP_LEN : 0;
}

/* Its counts, made if there are none; NULL: no room, which is counted. */
static __always_inline struct layer_counts *layer_counts_of(const struct layer_key *key)
{
	static const struct layer_counts zero;
	struct layer_counts *n = bpf_map_lookup_elem(&layers, key);

	if (n)
		return n;
	bpf_map_update_elem(&layers, key, &zero, BPF_NOEXIST);
	n = bpf_map_lookup_elem(&layers, key);
	if (!n)
		count_lost(LOST_LAYER_MAP_FULL);
	return n;
}

/*
 * Count a packet. The counts are this CPU's, and all programs here run where no soft interrupt can
 * come between.
 */
static __always_inline void layer_count(const struct layer_key *key, const struct layer_packet *p)
{
	struct layer_counts *n = layer_counts_of(key);
	__u32 segments = p->segments > 1 ? p->segments : 1;
	__u32 headers = layer_headers(key->class, p);
	__u32 payload = headers && p->length > headers ? p->length - headers : 0;

	if (!n)
		return;
	n->skbs++;
	n->packets += segments;
	n->skb_bytes += p->length;
	n->bytes += p->length + (__u64)(segments - 1) * headers;
	if (key->layer != LAYER_L3)
		return;
	n->payload_bytes += payload;
	if (key->class == LAYER_TCP && !payload)
		n->empty_packets++;
}

#endif
