/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_RECORD_H
#define NSLENS_ABI_RECORD_H

/*
 * What every record in the ring begins with, and the nouns that several record types share.
 *
 * Kernel and user space both compile this file: fixed-width types only, sizes asserted. A record is
 * a header and the exact struct of its type; records of variable length say so. Addresses are 16
 * bytes in network order, an IPv4 address stands in the first four of them. Ports are in host
 * order.
 */
#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

enum rec_type {
	REC_PROCESS = 1, /* struct rec_process, variable length; before the first that names it */
	REC_CGROUP = 2,	 /* struct rec_cgroup, variable length */
	REC_TCP = 3,	 /* struct rec_tcp */
	REC_DGRAM = 4,	 /* struct rec_dgram: UDP and ICMP echo */
	REC_OWNER = 5,	 /* struct rec_owner: a datagram socket got a (new) owner */
	REC_RELEASE = 6, /* struct rec_release: a datagram socket was closed */
	REC_DEVICE_FLOW = 7, /* struct rec_devflow: what passed a device */
};

struct rec_hdr {
	__u64 ts_ns; /* CLOCK_MONOTONIC */
	__u16 type;  /* enum rec_type */
	__u16 size;  /* of the whole record, header included */
	__u32 reserved;
};

/* Who stands behind a socket: a process image. tgid 0: nobody known. */
struct owner {
	__u64 start_ns; /* of the thread group's leader, CLOCK_BOOTTIME */
	__u32 tgid;	/* in the first pid namespace */
	__u32 exec_id;	/* task_struct.self_exec_id, low 32 bits: which execve of this process */
};

/*
 * What connect() was asked for, where another BPF program then had it go elsewhere; stands behind
 * the record of the socket, whose size tells that it is there.
 */
struct rec_asked {
	__u8 addr[16];
	__u16 port, family;
	__u32 reserved;
};

/* Losses on the kernel side, one counter each; indexes the lost map. X(symbol, name, meaning) */
#define LOST_REASONS(X)                                                                         \
	X(RING_FULL, "ring_full", "a record found no room in the ring")                         \
	X(PROCESS, "process", "a process record found no room: /proc is read instead")          \
	X(TCP_MAP_FULL, "tcp_map_full", "a TCP socket found no room in its map")                \
	X(DGRAM_MAP_FULL, "dgram_map_full", "a UDP or ICMP flow found no room in its map")      \
	X(OWNER_MAP_FULL, "owner_map_full", "a datagram socket found no room in the owner map") \
	X(LAYER_MAP_FULL, "layer_map_full", "a packet found no room to be counted by layer")    \
	X(DEVICE_FLOW, "device_flow", "a device flow found no room, or came in between")        \
	X(NOT_RUN, "not_run", "a program was passed over: it ran on that CPU already")

enum lost_reason {
#define X(symbol, name, text) LOST_##symbol,
	LOST_REASONS(X) N_LOST_REASONS,
#undef X
};

_Static_assert(sizeof(struct rec_hdr) == 16, "record header");
_Static_assert(sizeof(struct owner) == 16, "owner");
_Static_assert(sizeof(struct rec_asked) == 24, "asked");

#endif
