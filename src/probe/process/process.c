// SPDX-License-Identifier: Apache-2.0
#include "probe/process/process.h"

#include <stdint.h>
#include <bpf/btf.h>

#include "probes.skel.h"

enum { ANONYMOUS_DEPTH = 4, NOT_FOUND = -1 };

/* Offset in bytes of a member, also one of an anonymous struct or union; or NOT_FOUND. */
static int64_t member_offset(const struct btf *btf, __u32 type, const char *name, int depth)
{
	const struct btf_type *t = btf__type_by_id(btf, type);
	int64_t inner;

	if (!t || depth > ANONYMOUS_DEPTH || !btf_is_composite(t))
		return NOT_FOUND;
	for (__u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *n = btf__name_by_offset(btf, m->name_off);
		int64_t at = btf_member_bit_offset(t, i) / 8;

		if (!strcmp(n, name))
			return at;
		inner = *n ? NOT_FOUND : member_offset(btf, m->type, name, depth + 1);
		if (inner != NOT_FOUND)
			return at + inner;
	}
	return NOT_FOUND;
}

/*
 * Offset of variable @name, or of its member @member, in the section of per-CPU variables;
 * or NOT_FOUND.
 */
static int64_t percpu_offset(const struct btf *btf, const char *name, const char *member)
{
	int id = btf__find_by_name_kind(btf, ".data..percpu", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, id) : NULL;
	const struct btf_var_secinfo *var = section ? btf_var_secinfos(section) : NULL;
	int64_t at;

	for (__u32 i = 0; section && i < btf_vlen(section); i++) {
		const struct btf_type *t = btf__type_by_id(btf, var[i].type);

		if (strcmp(btf__name_by_offset(btf, t->name_off), name))
			continue;
		at = member ? member_offset(btf, t->type, member, 0) : 0;
		return at == NOT_FOUND ? NOT_FOUND : var[i].offset + at;
	}
	return NOT_FOUND;
}

/* x86 has a variable of its own, from 6.3 to 6.14 a member of another. 0: unknown. */
static int64_t preempt_count_offset(const struct btf *btf)
{
	int64_t from, to;

	if (!btf)
		return 0;
	from = percpu_offset(btf, "runqueues", NULL);
	to = percpu_offset(btf, "__preempt_count", NULL);
	if (to == NOT_FOUND)
		to = percpu_offset(btf, "pcpu_hot", "preempt_count");
	return from == NOT_FOUND || to == NOT_FOUND ? 0 : to - from;
}

void process_probe_configure(struct probes_bpf *skel, const struct btf *btf, bool no_args)
{
	skel->rodata->process_take_args = !no_args;
	skel->rodata->task_preempt_count_off = preempt_count_offset(btf);
}
