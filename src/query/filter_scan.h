/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_QUERY_FILTER_SCAN_H
#define NSLENS_QUERY_FILTER_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* A filter's text as tokens, and errors that say at which column of it they are. */
enum filter_token {
	FILTER_TOKEN_END,
	FILTER_TOKEN_WORD,
	FILTER_TOKEN_QUOTED,   /* quotes included */
	FILTER_TOKEN_UNCLOSED, /* a quote that doesn't end */
	FILTER_TOKEN_OPEN,
	FILTER_TOKEN_CLOSE,
	FILTER_TOKEN_IS,
	FILTER_TOKEN_IS_NOT,
	FILTER_TOKEN_BANG, /* '!' without '=' */
};

struct filter_scan {
	const char *text;
	struct err *e;
	enum filter_token token; /* the one that is looked at ... */
	size_t at, end;		 /* ... and its bytes in text */
};

extern const char filter_scan_spaces[];

/* Look at the next token; the first, if zero-initialised but for text and e. */
void filter_scan_next(struct filter_scan *s);
/* Is the token the word @word? */
bool filter_scan_at(const struct filter_scan *s, const char *word);
/* If so, go on behind it. */
bool filter_scan_take(struct filter_scan *s, const char *word);

enum { FILTER_SHOWN_MAX = 40, FILTER_SHOWN_SIZE = FILTER_SHOWN_MAX + 4 };

/* @len bytes of the user's text as an error may show them: short, printable, whole characters. */
const char *filter_scan_show(const char *text, size_t len, char ret_text[FILTER_SHOWN_SIZE]);
/* The column of the byte @at: from 1, in characters. */
size_t filter_scan_column(const struct filter_scan *s, size_t at);

/* These fill s->e and return a negative errno. */
int filter_scan_error(struct filter_scan *s, size_t at, int errnum, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* "expected @what, found" the token that is looked at. */
int filter_scan_expected(struct filter_scan *s, const char *what);
int filter_scan_no_memory(struct filter_scan *s);

#endif
