/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_CGROUP2_H
#define NSLENS_SYS_CGROUP2_H

/*
 * Open the root of the cgroup2 hierarchy, wherever it is mounted. A descriptor for the caller to
 * close; -ENOENT: not mounted; -errno.
 */
int cgroup2_open(void);

#endif
