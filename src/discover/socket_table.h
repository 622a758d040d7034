/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_SOCKET_TABLE_H
#define NSLENS_DISCOVER_SOCKET_TABLE_H

#include <linux/inet_diag.h>
#include <stddef.h>

#include "discover/sockets.h"
#include "model/socket.h"

/*
 * Sockets by cookie, put together from both sources: descriptors (who owns it) and sock_diag (what
 * nobody owns). No IO here. Zero-initialised is empty. Rows may be sorted in place once nothing is
 * added any more.
 */
struct socket_table {
	struct socket_row *rows;
	size_t n_rows;
	size_t cap;
	uint32_t *index;      /* open addressing; row number + 1, 0: empty */
	size_t n_index;	      /* a power of two */
	size_t n_unexplained; /* rows without an owner that should have one */
};

/* Where a sock_diag answer comes from. */
struct socket_origin {
	uint64_t netns_cookie;
	uint32_t netns_inode;
	uint16_t protocol;
	enum socket_type type;
};

/* A descriptor. A socket that is there already gets a further owner. 0 or -ENOMEM. */
int socket_table_add_descriptor(struct socket_table *t, const struct rec_socket *r);

/*
 * The same on a second look, for sockets that came to be between the first look at the descriptors
 * and sock_diag's answer: gives an owner to rows that should have one, and adds no rows.
 */
void socket_table_explain(struct socket_table *t, const struct rec_socket *r);

/*
 * A socket of sock_diag's answer, ignored if it is there already. @v6only: -1 if it was not said.
 * 0 or -ENOMEM.
 */
int socket_table_add_diag(struct socket_table *t, const struct socket_origin *from,
			  const struct inet_diag_msg *m, int v6only);

/*
 * What sock_diag says on a second look, for rows that are unexplained still: it is there. Adds no
 * rows.
 */
void socket_table_confirm(struct socket_table *t, const struct inet_diag_msg *m);

/*
 * Drop rows that are neither explained nor confirmed: sockets that were opened and closed between
 * the looks. Nothing may be added any more.
 */
void socket_table_drop_gone(struct socket_table *t);

/* Drops the processes' references too. */
void socket_table_fini(struct socket_table *t);

#endif
