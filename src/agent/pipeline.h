/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_PIPELINE_H
#define NSLENS_AGENT_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/devices.h"
#include "agent/translator.h"
#include "base/buf.h"
#include "base/err.h"
#include "flow/table.h"
#include "identity/table.h"
#include "model/event.h"
#include "model/layer.h"
#include "probe/probe.h"

/*
 * The stages in their order, on one event loop: namespaces and processes are known, probes
 * attached, their records joined to conversations, and the events handed to whoever subscribed.
 */
struct pipeline;
struct netns_registry;

struct pipeline_options {
	uint32_t with, without;		     /* probes, as struct probe_options has them */
	bool no_args;			     /* leave processes' arguments alone */
	uint64_t dgram_idle_ns;		     /* 0: default */
	uint64_t ring_bytes;		     /* 0: default */
	uint64_t max_sockets;		     /* 0: default */
	struct device_keeper_options device; /* event and arg are the pipeline's */
};

/* Told of each event, and regularly of the time. The subscriber owns the struct. */
struct pipeline_subscriber {
	event_fn event;
	void (*tick)(void *arg, uint64_t realtime_ns);
	void *arg;
	struct pipeline_subscriber *next; /* the pipeline's */
};

/*
 * Attaches and begins; what the kernel refuses pipeline_tell_gaps(), without TCP it is an error.
 */
int pipeline_open(sd_event *loop, const struct pipeline_options *options, struct pipeline **ret,
		  struct err *e);
/* Detaches; tells nothing more. NULL is fine. */
void pipeline_close(struct pipeline *p);

/* @s is told of all that comes from now on. */
void pipeline_subscribe(struct pipeline *p, struct pipeline_subscriber *s);
/* Also from within its own callbacks. */
void pipeline_unsubscribe(struct pipeline *p, struct pipeline_subscriber *s);

/* Hand over what is under way: empty the ring once more, tell what waits for its other end. */
void pipeline_flush(struct pipeline *p);

/* The pipeline's own registry. */
struct netns_registry *pipeline_netns(struct pipeline *p);

/* The pipeline's own; NULL: the device probe is off, or can't be there. */
struct device_keeper *pipeline_devices(struct pipeline *p);

/* Append a line for a user on each thing that is not seen here, and why; nothing if all is. */
void pipeline_tell_gaps(const struct pipeline *p, struct buf *out);

enum { PIPELINE_MAX_PROBES = 16 };

struct pipeline_status {
	uint64_t started_ns, now_ns; /* CLOCK_REALTIME */
	uint64_t n_records, n_bad_records, n_events;
	uint64_t n_sweeps, n_drains, drain_ns, sweep_ns;
	uint64_t lost[N_LOST_REASONS];
	uint64_t n_lost; /* their sum */
	size_t netns_covered, netns_total;
	uint64_t n_images, image_bytes;
	struct flow_usage flow;
	struct translator_usage translator;
	struct probe_memory memory;
	struct probe_state probes[PIPELINE_MAX_PROBES];
	size_t n_probes;
	bool has_device;
	struct device_keeper_usage device;
};

/*
 * Packets and bytes by layer and namespace, those of namespaces that are gone as one without cookie
 * and place. The caller's: layer_rows_fini(). -ENOMEM.
 */
int pipeline_get_layers(struct pipeline *p, struct layer_rows *ret);

/* Figures of this moment. */
void pipeline_get_status(struct pipeline *p, struct pipeline_status *ret);

#endif
