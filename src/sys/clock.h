/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_CLOCK_H
#define NSLENS_SYS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The time of @clock in ns. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

#endif
