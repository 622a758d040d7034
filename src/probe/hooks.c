// SPDX-License-Identifier: Apache-2.0
#include "probe/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>

#include "base/base.h"

/* How many arguments programs read of what they hook into, where kernels differ in that. */
static const struct {
	const char *program;
	unsigned int n_args;
} reads[] = {
	{ "dgram_refused", 3 }, { "dgram_unqueued", 2 }, { "io_sent4", 3 },	{ "io_sent6", 3 },
	{ "io_sent_page", 5 },	{ "io_received4", 4 },	 { "io_received6", 4 },
};

static unsigned int n_args_read(const char *program)
{
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++)
		if (!strcmp(reads[i].program, program))
			return reads[i].n_args;
	return 0;
}

/* How many arguments the function type @id has, through pointers and typedefs. */
static unsigned int n_args_of(const struct btf *btf, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_ptr(t) || btf_is_typedef(t) || btf_is_func(t)))
		t = btf__type_by_id(btf, t->type);
	return t && btf_is_func_proto(t) ? btf_vlen(t) : 0;
}

/* The first argument of a tracepoint's type is the program's own data. */
static int tracepoint_find(const struct btf *btf, const char *name, unsigned int n_args,
			   char *ret_why)
{
	char type[64];
	int id;

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF);
	if (id < 0)
		snprintf(ret_why, HOOK_WHY_MAX, "this kernel has no tracepoint %s", name);
	else if (n_args_of(btf, (__u32)id) < n_args + 1)
		snprintf(ret_why, HOOK_WHY_MAX, "this kernel's tracepoint %s tells less", name);
	else
		return 0;
	return -ENOENT;
}

/* A function's result stands behind its arguments: their number must be as it is known. */
static int function_find(const struct btf *btf, const char *name, unsigned int n_args,
			 char *ret_why)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);

	if (id < 0)
		snprintf(ret_why, HOOK_WHY_MAX, "this kernel has no function %s", name);
	else if (n_args_of(btf, (__u32)id) != n_args)
		snprintf(ret_why, HOOK_WHY_MAX, "this kernel's function %s is another", name);
	else
		return 0;
	return -ENOENT;
}

int hook_find(const struct btf *btf, const char *program, const char *section,
	      char ret_why[HOOK_WHY_MAX])
{
	unsigned int n_args = n_args_read(program);
	const char *name = strchr(section, '/');

	*ret_why = '\0';
	section += *section == '?';
	if (!btf || !name)
		return 0;
	if (!strncmp(section, "tp_btf/", 7))
		return tracepoint_find(btf, name + 1, n_args, ret_why);
	if (!strncmp(section, "fexit/", 6) || !strncmp(section, "fentry/", 7))
		return function_find(btf, name + 1, n_args, ret_why);
	return 0;
}
