// SPDX-License-Identifier: Apache-2.0
#include "discover/device_outpost.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "discover/nsid.h"

struct device_outpost {
	struct nsid *nsid;
	struct device_ask *ask;
	uint64_t *cookies; /* by id: the kernel gives them in order, from 0 */
	size_t n;
};

struct opening {
	struct device_outpost *outpost;
	struct err *e;
	int err;
};

/* A thread of its own, because the way back to the namespace that one came from can be barred. */
static void *open_sockets(void *arg)
{
	struct opening *o = arg;

	if (unshare(CLONE_NEWNET)) {
		o->err = err_set(o->e, errno,
				 "cannot make a network namespace to list devices from: %s",
				 strerror(errno));
		return NULL;
	}
	o->err = nsid_new(&o->outpost->nsid, o->e);
	if (!o->err)
		o->err = device_ask_new(&o->outpost->ask, o->e);
	return NULL;
}

int device_outpost_new(struct device_outpost **ret, struct err *e)
{
	struct opening o = { .outpost = calloc(1, sizeof(*o.outpost)), .e = e };
	pthread_t thread;
	int err;

	if (!o.outpost)
		return err_set(e, ENOMEM, "out of memory");
	err = pthread_create(&thread, NULL, open_sockets, &o);
	if (err) {
		o.err = err_set(e, err, "starting a thread: %s", strerror(err));
	} else {
		pthread_join(thread, NULL);
	}
	if (o.err)
		device_outpost_free(o.outpost);
	else
		*ret = o.outpost;
	return o.err;
}

void device_outpost_free(struct device_outpost *o)
{
	if (!o)
		return;
	device_ask_free(o->ask);
	nsid_free(o->nsid);
	free(o->cookies);
	free(o);
}

/* Room for ids below @n. */
static int grow(struct device_outpost *o, size_t n)
{
	uint64_t *more;

	if (n <= o->n)
		return 0;
	more = reallocarray(o->cookies, n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + o->n, 0, (n - o->n) * sizeof(*more));
	o->cookies = more;
	o->n = n;
	return 0;
}

int device_outpost_number(struct device_outpost *o, struct netns_registry *registry,
			  uint64_t cookie)
{
	int err, fd = netns_registry_open(registry, cookie);
	int32_t nsid = -1;

	if (fd < 0)
		return fd;
	err = nsid_give(o->nsid, fd, &nsid);
	close(fd);
	if (!err)
		err = grow(o, (size_t)nsid + 1);
	if (!err)
		o->cookies[nsid] = cookie;
	return err;
}

uint64_t device_outpost_cookie(const struct device_outpost *o, int32_t nsid)
{
	return nsid >= 0 && (size_t)nsid < o->n ? o->cookies[nsid] : 0;
}

int device_outpost_nsid(const struct device_outpost *o, uint64_t cookie, int32_t *ret)
{
	for (size_t i = 0; i < o->n; i++) {
		*ret = (int32_t)i;
		if (o->cookies[i] == cookie)
			return 0;
	}
	return -ENOENT;
}

struct device_ask *device_outpost_ask(const struct device_outpost *o)
{
	return o->ask;
}
