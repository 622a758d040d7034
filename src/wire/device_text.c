// SPDX-License-Identifier: Apache-2.0
#include "wire/device_text.h"

#include <inttypes.h>
#include <string.h>

#include "base/base.h"
#include "wire/printable.h"
#include "wire/units.h"

/* A name of a namespace that is longer was made by a machine. */
enum { PLACE_MAX = 16, NAME_MAX_COLUMNS = DEVICE_NAME_MAX - 1 };

/* What the table is made of. */
struct view {
	const struct wire_context *ctx;
	const struct device_row *const *rows;
	size_t n;
	bool kernel_only;		 /* no figure in it is ours */
	const struct device_row *reason; /* has the reason that all share who have one; or NULL */
};

/* ---- the cells ---- */

/* Nothing for the host's own namespace. */
static void add_place(struct buf *b, const struct view *v, const struct device_row *row)
{
	const struct netns *ns = row->netns;
	uint64_t cookie = row->device->id.netns_cookie;

	if (v->ctx->host_netns_cookie && cookie == v->ctx->host_netns_cookie)
		return;
	buf_addc(b, '@');
	if (ns && netns_name(ns))
		printable_add_cut(b, netns_name(ns), PLACE_MAX);
	else if (ns)
		buf_addf(b, "net:%06" PRIu32, ns->inode % 1000000);
	else
		buf_addf(b, "cookie:%" PRIu64, cookie);
}

static void cell_device(struct buf *b, const struct view *v, const struct device_row *row)
{
	if (*row->device->name)
		printable_add_cut(b, row->device->name, NAME_MAX_COLUMNS);
	else
		buf_addf(b, "%" PRIu32, row->device->id.ifindex);
	add_place(b, v, row);
}

static void cell_kind(struct buf *b, const struct view *v, const struct device_row *row)
{
	printable_add(b, *row->device->kind ? row->device->kind : "-");
}

/* A figure of ours, or the kernel's; in parentheses where they stand together. */
static void add_figure(struct buf *b, const struct view *v, const struct device_row *row,
		       const char *ours, const char *kernels)
{
	if (row->counted)
		buf_adds(b, ours);
	else if (row->device->has & DEVICE_HAS_KERNEL)
		buf_addf(b, v->kernel_only ? "%s" : "(%s)", kernels);
	else
		buf_addc(b, '-');
}

static void add_packets(struct buf *b, const struct view *v, const struct device_row *row,
			uint64_t ours, uint64_t kernels)
{
	char text[UNITS_TEXT_MAX], other[UNITS_TEXT_MAX];

	add_figure(b, v, row, units_count(ours, text), units_count(kernels, other));
}

static void add_bytes(struct buf *b, const struct view *v, const struct device_row *row,
		      uint64_t ours, uint64_t kernels)
{
	char text[UNITS_TEXT_MAX], other[UNITS_TEXT_MAX];

	add_figure(b, v, row, units_bytes(ours, text), units_bytes(kernels, other));
}

/* What the kernel counted since nslens does, and nslens did not. */
static uint64_t beside(const struct device_row *row, const struct device_counted *c)
{
	return row->counted ? c->unobserved : 0;
}

static void add_mark(struct buf *b, uint64_t n)
{
	char text[UNITS_TEXT_MAX];

	if (n)
		buf_addf(b, "+%s", units_count(n, text));
}

static void cell_rx_packets(struct buf *b, const struct view *v, const struct device_row *row)
{
	add_packets(b, v, row, row->rx.packets, row->device->kernel_rx.packets);
}

static void cell_rx_mark(struct buf *b, const struct view *v, const struct device_row *row)
{
	add_mark(b, beside(row, &row->rx));
}

static void cell_rx_bytes(struct buf *b, const struct view *v, const struct device_row *row)
{
	add_bytes(b, v, row, row->rx.bytes, row->device->kernel_rx.bytes);
}

static void cell_tx_packets(struct buf *b, const struct view *v, const struct device_row *row)
{
	add_packets(b, v, row, row->tx.packets, row->device->kernel_tx.packets);
}

static void cell_tx_mark(struct buf *b, const struct view *v, const struct device_row *row)
{
	add_mark(b, beside(row, &row->tx));
}

static void cell_tx_bytes(struct buf *b, const struct view *v, const struct device_row *row)
{
	add_bytes(b, v, row, row->tx.bytes, row->device->kernel_tx.bytes);
}

/* "tcx in", "xdp native waiting"; behind a comma if it isn't the cell's first. */
static void add_hook(struct buf *b, size_t begin, const char *where, const struct device_hook *h)
{
	if (b->len > begin)
		buf_adds(b, ", ");
	buf_adds(b, where);
	if (h->state != HOOK_ATTACHED)
		buf_addf(b, " %s", hook_state_names[h->state]);
}

static void add_tcx(struct buf *b, size_t begin, const struct device_hook *h, const char *ends)
{
	char where[32];

	snprintf(where, sizeof(where), "%s %s", h->mode ? h->mode : "tcx", ends);
	if (h->state != HOOK_NONE)
		add_hook(b, begin, where, h);
}

static void cell_hooks(struct buf *b, const struct view *v, const struct device_row *row)
{
	const struct device_hook *in = &row->hooks[POINT_TCX_INGRESS];
	const struct device_hook *eg = &row->hooks[POINT_TCX_EGRESS];
	const struct device_hook *xdp = &row->hooks[POINT_XDP];
	size_t begin = b->len;
	char where[32];

	if (in->state == eg->state) {
		add_tcx(b, begin, in, "in+eg");
	} else {
		add_tcx(b, begin, in, "in");
		add_tcx(b, begin, eg, "eg");
	}
	snprintf(where, sizeof(where), "xdp%s%s", xdp->mode ? " " : "", xdp->mode ? xdp->mode : "");
	if (xdp->state != HOOK_NONE)
		add_hook(b, begin, where, xdp);
	if (b->len == begin)
		buf_addc(b, '-');
}

static bool has_reason(const struct device_row *row)
{
	return row->coverage != COVERAGE_FULL && *row->why;
}

static void cell_coverage(struct buf *b, const struct view *v, const struct device_row *row)
{
	buf_adds(b, coverage_names[row->coverage]);
	if (!has_reason(row) || v->reason)
		return;
	buf_adds(b, ": ");
	printable_add(b, row->why);
}

/* ---- the table ---- */

static const struct column {
	const char *heading;
	bool right; /* a figure */
	bool close; /* belongs to the one before it: one space between them */
	void (*fill)(struct buf *b, const struct view *v, const struct device_row *row);
} columns[] = {
	{ "DEVICE", false, false, cell_device },
	{ "KIND", false, false, cell_kind },
	{ "RX PACKETS", true, false, cell_rx_packets },
	{ "", false, true, cell_rx_mark },
	{ "BYTES", true, false, cell_rx_bytes },
	{ "TX PACKETS", true, false, cell_tx_packets },
	{ "", false, true, cell_tx_mark },
	{ "BYTES", true, false, cell_tx_bytes },
	{ "HOOKS", false, false, cell_hooks },
	{ "COVERAGE", false, false, cell_coverage },
};

enum { N_COLUMNS = ARRAY_SIZE(columns) };

struct table {
	struct buf cells; /* one behind the other, each with its NUL */
	size_t widths[N_COLUMNS];
};

/* The cell that ends where the cells end: its NUL, and how wide its column must be. */
static void end_cell(struct table *t, unsigned int column, size_t begin)
{
	size_t len = t->cells.len - begin, width;

	width = len ? printable_width(t->cells.data + begin, len) : 0;
	if (width > t->widths[column])
		t->widths[column] = width;
	buf_addc(&t->cells, '\0');
}

static void fill(struct table *t, const struct view *v)
{
	for (unsigned int c = 0; c < N_COLUMNS; c++) {
		size_t begin = t->cells.len;

		buf_adds(&t->cells, columns[c].heading);
		end_cell(t, c, begin);
	}
	for (size_t i = 0; i < v->n; i++)
		for (unsigned int c = 0; c < N_COLUMNS; c++) {
			size_t begin = t->cells.len;

			columns[c].fill(&t->cells, v, v->rows[i]);
			end_cell(t, c, begin);
		}
}

static void print_cell(struct buf *out, const struct table *t, unsigned int c, const char *cell)
{
	size_t len = strlen(cell);
	int pad = (int)(t->widths[c] - printable_width(cell, len));

	if (!t->widths[c])
		return;
	if (c)
		buf_adds(out, columns[c].close ? " " : "  ");
	if (columns[c].right)
		buf_addf(out, "%*s", pad, "");
	buf_add(out, cell, len);
	if (!columns[c].right && c < N_COLUMNS - 1)
		buf_addf(out, "%*s", pad, "");
}

static void print(struct buf *out, const struct table *t)
{
	const char *cell = t->cells.data, *end = t->cells.data + t->cells.len;

	while (cell < end) {
		for (unsigned int c = 0; c < N_COLUMNS; c++, cell += strlen(cell) + 1)
			print_cell(out, t, c, cell);
		buf_addc(out, '\n');
	}
}

/* ---- behind the table ---- */

/* A row of several that are not covered for the same reason, if there is no other reason. */
static const struct device_row *shared_reason(const struct device_row *const *rows, size_t n)
{
	const struct device_row *first = NULL;
	size_t n_same = 0;

	for (size_t i = 0; i < n; i++) {
		if (!has_reason(rows[i]))
			continue;
		first = first ? first : rows[i];
		if (rows[i]->coverage != first->coverage || strcmp(rows[i]->why, first->why))
			return NULL;
		n_same++;
	}
	return n_same > 1 ? first : NULL;
}

static bool any_counted(const struct device_row *const *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i]->counted)
			return true;
	return false;
}

static void add_remarks(struct buf *out, const struct view *v)
{
	bool any_beside = false, any_kernel = false, any_missed = false;
	const char *mark = v->kernel_only ? "figures" : "(N)";

	for (size_t i = 0; i < v->n; i++) {
		const struct device_row *row = v->rows[i];

		any_beside |= beside(row, &row->rx) || beside(row, &row->tx);
		any_missed |= row->rx.missed || row->tx.missed;
		any_kernel |= !row->counted && (row->device->has & DEVICE_HAS_KERNEL);
	}
	if (any_beside)
		buf_adds(out, "+N: packets that the kernel counted and nslens did not see\n");
	if (any_missed)
		buf_adds(out,
			 "what passed before nslens counted is not in these figures: -o json\n");
	if (any_kernel)
		buf_addf(out, "%s: the kernel's own, nslens did not count\n", mark);
	if (!v->reason)
		return;
	buf_addf(out, "%s: ", coverage_names[v->reason->coverage]);
	printable_add(out, v->reason->why);
	buf_addc(out, '\n');
}

static void add_totals(struct buf *out, const struct view *v)
{
	size_t n_netns = 0, n_full = 0;
	char text[UNITS_TEXT_MAX];

	for (size_t i = 0; i < v->n; i++) {
		n_netns += !i || v->rows[i]->device->id.netns_cookie !=
					 v->rows[i - 1]->device->id.netns_cookie;
		n_full += v->rows[i]->coverage == COVERAGE_FULL;
	}
	buf_addf(out, "%s device%s in ", units_count(v->n, text), v->n == 1 ? "" : "s");
	buf_addf(out, "%s namespace%s, ", units_count(n_netns, text), n_netns == 1 ? "" : "s");
	buf_addf(out, "%s fully covered\n", units_count(n_full, text));
}

void device_text(struct buf *out, const struct wire_context *ctx,
		 const struct device_row *const *rows, size_t n)
{
	struct view v = {
		.ctx = ctx,
		.rows = rows,
		.n = n,
		.kernel_only = !any_counted(rows, n),
		.reason = shared_reason(rows, n),
	};
	struct table t = { 0 };

	fill(&t, &v);
	if (t.cells.failed) {
		out->failed = true;
	} else {
		print(out, &t);
		add_remarks(out, &v);
		add_totals(out, &v);
	}
	buf_fini(&t.cells);
}
