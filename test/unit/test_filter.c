// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <time.h>

#include "base/nearest.h"
#include "query/subject_device.h"
#include "query/subject_flow.h"

/*
 * curl in namespace "web" (a container) asks port 443 of another host; then variations. What the
 * processes point to is never freed, so n_ref doesn't matter.
 */
static struct process curl = {
	.pid = 4242,
	.uid = 1000,
	.name = "curl",
	.executable = "/usr/bin/curl",
	.container_id = "3f2a99c0ffee",
	.cgroup = "/kubepods/burstable/pod12/3f2a99c0ffee",
};

static struct process bash = { .pid = 4000, .uid = 0, .name = "bash", .executable = "/bin/bash" };

static struct process worker = {
	.pid = 77,
	.uid = PROCESS_NO_UID,
	.name = "nginx: worker",
	.executable = "/opt/my app/nginx",
};

static struct flow_event flow;

static struct ip_addr ip(const char *text)
{
	struct ip_addr addr = { 0 };

	assert_int_equal(ip_parse(text, &addr), 0);
	return addr;
}

static int set_flow(void **state)
{
	flow = (struct flow_event){
		.action = FLOW_CLOSE,
		.transport = TRANSPORT_TCP,
		.has = FLOW_SEEN_BY_SOURCE,
		.source = {
			.has = SIDE_HAS_PORT | SIDE_HAS_NETNS | SIDE_HAS_DEVICE,
			.ip = ip("10.0.0.2"),
			.port = 41234,
			.netns_cookie = 4097,
			.netns_inode = 4026532999,
			.netns_name = "web",
			.ifindex = 2,
			.device = "eth0",
			.process = &curl,
			.opened_by = &bash,
		},
		.destination = { .has = SIDE_HAS_PORT, .ip = ip("10.0.0.3"), .port = 443 },
	};
	return 0;
}

static bool matches(const char *text)
{
	struct filter *f;
	struct err e = { "" };
	bool truth;

	if (filter_compile(text, &filter_subject_flow, &f, &e))
		fail_msg("%s: %s", text, e.text);
	truth = filter_match(f, &flow);
	filter_free(f);
	return truth;
}

#define assert_match(text) assert_true(matches(text))
#define assert_no_match(text) assert_false(matches(text))

static void check_error(const struct filter_subject *subject, const char *text, int errnum,
			const char *says)
{
	struct filter *f = (struct filter *)1;
	struct err e = { "" };

	assert_int_equal(filter_compile(text, subject, &f, &e), -errnum);
	assert_null(f);
	assert_string_equal(e.text, says);
}

#define assert_error(text, says) check_error(&filter_subject_flow, text, EINVAL, "filter: " says)

static void test_no_filter_matches_everything(void **state)
{
	struct filter *f = (struct filter *)1;

	assert_int_equal(filter_compile(NULL, &filter_subject_flow, &f, NULL), 0);
	assert_null(f);
	assert_true(filter_match(NULL, &flow));
	assert_match("");
	assert_match(" \t\n");
	filter_free(NULL);
}

static void test_process(void **state)
{
	assert_match("process=curl");
	assert_match("process=/usr/bin/curl");
	assert_match("process=/usr/*");
	assert_match("process=cu?l");
	assert_match("process=c*");
	assert_match("process=[bc]url");
	assert_no_match("process=cur");
	assert_no_match("process=url");
	assert_no_match("process=bin");
	assert_no_match("process=CURL");
	assert_match("process=bash"); /* who opened it */
	assert_match("process=/bin/bash");
	assert_no_match("process!=curl");
	assert_match("process!=wget");

	flow.source.process = &worker;
	assert_match("process=nginx");
	assert_match("process='nginx: worker'");
	assert_match("process='nginx: *'");
	assert_match("process=\"/opt/my app/*\"");
	flow.source.process = flow.source.opened_by = NULL;
	assert_no_match("process=curl");
	assert_match("process!=curl");
	assert_no_match("process=*");
}

static void test_pid_and_uid(void **state)
{
	assert_match("pid=4242");
	assert_match("pid=4000");
	assert_match("pid=04242");
	assert_no_match("pid=424");
	assert_no_match("pid!=4242");
	assert_match("uid=1000");
	assert_match("uid=0");
	assert_no_match("uid=1");
	assert_match("pid=*");

	flow.source.opened_by = NULL;
	flow.source.process = &worker;
	assert_no_match("uid=*");
	assert_no_match("uid=4294967294");
	assert_match("uid!=0");
}

static void test_netns(void **state)
{
	assert_match("netns=web");
	assert_match("netns=w*");
	assert_match("netns=4026532999");
	assert_match("netns=4097");
	assert_no_match("netns=409");
	assert_no_match("netns=409*");
	assert_no_match("netns=db");
	assert_match("netns!=db");
	assert_no_match("netns!=web");
	assert_no_match("netns=2"); /* ifindex */

	flow.source.netns_name = "4098";
	assert_match("netns=4098");
	flow.source.netns_name = NULL;
	assert_match("netns=*");
	flow.source.has = 0;
	assert_no_match("netns=*");
	assert_no_match("netns=4097");
	flow.destination.netns_name = "db";
	assert_match("netns=db");
}

static void test_container_and_pod(void **state)
{
	assert_match("container=3f2a");
	assert_match("container=3f2a99c0ffee");
	assert_no_match("container=3f2a99c0ffee0");
	assert_no_match("container=2a99");
	assert_match("container=*c0ffee");
	assert_no_match("container=3f?a");
	assert_match("container=3f?a*");
	assert_no_match("container!=3f2a");
	assert_no_match("pod=*");
	assert_match("pod!=default/web-*");
}

static void test_cgroup(void **state)
{
	assert_match("cgroup=/kubepods/burstable/pod12/3f2a99c0ffee");
	assert_match("cgroup=/kubepods/burstable");
	assert_match("cgroup=/kubepods/burstable/");
	assert_match("cgroup=/");
	assert_no_match("cgroup=/kubepods/burst");
	assert_no_match("cgroup=/burstable");
	assert_no_match("cgroup=/kubepods/burstable/pod12/3f2a99c0ffee/deeper");
	assert_match("cgroup=/kubepods/*/pod12");
	assert_match("cgroup=/kubepods/burstable/pod?2");
	assert_no_match("cgroup=/kubepods/burstable/pod?");
	assert_match("cgroup=*/pod12");
	assert_no_match("cgroup!=/kubepods");
	assert_match("source.cgroup=* and not destination.cgroup=*");
	assert_match("not dst.cgroup=/");
}

static void test_ip(void **state)
{
	assert_match("ip=10.0.0.2");
	assert_match("ip=10.0.0.3");
	assert_no_match("ip=10.0.0.4");
	assert_match("ip=10.0.0.0/8");
	assert_match("ip=10.9.9.9/8"); /* host bits don't count */
	assert_match("ip=10.0.0.3/32");
	assert_match("ip=10.0.0.2/31");
	assert_no_match("ip=10.0.0.4/30");
	assert_match("ip=0.0.0.0/0");
	assert_no_match("ip=::/0");
	assert_no_match("ip!=10.0.0.0/8");
	assert_match("ip!=10.0.0.9");
	assert_match("ip=*");
	assert_match("ip=::ffff:10.0.0.2");
	assert_match("ip=::ffff:10.0.0.0/104");
	assert_match("ip=::ffff:0:0/96");
	assert_no_match("ip=::ffff:11.0.0.0/104");
}

static void test_ip6(void **state)
{
	flow.source.ip = ip("fd00::2:1");
	flow.destination.ip = ip("::ffff:192.0.2.7");
	assert_match("ip=fd00::2:1");
	assert_match("ip=fd00:0:0:0:0:0:2:1");
	assert_match("ip=fd00::/16");
	assert_match("ip=fd00::2:0/127");
	assert_no_match("ip=fd00::2:2/127");
	assert_match("ip=::/0");
	assert_match("ip=192.0.2.0/24"); /* a v4-mapped address is an IPv4 one */
	assert_match("source.ip=::/0 and destination.ip=0.0.0.0/0");
	flow.source.ip = flow.destination.ip = (struct ip_addr){ 0 };
	assert_no_match("ip=*");
	assert_no_match("ip=0.0.0.0/0");
}

static void test_port(void **state)
{
	assert_match("port=443");
	assert_match("port=41234");
	assert_no_match("port=80");
	assert_no_match("port!=443");
	flow.source.has = flow.destination.has = 0;
	assert_no_match("port=443");
	assert_no_match("port=*");
}

static void test_transport(void **state)
{
	assert_match("transport=tcp");
	assert_no_match("transport=udp");
	assert_match("transport!=udp");
	flow.transport = TRANSPORT_ICMP;
	assert_match("transport=icmp");
	assert_no_match("transport=ipv6-icmp");
	flow.transport = TRANSPORT_ICMP6;
	assert_match("transport=icmp");
	assert_match("transport=ipv6-icmp");
}

static void check_direction(unsigned int seen, const char *in_words)
{
	static const char *const words[] = { "in", "out", "local" };
	char text[64];

	flow.has = seen;
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(text, sizeof(text), "direction=%s", words[i]);
		assert_int_equal(matches(text), in_words && !strcmp(words[i], in_words));
	}
}

static void test_direction(void **state)
{
	const unsigned int both = FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION;

	check_direction(FLOW_SEEN_BY_SOURCE, "out");
	check_direction(FLOW_SEEN_BY_DESTINATION, "in");
	check_direction(both, "local");
	check_direction(0, NULL);
	assert_no_match("direction=*");
	flow.source.ip = flow.destination.ip;
	check_direction(FLOW_SEEN_BY_SOURCE, "local");
	flow.source.ip = flow.destination.ip = (struct ip_addr){ 0 };
	check_direction(FLOW_SEEN_BY_SOURCE, "out");
	flow.destination.ip = ip("127.0.0.1");
	check_direction(FLOW_SEEN_BY_SOURCE, "local");
	flow.source.ip = flow.destination.ip = ip("::1");
	check_direction(FLOW_SEEN_BY_DESTINATION, "local");
}

/* Every name that the output has can be written in a filter. */
static void test_words_of_the_model(void **state)
{
	char text[64];

	for (unsigned int i = 0; i < N_FLOW_ACTIONS; i++) {
		for (unsigned int j = 0; j < N_FLOW_ACTIONS; j++) {
			snprintf(text, sizeof(text), "action=%s", flow_action_names[i]);
			flow.action = j;
			assert_int_equal(matches(text), i == j);
		}
	}
	for (unsigned int i = 0; i < N_TRANSPORTS; i++) {
		snprintf(text, sizeof(text), "transport=%s", flow_transport_names[i]);
		flow.transport = i;
		assert_match(text);
	}
	for (unsigned int i = 0; i < N_DIRECTIONS; i++)
		assert_non_null(filter_direction_names[i]);
}

static void test_device(void **state)
{
	assert_match("device=eth0");
	assert_match("device=eth*");
	assert_no_match("device=eth");
	assert_no_match("device=veth*");
	flow.source.has = 0;
	assert_no_match("device=eth0");
}

static void test_sides(void **state)
{
	assert_match("source.port=41234");
	assert_match("src.port=41234");
	assert_no_match("source.port=443");
	assert_match("destination.port=443");
	assert_match("dst.port=443");
	assert_no_match("dst.port=41234");
	assert_match("dst.port!=41234");
	assert_match("source.ip=10.0.0.2 and destination.ip=10.0.0.3");
	assert_no_match("source.ip=10.0.0.3 or destination.ip=10.0.0.2");
	assert_match("source.process=curl and source.container=3f and source.netns=web");
	assert_match("source.pid=4242 and source.uid=1000 and source.device=eth0");
	assert_no_match("destination.process=*");
	assert_no_match("destination.pid=* or destination.uid=* or destination.container=*");
	assert_no_match("destination.netns=* or destination.device=* or destination.pod=*");
}

/* Against C's own operators, for all eight rows of the truth table. */
static void test_precedence(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++) {
		bool a = bits & 1, b = bits & 2, c = bits & 4;

		flow.action = a ? FLOW_OPEN : FLOW_CLOSE;
		flow.transport = b ? TRANSPORT_UDP : TRANSPORT_TCP;
		flow.destination.port = c ? 53 : 443;
#define A "action=open"
#define B "transport=udp"
#define C "port=53"
		assert_int_equal(matches(A " or " B " and " C), a || (b && c));
		assert_int_equal(matches(A " and " B " or " C), (a && b) || c);
		assert_int_equal(matches("(" A " or " B ") and " C), (a || b) && c);
		assert_int_equal(matches(C " and (" A " or " B ")"), (a || b) && c);
		assert_int_equal(matches("not " A " and " B), !a && b);
		assert_int_equal(matches("not " A " or " B), !a || b);
		assert_int_equal(matches("not (" A " or " B ")"), !(a || b));
		assert_int_equal(matches("not not " A), a);
		assert_int_equal(matches("not not not " A " and " C), !a && c);
		assert_int_equal(matches(A " and not " B " and " C), a && !b && c);
		assert_int_equal(matches(A " or not (" B " and not " C ")"), a || !(b && !c));
		assert_int_equal(matches("((" A ") or ((" B "))) and (not(" C "))"),
				 (a || b) && !c);
		assert_int_equal(matches(A " and " B " and " C " or " A " and not " C),
				 (a && b && c) || (a && !c));
		assert_int_equal(matches("not action!=open or (transport!=udp and port!=53)"),
				 a || (!b && !c));
	}
}

static void test_spelling(void **state)
{
	assert_match("port = 443");
	assert_match("  port=  443\tand\nprocess  =curl ");
	assert_match("(port=443)and(process=curl)");
	assert_match("port='443'");
	assert_match("process=\"curl\"and port=443");
	assert_match("not(port=80)");
	assert_match("port !=80");
	curl.name = "and";
	assert_match("process=and");
	curl.name = "a=b!(c)";
	assert_match("process=\"a=b!(c)\"");
	curl.name = "it's";
	assert_match("process=\"it's\"");
	assert_match("process='it\\'s'");
	curl.name = "a*b";
	assert_match("process='a\\*b'");
	assert_match("process=a\\*b");
	curl.name = "a\\b";
	assert_match("process='a\\\\b'");
	assert_match("process=a\\\\b");
	curl.name = "a\\";
	assert_match("process='a\\\\'");
	curl.name = "axb";
	assert_no_match("process='a\\*b'");
	curl.name = "größe";
	assert_match("process=größe");
	assert_match("process=gr*e");
	curl.name = "curl";
}

#define FIELDS                                                                                   \
	"fields: process pid uid netns container pod ip port transport direction action device " \
	"cgroup"

static void test_errors_in_fields(void **state)
{
	assert_error("pid=4 and prot=80",
		     "column 11: no field 'prot'; did you mean 'port'? " FIELDS);
	assert_error("prot=80", "column 1: no field 'prot'; did you mean 'port'? " FIELDS);
	assert_error("proto=tcp", "column 1: no field 'proto'; did you mean 'transport'? " FIELDS);
	assert_error("src=10.0.0.1", "column 1: no field 'src'; did you mean 'ip'? " FIELDS);
	assert_error("Port=80", "column 1: no field 'Port'; did you mean 'port'? " FIELDS);
	assert_error("direcion=in",
		     "column 1: no field 'direcion'; did you mean 'direction'? " FIELDS);
	assert_error("wxyz=1", "column 1: no field 'wxyz'; " FIELDS);
	assert_error("src.prot=1", "column 5: no field 'prot'; did you mean 'port'? " FIELDS);
	assert_error("source.=1", "column 8: no field ''; " FIELDS);
	assert_error(".port=1",
		     "column 1: no side ''; expected 'source.' or 'destination.' before the field");
	assert_error(
		"sorce.port=1",
		"column 1: no side 'sorce'; expected 'source.' or 'destination.' before the field");
	assert_error(
		"src.action=open",
		"column 1: 'action' belongs to the whole of a flow: expected it without 'src.'");
}

static void test_errors_in_values(void **state)
{
	assert_error("port=http",
		     "column 6: 'http' is not a port; expected a number from 0 to 65535");
	assert_error("port=65536",
		     "column 6: '65536' is not a port; expected a number from 0 to 65535");
	assert_error("port=-1", "column 6: '-1' is not a port; expected a number from 0 to 65535");
	assert_error("port=8*", "column 6: '8*' is not a port; expected a number from 0 to 65535");
	assert_error("pid=99999999999999999999",
		     "column 5: '99999999999999999999' is not a process id; "
		     "expected a number from 0 to 2147483647");
	assert_error("cgroup=user.slice", "column 8: 'user.slice' is not a path of a cgroup; "
					  "expected a path from the root, /user.slice");
	assert_error("uid=root",
		     "column 5: 'root' is not a user id; expected a number from 0 to 4294967294");
	assert_error("ip=10.0.0",
		     "column 4: '10.0.0' is not an IP address; "
		     "expected an address (10.0.0.1, fd00::1) or a prefix (10.0.0.0/8)");
	assert_error("ip=10.0.0.0/33", "column 4: '10.0.0.0/33' is not an IP address; "
				       "expected a prefix length from 0 to 32 behind '/'");
	assert_error("ip=10.0.0.0/", "column 4: '10.0.0.0/' is not an IP address; "
				     "expected a prefix length from 0 to 32 behind '/'");
	assert_error("ip=fd00::/129", "column 4: 'fd00::/129' is not an IP address; "
				      "expected a prefix length from 0 to 128 behind '/'");
	assert_error("ip=::ffff:1.2.3.4/95", "column 4: '::ffff:1.2.3.4/95' is not an IP address; "
					     "expected a prefix length from 96 to 128 behind '/'");
	assert_error("transport=tpc", "column 11: 'tpc' is not a transport; did you mean 'tcp'? "
				      "expected one of: tcp udp icmp ipv6-icmp");
	assert_error("action=begin",
		     "column 8: 'begin' is not an action; expected one of: open update close fail");
	assert_error("direction=up", "column 11: 'up' is not a direction; "
				     "expected one of: in out local");
	assert_error("process=''",
		     "column 9: expected a process, found empty quotes; * means any that is known");
}

static void test_errors_in_expressions(void **state)
{
	assert_error("port", "column 5: expected '=' or '!=' after 'port', found the end");
	assert_error("port 80", "column 6: expected '=' or '!=' after 'port', found '80'");
	assert_error("port!80", "column 5: expected '=' or '!=' after 'port', found '!'");
	assert_error("port=", "column 6: expected a port, found the end");
	assert_error("port==80", "column 6: expected a port, found '='");
	assert_error("(port=)", "column 7: expected a port, found ')'");
	assert_error("port=80 and", "column 12: expected a field, 'not' or '(', found the end");
	assert_error("port=80 and ", "column 13: expected a field, 'not' or '(', found the end");
	assert_error("and port=80", "column 1: expected a field, 'not' or '(', found 'and'");
	assert_error("port=80 and or pid=1",
		     "column 13: expected a field, 'not' or '(', found 'or'");
	assert_error("not", "column 4: expected a field, 'not' or '(', found the end");
	assert_error("()", "column 2: expected a field, 'not' or '(', found ')'");
	assert_error("!port=80", "column 1: expected a field, 'not' or '(', found '!'");
	assert_error("'port'=80", "column 1: expected a field, 'not' or '(', found ''port''");
	assert_error("port=80)", "column 8: expected 'and', 'or' or the end, found ')'");
	assert_error("port=80 pid=1", "column 9: expected 'and', 'or' or the end "
				      "(quote a value that has spaces), found 'pid'");
	assert_error("process=my app", "column 12: expected 'and', 'or' or the end "
				       "(quote a value that has spaces), found 'app'");
	assert_error("(port=80", "column 9: expected 'and', 'or', or ')' for the '(' at column 1, "
				 "found the end");
	assert_error("pid=1 or ((port=80) pid=2",
		     "column 21: expected 'and', 'or', or ')' for the '(' at column 10, "
		     "found 'pid'");
	assert_error("process=\"my app",
		     "column 9: expected a process, found a quote (\") that nothing closes");
	assert_error("process='a\\'",
		     "column 9: expected a process, found a quote (') that nothing closes");
}

/* Columns count characters, and what an error shows is short and can't play with the terminal. */
static void test_errors_show_the_text(void **state)
{
	assert_error("process=größe prot=1", "column 15: expected 'and', 'or' or the end "
					     "(quote a value that has spaces), found 'prot'");
	assert_error("process=größe and x=1", "column 19: no field 'x'; " FIELDS);
	assert_error("port='\033[31mred\177'",
		     "column 6: '?[31mred?' is not a port; expected a number from 0 to 65535");
	assert_error("port=123456789012345678901234567890123456789012345",
		     "column 6: '1234567890123456789012345678901234567890...' is not a port; "
		     "expected a number from 0 to 65535");
	assert_error("port=123456789012345678901234567890123456789ö",
		     "column 6: '123456789012345678901234567890123456789...' is not a port; "
		     "expected a number from 0 to 65535");
}

static void test_limits(void **state)
{
	char text[FILTER_MAX_LEN + 2];

	memset(text, '(', FILTER_MAX_DEPTH);
	memcpy(text + FILTER_MAX_DEPTH, "port=443", 8);
	memset(text + FILTER_MAX_DEPTH + 8, ')', FILTER_MAX_DEPTH);
	text[2 * FILTER_MAX_DEPTH + 8] = '\0';
	assert_match(text);
	memset(text, '(', FILTER_MAX_DEPTH + 1);
	check_error(&filter_subject_flow, text, E2BIG,
		    "filter: column 33: parentheses nest deeper than 32");

	memset(text, ' ', sizeof(text));
	memcpy(text, "port=443", 8);
	text[FILTER_MAX_LEN] = '\0';
	assert_match(text);
	text[FILTER_MAX_LEN] = ' ';
	text[FILTER_MAX_LEN + 1] = '\0';
	check_error(&filter_subject_flow, text, E2BIG,
		    "filter: 8193 bytes long; at most 8192 are read");
}

/* Groups side by side aren't deep, and many comparisons are fine. */
static void test_long_chain(void **state)
{
	struct buf b = { 0 };

	for (unsigned int i = 0; i < 500; i++)
		buf_addf(&b, "(port=%u)or ", i < 400 ? i : 500 + i);
	assert_false(b.failed);
	buf_adds(&b, "port=1");
	assert_no_match(b.data);
	buf_adds(&b, " or not port=1");
	assert_match(b.data);
	buf_fini(&b);
}

/* A glob can't be made to take long. */
static void test_glob_is_bounded(void **state)
{
	char name[4096];
	struct timespec from, to;

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	curl.name = name;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_no_match("process=a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_true(to.tv_sec - from.tv_sec < 5);
	curl.name = "curl";
}

/* --- another kind of subject, without sides and with a few fields --- */

struct place {
	const char *names[3];
	uint64_t inode;
};

static bool place_value(const void *subject, enum filter_field field, enum filter_side side,
			unsigned int i, struct filter_value *v)
{
	const struct place *p = subject;

	assert_int_equal(side, FILTER_WHOLE);
	assert_int_equal(field, FILTER_NETNS);
	assert_int_equal(v->kind, FILTER_VALUE_NONE);
	if (i < 3) {
		v->kind = FILTER_VALUE_TEXT;
		v->text = p->names[i];
	} else if (i == 3) {
		v->kind = FILTER_VALUE_NUMBER;
		v->number = p->inode;
	}
	return i < 4;
}

static const struct filter_subject place_subject = {
	.what = "a place",
	.fields = 1 << FILTER_NETNS,
	.value = place_value,
};

static void test_other_subject(void **state)
{
	struct place place = { .names = { "red", NULL, "blue" }, .inode = 5 };
	static const char *const hits[] = { "netns=blue", "netns=5", "netns!=green" };
	struct filter *f;

	for (unsigned int i = 0; i < ARRAY_SIZE(hits); i++) {
		assert_int_equal(filter_compile(hits[i], &place_subject, &f, NULL), 0);
		assert_true(filter_match(f, &place));
		filter_free(f);
	}
	check_error(&place_subject, "port=80", EINVAL,
		    "filter: column 1: a place has no field 'port'; fields: netns");
	check_error(&place_subject, "nents=a", EINVAL,
		    "filter: column 1: no field 'nents'; did you mean 'netns'? fields: netns");
	check_error(&place_subject, "source.netns=a", EINVAL,
		    "filter: column 1: a place has no sides: expected a field without '.'");
}

static bool finding_matches(const char *text)
{
	static const struct finding_event finding = {
		.type = FINDING_HOOK_STARVED,
		.device = { 4097, 2 },
		.device_name = "eth0",
		.netns_inode = 4026532290,
		.netns_name = "blue",
	};
	struct filter *f;
	bool truth;

	assert_int_equal(filter_compile(text, &filter_subject_flow, &f, NULL), 0);
	truth = finding_match(f, &finding);
	filter_free(f);
	return truth;
}

static void test_findings(void **state)
{
	static const char *const hits[] = {
		"",	      "device=eth*",	      "dst.device=eth0", "netns=blue",
		"netns=4097", "src.netns=4026532290", "process!=curl",	 "not transport=*",
	};
	static const char *const misses[] = {
		"device=lo",	"netns!=blue",	   "process=*", "port=80",
		"ip=0.0.0.0/0", "action=open",	   "action=*",	"transport=tcp",
		"transport=*",	"direction=local", "cgroup=/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(hits); i++)
		if (!finding_matches(hits[i]))
			fail_msg("'%s' misses", hits[i]);
	for (size_t i = 0; i < ARRAY_SIZE(misses); i++)
		if (finding_matches(misses[i]))
			fail_msg("'%s' hits", misses[i]);
}

static bool device_matches(const char *text)
{
	static const char *const cgroups[] = {
		"/user.slice",
		"/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
	static char *names[] = { "blue", "/var/run/docker/netns/1" };
	static const struct device device = {
		.id = { 4097, 2 }, .name = "eth0", .kind = "veth", .driver = "veth"
	};
	static const struct netns netns = { 4097, 4026532290, names, 2, .n_processes = 2 };
	struct device_subject subject = { &device, &netns, cgroups, 2 };
	struct filter *f;
	struct err e;
	bool truth;

	if (filter_compile(text, &filter_subject_device, &f, &e))
		fail_msg("%s: %s", text, e.text);
	truth = filter_match(f, &subject);
	filter_free(f);
	return truth;
}

static void test_devices(void **state)
{
	static const char *const hits[] = {
		"device=eth0",
		"device=eth*",
		"kind=veth",
		"kind!=loopback",
		"driver=v*",
		"netns=blue",
		"netns=/var/run/docker/*",
		"netns=4097",
		"netns=4026532290",
		"cgroup=/user.slice",
		"cgroup=/docker",
		"container=0123",
		"not pod=*",
		"kind=veth and (device=lo or cgroup=/docker)",
	};
	static const char *const misses[] = {
		"device=eth", "kind=bridge",  "driver!=veth",
		"netns=2",    "cgroup=/user", "container=1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(hits); i++)
		if (!device_matches(hits[i]))
			fail_msg("'%s' misses", hits[i]);
	for (size_t i = 0; i < ARRAY_SIZE(misses); i++)
		if (device_matches(misses[i]))
			fail_msg("'%s' hits", misses[i]);
	check_error(&filter_subject_device, "action=open", EINVAL,
		    "filter: column 1: a device has no field 'action'; "
		    "fields: netns container pod device kind driver cgroup");
}

static void test_what_is_asked(void **state)
{
	struct filter *f;

	assert_int_equal(filter_compile("kind=veth and not (cgroup=/a)", &filter_subject_device, &f,
					NULL),
			 0);
	assert_true(filter_asks(f, FILTER_KIND));
	assert_true(filter_asks(f, FILTER_CGROUP));
	assert_false(filter_asks(f, FILTER_CONTAINER));
	assert_false(filter_asks(NULL, FILTER_KIND));
	filter_free(f);
}

static void test_help(void **state)
{
	struct buf b = { 0 };

	filter_help(&filter_subject_flow, &b);
	for (unsigned int i = 0; i < N_FILTER_FIELDS; i++) {
		if (!(filter_subject_flow.fields & 1U << i))
			continue;
		assert_non_null(strstr(b.data, filter_field_name(i)));
		assert_non_null(strstr(b.data, filter_field_help(i)));
	}
	assert_non_null(strstr(b.data, "source.FIELD"));
	buf_reset(&b);
	filter_help(&place_subject, &b);
	assert_non_null(strstr(b.data, "netns"));
	assert_null(strstr(b.data, "port"));
	assert_null(strstr(b.data, ".FIELD"));
	buf_fini(&b);
}

/* The manual has a row for each field, with the table's own words. */
static void test_manual(void **state)
{
	static char manual[65536];
	FILE *in = fopen("doc/filters.md", "r");
	char row[256];

	if (!in)
		fail_msg("doc/filters.md: can't be read; run from the top folder");
	manual[fread(manual, 1, sizeof(manual) - 1, in)] = '\0';
	fclose(in);
	for (unsigned int i = 0; i < N_FILTER_FIELDS; i++) {
		snprintf(row, sizeof(row), "| `%s` | %s |", filter_field_name(i),
			 filter_field_help(i));
		if (!strstr(manual, row))
			fail_msg("doc/filters.md lacks this row: %s", row);
	}
}

static void test_nearest(void **state)
{
	assert_int_equal(nearest_distance("port", 4, "port"), 0);
	assert_int_equal(nearest_distance("prot", 4, "port"), 1);
	assert_int_equal(nearest_distance("por", 3, "port"), 1);
	assert_int_equal(nearest_distance("portt", 5, "port"), 1);
	assert_int_equal(nearest_distance("pxrt", 4, "port"), 1);
	assert_int_equal(nearest_distance("", 0, "port"), 4);
	assert_int_equal(nearest_distance("abc", 3, "xyz"), 3);
}

int main(void)
{
#define FLOW_TEST(f) cmocka_unit_test_setup(f, set_flow)
	const struct CMUnitTest tests[] = {
		FLOW_TEST(test_no_filter_matches_everything),
		FLOW_TEST(test_process),
		FLOW_TEST(test_pid_and_uid),
		FLOW_TEST(test_netns),
		FLOW_TEST(test_container_and_pod),
		FLOW_TEST(test_cgroup),
		FLOW_TEST(test_ip),
		FLOW_TEST(test_ip6),
		FLOW_TEST(test_port),
		FLOW_TEST(test_transport),
		FLOW_TEST(test_direction),
		FLOW_TEST(test_words_of_the_model),
		FLOW_TEST(test_device),
		FLOW_TEST(test_sides),
		FLOW_TEST(test_precedence),
		FLOW_TEST(test_spelling),
		FLOW_TEST(test_errors_in_fields),
		FLOW_TEST(test_errors_in_values),
		FLOW_TEST(test_errors_in_expressions),
		FLOW_TEST(test_errors_show_the_text),
		FLOW_TEST(test_limits),
		FLOW_TEST(test_long_chain),
		FLOW_TEST(test_glob_is_bounded),
		FLOW_TEST(test_other_subject),
		FLOW_TEST(test_findings),
		FLOW_TEST(test_devices),
		FLOW_TEST(test_what_is_asked),
		FLOW_TEST(test_help),
		FLOW_TEST(test_manual),
		FLOW_TEST(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
