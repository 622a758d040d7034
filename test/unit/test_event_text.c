// SPDX-License-Identifier: Apache-2.0
/* The lines are compared with test/golden/event_text.txt; --golden prints what they are now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/golden.h"
#include "lib/sample_events.h"
#include "wire/event_text.h"
#include "wire/printable.h"
#include "wire/units.h"

#define GOLDEN "test/golden/event_text.txt"

static struct wire_context context;

static struct event (*const samples[])(void) = {
	sample_tcp_open,     sample_tcp_close, sample_udp_bare,	   sample_tcp_refused,
	sample_icmp_update,  sample_tcp_host,  sample_tcp_adopted, sample_tcp_long_names,
	sample_tcp_troubled, sample_passing,   sample_lost,	   sample_finding,
	sample_finding_over, sample_totals,
};

/* All samples in each layout. */
static void print_all(struct buf *out)
{
	static const struct text_options layouts[] = {
		{ 80, false }, { 120, false }, { 0, false }, { 120, true }
	};

	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		buf_addf(out, "== %u columns%s\n", layouts[i].columns,
			 layouts[i].colour ? ", coloured" : "");
		event_text_header(out, &layouts[i]);
		for (size_t k = 0; k < ARRAY_SIZE(samples); k++) {
			struct event event = samples[k]();

			event_text(out, &context, &layouts[i], &event);
		}
	}
}

static void reads_as_the_golden_file(void **state)
{
	assert_golden(GOLDEN, print_all);
}

/* The text of one event, without its newline. */
static struct buf text_of(struct event event, unsigned int columns, bool colour)
{
	struct text_options options = { columns, colour };
	struct buf out = { 0 };

	event_text(&out, &context, &options, &event);
	assert_int_equal(out.data[out.len - 1], '\n');
	out.data[--out.len] = '\0';
	return out;
}

static void fits_the_terminal(void **state)
{
	static const unsigned int columns[] = { 80, 120 };

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		struct text_options options = { columns[i], false };
		struct event events[] = { sample_tcp_open(), sample_udp_bare(), sample_tcp_host() };
		struct buf out = { 0 };

		event_text_header(&out, &options);
		assert_true(out.len - 1 <= columns[i]);
		buf_fini(&out);
		for (size_t k = 0; k < ARRAY_SIZE(events); k++) {
			out = text_of(events[k], columns[i], false);
			assert_true(printable_width(out.data, out.len) <= columns[i]);
			buf_fini(&out);
		}
	}
}

static void lets_nobody_own_the_terminal(void **state)
{
	struct buf out = text_of(sample_tcp_refused(), 120, false);

	for (size_t i = 0; i < out.len; i++)
		assert_true(out.data[i] >= 0x20 && out.data[i] < 0x7f);
	assert_non_null(strstr(out.data, "\\x1b[2J\\x0d\\x0a\\x09\\x9b1[666]"));
	buf_fini(&out);
}

static void colours_only_if_asked(void **state)
{
	struct buf plain = text_of(sample_tcp_refused(), 120, false);
	struct buf coloured = text_of(sample_tcp_refused(), 120, true);

	assert_null(strchr(plain.data, '\x1b'));
	assert_non_null(strstr(coloured.data, "\x1b[1;31mfail\x1b[0m"));
	assert_int_equal(printable_width(coloured.data, coloured.len),
			 printable_width(plain.data, plain.len));
	buf_fini(&plain);
	buf_fini(&coloured);
}

static void says_losses_and_totals(void **state)
{
	struct event totals = sample_totals();
	struct buf out = text_of(totals, 80, false);

	assert_string_equal(out.data,
			    "12 conversations, 0 lost, 5 of 5 namespaces covered, 10.0 s");
	buf_fini(&out);
	totals.totals.conversations = 1;
	totals.totals.lost = 1234;
	totals.totals.netns_covered = 0;
	totals.totals.netns_total = 1;
	out = text_of(totals, 80, false);
	assert_string_equal(out.data,
			    "1 conversation, 1,234 lost, 0 of 1 namespace covered, 10.0 s");
	buf_fini(&out);
	out = text_of(sample_lost(), 80, false);
	assert_non_null(strstr(out.data, "LOST   12 records: ring_full: "));
	buf_fini(&out);
}

static void says_findings(void **state)
{
	struct event event = sample_finding();
	struct buf out = text_of(event, 120, false);

	assert_string_equal(out.data, "12:00:00.350 ALERT  hook starved on eth0@blue, tcx/ingress: "
				      "program 17 runs before ours and kept 120 packets from it");
	buf_fini(&out);
	out = text_of(sample_finding_over(), 120, false);
	assert_string_equal(out.data, "12:00:00.350 OVER   hook removed on device 3");
	buf_fini(&out);
	event.finding.device_name = "\x1b[2J";
	event.finding.reason = "a\nb";
	out = text_of(event, 80, true);
	assert_string_equal(out.data, "\x1b[1;31m12:00:00 ALERT  hook starved on \\x1b[2J@blue, "
				      "tcx/ingress: a\\x0ab\x1b[0m");
	buf_fini(&out);
}

static void names_bytes_and_times(void **state)
{
	static const struct {
		const char *(*format)(uint64_t, char *);
		uint64_t value;
		const char *text;
	} cases[] = {
		{ units_bytes, 0, "0 B" },
		{ units_bytes, 999, "999 B" },
		{ units_bytes, 1000, "1.0 kB" },
		{ units_bytes, 9999, "9.9 kB" },
		{ units_bytes, 10000, "10 kB" },
		{ units_bytes, 999999, "999 kB" },
		{ units_bytes, 1000000, "1.0 MB" },
		{ units_bytes, UINT64_MAX, "18 EB" },
		{ units_duration, 0, "0 ns" },
		{ units_duration, 45678, "45 us" },
		{ units_duration, 1234567, "1.2 ms" },
		{ units_duration, 999999999, "999 ms" },
		{ units_duration, 9999999999, "9.9 s" },
		{ units_duration, 10003000000, "10.0 s" },
		{ units_duration, 59999999999, "59.9 s" },
		{ units_duration, 125 * NS_PER_SEC, "2m05s" },
		{ units_duration, 11100 * NS_PER_SEC, "3h05m" },
		{ units_duration, 1062000 * NS_PER_SEC, "12d07h" },
		{ units_count, 0, "0" },
		{ units_count, 999, "999" },
		{ units_count, 4812, "4,812" },
		{ units_count, UINT64_MAX, "18,446,744,073,709,551,615" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[UNITS_TEXT_MAX];

		assert_string_equal(cases[i].format(cases[i].value, text), cases[i].text);
	}
}

static void escapes_and_cuts_names(void **state)
{
	static const struct {
		const char *name;
		size_t max;
		const char *text;
	} cases[] = {
		{ "blue", 4, "blue" },
		{ "blues", 4, "blu~" },
		{ "", 4, "" },
		{ "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", 4, "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc" },
		{ "\xe4\xb8\xad\xe6\x96\x87", 4, "\xe4\xb8\xad\xe6\x96\x87" },
		{ "\xe4\xb8\xad\xe6\x96\x87x", 4, "\xe4\xb8\xad~" },
		{ "a\nb", 6, "a\\x0ab" },
		{ "a\nb", 5, "a~" },
		{ "\xe2\x80\xae", 6, "\\u202e" },
		{ "\xff\x7f", 8, "\\xff\\x7f" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf out = { 0 };

		buf_adds(&out, "");
		printable_add_cut(&out, cases[i].name, cases[i].max);
		assert_string_equal(out.data, cases[i].text);
		buf_fini(&out);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_as_the_golden_file),
		cmocka_unit_test(fits_the_terminal),
		cmocka_unit_test(lets_nobody_own_the_terminal),
		cmocka_unit_test(colours_only_if_asked),
		cmocka_unit_test(says_losses_and_totals),
		cmocka_unit_test(says_findings),
		cmocka_unit_test(names_bytes_and_times),
		cmocka_unit_test(escapes_and_cuts_names),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	wire_context_init(&context, "node-1", SAMPLE_BOOT_NS);
	context.host_netns_cookie = 1;
	if (argc > 1 && !strcmp(argv[1], "--golden"))
		return write_printed(print_all);
	return cmocka_run_group_tests_name("event_text", tests, NULL, NULL);
}
