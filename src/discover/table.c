// SPDX-License-Identifier: Apache-2.0
#include "discover/table.h"

#include <stdlib.h>

struct netns_entry *netns_table_get(const struct netns_table *t, uint64_t cookie)
{
	struct netns_entry *en;

	HASH_FIND(by_cookie, t->by_cookie, &cookie, sizeof(cookie), en);
	return en;
}

struct netns_entry *netns_table_get_inode(const struct netns_table *t, uint32_t inode)
{
	struct netns_entry *en;

	HASH_FIND(by_inode, t->by_inode, &inode, sizeof(inode), en);
	return en;
}

struct netns_entry *netns_table_add(struct netns_table *t, const struct netns_row *row)
{
	struct netns_entry *en = calloc(1, sizeof(*en));
	struct netns_entry *older;

	if (!en)
		return NULL;
	en->ns.cookie = row->cookie;
	en->ns.inode = row->inode;
	en->ns.dying = row->dying;
	en->ns_id = row->ns_id;
	older = netns_table_get_inode(t, row->inode);
	if (older)
		HASH_DELETE(by_inode, t->by_inode, older);
	HASH_ADD(by_cookie, t->by_cookie, ns.cookie, sizeof(en->ns.cookie), en);
	HASH_ADD(by_inode, t->by_inode, ns.inode, sizeof(en->ns.inode), en);
	return en;
}

struct netns_entry *netns_table_get_nsid(const struct netns_table *t, int32_t nsid)
{
	struct netns_entry *en;

	HASH_FIND(by_nsid, t->by_nsid, &nsid, sizeof(nsid), en);
	return en;
}

static void forget_nsid(struct netns_table *t, struct netns_entry *en)
{
	if (en && en->has_nsid && netns_table_get_nsid(t, en->nsid) == en)
		HASH_DELETE(by_nsid, t->by_nsid, en);
}

void netns_table_set_nsid(struct netns_table *t, struct netns_entry *en, int32_t nsid)
{
	forget_nsid(t, en);
	forget_nsid(t, netns_table_get_nsid(t, nsid));
	en->has_nsid = true;
	en->nsid = nsid;
	HASH_ADD(by_nsid, t->by_nsid, nsid, sizeof(en->nsid), en);
}

void netns_table_remove(struct netns_table *t, struct netns_entry *en)
{
	forget_nsid(t, en);
	HASH_DELETE(by_cookie, t->by_cookie, en);
	if (netns_table_get_inode(t, en->ns.inode) == en)
		HASH_DELETE(by_inode, t->by_inode, en);
}

struct netns_entry *netns_table_next(const struct netns_table *t, const struct netns_entry *en)
{
	return en ? en->by_cookie.next : t->by_cookie;
}

size_t netns_table_count(const struct netns_table *t)
{
	return HASH_CNT(by_cookie, t->by_cookie);
}

void netns_table_fini(struct netns_table *t)
{
	struct netns_entry *en;

	while ((en = t->by_cookie)) {
		netns_table_remove(t, en);
		netns_entry_free(en);
	}
}

void netns_entry_free(struct netns_entry *en)
{
	if (!en)
		return;
	for (unsigned int i = 0; i < en->ns.n_names; i++)
		free(en->ns.names[i]);
	free(en->ns.names);
	free(en->mount_path);
	free(en->last_name);
	free(en);
}
