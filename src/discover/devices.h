/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICES_H
#define NSLENS_DISCOVER_DEVICES_H

#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "discover/registry.h"
#include "model/device.h"

/*
 * Every device of every namespace of the registry, and, as devices that can't be observed, the
 * virtual functions of a PF that have none (DEVICE_VF_IFINDEX). With the registry's event loop it
 * is kept current by events: one netlink socket hears RTM_NEWLINK and RTM_DELLINK of all namespaces
 * that have an id (NETLINK_LISTEN_ALL_NSID), and a namespace that gets its id is listed once. It
 * holds no namespace.
 *
 * What a device is (name, kind, state, relations) is current; the kernel's counters are as old as
 * the last devices_refresh(), or, of a device that is gone, those of its last message.
 */
struct devices;

/*
 * @loop NULL: nothing is watched, devices_refresh() is all that fills it. The registry must outlive
 * it, and have been made with the same loop. The first list is complete when this returns.
 */
int devices_new(struct devices **ret, struct netns_registry *registry, sd_event *loop,
		struct err *e);
void devices_free(struct devices *d);

/*
 * List all of all namespaces anew, the kernel's counters with them; tells subscribers of what is
 * new. What can't be listed is counted in the health, with the reason of the first. Without a loop
 * the namespaces are those of the registry's last refresh, and are listed from a namespace that is
 * made for that and goes before this returns; that needs CAP_SYS_ADMIN.
 */
int devices_refresh(struct devices *d, struct err *e);
/* Read one device anew, its counters with it. -ENODEV: it is gone. */
int devices_refresh_one(struct devices *d, struct device_id id);

/*
 * What a subscriber is told: appeared, any number of changed (name, state, MTU, relations, XDP
 * program), gone. A device that is moved to another namespace is gone from one, with @moved_to, and
 * has appeared in the other before that, or appears soon; its cookie there is 0 if that namespace
 * isn't known. Of one that was deleted, or whose namespace died, @moved_to is NULL. Valid during
 * the call, in which nothing may be refreshed. Any may be NULL.
 *
 * The kernel doesn't tell when an XDP program comes or goes by a BPF link: a refresh shows it.
 */
struct devices_subscriber {
	void (*appeared)(void *arg, const struct device *dev);
	void (*changed)(void *arg, const struct device *dev);
	void (*gone)(void *arg, const struct device *dev, const struct device_id *moved_to);
	void *arg;
	struct devices_subscriber *next; /* the object's */
};

/* From now on. Devices that are there already are not told of: go through them. */
void devices_subscribe(struct devices *d, struct devices_subscriber *s);
void devices_unsubscribe(struct devices *d, struct devices_subscriber *s);

/* NULL: not there. Valid until control goes back to the event loop. */
const struct device *devices_get(const struct devices *d, struct device_id id);
/* The first, or the one after @dev; NULL: no more. */
const struct device *devices_next(const struct devices *d, const struct device *dev);
size_t devices_count(const struct devices *d);

/* For status. Counts since the object was made. */
struct devices_health {
	uint64_t n_appeared, n_gone, n_moved, n_messages;
	uint64_t n_overruns;   /* messages that the kernel dropped; a list made it good */
	uint64_t n_lists;      /* of a namespace */
	size_t n_netns_failed; /* now: namespaces whose devices can't be listed */
	struct err first_failure;
};

/* A copy of the figures as they are now. */
void devices_get_health(const struct devices *d, struct devices_health *ret);

#endif
