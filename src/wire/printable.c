// SPDX-License-Identifier: Apache-2.0
#include "wire/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wire/utf8.h"

/* Invisible characters that act on others: direction, joining, line and paragraph ends. */
static bool is_invisible(uint32_t c)
{
	return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

/* One character of @s, which takes @n bytes. */
static void add_char(struct buf *out, const char *s, unsigned int n, uint32_t c)
{
	if (c == UTF8_INVALID)
		for (unsigned int i = 0; i < n; i++)
			buf_addf(out, "\\x%02x", (unsigned char)s[i]);
	else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		buf_addf(out, "\\x%02x", c);
	else if (is_invisible(c))
		buf_addf(out, "\\u%04x", c);
	else
		buf_add(out, s, n);
}

void printable_add_cut(struct buf *out, const char *s, size_t max)
{
	size_t len = strlen(s), at = 0, fits = out->len, width = 0;
	uint32_t c;

	while (at < len) {
		unsigned int n = utf8_decode(s + at, len - at, &c);
		size_t begin = out->len;

		add_char(out, s + at, n, c);
		if (out->failed)
			return;
		width += printable_width(out->data + begin, out->len - begin);
		if (width > max) {
			out->len = fits;
			buf_addc(out, '~');
			return;
		}
		/* Where it can be cut and still leave room for the "~". */
		if (width < max)
			fits = out->len;
		at += n;
	}
}

void printable_add(struct buf *out, const char *s)
{
	size_t len = strlen(s), at = 0;
	uint32_t c;

	while (at < len) {
		unsigned int n = utf8_decode(s + at, len - at, &c);

		add_char(out, s + at, n, c);
		at += n;
	}
}

/* East Asian wide characters and emoji take two columns. */
static size_t char_width(uint32_t c)
{
	return 1 + ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
		    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
		    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
		    (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
		    (c >= 0x20000 && c <= 0x3fffd));
}

size_t printable_width(const char *s, size_t len)
{
	size_t width = 0, at = 0;
	uint32_t c;

	while (at < len) {
		if (s[at] == '\x1b') {
			const char *end = memchr(s + at, 'm', len - at);

			at = end ? (size_t)(end - s) + 1 : len;
			continue;
		}
		at += utf8_decode(s + at, len - at, &c);
		width += char_width(c);
	}
	return width;
}
