// SPDX-License-Identifier: Apache-2.0
#include "discover/nsid.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { RECEIVE_BYTES = 1 << 20, MESSAGE_BYTES = 1 << 13 };

struct nsid {
	struct mnl_socket *ask, *hear;
	unsigned int seq;
};

static int open_ask(struct nsid *n)
{
	n->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!n->ask || mnl_socket_bind(n->ask, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	return 0;
}

/* Ten thousand deaths in a row fit; where forcing isn't allowed, the kernel's limit has to do. */
static int open_hear(struct nsid *n)
{
	int bytes = RECEIVE_BYTES, group = RTNLGRP_NSID, fd;

	n->hear = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->hear || mnl_socket_bind(n->hear, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	fd = mnl_socket_get_fd(n->hear);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (mnl_socket_setsockopt(n->hear, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return -errno;
	return 0;
}

int nsid_new(struct nsid **ret, struct err *e)
{
	struct nsid *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return err_set(e, ENOMEM, "out of memory");
	err = open_ask(n);
	if (!err)
		err = open_hear(n);
	if (err) {
		nsid_free(n);
		return err_set(e, -err,
			       "cannot hear of the death of network namespaces: netlink: %s",
			       strerror(-err));
	}
	*ret = n;
	return 0;
}

void nsid_free(struct nsid *n)
{
	if (!n)
		return;
	if (n->ask)
		mnl_socket_close(n->ask);
	if (n->hear)
		mnl_socket_close(n->hear);
	free(n);
}

int nsid_fd(const struct nsid *n)
{
	return mnl_socket_get_fd(n->hear);
}

static struct nlmsghdr *put_request(struct nsid *n, void *buf, uint16_t type, int netns_fd)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *gen;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWNSID ? NLM_F_ACK : 0);
	h->nlmsg_seq = ++n->seq;
	gen = mnl_nlmsg_put_extra_header(h, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(h, NETNSA_FD, (uint32_t)netns_fd);
	return h;
}

/* Send what lies in @buf, which has MESSAGE_BYTES, and take the answer there. 0 or -errno. */
static int ask(struct nsid *n, struct nlmsghdr *h, mnl_cb_t fn, void *arg)
{
	ssize_t len;

	if (mnl_socket_sendto(n->ask, h, h->nlmsg_len) < 0)
		return -errno;
	len = mnl_socket_recvfrom(n->ask, h, MESSAGE_BYTES);
	if (len < 0 ||
	    mnl_cb_run(h, (size_t)len, n->seq, mnl_socket_get_portid(n->ask), fn, arg) < 0)
		return -errno;
	return 0;
}

static int take_nsid(const struct nlmsghdr *h, void *arg)
{
	struct nlattr *a;
	int32_t *nsid = arg;

	mnl_attr_for_each(a, h, sizeof(struct rtgenmsg))
		if (mnl_attr_get_type(a) == NETNSA_NSID && mnl_attr_get_payload_len(a) == 4)
			*nsid = (int32_t)mnl_attr_get_u32(a);
	return MNL_CB_STOP;
}

int nsid_give(struct nsid *n, int netns_fd, int32_t *ret_nsid)
{
	char buf[MESSAGE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h = put_request(n, buf, RTM_NEWNSID, netns_fd);
	int err;

	mnl_attr_put_u32(h, NETNSA_NSID, (uint32_t)NETNSA_NSID_NOT_ASSIGNED);
	err = ask(n, h, NULL, NULL);
	if (err && err != -EEXIST)
		return err;
	*ret_nsid = NETNSA_NSID_NOT_ASSIGNED;
	err = ask(n, put_request(n, buf, RTM_GETNSID, netns_fd), take_nsid, ret_nsid);
	return err ? err : *ret_nsid < 0 ? -ENOENT : 0;
}

static int count_death(const struct nlmsghdr *h, void *arg)
{
	int *n_deaths = arg;

	*n_deaths += h->nlmsg_type == RTM_DELNSID;
	return MNL_CB_OK;
}

int nsid_deaths(struct nsid *n)
{
	char buf[MESSAGE_BYTES];
	int n_deaths = 0;
	ssize_t len;

	for (;;) {
		len = mnl_socket_recvfrom(n->hear, buf, sizeof(buf));
		if (len < 0)
			return errno == EAGAIN || errno == EINTR ? n_deaths : -errno;
		mnl_cb_run(buf, (size_t)len, 0, 0, count_death, &n_deaths);
	}
}
