// SPDX-License-Identifier: Apache-2.0
#include "agent/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
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
	text_row(out, "records", "%s from the kernel, %s events made of them, %s bad",
		 units_count(p->n_records, a), units_count(p->n_events, b),
		 units_count(p->n_bad_records, c));
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
	jsonw_object_end(&j);
	jsonw_line_end(&j);
}
