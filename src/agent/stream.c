// SPDX-License-Identifier: Apache-2.0
#include "agent/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "abi/record.h"
#include "base/base.h"
#include "discover/registry.h"
#include "query/subject_flow.h"
#include "sys/clock.h"

/* So much is shipped at once, the rest with the next tick. */
enum { SHIP_BYTES = 128 * 1024 };

/* A conversation that is under way: told of, not yet over. */
struct under_way {
	UT_hash_handle hh;
	uint64_t id;
};

struct stream {
	struct pipeline *pipeline;
	struct pipeline_subscriber subscriber;
	const struct sink *sink;
	void *sink_state;
	const struct filter *filter;
	struct wire_context context;
	size_t max_bytes;
	struct buf out;
	stream_fn ready;
	void *arg;
	struct under_way *under_way;
	struct totals_event totals;
	uint64_t started_ns;
	struct lost_event
		missed[N_LOST_REASONS + 1]; /* and not told yet; by reason, "reader_slow" too */
};

static void stream_ship(struct stream *s)
{
	if (s->out.len)
		s->ready(s->arg, &s->out);
}

static struct under_way *stream_known(struct stream *s, uint64_t id)
{
	struct under_way *u;

	HASH_FIND(hh, s->under_way, &id, sizeof(id), u);
	return u;
}

/* Count conversations, not their events: those under way are remembered. */
static void stream_count(struct stream *s, uint64_t id)
{
	struct under_way *u;

	if (stream_known(s, id))
		return;
	s->totals.conversations++;
	u = calloc(1, sizeof(*u));
	if (!u)
		return;
	u->id = id;
	HASH_ADD(hh, s->under_way, id, sizeof(u->id), u);
}

/* No event comes of it any more: also if the last one did not pass the filter. */
static void stream_forget(struct stream *s, uint64_t id)
{
	struct under_way *u = stream_known(s, id);

	if (!u)
		return;
	HASH_DEL(s->under_way, u);
	free(u);
}

/* Something that the consumer is too slow for: an event, or word of a loss elsewhere. */
static void stream_miss(struct stream *s, const char *reason, uint64_t records)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->missed); i++) {
		if (s->missed[i].reason && strcmp(s->missed[i].reason, reason))
			continue;
		s->missed[i].reason = reason;
		s->missed[i].records += records;
		return;
	}
}

/* The consumer has caught up a little: say what it missed. */
static void stream_tell_missed(struct stream *s)
{
	struct event lost = { .kind = EVENT_LOST };

	for (size_t i = 0; i < ARRAY_SIZE(s->missed) && s->missed[i].reason; i++) {
		lost.lost = s->missed[i];
		lost.lost.ts_ns = clock_ns(CLOCK_REALTIME);
		s->missed[i] = (struct lost_event){ 0 };
		s->sink->event(s->sink_state, &s->out, &lost);
	}
}

static bool stream_full(const struct stream *s)
{
	return s->out.failed || (s->max_bytes && s->out.len > s->max_bytes);
}

/* Hand an event that passed the filter to the sink, or drop it and count. */
static void stream_take(struct stream *s, const struct event *event)
{
	if (stream_full(s)) {
		stream_miss(s, "reader_slow", 1);
		s->totals.lost++;
		return;
	}
	stream_tell_missed(s);
	s->totals.events += event->kind != EVENT_FINDING;
	s->sink->event(s->sink_state, &s->out, event);
	if (s->out.len > SHIP_BYTES)
		stream_ship(s);
}

static void stream_take_flow(struct stream *s, const struct event *event)
{
	const struct flow_event *f = &event->flow;

	if (filter_match(s->filter, f)) {
		stream_count(s, f->id);
		stream_take(s, event);
	}
	if (f->last)
		stream_forget(s, f->id);
}

static void stream_on_event(void *arg, const struct event *event)
{
	struct stream *s = arg;

	switch (event->kind) {
	case EVENT_FLOW: stream_take_flow(s, event); break;
	case EVENT_LOST:
		s->totals.lost += event->lost.records;
		if (stream_full(s))
			stream_miss(s, event->lost.reason, event->lost.records);
		else
			stream_take(s, event);
		break;
	case EVENT_FINDING:
		if (finding_match(s->filter, &event->finding))
			stream_take(s, event);
		break;
	case EVENT_TOTALS: break;
	}
}

static void stream_on_tick(void *arg, uint64_t realtime_ns)
{
	struct stream *s = arg;

	if (!stream_full(s)) {
		stream_tell_missed(s);
		s->sink->tick(s->sink_state, &s->out, realtime_ns);
	}
	stream_ship(s);
}

static void stream_init_context(struct stream *s)
{
	const struct netns *first = netns_registry_next(pipeline_netns(s->pipeline), NULL);
	char node[256] = "";

	gethostname(node, sizeof(node) - 1);
	wire_context_init(&s->context, node, clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME));
	s->context.host_netns_cookie = first ? first->cookie : 0;
}

int stream_new(struct pipeline *p, const struct stream_options *options, stream_fn ready, void *arg,
	       struct stream **ret, struct err *e)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct sink_options sink = { .text = options->text };

	if (!s)
		return err_set(e, ENOMEM, "out of memory");
	s->pipeline = p;
	s->sink = options->sink;
	s->filter = options->filter;
	s->max_bytes = options->max_bytes;
	s->ready = ready;
	s->arg = arg;
	s->started_ns = clock_ns(CLOCK_REALTIME);
	stream_init_context(s);
	s->context.no_args = options->no_args;
	sink.context = &s->context;
	if (s->sink->new (&sink, &s->sink_state)) {
		free(s);
		return err_set(e, ENOMEM, "out of memory");
	}
	s->subscriber = (struct pipeline_subscriber){ .event = stream_on_event,
						      .tick = stream_on_tick,
						      .arg = s };
	pipeline_subscribe(p, &s->subscriber);
	*ret = s;
	return 0;
}

void stream_end(struct stream *s)
{
	struct event event = { .kind = EVENT_TOTALS };
	struct pipeline_status status;

	stream_tell_missed(s);
	pipeline_get_status(s->pipeline, &status);
	s->totals.ts_ns = clock_ns(CLOCK_REALTIME);
	s->totals.duration_ns = s->totals.ts_ns - s->started_ns;
	s->totals.netns_covered = status.netns_covered;
	s->totals.netns_total = status.netns_total;
	event.totals = s->totals;
	s->sink->event(s->sink_state, &s->out, &event);
	stream_ship(s);
}

void stream_free(struct stream *s)
{
	struct under_way *u, *next;

	if (!s)
		return;
	pipeline_unsubscribe(s->pipeline, &s->subscriber);
	s->sink->free(s->sink_state);
	HASH_ITER(hh, s->under_way, u, next) {
		HASH_DEL(s->under_way, u);
		free(u);
	}
	buf_fini(&s->out);
	free(s);
}
