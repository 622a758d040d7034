// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "lib/sample_events.h"
#include "sink/sink.h"
#include "wire/event_json.h"

static struct wire_context context;

struct stream {
	const struct sink *sink;
	void *state;
	struct buf out;
};

static struct stream stream_open(const char *name, unsigned int fold_above)
{
	struct sink_options options = { .context = &context, .fold_above = fold_above };
	struct stream s = { .sink = sink_find(name) };

	assert_non_null(s.sink);
	assert_int_equal(s.sink->new (&options, &s.state), 0);
	return s;
}

static void stream_close(struct stream *s)
{
	s->sink->free(s->state);
	buf_fini(&s->out);
}

static void put(struct stream *s, struct event event)
{
	s->sink->event(s->state, &s->out, &event);
}

static void tick(struct stream *s, uint64_t after_ns)
{
	s->sink->tick(s->state, &s->out, SAMPLE_NOW_NS + after_ns);
}

static unsigned int count(const struct stream *s, const char *what)
{
	unsigned int n = 0;

	for (const char *at = s->out.data; at && (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

static void finds_sinks_by_name(void **state)
{
	assert_ptr_equal(sink_find("text"), &sink_text);
	assert_ptr_equal(sink_find("json"), &sink_jsonl);
	assert_null(sink_find("yaml"));
	assert_ptr_equal(sink_table[0], &sink_text);
}

static void text_begins_with_its_header(void **state)
{
	struct stream s = stream_open("text", 0);

	tick(&s, 0);
	assert_int_equal(strncmp(s.out.data, "TIME ", 5), 0);
	put(&s, sample_tcp_close());
	assert_int_equal(count(&s, "TIME "), 1);
	assert_int_equal(count(&s, "\n"), 2);
	stream_close(&s);
}

/* As many lines as may be, and not one more. */
static void text_folds_above_the_threshold(void **state)
{
	struct stream s = stream_open("text", 10);

	tick(&s, 0);
	for (int i = 0; i < 10; i++)
		put(&s, sample_tcp_open());
	tick(&s, NS_PER_SEC);
	assert_int_equal(count(&s, "open   tcp"), 10);
	assert_int_equal(count(&s, "folded"), 0);

	buf_reset(&s.out);
	for (int i = 0; i < 14; i++)
		put(&s, sample_tcp_open());
	assert_int_equal(count(&s, "\n"), 10);
	tick(&s, 2 * NS_PER_SEC - 1);
	assert_int_equal(count(&s, "folded"), 0);
	tick(&s, 2 * NS_PER_SEC);
	assert_non_null(strstr(s.out.data,
			       "12:00:02.345 folded tcp   curl@blue -> nginx@green:80: 4 opened\n"
			       "12:00:02.345 folded 4 events of 1.0 s into 1 line: "
			       "more than 10 a second; -o json shows each\n"));
	stream_close(&s);
}

/* However busy it is. */
static void text_folds_no_finding(void **state)
{
	struct stream s = stream_open("text", 2);

	tick(&s, 0);
	for (int i = 0; i < 5; i++) {
		put(&s, sample_tcp_open());
		put(&s, sample_finding());
	}
	assert_int_equal(count(&s, "open   tcp"), 2);
	assert_int_equal(count(&s, "ALERT  hook starved on eth0@blue"), 5);
	tick(&s, NS_PER_SEC);
	assert_int_equal(count(&s, "folded 3 events"), 1);
	stream_close(&s);
}

/* Of a busy second after a busy one no event has a line of its own; of a calm one each. */
static void text_folds_as_long_as_it_is_busy(void **state)
{
	struct stream s = stream_open("text", 10);

	tick(&s, 0);
	for (int i = 0; i < 20; i++)
		put(&s, sample_tcp_open());
	tick(&s, NS_PER_SEC);
	buf_reset(&s.out);
	for (int i = 0; i < 11; i++)
		put(&s, sample_tcp_open());
	assert_int_equal(s.out.len, 0);
	tick(&s, 2 * NS_PER_SEC);
	assert_int_equal(count(&s, ": 11 opened\n"), 1);
	buf_reset(&s.out);
	put(&s, sample_tcp_open());
	tick(&s, 3 * NS_PER_SEC);
	assert_int_equal(count(&s, ": 1 opened\n"), 1);
	assert_int_equal(count(&s, "more than 10 in the second before; "), 1);
	buf_reset(&s.out);
	put(&s, sample_tcp_open());
	assert_int_equal(count(&s, "open   tcp"), 1);
	stream_close(&s);
}

static void text_sums_up_by_group_and_never_hides_failures(void **state)
{
	struct event refused = sample_tcp_refused(), timeout = sample_tcp_refused();
	struct event close = sample_tcp_close();
	struct stream s = stream_open("text", 1);

	timeout.flow.reason = REASON_TIMEOUT;
	close.flow.destination.bytes = 2000;
	tick(&s, 0);
	put(&s, sample_tcp_open());
	for (int i = 0; i < 1500; i++) {
		close.flow.source.port = (uint16_t)i;
		put(&s, close);
	}
	put(&s, refused);
	put(&s, refused);
	put(&s, timeout);
	put(&s, sample_icmp_update());
	buf_reset(&s.out);
	tick(&s, NS_PER_SEC);
	assert_string_equal(
		s.out.data,
		"12:00:01.345 folded tcp   \\x1b[2J\\x0d\\x0a\\x09\\x9b1@net:532500 -> "
		"127.0.0.1:8081: 3 failed (2 refused, 1 timeout)\n"
		"12:00:01.345 folded tcp   curl@blue -> nginx@green:80: 1,500 closed, 117 kB sent, "
		"3.0 MB received\n"
		"12:00:01.345 folded icmp  192.168.0.89 -> 192.168.0.1: 1 updated\n"
		"12:00:01.345 folded 1,504 events of 1.0 s into 3 lines: more than 1 a second; "
		"-o json shows each\n");
	stream_close(&s);
}

/* A scan of all ports: few lines, and nothing is missing in the sums. */
static void text_sums_up_what_has_too_many_groups(void **state)
{
	enum { N = 5000 };
	struct event fail = sample_tcp_refused();
	struct stream s = stream_open("text", 1);
	unsigned int n_failed = 0, n_lines = 0;

	tick(&s, 0);
	put(&s, sample_tcp_open());
	for (int i = 0; i < N; i++) {
		fail.flow.destination.port = (uint16_t)(i + 1);
		put(&s, fail);
	}
	buf_reset(&s.out);
	tick(&s, NS_PER_SEC);
	for (char *line = s.out.data, *end; (end = strchr(line, '\n')); line = end + 1) {
		char *at;

		*end = '\0';
		at = strstr(line, " failed (refused)");
		n_lines++;
		if (!at)
			continue;
		while (at > line && at[-1] != ' ')
			at--;
		n_failed += at[1] == ',' ? (unsigned int)(strtoul(at, NULL, 10) * 1000 +
							  strtoul(at + 2, NULL, 10))
					 : (unsigned int)strtoul(at, NULL, 10);
	}
	assert_int_equal(n_failed, N);
	assert_int_equal(n_lines, 22);
	stream_close(&s);
}

static void text_folds_no_loss(void **state)
{
	struct stream s = stream_open("text", 1);

	tick(&s, 0);
	for (int i = 0; i < 5; i++)
		put(&s, sample_tcp_open());
	for (int i = 0; i < 5; i++)
		put(&s, sample_lost());
	assert_int_equal(count(&s, "LOST   12 records: ring_full"), 5);
	stream_close(&s);
}

static void text_holds_nothing_back_at_the_end(void **state)
{
	struct stream s = stream_open("text", 1);

	tick(&s, 0);
	for (int i = 0; i < 5; i++)
		put(&s, sample_tcp_open());
	put(&s, sample_totals());
	assert_int_equal(count(&s, ": 4 opened\n"), 1);
	assert_true(strstr(s.out.data, "conversations, 0 lost") > strstr(s.out.data, ": 4 opened"));
	stream_close(&s);

	s = stream_open("text", 1);
	tick(&s, 0);
	for (int i = 0; i < 5; i++)
		put(&s, sample_tcp_open());
	s.sink->tick(s.state, &s.out, SINK_END);
	assert_int_equal(count(&s, "12:00:00.345 folded"), 2);
	assert_int_equal(count(&s, ": 4 opened\n"), 1);
	stream_close(&s);
}

static void text_never_folds_if_told_so(void **state)
{
	struct stream s = stream_open("text", (unsigned int)FOLD_NEVER);

	tick(&s, 0);
	for (int i = 0; i < 1000; i++)
		put(&s, sample_tcp_open());
	assert_int_equal(count(&s, "open   tcp"), 1000);
	stream_close(&s);
}

static void json_writes_each_event_at_once(void **state)
{
	struct event event = sample_tcp_close();
	struct stream s = stream_open("json", 1);
	struct buf want = { 0 };

	event_json(&want, &context, &event);
	for (int i = 0; i < 1000; i++)
		put(&s, event);
	tick(&s, NS_PER_SEC);
	s.sink->tick(s.state, &s.out, SINK_END);
	assert_int_equal(s.out.len, 1000 * want.len);
	assert_memory_equal(s.out.data, want.data, want.len);
	buf_fini(&want);
	stream_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_sinks_by_name),
		cmocka_unit_test(text_begins_with_its_header),
		cmocka_unit_test(text_folds_above_the_threshold),
		cmocka_unit_test(text_folds_no_finding),
		cmocka_unit_test(text_folds_as_long_as_it_is_busy),
		cmocka_unit_test(text_sums_up_by_group_and_never_hides_failures),
		cmocka_unit_test(text_sums_up_what_has_too_many_groups),
		cmocka_unit_test(text_folds_no_loss),
		cmocka_unit_test(text_holds_nothing_back_at_the_end),
		cmocka_unit_test(text_never_folds_if_told_so),
		cmocka_unit_test(json_writes_each_event_at_once),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	wire_context_init(&context, "node-1", SAMPLE_BOOT_NS);
	return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
