// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/device_list.h"
#include "agent/netns_cgroups.h"
#include "cmd/command.h"
#include "cmd/option.h"
#include "discover/devices.h"
#include "discover/registry.h"
#include "query/subject_device.h"
#include "sys/clock.h"
#include "sys/io.h"

/*
 * `nslens devices`: every device of every namespace; from the agent with its hooks and counts, or
 * without one what the kernel tells.
 */

enum { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	int format;
	bool gone;
	const char *state_dir, *netns, *cgroup;
};

static const char *const format_names[] = { "text", "json", NULL };

static const struct option_row option_rows[] = {
	{ "output", 'o', OPTION_CHOICE, OPTION_AT(struct settings, format), .choices = format_names,
	  .fallback = "text", .help = "how to print" },
	{ "netns", 0, OPTION_TEXT, OPTION_AT(struct settings, netns), .value = "NETNS",
	  .help = "those of this namespace: netns=NETNS" },
	{ "cgroup", 0, OPTION_TEXT, OPTION_AT(struct settings, cgroup), .value = "PATH",
	  .help = "of the namespaces that a process of it lives in: cgroup=PATH" },
	{ "gone", 0, OPTION_FLAG, OPTION_AT(struct settings, gone),
	  .help = "those that the agent saw go in the last minute, with their last figures" },
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, state_dir), .value = "DIR",
	  .help = "where the agent to ask has its socket" },
	{ 0 },
};

static const struct option_table options = {
	.command = &cmd_devices,
	.rows = option_rows,
	.filter = &filter_subject_device,
};

/* --- the filter --- */

/* And @field=@value, which must be a filter by itself, to @text. */
static int narrow(struct buf *text, const char *field, const char *value, struct err *e)
{
	char quote = strchr(value, '"') ? '\'' : '"';
	size_t begin = text->len ? text->len + strlen(" and ") : 0;
	struct filter *f = NULL;
	struct err why;
	int err;

	buf_addf(text, "%s%s=%c%s%c", begin ? " and " : "", field, quote, value, quote);
	if (text->failed)
		return err_set(e, ENOMEM, "out of memory");
	err = filter_compile(text->data + begin, &filter_subject_device, &f, &why);
	filter_free(f);
	return err ? err_set(e, -err, "--%s: %s", field, why.text) : 0;
}

/* The words and the options as one filter: its text to @text, and compiled. */
static int join_filter(const struct settings *s, const struct buf *words, struct buf *text,
		       struct filter **ret, struct err *e)
{
	int err = 0;

	if (words->len)
		buf_addf(text, "(%s)", words->data);
	if (s->netns)
		err = narrow(text, "netns", s->netns, e);
	if (!err && s->cgroup)
		err = narrow(text, "cgroup", s->cgroup, e);
	return err ? err : filter_compile(text->data, &filter_subject_device, ret, e);
}

/* --- from the agent --- */

static int list_agent(const struct settings *s, char *filter, struct err *e)
{
	struct request request = { .version = NSLENS_VERSION, .filter = filter };
	struct buf warnings = { 0 };
	int fd, err;

	snprintf(request.command, sizeof(request.command), "%s",
		 s->gone ? "devices-gone" : "devices");
	snprintf(request.output, sizeof(request.output), "%s", format_names[s->format]);
	err = client_open(s->state_dir ? s->state_dir : agent_state_dir(), &request, &fd, &warnings,
			  e);
	if (!err)
		command_warn_lines("devices", warnings.data);
	buf_fini(&warnings);
	if (err)
		return err;
	err = client_copy(fd, STDOUT_FILENO, 0, e);
	close(fd);
	return err == -EPIPE ? 0 : err == -ENOENT ? -EIO : err;
}

/* --- in this process --- */

/* What the list is made of. */
struct sources {
	struct netns_registry *registry;
	struct process_table *processes; /* for the paths of cgroups; NULL: nobody asks */
	struct netns_cgroups cgroups;
	struct devices *devices;
	struct device_row *rows;
	size_t n_rows;
};

static int open_sources(struct sources *s, struct err *e)
{
	const struct netns_registry_options watch_nothing = { 0 };
	int err = netns_registry_new(&s->registry, &watch_nothing, e);

	if (!err)
		err = devices_new(&s->devices, s->registry, NULL, e);
	if (!err)
		err = devices_refresh(s->devices, e);
	return err ? err : device_list_rows(s->devices, s->registry, &s->rows, &s->n_rows, e);
}

static int look_at_cgroups(struct sources *s, struct err *e)
{
	const struct process_table_options no_args = { .no_args = true };
	bool changed;

	return process_table_new(&no_args, &s->processes, e)
		       ?: netns_cgroups_look(&s->cgroups, s->registry, s->processes, &changed, e);
}

static void close_sources(struct sources *s)
{
	free(s->rows);
	devices_free(s->devices);
	netns_cgroups_fini(&s->cgroups);
	process_table_free(s->processes);
	netns_registry_free(s->registry);
}

static void say_uncovered(struct sources *s)
{
	for (size_t i = 0; i < s->n_rows; i++)
		snprintf(s->rows[i].why, sizeof(s->rows[i].why),
			 "no agent runs, and this command attaches nothing");
}

/* What the list lacks is said behind it. */
static int report_gaps(const struct sources *s, struct err *e)
{
	struct devices_health health;

	devices_get_health(s->devices, &health);
	if (!health.n_netns_failed)
		return 0;
	return err_set(e, EIO, "the devices of %zu namespace%s are missing: %s",
		       health.n_netns_failed, health.n_netns_failed == 1 ? "" : "s",
		       health.first_failure.text);
}

static int list_here(const struct settings *s, const struct filter *f, struct err *e)
{
	struct sources sources = { 0 };
	struct wire_context context;
	struct device_list_options o = { .context = &context,
					 .json = s->format == FORMAT_JSON,
					 .filter = f };
	struct buf out = { 0 };
	int err = open_sources(&sources, e);

	if (!err && device_list_asks_cgroups(f)) {
		err = look_at_cgroups(&sources, e);
		o.cgroups = &sources.cgroups;
	}
	if (!err) {
		device_list_context(&context, sources.registry);
		o.ts_ns = clock_ns(CLOCK_REALTIME);
		say_uncovered(&sources);
		err = device_list_print(&out, &o, sources.rows, sources.n_rows, e);
	}
	if (!err) {
		err = write_whole(STDOUT_FILENO, out.data, out.len);
		if (err && err != -EPIPE)
			err_set(e, -err, "cannot write the list: %s", strerror(-err));
		else
			err = err ? 0 : report_gaps(&sources, e);
	}
	buf_fini(&out);
	close_sources(&sources);
	return err;
}

/* --- the command --- */

static int list(const struct settings *s, struct buf *filter, const struct filter *f)
{
	struct err e = { 0 };
	int err = list_agent(s, filter->data, &e);

	if (err == -ENOENT && s->gone)
		err = err_set(&e, ENOENT, "no agent runs: nobody saw devices go; see 'nslens run'");
	else if (err == -ENOENT)
		err = list_here(s, f, &e);
	if (err)
		command_error("devices", "%s", e.text);
	return err ? EXIT_FAILED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct settings s = { 0 };
	struct filter *of_words = NULL, *f = NULL;
	struct buf words = { 0 }, text = { 0 };
	struct err e;
	int status = option_start_words(&options, argv, &s, &of_words, &words);

	filter_free(of_words);
	if (status < 0) {
		signal(SIGPIPE, SIG_IGN);
		if (join_filter(&s, &words, &text, &f, &e)) {
			command_error("devices", "%s", e.text);
			status = EXIT_USAGE;
		} else {
			status = list(&s, &text, f);
		}
	}
	filter_free(f);
	buf_fini(&words);
	buf_fini(&text);
	return status;
}

const struct command cmd_devices = {
	.name = "devices",
	.usage = "[-o text|json] [--netns NETNS] [--cgroup PATH] [FILTER]",
	.summary =
		"every device of every namespace: hooks, what was counted, the kernel's beside it",
	.run = run,
};
