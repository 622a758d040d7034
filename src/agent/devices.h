/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_DEVICES_H
#define NSLENS_AGENT_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "agent/netns_cgroups.h"
#include "discover/devices.h"
#include "discover/registry.h"
#include "identity/table.h"
#include "model/device.h"
#include "model/event.h"
#include "model/layer.h"
#include "probe/attach.h"
#include "probe/devices.h"

/*
 * The devices of all namespaces as the agent has them: which there are, what was counted at each,
 * which hooks are wanted where and which are there, and what is wrong with one.
 */
struct device_keeper;

struct device_keeper_options {
	const char *pin_dir; /* NULL: nothing is pinned, all ends with the process */
	bool hooks;	     /* have hooks at devices, else the witness alone */
	/*
	 * Filters that choose devices: tcx hooks, both directions; native XDP; device flows. hook
	 * NULL: tcx ingress at the devices that the witness doesn't see receive. xdp NULL: nowhere.
	 * flows NULL: at those that forward.
	 */
	const char *hook, *xdp, *flows;
	bool hooks_last;	   /* behind others' programs at a hook, rather than before them */
	unsigned int rtnl_percent; /* 0: the default */
	event_fn event;		   /* takes the findings */
	/* Are device flows wanted at this one? Told when that changes. */
	void (*choose_flows)(void *arg, struct device_id id, bool on);
	void *arg;
};

/*
 * Begin: the witness counts, devices are known, hooks follow within the budget. A filter that is
 * wrong, a folder that can't be made: an error.
 */
int device_keeper_new(sd_event *loop, struct netns_registry *netns, struct process_table *processes,
		      const struct device_keeper_options *o, struct device_keeper **ret,
		      struct err *e);
/* What is pinned goes on counting. NULL is fine. */
void device_keeper_free(struct device_keeper *w);

/* Once a second or so: see to those that are gone, look after hooks. */
void device_keeper_tick(struct device_keeper *w);

/* Choose other devices from now on, as the filters in @o say. On error nothing has changed. */
int device_keeper_select(struct device_keeper *w, const struct device_keeper_options *o,
			 struct err *e);

/*
 * All devices, or those that died in the last minute, with the kernel's counters of this moment;
 * *@ret is the caller's to free(), what it points to is valid until control goes back to the event
 * loop.
 */
int device_keeper_rows(struct device_keeper *w, bool gone, struct device_row **ret, size_t *ret_n,
		       struct err *e);

/* In which cgroups the processes of each namespace are, now; the keeper's. NULL: can't be told. */
const struct netns_cgroups *device_keeper_cgroups(struct device_keeper *w);

/* Were the pins of an earlier agent incomplete, its counts lost? */
bool device_keeper_began_anew(const struct device_keeper *w);

/* NULL: not known (any more). Valid until control goes back to the event loop. */
const struct device *device_keeper_get(const struct device_keeper *w, struct device_id id);

/* Append the device layer; those that are gone as one, without a place. -ENOMEM. */
int device_keeper_layers(struct device_keeper *w, struct layer_rows *ret);

struct device_keeper_usage {
	size_t n_devices;
	struct device_probe_usage probe;
	struct attacher_usage hooks;
	struct devices_health health;
};

/* A copy of the figures as they are now. */
void device_keeper_get_usage(struct device_keeper *w, struct device_keeper_usage *ret);

#endif
