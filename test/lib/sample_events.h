/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_TEST_SAMPLE_EVENTS_H
#define NSLENS_TEST_SAMPLE_EVENTS_H

#include <assert.h>

#include "base/base.h"
#include "model/event.h"

/* Made-up events for the tests of what people and machines read. */

#define SAMPLE_BOOT_NS 1767225600000000000ULL /* 2026-01-01T00:00:00Z */
#define SAMPLE_NOW_NS (SAMPLE_BOOT_NS + 12ULL * 3600 * NS_PER_SEC + 345678901)

static inline struct ip_addr sample_ip(const char *text)
{
	struct ip_addr ip;

	if (ip_parse(text, &ip))
		assert(!"a sample's address");
	return ip;
}

static inline const struct process *sample_curl(void)
{
	static char *args[] = { "curl", "-s", "http://10.0.0.1/a b" };
	static const struct process p = {
		.n_ref = 1,
		.pid = 4242,
		.pid_in_namespace = 7,
		.exec_id = 2,
		.start_ns = 5000000001,
		.uid = 1000,
		.parent_pid = 4000,
		.parent_start_ns = 4000000001,
		.name = "curl",
		.executable = "/usr/bin/curl",
		.parent_executable = "/bin/bash",
		.args = args,
		.n_args = 3,
		.cgroup = "/docker/0123456789abcdef0123",
		.container_id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};

	return &p;
}

static inline const struct process *sample_nginx(void)
{
	static char *args[] = { "nginx: worker process" };
	static const struct process p = {
		.n_ref = 1,
		.pid = 812,
		.pid_in_namespace = 812,
		.start_ns = 3000000001,
		.uid = 0,
		.parent_pid = 811,
		.parent_executable = "/usr/sbin/nginx",
		.name = "nginx",
		.executable = "/usr/sbin/nginx",
		.args = args,
		.n_args = 1,
		.cgroup = "/system.slice/nginx.service",
	};

	return &p;
}

/* A process of which nothing but the pid and the start is known. */
static inline const struct process *sample_bare_process(void)
{
	static const struct process p = {
		.n_ref = 1, .pid = 99, .start_ns = 77, .uid = PROCESS_NO_UID
	};

	return &p;
}

/* A name and arguments that would like to own the terminal. */
static inline const struct process *sample_hostile_process(void)
{
	static char *args[] = { "\x1b]0;owned\x07", "\xff\xfe",
				"\xe2\x80\xae"
				"abc" };
	static const struct process p = {
		.n_ref = 1,
		.pid = 666,
		.pid_in_namespace = 666,
		.start_ns = 1,
		.uid = 65534,
		.name = "\x1b[2J\r\n\t\xc2\x9b"
			"1",
		.executable = "/tmp/\"\\\xff",
		.args = args,
		.n_args = 3,
	};

	return &p;
}

/* curl in a container -> nginx in another namespace: all that a TCP close can carry. */
static inline struct event sample_tcp_close(void)
{
	struct flow_side source = {
		.has = SIDE_HAS_PORT | SIDE_HAS_COUNTS | SIDE_HAS_NETNS | SIDE_HAS_UNREAD |
		       SIDE_HAS_RECEIVED,
		.received_bytes = 77,
		.received_packets = 4,
		.ip = sample_ip("10.0.0.2"),
		.port = 41234,
		.bytes = 78,
		.packets = 5,
		.unread_bytes = 9,
		.netns_cookie = 4097,
		.netns_inode = 4026532290,
		.netns_name = "blue",
		.process = sample_curl(),
	};
	struct flow_side destination = {
		.has = SIDE_HAS_PORT | SIDE_HAS_COUNTS | SIDE_HAS_NETNS | SIDE_HAS_UNSENT |
		       SIDE_HAS_DEVICE,
		.ip = sample_ip("10.0.0.1"),
		.port = 80,
		.bytes = 9007199254740993ULL,
		.packets = 4,
		.unsent_bytes = 3,
		.netns_cookie = 4098,
		.netns_inode = 4026532388,
		.netns_name = "green",
		.ifindex = 2,
		.device = "eth0",
		.process = sample_nginx(),
		.opened_by = sample_bare_process(),
	};
	struct flow_event flow = {
		.ts_ns = SAMPLE_NOW_NS,
		.action = FLOW_CLOSE,
		.transport = TRANSPORT_TCP,
		.reason = REASON_FIN,
		.closed_by = PARTY_SOURCE,
		.has = FLOW_HAS_START | FLOW_HAS_END | FLOW_HAS_CONNECT | FLOW_HAS_RTT |
		       FLOW_HAS_MIN_RTT | FLOW_HAS_RETRANSMITS | FLOW_HAS_ACCEPTED |
		       FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION | FLOW_INITIATOR_KNOWN,
		.id = 0xa1b2c3,
		.start_ns = SAMPLE_NOW_NS - 1234567,
		.end_ns = SAMPLE_NOW_NS,
		.duration_ns = 1234567,
		.connect_ns = 45678,
		.srtt_ns = 120000,
		.min_rtt_ns = 98000,
		.retransmits = 0,
		.accepted = true,
		.source = source,
		.destination = destination,
	};

	return (struct event){ .kind = EVENT_FLOW, .flow = flow };
}

/* The same conversation, when it was connected. */
static inline struct event sample_tcp_open(void)
{
	struct event event = sample_tcp_close();

	event.flow.action = FLOW_OPEN;
	event.flow.reason = REASON_UNKNOWN;
	event.flow.closed_by = PARTY_UNKNOWN;
	event.flow.has &= ~(unsigned int)FLOW_HAS_END;
	event.flow.source.has = SIDE_HAS_PORT | SIDE_HAS_NETNS;
	event.flow.destination.has = SIDE_HAS_PORT | SIDE_HAS_NETNS;
	return event;
}

/* From the host's own namespace (cookie 1) to somewhere else, reset after long. */
static inline struct event sample_tcp_host(void)
{
	struct event event = sample_tcp_close();

	event.flow.reason = REASON_RESET;
	event.flow.closed_by = PARTY_DESTINATION;
	event.flow.duration_ns = 3725 * NS_PER_SEC;
	event.flow.source = (struct flow_side){
		.has = SIDE_HAS_PORT | SIDE_HAS_COUNTS | SIDE_HAS_NETNS,
		.ip = sample_ip("192.0.2.7"),
		.port = 40000,
		.bytes = 123456789,
		.packets = 90000,
		.netns_cookie = 1,
		.netns_inode = 4026531840,
		.netns_name = "host",
		.process = sample_nginx(),
	};
	event.flow.destination = (struct flow_side){
		.has = SIDE_HAS_PORT | SIDE_HAS_COUNTS,
		.ip = sample_ip("198.51.100.9"),
		.port = 443,
		.bytes = 2345,
		.packets = 80,
	};
	return event;
}

/* Older than nslens, and nobody knows who opened it. */
static inline struct event sample_tcp_adopted(void)
{
	struct event event = sample_tcp_open();

	event.flow.has = FLOW_HAS_START | FLOW_ADOPTED | FLOW_SEEN_BY_SOURCE;
	event.flow.destination.process = NULL;
	event.flow.destination.opened_by = NULL;
	return event;
}

/* A namespace with a machine-made name: with a container in it, and without. */
static inline struct event sample_tcp_long_names(void)
{
	struct event event = sample_tcp_open();

	event.flow.source.netns_name = "cni-5fc21eb1-9d61-4bd3-a6a5-d6ee1fd90a3a";
	event.flow.destination.netns_name = "cni-5fc21eb1-9d61-4bd3-a6a5-d6ee1fd90a3a";
	return event;
}

/* Much went wrong. */
static inline struct event sample_tcp_troubled(void)
{
	struct event event = sample_tcp_close();

	event.flow.reason = REASON_TIMEOUT;
	event.flow.closed_by = PARTY_KERNEL;
	event.flow.accepted = false;
	event.flow.retransmits = 15;
	return event;
}

/* Routed, from a bridge's port; nobody has found out a name of the last device. */
static inline struct event sample_passing(void)
{
	static const struct flow_hop hops[] = {
		{ 77, 4026532301, "router", 2, "v0", true, PARTY_SOURCE, 9, 1200 },
		{ 77, 4026532301, "router", 3, "v1", false, PARTY_SOURCE, 9, 1200 },
		{ 78, 4026532302, NULL, 2, NULL, true, PARTY_SOURCE, 8, 1100 },
		{ 77, 4026532301, "router", 3, "v1", true, PARTY_DESTINATION, 4, 400 },
	};
	struct event event = { .kind = EVENT_FLOW };

	event.flow = (struct flow_event){
		.ts_ns = 1767268800345678901,
		.action = FLOW_UPDATE,
		.transport = TRANSPORT_UDP,
		.has = FLOW_HAS_START | FLOW_INITIATOR_KNOWN | FLOW_WIRE,
		.id = 0xa1b2c9,
		.start_ns = 1767268800344444334,
		.source = { SIDE_HAS_PORT | SIDE_HAS_COUNTS, sample_ip("10.1.0.2"), 40000 },
		.destination = { SIDE_HAS_PORT | SIDE_HAS_COUNTS, sample_ip("10.2.0.2"), 53 },
		.hops = hops,
		.n_hops = ARRAY_SIZE(hops),
	};
	event.flow.source.bytes = 1200;
	event.flow.source.packets = 9;
	event.flow.destination.bytes = 400;
	event.flow.destination.packets = 4;
	return event;
}

/* The least that an event can carry: UDP over IPv6, nobody known. */
static inline struct event sample_udp_bare(void)
{
	struct flow_event flow = {
		.ts_ns = SAMPLE_NOW_NS + 1000000,
		.action = FLOW_OPEN,
		.transport = TRANSPORT_UDP,
		.id = 1,
		.source = { SIDE_HAS_PORT, sample_ip("2001:db8::1"), 5353 },
		.destination = { SIDE_HAS_PORT, sample_ip("ff02::fb"), 5353 },
	};

	return (struct event){ .kind = EVENT_FLOW, .flow = flow };
}

/* A connect to a port where nobody listens, in a namespace without a name. */
static inline struct event sample_tcp_refused(void)
{
	struct flow_side source = {
		.has = SIDE_HAS_PORT | SIDE_HAS_COUNTS | SIDE_HAS_NETNS,
		.ip = sample_ip("127.0.0.1"),
		.port = 50000,
		.netns_cookie = 4100,
		.netns_inode = 4026532500,
		.process = sample_hostile_process(),
	};
	struct flow_side destination = {
		.has = SIDE_HAS_PORT | SIDE_HAS_NETNS,
		.ip = sample_ip("127.0.0.1"),
		.port = 8081,
		.netns_cookie = 4100,
		.netns_inode = 4026532500,
	};
	struct flow_event flow = {
		.ts_ns = SAMPLE_NOW_NS + 2000000,
		.action = FLOW_FAIL,
		.transport = TRANSPORT_TCP,
		.reason = REASON_REFUSED,
		.closed_by = PARTY_DESTINATION,
		.has = FLOW_HAS_START | FLOW_HAS_END | FLOW_SEEN_BY_SOURCE | FLOW_INITIATOR_KNOWN,
		.id = 2,
		.start_ns = SAMPLE_NOW_NS + 2000000 - 61234,
		.end_ns = SAMPLE_NOW_NS + 2000000,
		.duration_ns = 61234,
		.source = source,
		.destination = destination,
	};

	return (struct event){ .kind = EVENT_FLOW, .flow = flow };
}

/* ping, while it lasts. */
static inline struct event sample_icmp_update(void)
{
	struct flow_side source = {
		.has = SIDE_HAS_COUNTS,
		.ip = sample_ip("192.168.0.89"),
		.bytes = 1680,
		.packets = 20,
		.process = sample_bare_process(),
	};
	struct flow_side destination = {
		.has = SIDE_HAS_COUNTS,
		.ip = sample_ip("192.168.0.1"),
		.bytes = 1680,
		.packets = 20,
	};
	struct flow_event flow = {
		.ts_ns = SAMPLE_NOW_NS + 3000000,
		.action = FLOW_UPDATE,
		.transport = TRANSPORT_ICMP,
		.has = FLOW_HAS_START | FLOW_SEEN_BY_SOURCE | FLOW_INITIATOR_KNOWN |
		       FLOW_HAS_ICMP_ID | FLOW_WIRE,
		.id = 3,
		.start_ns = SAMPLE_NOW_NS,
		.icmp_id = 33,
		.source = source,
		.destination = destination,
	};

	return (struct event){ .kind = EVENT_FLOW, .flow = flow };
}

static inline struct event sample_lost(void)
{
	return (struct event){ .kind = EVENT_LOST,
			       .lost = {
				       .ts_ns = SAMPLE_NOW_NS + 4000000,
				       .reason = "ring_full",
				       .records = 12,
			       } };
}

/* Somebody's program keeps packets from our hook. */
static inline struct event sample_finding(void)
{
	return (struct event){
		.kind = EVENT_FINDING,
		.finding = {
			.ts_ns = SAMPLE_NOW_NS + 4500000,
			.type = FINDING_HOOK_STARVED,
			.has = FINDING_HAS_POINT,
			.point = POINT_TCX_INGRESS,
			.prog_id = 17,
			.reason = "program 17 runs before ours and kept 120 packets from it",
			.device = { 4097, 2 },
			.device_name = "eth0",
			.netns_inode = 4026532290,
			.netns_name = "blue",
		},
	};
}

/* The least of it; over. */
static inline struct event sample_finding_over(void)
{
	return (struct event){
		.kind = EVENT_FINDING,
		.finding = {
			.ts_ns = SAMPLE_NOW_NS + 4600000,
			.type = FINDING_HOOK_REMOVED,
			.over = true,
			.device = { 1, 3 },
		},
	};
}

static inline struct event sample_totals(void)
{
	return (struct event){ .kind = EVENT_TOTALS,
			       .totals = {
				       .ts_ns = SAMPLE_NOW_NS + 5000000,
				       .conversations = 12,
				       .events = 40,
				       .lost = 0,
				       .netns_covered = 5,
				       .netns_total = 5,
				       .duration_ns = 10003000000,
			       } };
}

#endif
