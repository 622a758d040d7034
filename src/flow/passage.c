// SPDX-License-Identifier: Apache-2.0
#include "flow/hops.h"

/*
 * The event of a passage. What a side sent is what the hop saw that saw the most of it: a packet
 * counts once, however many devices it passes, and what was dropped on the way was sent.
 */

static void side_of(const struct passage *p, bool high, struct flow_side *ret)
{
	const struct hop_key *key = &p->tuple->key;
	const struct hop *hop;

	ret->ip = high ? key->high : key->low;
	if (key->transport == TRANSPORT_TCP || key->transport == TRANSPORT_UDP) {
		ret->port = high ? key->high_port : key->low_port;
		ret->has |= key->has_ports ? SIDE_HAS_PORT : 0;
	}
	ret->has |= SIDE_HAS_COUNTS;
	SLIST_FOREACH(hop, &p->tuple->hops, next)
	{
		if (hop->passage != p || hop->high != high)
			continue;
		ret->packets = hop->packets > ret->packets ? hop->packets : ret->packets;
		ret->bytes = hop->bytes > ret->bytes ? hop->bytes : ret->bytes;
	}
}

static size_t hops_of(const struct passage *p, struct flow_hop hops[PASSAGE_HOPS_MAX])
{
	const struct hop *hop;
	size_t n = 0;

	SLIST_FOREACH(hop, &p->tuple->hops, next)
	{
		if (hop->passage != p || n == PASSAGE_HOPS_MAX)
			continue;
		hops[n++] = (struct flow_hop){
			.netns_cookie = hop->netns_cookie,
			.netns_inode = hop->netns_inode,
			.ifindex = hop->ifindex,
			.received = hop->direction == DEVFLOW_RX,
			.from = hop->high == p->source_high ? PARTY_SOURCE : PARTY_DESTINATION,
			.packets = hop->packets,
			.bytes = hop->bytes,
		};
	}
	return n;
}

static void event_times(const struct passage *p, bool adopted, int64_t clock_ns,
			struct flow_event *ret)
{
	ret->ts_ns = (ret->action == FLOW_OPEN ? p->first_ns : p->last_ns) + (uint64_t)clock_ns;
	if (!adopted) {
		ret->has |= FLOW_HAS_START;
		ret->start_ns = p->first_ns + (uint64_t)clock_ns;
	}
	if (ret->action != FLOW_CLOSE)
		return;
	ret->has |= FLOW_HAS_END;
	ret->end_ns = p->last_ns + (uint64_t)clock_ns;
	ret->duration_ns = adopted ? 0 : ret->end_ns - ret->start_ns;
}

static void event_end(const struct passage *p, struct flow_event *ret)
{
	ret->last = true;
	if (!p->is_over) {
		ret->reason = REASON_IDLE;
		return;
	}
	ret->reason = p->reset ? REASON_RESET : REASON_FIN;
	ret->closed_by = p->closed_by;
}

void passage_event(const struct passage *p, enum flow_action action, int64_t clock_ns,
		   struct flow_hop hops[PASSAGE_HOPS_MAX], struct flow_event *ret)
{
	const struct hop_key *key = &p->tuple->key;
	bool adopted = key->transport == TRANSPORT_TCP && !p->begun;

	*ret = (struct flow_event){ .action = action,
				    .transport = (enum flow_transport)key->transport,
				    .id = p->id };
	ret->has = FLOW_WIRE | (adopted ? FLOW_ADOPTED : FLOW_INITIATOR_KNOWN);
	if (key->has_ports && key->transport != TRANSPORT_TCP && key->transport != TRANSPORT_UDP) {
		ret->has |= FLOW_HAS_ICMP_ID;
		ret->icmp_id = key->low_port;
	}
	side_of(p, p->source_high, &ret->source);
	side_of(p, !p->source_high, &ret->destination);
	ret->hops = hops;
	ret->n_hops = hops_of(p, hops);
	event_times(p, adopted, clock_ns, ret);
	if (action == FLOW_CLOSE)
		event_end(p, ret);
}
