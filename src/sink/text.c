// SPDX-License-Identifier: Apache-2.0
/*
 * Lines for people. Above so many lines a second nobody reads them: the rest of that second, and
 * the following ones as long as it lasts, are folded into one line a group and second. What was
 * lost, and each finding, is always a line of its own.
 */
#include <errno.h>

#include "sink/fold.h"
#include "sink/sink.h"

struct text {
	struct sink_options options;
	struct fold *fold;
	bool has_header, folding;
	uint64_t n_events;	    /* flow events since window_ns */
	uint64_t window_ns, now_ns; /* 0: not told yet */
};

static void text_free(void *state)
{
	struct text *s = state;

	if (!s)
		return;
	fold_free(s->fold);
	free(s);
}

static int text_new(const struct sink_options *options, void **ret_state)
{
	struct text *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->options = *options;
	if (!s->options.fold_above)
		s->options.fold_above = FOLD_ABOVE;
	s->fold = fold_new();
	if (!s->fold) {
		text_free(s);
		return -ENOMEM;
	}
	*ret_state = s;
	return 0;
}

static void put_header(struct text *s, struct buf *out)
{
	if (!s->has_header)
		event_text_header(out, &s->options.text);
	s->has_header = true;
}

static void flush(struct text *s, struct buf *out, uint64_t now_ns)
{
	uint64_t span_ns = s->window_ns && now_ns > s->window_ns ? now_ns - s->window_ns : 0;
	char why[80];

	snprintf(why, sizeof(why), "more than %u %s; -o json shows each", s->options.fold_above,
		 s->n_events > s->options.fold_above ? "a second" : "in the second before");
	fold_flush(s->fold, out, &s->options.text, now_ns, span_ns, why);
}

static void add_flow(struct text *s, struct buf *out, const struct event *event)
{
	if (++s->n_events > s->options.fold_above)
		s->folding = true;
	if (s->folding)
		fold_add(s->fold, s->options.context, &event->flow);
	else
		event_text(out, s->options.context, &s->options.text, event);
}

static void text_event(void *state, struct buf *out, const struct event *event)
{
	struct text *s = state;

	put_header(s, out);
	switch (event->kind) {
	case EVENT_FLOW: add_flow(s, out, event); return;
	case EVENT_LOST:
	case EVENT_FINDING: break;
	case EVENT_TOTALS: flush(s, out, event->totals.ts_ns); break;
	}
	event_text(out, s->options.context, &s->options.text, event);
}

static void text_tick(void *state, struct buf *out, uint64_t now_ns)
{
	struct text *s = state;
	bool last = now_ns == SINK_END;

	put_header(s, out);
	if (!last)
		s->now_ns = now_ns;
	if (!last && s->window_ns && now_ns - s->window_ns < NS_PER_SEC)
		return;
	flush(s, out, s->now_ns);
	s->folding = s->folding && s->n_events > s->options.fold_above;
	s->n_events = 0;
	s->window_ns = s->now_ns;
}

const struct sink sink_text = {
	.name = "text",
	.new = text_new,
	.event = text_event,
	.tick = text_tick,
	.free = text_free,
};
