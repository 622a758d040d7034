/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_SOCKET_H
#define NSLENS_MODEL_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/record.h"
#include "model/endpoint.h"
#include "model/process.h"

/* In the order in which they are listed. UNCONNECTED: UDP, ICMP or raw without a peer. */
enum socket_state {
	SOCKET_LISTEN,
	SOCKET_UNCONNECTED,
	SOCKET_ESTABLISHED,
	SOCKET_SYN_SENT,
	SOCKET_SYN_RECEIVED,
	SOCKET_CLOSE_WAIT,
	SOCKET_FIN_WAIT1,
	SOCKET_FIN_WAIT2,
	SOCKET_CLOSING,
	SOCKET_LAST_ACK,
	SOCKET_TIME_WAIT,
	SOCKET_CLOSED,
	N_SOCKET_STATES,
};

enum socket_type { SOCKET_STREAM, SOCKET_DATAGRAM, SOCKET_RAW, N_SOCKET_TYPES };

/* Why no process has a descriptor of it. */
enum socket_unowned {
	SOCKET_OWNED,
	SOCKET_UNACCEPTED,    /* waits in its listener's queue */
	SOCKET_HALF_OPEN,     /* a request whose handshake is not complete */
	SOCKET_ORPHANED,      /* closed by its process, the protocol is still at it */
	SOCKET_NO_DESCRIPTOR, /* the kernel's own, in flight, or in io_uring only */
	N_SOCKET_UNOWNED,
};

/* "listen", "established", ...; "unaccepted", ..., NULL for OWNED. */
extern const char *const socket_state_names[N_SOCKET_STATES];
extern const char *const socket_unowned_names[N_SOCKET_UNOWNED];
/* "stream", "datagram" or "raw". */
extern const char *const socket_type_names[N_SOCKET_TYPES];

struct socket_owner {
	struct owner id;
	uint32_t fd;		 /* the first of this owner's descriptors of the socket */
	struct process *process; /* a reference, NULL until identity is asked */
};

enum { SOCKET_OWNERS_KEPT = 4, SOCKET_DEVICE_MAX = 16 };

enum socket_has {
	SOCKET_HAS_PORT = 1 << 0,    /* local_port; raw and ICMP sockets have none */
	SOCKET_HAS_PEER = 1 << 1,    /* peer, and peer_port where there are ports */
	SOCKET_HAS_ICMP_ID = 1 << 2, /* icmp_id */
	SOCKET_HAS_UID = 1 << 3,
	SOCKET_V6ONLY = 1 << 4,
};

/*
 * One socket of one network namespace, as it was when looked at. cookie is its key. family is the
 * socket's own: an IPv6 socket can have IPv4 addresses (v4-mapped).
 */
struct socket_row {
	uint64_t cookie;
	uint64_t netns_cookie;
	uint32_t netns_inode;
	const char *netns_name; /* borrowed; NULL: none known */
	unsigned int has;	/* enum socket_has */
	enum ip_family family;
	enum socket_state state;
	enum socket_unowned unowned;
	enum socket_type type;
	uint16_t protocol; /* IPPROTO_* */
	struct ip_addr local, peer;
	uint16_t local_port, peer_port;
	uint16_t icmp_id;
	uint32_t rx_queue, tx_queue; /* bytes; LISTEN: waiting for accept, and the most that may */
	uint32_t uid;		     /* of the socket, in the first user namespace */
	const char *user;	     /* borrowed; NULL: none known */
	uint32_t ifindex;	     /* bound to this device; 0: to none */
	char device[SOCKET_DEVICE_MAX]; /* "": unknown */
	uint32_t n_owners;		/* processes that have a descriptor of it */
	uint32_t n_descriptors;
	struct socket_owner owners[SOCKET_OWNERS_KEPT]; /* the first of them */
	uint32_t last_tgid;				/* of the owner counted last */
	bool unexplained; /* found without an owner although it should have one */
	bool confirmed;	  /* and still so when it was looked for again */
};

/* "tcp", "udp", "icmp", ...; NULL for a protocol without a name here. */
const char *socket_transport_name(uint16_t protocol);
/* Does it take what others send first: a listener, or a datagram socket with a port and no peer? */
bool socket_listens(const struct socket_row *s);
/* How many of owners[] are filled. */
unsigned int socket_owners_kept(const struct socket_row *s);
/* For qsort(): those that listen first, by port; then by state, port, namespace and cookie. */
int socket_compare(const void *a, const void *b);

#endif
