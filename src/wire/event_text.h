/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_EVENT_TEXT_H
#define NSLENS_WIRE_EVENT_TEXT_H

#include <stdbool.h>

#include "base/buf.h"
#include "model/event.h"
#include "wire/context.h"

/*
 * Events for people: one aligned line each, names before addresses. Three layouts, by the width of
 * the terminal: below 100 columns what happened, who, to whom and how much; from 100 also the
 * destination's address and why it ended; from 160, and where nobody said how wide it is, all
 * addresses. A cell that is too long pushes the next ones until they fit again; nothing is cut but
 * the long names of namespaces. Times of day are local.
 */
struct text_options {
	unsigned int columns; /* of the terminal; 0: no terminal */
	bool colour;
};

/* The line that names the columns, newline included. */
void event_text_header(struct buf *out, const struct text_options *options);

/* Append @event as a line, newline included. out->failed as event_json() has it. */
void event_text(struct buf *out, const struct wire_context *ctx, const struct text_options *options,
		const struct event *event);

/* What event_text_side() shows besides the names of process and namespace. */
enum text_parts {
	TEXT_PID = 1 << 0,
	TEXT_ADDRESS = 1 << 1, /* with the port */
	TEXT_PORT = 1 << 2,
};

/*
 * One end: "curl[4242]@blue 10.0.0.2:41234". Behind the @ stands the namespace's name, or if that
 * is a long one or none, the container's short id, or the last six digits of the namespace's inode
 * ("net:532290"); nothing for the host's own namespace. Where the names don't say enough without
 * it, the address stands whatever @parts says.
 */
void event_text_side(struct buf *out, const struct wire_context *ctx, const struct flow_side *side,
		     unsigned int parts);

/* "tcp", "udp", "icmp", "icmp6": at most 5 characters. */
const char *event_text_transport(enum flow_transport transport);

/* The local time of day as @options' layout has it, "12:00:00.345" or "12:00:00". */
void event_text_time(struct buf *out, const struct text_options *options, uint64_t realtime_ns);

#endif
