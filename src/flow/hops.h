/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_FLOW_HOPS_H
#define NSLENS_FLOW_HOPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include "abi/devflow.h"
#include "flow/table.h"

/*
 * Inside flow/ only: conversations that only pass through this host, made of what was counted at
 * its devices. See doc/internals/device-flows.md for how hops become one path.
 */

/* Addresses and ports in the order of their bytes: the same for both directions. */
struct hop_key {
	struct ip_addr low, high;
	uint16_t low_port, high_port; /* ICMP echo: both are the identifier */
	uint16_t transport;	      /* enum flow_transport */
	uint16_t has_ports;
};

struct passage;

/* What passed a device in one direction, from one of the two. Times are CLOCK_MONOTONIC. */
struct hop {
	SLIST_ENTRY(hop) next;
	struct passage *passage; /* NULL: not found out yet */
	uint64_t netns_cookie;
	uint64_t packets, bytes;
	uint64_t first_ns, last_ns;
	uint32_t netns_inode, ifindex;
	uint32_t first_is; /* of its first packet: the same at all hops of a path */
	uint32_t flags;	   /* enum devflow_flags, since they were looked at last */
	uint8_t direction; /* enum devflow_direction */
	bool high;	   /* the sender is the key's high one */
	bool is_led;	   /* its hop on the other side, in another namespace, is known */
};

SLIST_HEAD(hop_list, hop);

/* All with the same addresses and ports: passages, and sockets of this host that own them. */
struct hop_tuple {
	UT_hash_handle hh;
	TAILQ_ENTRY(hop_tuple) changed, freed;
	struct hop_key key;
	struct hop_list hops; /* by first_ns */
	LIST_HEAD(, passage) passages;
	uint32_t n_owners;
	uint64_t owned_until_ns; /* what comes late of an owner's that has gone is no passage */
	bool is_changed, is_freed;
};

/* One conversation that passes. */
struct passage {
	LIST_ENTRY(passage) same;
	TAILQ_ENTRY(passage) by_time, over;
	struct hop_tuple *tuple;
	uint64_t id;
	uint64_t first_ns, last_ns;
	uint64_t round;	     /* in which something was added */
	uint8_t source_high; /* the key's high one began */
	uint8_t ended[2];    /* a FIN of the low one, of the high one was seen */
	uint8_t closed_by;   /* enum flow_party */
	bool reset, begun, opened, is_over;
	bool changed; /* since it was told */
};

TAILQ_HEAD(passage_queue, passage);
TAILQ_HEAD(hop_tuple_queue, hop_tuple);

struct hop_table {
	struct flow_table *flows;
	struct hop_tuple *tuples;
	struct hop_tuple_queue changed, freed; /* freed: by its owners, by time */
	struct passage_queue by_time, over;
	uint64_t idle_ns, now_ns, round;
	uint64_t n_hops, max_hops, n_passages, n_owned, n_lost;
};

/* The most hops of one passage that are told. */
enum { PASSAGE_HOPS_MAX = 32 };

/* NULL: no memory. The table's own, which may have none: NULL is fine for all below. */
struct hop_table *hops_new(struct flow_table *flows, const struct flow_devices *o);
void hops_free(struct hop_table *h);

/* Take a record. 0; what finds no room is counted. */
int hops_record(struct hop_table *h, const struct rec_devflow *r);
/*
 * A round is complete: all that was counted before @before_ns is here. Tell what it changed.
 * UINT64_MAX: it is the last one.
 */
void hops_collected(struct hop_table *h, uint64_t before_ns);

/* It is that late by now; only forward. */
void hops_pass_time(struct hop_table *h, uint64_t now_ns);
/* Add what it holds, and what it has passed over. */
void hops_usage(const struct hop_table *h, struct flow_usage *ret);

/* A socket of this host has a conversation with these addresses; has it no more. */
void hops_own(struct hop_table *h, const struct ip_view *v, enum flow_transport transport);
void hops_disown(struct hop_table *h, const struct ip_view *v, enum flow_transport transport);

/* --- passage.c --- */

/* Make the event of an action, its hops in @hops. */
void passage_event(const struct passage *p, enum flow_action action, int64_t clock_ns,
		   struct flow_hop hops[PASSAGE_HOPS_MAX], struct flow_event *ret);

#endif
