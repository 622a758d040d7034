/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_DEVICE_LIST_H
#define NSLENS_AGENT_DEVICE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/device.h"
#include "wire/context.h"

struct devices;
struct filter;
struct netns_cgroups;
struct netns_registry;

/* What `nslens devices` prints, made by the agent, or without one by the command itself. */
struct device_list_options {
	const struct wire_context *context;
	uint64_t ts_ns; /* when the devices were looked at, CLOCK_REALTIME */
	bool json;
	const struct filter *filter;	     /* of filter_subject_device; NULL: all */
	const struct netns_cgroups *cgroups; /* for a filter that asks for them; NULL: not known */
};

/* What the encoders must know of this host. */
void device_list_context(struct wire_context *ret, const struct netns_registry *registry);

/*
 * A row for each device of @d, with its namespace and its relations; for the caller to fill in what
 * was counted and hooked, and to free. They are valid as long as the devices and namespaces are,
 * that is until control goes back to the event loop. 0 or -ENOMEM.
 */
int device_list_rows(const struct devices *d, const struct netns_registry *registry,
		     struct device_row **ret, size_t *ret_n, struct err *e);

/*
 * Append those of the @n rows that pass the filter: by namespace (the host's own first, then those
 * with a name, by name, then by cookie) and ifindex; whole lines. 0 or -ENOMEM.
 */
int device_list_print(struct buf *out, const struct device_list_options *o,
		      const struct device_row *rows, size_t n, struct err *e);

/* Does the filter ask where cgroups live? Then somebody has to look: netns_cgroups_look(). */
bool device_list_asks_cgroups(const struct filter *f);

#endif
