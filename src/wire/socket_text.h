/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_SOCKET_TEXT_H
#define NSLENS_WIRE_SOCKET_TEXT_H

#include <stddef.h>

#include "base/buf.h"
#include "model/socket.h"

/*
 * Append the table of @n sockets for people: a line of headings, then a line a socket, columns as
 * wide as their widest cell. Control characters in names are shown as '?'. Where memory runs out
 * out->failed is set.
 */
void socket_text(struct buf *out, const struct socket_row *const *rows, size_t n);

#endif
