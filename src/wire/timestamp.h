/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_TIMESTAMP_H
#define NSLENS_WIRE_TIMESTAMP_H

#include <stdint.h>

enum { TIMESTAMP_TEXT_MAX = 31 };

/* CLOCK_REALTIME ns as RFC 3339 in UTC, "2026-01-31T23:59:59.000000001Z". Returns @text. */
const char *timestamp_format(uint64_t realtime_ns, char text[TIMESTAMP_TEXT_MAX]);

#endif
