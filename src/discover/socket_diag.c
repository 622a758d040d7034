// SPDX-License-Identifier: Apache-2.0
#include "discover/socket_diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum { DIAG_BUFFER_BYTES = 128 << 10 };

struct diag {
	struct socket_table *table;
	struct socket_origin from;
	enum diag_use use;
	struct mnl_socket *nl;
	char *buffer;
};

/*
 * TCP by the older request, which answers for both families in one pass: a pass goes through the
 * host's whole table of connections, for each namespace.
 */
static const struct {
	uint16_t request;
	uint8_t family;
	uint8_t protocol;
	enum socket_type type;
} diag_kinds[] = {
	{ TCPDIAG_GETSOCK, AF_UNSPEC, IPPROTO_TCP, SOCKET_STREAM },
	{ SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_UDP, SOCKET_DATAGRAM },
	{ SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_UDP, SOCKET_DATAGRAM },
	{ SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_UDPLITE, SOCKET_DATAGRAM },
	{ SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_UDPLITE, SOCKET_DATAGRAM },
	{ SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_RAW, SOCKET_RAW },
	{ SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_RAW, SOCKET_RAW },
};

static int v6only_of(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct inet_diag_msg))
		if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY &&
		    mnl_attr_get_payload_len(attr) >= sizeof(uint8_t))
			return mnl_attr_get_u8(attr) != 0;
	return -1;
}

static int take_socket(const struct nlmsghdr *nlh, void *arg)
{
	struct diag *d = arg;
	int err = 0;

	if ((nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY && nlh->nlmsg_type != TCPDIAG_GETSOCK) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct inet_diag_msg))
		return MNL_CB_OK;
	if (d->use == DIAG_CONFIRM)
		socket_table_confirm(d->table, mnl_nlmsg_get_payload(nlh));
	else
		err = socket_table_add_diag(d->table, &d->from, mnl_nlmsg_get_payload(nlh),
					    v6only_of(nlh));
	if (err) {
		errno = -err;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

static void put_request(struct nlmsghdr *nlh, size_t kind)
{
	struct inet_diag_req_v2 *req;
	struct inet_diag_req *old;

	if (diag_kinds[kind].request == TCPDIAG_GETSOCK) {
		old = mnl_nlmsg_put_extra_header(nlh, sizeof(*old));
		old->idiag_family = diag_kinds[kind].family;
		old->idiag_states = ~0U;
		return;
	}
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = diag_kinds[kind].family;
	req->sdiag_protocol = diag_kinds[kind].protocol;
	req->idiag_states = ~0U;
}

static int send_request(struct diag *d, size_t kind, unsigned int seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(d->buffer);

	nlh->nlmsg_type = diag_kinds[kind].request;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = seq;
	put_request(nlh, kind);
	return mnl_socket_sendto(d->nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

static int read_answer(struct diag *d, unsigned int seq)
{
	unsigned int port = mnl_socket_get_portid(d->nl);
	ssize_t n;
	int more;

	do {
		n = mnl_socket_recvfrom(d->nl, d->buffer, DIAG_BUFFER_BYTES);
		if (n < 0)
			return -errno;
		more = mnl_cb_run(d->buffer, (size_t)n, seq, port, take_socket, d);
	} while (more > 0);
	return more < 0 ? -errno : 0;
}

/* A kernel without the handler of a protocol says ENOENT; without IPv6, EAFNOSUPPORT or EINVAL. */
static bool is_unsupported(int err)
{
	return err == -ENOENT || err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT || err == -EINVAL;
}

static int dump_all(struct diag *d, struct err *e)
{
	int err;

	for (unsigned int i = 0; i < ARRAY_SIZE(diag_kinds); i++) {
		d->from.protocol = diag_kinds[i].protocol;
		d->from.type = diag_kinds[i].type;
		err = send_request(d, i, i + 1);
		if (!err)
			err = read_answer(d, i + 1);
		if (err && !is_unsupported(err))
			return err_set(e, -err, "sock_diag of network namespace %u: %s",
				       d->from.netns_inode, strerror(-err));
	}
	return 0;
}

static int open_diag(struct diag *d)
{
	socklen_t len = sizeof(d->from.netns_cookie);

	d->nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!d->nl)
		return -errno;
	if (getsockopt(mnl_socket_get_fd(d->nl), SOL_SOCKET, SO_NETNS_COOKIE, &d->from.netns_cookie,
		       &len) < 0)
		return -errno;
	if (mnl_socket_bind(d->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	d->buffer = malloc(DIAG_BUFFER_BYTES);
	return d->buffer ? 0 : -ENOMEM;
}

int socket_diag_dump(struct socket_table *t, uint32_t netns_inode, enum diag_use use, struct err *e)
{
	struct diag d = { .table = t, .use = use, .from.netns_inode = netns_inode };
	int err = open_diag(&d);

	if (err)
		err_set(e, -err, "netlink socket in network namespace %u: %s", netns_inode,
			strerror(-err));
	else
		err = dump_all(&d, e);
	free(d.buffer);
	if (d.nl)
		mnl_socket_close(d.nl);
	return err;
}
