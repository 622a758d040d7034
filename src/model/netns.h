/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_NETNS_H
#define NSLENS_MODEL_NETNS_H

#include <stdbool.h>
#include <stdint.h>

/* How a network namespace is held; a namespace can be held in several ways. */
enum netns_hold {
	NETNS_HELD_BY_PROCESS = 1 << 0,
	NETNS_HELD_BY_MOUNT = 1 << 1,
	NETNS_HELD_BY_DESCRIPTOR = 1 << 2, /* an open /proc/PID/ns/net or the like */
	NETNS_HELD_BY_SOCKET = 1 << 3,
	NETNS_HELD_BY_KERNEL = 1 << 4, /* the initial one */
};

/* A network namespace. cookie is its key: inodes are reused, cookies are not. Owns its strings. */
struct netns {
	uint64_t cookie;
	uint32_t inode;
	char **names; /* each distinct name found, the best first */
	unsigned int n_names;
	unsigned int n_processes;
	unsigned int held_by; /* enum netns_hold bits */
	uint32_t holder_pid;  /* the lowest that lives in it, else that has a descriptor; 0: none */
	bool dying;	      /* held by nobody any more, the kernel takes it down */
	bool covered;
	const char *not_covered_why; /* static text, if not covered */
};

/* The best name, or NULL. */
static inline const char *netns_name(const struct netns *ns)
{
	return ns->n_names ? ns->names[0] : NULL;
}

#endif
