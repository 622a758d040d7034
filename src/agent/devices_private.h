/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_DEVICES_PRIVATE_H
#define NSLENS_AGENT_DEVICES_PRIVATE_H

#include <sys/queue.h>
#include <uthash.h>

#include "agent/devices.h"
#include "agent/netns_cgroups.h"
#include "query/filter.h"

/* What devices.c (what is wanted, what is gone) and device_rows.c (what is shown) share. */

/* A device that died, as it was in the end. */
struct gone_device {
	TAILQ_ENTRY(gone_device) all;
	struct device device;
	struct device_tally tally;
	struct device_missed missed;
	struct netns netns;
	char *netns_name;
	uint64_t died_ns; /* CLOCK_MONOTONIC */
};

/* Of a device that nobody told of: it has counts, that is all. */
struct stranger {
	struct device_key key;
	unsigned int n_ticks;
	UT_hash_handle hh;
};

/* What devices are chosen for, each by a filter of its own. */
enum choice { CHOICE_HOOK, CHOICE_XDP, CHOICE_FLOWS, N_CHOICES };

struct device_keeper {
	struct netns_registry *netns;
	struct process_table *processes;
	struct devices *devices;
	struct device_probe *probe;
	struct attacher *attacher;
	struct devices_subscriber subscriber;
	struct filter *chosen[N_CHOICES]; /* NULL: as the options have it */
	bool hooks;			  /* are to be had at all */
	bool by_cgroup;			  /* one of them looks at cgroups */
	void (*choose_flows)(void *arg, struct device_id id, bool on);
	struct netns_cgroups cgroups;
	sd_event_source *cgroup_timer;
	event_fn event;
	void *arg;
	TAILQ_HEAD(gone_devices, gone_device) gone;
	size_t n_gone;
	struct layer_rows gone_layers;
	struct stranger *strangers;
};

/* What the kernel counts as a packet of ours; @tx: sent rather than received. */
uint64_t device_kernel_passed(const struct device *dev, bool tx);
/* How many of those we saw. */
uint64_t device_seen(const struct device *dev, const struct device_counted *n);

#endif
