// SPDX-License-Identifier: Apache-2.0
#include "wire/socket_text.h"

#include <inttypes.h>

#include "base/base.h"

enum { N_COLUMNS = 8 };

/* "TRANSPORT" is the protocol, "raw/" before it: all of its packets. */
static const char *const headings[N_COLUMNS] = {
	"STATE", "TRANSPORT", "LOCAL", "PEER", "NETNS", "PROCESS", "USER", "QUEUE",
};

static void add_name(struct buf *b, const char *name)
{
	for (; *name; name++)
		buf_addc(b, (unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
}

static void add_bytes(struct buf *b, uint64_t n)
{
	static const char *const units[] = { "KiB", "MiB", "GiB" };
	double value = (double)n / 1024;
	size_t unit = 0;

	if (n < 1024) {
		buf_addf(b, "%" PRIu64 " B", n);
		return;
	}
	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	buf_addf(b, "%.1f %s", value, units[unit]);
}

static bool is_any(const struct ip_addr *ip)
{
	struct ip_addr any = { .family = ip->family };

	return ip_equal(ip, &any);
}

/* "*": any address of both families. */
static void add_address(struct buf *b, const struct socket_row *s, const struct ip_addr *ip)
{
	bool brackets = ip->family == IP_V6 && (s->has & SOCKET_HAS_PORT);
	char text[IP_TEXT_MAX];

	if (ip == &s->local && ip->family == IP_V6 && is_any(ip) && !(s->has & SOCKET_V6ONLY))
		buf_addc(b, '*');
	else
		buf_addf(b, brackets ? "[%s]" : "%s", ip_format(ip, text));
}

static void cell_state(struct buf *b, const struct socket_row *s)
{
	buf_adds(b, socket_state_names[s->state]);
}

static void cell_transport(struct buf *b, const struct socket_row *s)
{
	const char *name = socket_transport_name(s->protocol);

	if (s->type == SOCKET_RAW)
		buf_adds(b, "raw/");
	if (name)
		buf_adds(b, name);
	else
		buf_addf(b, "%u", s->protocol);
}

static void cell_local(struct buf *b, const struct socket_row *s)
{
	add_address(b, s, &s->local);
	if (s->ifindex && *s->device) {
		buf_addc(b, '%');
		add_name(b, s->device);
	} else if (s->ifindex) {
		buf_addf(b, "%%%" PRIu32, s->ifindex);
	}
	if (s->has & SOCKET_HAS_PORT)
		buf_addf(b, ":%u", s->local_port);
	else if (s->has & SOCKET_HAS_ICMP_ID)
		buf_addf(b, " id %u", s->icmp_id);
}

static void cell_peer(struct buf *b, const struct socket_row *s)
{
	if (!(s->has & SOCKET_HAS_PEER)) {
		buf_addc(b, '-');
		return;
	}
	add_address(b, s, &s->peer);
	if (s->has & SOCKET_HAS_PORT)
		buf_addf(b, ":%u", s->peer_port);
}

static void cell_netns(struct buf *b, const struct socket_row *s)
{
	if (s->netns_name)
		add_name(b, s->netns_name);
	else
		buf_addf(b, "net:[%" PRIu32 "]", s->netns_inode);
}

static void cell_process(struct buf *b, const struct socket_row *s)
{
	const struct process *p = s->owners[0].process;

	if (!s->n_owners) {
		buf_addf(b, "(%s)", s->unowned ? socket_unowned_names[s->unowned] : "unknown");
		return;
	}
	if (p && p->name)
		add_name(b, p->name);
	buf_addf(b, "[%" PRIu32 "]", s->owners[0].id.tgid);
	if (s->n_owners > 1)
		buf_addf(b, " +%" PRIu32, s->n_owners - 1);
}

static void cell_user(struct buf *b, const struct socket_row *s)
{
	if (!(s->has & SOCKET_HAS_UID))
		buf_addc(b, '-');
	else if (s->user)
		add_name(b, s->user);
	else
		buf_addf(b, "%" PRIu32, s->uid);
}

static void cell_queue(struct buf *b, const struct socket_row *s)
{
	if (s->state == SOCKET_LISTEN) {
		buf_addf(b, "%" PRIu32 " of %" PRIu32 " waiting", s->rx_queue, s->tx_queue);
		return;
	}
	if (s->rx_queue) {
		add_bytes(b, s->rx_queue);
		buf_adds(b, " unread");
	}
	if (s->rx_queue && s->tx_queue)
		buf_adds(b, ", ");
	if (s->tx_queue) {
		add_bytes(b, s->tx_queue);
		buf_adds(b, " unsent");
	}
	if (!s->rx_queue && !s->tx_queue)
		buf_addc(b, '-');
}

static void (*const cells[N_COLUMNS])(struct buf *, const struct socket_row *) = {
	cell_state, cell_transport, cell_local, cell_peer,
	cell_netns, cell_process,   cell_user,	cell_queue,
};

/* Characters, not bytes, of UTF-8. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* All cells one behind the other, each with its NUL. */
static void fill_cells(struct buf *b, const struct socket_row *const *rows, size_t n)
{
	for (int c = 0; c < N_COLUMNS; c++)
		buf_add(b, headings[c], strlen(headings[c]) + 1);
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < N_COLUMNS; c++) {
			cells[c](b, rows[i]);
			buf_addc(b, '\0');
		}
}

static void print_cells(struct buf *out, const struct buf *filled, const size_t *widths)
{
	const char *cell = filled->data, *end = filled->data + filled->len;

	for (int c = 0; cell < end; cell += strlen(cell) + 1, c = (c + 1) % N_COLUMNS) {
		buf_adds(out, cell);
		if (c == N_COLUMNS - 1)
			buf_addc(out, '\n');
		else
			buf_addf(out, "%*s", (int)(widths[c] - text_width(cell) + 2), "");
	}
}

void socket_text(struct buf *out, const struct socket_row *const *rows, size_t n)
{
	size_t widths[N_COLUMNS] = { 0 }, width;
	struct buf filled = { 0 };
	const char *cell;

	fill_cells(&filled, rows, n);
	if (filled.failed) {
		out->failed = true;
		buf_fini(&filled);
		return;
	}
	cell = filled.data;
	for (int c = 0; cell < filled.data + filled.len;
	     cell += strlen(cell) + 1, c = (c + 1) % N_COLUMNS) {
		width = text_width(cell);
		widths[c] = width > widths[c] ? width : widths[c];
	}
	print_cells(out, &filled, widths);
	buf_fini(&filled);
}
