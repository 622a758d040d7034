// SPDX-License-Identifier: Apache-2.0
#include "agent/idle.h"

#include "base/base.h"

#define CROWDED_IDLE_NS (100 * NS_PER_MS)

bool idle_is_crowded(size_t n, size_t room)
{
	return n >= room - room / 4;
}

uint64_t idle_in_room(uint64_t idle_ns, size_t n, size_t room)
{
	size_t half = room / 2, most = room - room / 4;
	uint64_t less = CROWDED_IDLE_NS;

	if (n <= half || idle_ns <= CROWDED_IDLE_NS)
		return idle_ns;
	if (n < most)
		less += (idle_ns - less) / (most - half) * (most - n);
	return less;
}
