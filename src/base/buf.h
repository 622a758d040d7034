/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_BASE_BUF_H
#define NSLENS_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

/*
 * A growing string. data is NUL-terminated once anything was added. A failed allocation sets failed
 * and leaves the content as it was: check once, before use, not after each call. Zero-initialised
 * is empty.
 */
struct buf {
	char *data;
	size_t len;
	size_t cap;
	bool failed;
};

/* Append bytes, a string, a character, formatted text. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/*
 * Where the next bytes go, with room for @n of them and a NUL; NULL if failed. Who wrote there,
 * calls buf_wrote() with what is behind the last.
 */
char *buf_room(struct buf *b, size_t n);
static inline void buf_wrote(struct buf *b, char *end)
{
	b->len = (size_t)(end - b->data);
	*end = '\0';
}
/* Empty it, keep the memory. */
void buf_reset(struct buf *b);
void buf_fini(struct buf *b);
/* Its string, in a block no longer than that, the caller's to free; NULL if failed. Empties it. */
char *buf_take(struct buf *b);

#endif
