/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_BASE_QUANTITY_H
#define NSLENS_BASE_QUANTITY_H

#include <stdint.h>

/* Numbers and durations as people write them: "4096"; "500ms", "10s", "2m", "1h", "1d", also us. */

/* Decimal digits only, up to @max. 0, -EINVAL or -ERANGE. */
int number_parse(const char *text, uint64_t max, uint64_t *ret_number);
/* Digits and a unit, without spaces. 0, -EINVAL, or -ERANGE if it doesn't fit 64 bits of ns. */
int duration_parse(const char *text, uint64_t *ret_ns);

enum { DURATION_TEXT_MAX = 24 };

/* In the largest unit without a fraction: "90s", "1h". @text has DURATION_TEXT_MAX bytes. */
const char *duration_format(uint64_t ns, char *text);

#endif
