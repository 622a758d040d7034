// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "wire/base64.h"
#include "wire/jsonw.h"
#include "wire/timestamp.h"

static void nests_with_commas(void **state)
{
	struct buf buf = { 0 };
	struct jsonw j = jsonw_on(&buf);

	jsonw_object_begin(&j);
	jsonw_member_u64(&j, "a", 1);
	jsonw_member_array(&j, "b");
	jsonw_u64(&j, 2);
	jsonw_array_begin(&j);
	jsonw_array_end(&j);
	jsonw_bool(&j, false);
	jsonw_object_begin(&j);
	jsonw_object_end(&j);
	jsonw_array_end(&j);
	jsonw_member_object(&j, "c");
	jsonw_member_bool(&j, "d", true);
	jsonw_object_end(&j);
	jsonw_member_string(&j, "e", "f");
	jsonw_object_end(&j);
	jsonw_line_end(&j);
	jsonw_array_begin(&j);
	jsonw_array_end(&j);
	assert_string_equal(buf.data,
			    "{\"a\":1,\"b\":[2,[],false,{}],\"c\":{\"d\":true},\"e\":\"f\"}\n[]");
	buf_fini(&buf);
}

static void prints_integers_in_full(void **state)
{
	struct buf buf = { 0 };
	struct jsonw j = jsonw_on(&buf);

	jsonw_array_begin(&j);
	jsonw_u64(&j, 0);
	jsonw_u64(&j, 9007199254740993ULL);
	jsonw_u64(&j, UINT64_MAX);
	jsonw_i64(&j, -1);
	jsonw_i64(&j, INT64_MIN);
	jsonw_i64(&j, INT64_MAX);
	jsonw_array_end(&j);
	assert_string_equal(buf.data,
			    "[0,9007199254740993,18446744073709551615,-1,-9223372036854775808,"
			    "9223372036854775807]");
	buf_fini(&buf);
}

static void leaves_unknown_strings_out(void **state)
{
	struct buf buf = { 0 };
	struct jsonw j = jsonw_on(&buf);

	jsonw_object_begin(&j);
	jsonw_member_string(&j, "a", NULL);
	jsonw_member_string(&j, "b", "");
	jsonw_member_string(&j, "c", "x");
	jsonw_object_end(&j);
	assert_string_equal(buf.data, "{\"c\":\"x\"}");
	buf_fini(&buf);
}

static void escapes_what_must_be_escaped(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain text", "plain text" },
		{ "\"\\/", "\\\"\\\\/" },
		{ "\b\f\n\r\t", "\\b\\f\\n\\r\\t" },
		{ "\x01\x1b[31m\x7f", "\\u0001\\u001b[31m\\u007f" },
		{ "\xc2\x9b"
		  "31m",
		  "\\u009b31m" }, /* the 8-bit control sequence introducer */
		{ "\xc2\xa0", "\xc2\xa0" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xff"
		  "a",
		  "\xef\xbf\xbd"
		  "a" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },		    /* overlong '/' */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "\xf4\x90\x80\x80",
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* above U+10FFFF */
		{ "\xe2\x82"
		  "a",
		  "\xef\xbf\xbd"
		  "a" }, /* cut short: one for what was there */
		{ "\xf0\x9f\x98", "\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf buf = { 0 }, want = { 0 };
		struct jsonw j = jsonw_on(&buf);

		jsonw_string(&j, cases[i].in);
		buf_addf(&want, "\"%s\"", cases[i].out);
		assert_string_equal(buf.data, want.data);
		buf_fini(&buf);
		buf_fini(&want);
	}
}

static void takes_any_bytes_with_a_length(void **state)
{
	struct buf buf = { 0 };
	struct jsonw j = jsonw_on(&buf);

	jsonw_array_begin(&j);
	jsonw_string_n(&j, "a\0b", 3);
	jsonw_string_n(&j, "\xe2\x82\xac", 2); /* must not read the third byte */
	jsonw_array_end(&j);
	assert_string_equal(buf.data, "[\"a\\u0000b\",\"\xef\xbf\xbd\"]");
	buf_fini(&buf);
}

static void prints_times_as_rfc3339(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000000000Z" },
		{ 951782399999999999ULL, "2000-02-28T23:59:59.999999999Z" },
		{ 951782400000000001ULL, "2000-02-29T00:00:00.000000001Z" },
		{ 951868800000000000ULL, "2000-03-01T00:00:00.000000000Z" },
		{ 1735689599123456789ULL, "2024-12-31T23:59:59.123456789Z" },
		{ 4107542400000000000ULL, "2100-03-01T00:00:00.000000000Z" },
		{ UINT64_MAX, "2554-07-21T23:34:33.709551615Z" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[TIMESTAMP_TEXT_MAX];

		assert_string_equal(timestamp_format(cases[i].ns, text), cases[i].text);
	}
}

/* RFC 4648, section 10. */
static void encodes_base64(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xff\xfe", "///+" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[BASE64_TEXT_MAX(6)];

		assert_string_equal(base64_encode(cases[i][0], strlen(cases[i][0]), text),
				    cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nests_with_commas),
		cmocka_unit_test(prints_integers_in_full),
		cmocka_unit_test(leaves_unknown_strings_out),
		cmocka_unit_test(escapes_what_must_be_escaped),
		cmocka_unit_test(takes_any_bytes_with_a_length),
		cmocka_unit_test(prints_times_as_rfc3339),
		cmocka_unit_test(encodes_base64),
	};

	return cmocka_run_group_tests_name("jsonw", tests, NULL, NULL);
}
