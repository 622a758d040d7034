// SPDX-License-Identifier: Apache-2.0
#include "agent/pipeline.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/idle.h"
#include "agent/translator.h"
#include "base/base.h"
#include "discover/registry.h"
#include "sys/clock.h"

enum {
	DRAIN_NS = 20 * 1000000, /* from one emptying of the ring to the next */
	SWEEP_DRAINS = 50,	 /* so many are a second */
	CROWDED_DRAINS = 5,	 /* from one sweep to the next while there is little room */
	TIMER_SLACK_NS = 2000000,
	HEAP_SLACK = 2 << 20,
	DEFAULT_MAX_PASSING = 131072,
};

#define DEFAULT_DGRAM_IDLE_NS (60 * NS_PER_SEC)

struct pipeline {
	struct netns_registry *netns;
	struct process_table *processes;
	struct probes *probes;
	struct flow_table *flows;
	struct translator *translator;
	struct device_keeper *devices; /* NULL: off, or not possible */
	sd_event_source *timer, *ring;
	struct pipeline_subscriber *subscribers, *next; /* next: while all are told */
	struct pipeline_status status;
	uint64_t lost[N_LOST_REASONS]; /* what was told of */
	struct layer_rows gone;	       /* layers' figures of namespaces that died */
	uint64_t n_died;	       /* namespaces, when those were looked for */
	uint64_t dgram_idle_ns;
	unsigned int n_until_sweep;
	uint64_t turned_ns; /* device flows: what was counted until then stands apart; 0: nothing */
	uint64_t sweep_start_ns; /* CLOCK_MONOTONIC */
	bool adopted;
	bool sees_devices;
};

/* --- events to subscribers --- */

void pipeline_subscribe(struct pipeline *p, struct pipeline_subscriber *s)
{
	s->next = p->subscribers;
	p->subscribers = s;
}

void pipeline_unsubscribe(struct pipeline *p, struct pipeline_subscriber *s)
{
	struct pipeline_subscriber **at = &p->subscribers;

	while (*at && *at != s)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = s->next;
	if (p->next == s)
		p->next = s->next;
}

static void pipeline_emit(void *arg, const struct event *event)
{
	struct pipeline *p = arg;

	p->status.n_events++;
	for (struct pipeline_subscriber *s = p->subscribers; s; s = p->next) {
		p->next = s->next;
		s->event(s->arg, event);
	}
}

static void pipeline_tell_time(struct pipeline *p)
{
	uint64_t now_ns = clock_ns(CLOCK_REALTIME);

	for (struct pipeline_subscriber *s = p->subscribers; s; s = p->next) {
		p->next = s->next;
		if (s->tick)
			s->tick(s->arg, now_ns);
	}
}

static void pipeline_lost(const struct pipeline *p, uint64_t ret_lost[N_LOST_REASONS])
{
	struct flow_usage usage;

	probes_lost(p->probes, ret_lost);
	flow_table_usage(p->flows, &usage);
	ret_lost[LOST_DEVICE_FLOW] += usage.lost;
}

/* Losses stand in the stream, where they happened. True if there were any since the last call. */
static bool pipeline_tell_lost(struct pipeline *p)
{
	uint64_t lost[N_LOST_REASONS];
	struct event event = { .kind = EVENT_LOST };
	bool any = false;

	pipeline_lost(p, lost);
	for (int i = 0; i < N_LOST_REASONS; i++) {
		if (lost[i] <= p->lost[i])
			continue;
		event.lost = (struct lost_event){ .ts_ns = clock_ns(CLOCK_REALTIME),
						  .reason = lost_reason_name(i),
						  .records = lost[i] - p->lost[i] };
		p->lost[i] = lost[i];
		any = true;
		pipeline_emit(p, &event);
	}
	return any;
}

/* --- records --- */

static void pipeline_record(void *arg, const struct rec_hdr *rec, size_t size)
{
	struct pipeline *p = arg;
	int err;

	p->status.n_records++;
	if (rec->type == REC_PROCESS || rec->type == REC_CGROUP)
		err = process_table_record(p->processes, rec, size);
	else
		err = flow_table_record(p->flows, rec, size);
	if (err)
		p->status.n_bad_records++;
}

static struct process *pipeline_process(void *arg, const struct owner *owner)
{
	struct pipeline *p = arg;

	return process_table_get(p->processes, owner);
}

static const char *pipeline_netns_name(void *arg, uint64_t cookie)
{
	struct pipeline *p = arg;

	return netns_registry_name(p->netns, cookie);
}

static const char *pipeline_device_name(void *arg, uint64_t netns_cookie, uint32_t ifindex)
{
	const struct pipeline *p = arg;
	const struct device *dev = p->devices ? device_keeper_get(p->devices,
								  (struct device_id){ netns_cookie,
										      ifindex })
					      : NULL;

	return dev ? dev->name : NULL;
}

static void pipeline_choose_flows(void *arg, struct device_id id, bool on)
{
	struct pipeline *p = arg;

	probes_devflow_select(p->probes, &id, on);
}

static int pipeline_take_dgram(void *arg, const struct dgram_key *key, uint64_t max_rx_packets,
			       struct dgram_flow *ret)
{
	struct pipeline *p = arg;

	return probes_take_dgram(p->probes, key, max_rx_packets, ret);
}

static int pipeline_ask(void *arg, const struct flow_question *q)
{
	struct pipeline *p = arg;

	return translator_ask(p->translator, q);
}

static void pipeline_answer(void *arg, const struct flow_answer *a)
{
	struct pipeline *p = arg;

	flow_table_answer(p->flows, a, clock_ns(CLOCK_MONOTONIC));
}

/* --- the pace --- */

static int64_t realtime_offset_ns(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));
}

static void pipeline_drain(struct pipeline *p)
{
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);

	probes_drain(p->probes);
	translator_collect(p->translator, pipeline_answer, p);
	flow_table_tick(p->flows, start_ns);
	p->status.n_drains++;
	p->status.drain_ns += clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static void pipeline_gone(void *arg, const struct dgram_key *key)
{
	struct pipeline *p = arg;

	flow_table_gone(p->flows, key, p->sweep_start_ns);
}

static bool pipeline_netns_is_gone(void *arg, uint64_t cookie)
{
	struct pipeline *p = arg;

	return !netns_registry_get(p->netns, cookie);
}

/* Where namespaces died: their places in the layers are free for others, their figures kept. */
static void pipeline_bury_layers(struct pipeline *p)
{
	struct netns_registry_health health;
	struct layer_rows gone = { 0 };

	netns_registry_get_health(p->netns, &health);
	if (health.n_died == p->n_died)
		return;
	p->n_died = health.n_died;
	flow_table_take_layers(p->flows, pipeline_netns_is_gone, p, &gone);
	probes_take_layers(p->probes, pipeline_netns_is_gone, p, &gone);
	for (size_t i = 0; i < gone.n; i++) {
		gone.rows[i].key.netns_cookie = 0;
		gone.rows[i].key.place = 0;
		layer_rows_sum(&p->gone, &gone.rows[i]);
	}
	layer_rows_fini(&gone);
}

static size_t pipeline_dgram_flows(const struct pipeline *p)
{
	struct flow_usage usage;

	flow_table_usage(p->flows, &usage);
	return usage.dgram_ends;
}

/*
 * Look at what is open for updates, and forget what is gone; after losses also look for what is
 * open and not known here.
 */
static void pipeline_sweep(struct pipeline *p)
{
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	struct probe_sweep sweep;
	uint64_t young_ns;
	bool lost;

	p->sweep_start_ns = start_ns;
	flow_table_set_clock(p->flows, realtime_offset_ns());
	lost = pipeline_tell_lost(p);
	sweep.dgram_idle_ns = idle_in_room(p->dgram_idle_ns, pipeline_dgram_flows(p),
					   probes_dgram_room(p->probes));
	young_ns = sweep.dgram_idle_ns < NS_PER_SEC / 2 ? sweep.dgram_idle_ns : NS_PER_SEC / 2;
	sweep.n = flow_table_live(p->flows, start_ns - (lost ? 0 : young_ns), &sweep.keys);
	probes_sweep(p->probes, &sweep, pipeline_gone, p);
	if (lost)
		probes_sweep_all(p->probes, sweep.dgram_idle_ns);
	flow_table_swept(p->flows);
	process_table_expire(p->processes, start_ns);
	pipeline_bury_layers(p);
	if (p->devices)
		device_keeper_tick(p->devices);
	p->status.n_sweeps++;
	p->status.sweep_ns += clock_ns(CLOCK_MONOTONIC) - start_ns;
}

/*
 * Device flows: with each sweep a turn, and a drain later, when no program can be at work any more
 * in what was counted before, its collection.
 */
static void pipeline_collect(struct pipeline *p)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (!p->turned_ns)
		return;
	probes_devflow_collect(p->probes);
	flow_table_collected(p->flows, p->turned_ns);
	p->turned_ns = 0;
	p->status.sweep_ns += clock_ns(CLOCK_MONOTONIC) - now_ns;
}

static void pipeline_turn(struct pipeline *p)
{
	if (!p->sees_devices)
		return;
	p->turned_ns = clock_ns(CLOCK_MONOTONIC);
	probes_devflow_turn(p->probes);
}

/* Sockets older than the probes: after the first output, since it takes a while. */
static void pipeline_adopt(struct pipeline *p)
{
	p->adopted = true;
	probes_adopt(p->probes, NULL);
	probes_sweep_all(p->probes, p->dgram_idle_ns);
	flow_table_swept(p->flows);
}

/* The time for a sweep has come, or little room is left. */
static bool pipeline_must_sweep(struct pipeline *p)
{
	if (!p->n_until_sweep)
		return true;
	p->n_until_sweep--;
	return p->n_until_sweep <= SWEEP_DRAINS - CROWDED_DRAINS &&
	       idle_is_crowded(pipeline_dgram_flows(p), probes_dgram_room(p->probes));
}

static int pipeline_on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct pipeline *p = arg;
	int err;

	probes_tell_opened(p->probes);
	pipeline_drain(p);
	if (!p->adopted)
		pipeline_adopt(p);
	pipeline_collect(p);
	if (pipeline_must_sweep(p)) {
		p->n_until_sweep = SWEEP_DRAINS;
		pipeline_sweep(p);
		pipeline_turn(p);
	}
	pipeline_tell_time(p);
	err = sd_event_source_set_time_relative(source, DRAIN_NS / 1000);
	return err < 0 ? err : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int pipeline_on_ring(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	pipeline_drain(arg);
	return 0;
}

/* What both tables hold. */
static void pipeline_collect_all(struct pipeline *p)
{
	if (!p->sees_devices)
		return;
	for (int table = 0; table < 2; table++) {
		if (!p->turned_ns)
			pipeline_turn(p);
		/* Waits until no program is at work any more in what was counted before. */
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		probes_devflow_collect(p->probes);
		p->turned_ns = 0;
	}
	flow_table_collected(p->flows, UINT64_MAX);
}

void pipeline_flush(struct pipeline *p)
{
	/* Twice: the second call tells of what was opened until the first. */
	probes_tell_opened(p->probes);
	probes_tell_opened(p->probes);
	pipeline_drain(p);
	flow_table_tick(p->flows, UINT64_MAX);
	pipeline_collect_all(p);
	pipeline_tell_lost(p);
}

/* --- open and close --- */

static int pipeline_see_devices(struct pipeline *p, const struct pipeline_options *o)
{
	struct flow_devices devices = { .idle_ns = p->dgram_idle_ns,
					.max_conversations = o->max_sockets
								     ?: DEFAULT_MAX_PASSING };

	p->sees_devices = true;
	return flow_table_see_devices(p->flows, &devices);
}

static int pipeline_open_probes(struct pipeline *p, const struct pipeline_options *o, struct err *e)
{
	struct probe_options options = { .with = o->with,
					 .without = o->without,
					 .no_args = o->no_args,
					 .ring_bytes = (uint32_t)o->ring_bytes,
					 .max_sockets = (uint32_t)o->max_sockets,
					 .chosen_devices = probe_is_wanted(o->with, o->without,
									   "device"),
					 .record = pipeline_record,
					 .arg = p };
	struct flow_resolver resolver = { .process = pipeline_process,
					  .netns_name = pipeline_netns_name,
					  .device_name = pipeline_device_name,
					  .take_dgram = pipeline_take_dgram,
					  .ask = pipeline_ask,
					  .arg = p };

	p->flows = flow_table_new(&resolver, pipeline_emit, p);
	p->translator = translator_new(p->netns);
	if (!p->flows || !p->translator)
		return err_set(e, ENOMEM, "out of memory");
	flow_table_set_clock(p->flows, realtime_offset_ns());
	if (probe_is_wanted(o->with, o->without, "devflow") && pipeline_see_devices(p, o))
		return err_set(e, ENOMEM, "out of memory");
	return probes_open(&options, &p->probes, e);
}

static int pipeline_open_identity(struct pipeline *p, sd_event *loop,
				  const struct pipeline_options *o, struct err *e)
{
	struct process_table_options processes = { .no_args = o->no_args };
	struct netns_registry_options netns = { .loop = loop };
	int err;

	err = process_table_new(&processes, &p->processes, e);
	if (err)
		return err;
	err = netns_registry_new(&p->netns, &netns, e);
	if (!err)
		netns_registry_set_coverage(p->netns, true, NULL);
	return err;
}

/* Without it there are conversations still: why it is absent stands in its state. */
static void pipeline_open_devices(struct pipeline *p, sd_event *loop,
				  const struct pipeline_options *o)
{
	struct device_keeper_options device = o->device;
	struct err e;

	device.event = pipeline_emit;
	device.choose_flows = pipeline_choose_flows;
	device.arg = p;
	if (probe_is_wanted(o->with, o->without, "device") &&
	    device_keeper_new(loop, p->netns, p->processes, &device, &p->devices, &e))
		probes_set_absent(p->probes, "device", e.text);
}

static int pipeline_start_pace(struct pipeline *p, sd_event *loop, struct err *e)
{
	int err;

	err = sd_event_add_time_relative(loop, &p->timer, CLOCK_MONOTONIC, DRAIN_NS / 1000,
					 TIMER_SLACK_NS / 1000, pipeline_on_timer, p);
	if (err >= 0)
		err = sd_event_add_io(loop, &p->ring, probes_fd(p->probes), EPOLLIN,
				      pipeline_on_ring, p);
	return err < 0 ? err_set(e, -err, "event loop: %s", strerror(-err)) : 0;
}

int pipeline_open(sd_event *loop, const struct pipeline_options *options, struct pipeline **ret,
		  struct err *e)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return err_set(e, ENOMEM, "out of memory");
	p->status.started_ns = clock_ns(CLOCK_REALTIME);
	p->dgram_idle_ns = options->dgram_idle_ns ?: DEFAULT_DGRAM_IDLE_NS;
	/* Conversations come and go: give memory back, and fetch it anew, in large pieces only. */
	mallopt(M_TRIM_THRESHOLD, HEAP_SLACK);
	mallopt(M_TOP_PAD, HEAP_SLACK / 4);
	err = pipeline_open_identity(p, loop, options, e) ?:
	      pipeline_open_probes(p, options, e) ?:
	      pipeline_start_pace(p, loop, e);
	if (!err)
		pipeline_open_devices(p, loop, options);
	if (err) {
		pipeline_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

void pipeline_close(struct pipeline *p)
{
	if (!p)
		return;
	sd_event_source_disable_unref(p->timer);
	sd_event_source_disable_unref(p->ring);
	translator_free(p->translator);
	flow_table_free(p->flows);
	device_keeper_free(p->devices);
	probes_close(p->probes);
	netns_registry_free(p->netns);
	process_table_free(p->processes);
	layer_rows_fini(&p->gone);
	free(p);
}

/* --- figures --- */

struct netns_registry *pipeline_netns(struct pipeline *p)
{
	return p->netns;
}

struct device_keeper *pipeline_devices(struct pipeline *p)
{
	return p->devices;
}

/* Is it missing, and does it say anything that the lack of another probe doesn't? */
static bool is_gap(const struct probe_state *states, size_t n, const struct probe_state *s)
{
	for (size_t i = 0; s->info->of && i < n; i++)
		if (!states[i].attached && !strcmp(states[i].info->name, s->info->of))
			return false;
	return !s->attached && !s->off;
}

void pipeline_tell_gaps(const struct pipeline *p, struct buf *out)
{
	struct probe_state states[PIPELINE_MAX_PROBES];
	size_t n = probes_states(p->probes, states, PIPELINE_MAX_PROBES);

	if (n > PIPELINE_MAX_PROBES)
		n = PIPELINE_MAX_PROBES;
	for (size_t i = 0; i < n; i++)
		if (is_gap(states, n, &states[i]))
			buf_addf(out, "not seen: %s: %s; 'nslens doctor' says more\n",
				 states[i].info->gives, states[i].why_not);
	if (p->devices && device_keeper_began_anew(p->devices))
		buf_adds(out, "earlier pins were incomplete: counting at devices begins anew\n");
}

int pipeline_get_layers(struct pipeline *p, struct layer_rows *ret)
{
	int err = flow_table_layers(p->flows, ret) ?: probes_layers(p->probes, ret);

	for (size_t i = 0; i < p->gone.n && !err; i++)
		err = layer_rows_add(ret, &p->gone.rows[i]);
	if (!err && p->devices)
		err = device_keeper_layers(p->devices, ret);
	if (err)
		layer_rows_fini(ret);
	return err;
}

/* What the device probe, which is apart, adds to the others' figures. */
static void pipeline_add_device(struct pipeline *p, struct pipeline_status *ret)
{
	const struct device_probe_usage *u = &ret->device.probe;

	device_keeper_get_usage(p->devices, &ret->device);
	ret->has_device = true;
	ret->memory.map_bytes += u->map_bytes;
	for (size_t i = 0; i < ret->n_probes; i++) {
		if (!ret->probes[i].info->apart)
			continue;
		ret->probes[i].run_count = u->run_count;
		ret->probes[i].run_ns = u->run_ns;
	}
}

void pipeline_get_status(struct pipeline *p, struct pipeline_status *ret)
{
	*ret = p->status;
	ret->now_ns = clock_ns(CLOCK_REALTIME);
	pipeline_lost(p, ret->lost);
	ret->n_lost = 0;
	for (int i = 0; i < N_LOST_REASONS; i++)
		ret->n_lost += ret->lost[i];
	netns_registry_count(p->netns, &ret->netns_covered, &ret->netns_total);
	process_table_usage(p->processes, &ret->n_images, &ret->image_bytes);
	flow_table_usage(p->flows, &ret->flow);
	translator_get_usage(p->translator, &ret->translator);
	probes_memory(p->probes, &ret->memory);
	ret->n_probes = probes_states(p->probes, ret->probes, PIPELINE_MAX_PROBES);
	if (p->devices)
		pipeline_add_device(p, ret);
}
