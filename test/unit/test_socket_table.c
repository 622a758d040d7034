// SPDX-License-Identifier: Apache-2.0
/* Sockets put together from descriptors and sock_diag's answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/base.h"
#include "discover/socket_table.h"
#include "wire/socket_text.h"

static struct rec_socket tcp_record(uint64_t cookie, uint8_t state, uint16_t port)
{
	struct rec_socket r = {
		.cookie = cookie,
		.netns_cookie = 1,
		.netns_inode = 4026531840,
		.owner = { .start_ns = 5, .tgid = 100, .exec_id = 2 },
		.fd = 3,
		.uid = 33,
		.family = AF_INET,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.local_port = port,
		.state = state,
		.local = { 127, 0, 0, 1 },
	};
	return r;
}

static struct inet_diag_msg diag_message(uint64_t cookie, uint8_t state, uint32_t inode)
{
	struct inet_diag_msg m = {
		.idiag_family = AF_INET,
		.idiag_state = state,
		.id = { .idiag_sport = htons(80),
			.idiag_dport = htons(4242),
			.idiag_src = { htonl(0x7f000001) },
			.idiag_dst = { htonl(0x7f000002) },
			.idiag_cookie = { (uint32_t)cookie, (uint32_t)(cookie >> 32) } },
		.idiag_rqueue = 5,
		.idiag_wqueue = 6,
		.idiag_uid = 33,
		.idiag_inode = inode,
	};
	return m;
}

static const struct socket_origin tcp_origin = {
	.netns_cookie = 7,
	.netns_inode = 4026531999,
	.protocol = IPPROTO_TCP,
	.type = SOCKET_STREAM,
};

static void descriptor_becomes_row(void **state)
{
	struct rec_socket r = tcp_record(9, TCP_LISTEN, 8080);
	struct socket_table t = { 0 };
	const struct socket_row *s;
	char text[IP_TEXT_MAX];

	r.rx_queue = 2;
	r.tx_queue = 128;
	r.ifindex = 4;
	assert_int_equal(socket_table_add_descriptor(&t, &r), 0);
	assert_int_equal(t.n_rows, 1);
	s = &t.rows[0];
	assert_int_equal(s->cookie, 9);
	assert_int_equal(s->netns_cookie, 1);
	assert_int_equal(s->netns_inode, 4026531840);
	assert_int_equal(s->state, SOCKET_LISTEN);
	assert_int_equal(s->type, SOCKET_STREAM);
	assert_int_equal(s->local_port, 8080);
	assert_string_equal(ip_format(&s->local, text), "127.0.0.1");
	assert_int_equal(s->has, SOCKET_HAS_PORT | SOCKET_HAS_UID);
	assert_int_equal(s->rx_queue, 2);
	assert_int_equal(s->tx_queue, 128);
	assert_int_equal(s->ifindex, 4);
	assert_int_equal(s->n_owners, 1);
	assert_int_equal(s->owners[0].id.tgid, 100);
	assert_int_equal(s->owners[0].id.start_ns, 5);
	assert_int_equal(s->owners[0].id.exec_id, 2);
	socket_table_fini(&t);
}

static void shared_socket_is_one_row(void **state)
{
	struct rec_socket r = tcp_record(9, TCP_LISTEN, 8080);
	struct socket_table t = { 0 };

	for (uint32_t pid = 1; pid <= 7; pid++) {
		r.owner.tgid = pid;
		assert_int_equal(socket_table_add_descriptor(&t, &r), 0);
		r.fd++;
		assert_int_equal(socket_table_add_descriptor(&t, &r), 0);
	}
	assert_int_equal(t.n_rows, 1);
	assert_int_equal(t.rows[0].n_owners, 7);
	assert_int_equal(t.rows[0].n_descriptors, 14);
	assert_int_equal(socket_owners_kept(&t.rows[0]), SOCKET_OWNERS_KEPT);
	assert_int_equal(t.rows[0].owners[0].id.tgid, 1);
	assert_int_equal(t.rows[0].owners[3].id.tgid, 4);
	assert_int_equal(t.rows[0].owners[1].fd, 4);
	socket_table_fini(&t);
}

static void raw_and_icmp_have_no_ports(void **state)
{
	struct rec_socket raw = tcp_record(1, TCP_CLOSE, IPPROTO_ICMP);
	struct rec_socket ping = tcp_record(2, TCP_ESTABLISHED, 77);
	struct socket_table t = { 0 };

	raw.type = SOCK_RAW;
	raw.protocol = IPPROTO_ICMP;
	ping.type = SOCK_DGRAM;
	ping.protocol = IPPROTO_ICMP;
	ping.peer[0] = 127;
	socket_table_add_descriptor(&t, &raw);
	socket_table_add_descriptor(&t, &ping);
	assert_int_equal(t.rows[0].state, SOCKET_UNCONNECTED);
	assert_int_equal(t.rows[0].has, SOCKET_HAS_UID);
	assert_int_equal(t.rows[1].state, SOCKET_ESTABLISHED);
	assert_int_equal(t.rows[1].has, SOCKET_HAS_UID | SOCKET_HAS_ICMP_ID | SOCKET_HAS_PEER);
	assert_int_equal(t.rows[1].icmp_id, 77);
	socket_table_fini(&t);
}

static void mapped_address_is_ipv4(void **state)
{
	struct rec_socket r = tcp_record(1, TCP_ESTABLISHED, 80);
	static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 };
	struct socket_table t = { 0 };
	char text[IP_TEXT_MAX];

	r.family = AF_INET6;
	r.flags = REC_SOCKET_V6ONLY;
	memcpy(r.local, mapped, sizeof(mapped));
	socket_table_add_descriptor(&t, &r);
	assert_int_equal(t.rows[0].family, IP_V6);
	assert_string_equal(ip_format(&t.rows[0].local, text), "10.0.0.1");
	assert_true(t.rows[0].has & SOCKET_V6ONLY);
	socket_table_fini(&t);
}

static void diag_adds_what_nobody_owns(void **state)
{
	static const struct {
		uint8_t state;
		uint32_t inode;
		enum socket_state want;
		enum socket_unowned why;
		unsigned int has;
	} cases[] = {
		{ TCP_ESTABLISHED, 0, SOCKET_ESTABLISHED, SOCKET_UNACCEPTED, 0 },
		{ TCP_CLOSE_WAIT, 0, SOCKET_CLOSE_WAIT, SOCKET_UNACCEPTED, 0 },
		{ TCP_SYN_RECV, 0, SOCKET_SYN_RECEIVED, SOCKET_HALF_OPEN, 0 },
		{ TCP_FIN_WAIT2, 0, SOCKET_FIN_WAIT2, SOCKET_ORPHANED, 0 },
		{ TCP_TIME_WAIT, 0, SOCKET_TIME_WAIT, SOCKET_ORPHANED, 0 },
		{ TCP_LAST_ACK, 0, SOCKET_LAST_ACK, SOCKET_ORPHANED, 0 },
		{ TCP_ESTABLISHED, 9, SOCKET_ESTABLISHED, SOCKET_NO_DESCRIPTOR, SOCKET_HAS_UID },
	};
	struct socket_table t = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct inet_diag_msg m = diag_message(1ULL << 40 | i, cases[i].state,
						      cases[i].inode);

		assert_int_equal(socket_table_add_diag(&t, &tcp_origin, &m, -1), 0);
		assert_int_equal(t.n_rows, i + 1);
		assert_int_equal(t.rows[i].cookie, 1ULL << 40 | i);
		assert_int_equal(t.rows[i].state, cases[i].want);
		assert_int_equal(t.rows[i].unowned, cases[i].why);
		assert_int_equal(t.rows[i].has, cases[i].has | SOCKET_HAS_PORT | SOCKET_HAS_PEER);
		assert_int_equal(t.rows[i].local_port, 80);
		assert_int_equal(t.rows[i].peer_port, 4242);
		assert_int_equal(t.rows[i].netns_cookie, 7);
		assert_int_equal(t.rows[i].n_owners, 0);
	}
	assert_int_equal(t.n_unexplained, 1);
	socket_table_fini(&t);
}

static void diag_does_not_repeat_an_owned_socket(void **state)
{
	struct inet_diag_msg m = diag_message(9, TCP_LISTEN, 5);
	struct rec_socket r = tcp_record(9, TCP_LISTEN, 8080);
	struct socket_table t = { 0 };

	socket_table_add_descriptor(&t, &r);
	assert_int_equal(socket_table_add_diag(&t, &tcp_origin, &m, 0), 0);
	assert_int_equal(t.n_rows, 1);
	assert_int_equal(t.rows[0].n_owners, 1);
	assert_int_equal(t.rows[0].local_port, 8080);
	assert_int_equal(t.n_unexplained, 0);
	socket_table_fini(&t);
}

static void raw_diag_tells_its_protocol_as_port(void **state)
{
	static const struct socket_origin raw = { .protocol = IPPROTO_RAW, .type = SOCKET_RAW };
	struct inet_diag_msg m = diag_message(9, TCP_CLOSE, 5);
	struct socket_table t = { 0 };

	m.id.idiag_sport = htons(IPPROTO_ICMPV6);
	socket_table_add_diag(&t, &raw, &m, 1);
	assert_int_equal(t.rows[0].protocol, IPPROTO_ICMPV6);
	assert_false(t.rows[0].has & SOCKET_HAS_PORT);
	socket_table_fini(&t);
}

static void second_look_explains(void **state)
{
	struct inet_diag_msg held = diag_message(9, TCP_ESTABLISHED, 5);
	struct inet_diag_msg waits = diag_message(10, TCP_ESTABLISHED, 0);
	struct rec_socket r = tcp_record(9, TCP_ESTABLISHED, 80);
	struct socket_table t = { 0 };

	socket_table_add_diag(&t, &tcp_origin, &held, -1);
	socket_table_add_diag(&t, &tcp_origin, &waits, -1);
	socket_table_explain(&t, &r);
	r.owner.tgid++;
	socket_table_explain(&t, &r);
	r.cookie = 10;
	socket_table_explain(&t, &r);
	r.cookie = 11;
	socket_table_explain(&t, &r);
	assert_int_equal(t.n_rows, 2);
	assert_int_equal(t.rows[0].n_owners, 2);
	assert_int_equal(t.rows[0].unowned, SOCKET_OWNED);
	assert_int_equal(t.rows[1].n_owners, 0);
	assert_int_equal(t.rows[1].unowned, SOCKET_UNACCEPTED);
	socket_table_fini(&t);
}

static void what_is_gone_is_dropped(void **state)
{
	struct inet_diag_msg held = diag_message(9, TCP_ESTABLISHED, 5);
	struct inet_diag_msg gone = diag_message(10, TCP_ESTABLISHED, 6);
	struct inet_diag_msg flying = diag_message(11, TCP_ESTABLISHED, 7);
	struct inet_diag_msg waits = diag_message(12, TCP_ESTABLISHED, 0);
	struct rec_socket r = tcp_record(9, TCP_ESTABLISHED, 80);
	struct socket_table t = { 0 };

	socket_table_add_diag(&t, &tcp_origin, &held, -1);
	socket_table_add_diag(&t, &tcp_origin, &gone, -1);
	socket_table_add_diag(&t, &tcp_origin, &flying, -1);
	socket_table_add_diag(&t, &tcp_origin, &waits, -1);
	assert_int_equal(t.n_unexplained, 3);
	socket_table_explain(&t, &r);
	assert_int_equal(t.n_unexplained, 2);
	gone.idiag_inode = 0;
	socket_table_confirm(&t, &gone);
	socket_table_confirm(&t, &flying);
	socket_table_drop_gone(&t);
	assert_int_equal(t.n_rows, 3);
	assert_int_equal(t.rows[0].cookie, 9);
	assert_int_equal(t.rows[1].cookie, 11);
	assert_int_equal(t.rows[1].unowned, SOCKET_NO_DESCRIPTOR);
	assert_int_equal(t.rows[2].cookie, 12);
	socket_table_fini(&t);
}

static void many_sockets_are_found_again(void **state)
{
	enum { N = 5000 };
	struct rec_socket r = tcp_record(0, TCP_ESTABLISHED, 80);
	struct socket_table t = { 0 };

	for (int round = 0; round < 2; round++)
		for (uint64_t i = 0; i < N; i++) {
			r.cookie = i * 0x100000001ULL;
			r.owner.tgid = 100 + (uint32_t)round;
			assert_int_equal(socket_table_add_descriptor(&t, &r), 0);
		}
	assert_int_equal(t.n_rows, N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(t.rows[i].n_owners, 2);
	socket_table_fini(&t);
}

static void listeners_come_first(void **state)
{
	static const struct {
		uint16_t type, protocol;
		uint8_t state;
		uint16_t port;
	} sockets[] = {
		{ SOCK_STREAM, IPPROTO_TCP, TCP_TIME_WAIT, 1 },
		{ SOCK_STREAM, IPPROTO_TCP, TCP_ESTABLISHED, 2 },
		{ SOCK_STREAM, IPPROTO_TCP, TCP_LISTEN, 443 },
		{ SOCK_DGRAM, IPPROTO_UDP, TCP_CLOSE, 53 },
		{ SOCK_STREAM, IPPROTO_TCP, TCP_LISTEN, 22 },
		{ SOCK_DGRAM, IPPROTO_UDP, TCP_CLOSE, 0 },
	};
	static const uint16_t want[] = { 22, 53, 443, 0, 2, 1 };
	struct rec_socket r = tcp_record(0, 0, 0);
	struct socket_table t = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		r.cookie = i + 1;
		r.type = sockets[i].type;
		r.protocol = sockets[i].protocol;
		r.state = sockets[i].state;
		r.local_port = sockets[i].port;
		socket_table_add_descriptor(&t, &r);
	}
	qsort(t.rows, t.n_rows, sizeof(*t.rows), socket_compare);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(t.rows[i].local_port, want[i]);
	socket_table_fini(&t);
}

static void text_is_aligned(void **state)
{
	struct rec_socket r = tcp_record(9, TCP_LISTEN, 8080);
	struct inet_diag_msg m = diag_message(10, TCP_ESTABLISHED, 0);
	struct process p = { .n_ref = 1, .pid = 100, .name = (char *)"we\033b" };
	const struct socket_row *rows[2];
	struct socket_table t = { 0 };
	struct buf out = { 0 };

	r.family = AF_INET6;
	memset(r.local, 0, sizeof(r.local));
	r.tx_queue = 128;
	m.idiag_rqueue = 2048;
	m.idiag_wqueue = 0;
	socket_table_add_descriptor(&t, &r);
	socket_table_add_diag(&t, &tcp_origin, &m, -1);
	t.rows[0].owners[0].process = process_ref(&p);
	t.rows[0].user = "www";
	t.rows[1].netns_name = "n\xc3\xa4m";
	rows[0] = &t.rows[0];
	rows[1] = &t.rows[1];
	socket_text(&out, rows, 2);
	assert_string_equal(out.data,
			    "STATE        TRANSPORT  LOCAL         PEER            "
			    "NETNS             PROCESS       USER  QUEUE\n"
			    "listen       tcp        *:8080        -               "
			    "net:[4026531840]  we?b[100]     www   0 of 128 waiting\n"
			    "established  tcp        127.0.0.1:80  127.0.0.2:4242  "
			    "n\xc3\xa4m               (unaccepted)  -     2.0 KiB unread\n");
	buf_fini(&out);
	t.rows[0].owners[0].process = NULL;
	socket_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptor_becomes_row),
		cmocka_unit_test(shared_socket_is_one_row),
		cmocka_unit_test(raw_and_icmp_have_no_ports),
		cmocka_unit_test(mapped_address_is_ipv4),
		cmocka_unit_test(diag_adds_what_nobody_owns),
		cmocka_unit_test(diag_does_not_repeat_an_owned_socket),
		cmocka_unit_test(raw_diag_tells_its_protocol_as_port),
		cmocka_unit_test(second_look_explains),
		cmocka_unit_test(what_is_gone_is_dropped),
		cmocka_unit_test(many_sockets_are_found_again),
		cmocka_unit_test(listeners_come_first),
		cmocka_unit_test(text_is_aligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
