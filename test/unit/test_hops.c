// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "abi/devflow.h"
#include "abi/dgram.h"
#include "base/base.h"
#include "flow/table.h"

/* Records of devices go in, events of conversations that pass come out. Times: ms from a start. */
enum { BEGIN_NS = 1000000000, MAX_EVENTS = 32, MAX_HOPS = 8, MAX_CONVERSATIONS = 4 };
enum { CLIENT = 5, ROUTER = 6, SERVER = 7 }; /* cookies of namespaces */

struct bench {
	struct flow_table *table;
	struct flow_event events[MAX_EVENTS];
	struct flow_hop hops[MAX_EVENTS][MAX_HOPS];
	int n;
};

static struct process *resolve_process(void *arg, const struct owner *owner)
{
	return NULL;
}

static const char *resolve_netns(void *arg, uint64_t cookie)
{
	return cookie == ROUTER ? "router" : NULL;
}

static const char *resolve_device(void *arg, uint64_t cookie, uint32_t ifindex)
{
	return cookie == ROUTER && ifindex == 2 ? "v0" : NULL;
}

static void on_event(void *arg, const struct event *event)
{
	struct bench *b = arg;
	struct flow_event *f = &b->events[b->n];

	assert_true(b->n < MAX_EVENTS);
	*f = event->flow;
	assert_true(f->n_hops <= MAX_HOPS);
	if (f->n_hops)
		memcpy(b->hops[b->n], f->hops, f->n_hops * sizeof(*f->hops));
	f->hops = b->hops[b->n++];
}

static int setup(void **state)
{
	struct flow_resolver resolver = { .process = resolve_process,
					  .netns_name = resolve_netns,
					  .device_name = resolve_device };
	struct flow_devices devices = { .idle_ns = 5 * NS_PER_SEC,
					.max_conversations = MAX_CONVERSATIONS };
	struct bench *b = calloc(1, sizeof(*b));

	resolver.arg = b;
	b->table = flow_table_new(&resolver, on_event, b);
	*state = b;
	return flow_table_see_devices(b->table, &devices);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	flow_table_free(b->table);
	free(b);
	return 0;
}

static uint64_t at(int ms)
{
	return BEGIN_NS + (uint64_t)ms * NS_PER_MS;
}

/* A packet of 100 bytes from 10.0.0.1:1000 to 10.0.0.2:2000 at a device of @netns. */
static struct rec_devflow rec(int ms, uint64_t netns, uint32_t ifindex, enum devflow_direction way)
{
	return (struct rec_devflow){
		.h = { .ts_ns = at(ms),
		       .type = REC_DEVICE_FLOW,
		       .size = sizeof(struct rec_devflow) },
		.flow = { .key = { .saddr = { 10, 0, 0, 1 },
				   .daddr = { 10, 0, 0, 2 },
				   .netns_cookie = netns,
				   .ifindex = ifindex,
				   .sport = 1000,
				   .dport = 2000,
				   .proto = IPPROTO_UDP,
				   .family = AF_INET,
				   .direction = (uint8_t)way,
				   .has_ports = 1 },
			  .packets = 1,
			  .bytes = 100,
			  .first_ns = at(ms),
			  .last_ns = at(ms),
			  .first_is = 77 },
	};
}

/* The same from the other one. */
static struct rec_devflow turned(struct rec_devflow r)
{
	struct devflow_key key = r.flow.key;

	memcpy(r.flow.key.saddr, key.daddr, sizeof(key.daddr));
	memcpy(r.flow.key.daddr, key.saddr, sizeof(key.saddr));
	r.flow.key.sport = key.dport;
	r.flow.key.dport = key.sport;
	r.flow.first_is = 88;
	return r;
}

static struct rec_devflow tcp(struct rec_devflow r, uint32_t flags)
{
	r.flow.key.proto = IPPROTO_TCP;
	r.flow.flags = flags;
	return r;
}

static void give(struct bench *b, struct rec_devflow r)
{
	assert_int_equal(flow_table_record(b->table, &r.h, sizeof(r)), 0);
}

/* One packet on its way through the router. */
static void pass(struct bench *b, int ms)
{
	give(b, rec(ms, ROUTER, 2, DEVFLOW_RX));
	give(b, rec(ms, ROUTER, 3, DEVFLOW_TX));
	give(b, rec(ms, SERVER, 2, DEVFLOW_RX));
}

static void collect(struct bench *b, int ms)
{
	flow_table_collected(b->table, at(ms));
}

/* The last event is this, with so many hops. */
static const struct flow_event *last(const struct bench *b, int n, enum flow_action action,
				     size_t n_hops)
{
	const struct flow_event *f = &b->events[b->n - 1];

	assert_int_equal(b->n, n);
	assert_int_equal(f->action, action);
	assert_int_equal(f->n_hops, n_hops);
	assert_true(f->has & FLOW_WIRE);
	return f;
}

static void test_a_path_counts_once(void **state)
{
	struct bench *b = *state;
	const struct flow_event *f;

	pass(b, 1);
	pass(b, 2);
	assert_int_equal(b->n, 0);
	collect(b, 1000);
	f = last(b, 1, FLOW_OPEN, 3);
	assert_int_equal(f->source.packets, 2);
	assert_int_equal(f->source.bytes, 200);
	assert_int_equal(f->source.port, 1000);
	assert_int_equal(f->destination.packets, 0);
	assert_true(f->hops[0].received && !f->hops[1].received);
	assert_int_equal(f->hops[2].netns_cookie, SERVER);
	assert_string_equal(f->hops[0].device, "v0");
	assert_string_equal(f->hops[1].netns_name, "router");
	assert_null(f->hops[1].device);
	collect(b, 2000);
	assert_int_equal(b->n, 1); /* nothing changed */
	pass(b, 2500);
	collect(b, 3000);
	f = last(b, 2, FLOW_UPDATE, 3);
	assert_int_equal(f->source.packets, 3);
}

static void test_hops_in_the_order_of_time_not_of_records(void **state)
{
	struct bench *b = *state;
	const struct flow_event *f;

	give(b, rec(3, SERVER, 2, DEVFLOW_RX));
	give(b, rec(2, ROUTER, 3, DEVFLOW_TX));
	give(b, rec(9, ROUTER, 2, DEVFLOW_RX)); /* of one CPU */
	give(b, rec(1, ROUTER, 2, DEVFLOW_RX)); /* of another */
	collect(b, 1000);
	f = last(b, 1, FLOW_OPEN, 3);
	assert_int_equal(f->hops[0].ifindex, 2);
	assert_int_equal(f->hops[0].packets, 2);
	assert_int_equal(f->hops[1].ifindex, 3);
	assert_int_equal(f->hops[2].netns_cookie, SERVER);
}

static void test_what_came_behind_the_turn_waits(void **state)
{
	struct bench *b = *state;

	give(b,
	     rec(12, SERVER, 2, DEVFLOW_RX)); /* evicted; those before it stand in a table still */
	collect(b, 10);
	assert_int_equal(b->n, 0);
	give(b, rec(11, ROUTER, 3, DEVFLOW_TX));
	collect(b, 1000);
	last(b, 1, FLOW_OPEN, 2);
}

static void test_the_answer_belongs_to_it(void **state)
{
	struct bench *b = *state;
	const struct flow_event *f;

	pass(b, 1);
	give(b, turned(rec(5, ROUTER, 3, DEVFLOW_RX)));
	give(b, turned(rec(6, ROUTER, 2, DEVFLOW_TX)));
	collect(b, 1000);
	f = last(b, 1, FLOW_OPEN, 5);
	assert_int_equal(f->source.packets, 1);
	assert_int_equal(f->destination.packets, 1);
	assert_int_equal(f->destination.port, 2000);
	assert_int_equal(f->hops[3].from, PARTY_DESTINATION);
}

static void test_equal_addresses_on_two_ways(void **state)
{
	struct bench *b = *state;

	pass(b, 1);
	give(b, rec(20, 16, 2, DEVFLOW_RX)); /* the same packet, through another router */
	give(b, rec(20, 16, 3, DEVFLOW_TX));
	give(b, rec(20, 17, 2, DEVFLOW_RX));
	collect(b, 1000);
	assert_int_equal(b->n, 2);
	assert_int_equal(b->events[0].n_hops, 3);
	assert_int_equal(b->events[1].n_hops, 3);
	assert_int_not_equal(b->events[0].id, b->events[1].id);
}

static void test_two_bridges_of_one_namespace(void **state)
{
	struct bench *b = *state;

	for (uint32_t bridge = 0; bridge < 2; bridge++) {
		give(b, rec(1 + (int)bridge * 50, ROUTER, 10 + bridge * 10, DEVFLOW_RX));
		give(b, rec(1 + (int)bridge * 50, ROUTER, 11 + bridge * 10, DEVFLOW_TX));
	}
	collect(b, 1000);
	assert_int_equal(b->n, 2);
	assert_int_equal(b->events[1].n_hops, 2);
}

static void test_under_way_when_first_looked_at(void **state)
{
	struct bench *b = *state;
	struct rec_devflow out = rec(2, ROUTER, 3, DEVFLOW_TX);

	out.flow.first_is = 76; /* it waited in a queue */
	give(b, rec(1, ROUTER, 2, DEVFLOW_RX));
	give(b, out);
	collect(b, 1000);
	last(b, 1, FLOW_OPEN, 2);
}

static void test_tcp_ends_by_fin_of_both(void **state)
{
	struct bench *b = *state;
	const struct flow_event *f;

	give(b, turned(tcp(rec(2, ROUTER, 3, DEVFLOW_RX), DEVFLOW_F_FIN)));
	give(b, tcp(rec(1, ROUTER, 2, DEVFLOW_RX), DEVFLOW_F_BEGIN));
	collect(b, 1000);
	f = last(b, 1, FLOW_OPEN, 2);
	assert_true(f->has & FLOW_INITIATOR_KNOWN);
	assert_false(f->has & FLOW_ADOPTED);
	give(b, tcp(rec(1500, ROUTER, 2, DEVFLOW_RX), DEVFLOW_F_FIN));
	collect(b, 2000);
	last(b, 2, FLOW_UPDATE, 2);
	collect(b, 3000);
	f = last(b, 3, FLOW_CLOSE, 2);
	assert_int_equal(f->reason, REASON_FIN);
	assert_int_equal(f->closed_by, PARTY_DESTINATION);
	assert_true(f->last);
	assert_int_equal(f->end_ns, at(1500));
}

static void test_tcp_reset_then_the_same_again(void **state)
{
	struct bench *b = *state;
	const struct flow_event *f;

	give(b, tcp(rec(1, ROUTER, 2, DEVFLOW_RX), DEVFLOW_F_RST));
	collect(b, 1000);
	f = last(b, 1, FLOW_OPEN, 1);
	assert_true(f->has & FLOW_ADOPTED);
	give(b, tcp(rec(1500, ROUTER, 2, DEVFLOW_RX), DEVFLOW_F_BEGIN));
	f = last(b, 2, FLOW_CLOSE, 1);
	assert_int_equal(f->reason, REASON_RESET);
	assert_int_equal(f->closed_by, PARTY_SOURCE);
	collect(b, 2000);
	f = last(b, 3, FLOW_OPEN, 1);
	assert_int_not_equal(f->id, b->events[0].id);
}

static void test_idle(void **state)
{
	struct bench *b = *state;

	pass(b, 1);
	collect(b, 1000);
	collect(b, 5000);
	assert_int_equal(b->n, 1);
	collect(b, 5002);
	assert_int_equal(last(b, 2, FLOW_CLOSE, 3)->reason, REASON_IDLE);
}

/* A UDP socket's conversation with the addresses of rec(), in either direction. */
static struct rec_dgram socket_record(int ms, enum dgram_action action)
{
	return (struct rec_dgram){
		.h = { .ts_ns = at(ms), .type = REC_DGRAM, .size = sizeof(struct rec_dgram) },
		.key = { .cookie = 9,
			 .laddr = { 10, 0, 0, 2 },
			 .raddr = { 10, 0, 0, 1 },
			 .lport = 2000,
			 .rport = 1000,
			 .proto = IPPROTO_UDP,
			 .family = AF_INET },
		.netns_cookie = SERVER,
		.start_ns = at(1),
		.last_ns = at(1),
		.action = (uint8_t)action,
		.flags = DGRAM_F_REMOTE_FIRST,
	};
}

static void give_socket(struct bench *b, struct rec_dgram r)
{
	assert_int_equal(flow_table_record(b->table, &r.h, sizeof(r)), 0);
}

static void test_a_sockets_conversation_is_told_by_it_alone(void **state)
{
	struct bench *b = *state;
	struct flow_usage usage;

	pass(b, 1);
	give_socket(b, socket_record(2, DGRAM_ACT_OPEN));
	pass(b, 3);
	flow_table_tick(b->table, at(500));
	collect(b, 1000);
	assert_int_equal(b->n, 1);
	assert_false(b->events[0].has & FLOW_WIRE);
	give_socket(b, socket_record(1500, DGRAM_ACT_IDLE));
	flow_table_tick(b->table, at(1900));
	assert_int_equal(b->n, 2);
	pass(b, 1950);
	collect(b, 2000); /* what comes late of it */
	assert_int_equal(b->n, 2);
	flow_table_usage(b->table, &usage);
	assert_int_equal(usage.passing, 0);
	assert_true(usage.owned >= 6);
	collect(b, 9000);
	pass(b, 9500);
	collect(b, 10000); /* no more */
	last(b, 3, FLOW_OPEN, 3);
}

static void test_a_packet_with_its_socket(void **state)
{
	struct bench *b = *state;
	struct rec_devflow r = rec(1, ROUTER, 2, DEVFLOW_RX);

	r.flow.flags = DEVFLOW_F_LOCAL;
	give(b, rec(1, ROUTER, 3, DEVFLOW_TX));
	give(b, r);
	collect(b, 1000);
	assert_int_equal(b->n, 0);
}

static void test_no_room_is_counted(void **state)
{
	struct bench *b = *state;
	struct flow_usage usage;

	for (uint32_t i = 0; i < 4 * MAX_CONVERSATIONS + 3; i++) {
		struct rec_devflow r = rec(1, ROUTER, 2, DEVFLOW_RX);

		r.flow.key.sport = (uint16_t)(3000 + i);
		give(b, r);
	}
	flow_table_usage(b->table, &usage);
	assert_int_equal(usage.lost, 3);
	collect(b, 1000);
	assert_int_equal(b->n, 4 * MAX_CONVERSATIONS);
}

static void test_icmp_without_identifier_and_a_wrong_size(void **state)
{
	struct bench *b = *state;
	struct rec_devflow r = rec(1, ROUTER, 2, DEVFLOW_RX);
	const struct flow_event *f;

	assert_int_equal(flow_table_record(b->table, &r.h, sizeof(r) - 1), -EBADMSG);
	r.flow.key.proto = IPPROTO_ICMP;
	r.flow.key.sport = r.flow.key.dport = 0;
	r.flow.key.has_ports = 0;
	give(b, r);
	flow_table_collected(b->table, UINT64_MAX);
	f = last(b, 1, FLOW_OPEN, 1);
	assert_int_equal(f->transport, TRANSPORT_ICMP);
	assert_false(f->has & FLOW_HAS_ICMP_ID);
	assert_false(f->source.has & SIDE_HAS_PORT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_path_counts_once),
		TEST(test_hops_in_the_order_of_time_not_of_records),
		TEST(test_what_came_behind_the_turn_waits),
		TEST(test_the_answer_belongs_to_it),
		TEST(test_equal_addresses_on_two_ways),
		TEST(test_two_bridges_of_one_namespace),
		TEST(test_under_way_when_first_looked_at),
		TEST(test_tcp_ends_by_fin_of_both),
		TEST(test_tcp_reset_then_the_same_again),
		TEST(test_idle),
		TEST(test_a_sockets_conversation_is_told_by_it_alone),
		TEST(test_a_packet_with_its_socket),
		TEST(test_no_room_is_counted),
		TEST(test_icmp_without_identifier_and_a_wrong_size),
	};

	return cmocka_run_group_tests_name("hops", tests, NULL, NULL);
}
