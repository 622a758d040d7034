// SPDX-License-Identifier: Apache-2.0
// FUZZ-SOURCES: src/sys/mountinfo.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The strings lie within the line, and undoing escapes made none longer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct mount_entry m;

	memcpy(line, data, size);
	line[size] = '\0';
	if (!mountinfo_parse(line, &m) &&
	    (m.root < line || m.fs_type + strlen(m.fs_type) > line + size ||
	     strlen(m.mount_point) >= (size_t)(m.fs_type - m.mount_point)))
		abort();
	free(line);
	return 0;
}
