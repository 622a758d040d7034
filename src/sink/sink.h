/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SINK_SINK_H
#define NSLENS_SINK_SINK_H

#include <stdint.h>

#include "base/buf.h"
#include "model/event.h"
#include "wire/context.h"
#include "wire/event_text.h"

/* Borrowed by a sink as long as it lives. */
struct sink_options {
	const struct wire_context *context;
	struct text_options text;
	unsigned int fold_above; /* text lines a second; 0: the default, FOLD_ABOVE */
};

enum { FOLD_ABOVE = 200, FOLD_NEVER = -1 };

/*
 * What consumes a stream of events: one file in this folder, one row in sink_table[]. It writes
 * whole lines to @out; to ship and to empty @out, and to look at out->failed, is the caller's.
 */
struct sink {
	const char *name; /* as in `-o NAME` */
	/* 0 or -ENOMEM. */
	int (*new)(const struct sink_options *options, void **ret_state);
	void (*event)(void *state, struct buf *out, const struct event *event);
	/*
	 * What time it is, on the clock of the events. Call it some ten times a second, also when
	 * nothing happens; and where a stream ends without its totals, once with SINK_END, so that
	 * nothing is held back.
	 */
	void (*tick)(void *state, struct buf *out, uint64_t now_ns);
	/* NULL is fine. */
	void (*free)(void *state);
};

#define SINK_END UINT64_MAX

extern const struct sink sink_text, sink_jsonl;

/* All of them, NULL-terminated; the first is the default. */
extern const struct sink *const sink_table[];

/* The sink of that name, or NULL. */
const struct sink *sink_find(const char *name);

#endif
