/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_DECIMAL_H
#define NSLENS_WIRE_DECIMAL_H

#include <stdint.h>

enum { DECIMAL_MAX = 20 };

/* Write @value in decimal to @to, without a NUL; returns the end, at most DECIMAL_MAX further. */
char *decimal_put(char *to, uint64_t value);

#endif
