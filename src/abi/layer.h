/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_LAYER_H
#define NSLENS_ABI_LAYER_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

/* Packets and bytes by layer: what adds up over them is in doc/layers.md. */

enum layer {
	LAYER_SOCKET = 0, /* user space's own: what the sockets' records say */
	LAYER_L3 = 1,	  /* place: the cgroup's id */
	LAYER_DEVICE = 2, /* place: the device's ifindex */
	N_LAYERS
};

enum layer_class {
	LAYER_TCP = 0,
	LAYER_UDP = 1,
	LAYER_ICMP = 2,	    /* and ICMPv6 */
	LAYER_OTHER_IP = 3, /* also IPv6 with extension headers */
	LAYER_NOT_IP = 4,   /* ARP, ... */
	N_LAYER_CLASSES
};

enum layer_direction { LAYER_TX = 0, LAYER_RX = 1, N_LAYER_DIRECTIONS };

enum { LAYERS_MAX = 32768 };

struct layer_key {
	__u64 netns_cookie;
	__u64 place;
	__u8 layer, class, direction;
	__u8 reserved[5];
};

struct layer_counts {
	__u64 skbs;	     /* as the kernel hands them on; one may stand for many packets */
	__u64 packets;	     /* on the wire */
	__u64 skb_bytes;     /* of the skbs, this layer's header and all above it */
	__u64 bytes;	     /* the same of the packets: each with headers of its own */
	__u64 payload_bytes; /* TCP and UDP at L3: what is behind all headers */
	__u64 empty_packets; /* TCP at L3: without payload */
};

_Static_assert(sizeof(struct layer_key) == 24, "struct layer_key");
_Static_assert(sizeof(struct layer_counts) == 48, "struct layer_counts");

#endif
