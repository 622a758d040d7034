/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICE_ASK_H
#define NSLENS_DISCOVER_DEVICE_ASK_H

#include <linux/netlink.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Questions about devices to the kernel, by a socket in the namespace that the thread is in when it
 * is opened, about that one or, by their ids as seen from there, others: nobody enters them.
 * Answers' ids of namespaces are as seen from there too.
 */
struct device_ask;

/* About the namespace of the socket itself. */
enum { DEVICE_ASK_OWN = -1 };

/* One socket, which blocks until it is answered: the kernel answers within the call. */
int device_ask_new(struct device_ask **ret, struct err *e);
void device_ask_free(struct device_ask *a);

/* Called for each answer. Valid during the call. */
typedef void (*device_answer_fn)(void *arg, const struct nlmsghdr *h);

/* All devices of namespace @nsid, with their counters and those of virtual functions. -errno. */
int device_ask_all(struct device_ask *a, int32_t nsid, device_answer_fn fn, void *arg);
/* One. -ENODEV: there is none. */
int device_ask_one(struct device_ask *a, int32_t nsid, uint32_t ifindex, device_answer_fn fn,
		   void *arg);

/*
 * The id, as seen from here, of the namespace that namespace @nsid knows as @their_id. -ENOENT:
 * there is none, or it has none here.
 */
int device_ask_translate(struct device_ask *a, int32_t nsid, int32_t their_id, int32_t *ret);

/* The cookie of the namespace that the socket is in. 0: not known. */
uint64_t device_ask_own_cookie(const struct device_ask *a);

#endif
