// SPDX-License-Identifier: Apache-2.0
#include "discover/device_watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "discover/device_ask.h"

enum {
	/* A limit, not memory in use: some 20,000 messages; beyond that all is listed anew. */
	BACKLOG_BYTES = 32 << 20,
	MESSAGE_BYTES = 64 << 10,
	RECEIVE_AT_ONCE = 16384,
};

struct waiting {
	struct device_heard heard;
	struct waiting *prev, *next;
};

struct device_watch {
	struct mnl_socket *socket;
	struct waiting *queue;
	char buf[MESSAGE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static int open_socket(struct device_watch *w)
{
	int bytes = BACKLOG_BYTES, group = RTNLGRP_LINK, on = 1, fd;

	w->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!w->socket || mnl_socket_bind(w->socket, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	fd = mnl_socket_get_fd(w->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (mnl_socket_setsockopt(w->socket, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)) ||
	    mnl_socket_setsockopt(w->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return -errno;
	return 0;
}

int device_watch_new(struct device_watch **ret, struct err *e)
{
	struct device_watch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return err_set(e, ENOMEM, "out of memory");
	err = open_socket(w);
	if (err) {
		device_watch_free(w);
		return err_set(e, -err, "cannot hear of network devices: netlink: %s",
			       strerror(-err));
	}
	*ret = w;
	return 0;
}

void device_watch_free(struct device_watch *w)
{
	if (!w)
		return;
	if (w->socket)
		mnl_socket_close(w->socket);
	device_watch_forget_all(w);
	free(w);
}

int device_watch_fd(const struct device_watch *w)
{
	return mnl_socket_get_fd(w->socket);
}

/* --- what is received --- */

static int32_t find_nsid(struct msghdr *msg)
{
	int32_t nsid = DEVICE_ASK_OWN;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(&nsid, CMSG_DATA(c), sizeof(nsid));
	return nsid;
}

static int keep(struct device_watch *w, const struct nlmsghdr *h, int32_t nsid)
{
	struct waiting *one = malloc(sizeof(*one));

	if (!one)
		return -ENOBUFS;
	one->heard.nsid = nsid;
	if (device_message_parse(h, &one->heard.message))
		free(one);
	else
		DL_APPEND(w->queue, one);
	return 0;
}

static int keep_all(struct device_watch *w, int len, int32_t nsid)
{
	int err = 0;

	for (struct nlmsghdr *h = (struct nlmsghdr *)w->buf; mnl_nlmsg_ok(h, len);
	     h = mnl_nlmsg_next(h, &len))
		if (keep(w, h, nsid))
			err = -ENOBUFS;
	return err;
}

static int receive_one(struct device_watch *w)
{
	char control[CMSG_SPACE(sizeof(struct nl_pktinfo)) + CMSG_SPACE(sizeof(int32_t))];
	struct iovec iov = { w->buf, sizeof(w->buf) };
	struct sockaddr_nl from = { 0 };
	struct msghdr msg = { .msg_name = &from,
			      .msg_namelen = sizeof(from),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(mnl_socket_get_fd(w->socket), &msg, 0);

	if (len < 0)
		return -errno;
	if (from.nl_pid) /* not from the kernel */
		return 0;
	if (msg.msg_flags & MSG_TRUNC)
		return -ENOBUFS;
	return keep_all(w, (int)len, find_nsid(&msg));
}

int device_watch_receive(struct device_watch *w)
{
	bool dropped = false;
	int err;

	for (unsigned int i = 0; i < RECEIVE_AT_ONCE; i++) {
		err = receive_one(w);
		if (err == -EAGAIN || err == -EINTR)
			break;
		if (err == -ENOBUFS)
			dropped = true;
		else if (err)
			return err;
	}
	return dropped ? -ENOBUFS : 0;
}

bool device_watch_take(struct device_watch *w, struct device_heard *ret)
{
	struct waiting *one = w->queue;

	if (!one)
		return false;
	DL_DELETE(w->queue, one);
	*ret = one->heard;
	free(one);
	return true;
}

void device_watch_forget(struct device_watch *w, int32_t nsid)
{
	struct waiting *one, *next;

	DL_FOREACH_SAFE(w->queue, one, next) {
		if (one->heard.nsid != nsid)
			continue;
		DL_DELETE(w->queue, one);
		free(one);
	}
}

void device_watch_forget_all(struct device_watch *w)
{
	struct device_heard heard;

	while (device_watch_take(w, &heard))
		;
}
