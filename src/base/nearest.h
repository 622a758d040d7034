/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_BASE_NEAREST_H
#define NSLENS_BASE_NEAREST_H

#include <stddef.h>

/*
 * "Did you mean ...?": of the names that are offered, the one nearest to a mistyped word. Start
 * with the word and its length, offer each name, then read best: NULL if nothing is near enough to
 * be meant. Nothing is copied.
 */
struct nearest {
	const char *word;
	size_t len;
	const char *best;
	unsigned int distance; /* of best */
};

/* Insertions, deletions, changes and swaps of neighbours that lead from @word to @name. Words over
 * 32 are far. */
unsigned int nearest_distance(const char *word, size_t len, const char *name);
void nearest_offer(struct nearest *n, const char *name);

#endif
