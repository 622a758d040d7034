// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/protocol.h"

/* --- requests --- */

static int decode(const char *text, struct request *ret)
{
	struct err e = { "" };
	int err = request_decode(text, strlen(text), ret, &e);

	if (err) {
		assert_int_equal(err, -EPROTO);
		assert_ptr_equal(strstr(e.text, "not a request: "), e.text);
		assert_null(strpbrk(e.text, "\n\r\x1b"));
		assert_null(ret->filter);
	}
	return err;
}

static void a_request_comes_as_it_was_sent(void **state)
{
	struct request out = { .version = "1.2.3",
			       .command = "observe",
			       .output = "json",
			       .filter = (char *)"process = \"a\\b\xc3\xa9\"\t\n",
			       .columns = 120,
			       .colour = true,
			       .no_args = true };
	struct request in;
	struct buf line = { 0 };

	request_encode(&out, &line);
	assert_false(line.failed);
	assert_ptr_equal(strchr(line.data, '\n'), line.data + line.len - 1);
	assert_int_equal(decode(line.data, &in), 0);
	assert_string_equal(in.version, "1.2.3");
	assert_string_equal(in.command, "observe");
	assert_string_equal(in.output, "json");
	assert_string_equal(in.filter, out.filter);
	assert_int_equal(in.columns, 120);
	assert_true(in.colour && in.no_args);
	request_fini(&in);
	assert_null(in.filter);
	buf_fini(&line);
}

static void what_may_be_left_out(void **state)
{
	struct request r;

	assert_int_equal(decode("{\"version\":\"1\",\"command\":\"status\"}", &r), 0);
	assert_string_equal(r.output, "");
	assert_null(r.filter);
	assert_int_equal(r.columns, 0);
	assert_false(r.colour || r.no_args);
}

static void what_is_no_request(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"{",
		"}",
		"null",
		"1",
		"\"observe\"",
		"[]",
		"{}",
		"GET / HTTP/1.1\r\n",
		"{\"version\":\"1\"}",
		"{\"command\":\"observe\"}",
		"{\"version\":1,\"command\":\"observe\"}",
		"{\"version\":\"1\",\"command\":null}",
		"{\"version\":\"1\",\"command\":\"observe\",\"filter\":7}",
		"{\"version\":\"1\",\"command\":\"observe\",\"columns\":\"80\"}",
		"{\"version\":\"1\",\"command\":\"observe\",\"columns\":-1}",
		"{\"version\":\"1\",\"command\":\"observe\",\"columns\":4294967376}",
		"{\"version\":\"1\",\"command\":\"observe\",\"columns\":1e3}",
		"{\"version\":\"1\",\"command\":\"observe\",\"colour\":1}",
		"{\"version\":\"1\",\"command\":\"observe\",\"command\":\"status\"}",
		"{\"version\":\"1\",\"command\":\"obs\\u0000erve\"}",
		"{\"version\":\"1\",\"command\":\"observe\",\"filter\":\"\xff\"}",
		"{\"version\":\"1\",\"command\":\"observe\"} {}",
		"\x1b[31m\n\n",
		"{\"version\":\"1\",\"command\":\"observe-observe-observe-observe-observe\"}",
		"{\"version\":\"0123456789012345678901234567890123\",\"command\":\"observe\"}",
		"{\"version\":\"1\",\"command\":\"observe\",\"output\":\"jsonjsonjsonjson\"}",
	};
	struct request r;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!decode(texts[i], &r))
			fail_msg("taken for a request: %s", texts[i]);
}

/* As deep as a request's length allows. */
static void deep_nesting(void **state)
{
	char *text = malloc(REQUEST_MAX + 1);
	struct request r;

	assert_non_null(text);
	memset(text, '[', REQUEST_MAX);
	text[REQUEST_MAX] = '\0';
	assert_int_equal(decode(text, &r), -EPROTO);
	free(text);
}

static void a_filter_that_is_no_utf8_is_not_sent(void **state)
{
	struct request r = { .version = "1", .command = "observe", .filter = (char *)"\xff" };
	struct buf line = { 0 };

	request_encode(&r, &line);
	assert_true(line.failed);
	buf_fini(&line);
}

/* --- greetings and frames --- */

static int greet(const char *text, const char *version, struct err *e)
{
	int err = greeting_decode(text, strlen(text), version, NULL, e);

	if (err) {
		assert_int_equal(err, -EPROTO);
		assert_null(strpbrk(e->text, "\n\r\x1b"));
	}
	return err;
}

/* Encoded by one side and decoded by the other. */
static int greet_with(const char *error, struct err *e)
{
	struct buf out = { 0 };
	size_t len;
	int err;

	greeting_encode(error, NULL, &out);
	assert_false(out.failed);
	len = frame_length((unsigned char *)out.data);
	assert_int_equal(len, out.len - FRAME_HEADER);
	err = greeting_decode(out.data + FRAME_HEADER, len, NSLENS_VERSION, NULL, e);
	buf_fini(&out);
	return err;
}

static void a_welcome_and_a_refusal(void **state)
{
	char long_one[3000];
	struct err e;

	assert_int_equal(greet_with(NULL, &e), 0);
	assert_int_equal(greet_with("no such output", &e), -EPROTO);
	assert_string_equal(e.text, "the agent refuses: no such output");
	assert_int_equal(greet_with("two\nlines \x1b[31m \xff", &e), -EPROTO);
	assert_null(strpbrk(e.text, "\n\x1b\xff"));
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	assert_int_equal(greet_with(long_one, &e), -EPROTO);
	assert_true(strlen(e.text) < 400);
}

static void an_agent_of_another_version(void **state)
{
	struct err e;

	assert_int_equal(greet("{\"version\":\"9.9\"}", "0.1.0", &e), -EPROTO);
	assert_string_equal(e.text,
			    "the agent is nslens 9.9, this is nslens 0.1.0; restart the agent");
	assert_int_equal(greet("{\"version\":\"9.9\"}", NULL, &e), 0);
	assert_int_equal(greet("{\"version\":\"0.1.0\",\"more\":1}", "0.1.0", &e), 0);
}

static void warnings_are_lines(void **state)
{
	struct buf out = { 0 }, warnings = { 0 };
	struct err e;

	greeting_encode(NULL, "not seen: UDP\nnot seen: \x1b[31mICMP\xff\n\n", &out);
	assert_int_equal(greeting_decode(out.data + FRAME_HEADER, out.len - FRAME_HEADER,
					 NSLENS_VERSION, &warnings, &e),
			 0);
	assert_string_equal(warnings.data, "not seen: UDP\nnot seen: \\x1b[31mICMP\\xff\n");
	buf_reset(&out);
	buf_reset(&warnings);
	greeting_encode(NULL, NULL, &out);
	assert_int_equal(greeting_decode(out.data + FRAME_HEADER, out.len - FRAME_HEADER,
					 NSLENS_VERSION, &warnings, &e),
			 0);
	assert_int_equal(warnings.len, 0);
	buf_fini(&out);
	buf_fini(&warnings);
}

static void what_is_no_greeting(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"{",
		"null",
		"[]",
		"{}",
		"\"version\"",
		"{\"version\":1}",
		"HTTP/1.1 400 Bad Request\r\n",
		"{\"error\":\"x\"}",
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(greet(texts[i], NULL, &e), -EPROTO);
}

static void frames(void **state)
{
	static const unsigned char most[FRAME_HEADER] = { 0xff, 0xff, 0xff, 0xff };
	struct buf out = { 0 };

	frame_encode(&out, "abc", 3);
	frame_encode(&out, NULL, 0);
	assert_int_equal(out.len, 2 * FRAME_HEADER + 3);
	assert_memory_equal(out.data, "\0\0\0\3abc\0\0\0\0", out.len);
	assert_int_equal(frame_length(most), UINT32_MAX);
	buf_fini(&out);
}

static void paths(void **state)
{
	char path[16];

	assert_int_equal(agent_socket_path("/a", path, sizeof(path)), 0);
	assert_string_equal(path, "/a/agent.sock");
	assert_int_equal(agent_socket_path("/abcdef", path, sizeof(path)), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_comes_as_it_was_sent),
		cmocka_unit_test(what_may_be_left_out),
		cmocka_unit_test(what_is_no_request),
		cmocka_unit_test(deep_nesting),
		cmocka_unit_test(a_filter_that_is_no_utf8_is_not_sent),
		cmocka_unit_test(a_welcome_and_a_refusal),
		cmocka_unit_test(an_agent_of_another_version),
		cmocka_unit_test(warnings_are_lines),
		cmocka_unit_test(what_is_no_greeting),
		cmocka_unit_test(frames),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
