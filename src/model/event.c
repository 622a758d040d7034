// SPDX-License-Identifier: Apache-2.0
#include "model/event.h"

const char *const flow_action_names[N_FLOW_ACTIONS] = {
	[FLOW_OPEN] = "open",
	[FLOW_UPDATE] = "update",
	[FLOW_CLOSE] = "close",
	[FLOW_FAIL] = "fail",
};

const char *const flow_transport_names[N_TRANSPORTS] = {
	[TRANSPORT_TCP] = "tcp",
	[TRANSPORT_UDP] = "udp",
	[TRANSPORT_ICMP] = "icmp",
	[TRANSPORT_ICMP6] = "ipv6-icmp",
};

const char *const flow_reason_names[N_FLOW_REASONS] = {
	[REASON_FIN] = "fin",
	[REASON_RESET] = "reset",
	[REASON_REFUSED] = "refused",
	[REASON_TIMEOUT] = "timeout",
	[REASON_UNREACHABLE] = "unreachable",
	[REASON_IDLE] = "idle",
};

const char *const flow_party_names[N_PARTIES] = {
	[PARTY_SOURCE] = "source",
	[PARTY_DESTINATION] = "destination",
	[PARTY_KERNEL] = "kernel",
};

const char *const finding_type_names[N_FINDING_TYPES] = {
	[FINDING_HOOK_STARVED] = "hook_starved",
	[FINDING_HOOK_REMOVED] = "hook_removed",
};

struct flow_side finding_side(const struct finding_event *finding)
{
	return (struct flow_side){
		.has = SIDE_HAS_NETNS | SIDE_HAS_DEVICE,
		.netns_cookie = finding->device.netns_cookie,
		.netns_inode = finding->netns_inode,
		.netns_name = finding->netns_name,
		.ifindex = finding->device.ifindex,
		.device = finding->device_name,
	};
}
