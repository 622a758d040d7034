/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_BASE64_H
#define NSLENS_WIRE_BASE64_H

#include <stddef.h>

/* Bytes that base64_encode() writes for @len bytes, the NUL included. */
#define BASE64_TEXT_MAX(len) (((len) + 2) / 3 * 4 + 1)

/* Standard alphabet, padded (RFC 4648, 4), to @text of BASE64_TEXT_MAX(@len). Returns @text. */
const char *base64_encode(const void *data, size_t len, char *text);

#endif
