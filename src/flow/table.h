/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_FLOW_TABLE_H
#define NSLENS_FLOW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/dgram.h"
#include "abi/record.h"
#include "model/event.h"
#include "model/layer.h"

/*
 * From records of single sockets to conversations: joins the two local ends, keeps the last figures
 * of each, and emits one event per conversation and action. No IO: what it has to ask, it asks
 * through the resolver.
 *
 * An end's open or close waits up to join_ns for the other end's, so that one event tells of both.
 * TCP ends are joined by their initial sequence numbers, which both know and nothing between them
 * changes; datagram ends by addresses, ports, first datagram and time.
 */
struct flow_table;

/* What became of the addresses of an end whose other end wasn't found? */
struct flow_question {
	struct dgram_key key;
	uint64_t start_ns; /* of the end, like the key for the answer */
	uint64_t netns_cookie;
	struct ip_view view;
	bool sure; /* something was translated in that namespace */
};

struct flow_answer {
	struct dgram_key key;
	uint64_t start_ns;
	bool translated;
	struct ip_view far; /* as the other end sees them */
};

struct flow_resolver {
	/* The image behind @owner, the caller's reference; NULL: nobody known. */
	struct process *(*process)(void *arg, const struct owner *owner);
	/* A namespace's name, NULL if it has none; valid while an event is emitted. */
	const char *(*netns_name)(void *arg, uint64_t cookie);
	/* The same of a device. May be NULL. */
	const char *(*device_name)(void *arg, uint64_t netns_cookie, uint32_t ifindex);
	/*
	 * Take a datagram flow out of the kernel's map with its last figures; 0 or -errno. -EAGAIN:
	 * it is left there, for it received more than @max_rx_packets.
	 */
	int (*take_dgram)(void *arg, const struct dgram_key *key, uint64_t max_rx_packets,
			  struct dgram_flow *ret);
	/*
	 * 0: an answer may come by flow_table_answer(), to this or for the other end, and is waited
	 * for twice join_ns. -errno: none will. May be NULL.
	 */
	int (*ask)(void *arg, const struct flow_question *q);
	void *arg;
};

struct flow_usage {
	uint64_t ends, conversations; /* held now */
	uint64_t dgram_ends;	      /* of the ends: of datagrams */
	uint64_t seen;		      /* conversations since the start */
	uint64_t bytes;		      /* that the held ones take */
	uint64_t passing;	      /* of the conversations: those that only pass devices */
	uint64_t owned;		      /* device flows that were a socket's, and told by it */
	uint64_t lost;		      /* device flows that found no room */
};

/* Conversations that only pass this host's devices. */
struct flow_devices {
	uint64_t idle_ns;	    /* one is over after so long without a packet */
	uint64_t max_conversations; /* each with four hops */
};

enum { FLOW_JOIN_NS = 50000000 };

/* @emit is called with each event, during the calls below. NULL on lack of memory. */
struct flow_table *flow_table_new(const struct flow_resolver *resolver, event_fn emit, void *arg);
void flow_table_free(struct flow_table *t);

/*
 * Begin to make conversations of what passes devices, hop by hop: those that no socket of this host
 * has. 0 or -ENOMEM. Without this such records are passed over.
 */
int flow_table_see_devices(struct flow_table *t, const struct flow_devices *o);
/*
 * All that passed devices before @before_ns (CLOCK_MONOTONIC) is here: tell what it changed.
 * UINT64_MAX: it is the last time.
 */
void flow_table_collected(struct flow_table *t, uint64_t before_ns);

/* CLOCK_REALTIME less CLOCK_MONOTONIC, for the times of events; set it anew now and then. */
void flow_table_set_clock(struct flow_table *t, int64_t realtime_offset_ns);

/* Take a record of a flow. Others are ignored; one of a wrong size is -EBADMSG. */
int flow_table_record(struct flow_table *t, const struct rec_hdr *rec, size_t size);

/*
 * Let go of what has waited long enough. @now_ns: CLOCK_MONOTONIC at a moment before which all
 * records were handed over.
 */
void flow_table_tick(struct flow_table *t, uint64_t now_ns);

/*
 * The answer to a question. @now_ns as above: if both ends are known by it, what waited for it is
 * told now.
 */
void flow_table_answer(struct flow_table *t, const struct flow_answer *a, uint64_t now_ns);

/*
 * The keys of those ends that are open since before @before_ns (CLOCK_MONOTONIC): what a sweep has
 * to look at. *@ret_keys is the table's, valid until the next call.
 */
size_t flow_table_live(struct flow_table *t, uint64_t before_ns, const struct dgram_key **ret_keys);

/* All records of a sweep were handed over: emit the updates. */
void flow_table_swept(struct flow_table *t);

/*
 * Asked at @asked_ns (CLOCK_MONOTONIC), the kernel side did not know this end any more (TCP: only
 * @key's cookie counts), and all records up to then were handed over: if it is open still, what
 * became of it was lost, and all that is known is that it is over. Told by the next tick.
 */
void flow_table_gone(struct flow_table *t, const struct dgram_key *key, uint64_t asked_ns);

/* Append the socket's layer: what TCP exchanged in each namespace, as far as told. -ENOMEM. */
int flow_table_layers(const struct flow_table *t, struct layer_rows *ret);
/* The same of those that are @gone, which are forgotten here. */
int flow_table_take_layers(struct flow_table *t, bool (*gone)(void *arg, uint64_t netns_cookie),
			   void *arg, struct layer_rows *ret);

/* What it holds at this moment. */
void flow_table_usage(const struct flow_table *t, struct flow_usage *ret);

#endif
