// SPDX-License-Identifier: Apache-2.0
#include "sys/cgroup2.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys/mountinfo.h"

static void cgroup2_mount(void *arg, const struct mount_entry *mount)
{
	int *fd = arg;

	/*
	 * A mount of a part of the hierarchy (a container's) has another root: the first whole one.
	 */
	if (*fd >= 0 || strcmp(mount->fs_type, "cgroup2") || strcmp(mount->root, "/"))
		return;
	*fd = open(mount->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup2_open(void)
{
	int fd = -1, err;

	err = mountinfo_read("/proc/self/mountinfo", cgroup2_mount, &fd);
	if (fd >= 0)
		return fd;
	return err < 0 ? err : -ENOENT;
}
