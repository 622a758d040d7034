/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_DEVICES_H
#define NSLENS_PROBE_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/device.h"
#include "model/layer.h"
#include "probe/device/device.h"

/*
 * The device probe: counts packets and bytes of every device of every namespace, by two tracepoints
 * of the host (the witness), and has the programs that are attached to devices themselves.
 *
 * With a pin folder its maps and the witness's links are pinned there: counting goes on when the
 * process ends, and the next one to open it goes on with those counts. Programs of another version
 * are taken over from without a packet being missed or counted twice.
 */
struct device_probe;

struct device_probe_options {
	const char *pin_dir; /* a folder in a BPF filesystem, made here; NULL: nothing is pinned */
	uint32_t n_slots;    /* devices with a place in an array, 0: DEVICE_SLOTS */
	bool no_hooks;	     /* the witness alone: load no programs for devices themselves */
};

/* Load, go on with what is pinned, and have the witness attached. */
int device_probe_open(const struct device_probe_options *o, struct device_probe **ret,
		      struct err *e);
/* What is pinned stays and counts. NULL is fine. */
void device_probe_close(struct device_probe *p);

/*
 * The program for a point of devices: borrowed. -ENOTSUP: this kernel doesn't take it, *@ret_why
 * says why (the probe's).
 */
int device_probe_program(const struct device_probe *p, enum device_point point,
			 const char **ret_why);

/*
 * Are there hooks at tcx/ingress, which count what the witness doesn't see? Say so before the first
 * is attached: the witness then leaves word of each packet.
 */
void device_probe_set_ingress(struct device_probe *p, bool there);

/* Does this kernel have tcx? Else the programs are for clsact. */
bool device_probe_has_tcx(const struct device_probe *p);
/* Do two programs count the same into this probe's maps? */
bool device_probe_is_alike(const struct device_probe *p, int a_fd, int b_fd);

/* What was counted at a device, over all CPUs and all versions of this probe. */
struct device_tally {
	struct device_key key;
	uint64_t first_ns; /* its first packet, CLOCK_MONOTONIC */
	struct device_counts n;
};

/* -ENOENT: nothing was counted there. */
int device_probe_read(const struct device_probe *p, struct device_id id, struct device_tally *ret);
/* Told of every device that has counts. */
typedef void (*device_tally_fn)(void *arg, const struct device_tally *t);
int device_probe_each(const struct device_probe *p, device_tally_fn fn, void *arg);

/*
 * The device is gone: its last figures to @ret (may be NULL), and its place is free for another one
 * at the second call of device_probe_tidy() from now, when no CPU counts there any more.
 */
int device_probe_forget(struct device_probe *p, struct device_id id, struct device_tally *ret);
/* Free what waits for it; at least 10 ms from one call to the next. */
void device_probe_tidy(struct device_probe *p);

/* The device has another key now, in another namespace: what was counted goes along. */
void device_probe_move(struct device_probe *p, struct device_id from, struct device_id to);

/* Told of each key that has counts; cheaper than to read them. */
typedef void (*device_key_fn)(void *arg, struct device_id id);
int device_probe_keys(const struct device_probe *p, device_key_fn fn, void *arg);

/*
 * How many packets of the kernel's own count, by direction, passed before ours began; kept with the
 * counts. Of a device of which nothing was said, 0.
 */
int device_probe_set_missed(struct device_probe *p, struct device_id id,
			    const struct device_missed *m);
void device_probe_missed(const struct device_probe *p, struct device_id id,
			 struct device_missed *ret);
/* Were the pins of an earlier agent incomplete, its counts lost? */
bool device_probe_began_anew(const struct device_probe *p);
/* Are there counts of an earlier agent, that ours go on from? Known after device_probe_settle(). */
bool device_probe_continues(const struct device_probe *p);

/*
 * All hooks at devices have the programs of this probe: what was counted by those before it with
 * other maps is taken over, and those maps go.
 */
int device_probe_settle(struct device_probe *p, struct err *e);

/* Append the device layer of a tally: one row a class and direction. -ENOMEM. */
int device_tally_layers(const struct device_tally *t, struct layer_rows *ret);
/* The same sums as a view shows them; the kernel's are left alone. */
void device_tally_show(const struct device_tally *t, struct device_counted *ret_rx,
		       struct device_counted *ret_tx);

/* For status. */
struct device_probe_usage {
	uint64_t n_devices;	    /* that have counts */
	uint64_t map_bytes;	    /* the maps' memlock figures */
	uint64_t unplaced_packets;  /* not counted: no room for another device */
	uint64_t passed_over;	    /* times that the witness was passed over: it ran already */
	uint64_t run_count, run_ns; /* of the witness; 0 unless the kernel keeps BPF statistics */
	uint32_t generation;	    /* how often programs took over from others in these maps */
	bool adopted;		    /* the programs that count were there before this process */
	bool pinned;		    /* what counts is, now */
};

/* A copy of the figures as they are now. */
void device_probe_get_usage(const struct device_probe *p, struct device_probe_usage *ret);

#endif
