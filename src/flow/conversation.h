/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_FLOW_CONVERSATION_H
#define NSLENS_FLOW_CONVERSATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include "abi/dgram.h"
#include "model/event.h"

/* Inside flow/ only: what a conversation and its ends are, and how an event is made of them. */

enum flow_which { SOURCE, DESTINATION, N_SIDES };

struct tuple;

/* What connect() was asked for, where something on this host then had it go elsewhere. */
struct flow_asked {
	struct ip_addr ip;
	uint16_t port;
};

/*
 * One local end of a conversation: what its socket's records said last. There are as many as there
 * are open sockets, so their size counts. Times are CLOCK_MONOTONIC.
 */
struct flow_end {
	UT_hash_handle hh;		/* by key; TCP: by its cookie alone */
	LIST_ENTRY(flow_end) of_socket; /* datagrams: others of the same socket */
	struct dgram_key key;
	struct conversation *conv;
	uint64_t start_ns; /* 0: unknown */
	uint64_t ts_ns;	   /* of the last record */
	uint64_t tx_bytes, tx_packets, rx_bytes, rx_packets;
	union {
		struct dgram_counts
			base; /* datagrams: what earlier conversations had of the flow */
		uint64_t retransmitted_bytes; /* TCP */
	};
	uint64_t connect_ns; /* 0: unknown */
	uint64_t netns_cookie;
	struct process *process, *opened_by;
	struct flow_asked *asked; /* NULL: what was reached, as far as known here */
	uint32_t netns_inode, ifindex;
	uint32_t unsent_bytes, unread_bytes;
	uint32_t retransmits, srtt_us, min_rtt_us, max_srtt_us;
	uint32_t fingerprint;
	char device[16];
	uint8_t side;	    /* enum flow_which */
	uint8_t reason;	    /* enum flow_reason */
	uint8_t closed_by;  /* enum flow_party: PARTY_SOURCE stands for this end, PARTY_DESTINATION
			    * for the other: turned round when told */
	bool is_hashed : 1; /* is found by its key */
	bool on_socket : 1; /* is in a socket's list */
	bool closed : 1;
	bool told : 1;	  /* that it is closed */
	bool has_end : 1; /* and when: at ts_ns */
	bool adopted : 1; /* older than the probes */
	bool accepted : 1;
	bool unsure : 1;     /* its last figures were lost */
	bool translated : 1; /* what it sends left with other addresses */
};

struct conversation {
	union {
		UT_hash_handle hh;	       /* TCP: by id */
		LIST_ENTRY(conversation) same; /* datagrams: others of the same tuple */
	};
	TAILQ_ENTRY(conversation) waiting, changed;
	struct flow_end *end[N_SIDES];
	uint64_t id;
	uint64_t deadline_ns; /* of what waits */
	struct tuple *tuple;  /* datagrams: whose list it is in */
	struct ip_view *far;  /* as the end that isn't here sees it; NULL: not known */
	enum flow_transport transport;
	bool is_waiting, is_changed;
	bool asked;	 /* what became of its addresses */
	uint8_t n_holds; /* so often it is still waited for an answer */
	bool opened;	 /* its open was told, or is not to be told */
	bool initiator_known;
};

/* Make the event that tells @action; @speak: bits of the sides whose ends tell it. */
void conversation_event(const struct conversation *c, enum flow_action action, unsigned int speak,
			int64_t clock_ns, struct flow_event *ret);

/* Its addresses as its own socket sees them. */
struct ip_view end_view(const struct flow_end *e);

/* Bits of the sides that have an end; of those that are closed but not told. */
unsigned int conversation_ends(const struct conversation *c);
unsigned int conversation_closed(const struct conversation *c);

#endif
