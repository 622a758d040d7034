// SPDX-License-Identifier: Apache-2.0
#include "wire/decimal.h"

const char decimal_pairs[200] = "0001020304050607080910111213141516171819"
				"2021222324252627282930313233343536373839"
				"4041424344454647484950515253545556575859"
				"6061626364656667686970717273747576777879"
				"8081828384858687888990919293949596979899";

static unsigned int count_digits(uint64_t value)
{
	unsigned int n = 1;

	for (; value >= 10000; value /= 10000)
		n += 4;
	return n + (value >= 10) + (value >= 100) + (value >= 1000);
}

char *decimal_put(char *to, uint64_t value)
{
	char *end = to + count_digits(value), *at = end;

	for (; value >= 10; value /= 100) {
		at -= 2;
		decimal_put_pair(at, value);
	}
	if (at > to)
		*to = (char)('0' + value);
	return end;
}
