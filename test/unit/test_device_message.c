// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/base.h"
#include "discover/device_message.h"

static char buf[4096] __attribute__((aligned(NLMSG_ALIGNTO)));

/* A message of device 7, "x". */
static struct nlmsghdr *begin(uint16_t type, uint16_t hardware, unsigned int flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	h->nlmsg_type = type;
	ifi->ifi_index = 7;
	ifi->ifi_type = hardware;
	ifi->ifi_flags = flags;
	mnl_attr_put_strz(h, IFLA_IFNAME, "x");
	return h;
}

static void put_info(struct nlmsghdr *h, uint16_t type, const char *kind)
{
	struct nlattr *nest = mnl_attr_nest_start(h, IFLA_LINKINFO);

	mnl_attr_put_strz(h, type, kind);
	mnl_attr_nest_end(h, nest);
}

static void put_parent(struct nlmsghdr *h, const char *bus, const char *address)
{
	mnl_attr_put_strz(h, IFLA_PARENT_DEV_BUS_NAME, bus);
	mnl_attr_put_strz(h, IFLA_PARENT_DEV_NAME, address);
}

static struct device_message parse(const struct nlmsghdr *h)
{
	struct device_message m;

	assert_int_equal(device_message_parse(h, &m), 0);
	return m;
}

static void reads_one_end_of_a_pair(void **state)
{
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_ETHER, IFF_UP);
	struct device_message m;

	mnl_attr_put(h, IFLA_ADDRESS, 6, "\2\0\0\0\0\1");
	mnl_attr_put_u32(h, IFLA_MTU, 1500);
	mnl_attr_put_u32(h, IFLA_LINK, 3);
	mnl_attr_put_u32(h, IFLA_LINK_NETNSID, 12);
	mnl_attr_put_u32(h, IFLA_MASTER, 9);
	put_info(h, IFLA_INFO_KIND, "veth");
	m = parse(h);
	assert_false(m.deleted || m.moved || m.has_vfs);
	assert_int_equal(m.dev.id.ifindex, 7);
	assert_string_equal(m.dev.name, "x");
	assert_string_equal(m.dev.kind, "veth");
	assert_string_equal(m.dev.bus, "");
	assert_int_equal(m.dev.has, DEVICE_UP | DEVICE_HAS_MASTER);
	assert_int_equal(m.dev.type, ARPHRD_ETHER);
	assert_int_equal(m.dev.address_bytes, 6);
	assert_int_equal(m.dev.mtu, 1500);
	assert_int_equal(m.dev.master.ifindex, 9);
	assert_true(m.paired && m.link.foreign);
	assert_int_equal(m.link.ifindex, 3);
	assert_int_equal(m.link.nsid, 12);
}

static void a_tunnel_that_stands_on_nothing_has_no_link(void **state)
{
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_IPGRE, 0);
	struct device_message m;

	mnl_attr_put_u32(h, IFLA_LINK, 0);
	mnl_attr_put_u32(h, IFLA_LINK_NETNSID, 1);
	put_info(h, IFLA_INFO_KIND, "gre");
	m = parse(h);
	assert_int_equal(m.link.ifindex, 0);
	assert_false(m.link.foreign || m.paired);
}

static void assert_kind(const struct nlmsghdr *h, const char *kind)
{
	assert_string_equal(parse(h).dev.kind, kind);
}

static void says_what_is_no_virtual_device(void **state)
{
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	struct device_message m;

	assert_kind(h, "other");
	put_parent(h, "pci", "0000:01:10.1");
	m = parse(h);
	assert_string_equal(m.dev.kind, "physical");
	assert_string_equal(m.dev.bus, "0000:01:10.1");
	assert_string_equal(m.bus_name, "pci");
	assert_kind(begin(RTM_NEWLINK, ARPHRD_LOOPBACK, 0), "loopback");
}

static unsigned int has_of(uint16_t type, const char *kind)
{
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);

	put_info(h, type, kind);
	return parse(h).dev.has;
}

static void knows_who_stacks_and_who_forwards(void **state)
{
	static const char *const stacked[] = { "macvlan", "macvtap", "ipvlan", "ipvtap",
					       "vlan",	  "bond",    "team" };

	for (size_t i = 0; i < ARRAY_SIZE(stacked); i++)
		assert_int_equal(has_of(IFLA_INFO_KIND, stacked[i]), DEVICE_STACKED);
	assert_int_equal(has_of(IFLA_INFO_KIND, "bridge"), DEVICE_FORWARDS);
	assert_int_equal(has_of(IFLA_INFO_SLAVE_KIND, "bridge"), DEVICE_FORWARDS);
	assert_int_equal(has_of(IFLA_INFO_SLAVE_KIND, "openvswitch"), DEVICE_FORWARDS);
	assert_int_equal(has_of(IFLA_INFO_SLAVE_KIND, "bond"), 0);
	assert_int_equal(has_of(IFLA_INFO_KIND, "vxlan"), 0);
}

/* A device's counters, of a kernel that knows as many as @len has room for. */
static void reads_counters_of_any_length(void **state)
{
	struct rtnl_link_stats64 s = { .rx_packets = 1,
				       .tx_packets = 2,
				       .rx_bytes = 3,
				       .tx_bytes = 4,
				       .rx_errors = 5,
				       .tx_errors = 6,
				       .rx_dropped = 7,
				       .tx_dropped = 8 };
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	struct device_message m;

	mnl_attr_put(h, IFLA_STATS64, sizeof(s), &s);
	m = parse(h);
	assert_int_equal(m.dev.has, DEVICE_HAS_KERNEL);
	assert_int_equal(m.dev.kernel_rx.packets, 1);
	assert_int_equal(m.dev.kernel_rx.bytes, 3);
	assert_int_equal(m.dev.kernel_rx.errors, 5);
	assert_int_equal(m.dev.kernel_rx.dropped, 7);
	assert_int_equal(m.dev.kernel_tx.packets, 2);
	assert_int_equal(m.dev.kernel_tx.bytes, 4);
	assert_int_equal(m.dev.kernel_tx.errors, 6);
	assert_int_equal(m.dev.kernel_tx.dropped, 8);
	h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	mnl_attr_put(h, IFLA_STATS64, 4 * sizeof(uint64_t), &s);
	m = parse(h);
	assert_int_equal(m.dev.kernel_tx.bytes, 4);
	assert_int_equal(m.dev.kernel_tx.dropped, 0);
}

static void reads_the_xdp_program(void **state)
{
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	struct nlattr *nest = mnl_attr_nest_start(h, IFLA_XDP);

	mnl_attr_put_u8(h, IFLA_XDP_ATTACHED, XDP_ATTACHED_MULTI);
	mnl_attr_put_u32(h, IFLA_XDP_SKB_PROG_ID, 41);
	mnl_attr_put_u32(h, IFLA_XDP_DRV_PROG_ID, 42);
	mnl_attr_nest_end(h, nest);
	assert_int_equal(parse(h).dev.xdp_prog_id, 42);
	h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	nest = mnl_attr_nest_start(h, IFLA_XDP);
	mnl_attr_put_u8(h, IFLA_XDP_ATTACHED, XDP_ATTACHED_DRV);
	mnl_attr_put_u32(h, IFLA_XDP_PROG_ID, 17);
	mnl_attr_nest_end(h, nest);
	assert_int_equal(parse(h).dev.xdp_prog_id, 17);
}

static void tells_a_move_from_a_deletion(void **state)
{
	struct nlmsghdr *h = begin(RTM_DELLINK, ARPHRD_ETHER, 0);
	struct device_message m = parse(h);

	assert_true(m.deleted && !m.moved);
	mnl_attr_put_u32(h, IFLA_NEW_NETNSID, 4);
	m = parse(h);
	assert_true(m.deleted && m.moved);
	assert_int_equal(m.new_nsid, 4);
	assert_int_equal(m.new_ifindex, 7);
	mnl_attr_put_u32(h, IFLA_NEW_IFINDEX, 30);
	assert_int_equal(parse(h).new_ifindex, 30);
}

static void refuses_what_is_not_a_device(void **state)
{
	struct nlmsghdr *h = begin(RTM_DELLINK, ARPHRD_ETHER, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct device_message m;

	ifi->ifi_family = AF_BRIDGE; /* a port left its bridge */
	assert_int_equal(device_message_parse(h, &m), -EBADMSG);
	h = begin(RTM_NEWADDR, ARPHRD_ETHER, 0);
	assert_int_equal(device_message_parse(h, &m), -EBADMSG);
	h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	h->nlmsg_len = MNL_NLMSG_HDRLEN + sizeof(*ifi); /* without a name */
	assert_int_equal(device_message_parse(h, &m), -EBADMSG);
	h->nlmsg_len = MNL_NLMSG_HDRLEN + 4;
	assert_int_equal(device_message_parse(h, &m), -EBADMSG);
}

/* --- virtual functions --- */

static void put_vf(struct nlmsghdr *h, uint32_t number, uint64_t rx_packets)
{
	struct nlattr *nest = mnl_attr_nest_start(h, IFLA_VF_INFO), *stats;
	struct ifla_vf_mac mac = { .vf = number };

	mnl_attr_put(h, IFLA_VF_MAC, sizeof(mac), &mac);
	stats = mnl_attr_nest_start(h, IFLA_VF_STATS);
	mnl_attr_put_u64(h, IFLA_VF_STATS_RX_PACKETS, rx_packets);
	mnl_attr_put_u64(h, IFLA_VF_STATS_TX_BYTES, 1000);
	mnl_attr_put_u64(h, IFLA_VF_STATS_TX_DROPPED, 2);
	mnl_attr_nest_end(h, stats);
	mnl_attr_nest_end(h, nest);
}

struct vfs {
	size_t n;
	struct device_vf vf[4];
};

static void add_vf(void *arg, const struct device_vf *vf)
{
	struct vfs *vfs = arg;

	assert_true(vfs->n < ARRAY_SIZE(vfs->vf));
	vfs->vf[vfs->n++] = *vf;
}

static void reads_what_a_pf_counts_for_its_functions(void **state)
{
	struct nlmsghdr *h = begin(RTM_NEWLINK, ARPHRD_ETHER, 0);
	struct vfs vfs = { 0 };
	struct nlattr *list;
	struct device_message m;

	mnl_attr_put_u32(h, IFLA_NUM_VF, 2);
	list = mnl_attr_nest_start(h, IFLA_VFINFO_LIST);
	put_vf(h, 0, 10);
	put_vf(h, 3, 13);
	mnl_attr_nest_end(h, list);
	m = parse(h);
	assert_true(m.has_vfs);
	assert_int_equal(m.dev.n_vfs, 2);
	device_message_each_vf(h, add_vf, &vfs);
	assert_int_equal(vfs.n, 2);
	assert_int_equal(vfs.vf[0].vf, 0);
	assert_int_equal(vfs.vf[1].vf, 3);
	assert_int_equal(vfs.vf[1].rx.packets, 13);
	assert_int_equal(vfs.vf[1].tx.bytes, 1000);
	assert_int_equal(vfs.vf[1].tx.dropped, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_end_of_a_pair),
		cmocka_unit_test(a_tunnel_that_stands_on_nothing_has_no_link),
		cmocka_unit_test(says_what_is_no_virtual_device),
		cmocka_unit_test(knows_who_stacks_and_who_forwards),
		cmocka_unit_test(reads_counters_of_any_length),
		cmocka_unit_test(reads_the_xdp_program),
		cmocka_unit_test(tells_a_move_from_a_deletion),
		cmocka_unit_test(refuses_what_is_not_a_device),
		cmocka_unit_test(reads_what_a_pf_counts_for_its_functions),
	};

	return cmocka_run_group_tests_name("device_message", tests, NULL, NULL);
}
