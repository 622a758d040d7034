// SPDX-License-Identifier: Apache-2.0
#include "model/socket.h"

#include <netinet/in.h>

#include "base/base.h"

const char *const socket_state_names[N_SOCKET_STATES] = {
	[SOCKET_LISTEN] = "listen",
	[SOCKET_UNCONNECTED] = "unconnected",
	[SOCKET_ESTABLISHED] = "established",
	[SOCKET_SYN_SENT] = "syn_sent",
	[SOCKET_SYN_RECEIVED] = "syn_received",
	[SOCKET_CLOSE_WAIT] = "close_wait",
	[SOCKET_FIN_WAIT1] = "fin_wait1",
	[SOCKET_FIN_WAIT2] = "fin_wait2",
	[SOCKET_CLOSING] = "closing",
	[SOCKET_LAST_ACK] = "last_ack",
	[SOCKET_TIME_WAIT] = "time_wait",
	[SOCKET_CLOSED] = "closed",
};

const char *const socket_unowned_names[N_SOCKET_UNOWNED] = {
	[SOCKET_UNACCEPTED] = "unaccepted",
	[SOCKET_HALF_OPEN] = "half_open",
	[SOCKET_ORPHANED] = "orphaned",
	[SOCKET_NO_DESCRIPTOR] = "no_descriptor",
};

const char *const socket_type_names[N_SOCKET_TYPES] = {
	[SOCKET_STREAM] = "stream",
	[SOCKET_DATAGRAM] = "datagram",
	[SOCKET_RAW] = "raw",
};

/* IANA's keywords in lower case, where the kernel has such sockets or programs open them raw. */
static const struct {
	uint16_t protocol;
	const char *name;
} transports[] = {
	{ IPPROTO_ICMP, "icmp" },
	{ IPPROTO_IGMP, "igmp" },
	{ IPPROTO_TCP, "tcp" },
	{ IPPROTO_UDP, "udp" },
	{ IPPROTO_DCCP, "dccp" },
	{ IPPROTO_IPV6, "ipv6" },
	{ IPPROTO_GRE, "gre" },
	{ IPPROTO_ESP, "esp" },
	{ IPPROTO_AH, "ah" },
	{ IPPROTO_ICMPV6, "ipv6-icmp" },
	{ 89, "ospf" },
	{ IPPROTO_PIM, "pim" },
	{ 112, "vrrp" },
	{ IPPROTO_SCTP, "sctp" },
	{ IPPROTO_UDPLITE, "udplite" },
	{ IPPROTO_RAW, "raw" },
	{ IPPROTO_MPTCP, "mptcp" },
};

const char *socket_transport_name(uint16_t protocol)
{
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++)
		if (transports[i].protocol == protocol)
			return transports[i].name;
	return NULL;
}

bool socket_listens(const struct socket_row *s)
{
	return s->state == SOCKET_LISTEN ||
	       (s->state == SOCKET_UNCONNECTED && (s->has & SOCKET_HAS_PORT) && s->local_port);
}

unsigned int socket_owners_kept(const struct socket_row *s)
{
	return s->n_owners < SOCKET_OWNERS_KEPT ? s->n_owners : SOCKET_OWNERS_KEPT;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int socket_compare(const void *a, const void *b)
{
	const struct socket_row *x = a, *y = b;
	int c = compare_u64(socket_listens(y), socket_listens(x));

	if (!c && !socket_listens(x))
		c = compare_u64(x->state, y->state);
	if (!c)
		c = compare_u64(x->local_port, y->local_port);
	if (!c)
		c = compare_u64(x->protocol, y->protocol);
	if (!c)
		c = compare_u64(x->netns_inode, y->netns_inode);
	return c ? c : compare_u64(x->cookie, y->cookie);
}
