// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "flow/table_private.h"

static struct flow_sum *flow_sum_of(struct flow_table *t, uint64_t netns_cookie)
{
	struct flow_sum *s;

	HASH_FIND(hh, t->sums, &netns_cookie, sizeof(netns_cookie), s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->netns_cookie = netns_cookie;
	HASH_ADD(hh, t->sums, netns_cookie, sizeof(netns_cookie), s);
	return s;
}

void flow_sum_tcp(struct flow_table *t, const struct flow_end *e, const struct rec_tcp *r)
{
	struct flow_sum *s = flow_sum_of(t, r->netns_cookie);

	/* What an older socket did before is no part of it: the others did not see it. */
	if (!s || (r->flags & TCP_F_ADOPTED && !e->ts_ns))
		return;
	s->tx_bytes += r->tx_bytes - e->tx_bytes;
	s->rx_bytes += r->rx_bytes - e->rx_bytes;
	s->tx_packets += r->segs_out - e->tx_packets;
	s->rx_packets += r->segs_in - e->rx_packets;
	s->retransmitted_bytes += r->retransmitted_bytes - e->retransmitted_bytes;
}

void flow_sums_free(struct flow_table *t)
{
	struct flow_sum *s, *next;

	HASH_ITER(hh, t->sums, s, next) {
		HASH_DEL(t->sums, s);
		free(s);
	}
}

/* Both directions of @s as rows. */
static int flow_sum_rows(const struct flow_sum *s, struct layer_rows *ret)
{
	struct layer_row tx = { .key = { .netns_cookie = s->netns_cookie,
					 .layer = LAYER_SOCKET,
					 .class = LAYER_TCP,
					 .direction = LAYER_TX },
				.n = { .packets = s->tx_packets, .payload_bytes = s->tx_bytes },
				.retransmitted_bytes = s->retransmitted_bytes };
	struct layer_row rx = { .key = tx.key,
				.n = { .packets = s->rx_packets, .payload_bytes = s->rx_bytes } };

	rx.key.direction = LAYER_RX;
	return layer_rows_add(ret, &tx) ?: layer_rows_add(ret, &rx);
}

int flow_table_layers(const struct flow_table *t, struct layer_rows *ret)
{
	int err = 0;

	for (const struct flow_sum *s = t->sums; s && !err; s = s->hh.next)
		err = flow_sum_rows(s, ret);
	return err;
}

int flow_table_take_layers(struct flow_table *t, bool (*gone)(void *arg, uint64_t netns_cookie),
			   void *arg, struct layer_rows *ret)
{
	struct flow_sum *s, *next;
	int err = 0;

	HASH_ITER(hh, t->sums, s, next) {
		if (err || !gone(arg, s->netns_cookie))
			continue;
		err = flow_sum_rows(s, ret);
		HASH_DEL(t->sums, s);
		free(s);
	}
	return err;
}
