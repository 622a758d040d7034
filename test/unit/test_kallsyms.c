// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "sys/kallsyms.h"

static int find(const char *text, const char *name, struct symbol_range *ret_range)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int err;

	assert_non_null(f);
	err = kallsyms_find(f, name, ret_range);
	fclose(f);
	return err;
}

static void ends_at_the_next_greater_address(void **state)
{
	struct symbol_range r = { 0 };

	assert_int_equal(find("ffffffff82056060 t __pfx_birth\n"
			      "ffffffff82056070 t birth\n"
			      "ffffffff82056070 t alias\n"
			      "ffffffff82056200 t next\n",
			      "birth", &r),
			 0);
	assert_true(r.from == 0xffffffff82056070 && r.to == 0xffffffff82056200);
}

static void takes_the_copy_but_not_the_cold_part(void **state)
{
	struct symbol_range r = { 0 };

	assert_int_equal(find("1000 t birth.cold\n2000 t birth.isra.0\n3000 t c\n", "birth", &r),
			 0);
	assert_true(r.from == 0x2000 && r.to == 0x3000);
}

static void takes_a_module_s(void **state)
{
	struct symbol_range r = { 0 };

	assert_int_equal(find("2000 t birth\t[ip]\n2100 t c\t[ip]\n", "birth", &r), 0);
	assert_true(r.from == 0x2000 && r.to == 0x2100);
}

static void does_not_take_a_longer_name(void **state)
{
	struct symbol_range r;

	assert_int_equal(find("1000 t birthday\n2000 t xbirth\n3000 t c\n", "birth", &r), -ENOENT);
}

static void tells_hidden_addresses(void **state)
{
	struct symbol_range r;

	assert_int_equal(find("0000000000000000 t a\n0000000000000000 t birth\n", "birth", &r),
			 -EPERM);
}

static void a_symbol_without_an_end_is_not_found(void **state)
{
	struct symbol_range r;

	assert_int_equal(find("1000 t birth\n", "birth", &r), -ENOENT);
	assert_int_equal(find("not a line\n\n1000\n1000 t\n", "birth", &r), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_at_the_next_greater_address),
		cmocka_unit_test(takes_the_copy_but_not_the_cold_part),
		cmocka_unit_test(takes_a_module_s),
		cmocka_unit_test(does_not_take_a_longer_name),
		cmocka_unit_test(tells_hidden_addresses),
		cmocka_unit_test(a_symbol_without_an_end_is_not_found),
	};

	return cmocka_run_group_tests_name("kallsyms", tests, NULL, NULL);
}
