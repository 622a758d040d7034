/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_SOCKET_DIAG_H
#define NSLENS_DISCOVER_SOCKET_DIAG_H

#include "base/err.h"
#include "discover/socket_table.h"

/* What is done with the sockets of the answer: socket_table_add_diag(), socket_table_confirm(). */
enum diag_use { DIAG_ADD, DIAG_CONFIRM };

/*
 * Ask sock_diag of the calling thread's network namespace for all its TCP, UDP, UDP-Lite and raw
 * sockets. Closes what it opened. What this kernel has no sock_diag for is left out. The
 * namespace's cookie is asked of the kernel, @netns_inode is the caller's. 0 or -errno.
 */
int socket_diag_dump(struct socket_table *t, uint32_t netns_inode, enum diag_use use,
		     struct err *e);

#endif
