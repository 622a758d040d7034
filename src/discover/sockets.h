/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_DISCOVER_SOCKETS_H
#define NSLENS_DISCOVER_SOCKETS_H

#include "abi/record.h"

enum rec_socket_flags {
	REC_SOCKET_V6ONLY = 1 << 0,
};

/*
 * What the iterator of sockets.bpf.c writes: one for each descriptor, of any process, that is an
 * IPv4 or IPv6 socket. The stream read from the iterator's descriptor is these and nothing else.
 */
struct rec_socket {
	__u64 cookie; /* of the socket */
	__u64 netns_cookie;
	struct owner owner; /* of the descriptor table */
	__u32 netns_inode;
	__u32 fd;
	__u32 uid;	  /* of the socket, in the first user namespace */
	__u32 ifindex;	  /* of the device that the socket is bound to, 0: none */
	__u32 rx_queue;	  /* bytes; listener: connections that wait for accept */
	__u32 tx_queue;	  /* bytes; listener: the most that may wait */
	__u16 family;	  /* AF_INET, AF_INET6 */
	__u16 type;	  /* SOCK_STREAM, SOCK_DGRAM, SOCK_RAW */
	__u16 protocol;	  /* IPPROTO_*, may exceed 255 (MPTCP) */
	__u16 local_port; /* ICMP: the identifier; raw: the protocol */
	__u16 peer_port;
	__u8 state; /* as TCP's, for all protocols: 1 is connected, 7 is closed or unconnected */
	__u8 flags; /* enum rec_socket_flags */
	__u32 reserved;
	__u8 local[16], peer[16];
};

_Static_assert(sizeof(struct rec_socket) == 104, "socket record");

#endif
