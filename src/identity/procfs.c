// SPDX-License-Identifier: Apache-2.0
#include "identity/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "model/process.h"

enum { STATUS_MAX = 8192 };

static const char deleted[] = " (deleted)";

bool procfs_start_agrees(uint64_t exact_ns, uint64_t ticked_ns, uint64_t tick_ns)
{
	uint64_t apart = exact_ns > ticked_ns ? exact_ns - ticked_ns : ticked_ns - exact_ns;

	return apart <= tick_ns;
}

/* Read at most @size - 1 bytes and end them with NUL. The length, or a negative errno. */
static ssize_t read_file(int dir_fd, const char *name, char *buf, size_t size)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		n = read(fd, buf + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	n = n < 0 ? -errno : (ssize_t)len;
	close(fd);
	buf[len] = '\0';
	return n;
}

static void strip_deleted(char *path)
{
	size_t len = strlen(path), suffix = sizeof(deleted) - 1;

	if (len > suffix && !strcmp(path + len - suffix, deleted))
		path[len - suffix] = '\0';
}

int procfs_parse_stat(const char *text, char *name, uint32_t *ret_parent, uint64_t *ret_start_ticks)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	uint32_t parent;
	uint64_t start;
	size_t len;

	if (!open || !close || close < open)
		return -EBADMSG;
	/* state, ppid, 17 fields that nobody needs here, starttime */
	if (sscanf(close + 1,
		   " %*c %" SCNu32 " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %" SCNu64,
		   &parent, &start) != 2)
		return -EBADMSG;
	len = (size_t)(close - open - 1);
	if (len > PROCFS_NAME_MAX - 1)
		len = PROCFS_NAME_MAX - 1;
	memcpy(name, open + 1, len);
	name[len] = '\0';
	*ret_parent = parent;
	*ret_start_ticks = start;
	return 0;
}

bool procfs_parse_cgroup(const char *text, char *path, size_t size)
{
	size_t len;

	while (strncmp(text, "0::", 3)) {
		text = strchr(text, '\n');
		if (!text)
			return false;
		text++;
	}
	text += 3;
	len = strcspn(text, "\n");
	if (len >= size || !len)
		return false;
	memcpy(path, text, len);
	path[len] = '\0';
	strip_deleted(path);
	return true;
}

void procfs_parse_status(const char *text, uint32_t *ret_uid, uint32_t *ret_pid)
{
	const char *pids = strstr(text, "\nNStgid:"), *uid = strstr(text, "\nUid:");
	uint32_t value;
	int n;

	if (uid && sscanf(uid + 5, "%*u %" SCNu32, &value) == 1)
		*ret_uid = value;
	pids = pids ? pids + 8 : "";
	/* Outermost first: the last one is its own. */
	while (sscanf(pids, "%*[\t ]%" SCNu32 "%n", &value, &n) == 1) {
		*ret_pid = value;
		pids += n;
	}
}

static void read_link(int dir_fd, const char *name, char *buf, size_t size)
{
	ssize_t n = readlinkat(dir_fd, name, buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
	strip_deleted(buf);
}

static void read_args(int dir_fd, struct procfs_process *p)
{
	char buf[sizeof(p->args) + 2];
	ssize_t n = read_file(dir_fd, "cmdline", buf, sizeof(buf));

	if (n <= 0)
		return;
	p->args_cut = (size_t)n > sizeof(p->args);
	p->args_len = p->args_cut ? sizeof(p->args) : (size_t)n;
	memcpy(p->args, buf, p->args_len);
}

static void read_parent(int proc_fd, struct procfs_process *p)
{
	char name[32];

	if (!p->parent_pid)
		return;
	snprintf(name, sizeof(name), "%" PRIu32 "/exe", p->parent_pid);
	read_link(proc_fd, name, p->parent_executable, sizeof(p->parent_executable));
}

static int read_stat(int dir_fd, uint64_t start_ns, struct procfs_process *p)
{
	uint64_t tick_ns = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK), ticks;
	char text[2048];
	ssize_t n = read_file(dir_fd, "stat", text, sizeof(text));
	int err;

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	err = procfs_parse_stat(text, p->name, &p->parent_pid, &ticks);
	if (err)
		return err;
	p->start_ns = ticks * tick_ns;
	return !start_ns || procfs_start_agrees(start_ns, p->start_ns, tick_ns) ? 0 : -ESTALE;
}

/*
 * The descriptor of /proc/PID is this process's, also if the pid is given to another meanwhile.
 */
int procfs_read(int proc_fd, uint32_t pid, uint64_t start_ns, bool take_args,
		struct procfs_process *ret)
{
	char name[16], text[STATUS_MAX];
	int fd, err;

	memset(ret, 0, sizeof(*ret));
	ret->uid = PROCESS_NO_UID;
	snprintf(name, sizeof(name), "%" PRIu32, pid);
	fd = openat(proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = read_stat(fd, start_ns, ret);
	if (!err) {
		read_link(fd, "exe", ret->executable, sizeof(ret->executable));
		if (take_args)
			read_args(fd, ret);
		if (read_file(fd, "status", text, sizeof(text)) > 0)
			procfs_parse_status(text, &ret->uid, &ret->pid_in_namespace);
		if (read_file(fd, "cgroup", text, sizeof(text)) > 0)
			procfs_parse_cgroup(text, ret->cgroup, sizeof(ret->cgroup));
		read_parent(proc_fd, ret);
	}
	close(fd);
	return err;
}
