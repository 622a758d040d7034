/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_CAPABILITY_H
#define NSLENS_SYS_CAPABILITY_H

#include <stdbool.h>
#include <stddef.h>

/* Is capability @cap (CAP_* of linux/capability.h) effective in this process? */
bool capability_has(unsigned int cap);

/*
 * Write the names of those of the @n capabilities that this process lacks to @text of @size bytes,
 * "CAP_BPF, CAP_PERFMON". Returns how many; 0 leaves "". What CAP_SYS_ADMIN stands for on old
 * kernels counts as there with it.
 */
unsigned int capability_missing(const unsigned int *caps, size_t n, char *text, size_t size);

#endif
