// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "cmd/option.h"
#include "query/subject_flow.h"

enum format { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	bool all, quiet;
	const char *file;
	uint64_t count, for_ns, since_ns;
	enum format format;
	uint32_t fruit;
};

static const char *const formats[] = { "text", "json", NULL };

static const char *fruit(size_t i)
{
	static const char *const names[] = { "apple", "pear", "plum", NULL };

	return names[i];
}

static const struct option_row rows[] = {
	{ .name = "all",
	  .letter = 'a',
	  .kind = OPTION_FLAG,
	  OPTION_AT(struct settings, all),
	  .help = "everything" },
	{ .name = "quiet",
	  .letter = 'q',
	  .kind = OPTION_FLAG,
	  OPTION_AT(struct settings, quiet),
	  .help = "nothing" },
	{ .name = "file",
	  .kind = OPTION_TEXT,
	  OPTION_AT(struct settings, file),
	  .value = "FILE",
	  .help = "where to" },
	{ .name = "count",
	  .letter = 'n',
	  .kind = OPTION_NUMBER,
	  OPTION_AT(struct settings, count),
	  .min = 1,
	  .max = 100,
	  .fallback = "5",
	  .unit = "lines",
	  .help = "how many" },
	{ .name = "for",
	  .kind = OPTION_DURATION,
	  OPTION_AT(struct settings, for_ns),
	  .min = 1000000,
	  .max = 86400000000000,
	  .help = "how long" },
	{ .name = "since",
	  .kind = OPTION_DURATION,
	  OPTION_AT(struct settings, since_ns),
	  .min = 1000000000,
	  .fallback = "1h",
	  .help = "from when on" },
	{ .name = "output",
	  .letter = 'o',
	  .kind = OPTION_CHOICE,
	  OPTION_AT(struct settings, format),
	  .choices = formats,
	  .fallback = "text",
	  .help = "how lines look" },
	{ .name = "fruit",
	  .kind = OPTION_SET,
	  OPTION_AT(struct settings, fruit),
	  .set = fruit,
	  .help = "what grows" },
	{ 0 },
};

static const struct command command = { .name = "try", .summary = "Tries things." };
static const struct option_table table = {
	.command = &command,
	.rows = rows,
	.filter = &filter_subject_flow,
};
static const struct option_table no_filter = { .command = &command, .rows = rows };

static struct settings got;
static struct err err;
static char words[256];

#define ARGV(...) ((char *[]){ (char *)"try", __VA_ARGS__ __VA_OPT__(, ) NULL })

static int parse(const struct option_table *t, char **argv)
{
	struct buf b = { 0 };
	int ret;

	got = (struct settings){ 0 };
	err.text[0] = '\0';
	ret = option_parse(t, argv, &got, &b, &err);
	snprintf(words, sizeof(words), "%s", b.data ? b.data : "");
	buf_fini(&b);
	return ret;
}

#define assert_parses(...) assert_int_equal(parse(&table, ARGV(__VA_ARGS__)), 0)
#define assert_error(says, ...)                                              \
	do {                                                                 \
		assert_int_equal(parse(&table, ARGV(__VA_ARGS__)), -EINVAL); \
		assert_string_equal(err.text, says);                         \
	} while (0)

static void test_sets(void **state)
{
	assert_parses();
	assert_int_equal(got.fruit, 0);
	assert_parses("--fruit", "plum,apple");
	assert_int_equal(got.fruit, 5);
	assert_parses("--fruit=pear", "--fruit=plum");
	assert_int_equal(got.fruit, 6);
	assert_parses("--fruit", "all");
	assert_int_equal(got.fruit, UINT32_MAX);
	assert_error("--fruit: no 'nut'; there are apple, pear, plum, and all, joined by commas",
		     "--fruit", "pear,nut,plum");
	assert_error("--fruit: no ''; there are apple, pear, plum, and all, joined by commas",
		     "--fruit=");
	assert_error("--fruit: no 'appl'; there are apple, pear, plum, and all, joined by commas",
		     "--fruit=appl");
}

static void test_defaults(void **state)
{
	assert_parses();
	assert_false(got.all || got.quiet);
	assert_null(got.file);
	assert_int_equal(got.count, 5);
	assert_int_equal(got.for_ns, 0);
	assert_int_equal(got.since_ns, 3600000000000);
	assert_int_equal(got.format, FORMAT_TEXT);
	assert_string_equal(words, "");
}

static void test_long(void **state)
{
	assert_parses("--all", "--file", "a b", "--count=7", "--for", "500ms", "--output=json");
	assert_true(got.all);
	assert_false(got.quiet);
	assert_string_equal(got.file, "a b");
	assert_int_equal(got.count, 7);
	assert_int_equal(got.for_ns, 500000000);
	assert_int_equal(got.format, FORMAT_JSON);
	assert_parses("--file=", "--count", "1", "--count", "2");
	assert_string_equal(got.file, "");
	assert_int_equal(got.count, 2);
	assert_parses("--file", "--all"); /* a value may look like an option */
	assert_string_equal(got.file, "--all");
	assert_false(got.all);
}

static void test_letters(void **state)
{
	assert_parses("-a", "-n", "9", "-o", "json");
	assert_true(got.all);
	assert_int_equal(got.count, 9);
	assert_int_equal(got.format, FORMAT_JSON);
	assert_parses("-aqn9", "-ojson");
	assert_true(got.all && got.quiet);
	assert_int_equal(got.count, 9);
	assert_int_equal(got.format, FORMAT_JSON);
	assert_parses("-qo", "json");
	assert_true(got.quiet);
	assert_int_equal(got.format, FORMAT_JSON);
}

static void test_words(void **state)
{
	assert_parses("port=80", "and", "--all", "not", "pid=1");
	assert_string_equal(words, "port=80 and not pid=1");
	assert_true(got.all);
	assert_parses("-", "--", "--all", "-a", "--");
	assert_string_equal(words, "- --all -a --");
	assert_false(got.all);
	assert_int_equal(parse(&no_filter, ARGV("--all", "port=80")), -EINVAL);
	assert_string_equal(err.text,
			    "unexpected 'port=80'; 'nslens try --help' says what it takes");
}

static void test_unknown(void **state)
{
	assert_error("no option '--cuont'; did you mean '--count'? 'nslens try --help' lists them",
		     "--cuont=3");
	assert_error("no option '--al'; did you mean '--all'? 'nslens try --help' lists them",
		     "--al");
	assert_error("no option '--zzzzzz'; 'nslens try --help' lists them", "--zzzzzz");
	assert_error("no option '--'; 'nslens try --help' lists them", "--=3");
	assert_error("no option '-x'; 'nslens try --help' lists them", "-ax");
}

static void test_wrong_values(void **state)
{
	assert_error("--count needs a value", "--count");
	assert_error("--count needs a value", "-an");
	assert_error("--all takes no value", "--all=yes");
	assert_error("--count: 'many' is not a number", "--count", "many");
	assert_error("--count: '0' is out of range; expected from 1 to 100", "-n0");
	assert_error("--count: '101' is out of range; expected from 1 to 100", "-n", "101");
	assert_error("--count: '99999999999999999999' is out of range; expected from 1 to 100",
		     "--count=99999999999999999999");
	assert_error("--for: '10' is not a duration; write it like 500ms, 10s, 2m or 1h", "--for",
		     "10");
	assert_error("--for: '0s' is out of range; expected from 1ms to 1d", "--for=0s");
	assert_error("--for: '25h' is out of range; expected from 1ms to 1d", "--for=25h");
	assert_error("--since: '1ms' is out of range; expected 1s or more", "--since=1ms");
	assert_error("--output: no 'xml'; expected text|json", "-o", "xml");
}

static void test_help(void **state)
{
	struct buf b = { 0 };

	assert_int_equal(parse(&table, ARGV("--help")), OPTION_HELP);
	assert_int_equal(parse(&table, ARGV("-ah", "--nonsense")), OPTION_HELP);
	option_help(&no_filter, &b);
	assert_string_equal(b.data, "usage: nslens try [OPTION...]\n"
				    "\n"
				    "Tries things.\n"
				    "\n"
				    "  -a, --all                   everything\n"
				    "  -q, --quiet                 nothing\n"
				    "      --file FILE             where to\n"
				    "  -n, --count N               how many (default 5 lines)\n"
				    "      --for DURATION          how long\n"
				    "      --since DURATION        from when on (default 1h)\n"
				    "  -o, --output text|json      how lines look (default text)\n"
				    "      --fruit NAME[,NAME...]  what grows\n"
				    "  -h, --help                  print this\n");
	buf_reset(&b);
	option_help(&table, &b);
	assert_non_null(strstr(b.data, "usage: nslens try [OPTION...] [FILTER]\n"));
	assert_non_null(strstr(b.data, "\nFILTER: "));
	buf_fini(&b);
}

/* What option_start() writes to stderr or stdout, and its result. */
static int start(char **argv, int fd, char *ret_text, size_t size, struct filter **ret_filter)
{
	FILE *to = tmpfile();
	int saved = dup(fd), ret;

	assert_non_null(to);
	fflush(NULL);
	dup2(fileno(to), fd);
	ret = option_start(&table, argv, &got, ret_filter);
	fflush(NULL);
	dup2(saved, fd);
	close(saved);
	rewind(to);
	ret_text[fread(ret_text, 1, size - 1, to)] = '\0';
	fclose(to);
	return ret;
}

static void test_start(void **state)
{
	struct flow_event tcp = { .transport = TRANSPORT_TCP },
			  udp = { .transport = TRANSPORT_UDP };
	struct filter *f;
	char text[4096];

	assert_int_equal(start(ARGV("transport=udp"), STDERR_FILENO, text, sizeof(text), &f), -1);
	assert_string_equal(text, "");
	assert_true(filter_match(f, &udp));
	assert_false(filter_match(f, &tcp));
	filter_free(f);
	assert_int_equal(start(ARGV("-a"), STDERR_FILENO, text, sizeof(text), &f), -1);
	assert_null(f);
	assert_int_equal(start(ARGV("-x"), STDERR_FILENO, text, sizeof(text), &f), EXIT_USAGE);
	assert_string_equal(text, "nslens try: no option '-x'; 'nslens try --help' lists them\n");
	assert_int_equal(start(ARGV("pid=1", "prot=80"), STDERR_FILENO, text, sizeof(text), &f),
			 EXIT_USAGE);
	assert_string_equal(text, "nslens try: filter: column 7: expected 'and', 'or' or the end "
				  "(quote a value that has spaces), found 'prot'\n");
	assert_int_equal(start(ARGV("-h"), STDOUT_FILENO, text, sizeof(text), &f), EXIT_DONE);
	assert_non_null(strstr(text, "usage: nslens try"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_sets),
		cmocka_unit_test(test_long),	     cmocka_unit_test(test_letters),
		cmocka_unit_test(test_words),	     cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_wrong_values), cmocka_unit_test(test_help),
		cmocka_unit_test(test_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
