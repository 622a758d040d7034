/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_NSID_H
#define NSLENS_DISCOVER_NSID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Ids that the kernel gives to network namespaces, as seen from the one that nslens lives in:
 * where a namespace has one, the kernel tells of its death (RTM_DELNSID). An id can't be taken
 * back; it costs an entry in a table and goes with the namespace.
 */
struct nsid;

/* Open both sockets. An id needs CAP_NET_ADMIN when it is given, not here. */
int nsid_new(struct nsid **ret, struct err *e);
void nsid_free(struct nsid *n);

/*
 * Give the namespace behind @netns_fd an id; that it has one already is fine. 0 and the id, which
 * is not negative, or -errno. Ids are used again after a death.
 */
int nsid_give(struct nsid *n, int netns_fd, int32_t *ret_nsid);

/* Readable when a namespace that has an id died. The nsid object's. */
int nsid_fd(const struct nsid *n);

/*
 * Take what waits there: how many died. -ENOBUFS: the kernel had to drop some, look for yourself;
 * another call goes on. -errno: it won't work any more.
 */
int nsid_deaths(struct nsid *n);

#endif
