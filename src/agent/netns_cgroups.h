/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_NETNS_CGROUPS_H
#define NSLENS_AGENT_NETNS_CGROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "discover/registry.h"
#include "identity/table.h"

/*
 * In which cgroups the processes of each network namespace are, as of the last look: a pass over
 * the kernel's processes by an iterator, about a microsecond each.
 */
struct netns_cgroups {
	struct netns_cgroup *rows; /* by namespace */
	size_t n;
	const char **paths; /* room for those of one namespace */
};

struct netns_cgroup {
	uint64_t netns_cookie, cgroup_id;
	char *path; /* NULL: not known */
};

/* Look. *@ret_changed: it is not as it was. */
int netns_cgroups_look(struct netns_cgroups *c, struct netns_registry *netns,
		       struct process_table *processes, bool *ret_changed, struct err *e);
/* The paths of a namespace's; valid until the next call of any of these. */
const char *const *netns_cgroups_of(const struct netns_cgroups *c, uint64_t netns_cookie,
				    size_t *ret_n);
/* Empty again. */
void netns_cgroups_fini(struct netns_cgroups *c);

#endif
