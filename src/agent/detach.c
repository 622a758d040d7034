// SPDX-License-Identifier: Apache-2.0
#include "agent/detach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/lock.h"
#include "agent/protocol.h"
#include "base/base.h"
#include "discover/registry.h"
#include "probe/attach_pins.h"
#include "sys/bpffs.h"
#include "sys/clock.h"

enum { AGENT_END_SECONDS = 15, LINK_END_SECONDS = 2, LOOK_AGAIN_NS = 10000000 };

const char *const detached_kind_names[N_DETACHED_KINDS] = {
	[DETACHED_AGENT] = "agent",	[DETACHED_FILE] = "file", [DETACHED_LINK] = "link",
	[DETACHED_PROGRAM] = "program", [DETACHED_MAP] = "map",	  [DETACHED_FOLDER] = "folder",
	[DETACHED_OTHER] = "other",
};

struct detach {
	const struct detach_options *o;
	detached_fn fn;
	void *arg;
	struct netns_registry *netns;
	struct buf links; /* uint32_t each: ids of links that could not be detached */
};

static void tell(struct detach *d, enum detached_kind kind, uint64_t id, const char *path)
{
	struct detached it = { .kind = kind, .id = id, .path = path };

	d->fn(d->arg, &it);
}

/* False: the time is over. */
static bool wait_a_little(uint64_t end_ns)
{
	struct timespec t = { .tv_nsec = LOOK_AGAIN_NS };

	if (clock_ns(CLOCK_MONOTONIC) >= end_ns)
		return false;
	nanosleep(&t, NULL);
	return true;
}

/* --- the agent --- */

static pid_t peer_pid(int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ? 0 : cred.pid;
}

/* *@ret_pid: whom it asked; 0: there is nobody. */
static int ask_to_end(struct detach *d, pid_t *ret_pid, struct err *e)
{
	struct request request = { .version = NSLENS_VERSION,
				   .command = "stop",
				   .any_agent = true };
	int fd, err;

	*ret_pid = 0;
	err = client_open(d->o->state_dir, &request, &fd, NULL, e);
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	*ret_pid = peer_pid(fd);
	close(fd);
	return 0;
}

/* The lock is free when the agent has let go of everything. -ENOENT: there is none. */
static int wait_for_lock(struct detach *d, int *ret_fd, struct err *e)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + AGENT_END_SECONDS * NS_PER_SEC;
	char holder[32];
	pid_t pid = 0;
	int err;

	do {
		err = lock_take(d->o->state_dir, false, ret_fd, &pid, e);
	} while (err == -EEXIST && wait_a_little(end_ns));
	if (err == -EEXIST)
		return err_set(e, EBUSY,
			       "an agent%s holds the state directory %s and does not end; kill it, "
			       "and try again",
			       lock_holder(pid, holder), d->o->state_dir);
	return err == -ENOTDIR ? -ENOENT : err;
}

static int remove_file(struct detach *d, const char *path, struct err *e)
{
	if (!unlink(path))
		tell(d, DETACHED_FILE, 0, path);
	else if (errno != ENOENT && errno != ENOTDIR)
		return err_set(e, errno, "cannot remove %s: %s", path, strerror(errno));
	return 0;
}

/* With the lock held nobody else uses them. */
static int remove_files(struct detach *d, struct err *e)
{
	char path[4096];
	int err = 0;

	if (!agent_socket_path(d->o->state_dir, path, sizeof(path)))
		err = remove_file(d, path, e);
	if (!err && !lock_path(d->o->state_dir, path, sizeof(path)))
		err = remove_file(d, path, e);
	return err;
}

static int end_agent(struct detach *d, struct err *e)
{
	int lock_fd = -1, err;
	pid_t pid;

	err = ask_to_end(d, &pid, e);
	if (err)
		return err;
	err = wait_for_lock(d, &lock_fd, e);
	if (err == -ENOENT && !pid)
		return 0;
	if (err && err != -ENOENT)
		return err;
	if (pid)
		tell(d, DETACHED_AGENT, (uint64_t)pid, d->o->state_dir);
	err = remove_files(d, e);
	if (lock_fd >= 0)
		close(lock_fd);
	return err;
}

/* --- pins --- */

static const enum detached_kind kind_of_pin[N_PIN_KINDS] = {
	[PIN_LINK] = DETACHED_LINK,	[PIN_PROGRAM] = DETACHED_PROGRAM, [PIN_MAP] = DETACHED_MAP,
	[PIN_FOLDER] = DETACHED_FOLDER, [PIN_OTHER] = DETACHED_OTHER,
};

static void on_pin(void *arg, const struct pin *pin)
{
	struct detach *d = arg;

	if (pin->kind == PIN_LINK && pin->id && !pin->detached)
		buf_add(&d->links, &pin->id, sizeof(pin->id));
	tell(d, kind_of_pin[pin->kind], pin->id, pin->path);
}

/* The kernel lets links go a moment after their last holder; another process can hold one. */
static int wait_for_links(const struct detach *d, struct err *e)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + LINK_END_SECONDS * NS_PER_SEC;
	uint32_t id;

	for (size_t at = 0; at < d->links.len; at += sizeof(id)) {
		memcpy(&id, d->links.data + at, sizeof(id));
		while (bpf_link_exists(id))
			if (!wait_a_little(end_ns))
				return err_set(e, EBUSY,
					       "link %u is unpinned, but another process holds it: "
					       "it is attached until that ends",
					       id);
	}
	return 0;
}

/* Namespaces are looked for when the first filter is met: nearly nobody has any. */
static int open_netns(void *arg, uint64_t cookie)
{
	const struct netns_registry_options watch_nothing = { 0 };
	struct detach *d = arg;
	struct err e;

	if (!d->netns && (netns_registry_new(&d->netns, &watch_nothing, &e) ||
			  netns_registry_refresh(d->netns, &e)))
		return -ENOENT;
	return netns_registry_open(d->netns, cookie);
}

static void on_filter(void *arg, struct device_id id, enum device_point point)
{
	tell(arg, DETACHED_OTHER, id.ifindex, device_point_names[point]);
}

/* Filters of clsact, where there was no tcx, have no link that ends them. */
static void remove_filters(struct detach *d)
{
	attach_remove_filters(d->o->pin_dir, open_netns, on_filter, d);
	netns_registry_free(d->netns);
	d->netns = NULL;
}

static int unpin(struct detach *d, struct err *e)
{
	const char *dir = d->o->pin_dir;
	int state = bpffs_look(dir), lock_fd, err;

	if (state == BPFFS_EMPTY || state == BPFFS_ABSENT)
		return 0;
	if (state == BPFFS_OTHER)
		return err_set(e, EINVAL,
			       "%s is not in a BPF filesystem: nothing there is touched; see "
			       "--pin-dir",
			       dir);
	if (state < 0)
		return err_set(e, -state, "%s: %s; run it as root", dir, strerror(-state));
	lock_fd = bpffs_lock(dir, e);
	if (lock_fd == -EBUSY)
		return err_set(e, EBUSY,
			       "%s belongs to an agent with another state directory: name it with "
			       "--state-dir",
			       dir);
	if (lock_fd < 0)
		return lock_fd;
	remove_filters(d);
	err = bpffs_remove(dir, on_pin, d, e);
	close(lock_fd);
	return err ? err : wait_for_links(d, e);
}

const char *detach_no_pins(const struct detach_options *o)
{
	switch (bpffs_look(o->pin_dir)) {
	case BPFFS_EMPTY: return "nothing is pinned";
	case BPFFS_ABSENT: return "no BPF filesystem is mounted there, so nothing is pinned";
	default: return NULL;
	}
}

const char *detach_pin_dir(void)
{
	const char *dir = getenv("NSLENS_PIN_DIR");

	return dir && *dir ? dir : "/sys/fs/bpf/nslens";
}

int detach_all(const struct detach_options *o, detached_fn fn, void *arg, struct err *e)
{
	struct detach d = { .o = o, .fn = fn, .arg = arg };
	int err;

	err = end_agent(&d, e) ?: unpin(&d, e);
	buf_fini(&d.links);
	return err;
}
