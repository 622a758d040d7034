/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_HOOKS_H
#define NSLENS_PROBE_HOOKS_H

#include <stddef.h>

/*
 * Does this kernel have what a program hooks into? Found out from the kernel's BTF before the load,
 * since a program whose hook is missing would make the whole object fail.
 */

struct btf;

enum { HOOK_WHY_MAX = 128 };

/*
 * 0: it has. -ENOENT: not the tracepoint or function that @section ("tp_btf/X", "?fexit/X") of
 * program @program is for, or that has other arguments; @ret_why says which. Other sections have
 * what they need on every kernel.
 */
int hook_find(const struct btf *btf, const char *program, const char *section,
	      char ret_why[HOOK_WHY_MAX]);

#endif
