/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_STREAM_H
#define NSLENS_AGENT_STREAM_H

#include "agent/pipeline.h"
#include "base/buf.h"
#include "query/filter.h"
#include "sink/sink.h"
#include "wire/context.h"

/*
 * One consumer's view of the pipeline: events that pass its filter, through its sink, as bytes in
 * out. Whoever made it ships out; what it can't ship it lets the stream drop and count.
 */
struct stream;

struct stream_options {
	const struct sink *sink;
	const struct filter *filter; /* of flows; borrowed as long as the stream lives */
	struct text_options text;
	bool no_args;	  /* leave processes' arguments out */
	size_t max_bytes; /* waiting in out before events are dropped, and counted; 0: no bound */
};

/* Called when out has something to ship. It may not free the stream. */
typedef void (*stream_fn)(void *arg, struct buf *out);

/* Begin at this moment. */
int stream_new(struct pipeline *p, const struct stream_options *options, stream_fn ready, void *arg,
	       struct stream **ret, struct err *e);
/* Unsubscribes. NULL is fine. */
void stream_free(struct stream *s);

/* End it with the line of totals. */
void stream_end(struct stream *s);

#endif
