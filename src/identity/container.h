/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_CONTAINER_H
#define NSLENS_IDENTITY_CONTAINER_H

#include <stdbool.h>

enum { CONTAINER_ID_LEN = 64, POD_UID_MAX = 36 };

/* What a cgroup path tells about the container that it belongs to. */
struct container_ref {
	char id[CONTAINER_ID_LEN + 1];
	const char *runtime; /* "docker", "podman", "containerd", "cri-o"; NULL: not in the path */
	char pod_uid[POD_UID_MAX + 1]; /* of Kubernetes; "" if there is none */
};

/*
 * Find the innermost container in @path, a path below the cgroup2 root. False if there is none;
 * @ret_ref is filled only if true. doc/internals/identity.md lists the layouts.
 */
bool container_parse(const char *path, struct container_ref *ret_ref);

#endif
