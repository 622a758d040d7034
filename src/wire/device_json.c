// SPDX-License-Identifier: Apache-2.0
#include "wire/device_json.h"

#include "base/base.h"
#include "wire/event_json.h"

/* ---- what it is ---- */

/* 0 is unknown. */
static void add_known(struct jsonw *j, const char *key, uint64_t value)
{
	if (value)
		jsonw_member_u64(j, key, value);
}

/* @ns NULL: nothing but the cookie is known. */
static void add_netns(struct jsonw *j, uint64_t cookie, const struct netns *ns)
{
	if (!cookie)
		return;
	jsonw_member_object(j, "netns");
	if (ns)
		add_known(j, "inode", ns->inode);
	jsonw_member_u64(j, "cookie", cookie);
	jsonw_member_string(j, "name", ns ? netns_name(ns) : NULL);
	jsonw_object_end(j);
}

/* Another device; @other NULL: nothing but its id is known. */
static void add_device_id(struct jsonw *j, struct device_id id, const struct device *other)
{
	jsonw_member_string(j, "name", other ? other->name : NULL);
	add_known(j, "ifindex", id.ifindex);
}

static void add_elsewhere(struct jsonw *j, const char *key, struct device_id id,
			  const struct device *other, const struct netns *ns)
{
	jsonw_member_object(j, key);
	add_device_id(j, id, other);
	add_netns(j, id.netns_cookie, ns);
	jsonw_object_end(j);
}

static void add_relations(struct jsonw *j, const struct device_row *row)
{
	const struct device *d = row->device;

	if (d->has & DEVICE_HAS_PEER)
		add_elsewhere(j, "peer", d->peer, row->peer, row->peer_netns);
	if (d->has & DEVICE_HAS_LOWER)
		add_elsewhere(j, "lower", d->lower, row->lower, row->lower_netns);
	if (d->has & DEVICE_HAS_MASTER) {
		jsonw_member_object(j, "master");
		add_device_id(j, d->master, row->master);
		jsonw_object_end(j);
	}
	if (d->has & DEVICE_HAS_PF) {
		add_elsewhere(j, "parent_pf", d->pf, row->pf, row->pf_netns);
		jsonw_member_u64(j, "vf", d->vf);
	}
	add_known(j, "vfs", d->n_vfs);
}

static void add_device(struct jsonw *j, const struct device_row *row)
{
	const struct device *d = row->device;

	jsonw_member_object(j, "device");
	jsonw_member_string(j, "name", d->name);
	jsonw_member_u64(j, "ifindex", d->id.ifindex);
	jsonw_member_string(j, "kind", d->kind);
	jsonw_member_string(j, "driver", d->driver);
	jsonw_member_string(j, "bus", d->bus);
	add_known(j, "mtu", d->mtu);
	jsonw_member_bool(j, "up", d->has & DEVICE_UP);
	jsonw_member_bool(j, "stacked", d->has & DEVICE_STACKED);
	jsonw_member_bool(j, "forwards", d->has & DEVICE_FORWARDS);
	add_relations(j, row);
	add_known(j, "xdp_prog_id", d->xdp_prog_id);
	jsonw_object_end(j);
}

/* ---- what is hooked into it ---- */

static void add_hook(struct jsonw *j, enum device_point point, const struct device_hook *h)
{
	jsonw_object_begin(j);
	jsonw_member_string(j, "point", device_point_names[point]);
	jsonw_member_string(j, "state", hook_state_names[h->state]);
	jsonw_member_string(j, "mode", h->mode);
	if (device_hook_is_there(h))
		jsonw_member_bool(j, "removable", h->removable);
	add_known(j, "link_id", h->link_id);
	add_known(j, "prog_id", h->prog_id);
	add_known(j, "before_prog_id", h->before_prog_id);
	jsonw_member_string(j, "pin", h->pin);
	if (device_hook_is_there(h)) {
		if (h->since_ns)
			jsonw_member_time(j, "since", h->since_ns);
		if (h->delay_ns) /* else the device is older than nslens */
			jsonw_member_u64(j, "attach_delay_ns", h->delay_ns);
		jsonw_member_u64(j, "skbs", h->skbs);
		jsonw_member_u64(j, "bytes", h->bytes);
	}
	jsonw_member_string(j, "reason", h->why);
	jsonw_object_end(j);
}

static void add_hooks(struct jsonw *j, const struct device_row *row)
{
	jsonw_member_array(j, "hooks");
	for (unsigned int i = 0; i < N_DEVICE_POINTS; i++)
		if (row->hooks[i].state != HOOK_NONE)
			add_hook(j, i, &row->hooks[i]);
	jsonw_array_end(j);
}

/* Until the last of the hooks was there; nothing without a hook. */
static void add_delay(struct jsonw *j, const struct device_row *row)
{
	uint64_t delay_ns = 0;

	for (unsigned int i = 0; i < N_DEVICE_POINTS; i++) {
		const struct device_hook *h = &row->hooks[i];

		if (!device_hook_is_there(h))
			continue;
		delay_ns = h->delay_ns > delay_ns ? h->delay_ns : delay_ns;
	}
	if (delay_ns)
		jsonw_member_u64(j, "attach_delay_ns", delay_ns);
}

static void add_coverage(struct jsonw *j, const struct device_row *row)
{
	jsonw_member_object(j, "coverage");
	jsonw_member_string(j, "state", coverage_names[row->coverage]);
	jsonw_member_string(j, "reason", row->why);
	add_delay(j, row);
	if (row->counted) {
		jsonw_member_u64(j, "missed_packets", row->rx.missed + row->tx.missed);
		jsonw_member_u64(j, "unobserved_packets", row->rx.unobserved + row->tx.unobserved);
	}
	jsonw_object_end(j);
}

/* ---- what was counted at it ---- */

static void add_counted(struct jsonw *j, const struct device_counted *c)
{
	const struct {
		const char *key;
		uint64_t value;
	} figures[] = {
		{ "skbs", c->skbs },
		{ "skb_bytes", c->skb_bytes },
		{ "packets", c->packets },
		{ "bytes", c->bytes },
		{ "multicast", c->multicast },
		{ "broadcast", c->broadcast },
		{ "ipv4", c->ipv4 },
		{ "ipv6", c->ipv6 },
		{ "arp", c->arp },
		{ "other", c->other },
		{ "missed_packets", c->missed },
		{ "unobserved_packets", c->unobserved },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		jsonw_member_u64(j, figures[i].key, figures[i].value);
}

static void add_kernel(struct jsonw *j, const struct device_kernel *k)
{
	jsonw_member_u64(j, "kernel_packets", k->packets);
	jsonw_member_u64(j, "kernel_bytes", k->bytes);
	jsonw_member_u64(j, "kernel_dropped", k->dropped);
	jsonw_member_u64(j, "kernel_errors", k->errors);
}

/* The kernel's of the moment when ours were read; without ours, those that were read last. */
static void add_direction(struct jsonw *j, const char *key, const struct device_row *row,
			  const struct device_counted *ours, const struct device_kernel *alone)
{
	bool has_kernel = row->device->has & DEVICE_HAS_KERNEL;

	if (!row->counted && !has_kernel)
		return;
	jsonw_member_object(j, key);
	if (row->counted)
		add_counted(j, ours);
	if (has_kernel)
		add_kernel(j, row->counted ? &ours->kernel : alone);
	jsonw_object_end(j);
}

void device_json(struct buf *out, const struct wire_context *ctx, uint64_t ts_ns,
		 const struct device_row *row)
{
	struct jsonw j = jsonw_on(out);
	size_t line = out->len;

	jsonw_object_begin(&j);
	json_state_head(&j, ctx, ts_ns, "nslens.device");
	add_netns(&j, row->device->id.netns_cookie, row->netns);
	add_device(&j, row);
	add_hooks(&j, row);
	add_coverage(&j, row);
	add_direction(&j, "rx", row, &row->rx, &row->device->kernel_rx);
	add_direction(&j, "tx", row, &row->tx, &row->device->kernel_tx);
	jsonw_object_end(&j);
	jsonw_line_end(&j);
	if (out->failed && out->data) {
		out->len = line;
		out->data[line] = '\0';
	}
}
