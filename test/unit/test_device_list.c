// SPDX-License-Identifier: Apache-2.0
/* The list of devices: who is in it and in which order; and which cgroups live where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/device_list.h"
#include "lib/sample_devices.h"
#include "query/subject_device.h"

static struct wire_context context;
static struct device_row rows[N_SAMPLE_DEVICES];

/* The list with that filter. */
static struct buf list(const char *text, bool json)
{
	struct device_list_options o = { .context = &context,
					 .ts_ns = SAMPLE_NOW_NS,
					 .json = json };
	struct filter *f;
	struct buf out = { 0 };
	struct err e;

	if (filter_compile(text, &filter_subject_device, &f, &e))
		fail_msg("%s: %s", text, e.text);
	o.filter = f;
	if (device_list_print(&out, &o, rows, N_SAMPLE_DEVICES, &e))
		fail_msg("%s: %s", text, e.text);
	filter_free(f);
	return out;
}

static unsigned int lines(const struct buf *b)
{
	unsigned int n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->data[i] == '\n';
	return n;
}

/* The samples backwards: they come back in the order that they were made in. */
static void sorts_by_namespace(void **state)
{
	struct buf right = list(NULL, true), sorted;

	for (int i = 0; i < N_SAMPLE_DEVICES / 2; i++) {
		struct device_row row = rows[i];

		rows[i] = rows[N_SAMPLE_DEVICES - 1 - i];
		rows[N_SAMPLE_DEVICES - 1 - i] = row;
	}
	sorted = list(NULL, true);
	assert_string_equal(sorted.data, right.data);
	assert_int_equal(lines(&sorted), N_SAMPLE_DEVICES);
	assert_non_null(strstr(sorted.data, "\"name\":\"lo\""));
	assert_true(strstr(sorted.data, "\"cookie\":1}") < strstr(sorted.data, "\"cookie\":4097"));
	buf_fini(&right);
	buf_fini(&sorted);
	sample_device_rows(rows);
}

static void chooses_by_the_filter(void **state)
{
	static const struct {
		const char *text;
		unsigned int n;
	} cases[] = {
		{ "kind=veth", 3 },
		{ "netns=blue", 2 },
		{ "driver=igb*", 2 },
		{ "netns=4026531840", 4 },
		{ "device=nothing", 0 },
		{ "cgroup=/no/such/cgroup", 0 },
		{ "kind=vf or device=lo", 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf out = list(cases[i].text, true);

		if (lines(&out) != cases[i].n)
			fail_msg("'%s' gives %u", cases[i].text, lines(&out));
		buf_fini(&out);
	}
}

static void text_ends_with_the_totals(void **state)
{
	struct buf out = list("kind=veth", false);

	assert_non_null(strstr(out.data, "\n3 devices in 3 namespaces, 2 fully covered\n"));
	buf_fini(&out);
	out = list("kind=nothing", false);
	assert_non_null(strstr(out.data, "\n0 devices in 0 namespaces, 0 fully covered\n"));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_by_namespace),
		cmocka_unit_test(chooses_by_the_filter),
		cmocka_unit_test(text_ends_with_the_totals),
	};

	wire_context_init(&context, "node-1", SAMPLE_BOOT_NS);
	context.host_netns_cookie = SAMPLE_HOST_COOKIE;
	sample_device_rows(rows);
	return cmocka_run_group_tests_name("device_list", tests, NULL, NULL);
}
