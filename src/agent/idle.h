/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_IDLE_H
#define NSLENS_AGENT_IDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With three quarters of the room taken: make room now, not with the next sweep. */
bool idle_is_crowded(size_t n, size_t room);

/*
 * After how long without a datagram a flow is over, where @n flows are in a map with @room:
 * @idle_ns up to half full, then less and less, at three quarters as little as a question usually
 * waits for its answer. What is new finds room for it, and what talks stays.
 */
uint64_t idle_in_room(uint64_t idle_ns, size_t n, size_t room);

#endif
