/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_DEVICE_TEXT_H
#define NSLENS_WIRE_DEVICE_TEXT_H

#include <stddef.h>

#include "base/buf.h"
#include "model/device.h"
#include "wire/context.h"

/*
 * Append the table of @n devices for people: a line of headings, a line a device, what the marks in
 * it mean, and the totals. The devices of a namespace stand together in @rows. Columns are as wide
 * as their widest cell; long names of namespaces are cut. Where memory runs out out->failed is set.
 *
 * Figures are ours, "+N" behind them what the kernel counted beside; "(N)" is the kernel's figure
 * where nslens did not count, N where it counted nowhere. A reason that all share who have one
 * stands once, behind the table.
 */
void device_text(struct buf *out, const struct wire_context *ctx,
		 const struct device_row *const *rows, size_t n);

#endif
