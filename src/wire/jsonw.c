// SPDX-License-Identifier: Apache-2.0
#include "wire/jsonw.h"

#include "wire/decimal.h"
#include "wire/timestamp.h"
#include "wire/utf8.h"

/* buf_add(), inline where there is room: a line is a hundred short pieces. */
static inline void add(struct buf *out, const char *data, size_t len)
{
	if (out->cap - out->len <= len || out->failed) {
		buf_add(out, data, len);
		return;
	}
	memcpy(out->data + out->len, data, len);
	out->len += len;
	out->data[out->len] = '\0';
}

static inline void add_char(struct buf *out, char c)
{
	add(out, &c, 1);
}

/* Before a value or a key: the comma, if something stands before it in the same object or array. */
static void jsonw_separate(struct jsonw *j)
{
	if (j->comma)
		add_char(j->out, ',');
	j->comma = true;
}

static void jsonw_begin(struct jsonw *j, char bracket)
{
	jsonw_separate(j);
	add_char(j->out, bracket);
	j->comma = false;
}

static void jsonw_end(struct jsonw *j, char bracket)
{
	add_char(j->out, bracket);
	j->comma = true;
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
	add_char(j->out, '\n');
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
		add(out, text, 2);
	} else {
		add(out, text, sizeof(text));
	}
}

static void add_quoted(struct buf *out, const char *s, size_t len)
{
	size_t at = 0;

	add_char(out, '"');
	while (at < len) {
		size_t n = plain_length(s + at, len - at);
		uint32_t c;

		add(out, s + at, n);
		at += n;
		if (at == len)
			break;
		n = utf8_decode(s + at, len - at, &c);
		if (c == UTF8_INVALID)
			buf_adds(out, "\xef\xbf\xbd");
		else if (c < 0xa0)
			add_escaped(out, c);
		else
			add(out, s + at, n);
		at += n;
	}
	add_char(out, '"');
}

void jsonw_string_n(struct jsonw *j, const char *s, size_t len)
{
	jsonw_separate(j);
	add_quoted(j->out, s, len);
}

void jsonw_string(struct jsonw *j, const char *s)
{
	jsonw_string_n(j, s, strlen(s));
}

void jsonw_key_n(struct jsonw *j, const char *key, size_t len)
{
	jsonw_separate(j);
	add_char(j->out, '"');
	add(j->out, key, len);
	add(j->out, "\":", 2);
	j->comma = false;
}

static void add_u64(struct buf *out, uint64_t value)
{
	char text[DECIMAL_MAX];

	add(out, text, (size_t)(decimal_put(text, value) - text));
}

void jsonw_u64(struct jsonw *j, uint64_t value)
{
	jsonw_separate(j);
	add_u64(j->out, value);
}

void jsonw_i64(struct jsonw *j, int64_t value)
{
	jsonw_separate(j);
	if (value < 0)
		add_char(j->out, '-');
	add_u64(j->out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void jsonw_bool(struct jsonw *j, bool value)
{
	jsonw_separate(j);
	buf_adds(j->out, value ? "true" : "false");
}

void jsonw_time(struct jsonw *j, uint64_t realtime_ns)
{
	char text[TIMESTAMP_TEXT_MAX];

	jsonw_string(j, timestamp_format(realtime_ns, text));
}
