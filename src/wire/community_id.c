// SPDX-License-Identifier: Apache-2.0
#include "wire/community_id.h"

#include <nettle/sha1.h>
#include <string.h>

#include "wire/base64.h"

enum { SEED_SIZE = 2, TUPLE_SIZE_MAX = SEED_SIZE + 2 * 16 + 2 + 2 * 2 };

static uint8_t *put(uint8_t *to, const void *data, size_t len)
{
	memcpy(to, data, len);
	return to + len;
}

static uint8_t *put_port(uint8_t *to, uint16_t port)
{
	return put(to, (uint8_t[]){ (uint8_t)(port >> 8), (uint8_t)port }, 2);
}

/* Is it already in the order that both ends agree on: smaller address, then smaller port, first? */
static bool is_ordered(const struct community_tuple *t, size_t ip_size)
{
	int order = memcmp(t->source.bytes, t->destination.bytes, ip_size);

	return t->one_way || order < 0 || (!order && t->source_port < t->destination_port);
}

const char *community_id(const struct community_tuple *t, char text[COMMUNITY_ID_TEXT_MAX])
{
	size_t ip_size = t->source.family == IP_V4 ? 4 : 16;
	bool ordered = is_ordered(t, ip_size);
	uint8_t tuple[TUPLE_SIZE_MAX] = { 0 }, digest[SHA1_DIGEST_SIZE], *to = tuple + SEED_SIZE;
	struct sha1_ctx sha1;

	if (t->source.family == IP_NONE || t->source.family != t->destination.family)
		return NULL;
	to = put(to, ordered ? t->source.bytes : t->destination.bytes, ip_size);
	to = put(to, ordered ? t->destination.bytes : t->source.bytes, ip_size);
	to = put(to, (uint8_t[]){ t->protocol, 0 }, 2);
	to = put_port(to, ordered ? t->source_port : t->destination_port);
	to = put_port(to, ordered ? t->destination_port : t->source_port);
	sha1_init(&sha1);
	sha1_update(&sha1, (size_t)(to - tuple), tuple);
	sha1_digest(&sha1, sizeof(digest), digest);
	memcpy(text, "1:", 2);
	base64_encode(digest, sizeof(digest), text + 2);
	return text;
}
