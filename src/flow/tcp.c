// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "flow/table_private.h"

/* --- listeners --- */

static struct listener *listener_find(struct flow_table *t, uint64_t netns_cookie, uint16_t port)
{
	struct listener_key key = { .netns_cookie = netns_cookie, .port = port };
	struct listener *l;

	HASH_FIND(hh, t->listeners, &key, sizeof(key), l);
	return l;
}

static void listener_add(struct flow_table *t, const struct rec_tcp *r)
{
	struct listener *l = listener_find(t, r->netns_cookie, r->lport);

	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return;
		l->key = (struct listener_key){ .netns_cookie = r->netns_cookie, .port = r->lport };
		HASH_ADD(hh, t->listeners, key, sizeof(l->key), l);
	}
	l->n++;
}

static void listener_remove(struct flow_table *t, const struct rec_tcp *r)
{
	struct listener *l = listener_find(t, r->netns_cookie, r->lport);

	if (!l || --l->n)
		return;
	HASH_DEL(t->listeners, l);
	free(l);
}

void listeners_free(struct flow_table *t)
{
	struct listener *l, *next;

	HASH_ITER(hh, t->listeners, l, next) {
		HASH_DEL(t->listeners, l);
		free(l);
	}
}

/* --- ends --- */

/* The same at both ends; a connection that never was one has no sequence numbers. */
static uint64_t tcp_id(const struct rec_tcp *r)
{
	uint32_t low = r->tx_isn < r->rx_isn ? r->tx_isn : r->rx_isn;
	uint32_t high = r->tx_isn < r->rx_isn ? r->rx_isn : r->tx_isn;

	if (!low && !high)
		return mix64(r->cookie ^ mix64(r->start_ns));
	return mix64((uint64_t)high << 32 | low);
}

static enum flow_which tcp_side(struct flow_table *t, const struct rec_tcp *r)
{
	if (r->role == TCP_ROLE_UNKNOWN)
		return listener_find(t, r->netns_cookie, r->lport) ? DESTINATION : SOURCE;
	return r->role == TCP_ROLE_PASSIVE ? DESTINATION : SOURCE;
}

static bool tcp_on_loopback(int family, const uint8_t *laddr, const uint8_t *raddr)
{
	struct ip_addr local = ip_from_abi(family, laddr), remote = ip_from_abi(family, raddr);

	return ip_is_loopback(&local) && ip_is_loopback(&remote);
}

/*
 * Can @r's end stand opposite @other? The kernel makes sequence numbers of the addresses and of the
 * time in steps of 64 ns: in two namespaces at the same moment they may be the same.
 */
static bool tcp_fits(const struct flow_end *other, const struct rec_tcp *r)
{
	const struct dgram_key *k = &other->key;

	return r->netns_cookie == other->netns_cookie ||
	       !tcp_on_loopback(r->family, r->laddr, r->raddr) ||
	       !tcp_on_loopback(k->family, k->laddr, k->raddr);
}

/* *@side of @c is @r's, or the other one, if that may be: 0. Else @c is another conversation. */
static int tcp_take_side(struct conversation *c, const struct rec_tcp *r, enum flow_which *side)
{
	const struct flow_end *taken = c->end[*side];

	if (taken && c->end[!*side])
		return -EEXIST;
	if (!tcp_fits(taken ?: c->end[!*side], r))
		return -EEXIST;
	if (!taken)
		return 0;
	if (r->role != TCP_ROLE_UNKNOWN && !taken->adopted)
		return -EEXIST;
	/* Adopted, and neither listens: whose it was to open is not known. */
	*side = !*side;
	c->initiator_known = false;
	return 0;
}

/* So many conversations with the same sequence numbers are told apart. */
enum { SAME_MAX = 4 };

static struct flow_end *tcp_end_new(struct flow_table *t, const struct rec_tcp *r,
				    const struct dgram_key *key)
{
	enum flow_which side = tcp_side(t, r);
	uint64_t id = tcp_id(r);
	struct conversation *c;

	for (int n = 0; n < SAME_MAX; n++, id = mix64(id)) {
		HASH_FIND(hh, t->tcp, &id, sizeof(id), c);
		if (!c)
			break;
		if (!tcp_take_side(c, r, &side))
			return end_new(t, key, c, side);
	}
	c = conversation_new(t, c ? mix64(id ^ r->cookie) : id, TRANSPORT_TCP);
	if (!c)
		return NULL;
	c->initiator_known = true;
	return end_new(t, key, c, side);
}

static enum flow_reason tcp_reason(uint8_t reason)
{
	static const enum flow_reason reasons[] = {
		[TCP_END_UNKNOWN] = REASON_UNKNOWN, [TCP_END_FIN] = REASON_FIN,
		[TCP_END_RESET] = REASON_RESET,	    [TCP_END_REFUSED] = REASON_REFUSED,
		[TCP_END_TIMEOUT] = REASON_TIMEOUT, [TCP_END_UNREACHABLE] = REASON_UNREACHABLE,
	};

	return reason < sizeof(reasons) / sizeof(reasons[0]) ? reasons[reason] : REASON_UNKNOWN;
}

static enum flow_party tcp_party(uint8_t by)
{
	switch (by) {
	case TCP_BY_LOCAL: return PARTY_SOURCE;
	case TCP_BY_REMOTE: return PARTY_DESTINATION;
	case TCP_BY_KERNEL: return PARTY_KERNEL;
	}
	return PARTY_UNKNOWN;
}

static void tcp_end_where(struct flow_end *e, const struct rec_tcp *r)
{
	e->key.family = r->family;
	memcpy(e->key.laddr, r->laddr, sizeof(e->key.laddr));
	memcpy(e->key.raddr, r->raddr, sizeof(e->key.raddr));
	e->key.lport = r->lport;
	e->key.rport = r->rport;
	e->netns_cookie = r->netns_cookie;
	e->netns_inode = r->netns_inode;
	if (r->ifindex) { /* the route may be gone at the close */
		e->ifindex = r->ifindex;
		memcpy(e->device, r->device, sizeof(e->device));
		e->device[sizeof(e->device) - 1] = '\0';
	}
}

static void tcp_end_fill(struct flow_table *t, struct flow_end *e, const struct rec_tcp *r)
{
	flow_sum_tcp(t, e, r);
	tcp_end_where(e, r);
	e->retransmitted_bytes = r->retransmitted_bytes;
	e->ts_ns = r->h.ts_ns;
	e->start_ns = r->start_ns;
	e->connect_ns = r->connect_ns;
	e->tx_bytes = r->tx_bytes;
	e->rx_bytes = r->rx_bytes;
	e->tx_packets = r->segs_out;
	e->rx_packets = r->segs_in;
	e->unsent_bytes = (uint32_t)r->unsent_bytes;
	e->unread_bytes = (uint32_t)r->unread_bytes;
	e->retransmits = r->retransmits;
	e->srtt_us = r->srtt_us;
	e->min_rtt_us = r->min_rtt_us;
	/* The samples are one a round trip, of what it was before. */
	e->max_srtt_us = r->max_srtt_us && r->srtt_us > r->max_srtt_us ? r->srtt_us
								       : r->max_srtt_us;
	e->adopted = r->flags & TCP_F_ADOPTED;
	e->accepted = r->flags & TCP_F_ACCEPTED;
	e->reason = tcp_reason(r->end_reason);
	e->closed_by = tcp_party(r->closed_by);
	end_set_owners(t, e, &r->user, &r->opener);
	if (r->flags & TCP_F_REDIRECTED)
		end_set_asked(e, &((const struct rec_tcp_asked *)r)->asked);
}

/* What the first record of an end means beside itself: an end that is not adopted was opened. */
static bool tcp_tells_open(const struct rec_tcp *r)
{
	return r->action == TCP_ACT_OPEN ||
	       (r->action != TCP_ACT_FAIL && !(r->flags & TCP_F_ADOPTED));
}

/* An open is told as it was; what has happened since makes an update. */
static bool tcp_happened_since(const struct rec_tcp *r)
{
	return r->tx_bytes || r->rx_bytes || r->user.tgid != r->opener.tgid;
}

/* A record of the end @e, that is filled in. */
static void tcp_end_record(struct flow_table *t, struct flow_end *e, const struct rec_tcp *r)
{
	switch (r->action) {
	case TCP_ACT_OPEN:
		if (tcp_happened_since(r))
			end_changed(t, e);
		return;
	case TCP_ACT_FAIL:
		e->has_end = !(r->flags & TCP_F_UNSENT);
		end_failed(t, e);
		return;
	case TCP_ACT_CLOSE:
		e->has_end = true;
		end_closed(t, e);
		return;
	case TCP_ACT_UPDATE: end_changed(t, e); return;
	}
}

int tcp_record(struct flow_table *t, const struct rec_tcp *r)
{
	struct dgram_key key = { .cookie = r->cookie, .proto = IPPROTO_TCP };
	struct flow_end *e;
	bool is_new;

	if (r->action == TCP_ACT_LISTEN) {
		listener_add(t, r);
		return 0;
	}
	if (r->action == TCP_ACT_UNLISTEN) {
		listener_remove(t, r);
		return 0;
	}
	e = end_find_of(t, &key, r->start_ns);
	is_new = !e;
	if (is_new)
		e = tcp_end_new(t, r, &key);
	if (!e)
		return -ENOMEM;
	tcp_end_fill(t, e, r);
	if (is_new && tcp_tells_open(r))
		end_opened(t, e);
	else if (r->action != TCP_ACT_FAIL && !e->conv->is_waiting)
		e->conv->opened = true; /* its open is not to be told: adopted */
	tcp_end_record(t, e, r);
	return 0;
}
