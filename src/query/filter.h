/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_QUERY_FILTER_H
#define NSLENS_QUERY_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/endpoint.h"

/*
 * The one filter expression of all commands, "process=nginx and not port=443"; doc/filters.md is
 * its manual.
 *
 * Compiled once for one kind of subject (a flow event, a socket, a namespace, ...), then matched
 * against many. What a field's values are in a subject is asked through struct filter_subject, so
 * the language knows no subject and a subject doesn't know the language. Matching allocates nothing
 * and can't fail.
 *
 * A comparison is true if any value of its field matches, on any side; "!=" is the same as
 * "not ... =". A value that is unknown is absent: it matches nothing.
 */
enum filter_field {
	FILTER_PROCESS,
	FILTER_PID,
	FILTER_UID,
	FILTER_NETNS,
	FILTER_CONTAINER,
	FILTER_POD,
	FILTER_IP,
	FILTER_PORT,
	FILTER_TRANSPORT,
	FILTER_DIRECTION,
	FILTER_ACTION,
	FILTER_DEVICE,
	FILTER_KIND,
	FILTER_DRIVER,
	FILTER_CGROUP,
	N_FILTER_FIELDS,
};

/* What is asked about: the whole subject, or one of its two ends. */
enum filter_side { FILTER_WHOLE = 0, FILTER_SOURCE = 1, FILTER_DESTINATION = 2 };

/* Those of FILTER_TRANSPORT and _ACTION are enum flow_transport, flow_action; of _DIRECTION: */
enum filter_direction { DIRECTION_IN, DIRECTION_OUT, DIRECTION_LOCAL, N_DIRECTIONS };

enum filter_value_kind {
	FILTER_VALUE_NONE,
	FILTER_VALUE_TEXT,
	FILTER_VALUE_NUMBER,
	FILTER_VALUE_IP,
};

/* One value of a field, borrowed from the subject. NONE, or a NULL text: not known. */
struct filter_value {
	enum filter_value_kind kind;
	union {
		const char *text;
		uint64_t number;
		const struct ip_addr *ip;
	};
};

/* A kind of subject. */
struct filter_subject {
	const char *what; /* for errors: "a flow", "a namespace" */
	uint32_t fields;  /* bit 1 << enum filter_field for each field that it has */
	/* What stands before the dot for SOURCE and DESTINATION; NULL: no sides. Short: or NULL. */
	const char *side_names[2];
	const char *side_short[2];
	/*
	 * The value number @i of @field on @side; false behind the last one. @side is SOURCE or
	 * DESTINATION for the fields that belong to an end, if the subject has sides, else WHOLE.
	 * @ret is NONE when called.
	 */
	bool (*value)(const void *subject, enum filter_field field, enum filter_side side,
		      unsigned int i, struct filter_value *ret);
};

enum { FILTER_MAX_LEN = 8192, FILTER_MAX_DEPTH = 32 };

struct filter;

/*
 * Compile @text for @subject. NULL, or nothing but spaces, gives NULL: the filter that matches
 * everything.
 *
 * -EINVAL: @e says at which column (1-based, in characters) and what was expected;
 * -E2BIG: too long or too deep; -ENOMEM. The caller frees.
 */
int filter_compile(const char *text, const struct filter_subject *subject, struct filter **ret,
		   struct err *e);
void filter_free(struct filter *f);

/* @subject is what the subject's value() takes. */
bool filter_match(const struct filter *f, const void *subject);
/* Does it ask for @field at all? For values that are dear to find out. NULL asks for nothing. */
bool filter_asks(const struct filter *f, enum filter_field field);

/* Append the help on filters for @subject: a line of syntax, then one line a field. */
void filter_help(const struct filter_subject *subject, struct buf *b);

/* For documents: a field's name and what it matches, in one line. */
const char *filter_field_name(enum filter_field field);
const char *filter_field_help(enum filter_field field);

#endif
