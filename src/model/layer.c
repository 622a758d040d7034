// SPDX-License-Identifier: Apache-2.0
#include "model/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void layer_rows_fini(struct layer_rows *r)
{
	free(r->rows);
	*r = (struct layer_rows){ 0 };
}

int layer_rows_add(struct layer_rows *r, const struct layer_row *row)
{
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 32;
		struct layer_row *rows = reallocarray(r->rows, room, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		r->rows = rows;
		r->room = room;
	}
	r->rows[r->n++] = *row;
	return 0;
}

int layer_rows_sum(struct layer_rows *r, const struct layer_row *row)
{
	for (size_t i = 0; i < r->n; i++) {
		struct layer_row *to = &r->rows[i];

		if (memcmp(&to->key, &row->key, sizeof(to->key)))
			continue;
		layer_counts_add(&to->n, &row->n);
		to->retransmitted_bytes += row->retransmitted_bytes;
		return 0;
	}
	return layer_rows_add(r, row);
}

const char *layer_name(const struct layer_key *key)
{
	static const char *const names[N_LAYERS] = {
		[LAYER_SOCKET] = "socket",
		[LAYER_L3] = "l3",
		[LAYER_DEVICE] = "device",
	};

	return names[key->layer];
}

const char *layer_class_name(const struct layer_key *key)
{
	static const char *const names[N_LAYER_CLASSES] = {
		[LAYER_TCP] = "tcp",	       [LAYER_UDP] = "udp",	  [LAYER_ICMP] = "icmp",
		[LAYER_OTHER_IP] = "other_ip", [LAYER_NOT_IP] = "not_ip",
	};

	return names[key->class];
}

const char *layer_direction_name(const struct layer_key *key)
{
	return key->direction == LAYER_TX ? "sent" : "received";
}
