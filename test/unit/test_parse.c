// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "probe/lib/parse.bpf.h"

/* Packets by hand, from the network header on; layouts as in the RFCs that parse.bpf.h names. */
static const uint8_t udp4[] = {
	0x45, 0,    0, 32, 0, 1,  0x40, 0, 64,	17,  0,	  0,   10, 0, 0, 1, 10, 0, 0, 2, /* IPv4 */
	0x9c, 0x40, 0, 53, 0, 12, 0,	0, 'a', 'b', 'c', 'd',
};

static const uint8_t options4[] = {
	0x46, 0,    0, 36, 0,  1,  0, 0, 64,  17,  0,	0,
	10,   0,    0, 1,  10, 0,  0, 2, 1,   1,   1,	0, /* NOPs */
	0x9c, 0x40, 0, 53, 0,  12, 0, 0, 'a', 'b', 'c', 'd',
};

static const uint8_t echo6[] = {
	0x60, 0, 0, 0, 0,    16,   0, 64,			  /* hop-by-hop follows */
	0xfd, 0, 0, 0, 0,    0,	   0, 0,  0, 0, 0, 0, 0, 0, 0, 1, /* source */
	0xfd, 0, 0, 0, 0,    0,	   0, 0,  0, 0, 0, 0, 0, 0, 0, 2, /* destination */
	58,   0, 1, 4, 0,    0,	   0, 0,			  /* hop-by-hop: ICMPv6 follows */
	128,  0, 0, 0, 0x12, 0x34, 0, 1,			  /* echo, identifier 0x1234 */
};

static int parse(const uint8_t *data, size_t len, struct parsed *p)
{
	memset(p, 0xff, sizeof(*p));
	if (parse_l3(data, data + len, p))
		return -1;
	if (p->l4_offset + PARSE_L4_LEN > len)
		return -1;
	return parse_l4(data + p->l4_offset, p);
}

static void test_udp_over_ipv4(void **state)
{
	struct parsed p;

	assert_int_equal(parse(udp4, sizeof(udp4), &p), 0);
	assert_int_equal(p.version, 4);
	assert_int_equal(p.proto, PARSE_UDP);
	assert_int_equal(p.l4_offset, 20);
	assert_int_equal(p.sport, 40000);
	assert_int_equal(p.dport, 53);
	assert_memory_equal(p.saddr, ((uint8_t[16]){ 10, 0, 0, 1 }), 16);
	assert_memory_equal(p.daddr, ((uint8_t[16]){ 10, 0, 0, 2 }), 16);
}

static void test_ipv4_options_move_the_ports(void **state)
{
	struct parsed p;

	assert_int_equal(parse(options4, sizeof(options4), &p), 0);
	assert_int_equal(p.l4_offset, 24);
	assert_int_equal(p.dport, 53);
}

static void test_a_later_fragment_has_no_ports(void **state)
{
	uint8_t packet[sizeof(udp4)];
	struct parsed p;

	memcpy(packet, udp4, sizeof(udp4));
	packet[6] = 0x20; /* first fragment, more follow: has ports */
	assert_int_equal(parse(packet, sizeof(packet), &p), 0);
	packet[7] = 1;
	assert_int_equal(parse(packet, sizeof(packet), &p), -1);
	assert_true(p.fragment);
}

static void test_echo_behind_an_ipv6_extension_header(void **state)
{
	struct parsed p;

	assert_int_equal(parse(echo6, sizeof(echo6), &p), 0);
	assert_int_equal(p.version, 6);
	assert_int_equal(p.proto, PARSE_ICMP6);
	assert_int_equal(p.l4_offset, 48);
	assert_int_equal(p.sport, 0x1234);
	assert_false(parse_is_echo_reply(&p));
	assert_int_equal(p.daddr[15], 2);
}

static void test_a_later_ipv6_fragment(void **state)
{
	uint8_t packet[sizeof(echo6)];
	struct parsed p;

	memcpy(packet, echo6, sizeof(echo6));
	packet[6] = PARSE_FRAGMENT;
	packet[42] = 0;
	packet[43] = 0; /* offset 0 */
	assert_int_equal(parse(packet, sizeof(packet), &p), 0);
	packet[43] = 8; /* offset 1 */
	assert_int_equal(parse(packet, sizeof(packet), &p), -1);
}

static void test_nothing_is_read_beyond_the_end(void **state)
{
	struct parsed p;
	uint8_t *exact;

	/* Each in memory of its own size: the sanitizer sees a byte too far. */
	for (size_t len = 0; len < sizeof(echo6); len++) {
		exact = malloc(len ? len : 1);
		memcpy(exact, echo6, len);
		assert_int_equal(parse(exact, len, &p), -1);
		free(exact);
	}
}

static void test_what_is_not_ip(void **state)
{
	const uint8_t arp[28] = { 0, 1, 8, 0, 6, 4 };
	uint8_t bad[sizeof(udp4)];
	struct parsed p;

	assert_int_equal(parse(arp, sizeof(arp), &p), -1);
	memcpy(bad, udp4, sizeof(udp4));
	bad[0] = 0x44; /* a header of 16 bytes */
	assert_int_equal(parse(bad, sizeof(bad), &p), -1);
}

static void test_only_echoes_of_icmp(void **state)
{
	uint8_t packet[sizeof(udp4)];
	struct parsed p;

	memcpy(packet, udp4, sizeof(udp4));
	packet[9] = PARSE_ICMP;
	packet[20] = 3; /* unreachable */
	assert_int_equal(parse(packet, sizeof(packet), &p), -1);
	packet[20] = PARSE_ECHO_REPLY;
	assert_int_equal(parse(packet, sizeof(packet), &p), 0);
	assert_true(parse_is_echo_reply(&p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp_over_ipv4),
		cmocka_unit_test(test_ipv4_options_move_the_ports),
		cmocka_unit_test(test_a_later_fragment_has_no_ports),
		cmocka_unit_test(test_echo_behind_an_ipv6_extension_header),
		cmocka_unit_test(test_a_later_ipv6_fragment),
		cmocka_unit_test(test_nothing_is_read_beyond_the_end),
		cmocka_unit_test(test_what_is_not_ip),
		cmocka_unit_test(test_only_echoes_of_icmp),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
