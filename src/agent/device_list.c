// SPDX-License-Identifier: Apache-2.0
#include "agent/device_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/netns_cgroups.h"
#include "discover/devices.h"
#include "discover/registry.h"
#include "query/subject_device.h"
#include "sys/clock.h"
#include "wire/device_json.h"
#include "wire/device_text.h"

void device_list_context(struct wire_context *ret, const struct netns_registry *registry)
{
	const struct netns *first = netns_registry_next(registry, NULL);
	char node[256] = "";

	gethostname(node, sizeof(node) - 1);
	wire_context_init(ret, node, clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME));
	ret->host_netns_cookie = first ? first->cookie : 0;
}

/* ---- rows ---- */

static void relate(struct device_row *row, const struct devices *d, const struct netns_registry *r)
{
	const struct device *dev = row->device;

	if (dev->has & DEVICE_HAS_PEER) {
		row->peer = devices_get(d, dev->peer);
		row->peer_netns = netns_registry_get(r, dev->peer.netns_cookie);
	}
	if (dev->has & DEVICE_HAS_LOWER) {
		row->lower = devices_get(d, dev->lower);
		row->lower_netns = netns_registry_get(r, dev->lower.netns_cookie);
	}
	if (dev->has & DEVICE_HAS_MASTER)
		row->master = devices_get(d, dev->master);
	if (dev->has & DEVICE_HAS_PF) {
		row->pf = devices_get(d, dev->pf);
		row->pf_netns = netns_registry_get(r, dev->pf.netns_cookie);
	}
}

int device_list_rows(const struct devices *d, const struct netns_registry *registry,
		     struct device_row **ret, size_t *ret_n, struct err *e)
{
	struct device_row *rows = calloc(devices_count(d) + 1, sizeof(*rows));
	const struct device *dev = NULL;
	size_t n = 0;

	if (!rows)
		return err_set(e, ENOMEM, "out of memory");
	while (n < devices_count(d) && (dev = devices_next(d, dev))) {
		rows[n].device = dev;
		rows[n].netns = netns_registry_get(registry, dev->id.netns_cookie);
		relate(&rows[n++], d, registry);
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

/* ---- the list ---- */

static int netns_rank(const struct device_row *row, uint64_t host_cookie)
{
	if (row->device->id.netns_cookie == host_cookie)
		return 0;
	return row->netns && row->netns->n_names ? 1 : 2;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare(const void *x, const void *y, void *host_cookie)
{
	const struct device_row *a = *(const struct device_row *const *)x;
	const struct device_row *b = *(const struct device_row *const *)y;
	int rank = netns_rank(a, *(uint64_t *)host_cookie);
	int d = rank - netns_rank(b, *(uint64_t *)host_cookie);

	if (!d && rank == 1)
		d = strcmp(netns_name(a->netns), netns_name(b->netns));
	if (!d)
		d = compare_numbers(a->device->id.netns_cookie, b->device->id.netns_cookie);
	return d ? d : compare_numbers(a->device->id.ifindex, b->device->id.ifindex);
}

bool device_list_asks_cgroups(const struct filter *f)
{
	return filter_asks(f, FILTER_CGROUP) || filter_asks(f, FILTER_CONTAINER);
}

static bool passes(const struct device_row *row, const struct device_list_options *o)
{
	struct device_subject subject = { .device = row->device, .netns = row->netns };

	if (o->cgroups)
		subject.cgroups = netns_cgroups_of(o->cgroups, row->device->id.netns_cookie,
						   &subject.n_cgroups);
	return filter_match(o->filter, &subject);
}

static void encode(struct buf *out, const struct device_list_options *o,
		   const struct device_row *const *chosen, size_t n)
{
	if (!o->json) {
		device_text(out, o->context, chosen, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		device_json(out, o->context, o->ts_ns, chosen[i]);
}

int device_list_print(struct buf *out, const struct device_list_options *o,
		      const struct device_row *rows, size_t n, struct err *e)
{
	uint64_t host_cookie = o->context->host_netns_cookie;
	const struct device_row **chosen = calloc(n + 1, sizeof(*chosen));
	size_t n_chosen = 0;
	int err = chosen ? 0 : err_set(e, ENOMEM, "out of memory");

	for (size_t i = 0; !err && i < n; i++)
		if (passes(&rows[i], o))
			chosen[n_chosen++] = &rows[i];
	if (!err) {
		qsort_r(chosen, n_chosen, sizeof(*chosen), compare, &host_cookie);
		encode(out, o, chosen, n_chosen);
		err = out->failed ? err_set(e, ENOMEM, "out of memory") : 0;
	}
	free(chosen);
	return err;
}
