// SPDX-License-Identifier: Apache-2.0
#include "query/subject_flow.h"

const char *const filter_direction_names[N_DIRECTIONS] = {
	[DIRECTION_IN] = "in",
	[DIRECTION_OUT] = "out",
	[DIRECTION_LOCAL] = "local",
};

bool flow_direction(const struct flow_event *flow, enum filter_direction *ret)
{
	const struct ip_addr *a = &flow->source.ip, *b = &flow->destination.ip;
	unsigned int seen = flow->has & (FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION);

	if (!seen)
		return false;
	if (seen == (FLOW_SEEN_BY_SOURCE | FLOW_SEEN_BY_DESTINATION) || ip_is_loopback(a) ||
	    ip_is_loopback(b) || (a->family != IP_NONE && ip_equal(a, b)))
		*ret = DIRECTION_LOCAL;
	else
		*ret = seen == FLOW_SEEN_BY_SOURCE ? DIRECTION_OUT : DIRECTION_IN;
	return true;
}

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

/* Two texts of the last process, then two of the one that opened the socket. */
static bool process_text(const struct flow_side *side, unsigned int i, struct filter_value *v)
{
	const struct process *p = i < 2 ? side->process : side->opened_by;

	if (p)
		set_text(v, i % 2 ? p->name : p->executable);
	return i < 4;
}

/* A value of the last process, then of the one that opened the socket. */
static bool process_value(const struct flow_side *side, enum filter_field field, unsigned int i,
			  struct filter_value *v)
{
	const struct process *p = i ? side->opened_by : side->process;

	if (p && field == FILTER_PID)
		set_number(v, p->pid);
	else if (p && field == FILTER_UID && p->uid != PROCESS_NO_UID)
		set_number(v, p->uid);
	else if (p && field == FILTER_CONTAINER)
		set_text(v, p->container_id);
	else if (p && field == FILTER_CGROUP)
		set_text(v, p->cgroup);
	return i < 2;
}

static bool netns_value(const struct flow_side *side, unsigned int i, struct filter_value *v)
{
	if (i == 0)
		set_text(v, side->netns_name);
	else if (side->has & SIDE_HAS_NETNS)
		set_number(v, i == 1 ? side->netns_inode : side->netns_cookie);
	return i < 3;
}

static bool side_value(const struct flow_side *side, enum filter_field field, unsigned int i,
		       struct filter_value *v)
{
	switch (field) {
	case FILTER_PROCESS: return process_text(side, i, v);
	case FILTER_PID:
	case FILTER_UID:
	case FILTER_CGROUP:
	case FILTER_CONTAINER: return process_value(side, field, i, v);
	case FILTER_NETNS: return netns_value(side, i, v);
	case FILTER_IP:
		if (i == 1 && side->has & SIDE_HAS_NAT) {
			v->kind = FILTER_VALUE_IP;
			v->ip = &side->nat_ip;
		} else if (!i && side->ip.family != IP_NONE) {
			v->kind = FILTER_VALUE_IP;
			v->ip = &side->ip;
		}
		return i < 2;
	case FILTER_PORT:
		if (i == 1 && side->has & SIDE_HAS_NAT)
			set_number(v, side->nat_port);
		else if (!i && side->has & SIDE_HAS_PORT)
			set_number(v, side->port);
		return i < 2;
	case FILTER_DEVICE:
		if (side->has & SIDE_HAS_DEVICE)
			set_text(v, side->device);
		return i < 1;
	default: /* the model knows no pod yet */ return false;
	}
}

static bool whole_value(const struct flow_event *flow, enum filter_field field,
			struct filter_value *v)
{
	enum filter_direction direction;

	if (field == FILTER_TRANSPORT && flow->transport < N_TRANSPORTS)
		set_number(v, flow->transport);
	else if (field == FILTER_ACTION && flow->action < N_FLOW_ACTIONS)
		set_number(v, flow->action);
	else if (field == FILTER_DIRECTION && flow_direction(flow, &direction))
		set_number(v, direction);
	return true;
}

/* Where it passed: of each device a name, or of its namespace three values. */
static bool hop_value(const struct flow_event *flow, enum filter_field field, unsigned int i,
		      struct filter_value *v)
{
	const struct flow_hop *hop;

	if (i / 3 >= flow->n_hops)
		return false;
	hop = &flow->hops[i / 3];
	if (field == FILTER_DEVICE)
		set_text(v, hop->device);
	else if (i % 3 == 0)
		set_text(v, hop->netns_name);
	else
		set_number(v, i % 3 == 1 ? hop->netns_inode : hop->netns_cookie);
	return true;
}

static bool flow_value(const void *subject, enum filter_field field, enum filter_side side,
		       unsigned int i, struct filter_value *v)
{
	const struct flow_event *flow = subject;

	if (flow->n_hops && (field == FILTER_NETNS || field == FILTER_DEVICE))
		return hop_value(flow, field, i, v);
	if (side == FILTER_WHOLE)
		return i < 1 && whole_value(flow, field, v);
	return side_value(side == FILTER_SOURCE ? &flow->source : &flow->destination, field, i, v);
}

const struct filter_subject filter_subject_flow = {
	.what = "a flow",
	.fields = ((1U << N_FILTER_FIELDS) - 1) & ~(1U << FILTER_KIND | 1U << FILTER_DRIVER),
	.side_names = { "source", "destination" },
	.side_short = { "src", "dst" },
	.value = flow_value,
};

bool finding_match(const struct filter *f, const struct finding_event *finding)
{
	/* No transport, no action. */
	struct flow_event as_flow = {
		.transport = N_TRANSPORTS,
		.action = N_FLOW_ACTIONS,
		.source = finding_side(finding),
		.destination = finding_side(finding),
	};

	return filter_match(f, &as_flow);
}
