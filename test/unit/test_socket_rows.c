// SPDX-License-Identifier: Apache-2.0
/* A socket as a line of JSON, and as a filter's subject. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/base.h"
#include "query/subject_socket.h"
#include "wire/socket_json.h"

#define HEAD                                                                                \
	"{\"@timestamp\":\"1970-01-01T00:00:01.000000002Z\",\"event\":{\"kind\":\"state\"," \
	"\"dataset\":\"nslens.socket\"},\"host\":{\"name\":\"n1\"},"

static struct process nginx = {
	.n_ref = 1,
	.pid = 811,
	.uid = 33,
	.name = (char *)"nginx",
	.executable = (char *)"/usr/sbin/nginx",
	.container_id = (char *)"0123456789abcdef",
	.cgroup = (char *)"/system.slice/nginx.service",
};
static struct process worker = { .n_ref = 1, .pid = 812, .uid = 34, .name = (char *)"worker" };

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static struct socket_row listener(void)
{
	return (struct socket_row){
		.cookie = 9,
		.netns_cookie = 58,
		.netns_inode = 4026532177,
		.netns_name = "web",
		.has = SOCKET_HAS_PORT | SOCKET_HAS_UID,
		.family = IP_V4,
		.state = SOCKET_LISTEN,
		.type = SOCKET_STREAM,
		.protocol = IPPROTO_TCP,
		.local = ip("10.0.0.2"),
		.local_port = 8080,
		.tx_queue = 511,
		.uid = 33,
		.user = "www-data",
		.n_owners = 2,
		.n_descriptors = 3,
		.owners = { { .id.tgid = 811, .process = &nginx },
			    { .id.tgid = 812, .process = &worker } },
	};
}

static struct socket_row unaccepted(void)
{
	return (struct socket_row){
		.cookie = 10,
		.netns_cookie = 58,
		.netns_inode = 4026532177,
		.has = SOCKET_HAS_PORT | SOCKET_HAS_PEER,
		.family = IP_V6,
		.state = SOCKET_ESTABLISHED,
		.unowned = SOCKET_UNACCEPTED,
		.type = SOCKET_STREAM,
		.protocol = IPPROTO_TCP,
		.local = ip("fd00::1"),
		.peer = ip("fd00::2"),
		.local_port = 8080,
		.peer_port = 4242,
		.rx_queue = 5,
		.ifindex = 2,
		.device = "eth0",
	};
}

static void assert_line(const struct socket_row *s, const char *want)
{
	struct wire_context ctx;
	struct buf out = { 0 };

	wire_context_init(&ctx, "n1", 0);
	socket_json(&out, &ctx, 1000000002, s);
	assert_string_equal(out.data, want);
	buf_fini(&out);
}

static void listener_as_json(void **state)
{
	struct socket_row s = listener();

	nginx.container_id = nginx.cgroup = NULL;
	assert_line(&s, HEAD "\"network\":{\"transport\":\"tcp\",\"iana_number\":\"6\","
			     "\"type\":\"ipv4\"},\"user\":{\"id\":\"33\",\"name\":\"www-data\"},"
			     "\"socket\":{\"cookie\":9,\"state\":\"listen\",\"type\":\"stream\","
			     "\"accept_queue\":0,\"accept_queue_max\":511,\"owner_count\":2,"
			     "\"descriptor_count\":3,\"owners\":["
			     "{\"pid\":811,\"name\":\"nginx\",\"executable\":\"/usr/sbin/nginx\","
			     "\"user\":{\"id\":\"33\"}},"
			     "{\"pid\":812,\"name\":\"worker\",\"user\":{\"id\":\"34\"}}]},"
			     "\"source\":{\"ip\":\"10.0.0.2\",\"port\":8080,"
			     "\"netns\":{\"inode\":4026532177,\"cookie\":58,\"name\":\"web\"},"
			     "\"process\":{\"pid\":811,\"name\":\"nginx\","
			     "\"executable\":\"/usr/sbin/nginx\",\"user\":{\"id\":\"33\"}}}}\n");
	nginx.container_id = (char *)"0123456789abcdef";
	nginx.cgroup = (char *)"/system.slice/nginx.service";
}

static void unowned_as_json(void **state)
{
	struct socket_row s = unaccepted();

	assert_line(&s, HEAD "\"network\":{\"transport\":\"tcp\",\"iana_number\":\"6\","
			     "\"type\":\"ipv6\"},"
			     "\"socket\":{\"cookie\":10,\"state\":\"established\","
			     "\"type\":\"stream\",\"ipv6_only\":false,\"rx_queue_bytes\":5,"
			     "\"tx_queue_bytes\":0,\"device\":{\"name\":\"eth0\",\"ifindex\":2},"
			     "\"owner_count\":0,\"unowned\":\"unaccepted\"},"
			     "\"source\":{\"ip\":\"fd00::1\",\"port\":8080,"
			     "\"netns\":{\"inode\":4026532177,\"cookie\":58}},"
			     "\"destination\":{\"ip\":\"fd00::2\",\"port\":4242}}\n");
}

static void raw_as_json(void **state)
{
	struct socket_row s = {
		.family = IP_V4,
		.state = SOCKET_UNCONNECTED,
		.unowned = SOCKET_NO_DESCRIPTOR,
		.type = SOCKET_RAW,
		.protocol = 254,
		.local = ip("0.0.0.0"),
	};

	assert_line(&s, HEAD "\"network\":{\"iana_number\":\"254\",\"type\":\"ipv4\"},"
			     "\"socket\":{\"cookie\":0,\"state\":\"unconnected\",\"type\":\"raw\","
			     "\"rx_queue_bytes\":0,\"tx_queue_bytes\":0,\"owner_count\":0,"
			     "\"unowned\":\"no_descriptor\"},\"source\":{\"ip\":\"0.0.0.0\","
			     "\"netns\":{\"inode\":0,\"cookie\":0}}}\n");
}

static bool matches(const char *text, const struct socket_row *s)
{
	struct filter *f;
	struct err e;
	bool hit;

	if (filter_compile(text, &filter_subject_socket, &f, &e))
		fail_msg("%s: %s", text, e.text);
	hit = filter_match(f, s);
	filter_free(f);
	return hit;
}

static void filters_choose(void **state)
{
	static const struct {
		const char *text;
		bool of_listener, of_unaccepted;
	} cases[] = {
		{ "port=8080", true, true },
		{ "port=4242", false, true },
		{ "local.port=8080", true, true },
		{ "peer.port=8080", false, false },
		{ "dst.port=4242", false, true },
		{ "peer.port=0", false, false },
		{ "ip=10.0.0.0/8", true, false },
		{ "peer.ip=fd00::2", false, true },
		{ "process=nginx", true, false },
		{ "process=worker", true, false },
		{ "process=/usr/sbin/*", true, false },
		{ "pid=812", true, false },
		{ "uid=33", true, false },
		{ "uid=34", true, false },
		{ "uid=0", false, false },
		{ "container=01234567", true, false },
		{ "cgroup=/system.slice", true, false },
		{ "cgroup=/system", false, false },
		{ "netns=web", true, false },
		{ "netns=58", true, true },
		{ "netns=4026532177", true, true },
		{ "transport=tcp", true, true },
		{ "transport=udp", false, false },
		{ "device=eth*", false, true },
		{ "peer.process=nginx", false, false },
		{ "not process=nginx and port=8080", false, true },
	};
	struct socket_row l = listener(), u = unaccepted();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (matches(cases[i].text, &l) != cases[i].of_listener)
			fail_msg("'%s' of the listener", cases[i].text);
		if (matches(cases[i].text, &u) != cases[i].of_unaccepted)
			fail_msg("'%s' of the unaccepted one", cases[i].text);
	}
}

static void filters_know_the_protocols(void **state)
{
	static const struct {
		const char *text;
		uint16_t protocol;
	} cases[] = {
		{ "transport=udp", IPPROTO_UDP },
		{ "transport=icmp", IPPROTO_ICMP },
		{ "transport=icmp", IPPROTO_ICMPV6 },
		{ "transport=ipv6-icmp", IPPROTO_ICMPV6 },
	};
	struct socket_row s = listener();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		s.protocol = cases[i].protocol;
		assert_true(matches(cases[i].text, &s));
		s.protocol = IPPROTO_GRE;
		assert_false(matches(cases[i].text, &s));
	}
}

static void flow_fields_are_refused(void **state)
{
	struct filter *f;
	struct err e;

	assert_int_equal(filter_compile("action=open", &filter_subject_socket, &f, &e), -EINVAL);
	assert_non_null(strstr(e.text, "column 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listener_as_json),
		cmocka_unit_test(unowned_as_json),
		cmocka_unit_test(raw_as_json),
		cmocka_unit_test(filters_choose),
		cmocka_unit_test(filters_know_the_protocols),
		cmocka_unit_test(flow_fields_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
