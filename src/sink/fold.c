// SPDX-License-Identifier: Apache-2.0
#include "sink/fold.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "wire/units.h"

/* More groups than this a flush are summed up as others; and of those, so many get a line. */
enum { MAX_GROUPS = 1024, MAX_LINES = 20 };

struct group {
	uint64_t opened, updated, closed;
	uint64_t n_failed, failed[N_FLOW_REASONS];
	uint64_t sent_bytes, received_bytes; /* of those that closed or failed */
	char *key;			     /* "tcp   curl@blue -> nginx@green:80" */
	UT_hash_handle hh;
};

struct fold {
	struct group *groups; /* by key */
	struct group others;
	uint64_t n_events;
	struct buf key;
};

struct fold *fold_new(void)
{
	return calloc(1, sizeof(struct fold));
}

static void group_free(struct group *g)
{
	free(g->key);
	free(g);
}

static void fold_forget(struct fold *f)
{
	struct group *g, *next;

	HASH_ITER(hh, f->groups, g, next) {
		HASH_DEL(f->groups, g);
		group_free(g);
	}
	f->others = (struct group){ 0 };
	f->n_events = 0;
}

void fold_free(struct fold *f)
{
	if (!f)
		return;
	fold_forget(f);
	buf_fini(&f->key);
	free(f);
}

/* ---- summing up ---- */

/* The name of the group in f->key. */
static void put_key(struct fold *f, const struct wire_context *ctx, const struct flow_event *flow)
{
	struct flow_side source = flow->source;

	source.has &= ~(unsigned int)SIDE_HAS_PORT;
	buf_reset(&f->key);
	buf_addf(&f->key, "%-5s ", event_text_transport(flow->transport));
	event_text_side(&f->key, ctx, &source, 0);
	buf_adds(&f->key, flow->has & FLOW_INITIATOR_KNOWN ? " -> " : " -- ");
	event_text_side(&f->key, ctx, &flow->destination, TEXT_PORT);
}

static struct group *add_group(struct fold *f)
{
	struct group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->key = strdup(f->key.data);
	if (!g->key) {
		group_free(g);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, f->groups, g->key, f->key.len, g);
	if (!g->hh.tbl) {
		group_free(g);
		return NULL;
	}
	return g;
}

/* The group of @flow; the others, where there is no room for one. */
static struct group *group_of(struct fold *f, const struct wire_context *ctx,
			      const struct flow_event *flow)
{
	struct group *g = NULL;

	put_key(f, ctx, flow);
	if (f->key.failed)
		return &f->others;
	HASH_FIND(hh, f->groups, f->key.data, f->key.len, g);
	if (!g && HASH_COUNT(f->groups) < MAX_GROUPS)
		g = add_group(f);
	return g ? g : &f->others;
}

void fold_add(struct fold *f, const struct wire_context *ctx, const struct flow_event *flow)
{
	struct group *g = group_of(f, ctx, flow);

	f->n_events++;
	switch (flow->action) {
	case FLOW_OPEN: g->opened++; return;
	case FLOW_UPDATE: g->updated++; return;
	case FLOW_CLOSE: g->closed++; break;
	case FLOW_FAIL:
		g->n_failed++;
		g->failed[flow->reason]++;
		break;
	case N_FLOW_ACTIONS: return;
	}
	if (flow->source.has & SIDE_HAS_COUNTS)
		g->sent_bytes += flow->source.bytes;
	if (flow->destination.has & SIDE_HAS_COUNTS)
		g->received_bytes += flow->destination.bytes;
}

static void group_merge(struct group *into, const struct group *g)
{
	into->opened += g->opened;
	into->updated += g->updated;
	into->closed += g->closed;
	into->n_failed += g->n_failed;
	for (unsigned int i = 0; i < N_FLOW_REASONS; i++)
		into->failed[i] += g->failed[i];
	into->sent_bytes += g->sent_bytes;
	into->received_bytes += g->received_bytes;
}

/* ---- telling ---- */

static uint64_t group_events(const struct group *g)
{
	return g->opened + g->updated + g->closed + g->n_failed;
}

/* Failures first, then the busiest. */
static int compare_groups(const struct group *a, const struct group *b)
{
	if (a->n_failed != b->n_failed)
		return a->n_failed < b->n_failed ? 1 : -1;
	if (group_events(a) != group_events(b))
		return group_events(a) < group_events(b) ? 1 : -1;
	return strcmp(a->key, b->key);
}

/* ", 4,812 opened", if there are any; the first one without a comma. */
static void add_count(struct buf *out, const char **comma, uint64_t n, const char *what)
{
	char text[UNITS_TEXT_MAX];

	if (!n)
		return;
	buf_addf(out, "%s%s %s", *comma, units_count(n, text), what);
	*comma = ", ";
}

static void add_bytes(struct buf *out, const char **comma, uint64_t bytes, const char *what)
{
	char text[UNITS_TEXT_MAX];

	if (!bytes)
		return;
	buf_addf(out, "%s%s %s", *comma, units_bytes(bytes, text), what);
	*comma = ", ";
}

static const char *reason_name(unsigned int reason)
{
	return flow_reason_names[reason] ? flow_reason_names[reason] : "reason unknown";
}

/* "9 failed (refused)", "9 failed (7 refused, 2 timeout)" */
static void add_failed(struct buf *out, const struct text_options *options, const char **comma,
		       const struct group *g)
{
	const char *between = "";

	if (!g->n_failed)
		return;
	buf_adds(out, *comma);
	*comma = "";
	buf_adds(out, options->colour ? "\x1b[1;31m" : "");
	add_count(out, comma, g->n_failed, "failed (");
	for (unsigned int i = 0; i < N_FLOW_REASONS; i++) {
		if (g->failed[i] == g->n_failed)
			buf_adds(out, reason_name(i));
		else
			add_count(out, &between, g->failed[i], reason_name(i));
	}
	buf_adds(out, options->colour ? ")\x1b[0m" : ")");
}

static void add_group_line(struct buf *out, const struct text_options *options, uint64_t now_ns,
			   const struct group *g)
{
	const char *comma = "";

	event_text_time(out, options, now_ns);
	buf_addf(out, " folded %s: ", g->key ? g->key : "others");
	add_count(out, &comma, g->opened, "opened");
	add_count(out, &comma, g->updated, "updated");
	add_count(out, &comma, g->closed, "closed");
	add_bytes(out, &comma, g->sent_bytes, "sent");
	add_bytes(out, &comma, g->received_bytes, "received");
	add_failed(out, options, &comma, g);
	buf_addc(out, '\n');
}

static void add_summary(const struct fold *f, struct buf *out, const struct text_options *options,
			uint64_t now_ns, uint64_t span_ns, unsigned int n_lines, const char *why)
{
	char events[UNITS_TEXT_MAX], span[UNITS_TEXT_MAX];

	event_text_time(out, options, now_ns);
	buf_addf(out, " folded %s events", units_count(f->n_events, events));
	if (span_ns)
		buf_addf(out, " of %s", units_duration(span_ns, span));
	buf_addf(out, " into %u line%s: %s\n", n_lines, n_lines == 1 ? "" : "s", why);
}

void fold_flush(struct fold *f, struct buf *out, const struct text_options *options,
		uint64_t now_ns, uint64_t span_ns, const char *why)
{
	unsigned int n_lines = 0;
	struct group *g, *next;

	if (!f->n_events)
		return;
	HASH_SORT(f->groups, compare_groups);
	HASH_ITER(hh, f->groups, g, next) {
		if (n_lines < MAX_LINES) {
			add_group_line(out, options, now_ns, g);
			n_lines++;
		} else {
			group_merge(&f->others, g);
		}
	}
	if (group_events(&f->others)) {
		add_group_line(out, options, now_ns, &f->others);
		n_lines++;
	}
	add_summary(f, out, options, now_ns, span_ns, n_lines, why);
	fold_forget(f);
}
