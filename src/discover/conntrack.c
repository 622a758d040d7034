// SPDX-License-Identifier: Apache-2.0
#include "discover/conntrack.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/base.h"

/* An answer is one message of a few hundred bytes; it comes at once, or not at all. */
enum { ANSWER_BYTES = 4096, ANSWER_MS = 100 };

struct answer {
	struct ip_view original, reply; /* each from its sender's view */
};

bool conntrack_is_in_use(void)
{
	FILE *f = fopen("/proc/sys/net/netfilter/nf_conntrack_count", "re");
	unsigned long n = 0;
	bool known = f && fscanf(f, "%lu", &n) == 1;

	if (f)
		fclose(f);
	return known && n;
}

struct mnl_socket *conntrack_open(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct timeval patience = { .tv_usec = ANSWER_MS * 1000 };

	if (!nl)
		return NULL;
	if (setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		return NULL;
	}
	return nl;
}

/* --- the question --- */

static void put_tuple(struct nlmsghdr *nlh, uint8_t protocol, const struct ip_view *v)
{
	struct nlattr *tuple = mnl_attr_nest_start(nlh, CTA_TUPLE_ORIG);
	struct nlattr *nest = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	bool v4 = v->local.family == IP_V4;
	size_t len = v4 ? 4 : 16;

	mnl_attr_put(nlh, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, len, v->local.bytes);
	mnl_attr_put(nlh, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, len, v->remote.bytes);
	mnl_attr_nest_end(nlh, nest);
	nest = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, protocol);
	mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(v->local_port));
	mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(v->remote_port));
	mnl_attr_nest_end(nlh, nest);
	mnl_attr_nest_end(nlh, tuple);
}

static int send_question(struct mnl_socket *nl, char *buffer, uint8_t protocol,
			 const struct ip_view *v)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nfg->nfgen_family = v->local.family == IP_V4 ? AF_INET : AF_INET6;
	nfg->version = NFNETLINK_V0;
	put_tuple(nlh, protocol, v);
	return mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

/* --- the answer --- */

static void take_ip(const struct nlattr *attr, enum ip_family family, struct ip_addr *ret)
{
	size_t len = family == IP_V4 ? 4 : 16;

	if (mnl_attr_get_payload_len(attr) < len)
		return;
	*ret = (struct ip_addr){ .family = family };
	memcpy(ret->bytes, mnl_attr_get_payload(attr), len);
}

static void take_addresses(const struct nlattr *nest, struct ip_view *v)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		switch (mnl_attr_get_type(attr)) {
		case CTA_IP_V4_SRC: take_ip(attr, IP_V4, &v->local); break;
		case CTA_IP_V4_DST: take_ip(attr, IP_V4, &v->remote); break;
		case CTA_IP_V6_SRC: take_ip(attr, IP_V6, &v->local); break;
		case CTA_IP_V6_DST: take_ip(attr, IP_V6, &v->remote); break;
		}
}

static void take_ports(const struct nlattr *nest, struct ip_view *v)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_payload_len(attr) < sizeof(uint16_t))
			continue;
		if (mnl_attr_get_type(attr) == CTA_PROTO_SRC_PORT)
			v->local_port = ntohs(mnl_attr_get_u16(attr));
		else if (mnl_attr_get_type(attr) == CTA_PROTO_DST_PORT)
			v->remote_port = ntohs(mnl_attr_get_u16(attr));
	}
}

static void take_tuple(const struct nlattr *nest, struct ip_view *v)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		switch (mnl_attr_get_type(attr)) {
		case CTA_TUPLE_IP: take_addresses(attr, v); break;
		case CTA_TUPLE_PROTO: take_ports(attr, v); break;
		}
}

static int take_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct answer *a = arg;
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return MNL_CB_STOP;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
		switch (mnl_attr_get_type(attr)) {
		case CTA_TUPLE_ORIG: take_tuple(attr, &a->original); break;
		case CTA_TUPLE_REPLY: take_tuple(attr, &a->reply); break;
		}
	return MNL_CB_STOP;
}

int conntrack_far_view(struct mnl_socket *nl, uint8_t protocol, const struct ip_view *near,
		       struct ip_view *ret_far)
{
	char buffer[ANSWER_BYTES];
	struct answer a = { 0 };
	ssize_t n;
	int err = send_question(nl, buffer, protocol, near);

	if (err)
		return err;
	n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
	if (n < 0 || mnl_cb_run(buffer, (size_t)n, 0, 0, take_entry, &a) < 0)
		return -errno;
	if (ip_view_equal(near, &a.original))
		*ret_far = a.reply;
	else if (ip_view_equal(near, &a.reply))
		*ret_far = a.original;
	else
		return -ENOENT;
	return 0;
}
