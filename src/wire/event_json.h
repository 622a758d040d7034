/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_EVENT_JSON_H
#define NSLENS_WIRE_EVENT_JSON_H

#include "base/buf.h"
#include "model/event.h"
#include "wire/context.h"
#include "wire/jsonw.h"

/*
 * Append @event as one line of JSON, newline included, as doc/json.md describes it. What is unknown
 * is left out. Where memory runs out nothing of the line is appended and out->failed is set.
 */
void event_json(struct buf *out, const struct wire_context *ctx, const struct event *event);

/* How the lines of things that are, rather than happen, begin: time, event, host. */
void json_state_head(struct jsonw *j, const struct wire_context *ctx, uint64_t ts_ns,
		     const char *dataset);
/* A process as a value: what stands behind "process", for the other commands' lines too. */
void process_json(struct jsonw *j, const struct wire_context *ctx, const struct process *p);

#endif
