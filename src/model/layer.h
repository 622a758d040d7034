/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_LAYER_H
#define NSLENS_MODEL_LAYER_H

#include <stddef.h>
#include <stdint.h>

#include "abi/layer.h"

/* What was counted at one place of a layer. */
struct layer_row {
	struct layer_key key;
	struct layer_counts n;
	uint64_t retransmitted_bytes; /* at the socket: payload that was sent again */
};

/* Add @more to @n. */
static inline void layer_counts_add(struct layer_counts *n, const struct layer_counts *more)
{
	n->skbs += more->skbs;
	n->packets += more->packets;
	n->skb_bytes += more->skb_bytes;
	n->bytes += more->bytes;
	n->payload_bytes += more->payload_bytes;
	n->empty_packets += more->empty_packets;
}

/* Rows that can grow; begins as zero. */
struct layer_rows {
	struct layer_row *rows;
	size_t n, room;
};

/* Free the rows. */
void layer_rows_fini(struct layer_rows *r);
/* Append a row. -ENOMEM. */
int layer_rows_add(struct layer_rows *r, const struct layer_row *row);
/* Add to the row of the same key, or append it; looks at all of them. -ENOMEM. */
int layer_rows_sum(struct layer_rows *r, const struct layer_row *row);

/* "socket", "l3", "device"; "tcp", ...; "sent", "received". */
const char *layer_name(const struct layer_key *key);
const char *layer_class_name(const struct layer_key *key);
const char *layer_direction_name(const struct layer_key *key);

#endif
