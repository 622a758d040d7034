/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_LOCK_H
#define NSLENS_AGENT_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * The lock of a state directory: at most one agent holds it. It is a file, agent.lock, that is
 * locked by flock() and has the holder's process number in it; the lock ends with the process,
 * however that ends.
 */

/* The file's name: @path of @size bytes. -ENAMETOOLONG. */
int lock_path(const char *state_dir, char *path, size_t size);

/*
 * Take it. *@ret_fd is the caller's: closing it gives the lock back. -EEXIST: *@ret_pid holds it
 * (0: unknown). -ENOENT: there is no such file, and it may not be made (@create). Else -errno.
 */
int lock_take(const char *state_dir, bool create, int *ret_fd, pid_t *ret_pid, struct err *e);

/* " (pid 12)", or "" if it is unknown, in @text. */
const char *lock_holder(pid_t pid, char text[32]);

#endif
