// SPDX-License-Identifier: Apache-2.0
#include "discover/device_ask.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	ANSWER_BYTES = 64 << 10,
	QUESTION_BYTES = 256,
	TRIES = 32, /* of a list that changed while it was made */
};

struct device_ask {
	struct mnl_socket *socket;
	unsigned int seq;
	char buf[ANSWER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

struct question {
	char buf[QUESTION_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h;
	device_answer_fn fn;
	void *arg;
};

static int open_socket(struct device_ask *a)
{
	int on = 1;

	a->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!a->socket || mnl_socket_bind(a->socket, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	/* What a question can't mean is refused then, rather than overlooked. */
	if (mnl_socket_setsockopt(a->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on)))
		return -errno;
	return 0;
}

int device_ask_new(struct device_ask **ret, struct err *e)
{
	struct device_ask *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return err_set(e, ENOMEM, "out of memory");
	err = open_socket(a);
	if (err) {
		device_ask_free(a);
		return err_set(e, -err, "cannot ask for network devices: netlink: %s",
			       strerror(-err));
	}
	*ret = a;
	return 0;
}

void device_ask_free(struct device_ask *a)
{
	if (!a)
		return;
	if (a->socket)
		mnl_socket_close(a->socket);
	free(a);
}

/* --- questions --- */

static void *begin_question(struct question *q, uint16_t type, uint16_t flags, size_t header_bytes)
{
	memset(q->buf, 0, sizeof(q->buf));
	q->h = mnl_nlmsg_put_header(q->buf);
	q->h->nlmsg_type = type;
	q->h->nlmsg_flags = NLM_F_REQUEST | flags;
	return mnl_nlmsg_put_extra_header(q->h, header_bytes);
}

static int hand_on(const struct nlmsghdr *h, void *arg)
{
	struct question *q = arg;

	q->fn(q->arg, h);
	return MNL_CB_OK;
}

/* Until the answer ends. 0 or -errno. */
static int take_answer(struct device_ask *a, struct question *q)
{
	ssize_t len;
	int more;

	do {
		len = mnl_socket_recvfrom(a->socket, a->buf, sizeof(a->buf));
		if (len < 0)
			return -errno;
		more = mnl_cb_run(a->buf, (size_t)len, a->seq, mnl_socket_get_portid(a->socket),
				  hand_on, q);
		if (more < 0)
			return -errno;
	} while (more > MNL_CB_STOP);
	return 0;
}

/* The rest of an answer that was broken off is on the socket still. */
static void drop_rest(struct device_ask *a)
{
	int fd = mnl_socket_get_fd(a->socket);

	while (recv(fd, a->buf, sizeof(a->buf), MSG_DONTWAIT) > 0)
		;
}

static int put_question(struct device_ask *a, struct question *q)
{
	int err;

	q->h->nlmsg_seq = ++a->seq;
	if (mnl_socket_sendto(a->socket, q->h, q->h->nlmsg_len) < 0)
		return -errno;
	err = take_answer(a, q);
	if (err)
		drop_rest(a);
	return err;
}

static struct ifinfomsg *begin_link_question(struct question *q, uint16_t flags, int32_t nsid)
{
	struct ifinfomsg *ifi = begin_question(q, RTM_GETLINK, flags, sizeof(*ifi));

	if (nsid != DEVICE_ASK_OWN)
		mnl_attr_put_u32(q->h, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	mnl_attr_put_u32(q->h, IFLA_EXT_MASK, RTEXT_FILTER_VF);
	return ifi;
}

int device_ask_all(struct device_ask *a, int32_t nsid, device_answer_fn fn, void *arg)
{
	struct question q = { .fn = fn, .arg = arg };
	int err = -EINTR;

	begin_link_question(&q, NLM_F_DUMP, nsid);
	for (unsigned int i = 0; i < TRIES && err == -EINTR; i++)
		err = put_question(a, &q);
	return err;
}

int device_ask_one(struct device_ask *a, int32_t nsid, uint32_t ifindex, device_answer_fn fn,
		   void *arg)
{
	struct question q = { .fn = fn, .arg = arg };

	begin_link_question(&q, NLM_F_ACK, nsid)->ifi_index = (int)ifindex;
	return put_question(a, &q);
}

/* --- ids --- */

struct translation {
	int32_t their_id, ours;
};

static void take_translation(void *arg, const struct nlmsghdr *h)
{
	struct translation *t = arg;
	int32_t theirs = NETNSA_NSID_NOT_ASSIGNED, ours = NETNSA_NSID_NOT_ASSIGNED;
	struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct rtgenmsg)) {
		if (mnl_attr_get_type(a) == NETNSA_NSID)
			theirs = (int32_t)mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == NETNSA_CURRENT_NSID)
			ours = (int32_t)mnl_attr_get_u32(a);
	}
	if (theirs == t->their_id)
		t->ours = ours;
}

int device_ask_translate(struct device_ask *a, int32_t nsid, int32_t their_id, int32_t *ret)
{
	struct translation t = { their_id, NETNSA_NSID_NOT_ASSIGNED };
	struct question q = { .fn = take_translation, .arg = &t };
	int err;

	begin_question(&q, RTM_GETNSID, NLM_F_DUMP, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(q.h, NETNSA_TARGET_NSID, (uint32_t)nsid);
	err = put_question(a, &q);
	if (!err && t.ours < 0)
		err = -ENOENT;
	*ret = t.ours;
	return err;
}

uint64_t device_ask_own_cookie(const struct device_ask *a)
{
	socklen_t len = sizeof(uint64_t);
	uint64_t cookie = 0;

	if (getsockopt(mnl_socket_get_fd(a->socket), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		return 0;
	return cookie;
}
