/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_CGROUPS_H
#define NSLENS_IDENTITY_CGROUPS_H

#include <stddef.h>
#include <stdint.h>

/*
 * The paths of cgroups by id. An id is what the kernel calls so: the inode of the cgroup's
 * directory, never used twice since boot. Paths are below the root of the cgroup2 hierarchy.
 */
struct cgroups;

/*
 * @mountinfo: the file to find the cgroup2 mount in, "/proc/self/mountinfo". Scans its tree.
 * Without such a mount, only records fill the table. 0 or -ENOMEM.
 */
int cgroups_new(const char *mountinfo, struct cgroups **ret);
void cgroups_free(struct cgroups *c);

/*
 * The path of @id, asked from the kernel where it is not known yet; NULL: not found. Valid until
 * the next call.
 */
const char *cgroups_path(struct cgroups *c, uint64_t id);

/* @id was made at the @len bytes of @path. 0, -ENOMEM, or -ENOSPC: the table is full. */
int cgroups_add(struct cgroups *c, uint64_t id, const char *path, size_t len);
void cgroups_remove(struct cgroups *c, uint64_t id);

/* Cgroups known, and the bytes they take. */
void cgroups_usage(const struct cgroups *c, size_t *ret_n, size_t *ret_bytes);

#endif
