/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_PROCFS_H
#define NSLENS_IDENTITY_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROCFS_PATH_MAX = 4096, PROCFS_NAME_MAX = 16 };

/* What /proc/PID tells. Strings are "" and figures 0 where it does not. */
struct procfs_process {
	uint64_t start_ns; /* CLOCK_BOOTTIME, to a clock tick */
	uint32_t parent_pid;
	uint32_t pid_in_namespace;
	uint32_t uid; /* effective; PROCESS_NO_UID: unknown */
	char name[PROCFS_NAME_MAX];
	char executable[PROCFS_PATH_MAX];
	char parent_executable[PROCFS_PATH_MAX];
	char cgroup[PROCFS_PATH_MAX]; /* of the cgroup2 hierarchy only */
	size_t args_len;
	bool args_cut;
	char args[512]; /* each ends with NUL, but perhaps the last; not redacted */
};

/*
 * Read process @pid below @proc_fd, an open /proc, if it began at @start_ns (to a tick; 0: any).
 * @take_args false: arguments are not even read. 0, -ESRCH if there is no such process, -ESTALE
 * if the pid is another's now, or another negative errno. What is there beside the start may
 * lack.
 */
int procfs_read(int proc_fd, uint32_t pid, uint64_t start_ns, bool take_args,
		struct procfs_process *ret);

/* Are these the same moment, one of them known to a clock tick of @tick_ns only? */
bool procfs_start_agrees(uint64_t exact_ns, uint64_t ticked_ns, uint64_t tick_ns);

/*
 * Parse the content of /proc/PID/stat: the name, which may hold blanks and parentheses, the
 * parent, the start in clock ticks. 0 or -EBADMSG. @name has PROCFS_NAME_MAX bytes.
 */
int procfs_parse_stat(const char *text, char *name, uint32_t *ret_parent,
		      uint64_t *ret_start_ticks);

/* The path in the "0::" line of /proc/PID/cgroup, copied to @path of @size. False without one. */
bool procfs_parse_cgroup(const char *text, char *path, size_t size);

/* Effective uid and innermost pid out of /proc/PID/status; what lacks stays as it was. */
void procfs_parse_status(const char *text, uint32_t *ret_uid, uint32_t *ret_pid);

#endif
