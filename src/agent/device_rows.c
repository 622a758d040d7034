// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device_list.h"
#include "agent/devices_private.h"
#include "base/base.h"

/* A device as it is shown: what it is, what was counted, what is hooked into it. */

/* --- ours beside the kernel's --- */

/*
 * What a driver counts once: an skb, or a packet of the wire. These count skbs, whatever is in
 * them; hardware, and what merges packets before it hands them on, counts packets.
 */
static bool counts_skbs(const struct device *dev)
{
	static const char *const kinds[] = { "veth", "loopback", "tun",	  "bridge", "macvlan",
					     "ifb",  "macvtap",	 "dummy", "netkit" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(dev->kind, kinds[i]))
			return true;
	return false;
}

uint64_t device_kernel_passed(const struct device *dev, bool tx)
{
	/* A tun device drops what its reader has no room for behind the place where we see it. */
	if (tx)
		return dev->kernel_tx.packets +
		       (strcmp(dev->kind, "tun") ? 0 : dev->kernel_tx.dropped);
	/* What ifb says it received is what it was given to send. */
	return strcmp(dev->kind, "ifb") ? dev->kernel_rx.packets : 0;
}

uint64_t device_seen(const struct device *dev, const struct device_counted *n)
{
	return counts_skbs(dev) ? n->skbs : n->packets;
}

static void show_kernel(const struct device *dev, bool tx, uint64_t missed,
			struct device_counted *n)
{
	uint64_t seen = device_seen(dev, n) + missed, passed = device_kernel_passed(dev, tx);

	n->kernel = tx ? dev->kernel_tx : dev->kernel_rx;
	n->missed = missed;
	n->unobserved = dev->has & DEVICE_HAS_KERNEL && passed > seen ? passed - seen : 0;
}

static void show_counts(struct device_row *row, const struct device_tally *t,
			const struct device_missed *missed)
{
	row->counted = true;
	device_tally_show(t, &row->rx, &row->tx);
	for (int i = 0; i < N_DEVICE_POINTS; i++) {
		row->hooks[i].skbs = t->n.hook[i].skbs;
		row->hooks[i].bytes = t->n.hook[i].bytes;
	}
	show_kernel(row->device, false, missed->packets[DEVICE_RX], &row->rx);
	show_kernel(row->device, true, missed->packets[DEVICE_TX], &row->tx);
}

/* --- coverage --- */

/* A hook that is wanted and not as it should be; NULL: all are. */
static const struct device_hook *hook_amiss(const struct device_row *row, int *ret_point)
{
	for (int i = 0; i < N_DEVICE_POINTS; i++)
		if (row->hooks[i].state != HOOK_NONE && row->hooks[i].state != HOOK_ATTACHED) {
			*ret_point = i;
			return &row->hooks[i];
		}
	return NULL;
}

static void show_coverage(struct device_row *row)
{
	const struct device_hook *amiss;
	int point;

	row->coverage = COVERAGE_PARTIAL;
	if (row->device->has & DEVICE_UNOBSERVABLE) {
		row->coverage = COVERAGE_NONE;
		snprintf(row->why, sizeof(row->why), "the kernel does not see its packets");
	} else if ((amiss = hook_amiss(row, &point))) {
		snprintf(row->why, sizeof(row->why), "%s %s%s%.160s", device_point_names[point],
			 hook_state_names[amiss->state], *amiss->why ? ": " : "", amiss->why);
	} else if (row->device->has & DEVICE_STACKED &&
		   !device_hook_is_there(&row->hooks[POINT_TCX_INGRESS])) {
		snprintf(row->why, sizeof(row->why),
			 "what it receives is counted at the device below it alone");
	} else if (row->hooks[POINT_TCX_INGRESS].removable) {
		snprintf(row->why, sizeof(row->why),
			 "removable: before Linux 6.6 the namespace's root can take tc hooks off");
	} else {
		row->coverage = COVERAGE_FULL;
	}
}

/* --- a row --- */

static void show_hooks(const struct device_keeper *w, struct device_row *row)
{
	for (int i = 0; i < N_DEVICE_POINTS; i++) {
		const struct device_hook *h = attacher_hook(w->attacher, row->device->id,
							    (enum device_point)i);

		if (h)
			row->hooks[i] = *h;
	}
}

static void fill_row(const struct device_keeper *w, struct device_row *row)
{
	const struct device *dev = row->device;
	struct device_tally t = { 0 };
	struct device_missed missed;

	show_hooks(w, row);
	device_probe_missed(w->probe, dev->id, &missed);
	if (device_probe_read(w->probe, dev->id, &t))
		t.n = (struct device_counts){ 0 };
	if (!(dev->has & DEVICE_UNOBSERVABLE))
		show_counts(row, &t, &missed);
	show_coverage(row);
}

static void fill_gone(const struct gone_device *g, struct device_row *row)
{
	*row = (struct device_row){ .device = &g->device, .netns = &g->netns };
	show_counts(row, &g->tally, &g->missed);
	snprintf(row->why, sizeof(row->why), "it is gone");
}

static int rows_alive(const struct device_keeper *w, struct device_row **ret, size_t *ret_n,
		      struct err *e)
{
	int err = devices_refresh(w->devices, e)
			  ?: device_list_rows(w->devices, w->netns, ret, ret_n, e);

	for (size_t i = 0; !err && i < *ret_n; i++)
		fill_row(w, &(*ret)[i]);
	return err;
}

static int rows_gone(const struct device_keeper *w, struct device_row **ret, size_t *ret_n,
		     struct err *e)
{
	const struct gone_device *g = TAILQ_FIRST(&w->gone);

	*ret_n = 0;
	*ret = calloc(w->n_gone + 1, sizeof(**ret));
	if (!*ret)
		return err_set(e, ENOMEM, "out of memory");
	for (; g; g = TAILQ_NEXT(g, all))
		fill_gone(g, &(*ret)[(*ret_n)++]);
	return 0;
}

int device_keeper_rows(struct device_keeper *w, bool gone, struct device_row **ret, size_t *ret_n,
		       struct err *e)
{
	return gone ? rows_gone(w, ret, ret_n, e) : rows_alive(w, ret, ret_n, e);
}
