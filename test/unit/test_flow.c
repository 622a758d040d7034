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

#include "abi/dgram.h"
#include "abi/tcp.h"
#include "base/base.h"
#include "flow/table.h"

/* Records of two sockets go in, events of conversations come out. Times: ms from a start. */
enum { BEGIN_NS = 1000000000, MAX_EVENTS = 64, CLIENT_COOKIE = 11, SERVER_COOKIE = 22 };
enum { CLIENT_PID = 100, SERVER_PID = 200, WORKER_PID = 201, CLIENT_NETNS = 5, SERVER_NETNS = 6 };

struct bench {
	struct flow_table *table;
	struct flow_event events[MAX_EVENTS];
	uint32_t pids[MAX_EVENTS][2]; /* of the processes at both ends, 0: none */
	uint32_t openers[MAX_EVENTS];
	int n;
	struct dgram_flow map_flow; /* what take_dgram() finds */
	bool in_map;
	struct flow_question asked[4];
	int n_asked;
	bool answers;
};

static struct process *resolve_process(void *arg, const struct owner *owner)
{
	struct process *p;

	if (!owner->tgid)
		return NULL;
	p = calloc(1, sizeof(*p));
	p->n_ref = 1;
	p->pid = owner->tgid;
	return p;
}

static const char *resolve_netns(void *arg, uint64_t cookie)
{
	return cookie == CLIENT_NETNS ? "blue" : NULL;
}

static int take_dgram(void *arg, const struct dgram_key *key, uint64_t max_rx_packets,
		      struct dgram_flow *ret)
{
	struct bench *b = arg;

	if (!b->in_map)
		return -ENOENT;
	if (b->map_flow.n.rx_packets > max_rx_packets)
		return -EAGAIN;
	*ret = b->map_flow;
	b->in_map = false;
	return 0;
}

static void on_event(void *arg, const struct event *event)
{
	struct bench *b = arg;
	const struct flow_event *f = &event->flow;

	assert_int_equal(event->kind, EVENT_FLOW);
	assert_true(b->n < MAX_EVENTS);
	b->pids[b->n][0] = f->source.process ? f->source.process->pid : 0;
	b->pids[b->n][1] = f->destination.process ? f->destination.process->pid : 0;
	b->openers[b->n] = f->destination.opened_by ? f->destination.opened_by->pid : 0;
	b->events[b->n++] = *f;
}

static int ask(void *arg, const struct flow_question *q)
{
	struct bench *b = arg;

	if (!b->answers)
		return -ENOENT;
	assert_true(b->n_asked < (int)ARRAY_SIZE(b->asked));
	b->asked[b->n_asked++] = *q;
	return 0;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct flow_resolver resolver = { .process = resolve_process,
					  .netns_name = resolve_netns,
					  .take_dgram = take_dgram,
					  .ask = ask,
					  .arg = b };

	b->table = flow_table_new(&resolver, on_event, b);
	*state = b;
	return b->table ? 0 : -1;
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

static struct rec_tcp tcp_client(int ms, enum tcp_action action)
{
	return (struct rec_tcp){
		.h = { .ts_ns = at(ms), .type = REC_TCP, .size = sizeof(struct rec_tcp) },
		.cookie = CLIENT_COOKIE,
		.netns_cookie = CLIENT_NETNS,
		.action = action,
		.role = TCP_ROLE_ACTIVE,
		.family = AF_INET,
		.lport = 40000,
		.rport = 80,
		.tx_isn = 0x1111,
		.rx_isn = 0x2222,
		.laddr = { 10, 0, 0, 1 },
		.raddr = { 10, 0, 0, 2 },
		.opener = { .tgid = CLIENT_PID, .start_ns = 1 },
		.user = { .tgid = CLIENT_PID, .start_ns = 1 },
		.start_ns = at(0),
		.connect_ns = 70000,
		.srtt_us = 50,
	};
}

static struct rec_tcp tcp_server(int ms, enum tcp_action action)
{
	return (struct rec_tcp){
		.h = { .ts_ns = at(ms), .type = REC_TCP, .size = sizeof(struct rec_tcp) },
		.cookie = SERVER_COOKIE,
		.netns_cookie = SERVER_NETNS,
		.action = action,
		.role = TCP_ROLE_PASSIVE,
		.family = AF_INET,
		.lport = 80,
		.rport = 40000,
		.tx_isn = 0x2222,
		.rx_isn = 0x1111,
		.laddr = { 10, 0, 0, 2 },
		.raddr = { 10, 0, 0, 1 },
		.opener = { .tgid = SERVER_PID, .start_ns = 1 },
		.user = { .tgid = SERVER_PID, .start_ns = 1 },
		.start_ns = at(0),
	};
}

static const struct dgram_key tcp_client_key = { .cookie = CLIENT_COOKIE, .proto = IPPROTO_TCP };
static const struct dgram_key tcp_server_key = { .cookie = SERVER_COOKIE, .proto = IPPROTO_TCP };

static void feed(struct bench *b, const void *rec)
{
	const struct rec_hdr *h = rec;

	assert_int_equal(flow_table_record(b->table, h, h->size), 0);
}

static void feed_tcp(struct bench *b, struct rec_tcp r)
{
	feed(b, &r);
}

static void expect(const struct bench *b, int i, enum flow_action action, unsigned int seen_by)
{
	const struct flow_event *f = &b->events[i];

	assert_true(i < b->n);
	assert_int_equal(f->action, action);
	assert_int_equal(f->has & (FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION), seen_by);
}

enum { BOTH = FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION };

/* --- TCP --- */

static void test_both_ends_are_one_conversation(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r;

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	assert_int_equal(b->n, 0); /* waits for the other end */
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	r = tcp_server(9, TCP_ACT_CLOSE);
	r.tx_bytes = 500;
	r.rx_bytes = 20;
	r.segs_out = 4;
	r.closed_by = TCP_BY_LOCAL;
	r.end_reason = TCP_END_FIN;
	r.user.tgid = WORKER_PID;
	r.flags = TCP_F_ACCEPTED;
	feed_tcp(b, r);
	assert_int_equal(b->n, 1);
	r = tcp_client(10, TCP_ACT_CLOSE);
	r.tx_bytes = 20;
	r.rx_bytes = 500;
	r.segs_out = 3;
	r.closed_by = TCP_BY_REMOTE;
	r.end_reason = TCP_END_FIN;
	feed_tcp(b, r);
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, BOTH);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_true(b->events[0].id == b->events[1].id);
	assert_int_equal(b->events[1].source.bytes, 20);
	assert_int_equal(b->events[1].source.packets, 3);
	assert_int_equal(b->events[1].destination.bytes, 500);
	assert_int_equal(b->events[1].reason, REASON_FIN);
	assert_int_equal(b->events[1].closed_by, PARTY_DESTINATION);
	assert_int_equal(b->events[1].duration_ns, 10 * NS_PER_MS);
	assert_true(b->events[1].accepted);
	assert_int_equal(b->pids[0][1], SERVER_PID);
	assert_int_equal(b->pids[1][1], WORKER_PID);
	assert_int_equal(b->openers[1], SERVER_PID);
	assert_string_equal(b->events[1].source.netns_name, "blue");
	assert_true(b->events[1].last);
}

static void test_one_end_alone_waits_no_longer_than_the_join_time(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r = tcp_client(5, TCP_ACT_CLOSE);

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	r.rx_bytes = 7;
	r.segs_in = 2;
	feed_tcp(b, r);
	flow_table_tick(b->table, at(1) + FLOW_JOIN_NS - 1);
	assert_int_equal(b->n, 0);
	flow_table_tick(b->table, at(1) + FLOW_JOIN_NS);
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	expect(b, 1, FLOW_CLOSE, FLOW_SEEN_BY_SOURCE);
	assert_int_equal(b->events[1].destination.bytes, 7);
	assert_int_equal(b->events[1].destination.packets, 2);
	assert_int_equal(b->pids[1][1], 0);
	assert_false(b->events[1].has & FLOW_HAS_ACCEPTED);
}

static void test_ends_that_close_apart_are_two_records_of_one_id(void **state)
{
	struct bench *b = *state;

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_client(10, TCP_ACT_CLOSE));
	flow_table_tick(b->table, at(70));
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_CLOSE, FLOW_SEEN_BY_SOURCE);
	assert_false(b->events[1].last);
	assert_int_equal(b->pids[1][1], SERVER_PID); /* it is known who the other is */
	feed_tcp(b, tcp_server(5000, TCP_ACT_CLOSE));
	assert_int_equal(b->n, 3);
	expect(b, 2, FLOW_CLOSE, FLOW_SEEN_BY_DESTINATION);
	assert_int_equal(b->pids[2][0], CLIENT_PID);
	assert_true(b->events[1].id == b->events[2].id);
	assert_true(b->events[2].last);
}

static void test_equal_addresses_elsewhere_are_not_joined(void **state)
{
	struct bench *b = *state;
	struct rec_tcp other = tcp_server(1, TCP_ACT_OPEN);

	other.tx_isn = 0x3333; /* the same addresses and ports, another connection */
	other.rx_isn = 0x4444;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, other);
	assert_int_equal(b->n, 0);
	flow_table_tick(b->table, at(100));
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	expect(b, 1, FLOW_OPEN, FLOW_SEEN_BY_DESTINATION);
	assert_true(b->events[0].id != b->events[1].id);
}

/* The @i-th of some that are alike to the last bit, each on the loopback of another namespace. */
static struct rec_tcp tcp_twin(struct rec_tcp r, int i, bool loopback)
{
	uint8_t ip[] = { loopback ? 127 : 10, 0, 0, 1 };

	r.cookie += (uint64_t)(100 * i);
	r.netns_cookie = (uint64_t)(CLIENT_NETNS + i);
	r.user.tgid = r.opener.tgid += (uint32_t)(1000 * i);
	memcpy(r.laddr, ip, sizeof(ip));
	memcpy(r.raddr, ip, sizeof(ip));
	return r;
}

static void expect_twins(const struct bench *b)
{
	for (int i = 0; i < b->n; i++)
		assert_int_equal(b->pids[i][1] - b->pids[i][0], SERVER_PID - CLIENT_PID);
	assert_int_equal(b->n, 4);
}

/* Sequence numbers come of addresses and time: two CPUs can choose the same at the same time. */
static void test_twins_in_two_namespaces_are_told_apart(void **state)
{
	struct bench *b = *state;

	for (int action = TCP_ACT_OPEN; action <= TCP_ACT_CLOSE; action += 2) {
		feed_tcp(b, tcp_twin(tcp_client(action, action), 0, true));
		feed_tcp(b, tcp_twin(tcp_server(action, action), 1, true));
		feed_tcp(b, tcp_twin(tcp_client(action, action), 1, true));
		feed_tcp(b, tcp_twin(tcp_server(action, action), 0, true));
	}
	flow_table_tick(b->table, at(100));
	expect_twins(b);
	assert_true(b->events[0].id != b->events[1].id);
}

/* What is not on loopback may come from another namespace: then each finds one, by its turn. */
static void test_twins_are_never_taken_for_two_sources_of_one(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 2; i++)
		feed_tcp(b, tcp_twin(tcp_client(1, TCP_ACT_OPEN), i, false));
	for (int i = 0; i < 2; i++)
		feed_tcp(b, tcp_twin(tcp_server(1, TCP_ACT_OPEN), i, false));
	for (int i = 0; i < 2; i++) {
		feed_tcp(b, tcp_twin(tcp_client(9, TCP_ACT_CLOSE), i, false));
		feed_tcp(b, tcp_twin(tcp_server(9, TCP_ACT_CLOSE), i, false));
	}
	expect_twins(b);
}

static void test_translated_addresses_stand_beside_those_asked_for(void **state)
{
	struct bench *b = *state;
	struct rec_tcp s = tcp_server(1, TCP_ACT_OPEN);
	const struct flow_event *f = &b->events[0];
	char text[IP_TEXT_MAX];

	s.laddr[3] = 99; /* 10.0.0.2:80 was asked for, 10.0.0.99:8080 reached, from 10.0.0.7:5555 */
	s.lport = 8080;
	s.raddr[3] = 7;
	s.rport = 5555;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, s);
	expect(b, 0, FLOW_OPEN, BOTH);
	assert_string_equal(ip_format(&f->source.ip, text), "10.0.0.1");
	assert_string_equal(ip_format(&f->source.nat_ip, text), "10.0.0.7");
	assert_int_equal(f->source.nat_port, 5555);
	assert_string_equal(ip_format(&f->destination.ip, text), "10.0.0.2");
	assert_int_equal(f->destination.port, 80);
	assert_string_equal(ip_format(&f->destination.nat_ip, text), "10.0.0.99");
	assert_int_equal(f->destination.nat_port, 8080);
}

static void test_what_connect_asked_for_stands_beside_what_was_reached(void **state)
{
	struct bench *b = *state;
	struct rec_tcp_asked r = {
		.tcp = tcp_client(1, TCP_ACT_OPEN),
		.asked = { .addr = { 192, 0, 2, 1 }, .port = 8888, .family = AF_INET }
	};
	const struct flow_event *f = &b->events[0];
	char text[IP_TEXT_MAX];

	r.tcp.h.size = sizeof(r);
	assert_int_equal(flow_table_record(b->table, &r.tcp.h, sizeof(r)), -EBADMSG);
	r.tcp.flags = TCP_F_REDIRECTED;
	feed(b, &r);
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	expect(b, 0, FLOW_OPEN, BOTH);
	assert_string_equal(ip_format(&f->destination.ip, text), "192.0.2.1");
	assert_int_equal(f->destination.port, 8888);
	assert_string_equal(ip_format(&f->destination.nat_ip, text), "10.0.0.2");
	assert_int_equal(f->destination.nat_port, 80);
	assert_false(f->source.has & SIDE_HAS_NAT);
}

static void test_a_connect_that_sent_nothing_has_neither_address_nor_end(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r = tcp_client(5, TCP_ACT_FAIL);

	r.flags = TCP_F_UNSENT;
	r.end_reason = TCP_END_UNREACHABLE;
	r.lport = 0;
	r.tx_isn = r.rx_isn = 0;
	memset(r.laddr, 0, sizeof(r.laddr));
	feed_tcp(b, r);
	expect(b, 0, FLOW_FAIL, FLOW_SEEN_BY_SOURCE);
	assert_int_equal(b->events[0].source.ip.family, IP_NONE);
	assert_false(b->events[0].source.has & SIDE_HAS_PORT);
	assert_false(b->events[0].has & FLOW_HAS_END);
	assert_int_equal(b->events[0].reason, REASON_UNREACHABLE);
}

static void test_a_peer_elsewhere_is_asked_for_once_and_shown_as_reached(void **state)
{
	struct bench *b = *state;
	struct flow_answer a = { .translated = true };
	const struct flow_event *f = &b->events[0];
	char text[IP_TEXT_MAX];

	b->answers = true;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	flow_table_tick(b->table, at(1) + FLOW_JOIN_NS);
	assert_int_equal(b->n_asked, 1);
	assert_int_equal(b->n, 0); /* waits for the answer */
	a.key = b->asked[0].key;
	a.start_ns = b->asked[0].start_ns;
	a.far = ip_view_turned(&b->asked[0].view);
	a.far.local.bytes[3] = 99;
	a.far.remote_port = 61001;
	flow_table_answer(b->table, &a, at(60));
	flow_table_tick(b->table, at(1) + 3 * FLOW_JOIN_NS);
	assert_int_equal(b->n_asked, 1);
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	assert_string_equal(ip_format(&f->destination.ip, text), "10.0.0.2");
	assert_string_equal(ip_format(&f->destination.nat_ip, text), "10.0.0.99");
	assert_int_equal(f->destination.nat_port, 80);
	assert_string_equal(ip_format(&f->source.nat_ip, text), "10.0.0.1");
	assert_int_equal(f->source.nat_port, 61001);
}

static void test_an_answer_that_does_not_come_is_not_waited_for_long(void **state)
{
	struct bench *b = *state;
	struct flow_answer late = { .translated = true };

	b->answers = true;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_client(2, TCP_ACT_CLOSE));
	flow_table_tick(b->table, at(2) + FLOW_JOIN_NS);
	assert_int_equal(b->n, 0);
	flow_table_tick(b->table, at(2) + 2 * FLOW_JOIN_NS);
	assert_int_equal(b->n, 0);
	flow_table_tick(b->table, at(2) + 3 * FLOW_JOIN_NS);
	assert_int_equal(b->n, 2);
	late.key = b->asked[0].key;
	late.start_ns = b->asked[0].start_ns;
	flow_table_answer(b->table, &late, at(200)); /* nobody is there any more */
	assert_int_equal(b->n, 2);
}

static void test_addresses_that_agree_were_not_translated(void **state)
{
	struct bench *b = *state;

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	assert_false(b->events[0].source.has & SIDE_HAS_NAT);
	assert_false(b->events[0].destination.has & SIDE_HAS_NAT);
}

static void test_who_reset_knows_it(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r;

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	r = tcp_client(2, TCP_ACT_CLOSE);
	r.end_reason = TCP_END_RESET;
	r.closed_by = TCP_BY_REMOTE; /* of which this end can't be sure */
	feed_tcp(b, r);
	r = tcp_server(2, TCP_ACT_CLOSE);
	r.end_reason = TCP_END_RESET;
	r.closed_by = TCP_BY_LOCAL;
	feed_tcp(b, r);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_int_equal(b->events[1].reason, REASON_RESET);
	assert_int_equal(b->events[1].closed_by, PARTY_DESTINATION);
}

static void test_a_refused_connection_fails_at_once(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r = tcp_client(1, TCP_ACT_FAIL);

	r.tx_isn = r.rx_isn = 0;
	r.end_reason = TCP_END_REFUSED;
	r.closed_by = TCP_BY_REMOTE;
	feed_tcp(b, r);
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_FAIL, FLOW_SEEN_BY_SOURCE);
	assert_int_equal(b->events[0].reason, REASON_REFUSED);
	assert_int_equal(b->events[0].closed_by, PARTY_DESTINATION);
	feed_tcp(b, r); /* the same socket tries again */
	assert_int_equal(b->n, 2);
}

static void test_updates_come_with_the_sweep_and_only_for_what_changed(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r = tcp_client(1000, TCP_ACT_UPDATE);

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	flow_table_swept(b->table);
	assert_int_equal(b->n, 1);
	r.tx_bytes = 10;
	feed_tcp(b, r);
	feed_tcp(b, r);
	assert_int_equal(b->n, 1);
	flow_table_swept(b->table);
	flow_table_swept(b->table);
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_UPDATE, BOTH);
	assert_int_equal(b->events[1].source.bytes, 10);
}

static void test_adopted_ends_find_their_roles_by_who_listens(void **state)
{
	struct bench *b = *state;
	struct rec_tcp listener = tcp_server(0, TCP_ACT_LISTEN);
	struct rec_tcp s = tcp_server(1000, TCP_ACT_UPDATE), c = tcp_client(1000, TCP_ACT_UPDATE);

	feed_tcp(b, listener);
	s.role = c.role = TCP_ROLE_UNKNOWN;
	s.flags = c.flags = TCP_F_ADOPTED;
	s.start_ns = c.start_ns = 0;
	feed_tcp(b, s);
	feed_tcp(b, c);
	flow_table_swept(b->table);
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_UPDATE, BOTH);
	assert_int_equal(b->events[0].destination.port, 80);
	assert_true(b->events[0].has & FLOW_ADOPTED);
	assert_true(b->events[0].has & FLOW_INITIATOR_KNOWN);
	assert_false(b->events[0].has & FLOW_HAS_START);
}

static void test_adopted_ends_of_which_none_listens(void **state)
{
	struct bench *b = *state;
	struct rec_tcp s = tcp_server(1000, TCP_ACT_UPDATE), c = tcp_client(1000, TCP_ACT_UPDATE);

	s.role = c.role = TCP_ROLE_UNKNOWN;
	s.flags = c.flags = TCP_F_ADOPTED;
	feed_tcp(b, s);
	feed_tcp(b, c);
	flow_table_swept(b->table);
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_UPDATE, BOTH);
	assert_false(b->events[0].has & FLOW_INITIATOR_KNOWN);
}

static void test_a_socket_used_again_is_another_conversation(void **state)
{
	struct bench *b = *state;
	struct rec_tcp again = tcp_client(3, TCP_ACT_OPEN);

	again.tx_isn = 0x7777;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_client(2, TCP_ACT_CLOSE));
	feed_tcp(b, again);
	flow_table_tick(b->table, at(100));
	assert_int_equal(b->n, 3);
	expect(b, 0, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	expect(b, 1, FLOW_CLOSE, FLOW_SEEN_BY_SOURCE);
	expect(b, 2, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	assert_true(b->events[0].id == b->events[1].id);
	assert_true(b->events[0].id != b->events[2].id);
}

static void test_a_close_without_its_open_tells_both(void **state)
{
	struct bench *b = *state;

	struct rec_tcp client = tcp_client(5, TCP_ACT_CLOSE), server = tcp_server(6, TCP_ACT_CLOSE);

	client.tx_bytes = server.rx_bytes = 20;
	client.connect_ns = 1 * NS_PER_MS;
	feed_tcp(b, client); /* too short for an open of its own */
	assert_int_equal(b->n, 0);
	feed_tcp(b, server);
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, BOTH);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_int_equal(b->events[0].ts_ns, at(0) + 1 * NS_PER_MS);
	assert_int_equal(b->events[0].source.bytes, 0);
	assert_int_equal(b->events[1].source.bytes, 20);
}

static void test_what_happened_until_the_open_is_told_is_an_update(void **state)
{
	struct bench *b = *state;
	struct rec_tcp server = tcp_server(1, TCP_ACT_OPEN);

	server.user.tgid = WORKER_PID;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, server);
	flow_table_swept(b->table);
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, BOTH);
	expect(b, 1, FLOW_UPDATE, BOTH);
	assert_int_equal(b->pids[0][1], SERVER_PID);
	assert_int_equal(b->pids[1][1], WORKER_PID);
}

static void test_an_adopted_end_is_not_opened(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r = tcp_client(1, TCP_ACT_CLOSE);

	r.flags = TCP_F_ADOPTED;
	feed_tcp(b, r);
	flow_table_tick(b->table, at(100));
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_CLOSE, FLOW_SEEN_BY_SOURCE);
}

static void test_a_lost_close_ends_the_conversation_without_figures(void **state)
{
	struct bench *b = *state;
	struct flow_usage usage;

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	feed_tcp(b, tcp_server(1, TCP_ACT_OPEN));
	flow_table_gone(b->table, &tcp_client_key, at(50));
	flow_table_gone(b->table, &tcp_server_key, at(50));
	flow_table_tick(b->table, at(100));
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_false(b->events[1].source.has & SIDE_HAS_COUNTS);
	assert_false(b->events[1].has & FLOW_HAS_END);
	assert_int_equal(b->events[1].reason, REASON_UNKNOWN);
	flow_table_usage(b->table, &usage);
	assert_int_equal(usage.conversations, 0);
	assert_int_equal(usage.ends, 0);
}

static void test_a_socket_used_again_after_a_lost_close_is_another_conversation(void **state)
{
	struct bench *b = *state;
	struct rec_tcp again = tcp_client(300, TCP_ACT_OPEN);

	again.start_ns = at(299);
	again.tx_isn++;
	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	flow_table_tick(b->table, at(100));
	feed_tcp(b, again); /* the first one's close was lost */
	flow_table_tick(b->table, at(400));
	assert_int_equal(b->n, 3);
	expect(b, 1, FLOW_CLOSE, FLOW_SEEN_BY_SOURCE);
	expect(b, 2, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	assert_true(b->events[1].id == b->events[0].id);
	assert_true(b->events[2].id != b->events[0].id);
	assert_false(b->events[1].source.has & SIDE_HAS_COUNTS);
}

static void test_what_began_after_the_kernel_was_asked_is_not_gone(void **state)
{
	struct bench *b = *state;

	feed_tcp(b, tcp_client(1, TCP_ACT_OPEN));
	flow_table_gone(b->table, &tcp_client_key, at(0));
	feed_tcp(b, tcp_client(2, TCP_ACT_CLOSE));
	flow_table_tick(b->table, at(100));
	assert_int_equal(b->n, 2);
	assert_true(b->events[1].source.has & SIDE_HAS_COUNTS);
}

/* --- datagrams --- */

static struct rec_dgram dgram(int ms, enum dgram_action action, bool sender)
{
	struct rec_dgram r = {
		.h = { .ts_ns = at(ms), .type = REC_DGRAM, .size = sizeof(struct rec_dgram) },
		.key = { .cookie = sender ? CLIENT_COOKIE : SERVER_COOKIE,
			 .laddr = { 10, 0, 0, sender ? 1 : 2 },
			 .raddr = { 10, 0, 0, sender ? 2 : 1 },
			 .lport = sender ? 4000 : 53,
			 .rport = sender ? 53 : 4000,
			 .proto = IPPROTO_UDP,
			 .family = AF_INET },
		.netns_cookie = sender ? CLIENT_NETNS : SERVER_NETNS,
		.user = { .tgid = sender ? CLIENT_PID : SERVER_PID },
		.start_ns = at(0),
		.last_ns = at(ms),
		.fingerprint = 7,
		.action = action,
		.flags = sender ? 0 : DGRAM_F_REMOTE_FIRST,
	};

	return r;
}

static void feed_dgram(struct bench *b, struct rec_dgram r)
{
	feed(b, &r);
}

/* 10.0.0.1:4000 asked for 10.0.0.9:53, and is 10.0.0.7:5555 at 10.0.0.2:53. */
static struct rec_dgram translated_dgram(int ms, enum dgram_action action, bool sender)
{
	struct rec_dgram r = dgram(ms, action, sender);

	r.key.raddr[3] = sender ? 9 : 7;
	r.key.rport = sender ? 53 : 5555;
	return r;
}

/* Between them it is 10.0.0.7:5555 to 10.0.0.9:53: each end's namespace has its own part. */
static struct flow_answer answer_of(const struct flow_question *q)
{
	struct flow_answer a = { .key = q->key, .start_ns = q->start_ns, .translated = true };
	bool sender = q->view.local_port == 4000;

	a.far = ip_view_turned(&q->view);
	if (sender) {
		a.far.remote.bytes[3] = 7;
		a.far.remote_port = 5555;
	} else {
		a.far.remote.bytes[3] = 9;
	}
	return a;
}

static void expect_translated(const struct flow_event *f)
{
	char text[IP_TEXT_MAX];

	assert_string_equal(ip_format(&f->source.ip, text), "10.0.0.1");
	assert_string_equal(ip_format(&f->source.nat_ip, text), "10.0.0.7");
	assert_int_equal(f->source.nat_port, 5555);
	assert_string_equal(ip_format(&f->destination.ip, text), "10.0.0.9");
	assert_string_equal(ip_format(&f->destination.nat_ip, text), "10.0.0.2");
}

static void test_translated_datagrams_are_joined_in_the_middle(void **state)
{
	struct bench *b = *state;
	struct flow_answer a;
	struct flow_usage usage;

	b->answers = true;
	feed_dgram(b, translated_dgram(0, DGRAM_ACT_OPEN, true));
	feed_dgram(b, translated_dgram(0, DGRAM_ACT_OPEN, false));
	flow_table_tick(b->table, at(0) + FLOW_JOIN_NS);
	assert_int_equal(b->n_asked, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(b->n, 0);
		a = answer_of(&b->asked[i]);
		flow_table_answer(b->table, &a, at(60));
	}
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_OPEN, BOTH);
	expect_translated(&b->events[0]);
	flow_table_usage(b->table, &usage);
	assert_int_equal(usage.conversations, 1);
	assert_int_equal(usage.seen, 1);
	feed_dgram(b, translated_dgram(70, DGRAM_ACT_CLOSE, true));
	feed_dgram(b, translated_dgram(71, DGRAM_ACT_CLOSE, false));
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_CLOSE, BOTH);
	flow_table_usage(b->table, &usage);
	assert_int_equal(usage.conversations, 0);
}

static void test_an_end_that_was_told_takes_the_other_one_in(void **state)
{
	struct bench *b = *state;
	struct flow_answer a;

	b->answers = true;
	feed_dgram(b, translated_dgram(0, DGRAM_ACT_OPEN, true));
	flow_table_tick(b->table, at(0) + FLOW_JOIN_NS);
	a = answer_of(&b->asked[0]);
	flow_table_answer(b->table, &a, at(60));
	flow_table_tick(b->table, at(0) + 2 * FLOW_JOIN_NS);
	expect(b, 0, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	feed_dgram(b, translated_dgram(0, DGRAM_ACT_OPEN, false));
	flow_table_tick(b->table, at(0) + 2 * FLOW_JOIN_NS);
	assert_int_equal(b->n_asked, 2);
	a = answer_of(&b->asked[1]);
	flow_table_answer(b->table, &a, at(110));
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_OPEN, FLOW_SEEN_BY_DESTINATION);
	assert_true(b->events[0].id == b->events[1].id);
	expect_translated(&b->events[1]);
}

static void test_a_senders_close_ends_both_ends_with_the_receivers_last_figures(void **state)
{
	struct bench *b = *state;
	struct rec_dgram close = dgram(5, DGRAM_ACT_CLOSE, true);

	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, true));
	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, false));
	close.n = (struct dgram_counts){ 30, 3, 10, 1 };
	feed_dgram(b, close);
	b->in_map = true;
	b->map_flow.n = (struct dgram_counts){ 20, 2, 30, 3 };
	flow_table_tick(b->table, at(5) + FLOW_JOIN_NS);
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, BOTH);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_int_equal(b->events[1].source.bytes, 30);
	assert_int_equal(b->events[1].destination.bytes, 20);
	assert_int_equal(b->events[1].destination.packets, 2);
	assert_int_equal(b->events[1].closed_by, PARTY_SOURCE);
	assert_true(b->events[1].last);
}

/* Three clients in a row have the same port, the server's socket and flow stay. */
static void test_a_peer_with_a_closed_ones_port_begins_another_conversation(void **state)
{
	struct bench *b = *state;
	struct rec_dgram open = dgram(0, DGRAM_ACT_OPEN, true), close;

	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, false));
	for (int i = 0; i < 3; i++) {
		open.key.cookie = 100 + i;
		open.h.ts_ns = open.start_ns = at(10 * i);
		close = open;
		close.action = DGRAM_ACT_CLOSE;
		close.n = (struct dgram_counts){ 30 + i, 3, 10 + i, 1 };
		close.h.ts_ns = at(10 * i + 5);
		feed_dgram(b, open);
		feed_dgram(b, close);
	}
	assert_int_equal(b->n, 5);
	b->in_map = true;
	b->map_flow.n = (struct dgram_counts){ 10 + 11 + 12, 3, 30 + 31 + 32, 9 };
	flow_table_tick(b->table, at(100));
	assert_int_equal(b->n, 6);
	for (int i = 0; i < 3; i++) {
		expect(b, 2 * i, FLOW_OPEN, BOTH);
		expect(b, 2 * i + 1, FLOW_CLOSE, BOTH);
		assert_int_equal(b->events[2 * i + 1].source.bytes, 30 + i);
		assert_int_equal(b->events[2 * i + 1].destination.bytes, 10 + i);
		assert_int_equal(b->events[2 * i + 1].destination.received_bytes, 30 + i);
	}
	assert_true(b->events[1].id != b->events[3].id);
}

/* The server's flow received more than the closed client sent: the next one's record follows. */
static void test_a_flow_that_is_in_use_again_waits_for_the_record_that_says_so(void **state)
{
	struct bench *b = *state;
	struct rec_dgram open = dgram(0, DGRAM_ACT_OPEN, true), close = open;

	feed_dgram(b, open);
	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, false));
	close.action = DGRAM_ACT_CLOSE;
	close.n = (struct dgram_counts){ 30, 3, 10, 1 };
	feed_dgram(b, close);
	b->in_map = true;
	b->map_flow.n = (struct dgram_counts){ 20, 2, 40, 4 };
	flow_table_tick(b->table, at(60));
	assert_int_equal(b->n, 1);
	open.key.cookie = 100;
	open.h.ts_ns = open.start_ns = at(60);
	feed_dgram(b, open);
	assert_int_equal(b->n, 3);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_int_equal(b->events[1].destination.bytes, 10);
	expect(b, 2, FLOW_OPEN, BOTH);
}

/* If none comes after all, the close is told with what is there. */
static void test_a_flow_that_is_in_use_again_does_not_wait_for_ever(void **state)
{
	struct bench *b = *state;
	struct rec_dgram close = dgram(5, DGRAM_ACT_CLOSE, true);

	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, true));
	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, false));
	close.n = (struct dgram_counts){ 30, 3, 10, 1 };
	feed_dgram(b, close);
	b->in_map = true;
	b->map_flow.n = (struct dgram_counts){ 20, 2, 40, 4 };
	for (int ms = 60; ms <= 360; ms += 60)
		flow_table_tick(b->table, at(ms));
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_int_equal(b->events[1].destination.bytes, 20);
}

static void test_loopback_is_joined_within_its_namespace_only(void **state)
{
	struct bench *b = *state;
	struct rec_dgram s = dgram(0, DGRAM_ACT_OPEN, true), d = dgram(0, DGRAM_ACT_OPEN, false);

	memcpy(s.key.laddr, ((uint8_t[]){ 127, 0, 0, 1 }), 4);
	memcpy(s.key.raddr, ((uint8_t[]){ 127, 0, 0, 1 }), 4);
	memcpy(d.key.laddr, s.key.laddr, 4);
	memcpy(d.key.raddr, s.key.raddr, 4);
	feed_dgram(b, s);
	feed_dgram(b, d); /* of another namespace */
	assert_int_equal(b->n, 0);
	d.key.cookie++;
	d.netns_cookie = s.netns_cookie;
	feed_dgram(b, d);
	assert_int_equal(b->n, 1);
	expect(b, 0, FLOW_OPEN, BOTH);
}

static void test_equal_addresses_are_told_apart_by_their_first_datagram(void **state)
{
	struct bench *b = *state;
	struct rec_dgram s1 = dgram(0, DGRAM_ACT_OPEN, true), s2 = s1;
	struct rec_dgram d1 = dgram(0, DGRAM_ACT_OPEN, false), d2 = d1;

	s2.key.cookie = 33;
	s2.fingerprint = d2.fingerprint = 8;
	d2.key.cookie = 44;
	s2.user.tgid = 300;
	d2.user.tgid = 400;
	feed_dgram(b, s1);
	feed_dgram(b, s2);
	feed_dgram(b, d2);
	feed_dgram(b, d1);
	assert_int_equal(b->n, 2);
	assert_int_equal(b->pids[0][0], 300);
	assert_int_equal(b->pids[0][1], 400);
	assert_int_equal(b->pids[1][0], CLIENT_PID);
	assert_int_equal(b->pids[1][1], SERVER_PID);
}

static void test_an_owner_that_comes_later_is_told_with_the_open(void **state)
{
	struct bench *b = *state;
	struct rec_dgram d = dgram(0, DGRAM_ACT_OPEN, false);
	struct rec_owner o = { .h = { .ts_ns = at(1), .type = REC_OWNER, .size = sizeof(o) },
			       .cookie = SERVER_COOKIE,
			       .opener = { .tgid = SERVER_PID },
			       .user = { .tgid = WORKER_PID } };

	memset(&d.user, 0, sizeof(d.user));
	feed_dgram(b, d);
	feed(b, &o);
	flow_table_tick(b->table, at(60));
	expect(b, 0, FLOW_OPEN, FLOW_SEEN_BY_DESTINATION);
	assert_int_equal(b->pids[0][1], WORKER_PID);
	assert_int_equal(b->openers[0], SERVER_PID);
}

static void test_a_socket_with_many_peers_takes_all_with_it(void **state)
{
	struct bench *b = *state;
	struct rec_dgram d = dgram(0, DGRAM_ACT_OPEN, false);
	struct rec_release release = {
		.h = { .ts_ns = at(100), .type = REC_RELEASE, .size = sizeof(release) },
		.cookie = SERVER_COOKIE,
		.user = { .tgid = SERVER_PID }
	};

	for (uint16_t port = 1; port <= 5; port++) {
		d.key.rport = port;
		feed_dgram(b, d);
	}
	flow_table_tick(b->table, at(60));
	assert_int_equal(b->n, 5);
	feed(b, &release);
	assert_int_equal(b->n, 10);
	expect(b, 9, FLOW_CLOSE, FLOW_SEEN_BY_DESTINATION);
	assert_int_equal(b->events[9].closed_by, PARTY_DESTINATION);
}

static void test_idle_is_a_reason(void **state)
{
	struct bench *b = *state;

	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, true));
	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, false));
	feed_dgram(b, dgram(60000, DGRAM_ACT_IDLE, true));
	feed_dgram(b, dgram(60000, DGRAM_ACT_IDLE, false));
	assert_int_equal(b->n, 2);
	expect(b, 1, FLOW_CLOSE, BOTH);
	assert_int_equal(b->events[1].reason, REASON_IDLE);
}

static void test_a_peer_that_comes_back_after_a_lost_end_is_another_conversation(void **state)
{
	struct bench *b = *state;
	struct rec_dgram again = dgram(300, DGRAM_ACT_OPEN, true);

	again.start_ns = at(300);
	feed_dgram(b, dgram(0, DGRAM_ACT_OPEN, true));
	flow_table_tick(b->table, at(60));
	feed_dgram(b, again);
	flow_table_tick(b->table, at(400));
	assert_int_equal(b->n, 3);
	expect(b, 1, FLOW_CLOSE, FLOW_SEEN_BY_SOURCE);
	expect(b, 2, FLOW_OPEN, FLOW_SEEN_BY_SOURCE);
	assert_true(b->events[2].id != b->events[0].id);
}

static void test_multicast_receivers_share_the_senders_id(void **state)
{
	struct bench *b = *state;
	struct rec_dgram s = dgram(0, DGRAM_ACT_OPEN, true), d = dgram(0, DGRAM_ACT_OPEN, false);

	memcpy(s.key.raddr, ((uint8_t[]){ 239, 1, 1, 1 }), 4);
	memcpy(d.key.laddr, ((uint8_t[]){ 239, 1, 1, 1 }), 4);
	feed_dgram(b, s);
	feed_dgram(b, d);
	d.key.cookie = 55;
	feed_dgram(b, d);
	flow_table_tick(b->table, at(60));
	assert_int_equal(b->n, 2);
	expect(b, 0, FLOW_OPEN, BOTH);
	expect(b, 1, FLOW_OPEN, FLOW_SEEN_BY_DESTINATION);
	assert_true(b->events[0].id == b->events[1].id);
}

/* --- what is not a record --- */

static void test_wrong_sizes_change_nothing(void **state)
{
	struct bench *b = *state;
	struct rec_tcp r = tcp_client(1, TCP_ACT_OPEN);
	struct rec_hdr unknown = { .type = 99, .size = sizeof(unknown) };

	assert_int_equal(flow_table_record(b->table, &r.h, sizeof(r) - 1), -EBADMSG);
	assert_int_equal(flow_table_record(b->table, &r.h, 4), -EBADMSG);
	assert_int_equal(flow_table_record(b->table, &unknown, sizeof(unknown)), 0);
	r.flags = TCP_F_REDIRECTED; /* and nothing says from where */
	assert_int_equal(flow_table_record(b->table, &r.h, sizeof(r)), -EBADMSG);
	flow_table_tick(b->table, UINT64_MAX);
	assert_int_equal(b->n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_both_ends_are_one_conversation),
	TEST(test_one_end_alone_waits_no_longer_than_the_join_time),
	TEST(test_ends_that_close_apart_are_two_records_of_one_id),
	TEST(test_equal_addresses_elsewhere_are_not_joined),
	TEST(test_twins_in_two_namespaces_are_told_apart),
	TEST(test_twins_are_never_taken_for_two_sources_of_one),
	TEST(test_translated_addresses_stand_beside_those_asked_for),
	TEST(test_addresses_that_agree_were_not_translated),
	TEST(test_what_connect_asked_for_stands_beside_what_was_reached),
	TEST(test_a_connect_that_sent_nothing_has_neither_address_nor_end),
	TEST(test_a_peer_elsewhere_is_asked_for_once_and_shown_as_reached),
	TEST(test_an_answer_that_does_not_come_is_not_waited_for_long),
	TEST(test_translated_datagrams_are_joined_in_the_middle),
	TEST(test_an_end_that_was_told_takes_the_other_one_in),
	TEST(test_who_reset_knows_it),
	TEST(test_a_refused_connection_fails_at_once),
	TEST(test_updates_come_with_the_sweep_and_only_for_what_changed),
	TEST(test_adopted_ends_find_their_roles_by_who_listens),
	TEST(test_adopted_ends_of_which_none_listens),
	TEST(test_a_socket_used_again_is_another_conversation),
	TEST(test_a_close_without_its_open_tells_both),
	TEST(test_what_happened_until_the_open_is_told_is_an_update),
	TEST(test_an_adopted_end_is_not_opened),
	TEST(test_a_lost_close_ends_the_conversation_without_figures),
	TEST(test_a_socket_used_again_after_a_lost_close_is_another_conversation),
	TEST(test_what_began_after_the_kernel_was_asked_is_not_gone),
	TEST(test_a_senders_close_ends_both_ends_with_the_receivers_last_figures),
	TEST(test_a_peer_with_a_closed_ones_port_begins_another_conversation),
	TEST(test_a_flow_that_is_in_use_again_waits_for_the_record_that_says_so),
	TEST(test_a_flow_that_is_in_use_again_does_not_wait_for_ever),
	TEST(test_loopback_is_joined_within_its_namespace_only),
	TEST(test_equal_addresses_are_told_apart_by_their_first_datagram),
	TEST(test_an_owner_that_comes_later_is_told_with_the_open),
	TEST(test_a_socket_with_many_peers_takes_all_with_it),
	TEST(test_idle_is_a_reason),
	TEST(test_a_peer_that_comes_back_after_a_lost_end_is_another_conversation),
	TEST(test_multicast_receivers_share_the_senders_id),
	TEST(test_wrong_sizes_change_nothing),
};

int main(void)
{
	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
