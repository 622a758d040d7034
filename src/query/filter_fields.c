// SPDX-License-Identifier: Apache-2.0
#include "model/event.h"
#include "query/filter_program.h"

static const struct filter_word transport_words[] = {
	{ "tcp", 1 << TRANSPORT_TCP },
	{ "udp", 1 << TRANSPORT_UDP },
	{ "icmp", 1 << TRANSPORT_ICMP | 1 << TRANSPORT_ICMP6 },
	{ "ipv6-icmp", 1 << TRANSPORT_ICMP6 },
	{ 0 },
};

static const struct filter_word direction_words[] = {
	{ "in", 1 << DIRECTION_IN },
	{ "out", 1 << DIRECTION_OUT },
	{ "local", 1 << DIRECTION_LOCAL },
	{ 0 },
};

static const struct filter_word action_words[] = {
	{ "open", 1 << FLOW_OPEN },
	{ "update", 1 << FLOW_UPDATE },
	{ "close", 1 << FLOW_CLOSE },
	{ "fail", 1 << FLOW_FAIL },
	{ 0 },
};

/* clang-format off */
const struct filter_field_row filter_fields[N_FILTER_FIELDS] = {
	[FILTER_PROCESS] = {
		.name = "process", .noun = "a process",
		.type = FILTER_TYPE_PATH, .sided = true,
		.also = " comm command cmd exe executable program name proc ",
		.help = "executable's path, the path's last part, or the kernel's short name; glob",
	},
	[FILTER_PID] = {
		.name = "pid", .noun = "a process id",
		.type = FILTER_TYPE_NUMBER, .sided = true, .max = INT32_MAX,
		.also = " tgid ",
		.help = "process id, as the host sees it",
	},
	[FILTER_UID] = {
		.name = "uid", .noun = "a user id",
		.type = FILTER_TYPE_NUMBER, .sided = true, .max = UINT32_MAX - 1,
		.also = " user euid owner ",
		.help = "numeric id of the process's user",
	},
	[FILTER_NETNS] = {
		.name = "netns", .noun = "a network namespace",
		.type = FILTER_TYPE_NAME_OR_NUMBER, .sided = true,
		.also = " ns net namespace ",
		.help = "network namespace: name (glob), inode number or cookie",
	},
	[FILTER_CONTAINER] = {
		.name = "container", .noun = "a container",
		.type = FILTER_TYPE_ID, .sided = true,
		.also = " cid docker containerid ",
		.help = "container id, or how it begins; glob",
	},
	[FILTER_POD] = {
		.name = "pod", .noun = "a pod",
		.type = FILTER_TYPE_NAME, .sided = true,
		.also = " kubernetes k8s ",
		.help = "pod; pods are not looked up yet, so this matches nothing",
	},
	[FILTER_IP] = {
		.name = "ip", .noun = "an IP address",
		.type = FILTER_TYPE_IP, .sided = true,
		.also = " addr address host ipv4 ipv6 cidr saddr daddr src dst source destination ",
		.help = "address, or prefix such as 10.0.0.0/8",
	},
	[FILTER_PORT] = {
		.name = "port", .noun = "a port",
		.type = FILTER_TYPE_NUMBER, .sided = true, .max = UINT16_MAX,
		.also = " sport dport ",
		.help = "TCP or UDP port",
	},
	[FILTER_TRANSPORT] = {
		.name = "transport", .noun = "a transport",
		.type = FILTER_TYPE_WORD, .words = transport_words,
		.also = " proto protocol l4 ",
		.help = "tcp, udp, icmp (both versions), ipv6-icmp",
	},
	[FILTER_DIRECTION] = {
		.name = "direction", .noun = "a direction",
		.type = FILTER_TYPE_WORD, .words = direction_words,
		.also = " dir ",
		.help = "in (opened from elsewhere), out (to elsewhere), local (both ends here)",
	},
	[FILTER_ACTION] = {
		.name = "action", .noun = "an action",
		.type = FILTER_TYPE_WORD, .words = action_words,
		.also = " event type ",
		.help = "open, update, close, fail",
	},
	[FILTER_DEVICE] = {
		.name = "device", .noun = "a device",
		.type = FILTER_TYPE_NAME, .sided = true,
		.also = " dev iface interface link nic ifname ",
		.help = "network device's name; glob",
	},
	[FILTER_KIND] = {
		.name = "kind", .noun = "a kind of device",
		.type = FILTER_TYPE_NAME,
		.also = " linkkind devtype ",
		.help = "kind of network device: veth, bridge, physical, vf, ...; glob",
	},
	[FILTER_DRIVER] = {
		.name = "driver", .noun = "a driver",
		.type = FILTER_TYPE_NAME,
		.also = " module ",
		.help = "network device's driver; glob",
	},
	[FILTER_CGROUP] = {
		.name = "cgroup", .noun = "a path of a cgroup",
		.type = FILTER_TYPE_TREE, .sided = true,
		.also = " cgroups cgroup2 slice unit ",
		.help = "cgroup of a process: /a is also /a/b, all below it; glob",
	},
};
/* clang-format on */

const char *filter_field_name(enum filter_field field)
{
	return filter_fields[field].name;
}

const char *filter_field_help(enum filter_field field)
{
	return filter_fields[field].help;
}

void filter_help(const struct filter_subject *subject, struct buf *b)
{
	buf_adds(b, "FILTER: FIELD=VALUE and FIELD!=VALUE, joined by and, or, not, ( );\n"
		    "  values may be globs (* and ?); \"quotes\" around spaces\n");
	for (unsigned int i = 0; i < N_FILTER_FIELDS; i++)
		if (subject->fields & 1U << i)
			buf_addf(b, "  %-10s %s\n", filter_fields[i].name, filter_fields[i].help);
	if (subject->side_names[0])
		buf_addf(b,
			 "  a field alone means either end; %s.FIELD or %s.FIELD means that end\n",
			 subject->side_names[0], subject->side_names[1]);
}
