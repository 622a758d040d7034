/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_EVENT_H
#define NSLENS_MODEL_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/device.h"
#include "model/endpoint.h"
#include "model/process.h"

/*
 * What flows through nslens behind the decoders: one decoded happening. No IO here. Times are
 * CLOCK_REALTIME ns of the kernel's event, unless a name says otherwise. Everything an event points
 * at is borrowed: it is valid during the call that hands the event over.
 *
 * What is known is a flag, not a magic value: a field means something only if its bit in `has` is
 * set.
 */
enum flow_action { FLOW_OPEN, FLOW_UPDATE, FLOW_CLOSE, FLOW_FAIL, N_FLOW_ACTIONS };
enum flow_transport { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ICMP, TRANSPORT_ICMP6, N_TRANSPORTS };
enum flow_reason {
	REASON_UNKNOWN,
	REASON_FIN,
	REASON_RESET,
	REASON_REFUSED,
	REASON_TIMEOUT,
	REASON_UNREACHABLE,
	REASON_IDLE,
	N_FLOW_REASONS
};
enum flow_party { PARTY_UNKNOWN, PARTY_SOURCE, PARTY_DESTINATION, PARTY_KERNEL, N_PARTIES };

/* Names as DESIGN's contract has them ("open", "tcp", "fin", "source"); NULL for UNKNOWN. */
extern const char *const flow_action_names[N_FLOW_ACTIONS];
extern const char *const flow_transport_names[N_TRANSPORTS];
extern const char *const flow_reason_names[N_FLOW_REASONS];
extern const char *const flow_party_names[N_PARTIES];

enum side_has {
	SIDE_HAS_PORT = 1 << 0,	    /* ICMP has none */
	SIDE_HAS_COUNTS = 1 << 1,   /* bytes and packets */
	SIDE_HAS_NETNS = 1 << 2,    /* netns_cookie, netns_inode */
	SIDE_HAS_DEVICE = 1 << 3,   /* ifindex, device */
	SIDE_HAS_UNSENT = 1 << 4,   /* unsent_bytes, not 0 */
	SIDE_HAS_UNREAD = 1 << 5,   /* unread_bytes, not 0 */
	SIDE_HAS_RECEIVED = 1 << 6, /* received_bytes, _packets: UDP, ICMP; the rest was dropped */
	SIDE_HAS_NAT = 1 << 7,	    /* nat_ip, nat_port */
};

/* One end of a conversation. bytes and packets are what this side sent. */
struct flow_side {
	unsigned int has;
	struct ip_addr ip;
	uint16_t port;
	struct ip_addr nat_ip; /* what the other end knows this one by, or what was reached */
	uint16_t nat_port;
	uint64_t bytes, packets;
	uint64_t unsent_bytes, unread_bytes;
	uint64_t received_bytes, received_packets; /* that this side's socket was given */
	uint64_t netns_cookie;
	uint32_t netns_inode;
	const char *netns_name; /* NULL: none known */
	uint32_t ifindex;
	const char *device;
	/* The last that did I/O or closed; NULL: unknown or not on this host. */
	const struct process *process;
	/* Who connected or listened, where that is another; else NULL. */
	const struct process *opened_by;
};

enum flow_has {
	FLOW_HAS_START = 1 << 0,
	FLOW_HAS_END = 1 << 1,	       /* end_ns; duration_ns where START is there too */
	FLOW_HAS_CONNECT = 1 << 2,     /* connect_ns */
	FLOW_HAS_RTT = 1 << 3,	       /* srtt_ns */
	FLOW_HAS_MIN_RTT = 1 << 4,     /* min_rtt_ns */
	FLOW_HAS_MAX_SRTT = 1 << 15,   /* max_srtt_ns */
	FLOW_HAS_RETRANSMITS = 1 << 5, /* retransmits, both local sides summed */
	FLOW_HAS_ACCEPTED = 1 << 6,    /* accepted; only where the passive side is local */
	FLOW_SEEN_BY_SOURCE = 1 << 7,
	FLOW_SEEN_BY_DESTINATION = 1 << 8,
	FLOW_INITIATOR_KNOWN = 1 << 9,
	FLOW_ADOPTED = 1 << 10,
	FLOW_WIRE = 1 << 11,	    /* unit "wire" rather than "payload" */
	FLOW_HAS_ICMP_ID = 1 << 12, /* icmp_id */
};

/* A device that a conversation passed in one direction, and what one side sent through it. */
struct flow_hop {
	uint64_t netns_cookie;
	uint32_t netns_inode;
	const char *netns_name; /* NULL: none known */
	uint32_t ifindex;
	const char *device; /* NULL: not known */
	bool received;	    /* by the device; else sent */
	enum flow_party from;
	uint64_t packets, bytes; /* on the wire, each with its L2 header */
};

struct flow_event {
	uint64_t ts_ns;
	enum flow_action action;
	enum flow_transport transport;
	enum flow_reason reason;
	enum flow_party closed_by;
	unsigned int has;
	uint64_t id; /* printed as 16 hex digits; the same for all records of a conversation */
	uint64_t start_ns, end_ns, duration_ns;
	uint64_t connect_ns, srtt_ns, min_rtt_ns, max_srtt_ns;
	uint64_t retransmits;
	uint16_t icmp_id;
	bool accepted;
	bool last; /* no event of this conversation comes after this one */
	struct flow_side source, destination;
	const struct flow_hop *hops; /* with FLOW_WIRE: in the order of first sight */
	size_t n_hops;
};

/* Records that did not reach the reader, or events that did not reach a consumer. */
struct lost_event {
	uint64_t ts_ns;
	const char *reason; /* "ring_full", ... */
	uint64_t records;
};

/* The line that a stream ends with. */
struct totals_event {
	uint64_t ts_ns;
	uint64_t conversations; /* that were opened, adopted or seen during the stream */
	uint64_t events;	/* printed */
	uint64_t lost;
	uint64_t netns_covered, netns_total;
	uint64_t duration_ns;
};

enum finding_type {
	FINDING_HOOK_STARVED, /* a program before our hook keeps packets from it */
	FINDING_HOOK_REMOVED, /* our hook was taken off */
	N_FINDING_TYPES
};

/* "hook_starved", ... */
extern const char *const finding_type_names[N_FINDING_TYPES];

enum finding_has { FINDING_HAS_POINT = 1 << 0 };

/* A verdict on a device: something that a person should know begins, or is over. */
struct finding_event {
	uint64_t ts_ns;
	enum finding_type type;
	bool over; /* else it begins */
	unsigned int has;
	enum device_point point;
	uint32_t prog_id;   /* of the other program; 0: none or unknown */
	const char *reason; /* one line for people; NULL: the type says it all */
	struct device_id device;
	const char *device_name; /* NULL: unknown */
	uint32_t netns_inode;	 /* 0: unknown */
	const char *netns_name;	 /* NULL: none known */
};

/* Its device and namespace, as the end of a flow has them. */
struct flow_side finding_side(const struct finding_event *finding);

enum event_kind { EVENT_FLOW, EVENT_LOST, EVENT_TOTALS, EVENT_FINDING };

struct event {
	enum event_kind kind;
	union {
		struct flow_event flow;
		struct lost_event lost;
		struct totals_event totals;
		struct finding_event finding;
	};
};

/* Who receives events. */
typedef void (*event_fn)(void *arg, const struct event *event);

#endif
