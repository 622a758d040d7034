/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_DEVFLOW_H
#define NSLENS_ABI_DEVFLOW_H

#include "abi/record.h"

/*
 * Device flows: what passed a device of a namespace in one direction with the same addresses, ports
 * and protocol. Sent by sockets of this host itself, it isn't counted on its way out.
 */
enum devflow_direction { DEVFLOW_TX = 0, DEVFLOW_RX = 1 };

enum devflow_flags {
	DEVFLOW_F_PORTS = 1 << 0, /* ports or identifier are known: not a later fragment, ... */
	DEVFLOW_F_LOCAL = 1 << 1, /* a socket of this host sent it, and still hangs on it */
	DEVFLOW_F_BEGIN = 1 << 2, /* a SYN without ACK was among it */
	DEVFLOW_F_FIN = 1 << 3,
	DEVFLOW_F_RST = 1 << 4,
};

/* Compared as whole words: no byte of it is left unset. */
struct devflow_key {
	__u8 saddr[16], daddr[16];
	__u64 netns_cookie;
	__u32 ifindex;
	__u16 sport, dport; /* ICMP echo: the identifier, 0 */
	__u8 proto;	    /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 */
	__u8 family;	    /* AF_INET, AF_INET6 */
	__u8 direction;	    /* enum devflow_direction */
	__u8 has_ports;	    /* 1: sport and dport mean something; else 0 */
	__u32 netns_inode;
};

/* Since the flow's last record. Wire packets and their bytes, each with its L2 header. */
struct devflow {
	struct devflow_key key;
	__u64 packets, bytes;
	__u64 first_ns, last_ns; /* CLOCK_MONOTONIC */
	__u32 first_is;		 /* of the first packet: the same at every device that it passes */
	__u32 flags;		 /* enum devflow_flags, of all packets */
};

struct rec_devflow {
	struct rec_hdr h;
	struct devflow flow;
};

/*
 * Packets are counted in one of two tables of each CPU, by turns; what stands in the other one is
 * emitted in the meantime: the sweep of one CPU's part of it, from slot @from on.
 */
struct devflow_sweep {
	__u32 cpu;
	__u32 from;
	__u32 turn; /* the current one: the table of the one before it is swept */
};

enum { DEVFLOW_SWEPT = 0x7fffffff };

/* A device whose flows are wanted: the key of the map devflow_at. */
struct devflow_place {
	__u64 netns_cookie;
	__u32 ifindex;
	__u32 reserved;
};

_Static_assert(sizeof(struct devflow_key) == 56, "struct devflow_key");
_Static_assert(sizeof(struct devflow) == 96, "struct devflow");
_Static_assert(sizeof(struct rec_devflow) == 112, "struct rec_devflow");
_Static_assert(sizeof(struct devflow_place) == 16, "struct devflow_place");

#endif
