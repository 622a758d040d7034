// SPDX-License-Identifier: Apache-2.0
#include "wire/event_json.h"

#include <netinet/in.h>
#include <string.h>

#include "base/base.h"
#include "wire/base64.h"
#include "wire/community_id.h"
#include "wire/decimal.h"

static const uint8_t protocol_numbers[N_TRANSPORTS] = {
	[TRANSPORT_TCP] = IPPROTO_TCP,
	[TRANSPORT_UDP] = IPPROTO_UDP,
	[TRANSPORT_ICMP] = IPPROTO_ICMP,
	[TRANSPORT_ICMP6] = IPPROTO_ICMPV6,
};

/* ---- who ---- */

/* base64 of "node:start:pid"; nothing where one of the three is unknown. */
static void add_entity_id(struct jsonw *j, const struct wire_context *ctx, uint64_t start_ns,
			  uint32_t pid)
{
	char plain[sizeof(ctx->node) + 2 + 2 * DECIMAL_MAX], text[BASE64_TEXT_MAX(sizeof(plain))];
	char *to = plain;

	if (!*ctx->node || !start_ns || !pid)
		return;
	to = stpcpy(to, ctx->node);
	*to++ = ':';
	to = decimal_put(to, start_ns);
	*to++ = ':';
	to = decimal_put(to, pid);
	jsonw_member_string(j, "entity_id", base64_encode(plain, (size_t)(to - plain), text));
}

static void add_args(struct jsonw *j, const struct wire_context *ctx, const struct process *p)
{
	if (!p->n_args || ctx->no_args)
		return;
	jsonw_member_array(j, "args");
	for (unsigned int i = 0; i < p->n_args; i++)
		jsonw_string(j, p->args[i]);
	jsonw_array_end(j);
}

static void add_user(struct jsonw *j, uint32_t uid)
{
	char text[DECIMAL_MAX + 1];

	if (uid == PROCESS_NO_UID)
		return;
	*decimal_put(text, uid) = '\0';
	jsonw_member_object(j, "user");
	jsonw_member_string(j, "id", text);
	jsonw_object_end(j);
}

static void add_parent(struct jsonw *j, const struct wire_context *ctx, const struct process *p)
{
	if (!p->parent_pid)
		return;
	jsonw_member_object(j, "parent");
	jsonw_member_u64(j, "pid", p->parent_pid);
	add_entity_id(j, ctx, p->parent_start_ns, p->parent_pid);
	jsonw_member_string(j, "executable", p->parent_executable);
	jsonw_object_end(j);
}

void process_json(struct jsonw *j, const struct wire_context *ctx, const struct process *p)
{
	jsonw_object_begin(j);
	jsonw_member_u64(j, "pid", p->pid);
	if (p->pid_in_namespace)
		jsonw_member_u64(j, "pid_in_namespace", p->pid_in_namespace);
	add_entity_id(j, ctx, p->start_ns, p->pid);
	if (p->start_ns && ctx->boot_ns)
		jsonw_member_time(j, "start", ctx->boot_ns + p->start_ns);
	jsonw_member_string(j, "name", p->name);
	jsonw_member_string(j, "executable", p->executable);
	add_args(j, ctx, p);
	add_user(j, p->uid);
	add_parent(j, ctx, p);
	jsonw_member_string(j, "cgroup", p->cgroup);
	jsonw_object_end(j);
}

static void add_process(struct jsonw *j, const struct wire_context *ctx, const char *key,
			const struct process *p)
{
	if (!p || !p->pid)
		return;
	jsonw_key(j, key);
	process_json(j, ctx, p);
}

static void add_container(struct jsonw *j, const struct flow_side *side)
{
	const struct process *p = side->process ? side->process : side->opened_by;

	if (!p || !p->container_id || !*p->container_id)
		return;
	jsonw_member_object(j, "container");
	jsonw_member_string(j, "id", p->container_id);
	jsonw_object_end(j);
}

/* ---- one end ---- */

static void add_netns(struct jsonw *j, const struct flow_side *side)
{
	bool has_name = side->netns_name && *side->netns_name;

	if (!(side->has & SIDE_HAS_NETNS))
		return;
	if (!side->netns_inode && !side->netns_cookie && !has_name)
		return;
	jsonw_member_object(j, "netns");
	if (side->netns_inode)
		jsonw_member_u64(j, "inode", side->netns_inode);
	if (side->netns_cookie)
		jsonw_member_u64(j, "cookie", side->netns_cookie);
	jsonw_member_string(j, "name", side->netns_name);
	jsonw_object_end(j);
}

static void add_device(struct jsonw *j, const struct flow_side *side)
{
	if (!(side->has & SIDE_HAS_DEVICE))
		return;
	jsonw_member_object(j, "device");
	jsonw_member_string(j, "name", side->device);
	jsonw_member_u64(j, "ifindex", side->ifindex);
	jsonw_object_end(j);
}

static void add_counts(struct jsonw *j, const struct flow_side *side)
{
	if (side->has & SIDE_HAS_COUNTS) {
		jsonw_member_u64(j, "bytes", side->bytes);
		jsonw_member_u64(j, "packets", side->packets);
	}
	if (side->has & SIDE_HAS_UNSENT)
		jsonw_member_u64(j, "unsent_bytes", side->unsent_bytes);
	if (side->has & SIDE_HAS_UNREAD)
		jsonw_member_u64(j, "unread_bytes", side->unread_bytes);
	if (side->has & SIDE_HAS_RECEIVED) {
		jsonw_member_u64(j, "received_bytes", side->received_bytes);
		jsonw_member_u64(j, "received_packets", side->received_packets);
	}
}

/* As ip_format() has it; inet_ntop() of an IPv4 address costs more than a SHA-1. */
static void add_ip(struct jsonw *j, const struct ip_addr *ip)
{
	char text[IP_TEXT_MAX], *to = text;

	if (ip->family == IP_NONE)
		return;
	if (ip->family != IP_V4) {
		jsonw_member_string(j, "ip", ip_format(ip, text));
		return;
	}
	for (unsigned int i = 0; i < 4; i++) {
		to = decimal_put(to, ip->bytes[i]);
		*to++ = i < 3 ? '.' : '\0';
	}
	jsonw_member_string(j, "ip", text);
}

static void add_side(struct jsonw *j, const struct wire_context *ctx, const char *key,
		     const struct flow_side *side)
{
	jsonw_member_object(j, key);
	add_ip(j, &side->ip);
	if (side->has & SIDE_HAS_PORT)
		jsonw_member_u64(j, "port", side->port);
	if (side->has & SIDE_HAS_NAT) {
		jsonw_member_object(j, "nat");
		add_ip(j, &side->nat_ip);
		jsonw_member_u64(j, "port", side->nat_port);
		jsonw_object_end(j);
	}
	add_counts(j, side);
	add_netns(j, side);
	add_device(j, side);
	add_process(j, ctx, "process", side->process);
	add_process(j, ctx, "opened_by", side->opened_by);
	add_container(j, side);
	jsonw_object_end(j);
}

/* ---- the conversation ---- */

static void add_flow_type(struct jsonw *j, enum flow_action action)
{
	jsonw_member_array(j, "category");
	jsonw_string(j, "network");
	jsonw_array_end(j);
	jsonw_member_array(j, "type");
	jsonw_string(j, "connection");
	if (action == FLOW_OPEN)
		jsonw_string(j, "start");
	else if (action != FLOW_UPDATE)
		jsonw_string(j, "end");
	jsonw_array_end(j);
}

static void add_flow_head(struct jsonw *j, const struct flow_event *flow)
{
	jsonw_member_time(j, "@timestamp", flow->ts_ns);
	jsonw_member_object(j, "event");
	jsonw_member_string(j, "kind", "event");
	jsonw_member_string(j, "dataset", "nslens.flow");
	add_flow_type(j, flow->action);
	jsonw_member_string(j, "action", flow_action_names[flow->action]);
	jsonw_member_string(j, "outcome", flow->action == FLOW_FAIL ? "failure" : "success");
	if (flow->has & FLOW_HAS_START)
		jsonw_member_time(j, "start", flow->start_ns);
	if (flow->has & FLOW_HAS_END)
		jsonw_member_time(j, "end", flow->end_ns);
	if ((flow->has & FLOW_HAS_END) && (flow->has & FLOW_HAS_START))
		jsonw_member_u64(j, "duration", flow->duration_ns);
	jsonw_object_end(j);
}

static void add_host(struct jsonw *j, const struct wire_context *ctx)
{
	if (!*ctx->node)
		return;
	jsonw_member_object(j, "host");
	jsonw_member_string(j, "name", ctx->node);
	jsonw_object_end(j);
}

static void add_community_id(struct jsonw *j, const struct flow_event *flow)
{
	struct community_tuple tuple = {
		.protocol = protocol_numbers[flow->transport],
		.source = flow->source.ip,
		.destination = flow->destination.ip,
		.source_port = flow->source.port,
		.destination_port = flow->destination.port,
	};
	char text[COMMUNITY_ID_TEXT_MAX];

	/* The echo's request and reply stand in for the ports. */
	if (flow->transport == TRANSPORT_ICMP) {
		tuple.source_port = 8;
		tuple.destination_port = 0;
	} else if (flow->transport == TRANSPORT_ICMP6) {
		tuple.source_port = 128;
		tuple.destination_port = 129;
	} else if (!(flow->source.has & flow->destination.has & SIDE_HAS_PORT)) {
		return;
	}
	jsonw_member_string(j, "community_id", community_id(&tuple, text));
}

static void add_network(struct jsonw *j, const struct flow_event *flow)
{
	enum ip_family family = flow->source.ip.family;

	if (family == IP_NONE)
		family = flow->destination.ip.family;
	jsonw_member_object(j, "network");
	jsonw_member_string(j, "transport", flow_transport_names[flow->transport]);
	if (family != IP_NONE)
		jsonw_member_string(j, "type", family == IP_V4 ? "ipv4" : "ipv6");
	add_community_id(j, flow);
	jsonw_object_end(j);
}

static void add_seen_by(struct jsonw *j, unsigned int has)
{
	if (!(has & (FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION)))
		return;
	jsonw_member_array(j, "seen_by");
	if (has & FLOW_SEEN_BY_SOURCE)
		jsonw_string(j, "source");
	if (has & FLOW_SEEN_BY_DESTINATION)
		jsonw_string(j, "destination");
	jsonw_array_end(j);
}

static void add_measures(struct jsonw *j, const struct flow_event *flow)
{
	const struct {
		unsigned int bit;
		const char *key;
		uint64_t value;
	} measures[] = {
		{ FLOW_HAS_CONNECT, "connect_ns", flow->connect_ns },
		{ FLOW_HAS_RTT, "srtt_ns", flow->srtt_ns },
		{ FLOW_HAS_MIN_RTT, "min_rtt_ns", flow->min_rtt_ns },
		{ FLOW_HAS_MAX_SRTT, "max_srtt_ns", flow->max_srtt_ns },
		{ FLOW_HAS_RETRANSMITS, "retransmits", flow->retransmits },
	};

	for (size_t i = 0; i < ARRAY_SIZE(measures); i++)
		if (flow->has & measures[i].bit)
			jsonw_member_u64(j, measures[i].key, measures[i].value);
}

static void add_icmp(struct jsonw *j, const struct flow_event *flow)
{
	if (!(flow->has & FLOW_HAS_ICMP_ID))
		return;
	jsonw_member_object(j, "icmp");
	jsonw_member_u64(j, "id", flow->icmp_id);
	jsonw_object_end(j);
}

static void add_hop(struct jsonw *j, const struct flow_hop *hop)
{
	jsonw_object_begin(j);
	jsonw_member_object(j, "netns");
	jsonw_member_u64(j, "inode", hop->netns_inode);
	jsonw_member_u64(j, "cookie", hop->netns_cookie);
	jsonw_member_string(j, "name", hop->netns_name);
	jsonw_object_end(j);
	jsonw_member_object(j, "device");
	jsonw_member_string(j, "name", hop->device);
	jsonw_member_u64(j, "ifindex", hop->ifindex);
	jsonw_object_end(j);
	jsonw_member_string(j, "direction", hop->received ? "rx" : "tx");
	jsonw_member_string(j, "from", flow_party_names[hop->from]);
	jsonw_member_u64(j, "packets", hop->packets);
	jsonw_member_u64(j, "bytes", hop->bytes);
	jsonw_object_end(j);
}

static void add_path(struct jsonw *j, const struct flow_event *flow)
{
	if (!flow->n_hops)
		return;
	jsonw_member_array(j, "path");
	for (size_t i = 0; i < flow->n_hops; i++)
		add_hop(j, &flow->hops[i]);
	jsonw_array_end(j);
}

static void add_flow_id(struct jsonw *j, uint64_t id)
{
	char text[17];

	for (unsigned int i = 16; i-- > 0; id >>= 4)
		text[i] = "0123456789abcdef"[id & 0xf];
	text[16] = '\0';
	jsonw_member_string(j, "id", text);
}

static void add_flow(struct jsonw *j, const struct flow_event *flow)
{
	jsonw_member_object(j, "flow");
	add_flow_id(j, flow->id);
	add_seen_by(j, flow->has);
	jsonw_member_string(j, "unit", flow->has & FLOW_WIRE ? "wire" : "payload");
	jsonw_member_bool(j, "initiator_known", flow->has & FLOW_INITIATOR_KNOWN);
	jsonw_member_bool(j, "adopted", flow->has & FLOW_ADOPTED);
	jsonw_member_string(j, "reason", flow_reason_names[flow->reason]);
	jsonw_member_string(j, "closed_by", flow_party_names[flow->closed_by]);
	if (flow->has & FLOW_HAS_ACCEPTED)
		jsonw_member_bool(j, "accepted", flow->accepted);
	add_measures(j, flow);
	add_icmp(j, flow);
	add_path(j, flow);
	jsonw_object_end(j);
}

static void flow_json(struct jsonw *j, const struct wire_context *ctx,
		      const struct flow_event *flow)
{
	add_flow_head(j, flow);
	add_host(j, ctx);
	add_network(j, flow);
	add_flow(j, flow);
	add_side(j, ctx, "source", &flow->source);
	add_side(j, ctx, "destination", &flow->destination);
}

/* ---- the other lines ---- */

static void lost_json(struct jsonw *j, const struct wire_context *ctx,
		      const struct lost_event *lost)
{
	jsonw_member_time(j, "@timestamp", lost->ts_ns);
	jsonw_member_object(j, "event");
	jsonw_member_string(j, "kind", "pipeline_error");
	jsonw_member_string(j, "dataset", "nslens.lost");
	jsonw_member_string(j, "action", "lost");
	jsonw_object_end(j);
	add_host(j, ctx);
	jsonw_member_object(j, "lost");
	jsonw_member_string(j, "reason", lost->reason);
	jsonw_member_u64(j, "records", lost->records);
	jsonw_object_end(j);
}

static void totals_json(struct jsonw *j, const struct wire_context *ctx,
			const struct totals_event *totals)
{
	jsonw_member_time(j, "@timestamp", totals->ts_ns);
	jsonw_member_object(j, "event");
	jsonw_member_string(j, "kind", "metric");
	jsonw_member_string(j, "dataset", "nslens.totals");
	jsonw_member_string(j, "action", "totals");
	jsonw_member_u64(j, "duration", totals->duration_ns);
	jsonw_object_end(j);
	add_host(j, ctx);
	jsonw_member_object(j, "totals");
	jsonw_member_u64(j, "conversations", totals->conversations);
	jsonw_member_u64(j, "events", totals->events);
	jsonw_member_u64(j, "lost", totals->lost);
	jsonw_member_object(j, "namespaces");
	jsonw_member_u64(j, "covered", totals->netns_covered);
	jsonw_member_u64(j, "total", totals->netns_total);
	jsonw_object_end(j);
	jsonw_object_end(j);
}

static void finding_json(struct jsonw *j, const struct wire_context *ctx,
			 const struct finding_event *finding)
{
	struct flow_side side = finding_side(finding);

	jsonw_member_time(j, "@timestamp", finding->ts_ns);
	jsonw_member_object(j, "event");
	jsonw_member_string(j, "kind", "alert");
	jsonw_member_string(j, "dataset", "nslens.finding");
	jsonw_member_string(j, "action", finding->over ? "end" : "begin");
	jsonw_object_end(j);
	add_host(j, ctx);
	jsonw_member_object(j, "finding");
	jsonw_member_string(j, "type", finding_type_names[finding->type]);
	if (finding->has & FINDING_HAS_POINT)
		jsonw_member_string(j, "point", device_point_names[finding->point]);
	if (finding->prog_id)
		jsonw_member_u64(j, "prog_id", finding->prog_id);
	jsonw_member_string(j, "reason", finding->reason);
	jsonw_object_end(j);
	add_device(j, &side);
	add_netns(j, &side);
}

void event_json(struct buf *out, const struct wire_context *ctx, const struct event *event)
{
	struct jsonw j = jsonw_on(out);
	size_t line = out->len;

	jsonw_object_begin(&j);
	switch (event->kind) {
	case EVENT_FLOW: flow_json(&j, ctx, &event->flow); break;
	case EVENT_LOST: lost_json(&j, ctx, &event->lost); break;
	case EVENT_TOTALS: totals_json(&j, ctx, &event->totals); break;
	case EVENT_FINDING: finding_json(&j, ctx, &event->finding); break;
	}
	jsonw_object_end(&j);
	jsonw_line_end(&j);
	if (out->failed && out->data) {
		out->len = line;
		out->data[line] = '\0';
	}
}

void json_state_head(struct jsonw *j, const struct wire_context *ctx, uint64_t ts_ns,
		     const char *dataset)
{
	jsonw_member_time(j, "@timestamp", ts_ns);
	jsonw_member_object(j, "event");
	jsonw_member_string(j, "kind", "state");
	jsonw_member_string(j, "dataset", dataset);
	jsonw_object_end(j);
	if (!*ctx->node)
		return;
	jsonw_member_object(j, "host");
	jsonw_member_string(j, "name", ctx->node);
	jsonw_object_end(j);
}
