// SPDX-License-Identifier: Apache-2.0
#include "wire/socket_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "wire/event_json.h"

/* ECS wants numbers of protocols and of users as text. */
static void add_number_text(struct jsonw *j, const char *key, uint32_t number)
{
	char text[11];

	snprintf(text, sizeof(text), "%" PRIu32, number);
	jsonw_member_string(j, key, text);
}

static void add_network(struct jsonw *j, const struct socket_row *s)
{
	jsonw_member_object(j, "network");
	jsonw_member_string(j, "transport", socket_transport_name(s->protocol));
	add_number_text(j, "iana_number", s->protocol);
	jsonw_member_string(j, "type", s->local.family == IP_V4 ? "ipv4" : "ipv6");
	jsonw_object_end(j);
}

static void add_user(struct jsonw *j, const struct socket_row *s)
{
	if (!(s->has & SOCKET_HAS_UID))
		return;
	jsonw_member_object(j, "user");
	add_number_text(j, "id", s->uid);
	jsonw_member_string(j, "name", s->user);
	jsonw_object_end(j);
}

static void add_queues(struct jsonw *j, const struct socket_row *s)
{
	bool listens = s->state == SOCKET_LISTEN;

	if (s->state == SOCKET_TIME_WAIT || s->state == SOCKET_SYN_RECEIVED)
		return;
	jsonw_member_u64(j, listens ? "accept_queue" : "rx_queue_bytes", s->rx_queue);
	jsonw_member_u64(j, listens ? "accept_queue_max" : "tx_queue_bytes", s->tx_queue);
}

static void add_device(struct jsonw *j, const struct socket_row *s)
{
	if (!s->ifindex)
		return;
	jsonw_member_object(j, "device");
	jsonw_member_string(j, "name", s->device);
	jsonw_member_u64(j, "ifindex", s->ifindex);
	jsonw_object_end(j);
}

/* All of them where there are several; the first is source.process anyway. */
static void add_owners(struct jsonw *j, const struct wire_context *ctx, const struct socket_row *s)
{
	jsonw_member_u64(j, "owner_count", s->n_owners);
	if (s->n_owners)
		jsonw_member_u64(j, "descriptor_count", s->n_descriptors);
	else
		jsonw_member_string(j, "unowned", socket_unowned_names[s->unowned]);
	if (s->n_owners < 2)
		return;
	jsonw_member_array(j, "owners");
	for (unsigned int i = 0; i < socket_owners_kept(s); i++)
		if (s->owners[i].process)
			process_json(j, ctx, s->owners[i].process);
	jsonw_array_end(j);
}

static void add_socket(struct jsonw *j, const struct wire_context *ctx, const struct socket_row *s)
{
	jsonw_member_object(j, "socket");
	jsonw_member_u64(j, "cookie", s->cookie);
	jsonw_member_string(j, "state", socket_state_names[s->state]);
	jsonw_member_string(j, "type", socket_type_names[s->type]);
	if (s->family == IP_V6)
		jsonw_member_bool(j, "ipv6_only", s->has & SOCKET_V6ONLY);
	if (s->has & SOCKET_HAS_ICMP_ID)
		jsonw_member_u64(j, "icmp_id", s->icmp_id);
	add_queues(j, s);
	add_device(j, s);
	add_owners(j, ctx, s);
	jsonw_object_end(j);
}

static void add_end(struct jsonw *j, const struct socket_row *s, const struct ip_addr *ip,
		    uint16_t port)
{
	char text[IP_TEXT_MAX];

	jsonw_member_string(j, "ip", ip_format(ip, text));
	if ((s->has & SOCKET_HAS_PORT) && port)
		jsonw_member_u64(j, "port", port);
}

static void add_netns(struct jsonw *j, const struct socket_row *s)
{
	jsonw_member_object(j, "netns");
	jsonw_member_u64(j, "inode", s->netns_inode);
	jsonw_member_u64(j, "cookie", s->netns_cookie);
	jsonw_member_string(j, "name", s->netns_name);
	jsonw_object_end(j);
}

static void add_source(struct jsonw *j, const struct wire_context *ctx, const struct socket_row *s)
{
	const struct process *p = s->n_owners ? s->owners[0].process : NULL;

	jsonw_member_object(j, "source");
	add_end(j, s, &s->local, s->local_port);
	add_netns(j, s);
	if (p && p->pid) {
		jsonw_key(j, "process");
		process_json(j, ctx, p);
	}
	if (p && p->container_id && *p->container_id) {
		jsonw_member_object(j, "container");
		jsonw_member_string(j, "id", p->container_id);
		jsonw_object_end(j);
	}
	jsonw_object_end(j);
}

void socket_json(struct buf *out, const struct wire_context *ctx, uint64_t ts_ns,
		 const struct socket_row *s)
{
	struct jsonw j = jsonw_on(out);
	size_t line = out->len;

	jsonw_object_begin(&j);
	json_state_head(&j, ctx, ts_ns, "nslens.socket");
	add_network(&j, s);
	add_user(&j, s);
	add_socket(&j, ctx, s);
	add_source(&j, ctx, s);
	if (s->has & SOCKET_HAS_PEER) {
		jsonw_member_object(&j, "destination");
		add_end(&j, s, &s->peer, s->peer_port);
		jsonw_object_end(&j);
	}
	jsonw_object_end(&j);
	jsonw_line_end(&j);
	if (out->failed && out->data) {
		out->len = line;
		out->data[line] = '\0';
	}
}
