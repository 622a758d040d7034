/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_UTF8_H
#define NSLENS_WIRE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_INVALID UINT32_MAX

/*
 * Decode one character of the @len bytes (at least 1) at @s. Returns how many bytes it takes and
 * sets *ret_char. Where the bytes are no UTF-8, *ret_char is UTF8_INVALID and the return is the
 * length of the maximal part to be replaced by one U+FFFD (1 to 3).
 */
unsigned int utf8_decode(const char *s, size_t len, uint32_t *ret_char);

#endif
