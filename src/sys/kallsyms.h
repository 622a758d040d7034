/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_KALLSYMS_H
#define NSLENS_SYS_KALLSYMS_H

#include <stdint.h>
#include <stdio.h>

/* The addresses of a function of the kernel: from <= address < to. */
struct symbol_range {
	uint64_t from, to;
};

/*
 * Find function @name (also as the compiler's copy "name.isra.0" and the like) in @f, which reads
 * as /proc/kallsyms. -ENOENT: it isn't there. -EPERM: the kernel shows no addresses to this
 * process.
 */
int kallsyms_find(FILE *f, const char *name, struct symbol_range *ret_range);

/* The same in the running kernel. */
int kallsyms_range(const char *name, struct symbol_range *ret_range);

#endif
