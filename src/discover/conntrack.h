/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_CONNTRACK_H
#define NSLENS_DISCOVER_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "model/endpoint.h"

/*
 * What the connection tracking of a network namespace knows, asked over ctnetlink. All of it is
 * about the namespace that the calling thread is in.
 */
struct mnl_socket;

/* Does it track anything? Asks nobody, so that no module is loaded for the question. */
bool conntrack_is_in_use(void);

/* NULL with errno: it can't be had. mnl_socket_close() closes it. */
struct mnl_socket *conntrack_open(void);

/*
 * How the far end of a conversation of @protocol (IPPROTO_TCP, IPPROTO_UDP) sees the addresses that
 * this end has as @near: its own, and those of this end. 0; -ENOENT: it is not tracked; -errno.
 */
int conntrack_far_view(struct mnl_socket *nl, uint8_t protocol, const struct ip_view *near,
		       struct ip_view *ret_far);

#endif
