/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_TCP_H
#define NSLENS_ABI_TCP_H

#include "abi/record.h"

enum tcp_action {
	TCP_ACT_OPEN = 1, /* became ESTABLISHED, and is there still a moment later */
	TCP_ACT_UPDATE =
		2,	   /* figures changed since the last record; adopted sockets: first sight */
	TCP_ACT_CLOSE = 3, /* became CLOSE, after it had been established */
	TCP_ACT_FAIL = 4,  /* became CLOSE from SYN_SENT, or did not come so far */
	TCP_ACT_LISTEN = 5, /* became LISTEN, or was found listening */
	TCP_ACT_UNLISTEN = 6,
};

enum tcp_role {
	TCP_ROLE_UNKNOWN = 0, /* adopted */
	TCP_ROLE_ACTIVE = 1,  /* connected */
	TCP_ROLE_PASSIVE = 2, /* accepted, or waiting for it */
	TCP_ROLE_LISTEN = 3,
};

enum tcp_party { TCP_BY_UNKNOWN = 0, TCP_BY_LOCAL = 1, TCP_BY_REMOTE = 2, TCP_BY_KERNEL = 3 };

enum tcp_end_reason {
	TCP_END_UNKNOWN = 0,
	TCP_END_FIN = 1,
	TCP_END_RESET = 2,
	TCP_END_REFUSED = 3,
	TCP_END_TIMEOUT = 4,
	TCP_END_UNREACHABLE = 5,
};

enum tcp_flags {
	TCP_F_ADOPTED = 1 << 0,	   /* older than the probe */
	TCP_F_ACCEPTED = 1 << 1,   /* passive side: an application has taken it */
	TCP_F_REDIRECTED = 1 << 2, /* a struct rec_asked stands behind the record */
	TCP_F_UNSENT = 1 << 3,	   /* failed before the first SYN: when isn't known */
};

/*
 * One side of a TCP connection, as its own socket sees it, cumulative. Sources, all in struct
 * tcp_sock: tx_bytes = bytes_sent - bytes_retrans; rx_bytes = bytes_received without FIN;
 * unsent_bytes = write_seq - snd_nxt without a queued FIN; unread_bytes = rcv_nxt - copied_seq
 * without FIN, once no application can read it any more; retransmits = total_retrans. tx_isn and
 * rx_isn are the sequence numbers of the first payload byte in each direction: both ends of a
 * connection know the same pair, whatever translates addresses between them.
 */
struct rec_tcp {
	struct rec_hdr h;
	__u64 cookie; /* of the socket */
	__u64 netns_cookie;
	__u32 netns_inode;
	__u32 ifindex; /* of the route's device, 0: unknown */
	char device[16];
	__u8 action, role, closed_by, end_reason;
	__u8 flags, family; /* family: AF_INET, AF_INET6 */
	__u16 lport, rport;
	__u16 reserved;
	__u32 tx_isn, rx_isn;
	__u8 laddr[16], raddr[16];
	struct owner opener; /* who connected or listened */
	struct owner user;   /* last that did I/O in its own context, or closed */
	__u64 start_ns;	     /* CLOCK_MONOTONIC; 0: unknown */
	__u64 connect_ns;    /* SYN to ESTABLISHED, active side; 0: unknown */
	__u64 tx_bytes, rx_bytes, unsent_bytes, unread_bytes;
	__u32 segs_out, segs_in;
	__u32 retransmits;
	__u32 srtt_us, min_rtt_us; /* 0: unknown */
	__u32 max_srtt_us;	   /* what srtt_us was at most; 0: not watched */
	__u64 retransmitted_bytes; /* bytes_retrans: payload that was sent again */
};

/* With TCP_F_REDIRECTED. */
struct rec_tcp_asked {
	struct rec_tcp tcp;
	struct rec_asked asked;
};

_Static_assert(sizeof(struct rec_tcp) == 224, "struct rec_tcp");
_Static_assert(sizeof(struct rec_tcp_asked) == 248, "struct rec_tcp_asked");

#endif
