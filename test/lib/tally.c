// SPDX-License-Identifier: Apache-2.0
/*
 * tally LEDGERS: were all conversations of a storm reported, at both ends, with all that belongs
 * to them? Reads what `nslens observe -o json` prints on its standard input, says {"event":"ready"}
 * at the first line, and at the end holds it against what `storm converse` wrote: the file LEDGERS
 * has the paths of that, a line each. Prints a line for each of them, and one about losses and
 * totals.
 *
 * It only looks for the members that it needs, in the order in which they stand: that the lines are
 * whole is what tests see that read fewer of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	READ_BYTES = 1 << 20,
	LINE_MAX_BYTES = 1 << 16,
	HEAD_BYTES = 400, /* in which "action" stands */
	FIRST_PORT = 10000,
	REASONS_MAX = 16,
	REASON_LEN = 32,
	EXPLAIN_MAX = 8,
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "tally: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- what was reported --- */

/* The close of a conversation. What the line doesn't have is 0. */
struct report {
	uint64_t id;
	uint64_t netns[2]; /* source, destination */
	uint32_t pid[2];
	uint16_t port; /* the source's */
	bool exe[2];   /* it is the storm's */
	bool seen[2];
	bool counts[2]; /* says how much was sent */
};

static struct {
	struct report *reports;
	size_t n, room;
	uint64_t n_lines, n_opens, n_ends, lost, conversations; /* ends: that opened */
	struct {
		char reason[REASON_LEN];
		uint64_t n;
	} losses[REASONS_MAX];
	size_t n_losses;
} told;

static char storm_path[PATH_MAX];

/* Behind the next @what in [@at, @end), or NULL. */
static const char *behind(const char *at, const char *end, const char *what)
{
	size_t len = strlen(what);
	const char *found = at ? memmem(at, (size_t)(end - at), what, len) : NULL;

	return found ? found + len : NULL;
}

static uint64_t number_behind(const char *at, const char *end, const char *what)
{
	at = behind(at, end, what);
	return at ? strtoull(at, NULL, 10) : 0;
}

static void read_side(struct report *r, int side, const char *at, const char *end)
{
	const char *process = behind(at, end, "\"process\":{"), *exe;

	r->netns[side] = number_behind(behind(at, end, "\"netns\":{"), end, "\"cookie\":");
	r->counts[side] = behind(at, process ?: end, "\"bytes\":");
	if (!process)
		return;
	r->pid[side] = (uint32_t)number_behind(process, end, "\"pid\":");
	exe = behind(process, end, "\"executable\":\"");
	r->exe[side] = exe && !strncmp(exe, storm_path, strlen(storm_path)) &&
		       exe[strlen(storm_path)] == '"';
}

static void take_close(const char *line, const char *end)
{
	const char *source = behind(line, end, "\"source\":{");
	const char *destination = behind(source, end, ",\"destination\":{");
	const char *seen = behind(line, end, "\"seen_by\":[");
	struct report r = { 0 };

	if (!source || !destination || !seen)
		return;
	r.id = strtoull(behind(line, end, "\"id\":\"") ?: "", NULL, 16);
	r.port = (uint16_t)number_behind(source, destination, "\"port\":");
	r.seen[0] = memmem(seen, 24, "\"source\"", 8);
	r.seen[1] = memmem(seen, 24, "\"destination\"", 13);
	read_side(&r, 0, source, destination);
	read_side(&r, 1, destination, end);
	if (told.n == told.room) {
		told.room = told.room ? 2 * told.room : 1 << 16;
		told.reports = realloc(told.reports, told.room * sizeof(r));
		if (!told.reports)
			fail("memory");
	}
	told.reports[told.n++] = r;
}

static void take_open(const char *line, const char *end)
{
	const char *seen = behind(line, end, "\"seen_by\":[");

	told.n_opens++;
	if (seen)
		told.n_ends += 1 + (seen[strcspn(seen, ",]")] == ',');
}

static void take_lost(const char *line, const char *end)
{
	uint64_t n = number_behind(line, end, "\"records\":");
	const char *reason = behind(line, end, "\"reason\":\"");
	size_t i, len = reason ? strcspn(reason, "\"") : 0;

	told.lost += n;
	for (i = 0; i < told.n_losses; i++)
		if (!strncmp(told.losses[i].reason, reason, len) && !told.losses[i].reason[len])
			break;
	if (i == REASONS_MAX || len >= REASON_LEN)
		return;
	if (i == told.n_losses)
		memcpy(told.losses[told.n_losses++].reason, reason, len);
	told.losses[i].n += n;
}

static void take_line(const char *line, const char *end)
{
	const char *head = end - line > HEAD_BYTES ? line + HEAD_BYTES : end;

	if (!told.n_lines++) {
		puts("{\"event\":\"ready\"}");
		fflush(stdout);
	}
	if (behind(line, head, "\"action\":\"open\""))
		take_open(line, end);
	else if (behind(line, head, "\"action\":\"close\""))
		take_close(line, end);
	else if (behind(line, head, "\"nslens.lost\""))
		take_lost(line, end);
	else if (behind(line, head, "\"nslens.totals\""))
		told.conversations = number_behind(line, end, "\"conversations\":");
}

/* All whole lines of @len bytes at @data; returns how many bytes those are. */
static size_t take_lines(const char *data, size_t len)
{
	const char *at = data, *end = data + len, *newline;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		take_line(at, newline);
		at = newline + 1;
	}
	return (size_t)(at - data);
}

static void take_all(void)
{
	static char data[READ_BYTES + LINE_MAX_BYTES + 1];
	size_t len = 0, taken;
	ssize_t n;

	fcntl(STDIN_FILENO, F_SETPIPE_SZ, READ_BYTES);
	while ((n = read(STDIN_FILENO, data + len, READ_BYTES))) {
		if (n < 0)
			fail("read");
		len += (size_t)n;
		data[len] = '\0';
		taken = take_lines(data, len);
		len -= taken;
		if (len > LINE_MAX_BYTES) {
			errno = EMSGSIZE;
			fail("a line");
		}
		memmove(data, data + taken, len);
	}
}

/* --- what was done --- */

struct verdict {
	uint64_t conversations, whole, missing, twice;
	uint64_t apart; /* of those that are whole: two lines, one of each end */
	/* Reported, but not whole: what lacks first. */
	uint64_t one_end, wrong_pid, wrong_netns, wrong_executable, uncounted;
};

static int report_compare(const void *a, const void *b)
{
	const struct report *x = a, *y = b;
	uint64_t nx = x->netns[0] ?: x->netns[1], ny = y->netns[0] ?: y->netns[1];

	if (nx != ny)
		return nx < ny ? -1 : 1;
	return x->port - y->port;
}

/* The first report of conversation @i of a namespace, or NULL. */
static struct report *report_find(uint64_t netns, int i)
{
	struct report key = { .netns = { netns }, .port = (uint16_t)(FIRST_PORT + i) };
	struct report *r = bsearch(&key, told.reports, told.n, sizeof(key), report_compare);

	while (r && r > told.reports && !report_compare(r - 1, &key))
		r--;
	return r;
}

/* @b is the line of the other end: @a gets what it lacks. */
static bool report_join(struct report *a, const struct report *b)
{
	for (int side = 0; side < 2; side++) {
		if (a->id != b->id || a->seen[side] == b->seen[side])
			return false;
		if (a->seen[side])
			continue;
		a->netns[side] = b->netns[side];
		a->pid[side] = b->pid[side];
		a->exe[side] = b->exe[side];
		a->counts[side] = b->counts[side];
	}
	a->seen[0] = a->seen[1] = true;
	return true;
}

/* A few of those that are not whole, for who looks for the reason. */
static void explain(const struct report *r, uint64_t netns, int i, const uint32_t pid[2])
{
	static int n_explained;

	if (n_explained++ >= EXPLAIN_MAX)
		return;
	fprintf(stderr, "tally: from port %d in namespace %lu, pids %u and %u: ", FIRST_PORT + i,
		netns, pid[0], pid[1]);
	if (!r)
		fprintf(stderr, "not reported\n");
	else
		fprintf(stderr, "reported by %s%s in namespaces %lu and %lu, pids %u and %u\n",
			r->seen[0] ? "source " : "", r->seen[1] ? "destination" : "", r->netns[0],
			r->netns[1], r->pid[0], r->pid[1]);
}

static void judge(struct verdict *v, uint64_t netns, int i, const uint32_t pid[2])
{
	struct report *r = report_find(netns, i), *end = told.reports + told.n,
		      *next = r ? r + 1 : end;
	uint64_t n_whole = v->whole;

	v->conversations++;
	if (next < end && !report_compare(r, next) && report_join(r, next)) {
		v->apart++;
		next++;
	}
	if (!r)
		v->missing++;
	else if (next < end && !report_compare(r, next))
		v->twice++;
	else if (!r->seen[0] || !r->seen[1])
		v->one_end++;
	else if (r->pid[0] != pid[0] || r->pid[1] != pid[1])
		v->wrong_pid++;
	else if (r->netns[0] != netns || r->netns[1] != netns)
		v->wrong_netns++;
	else if (!r->exe[0] || !r->exe[1])
		v->wrong_executable++;
	else if (!r->counts[0] || !r->counts[1])
		v->uncounted++;
	else
		v->whole++;
	if (v->whole == n_whole)
		explain(r, netns, i, pid);
}

static void judge_ledger(const char *path)
{
	struct verdict v = { 0 };
	char line[LINE_MAX];
	FILE *f = fopen(path, "re");

	if (!f)
		fail(path);
	while (fgets(line, sizeof(line), f)) {
		const char *end = line + strlen(line);
		uint64_t netns = number_behind(line, end, "\"netns\":");
		int n = (int)number_behind(line, end, "\"conversations\":");
		uint32_t pid[2] = { (uint32_t)number_behind(line, end, "\"client\":"),
				    (uint32_t)number_behind(line, end, "\"server\":") };

		for (int i = 0; i < n; i++)
			judge(&v, netns, i, pid);
	}
	fclose(f);
	printf("{\"event\":\"ledger\",\"conversations\":%lu,\"whole\":%lu,\"missing\":%lu,"
	       "\"twice\":%lu,\"apart\":%lu,\"one_end\":%lu,\"wrong_pid\":%lu,\"wrong_netns\":%lu,"
	       "\"wrong_executable\":%lu,\"uncounted\":%lu}\n",
	       v.conversations, v.whole, v.missing, v.twice, v.apart, v.one_end, v.wrong_pid,
	       v.wrong_netns, v.wrong_executable, v.uncounted);
}

static void judge_ledgers(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[PATH_MAX + 1];

	if (!f)
		fail(path);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		judge_ledger(line);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", storm_path, sizeof(storm_path) - 8);

	if (n < 0 || argc != 2)
		fail("usage: tally LEDGERS");
	/* It stands beside. */
	snprintf(strrchr(storm_path, '/') + 1, 8, "storm");
	take_all();
	qsort(told.reports, told.n, sizeof(*told.reports), report_compare);
	judge_ledgers(argv[1]);
	printf("{\"event\":\"end\",\"lines\":%lu,\"opens\":%lu,\"ends\":%lu,\"closes\":%zu,"
	       "\"conversations\":%lu,\"lost\":%lu,\"losses\":{",
	       told.n_lines, told.n_opens, told.n_ends, told.n, told.conversations, told.lost);
	for (size_t i = 0; i < told.n_losses; i++)
		printf("%s\"%s\":%lu", i ? "," : "", told.losses[i].reason, told.losses[i].n);
	puts("}}");
	return 0;
}
