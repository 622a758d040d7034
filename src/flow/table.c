// SPDX-License-Identifier: Apache-2.0
#include "flow/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "flow/hops.h"
#include "flow/table_private.h"

/* --- ends and conversations --- */

static bool end_is_tcp(const struct flow_end *e)
{
	return e->key.proto == IPPROTO_TCP;
}

static void end_hash(struct flow_table *t, struct flow_end *e)
{
	if (end_is_tcp(e))
		HASH_ADD(hh, t->tcp_ends, key.cookie, sizeof(e->key.cookie), e);
	else
		HASH_ADD(hh, t->dgram_ends, key, sizeof(e->key), e);
	e->is_hashed = true;
}

static void end_unhash(struct flow_table *t, struct flow_end *e)
{
	if (e->is_hashed && end_is_tcp(e))
		HASH_DEL(t->tcp_ends, e);
	else if (e->is_hashed)
		HASH_DEL(t->dgram_ends, e);
	e->is_hashed = false;
}

struct flow_end *end_find(struct flow_table *t, const struct dgram_key *key)
{
	struct flow_end *e;

	if (key->proto == IPPROTO_TCP)
		HASH_FIND(hh, t->tcp_ends, &key->cookie, sizeof(key->cookie), e);
	else
		HASH_FIND(hh, t->dgram_ends, key, sizeof(*key), e);
	if (!e || !e->closed)
		return e;
	end_unhash(t, e); /* a socket that is used again, before its first end was told */
	return NULL;
}

/* What passes devices with its addresses is no conversation of its own. */
static void end_own(struct flow_table *t, const struct flow_end *e, bool begins)
{
	struct ip_view view = end_view(e);

	(begins ? hops_own : hops_disown)(t->hops, &view, e->conv->transport);
}

/* The same of those that translation made of them. */
static void conversation_own(struct flow_table *t, const struct conversation *c, bool begins)
{
	if (c->far)
		(begins ? hops_own : hops_disown)(t->hops, c->far, c->transport);
}

struct flow_end *end_new(struct flow_table *t, const struct dgram_key *key,
			 struct conversation *conv, enum flow_which side)
{
	struct flow_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->key = *key;
	e->conv = conv;
	e->side = side;
	conv->end[side] = e;
	end_hash(t, e);
	end_own(t, e, true);
	return e;
}

static void end_free(struct flow_table *t, struct flow_end *e)
{
	if (!e)
		return;
	end_unhash(t, e);
	end_own(t, e, false);
	dgram_end_gone(t, e);
	process_unref(e->process);
	process_unref(e->opened_by);
	free(e->asked);
	free(e);
}

struct conversation *conversation_new(struct flow_table *t, uint64_t id,
				      enum flow_transport transport)
{
	struct conversation *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->id = id;
	c->transport = transport;
	if (transport == TRANSPORT_TCP)
		HASH_ADD(hh, t->tcp, id, sizeof(c->id), c);
	t->n_conversations++;
	t->n_seen++;
	return c;
}

static void conversation_stop_waiting(struct flow_table *t, struct conversation *c)
{
	if (c->is_waiting)
		TAILQ_REMOVE(&t->waiting, c, waiting);
	c->is_waiting = false;
}

static void conversation_free(struct flow_table *t, struct conversation *c)
{
	conversation_stop_waiting(t, c);
	if (c->is_changed)
		TAILQ_REMOVE(&t->changed, c, changed);
	if (c->transport == TRANSPORT_TCP)
		HASH_DEL(t->tcp, c);
	else
		dgram_conversation_gone(t, c);
	end_free(t, c->end[SOURCE]);
	end_free(t, c->end[DESTINATION]);
	conversation_own(t, c, false);
	free(c->far);
	free(c);
	t->n_conversations--;
}

void conversation_merge(struct flow_table *t, struct conversation *to, struct conversation *from)
{
	for (int side = 0; side < N_SIDES; side++) {
		if (!from->end[side])
			continue;
		to->end[side] = from->end[side];
		to->end[side]->conv = to;
		from->end[side] = NULL;
	}
	conversation_free(t, from);
	t->n_seen--;
}

static bool owner_is(const struct owner *o, const struct process *p)
{
	return p && o->tgid == p->pid && o->start_ns == p->start_ns;
}

static void end_set_process(struct flow_table *t, struct process **p, const struct owner *o)
{
	if (!o->tgid || (owner_is(o, *p) && o->exec_id == (*p)->exec_id))
		return;
	process_unref(*p);
	*p = t->resolver.process(t->resolver.arg, o);
}

void end_set_owners(struct flow_table *t, struct flow_end *e, const struct owner *user,
		    const struct owner *opener)
{
	end_set_process(t, &e->process, user);
	if (!owner_is(opener, e->process))
		end_set_process(t, &e->opened_by, opener);
	else
		e->opened_by = process_unref(e->opened_by);
}

int end_set_asked(struct flow_end *e, const struct rec_asked *asked)
{
	if (e->asked || !asked->family)
		return 0;
	e->asked = malloc(sizeof(*e->asked));
	if (!e->asked)
		return -ENOMEM;
	e->asked->ip = ip_from_abi(asked->family, asked->addr);
	e->asked->port = asked->port;
	return 0;
}

/* --- telling --- */

static void conversation_tell(struct flow_table *t, struct conversation *c, enum flow_action action,
			      unsigned int speak, bool last)
{
	struct event event = { .kind = EVENT_FLOW };
	struct flow_side *sides[N_SIDES] = { &event.flow.source, &event.flow.destination };

	conversation_event(c, action, speak, t->clock_ns, &event.flow);
	event.flow.last = last;
	for (int side = 0; side < N_SIDES; side++)
		if (sides[side]->has & SIDE_HAS_NETNS)
			sides[side]->netns_name = t->resolver.netns_name(t->resolver.arg,
									 sides[side]->netns_cookie);
	t->emit(t->arg, &event);
}

static void conversation_wait(struct flow_table *t, struct conversation *c, uint64_t from_ns)
{
	if (c->is_waiting)
		return;
	c->deadline_ns = from_ns + FLOW_JOIN_NS;
	c->is_waiting = true;
	TAILQ_INSERT_TAIL(&t->waiting, c, waiting);
}

static void conversation_tell_open(struct flow_table *t, struct conversation *c)
{
	conversation_stop_waiting(t, c);
	c->opened = true;
	conversation_tell(t, c, FLOW_OPEN, conversation_ends(c), false);
}

/* Is there nobody left that could still say how it ended? */
static bool conversation_all_closed(const struct conversation *c)
{
	for (int side = 0; side < N_SIDES; side++)
		if (c->end[side] && !c->end[side]->closed)
			return false;
	return true;
}

/* Tell the end of those ends that are closed; free the conversation if none is left. */
static void conversation_tell_close(struct flow_table *t, struct conversation *c)
{
	unsigned int closed;
	bool last;

	conversation_stop_waiting(t, c);
	closed = conversation_closed(c);
	last = conversation_all_closed(c);
	conversation_tell(t, c, FLOW_CLOSE, closed, last);
	if (last) {
		conversation_free(t, c);
		return;
	}
	for (int side = 0; side < N_SIDES; side++) {
		if (!(closed & 1U << side))
			continue;
		c->end[side]->told = true;
		end_unhash(t, c->end[side]);
	}
}

static bool conversation_joined(const struct conversation *c)
{
	return c->end[SOURCE] && c->end[DESTINATION];
}

/* --- what happened to an end --- */

/* Of its last records some were lost: it is over, that is all. */
static void end_lost(struct flow_table *t, struct flow_end *e)
{
	e->unsure = true;
	e->closed = true;
	conversation_wait(t, e->conv, e->ts_ns);
}

struct flow_end *end_find_of(struct flow_table *t, const struct dgram_key *key, uint64_t start_ns)
{
	struct flow_end *e = end_find(t, key);

	if (!e || e->start_ns == start_ns)
		return e;
	end_lost(t, e);
	end_unhash(t, e);
	return NULL;
}

void end_opened(struct flow_table *t, struct flow_end *e)
{
	struct conversation *c = e->conv;

	if (c->opened) /* the other end's open was told long ago */
		conversation_tell(t, c, FLOW_OPEN, 1U << e->side, false);
	else if (conversation_joined(c))
		conversation_tell_open(t, c);
	else
		conversation_wait(t, c, e->ts_ns);
}

void end_changed(struct flow_table *t, struct flow_end *e)
{
	struct conversation *c = e->conv;

	if (c->is_changed)
		return;
	c->is_changed = true;
	TAILQ_INSERT_TAIL(&t->changed, c, changed);
}

void end_closed(struct flow_table *t, struct flow_end *e)
{
	struct conversation *c = e->conv;

	e->closed = true;
	if (!c->opened && conversation_joined(c))
		conversation_tell_open(t, c);
	if (c->opened && conversation_all_closed(c))
		conversation_tell_close(t, c);
	else
		conversation_wait(t, c, e->ts_ns);
}

void end_failed(struct flow_table *t, struct flow_end *e)
{
	struct conversation *c = e->conv;

	conversation_tell(t, c, FLOW_FAIL, 1U << e->side, true);
	conversation_free(t, c);
}

/* --- what became of addresses on the way --- */

static bool conversation_can_ask(const struct conversation *c)
{
	return !c->asked && !c->opened && !conversation_joined(c) &&
	       (c->transport == TRANSPORT_TCP || c->transport == TRANSPORT_UDP);
}

static void conversation_ask(struct flow_table *t, struct conversation *c)
{
	enum { HOLDS = 2 };
	const struct flow_end *e = c->end[SOURCE] ? c->end[SOURCE] : c->end[DESTINATION];
	struct flow_question q = { .key = e->key,
				   .start_ns = e->start_ns,
				   .netns_cookie = e->netns_cookie,
				   .view = end_view(e),
				   .sure = e->translated };

	c->asked = true;
	if (!ip_is_multicast(&q.view.remote) && !t->resolver.ask(t->resolver.arg, &q))
		c->n_holds = HOLDS;
}

/* True: what it was is asked, and it is waited for the answer, once more. */
static bool conversation_hold(struct flow_table *t, struct conversation *c, uint64_t now_ns)
{
	if (now_ns == UINT64_MAX || !t->resolver.ask)
		return false;
	if (conversation_can_ask(c))
		conversation_ask(t, c);
	if (!c->n_holds || c->opened || conversation_joined(c) || c->far)
		return false;
	c->n_holds--;
	conversation_wait(t, c, now_ns);
	return true;
}

/* What waited for the other end has waited long enough. */
static void conversation_waited(struct flow_table *t, struct conversation *c, uint64_t now_ns)
{
	conversation_stop_waiting(t, c);
	if (conversation_hold(t, c, now_ns))
		return;
	if (!c->opened)
		conversation_tell_open(t, c);
	if (!conversation_closed(c))
		return;
	if (c->transport == TRANSPORT_TCP || dgram_take_rest(t, c, now_ns))
		conversation_tell_close(t, c);
	else
		conversation_wait(t, c, now_ns);
}

void flow_table_tick(struct flow_table *t, uint64_t now_ns)
{
	struct conversation *c;

	while ((c = TAILQ_FIRST(&t->waiting)) && c->deadline_ns <= now_ns)
		conversation_waited(t, c, now_ns);
}

/* The end that a question was about, also if it is closed by now. */
static struct flow_end *end_of_answer(struct flow_table *t, const struct flow_answer *a)
{
	struct flow_end *e;

	if (a->key.proto == IPPROTO_TCP)
		HASH_FIND(hh, t->tcp_ends, &a->key.cookie, sizeof(a->key.cookie), e);
	else
		HASH_FIND(hh, t->dgram_ends, &a->key, sizeof(a->key), e);
	return e && e->start_ns == a->start_ns ? e : NULL;
}

/* Join the two, of which one at most was told: its id is the one that stays. */
static struct conversation *conversation_join(struct flow_table *t, struct conversation *c,
					      struct conversation *other)
{
	struct conversation *to = c->opened ? c : other, *from = c->opened ? other : c;
	unsigned int side = conversation_ends(from);

	conversation_merge(t, to, from);
	if (to->opened)
		conversation_tell(t, to, FLOW_OPEN, side, false);
	return to;
}

/* Keep the other end's view, and join what it makes possible. */
static struct conversation *conversation_translated(struct flow_table *t, struct conversation *c,
						    const struct ip_view *far)
{
	struct conversation *other;

	c->far = malloc(sizeof(*c->far));
	if (!c->far)
		return c;
	*c->far = *far;
	conversation_own(t, c, true);
	other = c->transport == TRANSPORT_UDP ? dgram_translated(t, c) : NULL;
	return other && !(c->opened && other->opened) ? conversation_join(t, c, other) : c;
}

/* It is known now what there is to know at its begin: tell that, and what came since. */
static void conversation_go_on(struct flow_table *t, struct conversation *c, uint64_t now_ns)
{
	if (!c->opened)
		conversation_tell_open(t, c);
	if (!conversation_closed(c))
		return;
	if (conversation_all_closed(c))
		conversation_tell_close(t, c);
	else
		conversation_wait(t, c, now_ns);
}

void flow_table_answer(struct flow_table *t, const struct flow_answer *a, uint64_t now_ns)
{
	struct flow_end *e = end_of_answer(t, a);
	struct conversation *c = e ? e->conv : NULL;

	if (!c || conversation_joined(c) || c->far)
		return;
	c->n_holds = 0;
	if (!a->translated && c->is_waiting && !c->opened)
		conversation_waited(t, c, now_ns);
	if (!a->translated)
		return;
	c = conversation_translated(t, c, &a->far);
	if (conversation_joined(c))
		conversation_go_on(t, c, now_ns);
}

/* Ends that can still tell of changes. */
static unsigned int conversation_live(const struct conversation *c)
{
	unsigned int bits = 0;

	for (int side = 0; side < N_SIDES; side++)
		if (c->end[side] && !c->end[side]->closed)
			bits |= 1U << side;
	return bits;
}

static size_t n_ends(const struct flow_table *t)
{
	return HASH_COUNT(t->tcp_ends) + HASH_COUNT(t->dgram_ends);
}

/* Room for the keys of all ends, and some to spare. */
static bool keys_reserve(struct flow_table *t)
{
	size_t n = n_ends(t);
	struct dgram_key *keys;

	if (n <= t->n_keys)
		return true;
	n += n / 4;
	keys = reallocarray(t->keys, n, sizeof(*keys));
	if (!keys)
		return false;
	t->keys = keys;
	t->n_keys = n;
	return true;
}

static size_t keys_add(struct flow_table *t, struct flow_end *ends, uint64_t before_ns, size_t n)
{
	for (struct flow_end *e = ends; e; e = e->hh.next)
		if (!e->closed && e->start_ns < before_ns)
			t->keys[n++] = e->key;
	return n;
}

size_t flow_table_live(struct flow_table *t, uint64_t before_ns, const struct dgram_key **ret_keys)
{
	size_t n;

	if (!keys_reserve(t))
		return 0;
	n = keys_add(t, t->tcp_ends, before_ns, 0);
	n = keys_add(t, t->dgram_ends, before_ns, n);
	*ret_keys = t->keys;
	return n;
}

void flow_table_swept(struct flow_table *t)
{
	struct conversation *c;
	unsigned int live;

	while ((c = TAILQ_FIRST(&t->changed))) {
		TAILQ_REMOVE(&t->changed, c, changed);
		c->is_changed = false;
		live = conversation_live(c);
		if (c->opened && live)
			conversation_tell(t, c, FLOW_UPDATE, live, false);
	}
}

void flow_table_gone(struct flow_table *t, const struct dgram_key *key, uint64_t asked_ns)
{
	struct flow_end *e = end_find(t, key);

	if (e && e->start_ns < asked_ns)
		end_lost(t, e);
}

/* --- the table --- */

struct flow_table *flow_table_new(const struct flow_resolver *resolver, event_fn emit, void *arg)
{
	struct flow_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->resolver = *resolver;
	t->emit = emit;
	t->arg = arg;
	TAILQ_INIT(&t->waiting);
	TAILQ_INIT(&t->changed);
	return t;
}

void flow_table_free(struct flow_table *t)
{
	struct conversation *c;

	if (!t)
		return;
	/* A conversation has an end that is open, or waits for its close to be told. */
	while ((c = TAILQ_FIRST(&t->waiting)))
		conversation_free(t, c);
	while (t->tcp_ends)
		conversation_free(t, t->tcp_ends->conv);
	while (t->dgram_ends)
		conversation_free(t, t->dgram_ends->conv);
	listeners_free(t);
	flow_sums_free(t);
	hops_free(t->hops);
	free(t->keys);
	free(t);
}

void flow_table_set_clock(struct flow_table *t, int64_t realtime_offset_ns)
{
	t->clock_ns = realtime_offset_ns;
}

/* A redirected connection's record, and only that, has what was asked for behind it. */
static size_t tcp_record_size(const struct rec_hdr *rec, size_t size)
{
	bool redirected = size >= sizeof(struct rec_tcp) &&
			  ((const struct rec_tcp *)rec)->flags & TCP_F_REDIRECTED;

	return redirected ? sizeof(struct rec_tcp_asked) : sizeof(struct rec_tcp);
}

int flow_table_record(struct flow_table *t, const struct rec_hdr *rec, size_t size)
{
	const size_t sizes[] = { [REC_TCP] = tcp_record_size(rec, size),
				 [REC_DGRAM] = sizeof(struct rec_dgram),
				 [REC_OWNER] = sizeof(struct rec_owner),
				 [REC_RELEASE] = sizeof(struct rec_release),
				 [REC_DEVICE_FLOW] = sizeof(struct rec_devflow) };

	if (size < sizeof(*rec))
		return -EBADMSG;
	if (rec->type >= ARRAY_SIZE(sizes) || !sizes[rec->type])
		return 0;
	if (size != sizes[rec->type])
		return -EBADMSG;
	hops_pass_time(t->hops, rec->ts_ns);
	switch ((enum rec_type)rec->type) {
	case REC_TCP: return tcp_record(t, (const struct rec_tcp *)rec);
	case REC_DGRAM: return dgram_record(t, (const struct rec_dgram *)rec);
	case REC_OWNER: dgram_owner_record(t, (const struct rec_owner *)rec); return 0;
	case REC_RELEASE: dgram_release_record(t, (const struct rec_release *)rec); return 0;
	case REC_DEVICE_FLOW: return hops_record(t->hops, (const struct rec_devflow *)rec);
	case REC_PROCESS:
	case REC_CGROUP: break;
	}
	return 0;
}

int flow_table_see_devices(struct flow_table *t, const struct flow_devices *o)
{
	t->hops = t->hops ?: hops_new(t, o);
	return t->hops ? 0 : -ENOMEM;
}

void flow_table_collected(struct flow_table *t, uint64_t before_ns)
{
	hops_collected(t->hops, before_ns);
}

void flow_table_usage(const struct flow_table *t, struct flow_usage *ret)
{
	*ret = (struct flow_usage){ .ends = n_ends(t),
				    .dgram_ends = HASH_COUNT(t->dgram_ends),
				    .conversations = t->n_conversations,
				    .seen = t->n_seen };
	ret->bytes = ret->ends * sizeof(struct flow_end) +
		     ret->conversations * sizeof(struct conversation);
	hops_usage(t->hops, ret);
}
