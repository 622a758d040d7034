// SPDX-License-Identifier: Apache-2.0
#include "flow/conversation.h"

#include <netinet/in.h>

#include "base/base.h"

unsigned int conversation_ends(const struct conversation *c)
{
	return (c->end[SOURCE] ? 1U << SOURCE : 0) | (c->end[DESTINATION] ? 1U << DESTINATION : 0);
}

unsigned int conversation_closed(const struct conversation *c)
{
	unsigned int bits = 0;

	for (int side = 0; side < N_SIDES; side++)
		if (c->end[side] && c->end[side]->closed && !c->end[side]->told)
			bits |= 1U << side;
	return bits;
}

static bool speaks(unsigned int speak, int side)
{
	return speak & 1U << side;
}

/* --- one side --- */

/* Datagrams get lost on their way: what arrived is known where the socket is. */
static void side_received(struct flow_side *s, const struct flow_end *own)
{
	if (own->key.proto == IPPROTO_TCP || !own->on_socket)
		return;
	s->has |= SIDE_HAS_RECEIVED;
	s->received_bytes = own->rx_bytes;
	s->received_packets = own->rx_packets;
}

static void side_counts(struct flow_side *s, const struct flow_end *own,
			const struct flow_end *other)
{
	const struct flow_end *teller = own ? own : other;

	if (!teller || teller->unsure)
		return;
	s->has |= SIDE_HAS_COUNTS;
	s->bytes = own ? own->tx_bytes : other->rx_bytes;
	s->packets = own ? own->tx_packets : other->rx_packets;
	if (!own)
		return;
	s->unsent_bytes = own->unsent_bytes;
	s->unread_bytes = own->unread_bytes;
	s->has |= (own->unsent_bytes ? SIDE_HAS_UNSENT : 0) |
		  (own->unread_bytes ? SIDE_HAS_UNREAD : 0);
	side_received(s, own);
}

struct ip_view end_view(const struct flow_end *e)
{
	return (struct ip_view){ .local = ip_from_abi(e->key.family, e->key.laddr),
				 .remote = ip_from_abi(e->key.family, e->key.raddr),
				 .local_port = e->key.lport,
				 .remote_port = e->key.rport };
}

static void side_of_end(struct flow_side *s, const struct flow_end *e)
{
	s->ip = ip_from_abi(e->key.family, e->key.laddr);
	s->port = e->key.lport;
	if (ip_is_any(&s->ip)) /* failed before it had one */
		s->ip.family = IP_NONE;
	if (!s->port)
		s->has &= ~(unsigned int)SIDE_HAS_PORT;
	s->process = e->process;
	s->opened_by = e->opened_by;
	if (e->netns_cookie) {
		s->has |= SIDE_HAS_NETNS;
		s->netns_cookie = e->netns_cookie;
		s->netns_inode = e->netns_inode;
	}
	if (e->ifindex) {
		s->has |= SIDE_HAS_DEVICE;
		s->ifindex = e->ifindex;
		s->device = e->device;
	}
}

/* As the end that knows @e only from the other side names it. */
static struct ip_addr remote_of(const struct flow_end *e, uint16_t *ret_port)
{
	*ret_port = e->key.rport;
	return ip_from_abi(e->key.family, e->key.raddr);
}

/*
 * Both ends are here, and don't agree on the address of one: it was translated on the way. The
 * source knows its own, and whom it asked for; the other of the two is what NAT made of it.
 */
static void side_nat(struct flow_side *s, enum flow_which side, const struct flow_end *other)
{
	uint16_t port;
	struct ip_addr ip = remote_of(other, &port);

	if (!(s->has & SIDE_HAS_PORT) || (ip_equal(&ip, &s->ip) && port == s->port))
		return;
	s->has |= SIDE_HAS_NAT;
	s->nat_ip = side == SOURCE ? ip : s->ip;
	s->nat_port = side == SOURCE ? port : s->port;
	if (side == SOURCE)
		return;
	s->ip = ip;
	s->port = port;
}

/*
 * One end is here, and what became of its addresses was asked: the source's view is what was asked
 * for, the destination's what was reached.
 */
static void side_far(struct flow_side *s, enum flow_which side, const struct flow_end *e,
		     const struct ip_view *far)
{
	struct ip_view near = end_view(e), turned = ip_view_turned(far);
	const struct ip_view *asked = e->side == SOURCE ? &near : &turned;
	const struct ip_view *reached = e->side == SOURCE ? &turned : &near;
	bool own = (int)side == e->side;

	s->ip = own ? asked->local : asked->remote;
	s->port = own ? asked->local_port : asked->remote_port;
	s->nat_ip = own ? reached->local : reached->remote;
	s->nat_port = own ? reached->local_port : reached->remote_port;
	if (!ip_equal(&s->ip, &s->nat_ip) || s->port != s->nat_port)
		s->has |= SIDE_HAS_NAT;
}

/* The source's connect() asked for something else than what its socket then had as its peer. */
static void side_asked(struct flow_side *s, const struct flow_asked *asked)
{
	if (!(s->has & SIDE_HAS_NAT)) {
		s->has |= SIDE_HAS_NAT;
		s->nat_ip = s->ip;
		s->nat_port = s->port;
	}
	s->ip = asked->ip;
	s->port = asked->port;
}

/* When it opened; what is known by now may be of later. */
static void side_at_open(struct flow_side *s)
{
	if (s->opened_by)
		s->process = s->opened_by;
	s->opened_by = NULL;
	s->bytes = s->packets = 0;
	s->has &= ~(SIDE_HAS_UNSENT | SIDE_HAS_UNREAD);
}

static void conversation_side(const struct conversation *c, enum flow_which side,
			      unsigned int speak, struct flow_side *ret)
{
	const struct flow_end *own = c->end[side], *other = c->end[!side];

	if (c->transport == TRANSPORT_TCP || c->transport == TRANSPORT_UDP)
		ret->has |= SIDE_HAS_PORT;
	if (own)
		side_of_end(ret, own);
	else if (other)
		ret->ip = remote_of(other, &ret->port);
	if (own && other)
		side_nat(ret, side, other);
	else if (c->far && (own || other))
		side_far(ret, side, own ? own : other, c->far);
	if (side == DESTINATION && other && other->asked)
		side_asked(ret, other->asked);
	side_counts(ret, speaks(speak, side) ? own : NULL, speaks(speak, !side) ? other : NULL);
}

/* --- the whole --- */

/* The end whose word counts where one is enough: the source's, if it speaks. */
static const struct flow_end *conversation_speaker(const struct conversation *c, unsigned int speak)
{
	return speaks(speak, SOURCE) ? c->end[SOURCE] : c->end[DESTINATION];
}

static enum flow_party party_of(const struct flow_end *e)
{
	if (e->closed_by != PARTY_SOURCE && e->closed_by != PARTY_DESTINATION)
		return e->closed_by;
	return (e->closed_by == PARTY_SOURCE) == (e->side == SOURCE) ? PARTY_SOURCE
								     : PARTY_DESTINATION;
}

/* Whose account of the end is better: who says that it reset knows; a reset outweighs a FIN. */
static int account_weight(const struct flow_end *e)
{
	int weight = e->reason == REASON_UNKNOWN ? 0 : 1;

	if (e->reason == REASON_RESET)
		weight = e->closed_by == PARTY_SOURCE ? 3 : 2;
	return weight;
}

static void event_end(const struct conversation *c, unsigned int speak, struct flow_event *f)
{
	const struct flow_end *s = speaks(speak, SOURCE) ? c->end[SOURCE] : NULL;
	const struct flow_end *d = speaks(speak, DESTINATION) ? c->end[DESTINATION] : NULL;
	const struct flow_end *teller = s ? s : d;

	if (s && d && account_weight(d) > account_weight(s))
		teller = d;
	f->reason = teller->reason;
	f->closed_by = party_of(teller);
	for (int side = 0; side < N_SIDES; side++) {
		const struct flow_end *e = side == SOURCE ? s : d;

		if (!e || !e->has_end)
			continue;
		f->has |= FLOW_HAS_END;
		if (e->ts_ns > f->end_ns)
			f->end_ns = e->ts_ns;
	}
	if (d && c->transport == TRANSPORT_TCP && f->action == FLOW_CLOSE && !d->unsure) {
		f->has |= FLOW_HAS_ACCEPTED;
		f->accepted = d->accepted;
	}
}

static void event_start(const struct conversation *c, struct flow_event *f)
{
	for (int side = 0; side < N_SIDES; side++) {
		const struct flow_end *e = c->end[side];

		if (!e)
			continue;
		if (e->adopted)
			f->has |= FLOW_ADOPTED;
		if (e->start_ns && !(f->has & FLOW_HAS_START)) {
			f->has |= FLOW_HAS_START;
			f->start_ns = e->start_ns;
		}
	}
}

static void event_rtt(const struct conversation *c, unsigned int speak, struct flow_event *f)
{
	const struct flow_end *e = conversation_speaker(c, speak);

	if (e->srtt_us) {
		f->has |= FLOW_HAS_RTT;
		f->srtt_ns = e->srtt_us * 1000ULL;
	}
	if (e->max_srtt_us) {
		f->has |= FLOW_HAS_MAX_SRTT;
		f->max_srtt_ns = e->max_srtt_us * 1000ULL;
	}
	if (e->min_rtt_us) {
		f->has |= FLOW_HAS_MIN_RTT;
		f->min_rtt_ns = e->min_rtt_us * 1000ULL;
	}
}

static void event_tcp(const struct conversation *c, unsigned int speak, struct flow_event *f)
{
	const struct flow_end *source = c->end[SOURCE];

	event_rtt(c, speak, f);
	if (source && source->connect_ns) {
		f->has |= FLOW_HAS_CONNECT;
		f->connect_ns = source->connect_ns;
	}
	for (int side = 0; side < N_SIDES; side++) {
		if (!speaks(speak, side) || c->end[side]->unsure)
			continue;
		f->has |= FLOW_HAS_RETRANSMITS;
		f->retransmits += c->end[side]->retransmits;
	}
}

static void event_icmp(const struct conversation *c, struct flow_event *f)
{
	const struct flow_end *e = c->end[SOURCE] ? c->end[SOURCE] : c->end[DESTINATION];

	f->has |= FLOW_HAS_ICMP_ID;
	f->icmp_id = e->key.lport;
}

/* A TCP end's open may be told later, with its close even. */
static uint64_t end_time(const struct flow_end *e, enum flow_action action)
{
	if (action == FLOW_OPEN && e->key.proto == IPPROTO_TCP && e->start_ns)
		return e->start_ns + e->connect_ns;
	return e->ts_ns;
}

/* The moment that the event is of: of two ends the later one's. */
static uint64_t event_time(const struct conversation *c, enum flow_action action,
			   unsigned int speak)
{
	uint64_t ts = 0;

	for (int side = 0; side < N_SIDES; side++)
		if (speaks(speak, side) && end_time(c->end[side], action) > ts)
			ts = end_time(c->end[side], action);
	return ts;
}

static void event_times(struct flow_event *f, int64_t clock_ns)
{
	if (f->has & FLOW_HAS_START && f->has & FLOW_HAS_END)
		f->duration_ns = f->end_ns - f->start_ns;
	f->ts_ns += clock_ns;
	f->start_ns += f->has & FLOW_HAS_START ? clock_ns : 0;
	f->end_ns += f->has & FLOW_HAS_END ? clock_ns : 0;
}

void conversation_event(const struct conversation *c, enum flow_action action, unsigned int speak,
			int64_t clock_ns, struct flow_event *ret)
{
	*ret = (struct flow_event){ .action = action, .transport = c->transport, .id = c->id };
	ret->ts_ns = event_time(c, action, speak);
	ret->has = (speaks(speak, SOURCE) ? FLOW_SEEN_BY_SOURCE : 0) |
		   (speaks(speak, DESTINATION) ? FLOW_SEEN_BY_DESTINATION : 0) |
		   (c->initiator_known ? FLOW_INITIATOR_KNOWN : 0);
	conversation_side(c, SOURCE, speak, &ret->source);
	conversation_side(c, DESTINATION, speak, &ret->destination);
	if (action == FLOW_OPEN && c->transport == TRANSPORT_TCP) {
		side_at_open(&ret->source);
		side_at_open(&ret->destination);
	}
	event_start(c, ret);
	if (action == FLOW_CLOSE || action == FLOW_FAIL)
		event_end(c, speak, ret);
	if (c->transport == TRANSPORT_TCP)
		event_tcp(c, speak, ret);
	if (c->transport == TRANSPORT_ICMP || c->transport == TRANSPORT_ICMP6)
		event_icmp(c, ret);
	event_times(ret, clock_ns);
}
