// SPDX-License-Identifier: Apache-2.0
#include "flow/hops.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "flow/table_private.h"

/* How long after its owner's end a tuple is taken for its: a sweep's pace, and then some. */
#define OWNED_AFTER_NS (4 * NS_PER_SEC)

/* A packet takes at most so long from one namespace to the next. */
#define ON_ITS_WAY_NS NS_PER_SEC

/* And from a bridge's port to the bridge, or back. */
#define AT_ONCE_NS NS_PER_MS

/* --- keys --- */

static int ip_compare(const struct ip_addr *a, uint16_t a_port, const struct ip_addr *b,
		      uint16_t b_port)
{
	int order = memcmp(a->bytes, b->bytes, sizeof(a->bytes));

	return order ?: (int)a_port - (int)b_port;
}

/* The key of a conversation seen from one side; true: that side is the high one. */
static bool hop_key_of(const struct ip_view *v, enum flow_transport transport, bool has_ports,
		       struct hop_key *ret)
{
	bool echo = transport != TRANSPORT_TCP && transport != TRANSPORT_UDP;
	uint16_t local = v->local_port, remote = echo ? v->local_port : v->remote_port;
	bool high = ip_compare(&v->local, local, &v->remote, remote) > 0;

	memset(ret, 0, sizeof(*ret));
	ret->low = high ? v->remote : v->local;
	ret->high = high ? v->local : v->remote;
	ret->low_port = high ? remote : local;
	ret->high_port = high ? local : remote;
	ret->transport = (uint16_t)transport;
	ret->has_ports = has_ports;
	return high;
}

/* -1: none that is told. */
static int transport_of(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP: return TRANSPORT_TCP;
	case IPPROTO_UDP: return TRANSPORT_UDP;
	case IPPROTO_ICMP: return TRANSPORT_ICMP;
	case IPPROTO_ICMPV6: return TRANSPORT_ICMP6;
	}
	return -1;
}

/* --- tuples --- */

static struct hop_tuple *tuple_find(struct hop_table *h, const struct hop_key *key)
{
	struct hop_tuple *t;

	HASH_FIND(hh, h->tuples, key, sizeof(*key), t);
	return t;
}

static struct hop_tuple *tuple_get(struct hop_table *h, const struct hop_key *key)
{
	struct hop_tuple *t = tuple_find(h, key);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->key = *key;
	HASH_ADD(hh, h->tuples, key, sizeof(t->key), t);
	return t;
}

static bool tuple_is_owned(const struct hop_table *h, const struct hop_tuple *t)
{
	return t->n_owners || t->owned_until_ns > h->now_ns;
}

/* Free it if it holds nothing. */
static void tuple_put(struct hop_table *h, struct hop_tuple *t)
{
	if (t->n_owners || t->is_freed || t->is_changed || !SLIST_EMPTY(&t->hops) ||
	    !LIST_EMPTY(&t->passages))
		return;
	HASH_DEL(h->tuples, t);
	free(t);
}

static void tuple_changed(struct hop_table *h, struct hop_tuple *t)
{
	if (!t->is_changed)
		TAILQ_INSERT_TAIL(&h->changed, t, changed);
	t->is_changed = true;
}

/* It is its owner's until then. */
static void tuple_owned_until(struct hop_table *h, struct hop_tuple *t, uint64_t until_ns)
{
	if (t->is_freed)
		TAILQ_REMOVE(&h->freed, t, freed);
	t->is_freed = true;
	t->owned_until_ns = until_ns;
	TAILQ_INSERT_TAIL(&h->freed, t, freed);
}

void hops_own(struct hop_table *h, const struct ip_view *v, enum flow_transport transport)
{
	struct hop_key key;
	struct hop_tuple *t;

	if (!h)
		return;
	hop_key_of(v, transport, true, &key);
	t = tuple_get(h, &key);
	if (t)
		t->n_owners++;
}

void hops_disown(struct hop_table *h, const struct ip_view *v, enum flow_transport transport)
{
	struct hop_key key;
	struct hop_tuple *t;

	if (!h)
		return;
	hop_key_of(v, transport, true, &key);
	t = tuple_find(h, &key);
	if (!t || !t->n_owners || --t->n_owners)
		return;
	tuple_owned_until(h, t, h->now_ns + OWNED_AFTER_NS);
}

/* --- passages --- */

static uint64_t words_mixed(const void *data, size_t size, uint64_t seed)
{
	uint64_t word;

	for (size_t i = 0; i + sizeof(word) <= size; i += sizeof(word)) {
		memcpy(&word, (const char *)data + i, sizeof(word));
		seed = mix64(seed ^ word);
	}
	return seed;
}

static struct passage *passage_new(struct hop_table *h, struct hop_tuple *t, const struct hop *hop)
{
	struct passage *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tuple = t;
	p->id = words_mixed(&t->key, sizeof(t->key),
			    hop->netns_cookie ^ (uint64_t)hop->ifindex << 32 ^ hop->first_ns);
	p->first_ns = hop->first_ns;
	p->source_high = hop->high;
	LIST_INSERT_HEAD(&t->passages, p, same);
	TAILQ_INSERT_TAIL(&h->by_time, p, by_time);
	h->n_passages++;
	h->flows->n_seen++;
	return p;
}

static void hop_free(struct hop_table *h, struct hop_tuple *t, struct hop *hop)
{
	SLIST_REMOVE(&t->hops, hop, hop, next);
	free(hop);
	h->n_hops--;
}

/* Free those hops of the tuple that are of @p; NULL: of none. */
static void tuple_free_hops(struct hop_table *h, struct hop_tuple *t, const struct passage *p)
{
	struct hop *hop = SLIST_FIRST(&t->hops), *next;

	for (; hop; hop = next) {
		next = SLIST_NEXT(hop, next);
		if (hop->passage == p)
			hop_free(h, t, hop);
	}
}

static void passage_free(struct hop_table *h, struct passage *p)
{
	struct hop_tuple *t = p->tuple;

	tuple_free_hops(h, t, p);
	LIST_REMOVE(p, same);
	TAILQ_REMOVE(&h->by_time, p, by_time);
	if (p->is_over)
		TAILQ_REMOVE(&h->over, p, over);
	free(p);
	h->n_passages--;
	tuple_put(h, t);
}

static void passage_tell(struct hop_table *h, struct passage *p, enum flow_action action)
{
	struct flow_table *flows = h->flows;
	const struct flow_resolver *r = &flows->resolver;
	struct flow_hop hops[PASSAGE_HOPS_MAX];
	struct event event = { .kind = EVENT_FLOW };

	passage_event(p, action, flows->clock_ns, hops, &event.flow);
	for (size_t i = 0; i < event.flow.n_hops; i++) {
		hops[i].netns_name = r->netns_name(r->arg, hops[i].netns_cookie);
		if (r->device_name)
			hops[i].device = r->device_name(r->arg, hops[i].netns_cookie,
							hops[i].ifindex);
	}
	p->opened = true;
	p->changed = false;
	flows->emit(flows->arg, &event);
}

/* It was told of, or not yet: tell all that there is, and its end. */
static void passage_close(struct hop_table *h, struct passage *p)
{
	if (!p->opened)
		passage_tell(h, p, FLOW_OPEN);
	passage_tell(h, p, FLOW_CLOSE);
	passage_free(h, p);
}

/* Is there nobody left whose end was not seen? */
static bool passage_has_ended(const struct passage *p)
{
	const struct hop *hop;

	SLIST_FOREACH(hop, &p->tuple->hops, next)
	{
		if (hop->passage == p && !p->ended[hop->high])
			return p->reset;
	}
	return p->tuple->key.transport == TRANSPORT_TCP;
}

/* Who began, and who ended it? */
static void passage_flags(struct passage *p, const struct hop *hop)
{
	enum flow_party sender = hop->high == p->source_high ? PARTY_SOURCE : PARTY_DESTINATION;
	bool first = !p->ended[0] && !p->ended[1];

	if (hop->flags & DEVFLOW_F_BEGIN && !p->opened) {
		p->begun = true;
		p->source_high = hop->high;
		sender = PARTY_SOURCE;
	}
	if (hop->flags & DEVFLOW_F_RST && !p->reset) {
		p->reset = true;
		p->closed_by = (uint8_t)sender;
	}
	if (!(hop->flags & DEVFLOW_F_FIN))
		return;
	p->ended[hop->high] = 1;
	if (first && !p->reset)
		p->closed_by = (uint8_t)sender;
}

/* Take over what came to one of its hops. */
static void passage_take(struct hop_table *h, struct passage *p, struct hop *hop)
{
	hop->passage = p;
	p->changed = true;
	p->round = h->round;
	if (hop->last_ns > p->last_ns)
		p->last_ns = hop->last_ns;
	passage_flags(p, hop);
	hop->flags = 0;
	TAILQ_REMOVE(&h->by_time, p, by_time);
	TAILQ_INSERT_TAIL(&h->by_time, p, by_time);
	if (p->is_over || !passage_has_ended(p))
		return;
	p->is_over = true;
	TAILQ_INSERT_TAIL(&h->over, p, over);
}

/* --- which hops make one path --- */

static bool hop_same_device(const struct hop *a, const struct hop *b)
{
	return a->ifindex == b->ifindex && a->netns_cookie == b->netns_cookie;
}

static uint64_t hop_apart_ns(const struct hop *a, const struct hop *b)
{
	return a->first_ns > b->first_ns ? a->first_ns - b->first_ns : b->first_ns - a->first_ns;
}

/* Did the same packet open both, on one way? */
static bool hop_same_packet(const struct hop *a, const struct hop *b)
{
	return a->high == b->high && a->first_is == b->first_is &&
	       hop_apart_ns(a, b) <= ON_ITS_WAY_NS;
}

/* Another hop of its namespace that stands for the same step of the path. */
static bool passage_has_like(const struct passage *p, const struct hop *hop)
{
	const struct hop *other;

	SLIST_FOREACH(other, &p->tuple->hops, next)
	{
		if (other->passage == p && other->netns_cookie == hop->netns_cookie &&
		    other->direction == hop->direction && other->high == hop->high)
			return true;
	}
	return false;
}

/* Out of one namespace and into the next: each way out leads to one way in. */
static bool hop_leads(const struct hop *hop, const struct hop *other)
{
	const struct hop *out = hop->direction == DEVFLOW_TX ? hop : other;
	const struct hop *in = out == hop ? other : hop;

	return out->direction != in->direction && !other->is_led && !hop->is_led &&
	       out->first_ns <= in->first_ns && hop_same_packet(hop, other);
}

/* How well @hop goes with @other, a hop of a passage. 0: not at all. */
static int hop_fit(const struct hop *hop, const struct hop *other)
{
	bool here = hop->netns_cookie == other->netns_cookie;

	if (hop_same_device(hop, other))
		return 4;
	if (here && hop_same_packet(hop, other) &&
	    (hop_apart_ns(hop, other) <= AT_ONCE_NS || !passage_has_like(other->passage, hop)))
		return 3;
	if (!here && hop_leads(hop, other))
		return 2;
	/* Both were under way already when they were first looked at. */
	return here && !passage_has_like(other->passage, hop) ? 1 : 0;
}

/* The hop of a passage with which it goes best: of equals the nearest in time. */
static struct hop *hop_partner(const struct hop_tuple *t, const struct hop *hop)
{
	struct hop *other, *best = NULL;
	int fit, best_fit = 0;

	SLIST_FOREACH(other, &t->hops, next)
	{
		if (!other->passage)
			continue;
		fit = hop_fit(hop, other);
		if (fit < best_fit || !fit)
			continue;
		if (fit == best_fit && hop_apart_ns(hop, other) >= hop_apart_ns(hop, best))
			continue;
		best = other;
		best_fit = fit;
	}
	return best;
}

/* Find the passage of a hop that has none; in the order of time, so that a path grows forward. */
static void hop_settle(struct hop_table *h, struct hop_tuple *t, struct hop *hop)
{
	struct hop *partner = hop_partner(t, hop);
	struct passage *p = partner ? partner->passage : passage_new(h, t, hop);

	if (!p) {
		h->n_lost++;
		hop_free(h, t, hop);
		return;
	}
	if (partner && partner->netns_cookie != hop->netns_cookie)
		partner->is_led = hop->is_led = true;
	passage_take(h, p, hop);
}

/* --- records --- */

static struct hop *hop_find(const struct hop_tuple *t, const struct devflow_key *key, bool high)
{
	struct hop *hop;

	SLIST_FOREACH(hop, &t->hops, next)
	{
		if (hop->ifindex == key->ifindex && hop->netns_cookie == key->netns_cookie &&
		    hop->direction == key->direction && hop->high == high)
			return hop;
	}
	return NULL;
}

/* Into its place by time. */
static void hop_insert(struct hop_tuple *t, struct hop *hop)
{
	struct hop *before = NULL, *other;

	SLIST_FOREACH(other, &t->hops, next)
	{
		if (other->first_ns > hop->first_ns)
			break;
		before = other;
	}
	if (before)
		SLIST_INSERT_AFTER(before, hop, next);
	else
		SLIST_INSERT_HEAD(&t->hops, hop, next);
}

/* NULL: there is no room. */
static struct hop *hop_new(struct hop_table *h, struct hop_tuple *t, const struct devflow *f,
			   bool high)
{
	struct hop *hop = h->n_hops < h->max_hops ? calloc(1, sizeof(*hop)) : NULL;

	if (!hop)
		return NULL;
	h->n_hops++;
	hop->netns_cookie = f->key.netns_cookie;
	hop->netns_inode = f->key.netns_inode;
	hop->ifindex = f->key.ifindex;
	hop->direction = f->key.direction;
	hop->high = high;
	hop->first_ns = f->first_ns;
	hop->first_is = f->first_is;
	hop_insert(t, hop);
	return hop;
}

/* Records of several CPUs don't come in the order of time. */
static void hop_add(struct hop_tuple *t, struct hop *hop, const struct devflow *f)
{
	if (!hop->passage && f->first_ns < hop->first_ns) {
		SLIST_REMOVE(&t->hops, hop, hop, next);
		hop->first_ns = f->first_ns;
		hop->first_is = f->first_is;
		hop_insert(t, hop);
	}
	hop->packets += f->packets;
	hop->bytes += f->bytes;
	hop->flags |= f->flags;
	if (f->last_ns > hop->last_ns)
		hop->last_ns = f->last_ns;
}

/* What is its owner's is told by its owner. */
static void tuple_give_up(struct hop_table *h, struct hop_tuple *t)
{
	struct passage *p, *next;

	tuple_free_hops(h, t, NULL);
	for (p = LIST_FIRST(&t->passages); p; p = next) {
		next = LIST_NEXT(p, same);
		if (!p->opened)
			passage_free(h, p);
	}
}

/* The same addresses begin anew, behind an end. */
static void tuple_begin_anew(struct hop_table *h, struct hop_tuple *t, const struct devflow *f)
{
	struct passage *p, *next;

	if (!(f->flags & DEVFLOW_F_BEGIN))
		return;
	for (p = LIST_FIRST(&t->passages); p; p = next) {
		next = LIST_NEXT(p, same);
		if (p->is_over && p->last_ns < f->first_ns)
			passage_close(h, p);
	}
}

static bool hop_tuple_of(const struct devflow *f, struct hop_key *ret, bool *ret_high)
{
	int transport = transport_of(f->key.proto);
	struct ip_view v = { .local = ip_from_abi(f->key.family, f->key.saddr),
			     .remote = ip_from_abi(f->key.family, f->key.daddr),
			     .local_port = f->key.sport,
			     .remote_port = f->key.dport };

	if (transport < 0)
		return false;
	*ret_high = hop_key_of(&v, (enum flow_transport)transport, f->key.has_ports, ret);
	return true;
}

/* An owner's packet, by what hangs on it or by its addresses. */
static void hops_record_owned(struct hop_table *h, struct hop_tuple *t, const struct devflow *f)
{
	uint64_t until_ns = f->last_ns + OWNED_AFTER_NS;

	h->n_owned++;
	if (!t->n_owners && until_ns > t->owned_until_ns)
		tuple_owned_until(h, t, until_ns);
	tuple_give_up(h, t);
}

int hops_record(struct hop_table *h, const struct rec_devflow *r)
{
	const struct devflow *f = &r->flow;
	struct hop_tuple *t;
	struct hop_key key;
	struct hop *hop;
	bool high;

	if (!h || !hop_tuple_of(f, &key, &high))
		return 0;
	t = tuple_get(h, &key);
	if (t && (f->flags & DEVFLOW_F_LOCAL || tuple_is_owned(h, t))) {
		tuple_changed(h, t);
		hops_record_owned(h, t, f);
		return 0;
	}
	if (t) {
		tuple_changed(h, t);
		tuple_begin_anew(h, t, f);
	}
	hop = t ? hop_find(t, &f->key, high) ?: hop_new(h, t, f, high) : NULL;
	if (!hop) {
		h->n_lost++;
		return 0;
	}
	hop_add(t, hop, f);
	if (hop->passage)
		passage_take(h, hop->passage, hop);
	return 0;
}

/* --- rounds --- */

/*
 * Of a hop that came later, one before it on the way may stand in a table still: it has to wait.
 * True: there are some of these.
 */
static bool tuple_settle(struct hop_table *h, struct hop_tuple *t, uint64_t before_ns)
{
	struct hop *hop, *next;

	for (hop = SLIST_FIRST(&t->hops); hop && hop->first_ns < before_ns; hop = next) {
		next = SLIST_NEXT(hop, next);
		if (!hop->passage)
			hop_settle(h, t, hop);
	}
	while (hop && hop->passage)
		hop = SLIST_NEXT(hop, next);
	return hop;
}

/* True: it has to be looked at once more. */
static bool tuple_tell(struct hop_table *h, struct hop_tuple *t, uint64_t before_ns)
{
	struct passage *p;
	struct hop *hop;
	bool more;

	if (tuple_is_owned(h, t)) {
		for (hop = SLIST_FIRST(&t->hops); hop; hop = SLIST_NEXT(hop, next))
			h->n_owned += !hop->passage;
		tuple_give_up(h, t);
	}
	more = tuple_settle(h, t, before_ns);
	LIST_FOREACH(p, &t->passages, same)
	{
		if (p->changed)
			passage_tell(h, p, p->opened ? FLOW_UPDATE : FLOW_OPEN);
	}
	return more;
}

/* Over, and nothing came since: there is no more to come. */
static void hops_close_over(struct hop_table *h, bool last)
{
	struct passage *p, *next;

	for (p = TAILQ_FIRST(&h->over); p; p = next) {
		next = TAILQ_NEXT(p, over);
		if (last || p->round < h->round)
			passage_close(h, p);
	}
}

static void hops_close_idle(struct hop_table *h)
{
	struct passage *p;

	while ((p = TAILQ_FIRST(&h->by_time)) && p->last_ns + h->idle_ns < h->now_ns)
		passage_close(h, p);
}

static void hops_forget_freed(struct hop_table *h)
{
	struct hop_tuple *t;

	while ((t = TAILQ_FIRST(&h->freed)) && t->owned_until_ns <= h->now_ns) {
		TAILQ_REMOVE(&h->freed, t, freed);
		t->is_freed = false;
		tuple_put(h, t);
	}
}

static void hops_tell_changed(struct hop_table *h, uint64_t before_ns)
{
	struct hop_tuple_queue changed = TAILQ_HEAD_INITIALIZER(changed);
	struct hop_tuple *t;

	TAILQ_CONCAT(&changed, &h->changed, changed);
	while ((t = TAILQ_FIRST(&changed))) {
		TAILQ_REMOVE(&changed, t, changed);
		t->is_changed = false;
		if (tuple_tell(h, t, before_ns))
			tuple_changed(h, t);
		tuple_put(h, t);
	}
}

void hops_collected(struct hop_table *h, uint64_t before_ns)
{
	bool last = before_ns == UINT64_MAX;

	if (!h)
		return;
	if (!last)
		hops_pass_time(h, before_ns);
	hops_tell_changed(h, before_ns);
	hops_close_over(h, last);
	hops_close_idle(h);
	hops_forget_freed(h);
	h->round++;
}

/* --- the table --- */

void hops_pass_time(struct hop_table *h, uint64_t now_ns)
{
	if (h && now_ns > h->now_ns)
		h->now_ns = now_ns;
}

void hops_usage(const struct hop_table *h, struct flow_usage *ret)
{
	if (!h)
		return;
	ret->conversations += h->n_passages;
	ret->passing = h->n_passages;
	ret->owned = h->n_owned;
	ret->lost = h->n_lost;
	ret->bytes += HASH_COUNT(h->tuples) * sizeof(struct hop_tuple) +
		      h->n_passages * sizeof(struct passage) + h->n_hops * sizeof(struct hop);
}

struct hop_table *hops_new(struct flow_table *flows, const struct flow_devices *o)
{
	enum { HOPS_A_PASSAGE = 4 };
	struct hop_table *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->flows = flows;
	h->idle_ns = o->idle_ns;
	h->max_hops = (uint64_t)o->max_conversations * HOPS_A_PASSAGE;
	TAILQ_INIT(&h->changed);
	TAILQ_INIT(&h->freed);
	TAILQ_INIT(&h->by_time);
	TAILQ_INIT(&h->over);
	return h;
}

void hops_free(struct hop_table *h)
{
	struct hop_tuple *t, *next;

	if (!h)
		return;
	while (!TAILQ_EMPTY(&h->by_time))
		passage_free(h, TAILQ_FIRST(&h->by_time));
	HASH_ITER(hh, h->tuples, t, next) {
		tuple_free_hops(h, t, NULL);
		HASH_DEL(h->tuples, t);
		free(t);
	}
	free(h);
}
