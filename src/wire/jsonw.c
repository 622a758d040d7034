// SPDX-License-Identifier: Apache-2.0
#include "wire/jsonw.h"

#include "wire/decimal.h"
#include "wire/timestamp.h"
#include "wire/utf8.h"

static void jsonw_begin(struct jsonw *j, char bracket)
{
	char *to = jsonw_element_room(j, 1);

	j->comma = false;
	if (!to)
		return;
	*to++ = bracket;
	buf_wrote(j->out, to);
}

static void jsonw_end(struct jsonw *j, char bracket)
{
	char *to = jsonw_room(j, 1);

	j->comma = true;
	if (!to)
		return;
	*to++ = bracket;
	buf_wrote(j->out, to);
}

void jsonw_object_begin(struct jsonw *j)
{
	jsonw_begin(j, '{');
}

void jsonw_object_end(struct jsonw *j)
{
	jsonw_end(j, '}');
}

void jsonw_array_begin(struct jsonw *j)
{
	jsonw_begin(j, '[');
}

void jsonw_array_end(struct jsonw *j)
{
	jsonw_end(j, ']');
}

void jsonw_line_end(struct jsonw *j)
{
	jsonw_end(j, '\n');
	j->comma = false;
}

/* May stand in a string as it is? */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH_BYTE(c) ((c)*0x0101010101010101ULL)

/* The high bit of some byte is set where a byte of @v is 0. */
static uint64_t zero_byte(uint64_t v)
{
	return (v - EACH_BYTE(1)) & ~v & EACH_BYTE(0x80);
}

/* May all eight bytes stand in a string as they are? */
static bool are_plain(const char *s)
{
	uint64_t v, special;

	memcpy(&v, s, sizeof(v));
	special = (v & EACH_BYTE(0x80)) | ((v - EACH_BYTE(0x20)) & ~v & EACH_BYTE(0x80));
	special |= zero_byte(v ^ EACH_BYTE('"')) | zero_byte(v ^ EACH_BYTE('\\'));
	return !(special | zero_byte(v ^ EACH_BYTE(0x7f)));
}

/* How many of the @len bytes at @s, from the first, may stand in a string as they are? */
static size_t plain_length(const char *s, size_t len)
{
	size_t n = 0;

	while (len - n >= 8 && are_plain(s + n))
		n += 8;
	while (n < len && is_plain((unsigned char)s[n]))
		n++;
	return n;
}

/* A control character, a quote or a backslash. */
static void add_escaped(struct buf *out, uint32_t c)
{
	static const char hex[] = "0123456789abcdef";
	static const char escapes[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
					['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
	char text[6] = { '\\', 'u', '0', '0', hex[c >> 4 & 0xf], hex[c & 0xf] };

	if (c < sizeof(escapes) && escapes[c]) {
		text[1] = escapes[c];
		buf_add(out, text, 2);
	} else {
		buf_add(out, text, sizeof(text));
	}
}

/* The rest of a string that can't stand as it is, with the quote behind it. */
static void add_special(struct buf *out, const char *s, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t n = plain_length(s + at, len - at);
		uint32_t c;

		buf_add(out, s + at, n);
		at += n;
		if (at == len)
			break;
		n = utf8_decode(s + at, len - at, &c);
		if (c == UTF8_INVALID)
			buf_adds(out, "\xef\xbf\xbd");
		else if (c < 0xa0)
			add_escaped(out, c);
		else
			buf_add(out, s + at, n);
		at += n;
	}
	buf_addc(out, '"');
}

void jsonw_string_n(struct jsonw *j, const char *s, size_t len)
{
	size_t n = plain_length(s, len);
	char *to = jsonw_element_room(j, n + 2);

	if (!to)
		return;
	*to++ = '"';
	memcpy(to, s, n);
	to += n;
	if (n == len)
		*to++ = '"';
	buf_wrote(j->out, to);
	if (n < len)
		add_special(j->out, s + n, len - n);
}

void jsonw_u64(struct jsonw *j, uint64_t value)
{
	char *to = jsonw_element_room(j, DECIMAL_MAX);

	if (to)
		buf_wrote(j->out, decimal_put(to, value));
}

void jsonw_i64(struct jsonw *j, int64_t value)
{
	char *to = jsonw_element_room(j, 1 + DECIMAL_MAX);

	if (!to)
		return;
	if (value < 0)
		*to++ = '-';
	buf_wrote(j->out, decimal_put(to, value < 0 ? -(uint64_t)value : (uint64_t)value));
}

void jsonw_bool(struct jsonw *j, bool value)
{
	char *to = jsonw_element_room(j, sizeof("false"));

	if (to)
		buf_wrote(j->out, stpcpy(to, value ? "true" : "false"));
}

void jsonw_time(struct jsonw *j, uint64_t realtime_ns)
{
	char text[TIMESTAMP_TEXT_MAX];

	jsonw_string(j, timestamp_format(realtime_ns, text));
}
