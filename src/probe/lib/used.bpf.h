/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_USED_BPF_H
#define NSLENS_PROBE_LIB_USED_BPF_H

#include "vmlinux.h"

#include "abi/record.h"

/*
 * What the probes of single protocols are told by those that see sockets of all protocols. Global
 * functions, joined by the BPF linker; return 0 if nothing else is said.
 */

/* Is the probe of that protocol there? Else its sockets are of no interest. Set by user space. */
extern const volatile bool tcp_on, dgram_on, sock_on, sockops_on;

/*
 * The current process did I/O on the socket, in its own context. 1: a TCP connection that is not
 * known; tcp_found() takes it over.
 */
int tcp_used(__u64 cookie);
int tcp_found(__u64 sk_address);
int dgram_used(__u64 cookie);

/* connect() was called on a TCP socket, and nothing has changed the address yet. */
struct connecting {
	__u64 sk; /* its address */
	struct rec_asked to;
	bool is_new; /* it had no cookie: nothing is known of it */
};

/* In the caller's context. What is noted is completed by the SYN, or ended by tcp_not_sent(). */
int tcp_connecting(__u64 cookie, const struct connecting *c);
/* The socket is closed, or connects anew: did connect() fail before the first SYN? */
int tcp_not_sent(__u64 cookie);

/* A socket that is older than the probes was found in @who's descriptor table. */
int tcp_adopt(__u64 sk_address, const struct owner *who);
int dgram_adopt(__u64 cookie, const struct owner *who);

#endif
