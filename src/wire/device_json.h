/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_DEVICE_JSON_H
#define NSLENS_WIRE_DEVICE_JSON_H

#include "base/buf.h"
#include "model/device.h"
#include "wire/context.h"

/*
 * Append @row as one line of JSON, newline included, as doc/json-devices.md describes it. @ts_ns:
 * when the devices were looked at, CLOCK_REALTIME. Where memory runs out nothing of the line is
 * appended and out->failed is set.
 */
void device_json(struct buf *out, const struct wire_context *ctx, uint64_t ts_ns,
		 const struct device_row *row);

#endif
