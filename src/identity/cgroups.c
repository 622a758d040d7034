// SPDX-License-Identifier: Apache-2.0
#include "identity/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/base.h"
#include "base/buf.h"
#include "sys/mountinfo.h"

/* A host with more cgroups asks the kernel for those that found no room. */
enum { CGROUPS_MAX = 65536, DEPTH_MAX = 64 };

struct cgroup_entry {
	uint64_t id;
	UT_hash_handle hh;
	char path[];
};

struct cgroups {
	struct cgroup_entry *by_id;
	size_t bytes;
	int mount_fd; /* -1: there is no cgroup2 mount */
	char *mount;
	char asked[PATH_MAX];
};

/* --- the mount --- */

/* A mount of a part of the hierarchy, as a container has it, has another root than "/". */
static void note_mount(void *arg, const struct mount_entry *mount)
{
	char **point = arg;

	if (!*point && !strcmp(mount->fs_type, "cgroup2") && !strcmp(mount->root, "/"))
		*point = strdup(mount->mount_point);
}

/* --- the tree --- */

static void scan(struct cgroups *c, int dir_fd, struct buf *path, int depth);

/* @name may be a cgroup below the directory @dir_fd whose path is @path. */
static void scan_child(struct cgroups *c, int dir_fd, const char *name, struct buf *path, int depth)
{
	size_t len = path->len;
	struct stat st;
	int fd;

	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	buf_addc(path, '/');
	buf_adds(path, name);
	if (!path->failed && !fstat(fd, &st)) {
		cgroups_add(c, st.st_ino, path->data, path->len);
		scan(c, fd, path, depth + 1);
	} else {
		close(fd);
	}
	path->len = len;
}

/* Closes @dir_fd. */
static void scan(struct cgroups *c, int dir_fd, struct buf *path, int depth)
{
	DIR *dir = depth < DEPTH_MAX ? fdopendir(dir_fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		close(dir_fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			scan_child(c, dir_fd, entry->d_name, path, depth);
	closedir(dir);
}

static void scan_mount(struct cgroups *c)
{
	struct buf path = { 0 };
	struct stat st;
	int fd;

	if (!fstat(c->mount_fd, &st))
		cgroups_add(c, st.st_ino, "/", 1);
	fd = openat(c->mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		scan(c, fd, &path, 0);
	buf_fini(&path);
}

int cgroups_new(const char *mountinfo, struct cgroups **ret)
{
	struct cgroups *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->mount_fd = -1;
	mountinfo_read(mountinfo, note_mount, &c->mount);
	if (c->mount)
		c->mount_fd = open(c->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->mount_fd >= 0)
		scan_mount(c);
	*ret = c;
	return 0;
}

void cgroups_free(struct cgroups *c)
{
	struct cgroup_entry *e, *next;

	if (!c)
		return;
	HASH_ITER(hh, c->by_id, e, next) {
		HASH_DEL(c->by_id, e);
		free(e);
	}
	if (c->mount_fd >= 0)
		close(c->mount_fd);
	free(c->mount);
	free(c);
}

/* --- the table --- */

int cgroups_add(struct cgroups *c, uint64_t id, const char *path, size_t len)
{
	struct cgroup_entry *e;

	cgroups_remove(c, id);
	if (HASH_COUNT(c->by_id) >= CGROUPS_MAX)
		return -ENOSPC;
	e = malloc(sizeof(*e) + len + 1);
	if (!e)
		return -ENOMEM;
	e->id = id;
	memcpy(e->path, path, len);
	e->path[len] = '\0';
	HASH_ADD(hh, c->by_id, id, sizeof(e->id), e);
	c->bytes += sizeof(*e) + len + 1;
	return 0;
}

void cgroups_remove(struct cgroups *c, uint64_t id)
{
	struct cgroup_entry *e;

	HASH_FIND(hh, c->by_id, &id, sizeof(id), e);
	if (!e)
		return;
	HASH_DEL(c->by_id, e);
	c->bytes -= sizeof(*e) + strlen(e->path) + 1;
	free(e);
}

/*
 * Ask the kernel: the id is a file handle of the cgroup2 file system, and /proc tells the path of
 * an open directory. Needs CAP_DAC_READ_SEARCH.
 */
static const char *ask_kernel(struct cgroups *c, uint64_t id)
{
	struct {
		struct file_handle head;
		uint64_t id;
	} handle = { .head = { .handle_bytes = sizeof(id),
			       .handle_type = 0xfe /* FILEID_KERNFS */ } };
	size_t prefix = strlen(c->mount);
	char name[64];
	ssize_t n;
	int fd;

	memcpy(handle.head.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(c->mount_fd, &handle.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, c->asked, sizeof(c->asked) - 1);
	close(fd);
	if (n < 0 || (size_t)n < prefix || memcmp(c->asked, c->mount, prefix))
		return NULL;
	c->asked[n] = '\0';
	if (!c->asked[prefix])
		return "/";
	return c->asked[prefix] == '/' ? c->asked + prefix : NULL;
}

const char *cgroups_path(struct cgroups *c, uint64_t id)
{
	struct cgroup_entry *e;
	const char *path;

	HASH_FIND(hh, c->by_id, &id, sizeof(id), e);
	if (e)
		return e->path;
	if (!id || c->mount_fd < 0)
		return NULL;
	path = ask_kernel(c, id);
	if (path)
		cgroups_add(c, id, path, strlen(path));
	return path;
}

void cgroups_usage(const struct cgroups *c, size_t *ret_n, size_t *ret_bytes)
{
	*ret_n = HASH_COUNT(c->by_id);
	*ret_bytes = c->bytes + HASH_OVERHEAD(hh, c->by_id);
}
