/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICE_OUTPOST_H
#define NSLENS_DISCOVER_DEVICE_OUTPOST_H

#include <stdint.h>

#include "base/err.h"
#include "discover/device_ask.h"
#include "discover/registry.h"

/*
 * A network namespace to ask from, where nothing is watched: it gives ids to all others, and lives
 * only while its sockets do, and they with it. Nothing of it stays.
 */
struct device_outpost;

/* Make one, without any id. Needs CAP_SYS_ADMIN. */
int device_outpost_new(struct device_outpost **ret, struct err *e);
void device_outpost_free(struct device_outpost *o);

/* Give namespace @cookie of the registry an id. -ENOENT or -ESTALE: it is gone. -errno. */
int device_outpost_number(struct device_outpost *o, struct netns_registry *registry,
			  uint64_t cookie);

/* The namespace that has id @nsid; 0: none that was numbered. And back: 0 or -ENOENT. */
uint64_t device_outpost_cookie(const struct device_outpost *o, int32_t nsid);
int device_outpost_nsid(const struct device_outpost *o, uint64_t cookie, int32_t *ret);

/* To ask from there. The outpost's. */
struct device_ask *device_outpost_ask(const struct device_outpost *o);

#endif
