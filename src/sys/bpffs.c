// SPDX-License-Identifier: Apache-2.0
#include "sys/bpffs.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAX_DEPTH = 32 };

/* --- what is there --- */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

/* Of the folder that is above it, as its name says. */
static bool is_in_bpffs(const char *path)
{
	char above[PATH_MAX];
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (!slash)
		return is_bpffs(".");
	slash[slash == above] = '\0';
	return is_bpffs(above);
}

int bpffs_look(const char *folder)
{
	struct stat st;

	if (is_bpffs(folder))
		return BPFFS_THERE;
	if (!lstat(folder, &st))
		return BPFFS_OTHER;
	if (errno != ENOENT && errno != ENOTDIR)
		return -errno;
	return is_in_bpffs(folder) ? BPFFS_EMPTY : BPFFS_ABSENT;
}

int bpffs_prepare(const char *folder, struct err *e)
{
	static const char usual[] = "/sys/fs/bpf";
	int state = bpffs_look(folder);

	if (state == BPFFS_ABSENT && !strncmp(folder, usual, sizeof(usual) - 1)) {
		if (mount("bpf", usual, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700"))
			return err_set(e, errno, "cannot mount a BPF filesystem at %s: %s", usual,
				       strerror(errno));
		state = bpffs_look(folder);
	}
	if (state == BPFFS_THERE || state == BPFFS_EMPTY)
		return 0;
	return state < 0
		       ? err_set(e, -state, "%s: %s", folder, strerror(-state))
		       : err_set(e, EINVAL, "%s is not in a BPF filesystem; see --pin-dir", folder);
}

int bpffs_lock(const char *folder, struct err *e)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return err_set(e, errno, "cannot open %s: %s", folder, strerror(errno));
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	err = errno == EWOULDBLOCK ? EBUSY : errno;
	close(fd);
	return err_set(e, err, "%s: %s", folder,
		       err == EBUSY ? "another agent has its pins there" : strerror(err));
}

bool bpf_link_exists(uint32_t id)
{
	int fd = bpf_link_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* --- removing --- */

/* The name of its anonymous file tells what a descriptor is. */
static enum pin_kind pin_kind_of(int fd)
{
	char name[64], file[64] = "";

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (readlink(name, file, sizeof(file) - 1) < 0)
		return PIN_OTHER;
	if (strstr(file, "bpf_link") || strstr(file, "bpf-link"))
		return PIN_LINK;
	if (strstr(file, "bpf-prog"))
		return PIN_PROGRAM;
	return strstr(file, "bpf-map") ? PIN_MAP : PIN_OTHER;
}

enum pin_kind bpffs_pin_kind(const char *path)
{
	int fd = bpf_obj_get(path);
	enum pin_kind kind = fd < 0 ? PIN_OTHER : pin_kind_of(fd);

	if (fd >= 0)
		close(fd);
	return kind;
}

/* Id and type come first in what the kernel tells of any object. */
static uint32_t pin_id_of(int fd)
{
	union {
		struct bpf_map_info map;
		struct bpf_prog_info prog;
		struct bpf_link_info link;
		struct {
			__u32 type, id;
		} any;
	} info;
	__u32 len = sizeof(info);

	memset(&info, 0, sizeof(info));
	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.any.id;
}

/* Only links can be detached; some kinds, tracing for one, can't, and go with their last holder. */
static void pin_look(const char *path, struct pin *ret)
{
	int fd = bpf_obj_get(path);

	*ret = (struct pin){ .kind = PIN_OTHER, .path = path };
	if (fd < 0)
		return;
	ret->kind = pin_kind_of(fd);
	ret->id = pin_id_of(fd);
	if (ret->kind == PIN_LINK)
		ret->detached = !bpf_link_detach(fd);
	close(fd);
}

struct removal {
	pin_fn fn;
	void *arg;
	struct err *e;
	char path[PATH_MAX];
};

static int cannot(struct removal *r, int err)
{
	return err_set(r->e, err, "cannot remove %s: %s%s", r->path, strerror(err),
		       err == EACCES || err == EPERM ? "; run it as root" : "");
}

static int remove_object(struct removal *r)
{
	struct pin pin;

	pin_look(r->path, &pin);
	if (unlink(r->path))
		return cannot(r, errno);
	if (r->fn)
		r->fn(r->arg, &pin);
	return 0;
}

static int remove_folder(struct removal *r, int depth);

static int remove_entry(struct removal *r, const char *name, int depth)
{
	size_t len = strlen(r->path);
	struct stat st;
	int err;

	if (snprintf(r->path + len, sizeof(r->path) - len, "/%s", name) >=
	    (int)(sizeof(r->path) - len))
		err = cannot(r, ENAMETOOLONG);
	else if (lstat(r->path, &st))
		err = cannot(r, errno);
	else
		err = S_ISDIR(st.st_mode) ? remove_folder(r, depth + 1) : remove_object(r);
	if (!err)
		r->path[len] = '\0';
	return err;
}

static int remove_entries(struct removal *r, DIR *dir, int depth)
{
	const struct dirent *entry;
	int err = 0;

	for (errno = 0; !err && (entry = readdir(dir)); errno = 0)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			err = remove_entry(r, entry->d_name, depth);
	return !err && errno ? cannot(r, errno) : err;
}

static int remove_folder(struct removal *r, int depth)
{
	struct pin pin = { .kind = PIN_FOLDER, .path = r->path };
	DIR *dir;
	int err;

	if (depth > MAX_DEPTH)
		return cannot(r, ELOOP);
	if (!is_bpffs(r->path)) /* mounted over it */
		return cannot(r, EXDEV);
	dir = opendir(r->path);
	if (!dir)
		return cannot(r, errno);
	err = remove_entries(r, dir, depth);
	closedir(dir);
	if (err)
		return err;
	if (rmdir(r->path))
		return cannot(r, errno);
	if (r->fn)
		r->fn(r->arg, &pin);
	return 0;
}

int bpffs_remove(const char *folder, pin_fn fn, void *arg, struct err *e)
{
	struct removal r = { .fn = fn, .arg = arg, .e = e };

	snprintf(r.path, sizeof(r.path), "%s", folder);
	return remove_folder(&r, 0);
}
