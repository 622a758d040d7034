// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/base.h"
#include "discover/survey.h"

static void names_come_from_paths(void **state)
{
	static const char *const paths[][2] = {
		{ "/run/netns/web", "web" },
		{ "/var/run/netns/cni-1", "cni-1" },
		{ "/run/netns/", "/run/netns/" },
		{ "/run/netns/a/b", "/run/netns/a/b" },
		{ "/run/netnsx/web", "/run/netnsx/web" },
		{ "/run/docker/netns/1f3a", "/run/docker/netns/1f3a" },
		{ "/run/user/1000/netns/web", "/run/user/1000/netns/web" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_string_equal(survey_name_of_path(paths[i][0]), paths[i][1]);
}

static int compare(const void *a, const void *b)
{
	return survey_compare_names(*(const char *const *)a, *(const char *const *)b);
}

static void the_best_name_comes_first(void **state)
{
	const char *names[] = { "/a", "/run/docker/netns/1", "web", "/var/run/docker/netns/0",
				"app" };
	static const char *const sorted[] = { "app", "web", "/run/docker/netns/1",
					      "/var/run/docker/netns/0", "/a" };

	qsort(names, ARRAY_SIZE(names), sizeof(*names), compare);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(names[i], sorted[i]);
	assert_int_equal(survey_compare_names("web", "web"), 0);
}

static void inodes_come_from_roots(void **state)
{
	static const char *const others[] = {
		"mnt:[4026531841]",
		"net:[]",
		"net:[1",
		"net:[1]x",
		"net:[-1]",
		"net:[ 1]",
		"/",
		"net:[4294967296]",
		"net:[99999999999999999999]",
		"",
	};

	assert_int_equal(survey_inode_of_root("net:[4026531833]"), 4026531833);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(survey_inode_of_root(others[i]), 0);
}

static struct netns_entry *add(struct netns_table *t, uint64_t cookie, uint32_t inode)
{
	struct netns_entry *en = netns_table_add(t, &(struct netns_row){ .cookie = cookie,
									 .inode = inode });

	assert_non_null(en);
	return en;
}

static void the_newer_has_the_inode(void **state)
{
	struct netns_table t = { 0 };
	struct netns_entry *older = add(&t, 7, 100), *newer = add(&t, 8, 100);

	assert_ptr_equal(netns_table_get_inode(&t, 100), newer);
	assert_ptr_equal(netns_table_get(&t, 7), older);
	assert_int_equal(netns_table_count(&t), 2);
	netns_table_remove(&t, older);
	netns_entry_free(older);
	assert_null(netns_table_get(&t, 7));
	assert_ptr_equal(netns_table_get_inode(&t, 100), newer);
	netns_table_fini(&t);
	assert_int_equal(netns_table_count(&t), 0);
}

static void the_table_is_in_the_order_of_birth(void **state)
{
	struct netns_table t = { 0 };
	struct netns_entry *en = NULL;
	uint64_t cookie = 0;

	for (uint32_t i = 1; i <= 100; i++)
		add(&t, i, 1000 + i);
	while ((en = netns_table_next(&t, en)))
		assert_int_equal(en->ns.cookie, ++cookie);
	assert_int_equal(cookie, 100);
	netns_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_from_paths),
		cmocka_unit_test(the_best_name_comes_first),
		cmocka_unit_test(inodes_come_from_roots),
		cmocka_unit_test(the_newer_has_the_inode),
		cmocka_unit_test(the_table_is_in_the_order_of_birth),
	};

	return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
