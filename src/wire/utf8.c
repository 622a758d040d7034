// SPDX-License-Identifier: Apache-2.0
#include "wire/utf8.h"

/* What a first byte promises: how many follow, its own bits, and the range of the second byte. */
struct lead {
	unsigned int n_follow;
	uint8_t bits, second_min, second_max;
};

static struct lead lead_of(uint8_t c)
{
	if (c >= 0xc2 && c <= 0xdf)
		return (struct lead){ 1, c & 0x1f, 0x80, 0xbf };
	if (c >= 0xe0 && c <= 0xef) /* no overlong forms, no surrogates */
		return (struct lead){ 2, c & 0x0f, c == 0xe0 ? 0xa0 : 0x80,
				      c == 0xed ? 0x9f : 0xbf };
	if (c >= 0xf0 && c <= 0xf4) /* no overlong forms, nothing above U+10FFFF */
		return (struct lead){ 3, c & 0x07, c == 0xf0 ? 0x90 : 0x80,
				      c == 0xf4 ? 0x8f : 0xbf };
	return (struct lead){ 0 };
}

unsigned int utf8_decode(const char *s, size_t len, uint32_t *ret_char)
{
	const uint8_t *p = (const uint8_t *)s;
	struct lead lead;
	uint32_t c;

	*ret_char = UTF8_INVALID;
	if (p[0] < 0x80) {
		*ret_char = p[0];
		return 1;
	}
	lead = lead_of(p[0]);
	c = lead.bits;
	for (unsigned int i = 1; i <= lead.n_follow; i++) {
		uint8_t min = i == 1 ? lead.second_min : 0x80,
			max = i == 1 ? lead.second_max : 0xbf;

		if (i >= len || p[i] < min || p[i] > max)
			return i;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (lead.n_follow)
		*ret_char = c;
	return lead.n_follow + 1;
}
