/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_SOCKET_SCAN_H
#define NSLENS_DISCOVER_SOCKET_SCAN_H

#include "base/err.h"
#include "discover/registry.h"
#include "discover/socket_table.h"

/* What one look at the host's sockets could not see; never silent, the caller says it. */
struct socket_scan_gaps {
	size_t n_netns;	       /* namespaces looked into */
	size_t n_netns_failed; /* not entered: sockets without owner are missing */
	struct err first;      /* why, of the first of them */
};

/*
 * Every TCP, UDP, ICMP and raw socket of every network namespace, now: the descriptors of all
 * processes of our pid namespace through a BPF iterator, and what has no descriptor through
 * sock_diag in each namespace, entered for a moment by a thread of its own. Nothing stays loaded,
 * open or entered. @t is empty or holds what was found before an error. 0 or -errno.
 */
int socket_scan(struct socket_table *t, struct netns_registry *registry,
		struct socket_scan_gaps *ret_gaps, struct err *e);

#endif
