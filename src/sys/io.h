/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_IO_H
#define NSLENS_SYS_IO_H

#include <stddef.h>

/* Write all @len bytes, however long it takes. 0 or -errno. */
int write_whole(int fd, const void *data, size_t len);
/* Read all @len bytes. 0; -ECONNRESET: it ended before; -errno. */
int read_whole(int fd, void *data, size_t len);

#endif
