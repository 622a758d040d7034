/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_PROCESS_H
#define NSLENS_MODEL_PROCESS_H

#include <stdint.h>

/*
 * A process image: one execve of one process. Shared and counted by reference; who holds one for
 * longer than a call takes a reference. Strings belong to the process. A NULL string or
 * PROCESS_NO_UID is unknown, n_args 0 too. args are already capped and redacted.
 */
struct process {
	unsigned int n_ref;
	uint32_t pid;		   /* thread group id in the first pid namespace */
	uint32_t pid_in_namespace; /* 0: unknown */
	uint32_t exec_id;
	uint64_t start_ns;   /* CLOCK_BOOTTIME */
	uint32_t uid;	     /* effective; PROCESS_NO_UID: unknown */
	uint32_t parent_pid; /* 0: none or unknown */
	uint64_t parent_start_ns;
	char *name;	  /* the kernel's comm */
	char *executable; /* absolute path in its own mount namespace */
	char *parent_executable;
	char **args;
	unsigned int n_args;
	char *cgroup;		       /* path below the cgroup2 root, "/..." */
	char *container_id;	       /* that stands in the cgroup path */
	const char *container_runtime; /* static text: "docker", "containerd"... */
};

#define PROCESS_NO_UID UINT32_MAX

/* Take a reference; NULL is fine. Returns @p. */
struct process *process_ref(struct process *p);
/* Drop a reference; the last one frees. NULL is fine. Returns NULL. */
struct process *process_unref(struct process *p);

#endif
