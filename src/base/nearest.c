// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <limits.h>
#include <string.h>

enum { MAX_WORD = 32 };

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

unsigned int nearest_distance(const char *word, size_t len, const char *name)
{
	unsigned int row[MAX_WORD + 1][MAX_WORD + 1];
	size_t name_len = strlen(name);

	if (len > MAX_WORD || name_len > MAX_WORD)
		return UINT_MAX;
	for (unsigned int i = 0; i <= len; i++) {
		for (unsigned int j = 0; j <= name_len; j++) {
			if (!i || !j) {
				row[i][j] = i + j;
				continue;
			}
			row[i][j] = least(row[i - 1][j], row[i][j - 1]) + 1;
			row[i][j] = least(row[i][j],
					  row[i - 1][j - 1] + (word[i - 1] != name[j - 1]));
			if (i > 1 && j > 1 && word[i - 1] == name[j - 2] &&
			    word[i - 2] == name[j - 1])
				row[i][j] = least(row[i][j], row[i - 2][j - 2] + 1);
		}
	}
	return row[len][name_len];
}

void nearest_offer(struct nearest *n, const char *name)
{
	unsigned int distance = nearest_distance(n->word, n->len, name);

	/* A third of the word may be wrong. */
	if (distance > (n->len + 2) / 3 || (n->best && distance >= n->distance))
		return;
	n->best = name;
	n->distance = distance;
}
