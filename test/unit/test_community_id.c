// SPDX-License-Identifier: Apache-2.0
/*
 * The vectors are those of the specification's baseline for the default seed:
 * https://github.com/corelight/community-id-spec/blob/master/baseline/baseline_deflt.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/base.h"
#include "wire/community_id.h"

static const struct vector {
	uint8_t protocol;
	const char *source, *destination;
	uint16_t source_port, destination_port;
	bool one_way;
	const char *id;
} vectors[] = {
	{ IPPROTO_TCP, "128.232.110.120", "66.35.250.204", 34855, 80, false,
	  "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" },
	{ IPPROTO_TCP, "66.35.250.204", "128.232.110.120", 80, 34855, false,
	  "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" },
	{ IPPROTO_TCP, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943,
	  25, false, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=" },
	{ IPPROTO_TCP, "2607:f8b0:400c:c03::1a", "2001:470:e5bf:dead:4957:2174:e82c:4887", 25,
	  63943, false, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=" },
	{ IPPROTO_UDP, "192.168.1.52", "8.8.8.8", 54585, 53, false,
	  "1:d/FP5EW3wiY1vCndhwleRRKHowQ=" },
	{ IPPROTO_UDP, "8.8.8.8", "192.168.1.52", 53, 54585, false,
	  "1:d/FP5EW3wiY1vCndhwleRRKHowQ=" },
	{ IPPROTO_SCTP, "192.168.170.8", "192.168.170.56", 7, 7, false,
	  "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=" },
	{ IPPROTO_SCTP, "192.168.170.56", "192.168.170.8", 7, 7, false,
	  "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=" },
	{ IPPROTO_ICMP, "192.168.0.89", "192.168.0.1", 8, 0, false,
	  "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" },
	{ IPPROTO_ICMP, "192.168.0.1", "192.168.0.89", 0, 8, false,
	  "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" },
	{ IPPROTO_ICMP, "10.0.0.1", "10.0.0.2", 11, 0, true, "1:YHxtAirCG//0OzkcVAukqKQN9xM=" },
	{ IPPROTO_ICMPV6, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 129, false,
	  "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=" },
	{ IPPROTO_ICMPV6, "3ffe:501:0:1001::2", "3ffe:507:0:1:200:86ff:fe05:80da", 129, 128, false,
	  "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=" },
	{ IPPROTO_ICMPV6, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 133, false,
	  "1:pkvHqCL88/tg1k4cPigmZXUtL00=" },
	{ IPPROTO_ICMPV6, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, true,
	  "1:2ObVBgIn28oZvibYZhZMBgh7WdQ=" },
};

static void agrees_with_the_published_vectors(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct community_tuple tuple = {
			.protocol = v->protocol,
			.source_port = v->source_port,
			.destination_port = v->destination_port,
			.one_way = v->one_way,
		};
		char text[COMMUNITY_ID_TEXT_MAX];

		assert_int_equal(ip_parse(v->source, &tuple.source), 0);
		assert_int_equal(ip_parse(v->destination, &tuple.destination), 0);
		assert_string_equal(community_id(&tuple, text), v->id);
	}
}

static void is_none_without_both_addresses(void **state)
{
	struct community_tuple tuple = { .protocol = IPPROTO_TCP,
					 .source_port = 1,
					 .destination_port = 2 };
	char text[COMMUNITY_ID_TEXT_MAX];

	assert_null(community_id(&tuple, text));
	assert_int_equal(ip_parse("127.0.0.1", &tuple.source), 0);
	assert_null(community_id(&tuple, text));
	assert_int_equal(ip_parse("::1", &tuple.destination), 0);
	assert_null(community_id(&tuple, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_published_vectors),
		cmocka_unit_test(is_none_without_both_addresses),
	};

	return cmocka_run_group_tests_name("community_id", tests, NULL, NULL);
}
