// SPDX-License-Identifier: Apache-2.0
#include "wire/base64.h"

#include <stdint.h>

const char *base64_encode(const void *data, size_t len, char *text)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = data;
	char *to = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t v = (uint32_t)p[i] << 16;

		if (left > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		*to++ = alphabet[v >> 18];
		*to++ = alphabet[v >> 12 & 0x3f];
		*to++ = left > 1 ? alphabet[v >> 6 & 0x3f] : '=';
		*to++ = left > 2 ? alphabet[v & 0x3f] : '=';
	}
	*to = '\0';
	return text;
}
