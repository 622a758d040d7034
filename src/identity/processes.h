/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_PROCESSES_H
#define NSLENS_IDENTITY_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/record.h"
#include "model/process.h"

/*
 * The images that are held, by owner. The set holds one reference to each. Nobody else's: idle;
 * an image that was idle for the grace period goes, and the oldest ones before that if there are
 * too many idle ones.
 */
struct processes;

/* An empty set. 0 or -ENOMEM. */
int processes_new(unsigned int max_idle, struct processes **ret);
/* NULL is fine. */
void processes_free(struct processes *s);

/* Borrowed, NULL if there is none. Counts as use. */
struct process *processes_find(struct processes *s, const struct owner *owner);

/* Is an image of the same process with a later exec held? */
bool processes_has_later(const struct processes *s, const struct owner *owner);

/*
 * Take over the caller's reference to @p, also on failure. If an image of the same owner is there
 * already, it gets what @p knows, so that who holds it sees that, and @p is gone. 0 or -ENOMEM.
 */
int processes_put(struct processes *s, struct process *p);

/* See process_table_expire(). */
void processes_expire(struct processes *s, uint64_t now_ns);

/* Images, and the bytes that they and the set take. */
void processes_usage(const struct processes *s, uint64_t *ret_images, uint64_t *ret_bytes);

#endif
