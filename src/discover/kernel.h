/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_KERNEL_H
#define NSLENS_DISCOVER_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "discover/walk.h"

/*
 * What the kernel knows of network namespaces, read by the programs of walk.bpf.c. Nothing is
 * attached until births are watched, and then one raw tracepoint. Rows belong to the kernel object
 * and are valid until the same function is called again.
 */
struct netns_kernel;

/*
 * Load the programs; @births: also the one that netns_kernel_watch_births() attaches. The error
 * says what is missing: a capability, BTF, a newer kernel.
 */
int netns_kernel_new(struct netns_kernel **ret, bool births, struct err *e);
void netns_kernel_free(struct netns_kernel *k);

/* Every namespace on the kernel's list, in the order of birth. */
int netns_kernel_walk(struct netns_kernel *k, const struct netns_row **ret, size_t *ret_n,
		      struct err *e);
/* Every process, and every thread that lives elsewhere than its process. */
int netns_kernel_tasks(struct netns_kernel *k, const struct task_row **ret, size_t *ret_n,
		       struct err *e);
/* Every descriptor that holds a namespace, some left out that say nothing new. */
int netns_kernel_holders(struct netns_kernel *k, const struct held_row **ret, size_t *ret_n,
			 struct err *e);

/*
 * Say when namespaces are born: the descriptor (the kernel object's) becomes readable, and
 * netns_kernel_births() returns how many there were since it was last called, and empties it. They
 * are on the list about a millisecond later. The error says why this kernel doesn't tell.
 */
int netns_kernel_watch_births(struct netns_kernel *k, int *ret_fd, struct err *e);
unsigned int netns_kernel_births(struct netns_kernel *k);

#endif
