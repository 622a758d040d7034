// SPDX-License-Identifier: Apache-2.0
#include "agent/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "discover/registry.h"
#include "sys/clock.h"
#include "wire/jsonw.h"
#include "wire/units.h"

static uint64_t resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void status_fill(struct agent_status *s, struct pipeline *p)
{
	*s = (struct agent_status){ .pid = getpid(),
				    .cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
				    .resident_bytes = resident_bytes() };
	pipeline_get_status(p, &s->pipeline);
	pipeline_get_layers(p, &s->layers);
	s->netns = pipeline_netns(p);
}

void status_fini(struct agent_status *s)
{
	layer_rows_fini(&s->layers);
}

/* --- text --- */

static void text_row(struct buf *out, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void text_row(struct buf *out, const char *name, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(out, "%-14s %s\n", name, text);
}

static void text_agent(struct buf *out, const struct agent_status *s)
{
	const struct pipeline_status *p = &s->pipeline;
	uint64_t up_ns = p->now_ns - p->started_ns;
	char up[UNITS_TEXT_MAX], cpu[UNITS_TEXT_MAX], rss[UNITS_TEXT_MAX], maps[UNITS_TEXT_MAX];
	char images[UNITS_TEXT_MAX], flows[UNITS_TEXT_MAX];

	text_row(out, "agent", "nslens %s, pid %d, up %s, %u client%s", NSLENS_VERSION, (int)s->pid,
		 units_duration(up_ns, up), s->n_clients, s->n_clients == 1 ? "" : "s");
	text_row(out, "cpu", "%s (%.2f %% of one core)", units_duration(s->cpu_ns, cpu),
		 up_ns ? 100.0 * (double)s->cpu_ns / (double)up_ns : 0.0);
	text_row(out, "memory", "%s resident; %s in the kernel's maps",
		 units_bytes(s->resident_bytes, rss), units_bytes(p->memory.map_bytes, maps));
	text_row(out, "", "of it: %s processes' images, %s conversations",
		 units_bytes(p->image_bytes, images), units_bytes(p->flow.bytes, flows));
}

static void text_figures(struct buf *out, const struct agent_status *s)
{
	const struct pipeline_status *p = &s->pipeline;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX], c[UNITS_TEXT_MAX];

	text_row(out, "namespaces", "%zu of %zu covered", p->netns_covered, p->netns_total);
	text_row(out, "conversations", "%s now, %s so far", units_count(p->flow.conversations, a),
		 units_count(p->flow.seen, b));
	if (p->flow.passing || p->flow.owned)
		text_row(out, "", "%s of them only pass devices; %s device flows were a socket's",
			 units_count(p->flow.passing, a), units_count(p->flow.owned, b));
	text_row(out, "records", "%s from the kernel, %s events made of them, %s bad",
		 units_count(p->n_records, a), units_count(p->n_events, b),
		 units_count(p->n_bad_records, c));
	text_row(out, "translations", "%s asked for, %s found, %s not asked for: too many at once",
		 units_count(p->translator.n_asked, a), units_count(p->translator.n_translated, b),
		 units_count(p->translator.n_skipped, c));
	text_row(out, "lost", "%s records", units_count(p->n_lost, a));
	for (int i = 0; i < N_LOST_REASONS; i++)
		if (p->lost[i])
			text_row(out, "", "%s %s", units_count(p->lost[i], a), lost_reason_name(i));
}

static const char *probe_state_name(const struct probe_state *s)
{
	return s->attached ? "attached" : s->off ? "off" : "absent";
}

/* ", 1,234 records, 12 sockets, 5,678 runs of 90 ns" */
static void text_contribution(struct buf *b, const struct probe_state *s)
{
	char n[UNITS_TEXT_MAX];
	const char *name;

	if (s->info->records)
		buf_addf(b, ", %s records", units_count(s->n_records, n));
	for (enum figure i = 0; i < N_FIGURES; i++)
		if ((name = probe_figure_name(s->info->name, i)))
			buf_addf(b, ", %s %s", units_count(s->figures[i], n), name);
	if (s->run_count)
		buf_addf(b, ", %s runs of %" PRIu64 " ns", units_count(s->run_count, n),
			 s->run_ns / s->run_count);
}

static void text_probe(struct buf *out, const struct probe_state *s)
{
	struct buf what = { 0 };

	if (s->attached)
		text_contribution(&what, s);
	if (s->why_not)
		buf_addf(&what, ": %s; lacks", s->why_not);
	text_row(out, "", "%-8s %s%s: %s", s->info->name,
		 s->attached  ? "attached"
		 : s->why_not ? "not attached"
			      : "off",
		 what.data ? what.data : "", s->info->gives);
	buf_fini(&what);
	if (s->attached && s->instead)
		text_row(out, "", "%-8s by functions instead of its tracepoints: %s", "",
			 s->instead);
}

static void text_devices(struct buf *out, const struct device_keeper_usage *d)
{
	const struct attacher_usage *h = &d->hooks;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX], c[UNITS_TEXT_MAX];

	text_row(out, "devices",
		 "%zu known, %s with packets; counting %s, by programs of generation %u",
		 d->n_devices, units_count(d->probe.n_devices, a),
		 d->probe.pinned ? "goes on without the agent" : "ends with the agent",
		 d->probe.generation);
	if (d->probe.unplaced_packets || d->probe.passed_over)
		text_row(out, "",
			 "not counted: %s packets for lack of room, %s while a program ran",
			 units_count(d->probe.unplaced_packets, a),
			 units_count(d->probe.passed_over, b));
	if (d->health.n_netns_failed)
		text_row(out, "", "those of %zu namespaces are not listed: %s",
			 d->health.n_netns_failed, d->health.first_failure.text);
	text_row(out, "", "hooks: %zu attached, %zu waiting, %zu failed; %s made, %s taken over",
		 h->n_attached, h->n_waiting, h->n_failed, units_count(h->n_made, a),
		 units_count(h->n_taken_over, b));
	if (h->n_made + h->n_removed)
		text_row(out, "", "held RTNL for %s in all, at most %s",
			 units_duration(h->rtnl_ns, a), units_duration(h->longest_ns, c));
}

static int layer_compare(const void *a, const void *b)
{
	const struct layer_key *x = a, *y = b; /* a row begins with its key */

	return memcmp(&x->layer, &y->layer, 3);
}

/* The sums over all places, in their order. */
static void layers_total(const struct layer_rows *rows, struct layer_rows *ret)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct layer_row row = rows->rows[i];

		row.key.netns_cookie = 0;
		row.key.place = 0;
		layer_rows_sum(ret, &row);
	}
	if (ret->n)
		qsort(ret->rows, ret->n, sizeof(*ret->rows), layer_compare);
}

static void text_layer(struct buf *out, const struct layer_row *r)
{
	char packets[UNITS_TEXT_MAX], bytes[UNITS_TEXT_MAX], payload[UNITS_TEXT_MAX];
	char again[UNITS_TEXT_MAX];
	struct buf b = { 0 };

	buf_addf(&b, "%-6s %-8s %-8s %s packets", layer_name(&r->key), layer_class_name(&r->key),
		 layer_direction_name(&r->key), units_count(r->n.packets, packets));
	if (r->key.layer != LAYER_SOCKET)
		buf_addf(&b, ", %s", units_bytes(r->n.bytes, bytes));
	if (r->n.payload_bytes)
		buf_addf(&b, ", %s payload", units_bytes(r->n.payload_bytes, payload));
	if (r->retransmitted_bytes)
		buf_addf(&b, " and %s of it again", units_bytes(r->retransmitted_bytes, again));
	text_row(out, "", "%s", b.data ? b.data : "");
	buf_fini(&b);
}

static void text_layers(struct buf *out, const struct layer_rows *rows)
{
	struct layer_rows totals = { 0 };

	layers_total(rows, &totals);
	if (totals.n)
		text_row(out, "layers", "sums over all places; -o json has each");
	for (size_t i = 0; i < totals.n; i++)
		text_layer(out, &totals.rows[i]);
	layer_rows_fini(&totals);
}

void status_text(struct buf *out, const struct agent_status *s)
{
	const struct pipeline_status *p = &s->pipeline;
	bool counted = false;

	text_agent(out, s);
	text_figures(out, s);
	text_row(out, "probes", "%zu", p->n_probes);
	for (size_t i = 0; i < p->n_probes; i++) {
		text_probe(out, &p->probes[i]);
		counted |= p->probes[i].run_count > 0;
	}
	if (!counted)
		text_row(out, "", "(runs and times: nslens status --measure 1s)");
	if (p->has_device)
		text_devices(out, &p->device);
	text_layers(out, &s->layers);
}

/* --- JSON --- */

static void json_agent(struct jsonw *j, const struct agent_status *s)
{
	const struct pipeline_status *p = &s->pipeline;

	jsonw_member_object(j, "agent");
	jsonw_member_string(j, "version", NSLENS_VERSION);
	jsonw_member_u64(j, "pid", (uint64_t)s->pid);
	jsonw_member_time(j, "start", p->started_ns);
	jsonw_member_u64(j, "cpu_ns", s->cpu_ns);
	jsonw_member_u64(j, "resident_bytes", s->resident_bytes);
	jsonw_member_u64(j, "kernel_map_bytes", p->memory.map_bytes);
	jsonw_member_u64(j, "image_bytes", p->image_bytes);
	jsonw_member_u64(j, "conversation_bytes", p->flow.bytes);
	jsonw_member_u64(j, "clients", s->n_clients);
	jsonw_member_u64(j, "clients_refused", s->n_refused);
	jsonw_object_end(j);
}

static void json_figures(struct jsonw *j, const struct pipeline_status *p)
{
	jsonw_member_object(j, "namespaces");
	jsonw_member_u64(j, "covered", p->netns_covered);
	jsonw_member_u64(j, "total", p->netns_total);
	jsonw_object_end(j);
	jsonw_member_object(j, "conversations");
	jsonw_member_u64(j, "open", p->flow.conversations);
	jsonw_member_u64(j, "total", p->flow.seen);
	jsonw_member_u64(j, "passing", p->flow.passing);
	jsonw_member_u64(j, "device_flows_of_sockets", p->flow.owned);
	jsonw_object_end(j);
	jsonw_member_object(j, "translations");
	jsonw_member_u64(j, "asked", p->translator.n_asked);
	jsonw_member_u64(j, "found", p->translator.n_translated);
	jsonw_member_u64(j, "failed", p->translator.n_failed);
	jsonw_member_u64(j, "skipped", p->translator.n_skipped);
	jsonw_object_end(j);
	jsonw_member_object(j, "pipeline");
	jsonw_member_u64(j, "records", p->n_records);
	jsonw_member_u64(j, "bad_records", p->n_bad_records);
	jsonw_member_u64(j, "events", p->n_events);
	jsonw_member_u64(j, "drains", p->n_drains);
	jsonw_member_u64(j, "drain_ns", p->drain_ns);
	jsonw_member_u64(j, "sweeps", p->n_sweeps);
	jsonw_member_u64(j, "sweep_ns", p->sweep_ns);
	jsonw_object_end(j);
}

static void json_lost(struct jsonw *j, const struct pipeline_status *p)
{
	jsonw_member_object(j, "lost");
	jsonw_member_u64(j, "records", p->n_lost);
	jsonw_member_object(j, "by_reason");
	for (int i = 0; i < N_LOST_REASONS; i++)
		jsonw_member_u64(j, lost_reason_name(i), p->lost[i]);
	jsonw_object_end(j);
	jsonw_object_end(j);
}

static void json_contribution(struct jsonw *j, const struct probe_state *s)
{
	const char *name;

	if (s->info->records)
		jsonw_member_u64(j, "records", s->n_records);
	jsonw_member_object(j, "figures");
	for (enum figure i = 0; i < N_FIGURES; i++)
		if ((name = probe_figure_name(s->info->name, i)))
			jsonw_member_u64(j, name, s->figures[i]);
	jsonw_object_end(j);
}

static void json_probe(struct jsonw *j, const struct probe_state *s)
{
	jsonw_object_begin(j);
	jsonw_member_string(j, "name", s->info->name);
	jsonw_member_string(j, "gives", s->info->gives);
	jsonw_member_string(j, "state", probe_state_name(s));
	jsonw_member_bool(j, "default", s->info->by_default);
	jsonw_member_string(j, "reason", s->why_not);
	jsonw_member_string(j, "instead", s->instead);
	if (s->attached)
		json_contribution(j, s);
	if (s->run_count) {
		jsonw_member_u64(j, "runs", s->run_count);
		jsonw_member_u64(j, "run_ns", s->run_ns);
	}
	jsonw_object_end(j);
}

static void json_hooks(struct jsonw *j, const struct attacher_usage *h)
{
	jsonw_member_object(j, "hooks");
	jsonw_member_u64(j, "attached", h->n_attached);
	jsonw_member_u64(j, "waiting", h->n_waiting);
	jsonw_member_u64(j, "failed", h->n_failed);
	jsonw_member_u64(j, "made", h->n_made);
	jsonw_member_u64(j, "taken_over", h->n_taken_over);
	jsonw_member_u64(j, "removed", h->n_removed);
	jsonw_member_u64(j, "rtnl_ns", h->rtnl_ns);
	jsonw_member_u64(j, "longest_ns", h->longest_ns);
	jsonw_object_end(j);
}

static void json_devices(struct jsonw *j, const struct device_keeper_usage *d)
{
	jsonw_member_object(j, "devices");
	jsonw_member_u64(j, "known", d->n_devices);
	jsonw_member_u64(j, "counted", d->probe.n_devices);
	jsonw_member_u64(j, "generation", d->probe.generation);
	jsonw_member_bool(j, "taken_over", d->probe.adopted);
	jsonw_member_bool(j, "pinned", d->probe.pinned);
	jsonw_member_u64(j, "unplaced_packets", d->probe.unplaced_packets);
	jsonw_member_u64(j, "passed_over", d->probe.passed_over);
	jsonw_member_u64(j, "messages", d->health.n_messages);
	jsonw_member_u64(j, "overruns", d->health.n_overruns);
	jsonw_member_u64(j, "namespaces_not_listed", d->health.n_netns_failed);
	if (d->health.n_netns_failed)
		jsonw_member_string(j, "reason", d->health.first_failure.text);
	json_hooks(j, &d->hooks);
	jsonw_object_end(j);
}

static void json_layer_place(struct jsonw *j, const struct layer_row *r, struct netns_registry *ns)
{
	const struct netns *known = netns_registry_get(ns, r->key.netns_cookie);

	if (!r->key.netns_cookie)
		return;
	jsonw_member_object(j, "netns");
	jsonw_member_u64(j, "cookie", r->key.netns_cookie);
	if (known)
		jsonw_member_u64(j, "inode", known->inode);
	jsonw_member_string(j, "name", known ? netns_name(known) : NULL);
	jsonw_object_end(j);
	if (r->key.layer == LAYER_SOCKET)
		return;
	jsonw_member_object(j, r->key.layer == LAYER_L3 ? "cgroup" : "device");
	jsonw_member_u64(j, r->key.layer == LAYER_L3 ? "id" : "ifindex", r->key.place);
	jsonw_object_end(j);
}

static void json_layer(struct jsonw *j, const struct layer_row *r, struct netns_registry *ns)
{
	jsonw_object_begin(j);
	jsonw_member_string(j, "layer", layer_name(&r->key));
	json_layer_place(j, r, ns);
	jsonw_member_string(j, "class", layer_class_name(&r->key));
	jsonw_member_string(j, "direction", layer_direction_name(&r->key));
	jsonw_member_u64(j, "packets", r->n.packets);
	if (r->key.layer == LAYER_SOCKET) {
		jsonw_member_u64(j, "payload_bytes", r->n.payload_bytes);
		if (r->key.direction == LAYER_TX)
			jsonw_member_u64(j, "retransmitted_bytes", r->retransmitted_bytes);
	} else {
		jsonw_member_u64(j, "bytes", r->n.bytes);
		jsonw_member_u64(j, "skbs", r->n.skbs);
		jsonw_member_u64(j, "skb_bytes", r->n.skb_bytes);
		if (r->key.layer == LAYER_L3 && r->key.class <= LAYER_UDP)
			jsonw_member_u64(j, "payload_bytes", r->n.payload_bytes);
		if (r->key.layer == LAYER_L3 && r->key.class == LAYER_TCP)
			jsonw_member_u64(j, "empty_packets", r->n.empty_packets);
	}
	jsonw_object_end(j);
}

static void json_layers(struct jsonw *j, const struct agent_status *s)
{
	struct layer_rows totals = { 0 };

	layers_total(&s->layers, &totals);
	jsonw_member_object(j, "layers");
	jsonw_member_array(j, "totals");
	for (size_t i = 0; i < totals.n; i++)
		json_layer(j, &totals.rows[i], s->netns);
	jsonw_array_end(j);
	jsonw_member_array(j, "places");
	for (size_t i = 0; i < s->layers.n; i++)
		json_layer(j, &s->layers.rows[i], s->netns);
	jsonw_array_end(j);
	jsonw_object_end(j);
	layer_rows_fini(&totals);
}

void status_json(struct buf *out, const struct agent_status *s)
{
	const struct pipeline_status *p = &s->pipeline;
	struct jsonw j = jsonw_on(out);
	char host[256] = "";

	jsonw_object_begin(&j);
	jsonw_member_time(&j, "@timestamp", p->now_ns);
	jsonw_member_object(&j, "event");
	jsonw_member_string(&j, "kind", "state");
	jsonw_member_string(&j, "dataset", "nslens.status");
	jsonw_object_end(&j);
	gethostname(host, sizeof(host) - 1);
	jsonw_member_object(&j, "host");
	jsonw_member_string(&j, "name", host);
	jsonw_object_end(&j);
	json_agent(&j, s);
	json_figures(&j, p);
	json_lost(&j, p);
	jsonw_member_array(&j, "probes");
	for (size_t i = 0; i < p->n_probes; i++)
		json_probe(&j, &p->probes[i]);
	jsonw_array_end(&j);
	if (p->has_device)
		json_devices(&j, &p->device);
	json_layers(&j, s);
	jsonw_object_end(&j);
	jsonw_line_end(&j);
}
