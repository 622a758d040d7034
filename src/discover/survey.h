/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_SURVEY_H
#define NSLENS_DISCOVER_SURVEY_H

#include <stdbool.h>

#include "discover/kernel.h"
#include "discover/table.h"

/* What is called for a namespace whose names are not what they were. */
typedef void (*survey_named_fn)(void *arg, struct netns_entry *en);

/*
 * Go through all processes and the mounts of every mount namespace that a process lives in, and
 * note in the table's entries the names, the number of processes, and how each is held; with
 * @descriptors (dearer: every descriptor of every process is visited) also by descriptors and
 * sockets, which is otherwise kept from the last time. @named may be NULL.
 */
int netns_survey(struct netns_table *t, struct netns_kernel *k, bool descriptors,
		 survey_named_fn named, void *arg, struct err *e);

/*
 * The name that a bind mount at @path gives: NAME for /run/netns/NAME and /var/run/netns/NAME, the
 * path itself for any other. A part of @path.
 */
const char *survey_name_of_path(const char *path);

/* Sort order of names: -1, 0, 1. Plain names come first, then Docker's, then other paths. */
int survey_compare_names(const char *a, const char *b);

/*
 * The inode that the root of an nsfs mount names, "net:[4026531833]"; 0: it is no network
 * namespace.
 */
unsigned int survey_inode_of_root(const char *root);

#endif
