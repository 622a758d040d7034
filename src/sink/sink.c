// SPDX-License-Identifier: Apache-2.0
#include "sink/sink.h"

#include <string.h>

const struct sink *const sink_table[] = {
	&sink_text,
	&sink_jsonl,
	NULL,
};

const struct sink *sink_find(const char *name)
{
	for (const struct sink *const *s = sink_table; *s; s++)
		if (!strcmp((*s)->name, name))
			return *s;
	return NULL;
}
