/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_TEST_SAMPLE_DEVICES_H
#define NSLENS_TEST_SAMPLE_DEVICES_H

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "lib/sample_events.h"
#include "model/device.h"

/* Made-up devices for the tests of what people and machines read. */

enum { SAMPLE_HOST_COOKIE = 1, N_SAMPLE_DEVICES = 9 };

static const struct netns sample_host_netns = { .cookie = 1, .inode = 4026531840 };
static const struct netns sample_anonymous_netns = { .cookie = 4100, .inode = 4026532500 };

static inline const struct netns *sample_blue_netns(void)
{
	static char *names[] = { "blue" };
	static const struct netns ns = {
		.cookie = 4097, .inode = 4026532290, .names = names, .n_names = 1
	};

	return &ns;
}

static inline const struct netns *sample_long_netns(void)
{
	static char *names[] = { "cni-5fc21eb1-9d61-4bd3-a6a5-d6ee1fd90a3a" };
	static const struct netns ns = {
		.cookie = 4098, .inode = 4026532388, .names = names, .n_names = 1
	};

	return &ns;
}

static const struct device sample_devices[N_SAMPLE_DEVICES] = {
	{ .id = { 1, 1 },
	  .has = DEVICE_UP | DEVICE_HAS_KERNEL,
	  .name = "lo",
	  .kind = "loopback",
	  .mtu = 65536 },
	{ .id = { 1, 2 },
	  .has = DEVICE_UP | DEVICE_HAS_KERNEL,
	  .name = "eth0",
	  .kind = "physical",
	  .driver = "igb",
	  .bus = "0000:01:00.0",
	  .mtu = 1500,
	  .n_vfs = 8 },
	{ .id = { 1, 7 },
	  .has = DEVICE_UP | DEVICE_HAS_KERNEL | DEVICE_FORWARDS,
	  .name = "br0",
	  .kind = "bridge",
	  .driver = "bridge",
	  .mtu = 1500 },
	{ .id = { 1, 8 },
	  .has = DEVICE_UP | DEVICE_HAS_KERNEL | DEVICE_FORWARDS | DEVICE_HAS_PEER |
		 DEVICE_HAS_MASTER,
	  .name = "veth1",
	  .kind = "veth",
	  .driver = "veth",
	  .mtu = 1500,
	  .peer = { 4097, 2 },
	  .master = { 1, 7 } },
	{ .id = { 4097, 2 },
	  .has = DEVICE_UP | DEVICE_HAS_KERNEL | DEVICE_HAS_PEER,
	  .name = "eth0",
	  .kind = "veth",
	  .driver = "veth",
	  .mtu = 1500,
	  .peer = { 1, 8 },
	  .xdp_prog_id = 31 },
	{ .id = { 4097, 3 },
	  .has = DEVICE_STACKED | DEVICE_HAS_LOWER,
	  .name = "mv0",
	  .kind = "macvlan",
	  .mtu = 1500,
	  .lower = { 4097, 2 } },
	{ .id = { 4098, 4 },
	  .has = DEVICE_UP | DEVICE_HAS_KERNEL | DEVICE_HAS_PF,
	  .name = "net1-pod-vf-003",
	  .kind = "vf",
	  .driver = "igbvf",
	  .bus = "0000:01:10.1",
	  .mtu = 1500,
	  .pf = { 1, 2 },
	  .vf = 0,
	  .xdp_prog_id = 17 },
	{ .id = { 4100, 2 },
	  .has = DEVICE_HAS_KERNEL | DEVICE_HAS_PEER,
	  .name = "\x1b[2J\r\"\xff",
	  .kind = "veth",
	  .peer = { 0, 12 } },
	{ .id = { 4101, 5 } },
};

static inline struct device_counted sample_counted(uint64_t packets, uint64_t missed,
						   uint64_t unobserved)
{
	uint64_t all = packets + missed + unobserved;

	return (struct device_counted){
		.skbs = packets,
		.skb_bytes = packets * 100,
		.packets = packets,
		.bytes = packets * 100,
		.ipv4 = packets,
		.missed = missed,
		.unobserved = unobserved,
		.kernel = { .packets = all, .bytes = all * 100 },
	};
}

static inline struct device_hook sample_hook(enum hook_state state, uint32_t link_id)
{
	return (struct device_hook){
		.state = state,
		.link_id = link_id,
		.prog_id = 9,
		.since_ns = SAMPLE_NOW_NS,
		.delay_ns = 13000000,
		.skbs = 120,
		.bytes = 12000,
		.pin = "/sys/fs/bpf/nslens/device/1",
	};
}

static inline void sample_count(struct device_row *row, struct device_counted rx,
				struct device_counted tx)
{
	row->counted = true;
	row->rx = rx;
	row->tx = tx;
}

static inline void sample_cover(struct device_row *row, enum coverage coverage, const char *why)
{
	row->coverage = coverage;
	snprintf(row->why, sizeof(row->why), "%s", why);
}

/* On the host: whole; one that was there before; without tcx; one that forwards. */
static inline void sample_host_rows(struct device_row rows[4])
{
	for (int i = 0; i < 4; i++) {
		rows[i].device = &sample_devices[i];
		rows[i].netns = &sample_host_netns;
		sample_cover(&rows[i], COVERAGE_FULL, "");
		rows[i].hooks[POINT_TCX_INGRESS] = sample_hook(HOOK_ATTACHED, 7);
		rows[i].hooks[POINT_TCX_EGRESS] = sample_hook(HOOK_ATTACHED, 8);
		sample_count(&rows[i], sample_counted(120, 0, 0), sample_counted(120, 0, 0));
	}
	sample_count(&rows[1], sample_counted(1234567, 12, 0),
		     sample_counted(9007199254740993, 3, 0));
	sample_cover(&rows[1], COVERAGE_PARTIAL, "it is older than nslens");
	for (int i = POINT_TCX_INGRESS; i <= POINT_TCX_EGRESS; i++) {
		rows[2].hooks[i].mode = "clsact";
		rows[2].hooks[i].removable = true;
	}
	sample_cover(&rows[2], COVERAGE_PARTIAL, "removable: this kernel has no tcx");
	rows[3].peer = &sample_devices[4];
	rows[3].peer_netns = sample_blue_netns();
	rows[3].master = &sample_devices[2];
}

/* In namespaces: XDP too; one that waits; one that is starved. */
static inline void sample_inner_rows(struct device_row rows[3])
{
	static const char starved[] = "program 17 runs before ours and kept 120 packets from it";

	for (int i = 0; i < 3; i++) {
		rows[i].device = &sample_devices[4 + i];
		rows[i].netns = i < 2 ? sample_blue_netns() : sample_long_netns();
	}
	rows[0].peer = &sample_devices[3];
	rows[0].peer_netns = &sample_host_netns;
	sample_cover(&rows[0], COVERAGE_FULL, "");
	rows[0].hooks[POINT_TCX_INGRESS] = sample_hook(HOOK_ATTACHED, 10);
	rows[0].hooks[POINT_TCX_EGRESS] = sample_hook(HOOK_ATTACHED, 11);
	rows[0].hooks[POINT_XDP] = sample_hook(HOOK_ATTACHED, 12);
	rows[0].hooks[POINT_XDP].mode = "native";
	sample_count(&rows[0], sample_counted(4812, 0, 0), sample_counted(17, 0, 0));
	rows[1].lower = &sample_devices[4];
	rows[1].lower_netns = sample_blue_netns();
	sample_cover(&rows[1], COVERAGE_NONE, "its hook waits for RTNL time");
	rows[1].hooks[POINT_TCX_INGRESS].state = HOOK_WAITING;
	rows[1].hooks[POINT_TCX_EGRESS].state = HOOK_WAITING;
	rows[2].pf = &sample_devices[1];
	rows[2].pf_netns = &sample_host_netns;
	sample_cover(&rows[2], COVERAGE_PARTIAL, starved);
	rows[2].hooks[POINT_TCX_INGRESS] = sample_hook(HOOK_STARVED, 13);
	rows[2].hooks[POINT_TCX_INGRESS].before_prog_id = 17;
	snprintf(rows[2].hooks[POINT_TCX_INGRESS].why, DEVICE_WHY_MAX, "%s", starved);
	rows[2].hooks[POINT_TCX_EGRESS] = sample_hook(HOOK_ATTACHED, 14);
	rows[2].hooks[POINT_XDP].state = HOOK_FAILED;
	snprintf(rows[2].hooks[POINT_XDP].why, DEVICE_WHY_MAX, "its driver can't");
	sample_count(&rows[2], sample_counted(0, 0, 120), sample_counted(64, 0, 0));
}

/* The last two: only the kernel counted; nothing but the id is known. */
static inline void sample_device_rows(struct device_row rows[N_SAMPLE_DEVICES])
{
	memset(rows, 0, N_SAMPLE_DEVICES * sizeof(*rows));
	sample_host_rows(rows);
	sample_inner_rows(rows + 4);
	rows[7].device = &sample_devices[7];
	rows[7].netns = &sample_anonymous_netns;
	sample_cover(&rows[7], COVERAGE_NONE, "no agent runs, and this command attaches nothing");
	rows[8].device = &sample_devices[8];
}

#endif
