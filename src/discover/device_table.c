// SPDX-License-Identifier: Apache-2.0
#include "discover/device_table.h"

#include <stdlib.h>
#include <utlist.h>

/* Without the padding behind. */
enum { ID_BYTES = offsetof(struct device_id, ifindex) + sizeof(uint32_t) };

static struct device_netns *get_netns(const struct device_table *t, uint64_t cookie)
{
	struct device_netns *ns;

	HASH_FIND(hh, t->netns, &cookie, sizeof(cookie), ns);
	return ns;
}

static struct device_netns *need_netns(struct device_table *t, uint64_t cookie)
{
	struct device_netns *ns = get_netns(t, cookie);

	if (ns)
		return ns;
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return NULL;
	ns->cookie = cookie;
	HASH_ADD(hh, t->netns, cookie, sizeof(ns->cookie), ns);
	return ns;
}

struct device_entry *device_table_get(const struct device_table *t, struct device_id id)
{
	struct device_entry *en;

	HASH_FIND(hh, t->devices, &id, ID_BYTES, en);
	return en;
}

struct device_entry *device_table_add(struct device_table *t, struct device_id id)
{
	struct device_netns *ns = need_netns(t, id.netns_cookie);
	struct device_entry *en = ns ? calloc(1, sizeof(*en)) : NULL;

	if (!en)
		return NULL;
	en->dev.id = id;
	HASH_ADD(hh, t->devices, dev.id, ID_BYTES, en);
	DL_APPEND(ns->devices, en);
	return en;
}

void device_table_remove(struct device_table *t, struct device_entry *en)
{
	struct device_netns *ns = get_netns(t, en->dev.id.netns_cookie);

	HASH_DEL(t->devices, en);
	DL_DELETE(ns->devices, en);
	if (!ns->devices) {
		HASH_DEL(t->netns, ns);
		free(ns);
	}
	free(en->vfs);
	free(en);
}

struct device_entry *device_table_next(const struct device_table *t, const struct device_entry *en)
{
	return en ? en->hh.next : t->devices;
}

struct device_entry *device_table_first_in(const struct device_table *t, uint64_t netns_cookie)
{
	struct device_netns *ns = get_netns(t, netns_cookie);

	return ns ? ns->devices : NULL;
}

size_t device_table_count(const struct device_table *t)
{
	return HASH_COUNT(t->devices);
}

void device_table_fini(struct device_table *t)
{
	struct device_netns *ns;

	while (t->devices)
		device_table_remove(t, t->devices);
	while ((ns = t->netns)) {
		HASH_DEL(t->netns, ns);
		free(ns);
	}
}
