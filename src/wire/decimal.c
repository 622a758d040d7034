// SPDX-License-Identifier: Apache-2.0
#include "wire/decimal.h"

#include <string.h>

char *decimal_put(char *to, uint64_t value)
{
	char digits[DECIMAL_MAX];
	unsigned int at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	memcpy(to, digits + at, sizeof(digits) - at);
	return to + sizeof(digits) - at;
}
