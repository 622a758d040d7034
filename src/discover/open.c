// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "discover/table.h"

/*
 * How to open a network namespace, which is not so much a matter of the table as of the kernel's
 * age.
 */

/* Of linux/fcntl.h and linux/nsfs.h of Linux 6.18. */
enum { FD_NSFS_ROOT_ = -10003, FILEID_NSFS_ = 0xf1 };

struct nsfs_handle {
	struct {
		unsigned int handle_bytes;
		int handle_type;
	} head;
	uint64_t ns_id;
	uint32_t ns_type;
	uint32_t ns_inum;
};

_Static_assert(sizeof(struct nsfs_handle) == sizeof(struct file_handle) + 16, "nsfs handle");

static int open_handle(const struct netns_entry *en)
{
	struct nsfs_handle h = {
		.head = { .handle_bytes = 16, .handle_type = FILEID_NSFS_ },
		.ns_id = en->ns_id,
		.ns_type = CLONE_NEWNET,
		.ns_inum = en->ns.inode,
	};
	int fd;

	if (!en->ns_id)
		return -EOPNOTSUPP;
	fd = open_by_handle_at(FD_NSFS_ROOT_, (struct file_handle *)&h, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * @fd, if it is this namespace: a pid or a path may have come to mean another since it was noted.
 */
static int check_inode(int fd, const struct netns_entry *en)
{
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC && !fstat(fd, &st) &&
	    st.st_ino == en->ns.inode)
		return fd;
	close(fd);
	return -ESTALE;
}

static int open_path(const struct netns_entry *en, const char *path)
{
	return check_inode(open(path, O_RDONLY | O_CLOEXEC), en);
}

/* A copy of a process's socket tells its namespace. */
static int open_socket(const struct netns_entry *en)
{
	int pidfd, sock = -1, fd = -1;

	pidfd = (int)syscall(SYS_pidfd_open, en->socket_pid, 0);
	if (pidfd >= 0)
		sock = (int)syscall(SYS_pidfd_getfd, pidfd, en->socket, 0);
	if (sock >= 0)
		fd = ioctl(sock, SIOCGSKNS);
	fd = check_inode(fd, en);
	if (sock >= 0)
		close(sock);
	if (pidfd >= 0)
		close(pidfd);
	return fd;
}

int netns_entry_open(const struct netns_entry *en, bool handles)
{
	char path[64];
	int fd = -ENOENT;

	if (handles) {
		fd = open_handle(en);
		if (fd >= 0 || fd == -ESTALE)
			return fd;
	}
	if (en->process) {
		snprintf(path, sizeof(path), "/proc/%u/ns/net", en->process);
		fd = open_path(en, path);
	}
	if (fd < 0 && en->mount_path)
		fd = open_path(en, en->mount_path);
	if (fd < 0 && en->descriptor_pid) {
		snprintf(path, sizeof(path), "/proc/%u/fd/%u", en->descriptor_pid, en->descriptor);
		fd = open_path(en, path);
	}
	if (fd < 0 && en->socket_pid)
		fd = open_socket(en);
	return fd;
}
