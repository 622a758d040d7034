/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_SOCKET_LIST_H
#define NSLENS_AGENT_SOCKET_LIST_H

#include "base/err.h"
#include "discover/socket_scan.h"

struct netns_registry;
struct process_table;
struct user_name;

/*
 * All sockets of the host at one time, each with its processes, user and namespace: what discover
 * found and identity knows, put together. The namespaces' names are the registry's.
 */
struct socket_list {
	struct socket_table sockets; /* sorted: socket_compare() */
	struct socket_scan_gaps gaps;
	uint64_t ts_ns; /* CLOCK_REALTIME when it was complete */
	struct user_name *users;
};

/* On error nothing is left to free. 0 or -errno. */
int socket_list_read(struct socket_list *ret, struct netns_registry *registry,
		     struct process_table *processes, struct err *e);
void socket_list_fini(struct socket_list *l);

#endif
