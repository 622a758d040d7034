// SPDX-License-Identifier: Apache-2.0
/* One line of JSON an event, as doc/json.md describes them. Nothing is folded or held back. */
#include <errno.h>

#include "sink/sink.h"
#include "wire/event_json.h"

struct jsonl {
	const struct wire_context *context;
};

static int jsonl_new(const struct sink_options *options, void **ret_state)
{
	struct jsonl *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->context = options->context;
	*ret_state = s;
	return 0;
}

static void jsonl_event(void *state, struct buf *out, const struct event *event)
{
	const struct jsonl *s = state;

	event_json(out, s->context, event);
}

static void jsonl_tick(void *state, struct buf *out, uint64_t now_ns)
{
}

const struct sink sink_jsonl = {
	.name = "json",
	.new = jsonl_new,
	.event = jsonl_event,
	.tick = jsonl_tick,
	.free = free,
};
