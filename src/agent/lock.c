// SPDX-License-Identifier: Apache-2.0
#include "agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int lock_path(const char *state_dir, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/agent.lock", state_dir);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

const char *lock_holder(pid_t pid, char text[32])
{
	text[0] = '\0';
	if (pid > 0)
		snprintf(text, 32, " (pid %d)", (int)pid);
	return text;
}

/* Is it still the file of that name? Who ends nslens for good removes it. */
static bool is_in_place(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static pid_t read_pid(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

static void write_pid(int fd)
{
	if (!ftruncate(fd, 0))
		dprintf(fd, "%d\n", (int)getpid());
}

int lock_take(const char *state_dir, bool create, int *ret_fd, pid_t *ret_pid, struct err *e)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
	char path[4096];
	int fd, err;

	if (lock_path(state_dir, path, sizeof(path)))
		return err_set(e, ENAMETOOLONG, "state directory '%.64s...': its name is too long",
			       state_dir);
	for (;;) {
		fd = open(path, flags, 0600);
		if (fd < 0)
			return err_set(e, errno, "%s: %s", path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = errno == EWOULDBLOCK ? EEXIST : errno;
			*ret_pid = read_pid(fd);
			close(fd);
			return err_set(e, err, "%s: %s", path, strerror(err));
		}
		if (is_in_place(fd, path))
			break;
		close(fd);
	}
	write_pid(fd);
	*ret_fd = fd;
	return 0;
}
