// SPDX-License-Identifier: Apache-2.0
#include "discover/socket_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/base.h"

/* Not in the C library's header: a request, and one that is bound but not more. */
enum { TCP_NEW_SYN_RECV = 12, TCP_BOUND_INACTIVE = 13 };

static size_t index_slot(const struct socket_table *t, uint64_t cookie)
{
	size_t i = (cookie * 0x9e3779b97f4a7c15ULL) >> 32 & (t->n_index - 1);

	while (t->index[i] && t->rows[t->index[i] - 1].cookie != cookie)
		i = (i + 1) & (t->n_index - 1);
	return i;
}

static struct socket_row *table_find(const struct socket_table *t, uint64_t cookie)
{
	size_t i;

	if (!t->n_index)
		return NULL;
	i = index_slot(t, cookie);
	return t->index[i] ? &t->rows[t->index[i] - 1] : NULL;
}

static int table_grow(struct socket_table *t)
{
	size_t cap = t->cap ? t->cap * 2 : 256;
	struct socket_row *rows = realloc(t->rows, cap * sizeof(*rows));
	uint32_t *index;

	if (!rows)
		return -ENOMEM;
	t->rows = rows;
	index = calloc(cap * 2, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(t->index);
	t->index = index;
	t->n_index = cap * 2;
	t->cap = cap;
	for (size_t i = 0; i < t->n_rows; i++)
		t->index[index_slot(t, t->rows[i].cookie)] = (uint32_t)i + 1;
	return 0;
}

static struct socket_row *table_add(struct socket_table *t, uint64_t cookie)
{
	struct socket_row *row;

	if (t->n_rows == t->cap && table_grow(t))
		return NULL;
	row = &t->rows[t->n_rows];
	*row = (struct socket_row){ .cookie = cookie };
	t->index[index_slot(t, cookie)] = (uint32_t)++t->n_rows;
	return row;
}

static enum socket_state state_of(unsigned int kernel_state, enum socket_type type)
{
	static const uint8_t states[] = {
		[TCP_ESTABLISHED] = SOCKET_ESTABLISHED,
		[TCP_SYN_SENT] = SOCKET_SYN_SENT,
		[TCP_SYN_RECV] = SOCKET_SYN_RECEIVED,
		[TCP_FIN_WAIT1] = SOCKET_FIN_WAIT1,
		[TCP_FIN_WAIT2] = SOCKET_FIN_WAIT2,
		[TCP_TIME_WAIT] = SOCKET_TIME_WAIT,
		[TCP_CLOSE] = SOCKET_CLOSED,
		[TCP_CLOSE_WAIT] = SOCKET_CLOSE_WAIT,
		[TCP_LAST_ACK] = SOCKET_LAST_ACK,
		[TCP_LISTEN] = SOCKET_LISTEN,
		[TCP_CLOSING] = SOCKET_CLOSING,
		[TCP_NEW_SYN_RECV] = SOCKET_SYN_RECEIVED,
		[TCP_BOUND_INACTIVE] = SOCKET_CLOSED,
	};

	if (type != SOCKET_STREAM)
		return kernel_state == TCP_ESTABLISHED ? SOCKET_ESTABLISHED : SOCKET_UNCONNECTED;
	return kernel_state && kernel_state < ARRAY_SIZE(states) ? states[kernel_state]
								 : SOCKET_CLOSED;
}

static enum socket_type type_of(uint16_t kernel_type)
{
	switch (kernel_type) {
	case SOCK_STREAM: return SOCKET_STREAM;
	case SOCK_RAW: return SOCKET_RAW;
	default: return SOCKET_DATAGRAM;
	}
}

static bool is_any(const struct ip_addr *a)
{
	static const struct ip_addr zero;

	return !memcmp(a->bytes, zero.bytes, sizeof(zero.bytes));
}

/* A raw socket's "port" is its protocol, that of an ICMP socket its identifier. */
static void set_ports(struct socket_row *s, uint16_t local, uint16_t peer)
{
	if (s->type == SOCKET_RAW)
		return;
	if (s->protocol == IPPROTO_ICMP || s->protocol == IPPROTO_ICMPV6) {
		s->icmp_id = local;
		s->has |= local ? SOCKET_HAS_ICMP_ID : 0;
		return;
	}
	s->local_port = local;
	s->has |= SOCKET_HAS_PORT;
	s->peer_port = peer;
}

static void set_addresses(struct socket_row *s, int family, const uint8_t local[16],
			  const uint8_t peer[16])
{
	s->family = family == AF_INET ? IP_V4 : IP_V6;
	s->local = ip_from_abi(family, local);
	s->peer = ip_from_abi(family, peer);
	if (!is_any(&s->peer) || s->peer_port)
		s->has |= SOCKET_HAS_PEER;
}

static void fill_from_record(struct socket_row *s, const struct rec_socket *r)
{
	s->netns_cookie = r->netns_cookie;
	s->netns_inode = r->netns_inode;
	s->type = type_of(r->type);
	s->protocol = r->protocol;
	s->state = state_of(r->state, s->type);
	set_ports(s, r->local_port, r->peer_port);
	set_addresses(s, r->family, r->local, r->peer);
	s->rx_queue = r->rx_queue;
	s->tx_queue = r->tx_queue;
	s->uid = r->uid;
	s->ifindex = r->ifindex;
	s->has |= SOCKET_HAS_UID | (r->flags & REC_SOCKET_V6ONLY ? SOCKET_V6ONLY : 0);
}

static void add_owner(struct socket_row *s, const struct rec_socket *r)
{
	s->n_descriptors++;
	for (unsigned int i = 0; i < socket_owners_kept(s); i++)
		if (s->owners[i].id.tgid == r->owner.tgid)
			return;
	if (s->n_owners && s->last_tgid == r->owner.tgid)
		return;
	if (s->n_owners < SOCKET_OWNERS_KEPT)
		s->owners[s->n_owners] = (struct socket_owner){ .id = r->owner, .fd = r->fd };
	s->n_owners++;
	s->last_tgid = r->owner.tgid;
}

int socket_table_add_descriptor(struct socket_table *t, const struct rec_socket *r)
{
	struct socket_row *s = table_find(t, r->cookie);

	if (!s) {
		s = table_add(t, r->cookie);
		if (!s)
			return -ENOMEM;
		fill_from_record(s, r);
	}
	add_owner(s, r);
	return 0;
}

void socket_table_explain(struct socket_table *t, const struct rec_socket *r)
{
	struct socket_row *s = table_find(t, r->cookie);

	if (!s || !s->unexplained)
		return;
	if (!s->n_owners)
		t->n_unexplained--;
	s->unowned = SOCKET_OWNED;
	add_owner(s, r);
}

static enum socket_unowned unowned_of(const struct socket_row *s, const struct inet_diag_msg *m)
{
	if (m->idiag_inode)
		return SOCKET_NO_DESCRIPTOR;
	switch (s->state) {
	case SOCKET_SYN_RECEIVED: return SOCKET_HALF_OPEN;
	case SOCKET_ESTABLISHED:
	case SOCKET_CLOSE_WAIT: return SOCKET_UNACCEPTED;
	case SOCKET_LISTEN:
	case SOCKET_UNCONNECTED: return SOCKET_NO_DESCRIPTOR;
	default: return SOCKET_ORPHANED;
	}
}

/* Neither TIME_WAIT nor a request has a user or queues. */
static void fill_state_from_diag(struct socket_row *s, const struct inet_diag_msg *m)
{
	if (s->state == SOCKET_TIME_WAIT || s->state == SOCKET_SYN_RECEIVED)
		return;
	s->rx_queue = m->idiag_rqueue;
	s->tx_queue = m->idiag_wqueue;
	s->uid = m->idiag_uid;
	/* An orphan has no file to tell its user; the kernel says 0 for it. */
	s->has |= m->idiag_inode ? SOCKET_HAS_UID : 0;
}

static void fill_from_diag(struct socket_row *s, const struct socket_origin *from,
			   const struct inet_diag_msg *m, int v6only)
{
	uint16_t local = ntohs(m->id.idiag_sport);

	s->netns_cookie = from->netns_cookie;
	s->netns_inode = from->netns_inode;
	s->type = from->type;
	s->protocol = from->type == SOCKET_RAW ? local : from->protocol;
	s->state = state_of(m->idiag_state, from->type);
	set_ports(s, local, ntohs(m->id.idiag_dport));
	set_addresses(s, m->idiag_family, (const uint8_t *)m->id.idiag_src,
		      (const uint8_t *)m->id.idiag_dst);
	s->ifindex = m->id.idiag_if;
	s->has |= v6only > 0 ? SOCKET_V6ONLY : 0;
	fill_state_from_diag(s, m);
	s->unowned = unowned_of(s, m);
}

static uint64_t cookie_of(const struct inet_diag_msg *m)
{
	return (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
}

int socket_table_add_diag(struct socket_table *t, const struct socket_origin *from,
			  const struct inet_diag_msg *m, int v6only)
{
	uint64_t cookie = cookie_of(m);
	struct socket_row *s;

	if (table_find(t, cookie))
		return 0;
	s = table_add(t, cookie);
	if (!s)
		return -ENOMEM;
	fill_from_diag(s, from, m, v6only);
	s->unexplained = s->unowned == SOCKET_NO_DESCRIPTOR;
	t->n_unexplained += s->unexplained;
	return 0;
}

void socket_table_confirm(struct socket_table *t, const struct inet_diag_msg *m)
{
	struct socket_row *s = table_find(t, cookie_of(m));

	if (s && s->unexplained && m->idiag_inode)
		s->confirmed = true;
}

void socket_table_drop_gone(struct socket_table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_rows; i++) {
		const struct socket_row *s = &t->rows[i];

		if (s->n_owners || !s->unexplained || s->confirmed)
			t->rows[n++] = *s;
	}
	t->n_rows = n;
	free(t->index);
	t->index = NULL;
	t->n_index = 0;
}

void socket_table_fini(struct socket_table *t)
{
	for (size_t i = 0; i < t->n_rows; i++)
		for (unsigned int o = 0; o < socket_owners_kept(&t->rows[i]); o++)
			process_unref(t->rows[i].owners[o].process);
	free(t->rows);
	free(t->index);
	*t = (struct socket_table){ 0 };
}
