/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_JSONW_H
#define NSLENS_WIRE_JSONW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"
#include "base/buf.h"

/*
 * A streaming JSON writer (jsonw, since json_ is jansson's): appends to a buf as it is called,
 * keeps no tree and allocates nothing of its own. It sets the commas; that objects and arrays are
 * closed, and that members stand in objects only, is the caller's. Integers are printed in full,
 * also above 2^53.
 *
 *	struct jsonw j = jsonw_on(&buf);
 *
 *	jsonw_object_begin(&j);
 *	jsonw_member_u64(&j, "pid", 1);
 *	jsonw_key(&j, "args");
 *	jsonw_array_begin(&j);
 *	jsonw_string(&j, "curl");
 *	jsonw_array_end(&j);
 *	jsonw_object_end(&j);
 *	jsonw_line_end(&j);
 */
struct jsonw {
	struct buf *out;
	bool comma; /* the next element needs one before it */
};

/* A writer that appends to @out. */
static inline struct jsonw jsonw_on(struct buf *out)
{
	return (struct jsonw){ .out = out };
}

/* For the functions below: room for @n bytes; NULL: no memory. A line is a hundred short pieces. */
static inline char *jsonw_room(struct jsonw *j, size_t n)
{
	struct buf *out = j->out;

	return out->cap - out->len > n && !out->failed ? out->data + out->len : buf_room(out, n);
}

/* The same for an element: the comma is written, if something stands before it. */
static inline char *jsonw_element_room(struct jsonw *j, size_t n)
{
	char *to = jsonw_room(j, n + 1);

	if (to && j->comma)
		*to++ = ',';
	j->comma = true;
	return to;
}

/* Containers: as the document, an element of an array, or the value of a key. */
void jsonw_object_begin(struct jsonw *j);
void jsonw_object_end(struct jsonw *j);
void jsonw_array_begin(struct jsonw *j);
void jsonw_array_end(struct jsonw *j);

/*
 * The name of the next member: characters that need no escaping, as a literal of ours does. Inline,
 * for the length of a literal is known then.
 */
ALWAYS_INLINE void jsonw_key_n(struct jsonw *j, const char *key, size_t len)
{
	char *to = jsonw_element_room(j, len + 3);

	j->comma = false;
	if (!to)
		return;
	*to++ = '"';
	memcpy(to, key, len);
	to += len;
	*to++ = '"';
	*to++ = ':';
	buf_wrote(j->out, to);
}

/* The same. */
ALWAYS_INLINE void jsonw_key(struct jsonw *j, const char *key)
{
	jsonw_key_n(j, key, strlen(key));
}

/*
 * A value. A string may hold any bytes: what is not UTF-8 becomes U+FFFD, one for each maximal part
 * of a sequence, as the Unicode standard advises; control characters (also DEL and U+0080 to
 * U+009F) are escaped.
 */
void jsonw_string_n(struct jsonw *j, const char *s, size_t len);
ALWAYS_INLINE void jsonw_string(struct jsonw *j, const char *s)
{
	jsonw_string_n(j, s, strlen(s));
}
/* Numbers are decimal. */
void jsonw_u64(struct jsonw *j, uint64_t value);
void jsonw_i64(struct jsonw *j, int64_t value);
void jsonw_bool(struct jsonw *j, bool value);
/* CLOCK_REALTIME ns as RFC 3339 in UTC with nanoseconds. */
void jsonw_time(struct jsonw *j, uint64_t realtime_ns);

/* A whole member; of an object or array, its begin. An unknown string (NULL or "") is left out. */
ALWAYS_INLINE void jsonw_member_string(struct jsonw *j, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	jsonw_key(j, key);
	jsonw_string(j, value);
}

/* The same; every number, truth and time is known. */
ALWAYS_INLINE void jsonw_member_u64(struct jsonw *j, const char *key, uint64_t value)
{
	jsonw_key(j, key);
	jsonw_u64(j, value);
}

/* The same. */
ALWAYS_INLINE void jsonw_member_bool(struct jsonw *j, const char *key, bool value)
{
	jsonw_key(j, key);
	jsonw_bool(j, value);
}

/* The same. */
ALWAYS_INLINE void jsonw_member_time(struct jsonw *j, const char *key, uint64_t realtime_ns)
{
	jsonw_key(j, key);
	jsonw_time(j, realtime_ns);
}

/* Begin it; the caller ends it. */
ALWAYS_INLINE void jsonw_member_object(struct jsonw *j, const char *key)
{
	jsonw_key(j, key);
	jsonw_object_begin(j);
}

/* Begin it; the caller ends it. */
ALWAYS_INLINE void jsonw_member_array(struct jsonw *j, const char *key)
{
	jsonw_key(j, key);
	jsonw_array_begin(j);
}

/* The newline behind an object that is a line; the writer can begin the next one. */
void jsonw_line_end(struct jsonw *j);

#endif
