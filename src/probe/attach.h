/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_ATTACH_H
#define NSLENS_PROBE_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "model/device.h"
#include "probe/devices.h"

/*
 * The reconciler: makes the hooks at devices equal to what is wanted, and owns every link of them.
 * Wanting the same twice does nothing.
 *
 * Attaching to a device holds RTNL, the lock of the host's networking control, through an RCU grace
 * period (13 ms here, a link). So a thread does it, one link at a time, and pauses in between: at
 * most a share of the time is spent so, and whoever else wants the lock has his turn. With a pin
 * folder each link is pinned as links/COOKIE-IFINDEX-POINT there; links found there are taken over,
 * their programs replaced in place.
 */
struct attacher;

struct attacher_options {
	const char *pin_dir;	   /* NULL: the links end with the process */
	unsigned int rtnl_percent; /* share of the time; 0: 25 */
	bool last;		   /* behind others' programs, rather than before them */
	/* A descriptor of the namespace, which the attacher closes at once; or -errno. */
	int (*open_netns)(void *arg, uint64_t cookie);
	/* A hook is not what it was: attached, starved, failed, waiting to be put back. */
	void (*changed)(void *arg, struct device_id id, enum device_point point,
			const struct device_hook *was, const struct device_hook *is);
	void *arg;
};

/* Begin, with nothing attached; @probe has the programs, and must outlive it. */
int attacher_new(sd_event *loop, struct device_probe *probe, const struct attacher_options *o,
		 struct attacher **ret, struct err *e);
/* What is pinned stays; a link that is being made is waited for. NULL is fine. */
void attacher_free(struct attacher *a);

/* How much a device matters: those that matter more come first. */
enum attach_rank { RANK_HARDWARE, RANK_STACKED, RANK_VIRTUAL, RANK_LOOPBACK, N_ATTACH_RANKS };

struct attach_wish {
	struct device_id id;
	enum device_point point;
	enum attach_rank rank;
	bool generic;	   /* XDP: where the driver has none of its own, the kernel's will do */
	uint64_t heard_ns; /* of the device, CLOCK_MONOTONIC; 0: it is older than nslens */
};

/* Have a hook there. What failed before is tried again. -ENOMEM. */
int attacher_want(struct attacher *a, const struct attach_wish *w);
/* Have none there. */
void attacher_unwant(struct attacher *a, struct device_id id, enum device_point point);

/*
 * The device is gone: its links with it. Or it has become another in another namespace, and its
 * links with it.
 */
void attacher_gone(struct attacher *a, struct device_id id);
void attacher_moved(struct attacher *a, struct device_id from, struct device_id to);

/*
 * Pins of earlier agents: told of each that has a link which is attached still, by the device that
 * its name says; what @keep does not want goes. Call it once, when the devices are known.
 */
typedef bool (*attach_keep_fn)(void *arg, struct device_id id, enum device_point point);
int attacher_adopt(struct attacher *a, attach_keep_fn keep, void *arg, struct err *e);

/* NULL: nobody wants one there. Valid until control goes back to the event loop. */
const struct device_hook *attacher_hook(const struct attacher *a, struct device_id id,
					enum device_point point);

/*
 * Look at the next @n hooks, in turn: is each one's link attached still, with our program, and
 * which program runs right before it? What isn't right is told, and put right. A look needs the
 * namespace, some 30 us and no lock.
 */
void attacher_look(struct attacher *a, unsigned int n);

/* For status. */
struct attacher_usage {
	size_t n_attached, n_waiting, n_failed;
	uint64_t n_made, n_taken_over, n_removed; /* links, since the start */
	uint64_t rtnl_ns, longest_ns;		  /* spent in making and removing them */
};

/* A copy of the figures as they are now. */
void attacher_get_usage(const struct attacher *a, struct attacher_usage *ret);

#endif
