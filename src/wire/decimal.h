/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_DECIMAL_H
#define NSLENS_WIRE_DECIMAL_H

#include <stdint.h>
#include <string.h>

enum { DECIMAL_MAX = 20 };

/* "00", "01", ... "99". */
extern const char decimal_pairs[200];

/* Write the last two digits of @value to @to. */
static inline void decimal_put_pair(char *to, uint64_t value)
{
	memcpy(to, decimal_pairs + 2 * (value % 100), 2);
}

/* Write @value in decimal to @to, without a NUL; returns the end, at most DECIMAL_MAX further. */
char *decimal_put(char *to, uint64_t value);

#endif
