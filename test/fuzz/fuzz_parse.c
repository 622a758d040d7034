// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/lib/parse.bpf.h"

/* Any bytes as a packet: nothing is read beyond their end, and what is said of them lies within. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *packet = malloc(size ? size : 1);
	struct parsed p;

	if (!packet)
		return 0;
	memcpy(packet, data, size);
	if (!parse_l3(packet, packet + size, &p)) {
		if (p.version != 4 && p.version != 6)
			abort();
		if (p.l4_offset < PARSE_IP4_MIN)
			abort();
		if (p.l4_offset + PARSE_L4_LEN <= size)
			parse_l4(packet + p.l4_offset, &p);
	}
	free(packet);
	return 0;
}
