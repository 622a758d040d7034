/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_CLIENT_H
#define NSLENS_AGENT_CLIENT_H

#include <stdbool.h>

#include "agent/protocol.h"
#include "base/err.h"

/*
 * Ask the agent of @state_dir. 0: its greeting was a welcome, *@ret_fd is the caller's, what the
 * agent can't show is appended to @warnings as lines (NULL: not of interest). -ENOENT: no agent
 * runs there. Else -errno and why.
 */
int client_open(const char *state_dir, const struct request *request, int *ret_fd,
		struct buf *warnings, struct err *e);

/*
 * Copy the agent's output to @out_fd to its end. Ends it from here, in order, after @for_ns (0:
 * not) or at SIGINT or SIGTERM. 0; -EPIPE: nobody reads @out_fd; -ECONNRESET: it broke off.
 */
int client_copy(int fd, int out_fd, uint64_t for_ns, struct err *e);

/* Does an agent of this version run there, whose probes cover every namespace? */
bool client_agent_runs(const char *state_dir);

#endif
