/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_TABLE_H
#define NSLENS_DISCOVER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "discover/walk.h"
#include "model/netns.h"

/*
 * The network namespaces that are on the kernel's list, by cookie and by inode, in the order of
 * birth.
 */
struct netns_entry {
	struct netns ns;      /* first: an entry is found back from it */
	uint64_t ns_id;	      /* of walk.h */
	uint64_t seen_ns;     /* when it was met, CLOCK_MONOTONIC */
	unsigned int walk;    /* the last that met it */
	bool has_nsid;	      /* the kernel will tell of its death, and of its devices */
	int32_t nsid;	      /* if so, its number, as seen from our namespace */
	bool nsid_wanted;     /* it is to get one */
	unsigned int n_tries; /* to give it one, that failed */
	bool fresh;	      /* met by the walk that goes on */
	bool marked;	      /* for whoever goes through the table */
	char *last_name;      /* the best it has, or had */

	/*
	 * Ways to open it without a file handle, as far as known: who lives in it, who has it
	 * open, where it is bound.
	 */
	uint32_t process, descriptor_pid, descriptor, socket_pid, socket;
	char *mount_path;

	UT_hash_handle by_cookie, by_inode, by_nsid;
};

/* Zero-initialised is empty. */
struct netns_table {
	struct netns_entry *by_cookie, *by_inode, *by_nsid;
};

/* NULL: not there. */
struct netns_entry *netns_table_get(const struct netns_table *t, uint64_t cookie);
struct netns_entry *netns_table_get_inode(const struct netns_table *t, uint32_t inode);
/* NULL: out of memory. An older entry of the same inode is not found by inode any more. */
struct netns_entry *netns_table_add(struct netns_table *t, const struct netns_row *row);
/* Nobody has that id (any more): NULL. */
struct netns_entry *netns_table_get_nsid(const struct netns_table *t, int32_t nsid);
/* The kernel gave it id @nsid; one that had it before is dead. */
void netns_table_set_nsid(struct netns_table *t, struct netns_entry *en, int32_t nsid);
/* Take it out; the caller frees it. */
void netns_table_remove(struct netns_table *t, struct netns_entry *en);
/* The first, or the one after @en; NULL: none. */
struct netns_entry *netns_table_next(const struct netns_table *t, const struct netns_entry *en);
size_t netns_table_count(const struct netns_table *t);
void netns_table_fini(struct netns_table *t);

/* The entry of a namespace that lies in a table. */
static inline struct netns_entry *netns_entry_of(const struct netns *ns)
{
	return (struct netns_entry *)ns;
}

/* Free one that is in no table. NULL is fine. */
void netns_entry_free(struct netns_entry *en);

/*
 * A descriptor of it, to be closed at once: an open descriptor keeps a namespace alive. @handles:
 * try its file handle first (Linux 6.18), which needs nobody who has it; else by those that do.
 * -errno.
 */
int netns_entry_open(const struct netns_entry *en, bool handles);

#endif
