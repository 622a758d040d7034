// SPDX-License-Identifier: Apache-2.0
#include "query/subject_socket.h"

#include <netinet/in.h>

#include "model/event.h"

static void set_text(struct filter_value *v, const char *text)
{
	v->kind = FILTER_VALUE_TEXT;
	v->text = text;
}

static void set_number(struct filter_value *v, uint64_t number)
{
	v->kind = FILTER_VALUE_NUMBER;
	v->number = number;
}

/* Two texts an owner. */
static bool process_value(const struct socket_row *s, unsigned int i, struct filter_value *v)
{
	const struct process *p;

	if (i / 2 >= socket_owners_kept(s))
		return false;
	p = s->owners[i / 2].process;
	if (p)
		set_text(v, i % 2 ? p->name : p->executable);
	return true;
}

static bool container_value(const struct socket_row *s, unsigned int i, struct filter_value *v)
{
	if (i >= socket_owners_kept(s))
		return false;
	if (s->owners[i].process)
		set_text(v, s->owners[i].process->container_id);
	return true;
}

static bool cgroup_value(const struct socket_row *s, unsigned int i, struct filter_value *v)
{
	if (i >= socket_owners_kept(s))
		return false;
	if (s->owners[i].process)
		set_text(v, s->owners[i].process->cgroup);
	return true;
}

static bool pid_value(const struct socket_row *s, unsigned int i, struct filter_value *v)
{
	if (i >= socket_owners_kept(s))
		return false;
	set_number(v, s->owners[i].id.tgid);
	return true;
}

/* The socket's, then its owners'. */
static bool uid_value(const struct socket_row *s, unsigned int i, struct filter_value *v)
{
	const struct process *p;

	if (i > socket_owners_kept(s))
		return false;
	p = i ? s->owners[i - 1].process : NULL;
	if (!i && s->has & SOCKET_HAS_UID)
		set_number(v, s->uid);
	else if (p && p->uid != PROCESS_NO_UID)
		set_number(v, p->uid);
	return true;
}

static bool netns_value(const struct socket_row *s, unsigned int i, struct filter_value *v)
{
	if (i == 0)
		set_text(v, s->netns_name);
	else
		set_number(v, i == 1 ? s->netns_inode : s->netns_cookie);
	return i < 3;
}

static void set_transport(struct filter_value *v, uint16_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP: set_number(v, TRANSPORT_TCP); break;
	case IPPROTO_UDP: set_number(v, TRANSPORT_UDP); break;
	case IPPROTO_ICMP: set_number(v, TRANSPORT_ICMP); break;
	case IPPROTO_ICMPV6: set_number(v, TRANSPORT_ICMP6); break;
	}
}

static bool end_value(const struct socket_row *s, enum filter_field field, bool local,
		      struct filter_value *v)
{
	if (!local && !(s->has & SOCKET_HAS_PEER))
		return true;
	if (field == FILTER_IP) {
		v->kind = FILTER_VALUE_IP;
		v->ip = local ? &s->local : &s->peer;
	} else if (s->has & SOCKET_HAS_PORT) {
		set_number(v, local ? s->local_port : s->peer_port);
	}
	return true;
}

static bool local_value(const struct socket_row *s, enum filter_field field, unsigned int i,
			struct filter_value *v)
{
	switch (field) {
	case FILTER_PROCESS: return process_value(s, i, v);
	case FILTER_PID: return pid_value(s, i, v);
	case FILTER_UID: return uid_value(s, i, v);
	case FILTER_NETNS: return netns_value(s, i, v);
	case FILTER_CONTAINER: return container_value(s, i, v);
	case FILTER_CGROUP: return cgroup_value(s, i, v);
	case FILTER_DEVICE:
		if (s->ifindex && *s->device)
			set_text(v, s->device);
		return i < 1;
	default: /* the model knows no pod yet */ return false;
	}
}

static bool socket_value(const void *subject, enum filter_field field, enum filter_side side,
			 unsigned int i, struct filter_value *v)
{
	const struct socket_row *s = subject;

	if (field == FILTER_TRANSPORT) {
		set_transport(v, s->protocol);
		return i < 1;
	}
	if (field == FILTER_IP || field == FILTER_PORT)
		return i < 1 && end_value(s, field, side == FILTER_SOURCE, v);
	return side == FILTER_SOURCE && local_value(s, field, i, v);
}

const struct filter_subject filter_subject_socket = {
	.what = "a socket",
	.fields = 1U << FILTER_PROCESS | 1U << FILTER_PID | 1U << FILTER_UID | 1U << FILTER_NETNS |
		  1U << FILTER_CONTAINER | 1U << FILTER_POD | 1U << FILTER_IP | 1U << FILTER_PORT |
		  1U << FILTER_TRANSPORT | 1U << FILTER_DEVICE | 1U << FILTER_CGROUP,
	.side_names = { "local", "peer" },
	.side_short = { "src", "dst" },
	.value = socket_value,
};
