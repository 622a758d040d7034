// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "base/quantity.h"

static void test_number(void **state)
{
	uint64_t n = 7;

	assert_int_equal(number_parse("0", 0, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(number_parse("0042", 42, &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(number_parse("18446744073709551615", UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(number_parse("18446744073709551616", UINT64_MAX, &n), -ERANGE);
	assert_int_equal(number_parse("99999999999999999999999", UINT64_MAX, &n), -ERANGE);
	assert_int_equal(number_parse("43", 42, &n), -ERANGE);
	assert_true(n == UINT64_MAX); /* an error changes nothing */
	for (unsigned int i = 0; i < 8; i++) {
		static const char *const wrong[] = {
			"", " ", "-1", "+1", "1 ", " 1", "0x1", "1.5"
		};

		assert_int_equal(number_parse(wrong[i], UINT64_MAX, &n), -EINVAL);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} right[] = {
		{ "0s", 0 },
		{ "1ns", 1 },
		{ "100us", 100000 },
		{ "500ms", 500 * NS_PER_MS },
		{ "10s", 10 * NS_PER_SEC },
		{ "2m", 120 * NS_PER_SEC },
		{ "1h", 3600 * NS_PER_SEC },
		{ "7d", 7 * 86400 * NS_PER_SEC },
	};
	static const char *const wrong[] = { "",    "10", "s",	 "ms",	"1.5s", "-1s",
					     "1 s", "1S", "1s ", "1hs", "1min", " 1s" };
	uint64_t ns = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(right); i++) {
		assert_int_equal(duration_parse(right[i].text, &ns), 0);
		assert_true(ns == right[i].ns);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(duration_parse(wrong[i], &ns), -EINVAL);
	assert_int_equal(duration_parse("213503d", &ns), 0);
	assert_int_equal(duration_parse("213504d", &ns), -ERANGE);
	assert_int_equal(duration_parse("18446744073709551616ns", &ns), -ERANGE);
}

static void test_duration_format(void **state)
{
	char text[DURATION_TEXT_MAX];

	assert_string_equal(duration_format(0, text), "0s");
	assert_string_equal(duration_format(1, text), "1ns");
	assert_string_equal(duration_format(1500 * NS_PER_MS, text), "1500ms");
	assert_string_equal(duration_format(90 * NS_PER_SEC, text), "90s");
	assert_string_equal(duration_format(3600 * NS_PER_SEC, text), "1h");
	assert_string_equal(duration_format(48 * 3600 * NS_PER_SEC, text), "2d");
	assert_string_equal(duration_format(UINT64_MAX, text), "18446744073709551615ns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_duration_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
