/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICE_WATCH_H
#define NSLENS_DISCOVER_DEVICE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "discover/device_message.h"

/*
 * What happens to devices, as the kernel tells it: one socket hears it of the namespace that it is
 * in and of all that have an id there. What was received is kept, in its order, until it is taken:
 * an id that is given again can be told apart, if what waits is received in between.
 */
struct device_watch;

/* Heard at once when it is made. */
int device_watch_new(struct device_watch **ret, struct err *e);
void device_watch_free(struct device_watch *w);

/* Readable when there is something to receive. The object's. */
int device_watch_fd(const struct device_watch *w);

/*
 * Receive what waits, to be taken. -ENOBUFS: the kernel had to drop some, look for yourself; the
 * rest was received. -errno: it won't work any more.
 */
int device_watch_receive(struct device_watch *w);

struct device_heard {
	struct device_message message;
	int32_t nsid; /* of the namespace that it is from; DEVICE_ASK_OWN: that of the socket */
};

/* The oldest. false: there is none. */
bool device_watch_take(struct device_watch *w, struct device_heard *ret);
/* Throw away what was received of namespace @nsid, or of all. */
void device_watch_forget(struct device_watch *w, int32_t nsid);
void device_watch_forget_all(struct device_watch *w);

#endif
