// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "agent/socket_list.h"
#include "cmd/command.h"
#include "cmd/option.h"
#include "discover/registry.h"
#include "identity/table.h"
#include "query/subject_socket.h"
#include "sys/pid_namespace.h"
#include "wire/socket_json.h"
#include "wire/socket_text.h"

enum { FLUSH_BYTES = 1 << 20 };

enum output { OUTPUT_TEXT, OUTPUT_JSON };

struct sockets_options {
	enum output output;
	bool no_args;
};

static const char *const outputs[] = { "text", "json", NULL };

static const struct option_row rows[] = {
	{
		.name = "output",
		.letter = 'o',
		.kind = OPTION_CHOICE,
		OPTION_AT(struct sockets_options, output),
		.choices = outputs,
		.fallback = "text",
		.help = "a table, or one object a line",
	},
	{
		.name = "no-args",
		.kind = OPTION_FLAG,
		OPTION_AT(struct sockets_options, no_args),
		.help = "don't read the arguments of processes",
	},
	{ 0 },
};

static const struct option_table options = {
	.command = &cmd_sockets,
	.rows = rows,
	.filter = &filter_subject_socket,
};

/* A reader that has gone away ends the list quietly. Returns an exit status, or -1 to go on. */
static int flush(struct buf *out)
{
	size_t n = out->failed ? 0 : fwrite(out->data ? out->data : "", 1, out->len, stdout);

	if (out->failed) {
		command_error("sockets", "out of memory");
		return EXIT_FAILED;
	}
	if (n < out->len || fflush(stdout)) {
		if (errno == EPIPE)
			return EXIT_DONE;
		command_error("sockets", "writing the list: %s", strerror(errno));
		return EXIT_FAILED;
	}
	buf_reset(out);
	return -1;
}

static void fill_context(struct wire_context *ctx)
{
	struct timespec real, boot;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	wire_context_init(ctx, host,
			  (uint64_t)(real.tv_sec - boot.tv_sec) * NS_PER_SEC +
				  (uint64_t)(real.tv_nsec - boot.tv_nsec));
}

static int print_json(const struct socket_list *l, const struct socket_row **chosen, size_t n)
{
	struct wire_context ctx;
	struct buf out = { 0 };
	int status = -1;

	fill_context(&ctx);
	for (size_t i = 0; i < n && status < 0; i++) {
		socket_json(&out, &ctx, l->ts_ns, chosen[i]);
		if (out.len > FLUSH_BYTES || out.failed)
			status = flush(&out);
	}
	if (status < 0)
		status = flush(&out);
	buf_fini(&out);
	return status;
}

static int print_text(const struct socket_row **chosen, size_t n)
{
	struct buf out = { 0 };
	int status;

	socket_text(&out, chosen, n);
	status = flush(&out);
	buf_fini(&out);
	return status;
}

/* What the list lacks is said behind it. */
static int report_gaps(const struct socket_list *l)
{
	if (!pid_namespace_is_first())
		command_error("sockets",
			      "owners outside of this pid namespace are not seen; run it "
			      "in the host's");
	if (!l->gaps.n_netns_failed)
		return EXIT_DONE;
	command_error("sockets", "sockets without owner are missing of %zu of %zu namespaces: %s",
		      l->gaps.n_netns_failed, l->gaps.n_netns, l->gaps.first.text);
	return EXIT_FAILED;
}

static int print_list(const struct socket_list *l, enum output output, const struct filter *f)
{
	const struct socket_row **chosen = calloc(l->sockets.n_rows + 1, sizeof(*chosen));
	size_t n = 0;
	int status;

	if (!chosen) {
		command_error("sockets", "out of memory");
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < l->sockets.n_rows; i++)
		if (filter_match(f, &l->sockets.rows[i]))
			chosen[n++] = &l->sockets.rows[i];
	status = output == OUTPUT_JSON ? print_json(l, chosen, n) : print_text(chosen, n);
	free(chosen);
	return status < 0 ? report_gaps(l) : status;
}

/* What the list is made with, for as long as it takes to print it. */
struct sources {
	struct netns_registry *registry;
	struct process_table *processes;
};

static int open_sources(struct sources *s, bool no_args, struct err *e)
{
	const struct netns_registry_options watch_nothing = { 0 };
	const struct process_table_options identity = { .no_args = no_args };
	int err = netns_registry_new(&s->registry, &watch_nothing, e);

	return err ? err : process_table_new(&identity, &s->processes, e);
}

static void close_sources(struct sources *s)
{
	netns_registry_free(s->registry);
	process_table_free(s->processes);
}

static int list_sockets(const struct sockets_options *o, const struct filter *f)
{
	struct sources s = { 0 };
	struct socket_list l;
	struct err e;
	int status = EXIT_FAILED;

	if (open_sources(&s, o->no_args, &e) || socket_list_read(&l, s.registry, s.processes, &e)) {
		command_error("sockets", "%s", e.text);
	} else {
		status = print_list(&l, o->output, f);
		socket_list_fini(&l);
	}
	close_sources(&s);
	return status;
}

static int run(int argc, char **argv)
{
	struct sockets_options o = { 0 };
	struct filter *f = NULL;
	int status = option_start(&options, argv, &o, &f);

	if (status >= 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	status = list_sockets(&o, f);
	filter_free(f);
	return status;
}

const struct command cmd_sockets = {
	.name = "sockets",
	.usage = "[OPTION...] [FILTER]",
	.summary = "every socket of every namespace with its process, those that listen first",
	.run = run,
};
