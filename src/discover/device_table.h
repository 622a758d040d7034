/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICE_TABLE_H
#define NSLENS_DISCOVER_DEVICE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "discover/device_message.h"
#include "model/device.h"

/* Devices by namespace and ifindex, in the order in which they were met. */
struct device_entry {
	struct device dev;	 /* first: an entry is found back from it */
	unsigned int list;	 /* the last that met it */
	struct device_link link; /* as we number it; its id may be of a namespace not met yet */
	struct device_link told; /* as its own namespace numbers it; ifindex 0: not heard */
	bool paired;
	char pf_bus[DEVICE_BUS_MAX]; /* of the PF that it is a function of; "": of none */
	struct device_vf *vfs;	     /* counters of the functions that it has; the entry's */
	size_t n_vfs;
	struct device_entry *prev, *next; /* in its namespace */
	UT_hash_handle hh;
};

struct device_netns {
	uint64_t cookie;
	struct device_entry *devices;
	UT_hash_handle hh;
};

/* Zero-initialised is empty. */
struct device_table {
	struct device_entry *devices;
	struct device_netns *netns;
};

/* NULL: not there. */
struct device_entry *device_table_get(const struct device_table *t, struct device_id id);
/* One that isn't there yet; the rest of it is 0. NULL: out of memory. */
struct device_entry *device_table_add(struct device_table *t, struct device_id id);
/* Take it out, and free it. */
void device_table_remove(struct device_table *t, struct device_entry *en);
/* The first, or the one after @en; NULL: none. */
struct device_entry *device_table_next(const struct device_table *t, const struct device_entry *en);
/* The first of a namespace, the next follows by ->next; NULL: none. */
struct device_entry *device_table_first_in(const struct device_table *t, uint64_t netns_cookie);
size_t device_table_count(const struct device_table *t);
void device_table_fini(struct device_table *t);

/* The entry of a device that lies in a table. */
static inline struct device_entry *device_entry_of(const struct device *dev)
{
	return (struct device_entry *)dev;
}

/* Are these the same? */
static inline bool device_id_equal(struct device_id a, struct device_id b)
{
	return a.netns_cookie == b.netns_cookie && a.ifindex == b.ifindex;
}

#endif
