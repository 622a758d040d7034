/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_TRANSLATOR_H
#define NSLENS_AGENT_TRANSLATOR_H

#include <stdint.h>

#include "flow/table.h"

/*
 * Asks connection tracking what became of the addresses of conversations whose other end was not
 * found: one question each, in a thread of its own, in the namespace of the socket and then in the
 * one that nslens runs in. Bounded: so many questions a second, and under way at a time; a
 * namespace that tracks nothing is not asked again for a second. No namespace is held beyond its
 * question, and no module is loaded for it.
 */
struct translator;
struct netns_registry;

struct translator_usage {
	uint64_t n_asked;      /* questions */
	uint64_t n_translated; /* of them: addresses had been translated */
	uint64_t n_failed;     /* of them: no answer was to be had */
	uint64_t n_skipped;    /* not asked: too many at that time */
};

/* NULL on lack of memory. The thread begins with the first question. */
struct translator *translator_new(struct netns_registry *netns);
/* Waits for the question that is under way. NULL is fine. */
void translator_free(struct translator *t);

/*
 * 0: an answer may come with translator_collect(), to this or for the other end. -errno: nobody to
 * be asked, or not now.
 */
int translator_ask(struct translator *t, const struct flow_question *q);

/* Called with each answer. */
typedef void (*answer_fn)(void *arg, const struct flow_answer *a);
/* Hand over the answers that have come. */
void translator_collect(struct translator *t, answer_fn answer, void *arg);

/* Counts since the start. */
void translator_get_usage(const struct translator *t, struct translator_usage *ret);

#endif
