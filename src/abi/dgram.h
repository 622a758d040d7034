/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_DGRAM_H
#define NSLENS_ABI_DGRAM_H

#include "abi/record.h"

enum dgram_action {
	DGRAM_ACT_OPEN = 1, /* first datagram between this socket and this peer */
	DGRAM_ACT_UPDATE = 2,
	DGRAM_ACT_CLOSE = 3, /* the socket was closed */
	DGRAM_ACT_IDLE = 4,  /* nothing for the idle time: the flow is forgotten */
};

enum dgram_flags {
	DGRAM_F_REMOTE_FIRST = 1 << 0, /* the first datagram seen came in */
	DGRAM_F_KERNEL =
		1 << 1, /* the kernel itself answers (ICMP echo reply): no socket, no owner */
	DGRAM_F_TRANSLATED = 1 << 2, /* the first datagram left with other addresses */
};

/*
 * A datagram flow: a socket, its own address as in the packets, and a peer. UDP: ports. ICMP echo:
 * lport is the identifier, rport 0; the kernel's own echo replies stand under the netns cookie
 * instead of a socket's.
 */
struct dgram_key {
	__u64 cookie;
	__u8 laddr[16], raddr[16];
	__u16 lport, rport;
	__u8 proto;	/* IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6 */
	__u8 family;	/* of the packets: AF_INET, AF_INET6 */
	__u16 reserved; /* 0; in sweep_keys after a sweep: SWEEP_GONE */
};

/* tx: payload handed to IP, before fragmentation. rx: payload delivered to the socket. */
struct dgram_counts {
	__u64 tx_bytes, tx_packets, rx_bytes, rx_packets;
};

struct rec_dgram {
	struct rec_hdr h;
	struct dgram_key key;
	struct dgram_counts n;
	__u64 netns_cookie;
	__u32 netns_inode;
	__u32 ifindex;
	char device[16];
	struct owner opener;	 /* who bound, connected or first sent */
	struct owner user;	 /* last that did I/O, or closed */
	__u64 start_ns, last_ns; /* CLOCK_MONOTONIC: of the first and last datagram */
	__u32 fingerprint;	 /* of the first datagram seen: the same at both ends */
	__u8 action, flags;
	__u16 reserved;
};

/* The owner of a datagram socket became known or changed. */
struct rec_owner {
	struct rec_hdr h;
	__u64 cookie;
	struct owner opener, user;
};

/* A datagram socket with several flows was closed: read their last figures out of the map. */
struct rec_release {
	struct rec_hdr h;
	__u64 cookie;
	struct owner opener, user;
};

/* Value of the map dgram_flows, key struct dgram_key. */
struct dgram_flow {
	struct dgram_counts n;
	struct dgram_counts reported; /* by the last record */
	__u64 netns_cookie;
	__u32 netns_inode;
	__u32 ifindex;
	char device[16];
	__u64 start_ns, last_ns;
	__u32 fingerprint;
	__u8 flags;
	__u8 reserved[3];
};

/*
 * Which sockets and flows a sweep looks at: the map sweep_keys, of which the first n elements count
 * (TCP: only the cookie). User space knows what is open; walking the kernel's maps instead would
 * cost by their size, not by what is in them. A sweep marks those that are not known to the kernel
 * side: every record of these is in the ring by then, or lost.
 */
enum { SWEEP_KEYS_MAX = 1024, SWEEP_GONE = 1 };

struct sweep_args {
	__u32 n;
	__u32 idle_ms; /* a flow without a datagram for so long is over */
};

_Static_assert(sizeof(struct dgram_key) == 48, "struct dgram_key");
_Static_assert(sizeof(struct rec_dgram) == 184, "struct rec_dgram");
_Static_assert(sizeof(struct dgram_flow) == 120, "struct dgram_flow");

#endif
