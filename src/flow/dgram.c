// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "flow/table_private.h"

/* First datagrams at both ends: how far apart they may be, alike or not. */
enum { ALIKE_APART_NS = 1000000000, OTHERWISE_APART_NS = 5000000 };

/* So many conversations with the same addresses and ports are looked at, the latest first. */
enum { CANDIDATES_MAX = 128 };

/* How long the record of a socket that came after a closed one is waited for. */
enum { SUCCESSOR_NS = 4 * FLOW_JOIN_NS };

/* --- sockets --- */

static struct flow_socket *socket_find(struct flow_table *t, uint64_t cookie)
{
	struct flow_socket *s;

	HASH_FIND(hh, t->sockets, &cookie, sizeof(cookie), s);
	return s;
}

static void socket_add_end(struct flow_table *t, struct flow_end *e)
{
	struct flow_socket *s = socket_find(t, e->key.cookie);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->cookie = e->key.cookie;
		HASH_ADD(hh, t->sockets, cookie, sizeof(s->cookie), s);
	}
	LIST_INSERT_HEAD(&s->ends, e, of_socket);
	e->on_socket = true;
}

void dgram_end_gone(struct flow_table *t, struct flow_end *e)
{
	struct flow_socket *s;

	if (!e->on_socket)
		return;
	LIST_REMOVE(e, of_socket);
	e->on_socket = false;
	s = socket_find(t, e->key.cookie);
	if (s && LIST_EMPTY(&s->ends)) {
		HASH_DEL(t->sockets, s);
		free(s);
	}
}

/* --- who belongs to whom --- */

static enum flow_transport dgram_transport(const struct dgram_key *key)
{
	if (key->proto == IPPROTO_UDP)
		return TRANSPORT_UDP;
	return key->proto == IPPROTO_ICMP ? TRANSPORT_ICMP : TRANSPORT_ICMP6;
}

static enum flow_which dgram_side(const struct rec_dgram *r)
{
	return r->flags & DGRAM_F_REMOTE_FIRST ? DESTINATION : SOURCE;
}

/* Addresses and ports from who sent first to who received: the same at both ends. */
static struct tuple_key dgram_tuple(const struct rec_dgram *r)
{
	const struct dgram_key *k = &r->key;
	struct tuple_key key;
	bool out = dgram_side(r) == SOURCE;

	memset(&key, 0, sizeof(key));
	key.source = ip_from_abi(k->family, out ? k->laddr : k->raddr);
	key.destination = ip_from_abi(k->family, out ? k->raddr : k->laddr);
	key.transport = dgram_transport(k);
	if (k->proto == IPPROTO_UDP) {
		key.source_port = out ? k->lport : k->rport;
		key.destination_port = out ? k->rport : k->lport;
	} else {
		key.source_port = k->lport; /* the echo's identifier, at both ends */
	}
	return key;
}

/* What an end saw of its first datagram. */
struct dgram_sight {
	enum flow_which side;
	uint64_t start_ns, netns_cookie;
	uint32_t fingerprint;
};

static struct dgram_sight dgram_sight_of(const struct rec_dgram *r)
{
	return (struct dgram_sight){ dgram_side(r), r->start_ns, r->netns_cookie, r->fingerprint };
}

/* How badly does the end that saw @s fit opposite @other? UINT64_MAX: not at all. */
static uint64_t dgram_misfit(const struct dgram_sight *s, const struct flow_end *other)
{
	uint64_t apart = s->start_ns > other->start_ns ? s->start_ns - other->start_ns
						       : other->start_ns - s->start_ns;
	bool alike = s->fingerprint == other->fingerprint;
	struct ip_addr local = ip_from_abi(other->key.family, other->key.laddr);

	if (ip_is_loopback(&local) && s->netns_cookie != other->netns_cookie)
		return UINT64_MAX;
	if (apart > (alike ? ALIKE_APART_NS : OTHERWISE_APART_NS))
		return UINT64_MAX;
	return apart + (alike ? 0 : ALIKE_APART_NS);
}

/* The conversation that lacks just this end, or NULL. */
static struct conversation *dgram_counterpart(struct tuple *tuple, const struct dgram_sight *s)
{
	struct conversation *c, *best = NULL;
	enum flow_which side = s->side;
	uint64_t least = UINT64_MAX, misfit;
	int n = 0;

	LIST_FOREACH(c, &tuple->conversations, same)
	{
		if (++n > CANDIDATES_MAX)
			break;
		if (c->end[side] || !c->end[!side] || c->end[!side]->told)
			continue;
		misfit = dgram_misfit(s, c->end[!side]);
		if (misfit < least) {
			least = misfit;
			best = c;
		}
	}
	return best;
}

/* A multicast datagram has one sender and many receivers: the id of the sender's conversation. */
static uint64_t dgram_id(struct tuple *tuple, const struct rec_dgram *r)
{
	struct dgram_sight sight = dgram_sight_of(r);
	struct conversation *c;
	int n = 0;

	if (ip_is_multicast(&tuple->key.destination))
		LIST_FOREACH(c, &tuple->conversations, same)
		{
			if (++n > CANDIDATES_MAX)
				break;
			if (c->end[SOURCE] && dgram_misfit(&sight, c->end[SOURCE]) != UINT64_MAX)
				return c->id;
		}
	return mix64(mix64(r->key.cookie) ^ r->start_ns ^ (uint64_t)r->key.lport << 48 ^
		     (uint64_t)r->key.rport << 32 ^ r->fingerprint);
}

static struct tuple *tuple_get(struct flow_table *t, const struct tuple_key *key)
{
	struct tuple *tuple;

	HASH_FIND(hh, t->tuples, key, sizeof(*key), tuple);
	if (tuple)
		return tuple;
	tuple = calloc(1, sizeof(*tuple));
	if (!tuple)
		return NULL;
	tuple->key = *key;
	HASH_ADD(hh, t->tuples, key, sizeof(tuple->key), tuple);
	return tuple;
}

static void tuple_put(struct flow_table *t, struct tuple *tuple)
{
	if (!LIST_EMPTY(&tuple->conversations))
		return;
	HASH_DEL(t->tuples, tuple);
	free(tuple);
}

void dgram_conversation_gone(struct flow_table *t, struct conversation *c)
{
	if (!c->tuple)
		return;
	LIST_REMOVE(c, same);
	tuple_put(t, c->tuple);
	c->tuple = NULL;
}

/* --- a socket's flow that outlives its conversation --- */

static uint64_t beyond(uint64_t n, uint64_t base)
{
	return n > base ? n - base : 0;
}

static void dgram_end_count(struct flow_end *e, const struct dgram_counts *n)
{
	e->tx_bytes = beyond(n->tx_bytes, e->base.tx_bytes);
	e->tx_packets = beyond(n->tx_packets, e->base.tx_packets);
	e->rx_bytes = beyond(n->rx_bytes, e->base.rx_bytes);
	e->rx_packets = beyond(n->rx_packets, e->base.rx_packets);
}

/*
 * A conversation whose end on @r's side was closed, in the same namespace, while the other one
 * lives on; or NULL. @r's socket has the address and port that the closed one had.
 */
static struct conversation *dgram_predecessor(struct tuple *tuple, const struct rec_dgram *r)
{
	enum flow_which side = dgram_side(r);
	struct conversation *c;
	int n = 0;

	if (ip_is_multicast(&tuple->key.destination))
		return NULL;
	LIST_FOREACH(c, &tuple->conversations, same)
	{
		if (++n > CANDIDATES_MAX)
			break;
		if (conversation_ends(c) == (1U << SOURCE | 1U << DESTINATION) &&
		    c->end[side]->closed && !c->end[!side]->closed &&
		    c->end[side]->netns_cookie == r->netns_cookie)
			return c;
	}
	return NULL;
}

/* @by: PARTY_SOURCE if this end closed, PARTY_DESTINATION if the other did. */
static void dgram_end_over(struct flow_end *e, uint64_t ts_ns, enum flow_reason reason,
			   enum flow_party by)
{
	e->has_end = true;
	e->ts_ns = ts_ns;
	e->reason = reason;
	e->closed_by = by;
}

/* What @closed says was exchanged is what its conversation had of @e's flow. */
static void dgram_end_split(struct flow_end *e, struct flow_end *was, const struct flow_end *closed)
{
	was->tx_bytes = closed->rx_bytes;
	was->tx_packets = closed->rx_packets;
	was->rx_bytes = closed->tx_bytes;
	was->rx_packets = closed->tx_packets;
	e->base.tx_bytes += was->tx_bytes;
	e->base.tx_packets += was->tx_packets;
	e->base.rx_bytes += was->rx_bytes;
	e->base.rx_packets += was->rx_packets;
	dgram_end_count(e, &(struct dgram_counts){ 0 });
}

/* @e, as it was in the conversation that it leaves. */
static struct flow_end *dgram_end_copy(struct flow_table *t, const struct flow_end *e)
{
	struct flow_end *was = malloc(sizeof(*was));

	if (!was)
		return NULL;
	*was = *e;
	was->is_hashed = false;
	was->on_socket = false;
	process_ref(was->process);
	process_ref(was->opened_by);
	socket_add_end(t, was);
	return was;
}

/*
 * The end of @before that lives on goes over to @c, and @before is over: the kernel counts on, for
 * it is the same socket with the same peer, but the peer's socket is another now.
 */
static void dgram_succeed(struct flow_table *t, struct conversation *c, struct conversation *before)
{
	enum flow_which side = before->end[SOURCE]->closed ? SOURCE : DESTINATION;
	struct flow_end *closed = before->end[side], *e = before->end[!side];
	struct flow_end *was = dgram_end_copy(t, e);

	if (!was)
		return;
	dgram_end_split(e, was, closed);
	e->conv = c;
	c->end[!side] = e;
	before->end[!side] = was;
	dgram_end_over(was, closed->ts_ns, closed->reason, PARTY_DESTINATION);
	end_closed(t, was);
}

static struct conversation *dgram_conversation(struct flow_table *t, const struct rec_dgram *r)
{
	struct tuple_key key = dgram_tuple(r);
	struct tuple *tuple = tuple_get(t, &key);
	struct dgram_sight sight = dgram_sight_of(r);
	struct conversation *c, *before;

	if (!tuple)
		return NULL;
	c = dgram_counterpart(tuple, &sight);
	if (c)
		return c;
	before = dgram_predecessor(tuple, r);
	c = conversation_new(t, dgram_id(tuple, r), dgram_transport(&r->key));
	if (!c) {
		tuple_put(t, tuple);
		return NULL;
	}
	c->initiator_known = true;
	c->tuple = tuple;
	LIST_INSERT_HEAD(&tuple->conversations, c, same);
	if (before)
		dgram_succeed(t, c, before);
	return c;
}

/* --- addresses translated on the way --- */

/* As the other end would have it, to whom @far belongs. */
static struct tuple_key dgram_far_tuple(const struct flow_end *e, const struct ip_view *far)
{
	struct tuple_key key;
	bool out = e->side == DESTINATION; /* then the other end sent first */

	memset(&key, 0, sizeof(key));
	key.source = out ? far->local : far->remote;
	key.destination = out ? far->remote : far->local;
	key.source_port = out ? far->local_port : far->remote_port;
	key.destination_port = out ? far->remote_port : far->local_port;
	key.transport = TRANSPORT_UDP;
	return key;
}

struct conversation *dgram_translated(struct flow_table *t, struct conversation *c)
{
	const struct flow_end *e = c->end[SOURCE] ? c->end[SOURCE] : c->end[DESTINATION];
	struct dgram_sight sight = { e->side, e->start_ns, e->netns_cookie, e->fingerprint };
	struct tuple_key key = dgram_far_tuple(e, c->far);
	struct tuple *tuple = tuple_get(t, &key);
	struct conversation *other = tuple ? dgram_counterpart(tuple, &sight) : NULL;

	if (other || !tuple)
		return other;
	dgram_conversation_gone(t, c);
	c->tuple = tuple;
	LIST_INSERT_HEAD(&tuple->conversations, c, same);
	return NULL;
}

/* --- records --- */

static void dgram_end_where(struct flow_end *e, const struct rec_dgram *r)
{
	e->netns_cookie = r->netns_cookie;
	e->netns_inode = r->netns_inode;
	e->ifindex = r->ifindex;
	memcpy(e->device, r->device, sizeof(e->device));
	e->device[sizeof(e->device) - 1] = '\0';
	e->start_ns = r->start_ns;
	e->fingerprint = r->fingerprint;
	e->translated = r->flags & DGRAM_F_TRANSLATED;
}

static struct flow_end *dgram_end_new(struct flow_table *t, const struct rec_dgram *r)
{
	struct conversation *c = dgram_conversation(t, r);
	struct flow_end *e = c ? end_new(t, &r->key, c, dgram_side(r)) : NULL;

	if (!e)
		return NULL;
	dgram_end_where(e, r);
	if (!(r->flags & DGRAM_F_KERNEL))
		socket_add_end(t, e);
	return e;
}

int dgram_record(struct flow_table *t, const struct rec_dgram *r)
{
	struct flow_end *e = end_find_of(t, &r->key, r->start_ns);

	if (!e) {
		e = dgram_end_new(t, r);
		if (!e)
			return -ENOMEM;
		if (r->action != DGRAM_ACT_OPEN && !e->conv->is_waiting)
			e->conv->opened = true; /* its open was not seen */
	}
	e->ts_ns = r->h.ts_ns;
	dgram_end_count(e, &r->n);
	end_set_owners(t, e, &r->user, &r->opener);
	switch ((enum dgram_action)r->action) {
	case DGRAM_ACT_OPEN: end_opened(t, e); break;
	case DGRAM_ACT_UPDATE: end_changed(t, e); break;
	case DGRAM_ACT_CLOSE:
		dgram_end_over(e, r->h.ts_ns, REASON_UNKNOWN, PARTY_SOURCE);
		end_closed(t, e);
		break;
	case DGRAM_ACT_IDLE:
		dgram_end_over(e, r->h.ts_ns, REASON_IDLE, PARTY_KERNEL);
		end_closed(t, e);
		break;
	}
	return 0;
}

void dgram_owner_record(struct flow_table *t, const struct rec_owner *r)
{
	struct flow_socket *s = socket_find(t, r->cookie);
	struct flow_end *e;

	if (!s)
		return;
	LIST_FOREACH(e, &s->ends, of_socket)
	end_set_owners(t, e, &r->user, &r->opener);
}

/*
 * Last figures out of the kernel's map, where the flow stood until now. False: it is left there, as
 * it received more than @max_rx_packets.
 */
static bool dgram_end_take(struct flow_table *t, struct flow_end *e, uint64_t max_rx_packets)
{
	struct dgram_flow f;
	int err = t->resolver.take_dgram(t->resolver.arg, &e->key, max_rx_packets, &f);

	if (err == -EAGAIN)
		return false;
	if (err)
		e->unsure = true;
	else
		dgram_end_count(e, &f.n);
	return true;
}

void dgram_release_record(struct flow_table *t, const struct rec_release *r)
{
	struct flow_socket *s = socket_find(t, r->cookie);
	struct flow_end *e, *next;

	for (e = s ? LIST_FIRST(&s->ends) : NULL; e; e = next) {
		next = LIST_NEXT(e, of_socket); /* closing may free this one, and the socket */
		if (e->closed)
			continue;
		dgram_end_take(t, e, UINT64_MAX);
		end_set_owners(t, e, &r->user, &r->opener);
		dgram_end_over(e, r->h.ts_ns, REASON_UNKNOWN, PARTY_SOURCE);
		end_closed(t, e);
	}
}

/* More than the closed end sent: a socket that came after it, with the same address, is at work. */
static uint64_t dgram_most_packets(const struct flow_end *e, const struct flow_end *closed,
				   uint64_t now_ns)
{
	if (closed->unsure || now_ns - closed->ts_ns > SUCCESSOR_NS)
		return UINT64_MAX;
	return e->base.rx_packets + closed->tx_packets;
}

bool dgram_take_rest(struct flow_table *t, struct conversation *c, uint64_t now_ns)
{
	for (int side = 0; side < N_SIDES; side++) {
		struct flow_end *e = c->end[side], *other = c->end[!side];

		if (!e || e->closed)
			continue;
		if (!dgram_end_take(t, e, dgram_most_packets(e, other, now_ns)))
			return false;
		dgram_end_over(e, other->ts_ns, other->reason, PARTY_DESTINATION);
		e->closed = true;
	}
	return true;
}
