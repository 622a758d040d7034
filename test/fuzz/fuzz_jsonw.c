// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/wire/jsonw.c src/wire/utf8.c src/wire/decimal.c src/wire/timestamp.c
// FUZZ-SOURCES: src/wire/printable.c src/base/buf.c
// FUZZ-LIBS: -ljansson
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/jsonw.h"
#include "wire/printable.h"
#include "wire/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* What a reader must get: the text with U+FFFD for what is no UTF-8. */
static struct buf replaced(const char *s, size_t len)
{
	struct buf out = { 0 };
	uint32_t c;

	buf_add(&out, "", 0);
	for (size_t at = 0; at < len;) {
		unsigned int n = utf8_decode(s + at, len - at, &c);

		require(n >= 1 && n <= len - at);
		if (c == UTF8_INVALID)
			buf_adds(&out, "\xef\xbf\xbd");
		else
			buf_add(&out, s + at, n);
		at += n;
	}
	return out;
}

/* One line, no control character; read back, it is the text. */
static void check_string(const char *s, size_t len)
{
	struct buf out = { 0 }, want = replaced(s, len);
	struct jsonw j = jsonw_on(&out);
	json_t *array;

	jsonw_array_begin(&j);
	jsonw_string_n(&j, s, len);
	jsonw_u64(&j, len);
	jsonw_array_end(&j);
	for (size_t i = 0; i < out.len; i++)
		require((unsigned char)out.data[i] >= 0x20 && out.data[i] != 0x7f);
	array = json_loadb(out.data, out.len, JSON_ALLOW_NUL, NULL);
	require(array && json_array_size(array) == 2);
	require(json_string_length(json_array_get(array, 0)) == want.len);
	require(!memcmp(json_string_value(json_array_get(array, 0)), want.data, want.len));
	json_decref(array);
	buf_fini(&out);
	buf_fini(&want);
}

/* Nothing that a terminal would obey, and cut, it is as wide as it may be at most. */
static void check_printable(const char *s, size_t max)
{
	struct buf out = { 0 };

	printable_add(&out, s);
	for (size_t i = 0; i < out.len; i++)
		require((unsigned char)out.data[i] >= 0x20 && out.data[i] != 0x7f);
	buf_reset(&out);
	printable_add_cut(&out, s, max);
	require(printable_width(out.data, out.len) <= max);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as long as it is said to be, so that reading beyond is noticed. */
	char *exact = malloc(size + !size), *text = calloc(1, size + 1);

	require(exact && text);
	memcpy(exact, data, size);
	memcpy(text, data, size);
	check_string(exact, size);
	check_printable(text, 1 + size % 40);
	free(exact);
	free(text);
	return 0;
}
