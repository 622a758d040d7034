/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_FLOW_TABLE_PRIVATE_H
#define NSLENS_FLOW_TABLE_PRIVATE_H

#include "abi/dgram.h"
#include "abi/tcp.h"
#include "flow/conversation.h"
#include "flow/table.h"

/* Inside flow/ only. table.c: the life of conversations; tcp.c, dgram.c: records into ends. */

LIST_HEAD(conversation_list, conversation);
LIST_HEAD(end_list, flow_end);
TAILQ_HEAD(conversation_queue, conversation);

/* Where somebody listens: keeps the roles of adopted connections apart. */
struct listener_key {
	uint64_t netns_cookie;
	uint16_t port;
	uint16_t reserved[3];
};

struct listener {
	UT_hash_handle hh;
	struct listener_key key;
	unsigned int n;
};

/* Datagram ends of one socket. */
struct flow_socket {
	UT_hash_handle hh;
	uint64_t cookie;
	struct end_list ends;
};

/* Datagram conversations with the same addresses and ports (in different namespaces, or later). */
struct tuple_key {
	struct ip_addr source, destination;
	uint16_t source_port, destination_port;
	uint32_t transport;
};

struct tuple {
	UT_hash_handle hh;
	struct tuple_key key;
	struct conversation_list conversations;
};

/* What TCP sockets of a namespace exchanged. */
struct flow_sum {
	UT_hash_handle hh;
	uint64_t netns_cookie;
	uint64_t tx_bytes, tx_packets, rx_bytes, rx_packets, retransmitted_bytes;
};

struct hop_table;

struct flow_table {
	struct flow_resolver resolver;
	event_fn emit;
	void *arg;
	int64_t clock_ns;
	struct flow_end *tcp_ends, *dgram_ends;
	struct conversation *tcp; /* by id */
	struct tuple *tuples;
	struct flow_socket *sockets;
	struct listener *listeners;
	struct flow_sum *sums;
	struct hop_table *hops;			    /* NULL: devices are not looked at */
	struct conversation_queue waiting, changed; /* waiting: by deadline */
	uint64_t n_conversations, n_seen;
	struct dgram_key *keys; /* what flow_table_live() returned */
	size_t n_keys;		/* room there */
};

/* --- table.c: for tcp.c and dgram.c --- */

/* The end of that key that is not over, or NULL. */
struct flow_end *end_find(struct flow_table *t, const struct dgram_key *key);
/*
 * The same, of a life that began at @start_ns: if it is of another, the end of that one was lost,
 * and NULL is returned.
 */
struct flow_end *end_find_of(struct flow_table *t, const struct dgram_key *key, uint64_t start_ns);
/* A new end in @conv on @side. NULL: no memory. */
struct flow_end *end_new(struct flow_table *t, const struct dgram_key *key,
			 struct conversation *conv, enum flow_which side);
/* A new conversation without ends. NULL: no memory. */
struct conversation *conversation_new(struct flow_table *t, uint64_t id,
				      enum flow_transport transport);
/* Who uses it, who opened it; an unknown owner changes nothing. */
void end_set_owners(struct flow_table *t, struct flow_end *e, const struct owner *user,
		    const struct owner *opener);

/* It was asked for @asked, and reached what its key says. 0 or -ENOMEM. */
int end_set_asked(struct flow_end *e, const struct rec_asked *asked);

/* The ends of @from go over to @to, which has none on that side; @from is freed untold. */
void conversation_merge(struct flow_table *t, struct conversation *to, struct conversation *from);

/* What a record meant for the end it was about. The end may be gone afterwards. */
void end_opened(struct flow_table *t, struct flow_end *e);
void end_changed(struct flow_table *t, struct flow_end *e);
void end_closed(struct flow_table *t, struct flow_end *e);
void end_failed(struct flow_table *t, struct flow_end *e);

/* --- tcp.c, dgram.c --- */

/* Take a record of that type. 0 or -ENOMEM. */
int tcp_record(struct flow_table *t, const struct rec_tcp *r);
/* The same. */
int dgram_record(struct flow_table *t, const struct rec_dgram *r);
/* The same; these make nothing new. */
void dgram_owner_record(struct flow_table *t, const struct rec_owner *r);
/* The same. */
void dgram_release_record(struct flow_table *t, const struct rec_release *r);
/*
 * The conversation is over: take the end that lives on out of the kernel's map, too. False: that
 * has to wait, for it has begun another conversation.
 */
bool dgram_take_rest(struct flow_table *t, struct conversation *c, uint64_t now_ns);
/* The end goes, the conversation goes: forget what dgram.c keeps beside. */
void dgram_end_gone(struct flow_table *t, struct flow_end *e);
void dgram_conversation_gone(struct flow_table *t, struct conversation *c);
/*
 * @c's end knows how the other one sees the addresses: the conversation that has just that one, or
 * NULL: then @c is kept where that one will look for it.
 */
struct conversation *dgram_translated(struct flow_table *t, struct conversation *c);
void listeners_free(struct flow_table *t);

/* --- sums.c --- */

/* @r is about to become what @e says. */
void flow_sum_tcp(struct flow_table *t, const struct flow_end *e, const struct rec_tcp *r);
void flow_sums_free(struct flow_table *t);

/* splitmix64's finalizer: spreads the bits of a number. */
static inline uint64_t mix64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

#endif
