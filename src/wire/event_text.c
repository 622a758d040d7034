// SPDX-License-Identifier: Apache-2.0
#include "wire/event_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "abi/record.h"
#include "wire/printable.h"
#include "wire/units.h"

/* A name longer than this was made by a machine: a container's id says more, in less room. */
enum { PLACE_MAX = 16, CONTAINER_SHORT = 12 };

/* ---- where on the line ---- */

/* Columns at which cells begin, or for figures, which stand to the right, end. */
struct layout {
	unsigned int at_least; /* columns of the terminal */
	unsigned int event, transport, source, arrow, destination;
	unsigned int sent_end, received_end, took_end, why; /* why 0: no such column */
	bool millis;
	unsigned int source_parts, destination_parts;
};

static const struct layout layouts[] = {
	{ 160, 13, 20, 26, 67, 70, 117, 125, 132, 134, true, TEXT_PID | TEXT_ADDRESS,
	  TEXT_PID | TEXT_ADDRESS },
	{ 100, 13, 20, 26, 47, 50, 85, 92, 99, 100, true, TEXT_PID, TEXT_PID | TEXT_ADDRESS },
	{ 0, 9, 17, 22, 38, 41, 66, 73, 80, 0, false, TEXT_PID, TEXT_PID | TEXT_PORT },
};

static const struct layout *layout_of(const struct text_options *options)
{
	const struct layout *layout = layouts;

	while (options->columns && options->columns < layout->at_least)
		layout++;
	return layout;
}

struct line {
	struct buf *out;
	size_t begin; /* of the line in out */
	bool colour;
};

static size_t line_column(const struct line *line)
{
	size_t len = line->out->len - line->begin;

	return len ? printable_width(line->out->data + line->begin, len) : 0;
}

/* Go to column @at, or if the line is already there, one space further. */
static void line_go(struct line *line, unsigned int at)
{
	size_t column = line_column(line);

	if (column)
		do
			buf_addc(line->out, ' ');
		while (++column < at);
}

/* A figure that ends at column @end. */
static void line_figure(struct line *line, unsigned int end, const char *text)
{
	line_go(line, end - (unsigned int)strlen(text));
	buf_adds(line->out, text);
}

static void line_colour(struct line *line, const char *sgr)
{
	if (line->colour)
		buf_addf(line->out, "\x1b[%sm", sgr);
}

static void line_plain(struct line *line)
{
	line_colour(line, "0");
}

/* ---- who ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct process *process_of(const struct flow_side *side)
{
	return side->process ? side->process : side->opened_by;
}

static bool is_host_netns(const struct wire_context *ctx, const struct flow_side *side)
{
	return ctx->host_netns_cookie && side->netns_cookie == ctx->host_netns_cookie;
}

static void add_process(struct buf *out, const struct process *p, unsigned int parts)
{
	if (p->name && *p->name)
		printable_add(out, p->name);
	else if (p->executable)
		printable_add(out, base_name(p->executable));
	if (parts & TEXT_PID)
		buf_addf(out, "[%" PRIu32 "]", p->pid);
}

static void add_short_container(struct buf *out, const char *id)
{
	char text[CONTAINER_SHORT + 1];

	snprintf(text, sizeof(text), "%s", id);
	printable_add(out, text);
}

static void add_place(struct buf *out, const struct wire_context *ctx, const struct flow_side *side)
{
	const struct process *p = process_of(side);
	bool has_container = p && p->container_id && *p->container_id;
	const char *name = side->has & SIDE_HAS_NETNS ? side->netns_name : NULL;
	size_t begin = out->len;

	buf_addc(out, '@');
	if (is_host_netns(ctx, side))
		name = NULL;
	if (name && *name && (strlen(name) <= PLACE_MAX || !has_container))
		printable_add_cut(out, name, PLACE_MAX);
	else if (has_container)
		add_short_container(out, p->container_id);
	else if ((side->has & SIDE_HAS_NETNS) && side->netns_inode && !is_host_netns(ctx, side))
		buf_addf(out, "net:%06" PRIu32, side->netns_inode % 1000000);
	if (out->len == begin + 1)
		out->data[out->len = begin] = '\0';
}

static void add_address(struct buf *out, const struct flow_side *side)
{
	char text[IP_TEXT_MAX];
	bool brackets = side->ip.family == IP_V6 && (side->has & SIDE_HAS_PORT);

	buf_addf(out, brackets ? "[%s]" : "%s", ip_format(&side->ip, text));
	if (side->has & SIDE_HAS_PORT)
		buf_addf(out, ":%u", side->port);
}

void event_text_side(struct buf *out, const struct wire_context *ctx, const struct flow_side *side,
		     unsigned int parts)
{
	const struct process *p = process_of(side);
	size_t begin = out->len;

	if (p)
		add_process(out, p, parts);
	/* A port beside a namespace alone would read as a part of its name. */
	if (p || !(parts & TEXT_PORT))
		add_place(out, ctx, side);
	if (out->len == begin || (parts & TEXT_ADDRESS)) {
		if (out->len > begin)
			buf_addc(out, ' ');
		add_address(out, side);
	} else if ((parts & TEXT_PORT) && (side->has & SIDE_HAS_PORT)) {
		buf_addf(out, ":%u", side->port);
	}
}

static void add_time(struct buf *out, const struct layout *layout, uint64_t realtime_ns)
{
	time_t s = (time_t)(realtime_ns / NS_PER_SEC);
	struct tm tm;

	localtime_r(&s, &tm);
	buf_addf(out, "%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (layout->millis)
		buf_addf(out, ".%03u", (unsigned int)(realtime_ns % NS_PER_SEC / NS_PER_MS));
}

void event_text_time(struct buf *out, const struct text_options *options, uint64_t realtime_ns)
{
	add_time(out, layout_of(options), realtime_ns);
}

/* ---- what ---- */

static const char *action_colour(enum flow_action action)
{
	switch (action) {
	case FLOW_OPEN: return "32";
	case FLOW_UPDATE: return "36";
	case FLOW_CLOSE: return "0";
	case FLOW_FAIL: return "1;31";
	case N_FLOW_ACTIONS: break;
	}
	return "0";
}

/* Where there is no room for the reason, it stands for the action: "refused", "reset". */
static const char *event_word(const struct layout *layout, const struct flow_event *flow)
{
	static const char *const short_reasons[N_FLOW_REASONS] = {
		[REASON_RESET] = "reset",     [REASON_REFUSED] = "refused",
		[REASON_TIMEOUT] = "timeout", [REASON_UNREACHABLE] = "unreach",
		[REASON_IDLE] = "idle",
	};

	if (!layout->why && short_reasons[flow->reason])
		return short_reasons[flow->reason];
	return flow_action_names[flow->action];
}

const char *event_text_transport(enum flow_transport transport)
{
	return transport == TRANSPORT_ICMP6 ? "icmp6" : flow_transport_names[transport];
}

static void add_event(struct line *line, const struct layout *layout, const struct flow_event *flow)
{
	line_go(line, layout->event);
	line_colour(line, action_colour(flow->action));
	buf_adds(line->out, event_word(layout, flow));
	line_plain(line);
	line_go(line, layout->transport);
	buf_adds(line->out, event_text_transport(flow->transport));
}

static void add_sides(struct line *line, const struct wire_context *ctx,
		      const struct layout *layout, const struct flow_event *flow)
{
	line_go(line, layout->source);
	event_text_side(line->out, ctx, &flow->source, layout->source_parts);
	line_go(line, layout->arrow);
	buf_adds(line->out, flow->has & FLOW_INITIATOR_KNOWN ? "->" : "--");
	line_go(line, layout->destination);
	event_text_side(line->out, ctx, &flow->destination, layout->destination_parts);
}

/* How long it took: an open to connect, an update until now, the others until their end. */
static bool took_of(const struct flow_event *flow, uint64_t *ret_ns)
{
	switch (flow->action) {
	case FLOW_OPEN: *ret_ns = flow->connect_ns; return flow->has & FLOW_HAS_CONNECT;
	case FLOW_UPDATE: *ret_ns = flow->ts_ns - flow->start_ns; return flow->has & FLOW_HAS_START;
	default: break;
	}
	*ret_ns = flow->duration_ns;
	return (flow->has & FLOW_HAS_START) && (flow->has & FLOW_HAS_END);
}

/* The bytes of a conversation that just begins are 0, which needs no saying. */
static bool has_bytes(const struct flow_event *flow, const struct flow_side *side)
{
	return (side->has & SIDE_HAS_COUNTS) && (flow->action != FLOW_OPEN || side->bytes);
}

static void add_figures(struct line *line, const struct layout *layout,
			const struct flow_event *flow)
{
	char text[UNITS_TEXT_MAX];
	uint64_t took_ns;

	if (has_bytes(flow, &flow->source))
		line_figure(line, layout->sent_end, units_bytes(flow->source.bytes, text));
	if (has_bytes(flow, &flow->destination))
		line_figure(line, layout->received_end, units_bytes(flow->destination.bytes, text));
	if (took_of(flow, &took_ns))
		line_figure(line, layout->took_end, units_duration(took_ns, text));
}

/* ---- why ---- */

/* Begin the next remark: a comma, if there is one before it. */
static void add_remark(struct line *line, const struct layout *layout, unsigned int *n_remarks)
{
	if ((*n_remarks)++)
		buf_adds(line->out, ", ");
	else
		line_go(line, layout->why);
}

static void add_reason(struct line *line, const struct layout *layout,
		       const struct flow_event *flow, unsigned int *n_remarks)
{
	/* Who refuses is clear. */
	bool says_who = flow->closed_by != PARTY_UNKNOWN &&
			!(flow->reason == REASON_REFUSED && flow->closed_by == PARTY_DESTINATION);

	if (flow->reason == REASON_UNKNOWN && !says_who)
		return;
	add_remark(line, layout, n_remarks);
	if (flow->reason != REASON_UNKNOWN)
		buf_adds(line->out, flow_reason_names[flow->reason]);
	else
		buf_adds(line->out, "ended");
	if (says_who)
		buf_addf(line->out, " by %s", flow_party_names[flow->closed_by]);
}

static void add_left_over(struct line *line, const struct layout *layout,
			  const struct flow_side *side, const char *party, unsigned int *n_remarks)
{
	char text[UNITS_TEXT_MAX];

	if (side->has & SIDE_HAS_UNSENT) {
		add_remark(line, layout, n_remarks);
		buf_addf(line->out, "%s never sent by %s", units_bytes(side->unsent_bytes, text),
			 party);
	}
	if (side->has & SIDE_HAS_UNREAD) {
		add_remark(line, layout, n_remarks);
		buf_addf(line->out, "%s never read by %s", units_bytes(side->unread_bytes, text),
			 party);
	}
}

/* "router" or "net:123456". */
static void add_hop_netns(struct buf *out, const struct wire_context *ctx,
			  const struct flow_hop *hop)
{
	bool host = ctx->host_netns_cookie && hop->netns_cookie == ctx->host_netns_cookie;

	if (hop->netns_name && *hop->netns_name)
		printable_add_cut(out, hop->netns_name, PLACE_MAX);
	else if (host)
		buf_adds(out, "host");
	else
		buf_addf(out, "net:%06" PRIu32, hop->netns_inode % 1000000);
}

/* The way of what the source sent: "via router:v0>v1 backend:eth0". */
static void add_path(struct line *line, const struct wire_context *ctx, const struct layout *layout,
		     const struct flow_event *flow, unsigned int *n_remarks)
{
	uint64_t netns = 0;

	for (size_t i = 0; i < flow->n_hops; i++) {
		const struct flow_hop *hop = &flow->hops[i];

		if (hop->from != PARTY_SOURCE)
			continue;
		if (!netns) {
			add_remark(line, layout, n_remarks);
			buf_adds(line->out, "via");
		}
		if (hop->netns_cookie == netns) {
			buf_addc(line->out, '>');
		} else {
			buf_addc(line->out, ' ');
			add_hop_netns(line->out, ctx, hop);
			buf_addc(line->out, ':');
		}
		netns = hop->netns_cookie;
		if (hop->device)
			printable_add(line->out, hop->device);
		else
			buf_addf(line->out, "if%" PRIu32, hop->ifindex);
	}
}

/* While it goes on, what waits is not left over. */
static bool is_over(const struct flow_event *flow)
{
	return flow->action == FLOW_CLOSE || flow->action == FLOW_FAIL;
}

/* Why it ended, and what a person would want to be told. */
static void add_remarks(struct line *line, const struct wire_context *ctx,
			const struct layout *layout, const struct flow_event *flow)
{
	unsigned int n_remarks = 0;

	if (!layout->why)
		return;
	add_reason(line, layout, flow, &n_remarks);
	if ((flow->has & FLOW_ADOPTED) && flow->action == FLOW_OPEN) {
		add_remark(line, layout, &n_remarks);
		buf_adds(line->out, "was open before");
	}
	if ((flow->has & FLOW_HAS_ACCEPTED) && !flow->accepted && is_over(flow)) {
		add_remark(line, layout, &n_remarks);
		buf_adds(line->out, "never accepted");
	}
	if ((flow->has & FLOW_HAS_RETRANSMITS) && flow->retransmits) {
		add_remark(line, layout, &n_remarks);
		buf_addf(line->out, "%" PRIu64 " retransmitted", flow->retransmits);
	}
	add_path(line, ctx, layout, flow, &n_remarks);
	if (!is_over(flow))
		return;
	add_left_over(line, layout, &flow->source, "source", &n_remarks);
	add_left_over(line, layout, &flow->destination, "destination", &n_remarks);
}

/* ---- lines ---- */

static void add_flow(struct line *line, const struct wire_context *ctx, const struct layout *layout,
		     const struct flow_event *flow)
{
	add_time(line->out, layout, flow->ts_ns);
	add_event(line, layout, flow);
	add_sides(line, ctx, layout, flow);
	add_figures(line, layout, flow);
	add_remarks(line, ctx, layout, flow);
}

/* What a reason of the kernel side means; NULL for others. */
static const char *lost_meaning(const char *reason)
{
	static const char *const meanings[][2] = {
#define X(symbol, name, text) { name, text },
		LOST_REASONS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (!strcmp(meanings[i][0], reason))
			return meanings[i][1];
	return NULL;
}

static void add_lost(struct line *line, const struct layout *layout, const struct lost_event *lost)
{
	const char *meaning = lost_meaning(lost->reason);
	char text[UNITS_TEXT_MAX];

	line_colour(line, "1;37;41");
	add_time(line->out, layout, lost->ts_ns);
	line_go(line, layout->event);
	buf_addf(line->out, "LOST   %s %s: ", units_count(lost->records, text),
		 lost->records == 1 ? "record" : "records");
	printable_add(line->out, lost->reason);
	if (meaning)
		buf_addf(line->out, ": %s", meaning);
	line_plain(line);
}

static void add_totals(struct line *line, const struct totals_event *totals)
{
	char text[UNITS_TEXT_MAX];

	buf_addf(line->out, "%s conversation%s, ", units_count(totals->conversations, text),
		 totals->conversations == 1 ? "" : "s");
	if (totals->lost)
		line_colour(line, "1;31");
	buf_addf(line->out, "%s lost", units_count(totals->lost, text));
	if (totals->lost)
		line_plain(line);
	buf_addf(line->out, ", %" PRIu64 " of %" PRIu64 " namespace%s covered",
		 totals->netns_covered, totals->netns_total, totals->netns_total == 1 ? "" : "s");
	buf_addf(line->out, ", %s", units_duration(totals->duration_ns, text));
}

/* "hook starved" */
static void add_finding_type(struct buf *out, enum finding_type type)
{
	for (const char *name = finding_type_names[type]; *name; name++)
		buf_addc(out, *name == '_' ? ' ' : *name);
}

/* "on eth0@blue, tcx/ingress" */
static void add_finding_place(struct buf *out, const struct wire_context *ctx,
			      const struct finding_event *finding)
{
	struct flow_side side = finding_side(finding);

	buf_adds(out, " on ");
	if (finding->device_name && *finding->device_name)
		printable_add(out, finding->device_name);
	else
		buf_addf(out, "device %" PRIu32, finding->device.ifindex);
	add_place(out, ctx, &side);
	if (finding->has & FINDING_HAS_POINT)
		buf_addf(out, ", %s", device_point_names[finding->point]);
}

static void add_finding(struct line *line, const struct wire_context *ctx,
			const struct layout *layout, const struct finding_event *finding)
{
	line_colour(line, finding->over ? "32" : "1;31");
	add_time(line->out, layout, finding->ts_ns);
	line_go(line, layout->event);
	buf_adds(line->out, finding->over ? "OVER   " : "ALERT  ");
	add_finding_type(line->out, finding->type);
	add_finding_place(line->out, ctx, finding);
	if (finding->reason && *finding->reason) {
		buf_adds(line->out, ": ");
		printable_add(line->out, finding->reason);
	}
	line_plain(line);
}

static void line_end(struct line *line)
{
	buf_addc(line->out, '\n');
	if (line->out->failed && line->out->data)
		line->out->data[line->out->len = line->begin] = '\0';
}

static struct line line_on(struct buf *out, const struct text_options *options)
{
	return (struct line){ .out = out, .begin = out->len, .colour = options->colour };
}

void event_text(struct buf *out, const struct wire_context *ctx, const struct text_options *options,
		const struct event *event)
{
	const struct layout *layout = layout_of(options);
	struct line line = line_on(out, options);

	switch (event->kind) {
	case EVENT_FLOW: add_flow(&line, ctx, layout, &event->flow); break;
	case EVENT_LOST: add_lost(&line, layout, &event->lost); break;
	case EVENT_TOTALS: add_totals(&line, &event->totals); break;
	case EVENT_FINDING: add_finding(&line, ctx, layout, &event->finding); break;
	}
	line_end(&line);
}

void event_text_header(struct buf *out, const struct text_options *options)
{
	const struct layout *layout = layout_of(options);
	struct line line = line_on(out, options);

	line_colour(&line, "1");
	buf_adds(out, "TIME");
	line_go(&line, layout->event);
	buf_adds(out, "EVENT");
	line_go(&line, layout->transport);
	buf_adds(out, layout->millis ? "PROTO" : "PROT");
	line_go(&line, layout->source);
	buf_adds(out, "SOURCE");
	line_go(&line, layout->destination);
	buf_adds(out, "DESTINATION");
	line_figure(&line, layout->sent_end, "SENT");
	line_figure(&line, layout->received_end, "RECVD");
	line_figure(&line, layout->took_end, "TOOK");
	if (layout->why) {
		line_go(&line, layout->why);
		buf_adds(out, "WHY");
	}
	line_plain(&line);
	line_end(&line);
}
