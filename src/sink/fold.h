/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SINK_FOLD_H
#define NSLENS_SINK_FOLD_H

#include <stdint.h>

#include "base/buf.h"
#include "model/event.h"
#include "wire/context.h"
#include "wire/event_text.h"

/*
 * Many flow events into few lines. Events are summed up by group: transport, who, to whom, which
 * port, regardless of pids and of the opener's port. Everything that was added is in the figures of
 * the next flush: what finds no group of its own is summed up as "others".
 */
struct fold;

/* NULL: no memory. */
struct fold *fold_new(void);
/* NULL is fine. */
void fold_free(struct fold *f);

/* Sum up @flow. */
void fold_add(struct fold *f, const struct wire_context *ctx, const struct flow_event *flow);

/*
 * Write one line a group, those with failures first, then the busiest, and one about what was
 * folded; then forget all. Nothing is written if nothing was added. @now_ns stands at the lines,
 * @span_ns is the time that they tell of, @why the reason for folding.
 */
void fold_flush(struct fold *f, struct buf *out, const struct text_options *options,
		uint64_t now_ns, uint64_t span_ns, const char *why);

#endif
