// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/flow/table.c src/flow/tcp.c src/flow/dgram.c src/flow/conversation.c
// FUZZ-SOURCES: src/flow/sums.c src/flow/hops.c src/flow/passage.c src/model/layer.c
// FUZZ-SOURCES: src/model/event.c src/model/endpoint.c src/model/process.c
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "abi/devflow.h"
#include "abi/dgram.h"
#include "abi/tcp.h"
#include "flow/table.h"

/* Any sequence of records: no crash, no leak, and somebody tells each event. */

static struct process *resolve_process(void *arg, const struct owner *owner)
{
	struct process *p = owner->tgid ? calloc(1, sizeof(*p)) : NULL;

	if (p)
		p->n_ref = 1;
	return p;
}

static const char *resolve_netns(void *arg, uint64_t cookie)
{
	return NULL;
}

static int take_dgram(void *arg, const struct dgram_key *key, uint64_t max_rx_packets,
		      struct dgram_flow *ret)
{
	memset(ret, 0, sizeof(*ret));
	return key->lport & 1 ? -ENOENT : 0;
}

static void on_event(void *arg, const struct event *event)
{
	const struct flow_event *f = &event->flow;

	if (!(f->has & (FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION | FLOW_WIRE)))
		abort();
	if (!(f->has & FLOW_WIRE) != !f->n_hops)
		abort();
	if (f->action >= N_FLOW_ACTIONS || f->reason >= N_FLOW_REASONS || f->closed_by >= N_PARTIES)
		abort();
}

union record {
	struct rec_hdr h;
	struct rec_tcp tcp;
	struct rec_tcp_asked asked;
	struct rec_dgram dgram;
	struct rec_owner owner;
	struct rec_release release;
	struct rec_devflow devflow;
};

static uint8_t what_proto(uint8_t any)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, IPPROTO_ICMPV6 };

	return protos[any % 4];
}

/* Few sockets, ports and sequence numbers, so that they meet. */
static void tame(union record *r)
{
	switch (r->h.type % 8) {
	case 0:
	case 1:
		r->h.type = REC_TCP;
		r->tcp.cookie %= 4;
		r->tcp.tx_isn %= 3;
		r->tcp.rx_isn %= 3;
		r->tcp.start_ns %= 2;
		r->tcp.action = r->tcp.action % 6 + 1;
		r->h.size = r->tcp.flags & TCP_F_REDIRECTED ? sizeof(r->asked) : sizeof(r->tcp);
		break;
	case 2:
	case 3:
		r->h.type = REC_DGRAM;
		memset(&r->dgram.key.laddr, 1, sizeof(r->dgram.key.laddr) * 2);
		r->dgram.key.cookie %= 3;
		r->dgram.key.lport %= 3;
		r->dgram.key.rport %= 3;
		r->dgram.key.proto = IPPROTO_UDP;
		r->dgram.key.reserved = 0;
		r->dgram.start_ns %= 2;
		r->dgram.action = r->dgram.action % 4 + 1;
		r->h.size = sizeof(r->dgram);
		break;
	case 4:
	case 5:
		r->h.type = REC_DEVICE_FLOW;
		memset(r->devflow.flow.key.saddr, 1, sizeof(r->devflow.flow.key.saddr) * 2);
		r->devflow.flow.key.netns_cookie %= 3;
		r->devflow.flow.key.ifindex %= 2;
		r->devflow.flow.key.direction %= 2;
		r->devflow.flow.key.sport %= 3;
		r->devflow.flow.key.dport %= 3;
		r->devflow.flow.key.proto = what_proto(r->devflow.flow.key.proto);
		r->devflow.flow.first_is %= 2;
		r->h.size = sizeof(r->devflow);
		break;
	case 6:
		r->h.type = REC_OWNER;
		r->owner.cookie %= 3;
		r->h.size = sizeof(r->owner);
		break;
	default:
		r->h.type = REC_RELEASE;
		r->release.cookie %= 3;
		r->h.size = sizeof(r->release);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flow_resolver resolver = { .process = resolve_process,
					  .netns_name = resolve_netns,
					  .take_dgram = take_dgram };
	struct flow_devices devices = { .idle_ns = 1000, .max_conversations = 4 };
	struct flow_table *t = flow_table_new(&resolver, on_event, NULL);
	union record r;

	if (t)
		flow_table_see_devices(t, &devices);
	while (t && size >= 1) {
		uint8_t what = *data++;
		struct dgram_key gone = { .cookie = what / 8 % 4, .proto = IPPROTO_TCP };
		size_t n = --size < sizeof(r) ? size : sizeof(r);

		memset(&r, what, sizeof(r));
		memcpy(&r, data, n);
		data += n;
		size -= n;
		if (what % 8 == 0)
			flow_table_tick(t, r.h.ts_ns);
		else if (what % 8 == 1)
			flow_table_swept(t);
		else if (what % 8 == 3)
			flow_table_collected(t, what == 3 ? UINT64_MAX : r.h.ts_ns);
		else if (what % 8 == 2)
			flow_table_gone(t, &gone, r.h.ts_ns);
		tame(&r);
		flow_table_record(t, &r.h, r.h.size);
	}
	flow_table_free(t);
	return 0;
}
