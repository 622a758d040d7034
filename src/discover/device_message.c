// SPDX-License-Identifier: Apache-2.0
#include "discover/device_message.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/base.h"

typedef void (*attr_fn)(const struct nlattr *a, struct device_message *m);

/* --- values --- */

static void copy_text(const struct nlattr *a, char *to, size_t size)
{
	size_t len = strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));

	if (len >= size)
		len = size - 1;
	memcpy(to, mnl_attr_get_payload(a), len);
	to[len] = '\0';
}

static bool is_text(const struct nlattr *a, const char *text)
{
	char value[DEVICE_KIND_MAX];

	copy_text(a, value, sizeof(value));
	return !strcmp(value, text);
}

static uint32_t get_u32(const struct nlattr *a)
{
	return mnl_attr_get_payload_len(a) < sizeof(uint32_t) ? 0 : mnl_attr_get_u32(a);
}

static uint64_t get_u64(const struct nlattr *a)
{
	return mnl_attr_get_payload_len(a) < sizeof(uint64_t) ? 0 : mnl_attr_get_u64(a);
}

static bool is_among(const char *kind, const char *const *kinds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

/* --- attributes --- */

static void parse_address(const struct nlattr *a, struct device_message *m)
{
	m->dev.address_bytes = (uint8_t)mnl_attr_get_payload_len(a);
}

static void parse_name(const struct nlattr *a, struct device_message *m)
{
	copy_text(a, m->dev.name, IFNAMSIZ);
}

static void parse_mtu(const struct nlattr *a, struct device_message *m)
{
	m->dev.mtu = get_u32(a);
}

static void parse_link(const struct nlattr *a, struct device_message *m)
{
	m->link.ifindex = get_u32(a);
}

static void parse_link_netns(const struct nlattr *a, struct device_message *m)
{
	m->link.foreign = true;
	m->link.nsid = (int32_t)get_u32(a);
}

static void parse_master(const struct nlattr *a, struct device_message *m)
{
	m->dev.master.ifindex = get_u32(a);
	if (m->dev.master.ifindex)
		m->dev.has |= DEVICE_HAS_MASTER;
}

static void parse_num_vf(const struct nlattr *a, struct device_message *m)
{
	m->has_vfs = true;
	m->dev.n_vfs = get_u32(a);
}

static void parse_new_netns(const struct nlattr *a, struct device_message *m)
{
	m->moved = m->deleted;
	m->new_nsid = (int32_t)get_u32(a);
}

static void parse_new_ifindex(const struct nlattr *a, struct device_message *m)
{
	m->new_ifindex = get_u32(a);
}

static void parse_parent(const struct nlattr *a, struct device_message *m)
{
	copy_text(a, m->dev.bus, sizeof(m->dev.bus));
}

static void parse_parent_bus(const struct nlattr *a, struct device_message *m)
{
	copy_text(a, m->bus_name, sizeof(m->bus_name));
}

/* Those that hand to others what isn't for them. */
static bool forwards(const struct nlattr *kind)
{
	return is_text(kind, "bridge") || is_text(kind, "openvswitch");
}

static void parse_info(const struct nlattr *nest, struct device_message *m)
{
	struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) {
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			copy_text(a, m->dev.kind, sizeof(m->dev.kind));
		else if (mnl_attr_get_type(a) != IFLA_INFO_SLAVE_KIND)
			continue;
		if (forwards(a))
			m->dev.has |= DEVICE_FORWARDS;
	}
}

/* One program in one mode, as a rule; in several the one nearest to the wire counts. */
static void parse_xdp(const struct nlattr *nest, struct device_message *m)
{
	static const uint16_t order[] = { IFLA_XDP_HW_PROG_ID, IFLA_XDP_DRV_PROG_ID,
					  IFLA_XDP_SKB_PROG_ID, IFLA_XDP_PROG_ID };
	struct nlattr *a;

	for (size_t i = 0; i < ARRAY_SIZE(order) && !m->dev.xdp_prog_id; i++)
		mnl_attr_for_each_nested(a, nest)
			if (mnl_attr_get_type(a) == order[i])
				m->dev.xdp_prog_id = get_u32(a);
}

/* Older kernels have fewer counters, newer ones more, behind those. */
static void parse_stats(const struct nlattr *a, struct device_message *m)
{
	struct rtnl_link_stats64 s = { 0 };
	size_t len = mnl_attr_get_payload_len(a);

	memcpy(&s, mnl_attr_get_payload(a), len < sizeof(s) ? len : sizeof(s));
	m->dev.has |= DEVICE_HAS_KERNEL;
	m->dev.kernel_rx = (struct device_kernel){ s.rx_packets, s.rx_bytes, s.rx_dropped,
						   s.rx_errors };
	m->dev.kernel_tx = (struct device_kernel){ s.tx_packets, s.tx_bytes, s.tx_dropped,
						   s.tx_errors };
}

static const attr_fn attr_table[] = {
	[IFLA_ADDRESS] = parse_address,
	[IFLA_IFNAME] = parse_name,
	[IFLA_MTU] = parse_mtu,
	[IFLA_LINK] = parse_link,
	[IFLA_LINK_NETNSID] = parse_link_netns,
	[IFLA_MASTER] = parse_master,
	[IFLA_LINKINFO] = parse_info,
	[IFLA_NUM_VF] = parse_num_vf,
	[IFLA_STATS64] = parse_stats,
	[IFLA_XDP] = parse_xdp,
	[IFLA_NEW_NETNSID] = parse_new_netns,
	[IFLA_NEW_IFINDEX] = parse_new_ifindex,
	[IFLA_PARENT_DEV_NAME] = parse_parent,
	[IFLA_PARENT_DEV_BUS_NAME] = parse_parent_bus,
};

/* --- what follows from them --- */

/* Their receive handler hands them packets that another device has received. */
static bool is_stacked(const char *kind)
{
	static const char *const kinds[] = { "macvlan", "macvtap", "ipvlan", "ipvtap",
					     "vlan",	"bond",	   "team",   "vrf" };

	return is_among(kind, kinds, ARRAY_SIZE(kinds));
}

static bool is_paired(const char *kind)
{
	return !strcmp(kind, "veth") || !strcmp(kind, "netkit") || !strcmp(kind, "vxcan");
}

static void conclude(struct device_message *m)
{
	struct device *dev = &m->dev;
	const char *kind = "other";

	if (!*m->bus_name || !*dev->bus)
		*m->bus_name = *dev->bus = '\0';
	if (dev->type == ARPHRD_LOOPBACK)
		kind = "loopback";
	else if (*dev->bus)
		kind = "physical";
	if (!*dev->kind)
		memcpy(dev->kind, kind, strlen(kind) + 1);
	if (is_stacked(dev->kind))
		dev->has |= DEVICE_STACKED;
	m->paired = is_paired(dev->kind);
	if (!m->link.ifindex)
		m->link = (struct device_link){ 0 };
	if (m->moved && !m->new_ifindex)
		m->new_ifindex = dev->id.ifindex;
}

static bool is_of_device(const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	return (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK) &&
	       mnl_nlmsg_get_payload_len(h) >= sizeof(*ifi) && ifi->ifi_family == AF_UNSPEC &&
	       ifi->ifi_index > 0;
}

int device_message_parse(const struct nlmsghdr *h, struct device_message *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct nlattr *a;
	uint16_t type;

	memset(ret, 0, sizeof(*ret));
	if (!is_of_device(h))
		return -EBADMSG;
	ret->deleted = h->nlmsg_type == RTM_DELLINK;
	ret->dev.id.ifindex = (uint32_t)ifi->ifi_index;
	ret->dev.type = ifi->ifi_type;
	if (ifi->ifi_flags & IFF_UP)
		ret->dev.has |= DEVICE_UP;
	mnl_attr_for_each(a, h, sizeof(*ifi)) {
		type = mnl_attr_get_type(a);
		if (type < ARRAY_SIZE(attr_table) && attr_table[type])
			attr_table[type](a, ret);
	}
	if (!*ret->dev.name)
		return -EBADMSG;
	conclude(ret);
	return 0;
}

/* --- virtual functions --- */

static void parse_vf_stats(const struct nlattr *nest, struct device_vf *vf)
{
	struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_VF_STATS_RX_PACKETS: vf->rx.packets = get_u64(a); break;
		case IFLA_VF_STATS_TX_PACKETS: vf->tx.packets = get_u64(a); break;
		case IFLA_VF_STATS_RX_BYTES: vf->rx.bytes = get_u64(a); break;
		case IFLA_VF_STATS_TX_BYTES: vf->tx.bytes = get_u64(a); break;
		case IFLA_VF_STATS_RX_DROPPED: vf->rx.dropped = get_u64(a); break;
		case IFLA_VF_STATS_TX_DROPPED: vf->tx.dropped = get_u64(a); break;
		}
	}
}

/* A function's number is at the head of each of its settings. */
static void parse_vf(const struct nlattr *nest, device_vf_fn fn, void *arg)
{
	struct device_vf vf = { 0 };
	bool numbered = false, counted = false;
	struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) {
		if (mnl_attr_get_type(a) == IFLA_VF_MAC) {
			vf.vf = get_u32(a);
			numbered = true;
		} else if (mnl_attr_get_type(a) == IFLA_VF_STATS) {
			parse_vf_stats(a, &vf);
			counted = true;
		}
	}
	if (numbered && counted)
		fn(arg, &vf);
}

void device_message_each_vf(const struct nlmsghdr *h, device_vf_fn fn, void *arg)
{
	struct nlattr *list, *a;

	if (!is_of_device(h))
		return;
	mnl_attr_for_each(list, h, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(list) == IFLA_VFINFO_LIST)
			mnl_attr_for_each_nested(a, list)
				if (mnl_attr_get_type(a) == IFLA_VF_INFO)
					parse_vf(a, fn, arg);
}
