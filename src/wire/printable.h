/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_PRINTABLE_H
#define NSLENS_WIRE_PRINTABLE_H

#include <stddef.h>

#include "base/buf.h"

/*
 * Names and arguments come from strangers, a terminal believes what it reads. Append @s such that
 * it can't move the cursor, change colours, reverse the writing or begin a line: "\x1b" for a
 * control character or a byte that is no UTF-8, "\u202e" for what changes the direction or the
 * joining of others, "\u2028" for a line separator.
 */
void printable_add(struct buf *out, const char *s);

/* The same, at most @max characters: what is longer is cut, and ends in "~". */
void printable_add_cut(struct buf *out, const char *s, size_t max);

/* How many columns the @len bytes at @s take, as UTF-8; SGR sequences (ESC [ ... m) take none. */
size_t printable_width(const char *s, size_t len);

#endif
