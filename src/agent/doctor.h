/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_DOCTOR_H
#define NSLENS_AGENT_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What this kernel, these privileges and this container allow, asked of the kernel itself where
 * that is possible: small programs are loaded and let go again. Nothing is attached to a device, a
 * cgroup or a function that anything calls, and nothing stays.
 */
enum doctor_state {
	DOCTOR_OK,
	DOCTOR_FALLBACK, /* nslens works without it, and its row says how */
	DOCTOR_MISSING,	 /* nslens can't work without it */
	DOCTOR_UNKNOWN,	 /* these privileges don't allow to find out */
	N_DOCTOR_STATES,
};

/* "ok", "fallback", "missing", "unknown". */
extern const char *const doctor_state_names[N_DOCTOR_STATES];

enum { DOCTOR_FOUND_MAX = 160 };

/* The strings are static but for found. */
struct doctor_finding {
	const char *check;
	enum doctor_state state;
	bool required;
	char found[DOCTOR_FOUND_MAX];
	const char *without; /* what nslens does or lacks then */
	const char *remedy;  /* how to get it */
};

/*
 * Run all checks in the order in which one reads them. @ret_findings is the caller's to free().
 * Returns how many there are; 0: out of memory.
 */
size_t doctor_examine(struct doctor_finding **ret_findings);

#endif
