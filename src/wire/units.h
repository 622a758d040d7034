/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_UNITS_H
#define NSLENS_WIRE_UNITS_H

#include <stdint.h>

/* Figures for people. Each function writes to @text of UNITS_TEXT_MAX bytes and returns it. */
enum { UNITS_TEXT_MAX = 32 };

/* "0 B", "999 B", "1.2 kB", "12 kB", "999 kB", "1.2 MB", ... to "18 EB": at most 6 characters. */
const char *units_bytes(uint64_t bytes, char text[UNITS_TEXT_MAX]);
/* "46 us", "1.2 ms", "999 ms", "10.0 s", "2m05s", "3h05m", "12d07h": mostly 6 characters. */
const char *units_duration(uint64_t ns, char text[UNITS_TEXT_MAX]);
/* With commas between the thousands: "4,812". */
const char *units_count(uint64_t n, char text[UNITS_TEXT_MAX]);

#endif
