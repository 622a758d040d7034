// SPDX-License-Identifier: Apache-2.0
/* --lines: print the lines of all samples, for the schema's check. --time: what one costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/sample_events.h"
#include "wire/event_json.h"

static struct wire_context context;

static json_t *line_of(struct event event)
{
	struct buf out = { 0 };
	json_error_t e;
	json_t *line;

	event_json(&out, &context, &event);
	assert_int_equal(out.data[out.len - 1], '\n');
	assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
	line = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &e);
	if (!line)
		fail_msg("no JSON: %s: %s", e.text, out.data);
	buf_fini(&out);
	return line;
}

/* The value at "a.b.c", or NULL. */
static json_t *at(json_t *value, const char *path)
{
	while (value && *path) {
		size_t len = strcspn(path, ".");

		value = json_object_getn(value, path, len);
		path += len + (path[len] == '.');
	}
	return value;
}

/* Does the line hold exactly @want at @path? @want is JSON in ' instead of ", NULL means absent. */
static void assert_at(json_t *line, const char *path, const char *want)
{
	json_t *got = at(line, path);
	struct buf text = { 0 };
	json_t *value;

	if (!want) {
		if (got)
			fail_msg("%s is there: %s", path, json_dumps(got, JSON_ENCODE_ANY));
		return;
	}
	buf_adds(&text, want);
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '\'')
			text.data[i] = '"';
	value = json_loads(text.data, JSON_DECODE_ANY, NULL);
	assert_non_null(value);
	if (!json_equal(got, value))
		fail_msg("%s: %s, not %s", path, got ? json_dumps(got, JSON_ENCODE_ANY) : "absent",
			 text.data);
	json_decref(value);
	buf_fini(&text);
}

static void writes_all_that_is_known_of_a_close(void **state)
{
	static const char *const want[][2] = {
		{ "@timestamp", "'2026-01-01T12:00:00.345678901Z'" },
		{ "event",
		  "{'kind':'event','dataset':'nslens.flow','category':['network'],"
		  "'type':['connection','end'],"
		  "'action':'close','outcome':'success','start':'2026-01-01T12:00:00.344444334Z',"
		  "'end':'2026-01-01T12:00:00.345678901Z','duration':1234567}" },
		{ "host", "{'name':'node-1'}" },
		{ "network", "{'transport':'tcp','type':'ipv4',"
			     "'community_id':'1:bMZQU6Dqx1UG4GidjumoIU51/eY='}" },
		{ "flow",
		  "{'id':'0000000000a1b2c3','seen_by':['source','destination'],'unit':'payload',"
		  "'initiator_known':true,'adopted':false,'reason':'fin','closed_by':'source',"
		  "'accepted':true,"
		  "'connect_ns':45678,'srtt_ns':120000,'min_rtt_ns':98000,'retransmits':0}" },
		{ "source",
		  "{'ip':'10.0.0.2','port':41234,'bytes':78,'packets':5,'unread_bytes':9,"
		  "'received_bytes':77,'received_packets':4,"
		  "'netns':{'inode':4026532290,'cookie':4097,'name':'blue'},"
		  "'process':{'pid':4242,'pid_in_namespace':7,"
		  "'entity_id':'bm9kZS0xOjUwMDAwMDAwMDE6NDI0Mg==',"
		  "'start':'2026-01-01T00:00:05.000000001Z','name':'curl',"
		  "'executable':'/usr/bin/curl',"
		  "'args':['curl','-s','http://10.0.0.1/a b'],'user':{'id':'1000'},"
		  "'parent':{'pid':4000,'entity_id':'bm9kZS0xOjQwMDAwMDAwMDE6NDAwMA==',"
		  "'executable':'/bin/bash'},'cgroup':'/docker/0123456789abcdef0123'},"
		  "'container':{'id':"
		  "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}}" },
		{ "destination",
		  "{'ip':'10.0.0.1','port':80,'bytes':9007199254740993,'packets':4,"
		  "'unsent_bytes':3,"
		  "'netns':{'inode':4026532388,'cookie':4098,'name':'green'},"
		  "'device':{'name':'eth0','ifindex':2},"
		  "'process':{'pid':812,'pid_in_namespace':812,"
		  "'entity_id':'bm9kZS0xOjMwMDAwMDAwMDE6ODEy',"
		  "'start':'2026-01-01T00:00:03.000000001Z',"
		  "'name':'nginx','executable':'/usr/sbin/nginx',"
		  "'args':['nginx: worker process'],"
		  "'user':{'id':'0'},'parent':{'pid':811,'executable':'/usr/sbin/nginx'},"
		  "'cgroup':'/system.slice/nginx.service'},"
		  "'opened_by':{'pid':99,'entity_id':'bm9kZS0xOjc3Ojk5',"
		  "'start':'2026-01-01T00:00:00.000000077Z'}}" },
	};
	json_t *line = line_of(sample_tcp_close());

	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_at(line, want[i][0], want[i][1]);
	assert_int_equal(json_object_size(line), ARRAY_SIZE(want));
	json_decref(line);
}

static void leaves_out_what_is_unknown(void **state)
{
	static const char *const want[][2] = {
		{ "@timestamp", "'2026-01-01T12:00:00.346678901Z'" },
		{ "event", "{'kind':'event','dataset':'nslens.flow','category':['network'],"
			   "'type':['connection','start'],'action':'open','outcome':'success'}" },
		{ "host", "{'name':'node-1'}" },
		{ "network.type", "'ipv6'" },
		{ "flow", "{'id':'0000000000000001','unit':'payload','initiator_known':false,"
			  "'adopted':false}" },
		{ "source", "{'ip':'2001:db8::1','port':5353}" },
		{ "destination", "{'ip':'ff02::fb','port':5353}" },
	};
	json_t *line = line_of(sample_udp_bare());

	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_at(line, want[i][0], want[i][1]);
	json_decref(line);
}

static void a_path_has_its_hops_in_order(void **state)
{
	json_t *line = line_of(sample_passing()), *path = at(line, "flow.path");

	assert_at(line, "flow.unit", "'wire'");
	assert_at(line, "source.bytes", "1200");
	assert_int_equal(json_array_size(path), 4);
	assert_at(json_array_get(path, 0), "",
		  "{'netns':{'inode':4026532301,'cookie':77,'name':'router'},"
		  "'device':{'name':'v0','ifindex':2},'direction':'rx','from':'source',"
		  "'packets':9,'bytes':1200}");
	assert_at(json_array_get(path, 1), "direction", "'tx'");
	assert_at(json_array_get(path, 2), "netns", "{'inode':4026532302,'cookie':78}");
	assert_at(json_array_get(path, 2), "device", "{'ifindex':2}");
	assert_at(json_array_get(path, 3), "from", "'destination'");
	json_decref(line);
}

static void leaves_out_what_a_process_lacks(void **state)
{
	struct process nobody = { .uid = PROCESS_NO_UID };
	struct event event = sample_udp_bare();
	json_t *line;

	event.flow.source.process = &nobody;
	event.flow.destination.opened_by = sample_bare_process();
	event.flow.destination.has |= SIDE_HAS_NETNS;
	line = line_of(event);
	assert_at(line, "source.process", NULL);
	assert_at(line, "destination.process", NULL);
	assert_at(line, "destination.netns", NULL);
	assert_at(line, "destination.opened_by.name", NULL);
	assert_at(line, "destination.opened_by.pid", "99");
	json_decref(line);
}

static void tells_an_unknown_address_and_tuple_by_absence(void **state)
{
	struct event event = sample_tcp_close();
	json_t *line;

	event.flow.source.ip = (struct ip_addr){ 0 };
	line = line_of(event);
	assert_at(line, "source.ip", NULL);
	assert_at(line, "network", "{'transport':'tcp','type':'ipv4'}");
	json_decref(line);

	event = sample_tcp_close();
	event.flow.source.has &= ~(unsigned int)SIDE_HAS_PORT;
	line = line_of(event);
	assert_at(line, "source.port", NULL);
	assert_at(line, "network.community_id", NULL);
	json_decref(line);
}

static void has_no_duration_without_a_start(void **state)
{
	struct event event = sample_tcp_close();
	json_t *line;

	event.flow.has &= ~(unsigned int)FLOW_HAS_START;
	line = line_of(event);
	assert_at(line, "event.start", NULL);
	assert_at(line, "event.duration", NULL);
	assert_at(line, "event.end", "'2026-01-01T12:00:00.345678901Z'");
	json_decref(line);
}

static void says_that_a_refused_connect_failed(void **state)
{
	json_t *line = line_of(sample_tcp_refused());

	assert_at(line, "event.action", "'fail'");
	assert_at(line, "event.type", "['connection','end']");
	assert_at(line, "event.outcome", "'failure'");
	assert_at(line, "flow.reason", "'refused'");
	assert_at(line, "flow.closed_by", "'destination'");
	assert_at(line, "flow.seen_by", "['source']");
	assert_at(line, "flow.accepted", NULL);
	assert_at(line, "source.bytes", "0");
	assert_at(line, "destination.bytes", NULL);
	assert_at(line, "source.netns.name", NULL);
	assert_at(line, "source.process.name", "'\\u001b[2J\\r\\n\\t\\u009b1'");
	assert_at(line, "source.process.executable", "'/tmp/\\\"\\\\\xef\xbf\xbd'");
	json_decref(line);
}

/* The published vector of 192.168.0.89 -> 192.168.0.1, echo. */
static void names_an_echo_by_its_types(void **state)
{
	json_t *line = line_of(sample_icmp_update());

	assert_at(line, "event.type", "['connection']");
	assert_at(line, "event.duration", NULL);
	assert_at(line, "network",
		  "{'transport':'icmp','type':'ipv4',"
		  "'community_id':'1:X0snYXpgwiv9TZtqg64sgzUn6Dk='}");
	assert_at(line, "flow.icmp", "{'id':33}");
	assert_at(line, "flow.unit", "'wire'");
	assert_at(line, "source.port", NULL);
	json_decref(line);
}

static void writes_losses(void **state)
{
	json_t *line = line_of(sample_lost());

	assert_at(line, "",
		  "{'@timestamp':'2026-01-01T12:00:00.349678901Z',"
		  "'event':{'kind':'pipeline_error',"
		  "'dataset':'nslens.lost','action':'lost'},'host':{'name':'node-1'},"
		  "'lost':{'reason':'ring_full','records':12}}");
	json_decref(line);
}

static void writes_totals_with_their_noughts(void **state)
{
	json_t *line = line_of(sample_totals());

	assert_at(line, "",
		  "{'@timestamp':'2026-01-01T12:00:00.350678901Z','event':{'kind':'metric',"
		  "'dataset':'nslens.totals','action':'totals','duration':10003000000},"
		  "'host':{'name':'node-1'},'totals':{'conversations':12,'events':40,'lost':0,"
		  "'namespaces':{'covered':5,'total':5}}}");
	json_decref(line);
}

static void writes_findings(void **state)
{
	json_t *line = line_of(sample_finding());

	assert_at(line, "",
		  "{'@timestamp':'2026-01-01T12:00:00.350178901Z','event':{'kind':'alert',"
		  "'dataset':'nslens.finding','action':'begin'},'host':{'name':'node-1'},"
		  "'finding':{'type':'hook_starved','point':'tcx/ingress','prog_id':17,"
		  "'reason':'program 17 runs before ours and kept 120 packets from it'},"
		  "'device':{'name':'eth0','ifindex':2},"
		  "'netns':{'inode':4026532290,'cookie':4097,'name':'blue'}}");
	json_decref(line);
	line = line_of(sample_finding_over());
	assert_at(line, "event.action", "'end'");
	assert_at(line, "finding", "{'type':'hook_removed'}");
	assert_at(line, "device", "{'ifindex':3}");
	assert_at(line, "netns", "{'cookie':1}");
	json_decref(line);
}

static void knows_no_entity_without_a_node(void **state)
{
	struct wire_context saved = context;
	json_t *line;

	wire_context_init(&context, NULL, 0);
	line = line_of(sample_tcp_close());
	assert_at(line, "host", NULL);
	assert_at(line, "source.process.entity_id", NULL);
	assert_at(line, "source.process.start", NULL);
	assert_at(line, "source.process.pid", "4242");
	json_decref(line);
	context = saved;
}

static void takes_back_a_line_that_memory_cut(void **state)
{
	struct event event = sample_tcp_close();
	struct buf out = { 0 };

	buf_adds(&out, "whole\n");
	out.failed = true;
	event_json(&out, &context, &event);
	assert_string_equal(out.data, "whole\n");
	assert_true(out.failed);
	buf_fini(&out);
}

static struct event (*const samples[])(void) = {
	sample_tcp_open,    sample_tcp_close, sample_udp_bare,	  sample_tcp_refused,
	sample_icmp_update, sample_tcp_host,  sample_tcp_adopted, sample_tcp_long_names,
	sample_passing,	    sample_lost,      sample_finding,	  sample_finding_over,
	sample_totals,
};

static int print_lines(void)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct event event = samples[i]();

		event_json(&out, &context, &event);
	}
	fwrite(out.data, 1, out.len, stdout);
	buf_fini(&out);
	return 0;
}

static int print_time(void)
{
	enum { ROUNDS = 100000 };
	struct event event = sample_tcp_close();
	struct buf out = { 0 };
	struct timespec from, to;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < ROUNDS; i++) {
		buf_reset(&out);
		event_json(&out, &context, &event);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	printf("%.0f ns a line of %zu bytes\n",
	       ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
		       ROUNDS,
	       out.len);
	buf_fini(&out);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_all_that_is_known_of_a_close),
		cmocka_unit_test(leaves_out_what_is_unknown),
		cmocka_unit_test(a_path_has_its_hops_in_order),
		cmocka_unit_test(leaves_out_what_a_process_lacks),
		cmocka_unit_test(tells_an_unknown_address_and_tuple_by_absence),
		cmocka_unit_test(has_no_duration_without_a_start),
		cmocka_unit_test(says_that_a_refused_connect_failed),
		cmocka_unit_test(names_an_echo_by_its_types),
		cmocka_unit_test(writes_losses),
		cmocka_unit_test(writes_findings),
		cmocka_unit_test(writes_totals_with_their_noughts),
		cmocka_unit_test(knows_no_entity_without_a_node),
		cmocka_unit_test(takes_back_a_line_that_memory_cut),
	};

	wire_context_init(&context, "node-1", SAMPLE_BOOT_NS);
	if (argc > 1 && !strcmp(argv[1], "--lines"))
		return print_lines();
	if (argc > 1 && !strcmp(argv[1], "--time"))
		return print_time();
	return cmocka_run_group_tests_name("event_json", tests, NULL, NULL);
}
