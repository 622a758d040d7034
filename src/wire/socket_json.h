/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_SOCKET_JSON_H
#define NSLENS_WIRE_SOCKET_JSON_H

#include "base/buf.h"
#include "model/socket.h"
#include "wire/context.h"

/*
 * Append @s as one line of JSON, newline included, as doc/json.md describes it. @ts_ns: when the
 * sockets were looked at, CLOCK_REALTIME. Where memory runs out nothing of the line is appended and
 * out->failed is set.
 */
void socket_json(struct buf *out, const struct wire_context *ctx, uint64_t ts_ns,
		 const struct socket_row *s);

#endif
