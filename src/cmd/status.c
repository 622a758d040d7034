// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "agent/client.h"
#include "agent/pipeline.h"
#include "agent/status.h"
#include "cmd/command.h"
#include "cmd/loop.h"
#include "cmd/option.h"
#include "sys/clock.h"
#include "sys/io.h"

/* `nslens status`: the agent's health; without an agent, what this host would give one. */

enum { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	int format;
	const char *state_dir;
	uint64_t measure_ns;
};

static const char *const format_names[] = { "text", "json", NULL };

static const struct option_row option_rows[] = {
	{ "output", 'o', OPTION_CHOICE, OPTION_AT(struct settings, format), .choices = format_names,
	  .fallback = "text", .help = "how to print" },
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, state_dir), .value = "DIR",
	  .help = "where the agent to ask has its socket" },
	{ "measure", 0, OPTION_DURATION, OPTION_AT(struct settings, measure_ns), .min = 1,
	  .help = "let the kernel keep statistics of BPF programs for so long first" },
	{ 0 },
};

static const struct option_table options = { .command = &cmd_status, .rows = option_rows };

/* The kernel counts runs and their time only while somebody asks for it; its figures stay. */
static int measure_begin(const struct settings *s, int *ret_fd, struct err *e)
{
	*ret_fd = s->measure_ns ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1;
	if (s->measure_ns && *ret_fd < 0)
		return err_set(e, errno, "--measure: the kernel keeps no BPF statistics: %s%s",
			       strerror(errno), errno == EPERM ? "; run it as root" : "");
	return 0;
}

static void measure_wait(const struct settings *s)
{
	struct timespec t = { .tv_sec = (time_t)(s->measure_ns / NS_PER_SEC),
			      .tv_nsec = (long)(s->measure_ns % NS_PER_SEC) };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static int status_agent(const struct settings *s, struct err *e)
{
	const char *state_dir = s->state_dir ? s->state_dir : agent_state_dir();
	struct request request = { .version = NSLENS_VERSION, .command = "status" };
	int fd, err;

	snprintf(request.output, sizeof(request.output), "%s", format_names[s->format]);
	if (s->measure_ns && client_agent_runs(state_dir))
		measure_wait(s);
	err = client_open(state_dir, &request, &fd, NULL, e);
	if (err)
		return err;
	err = client_copy(fd, STDOUT_FILENO, 0, e);
	close(fd);
	return err == -EPIPE ? 0 : err == -ENOENT ? -EIO : err;
}

/* The same with an agent of our own: it works meanwhile. */
static int measure_loop(const struct settings *s, sd_event *loop, struct err *e)
{
	int err = loop_end_after(loop, s->measure_ns, e);

	if (err)
		return err;
	err = sd_event_loop(loop);
	return err < 0 ? err_set(e, -err, "event loop: %s", strerror(-err)) : 0;
}

static int status_here(const struct settings *s, struct err *e)
{
	struct pipeline_options none = { 0 };
	struct agent_status status;
	struct pipeline *p = NULL;
	sd_event *loop = NULL;
	struct buf out = { 0 };
	int err = loop_new(&loop, e);

	if (!err)
		err = pipeline_open(loop, &none, &p, e);
	if (!err && s->measure_ns)
		err = measure_loop(s, loop, e);
	if (!err) {
		status_fill(&status, p);
		if (s->format == FORMAT_JSON)
			status_json(&out, &status);
		else
			status_text(&out, &status);
		status_fini(&status);
		err = write_whole(STDOUT_FILENO, out.data, out.len);
		if (err == -EPIPE)
			err = 0;
		else if (err)
			err_set(e, -err, "cannot write the output: %s", strerror(-err));
		if (!err && s->format == FORMAT_TEXT)
			fputs("nslens status: no agent runs; these are the figures of one that "
			      "started just now and ends here\n",
			      stderr);
	}
	buf_fini(&out);
	pipeline_close(p);
	sd_event_unref(loop);
	return err;
}

static int run(int argc, char **argv)
{
	struct settings s = { 0 };
	struct err e = { 0 };
	int err = option_start(&options, argv, &s, NULL), stats_fd;

	if (err >= 0)
		return err;
	err = measure_begin(&s, &stats_fd, &e);
	if (!err)
		err = status_agent(&s, &e);
	if (err == -ENOENT)
		err = status_here(&s, &e);
	if (stats_fd >= 0)
		close(stats_fd);
	if (err) {
		command_error("status", "%s", e.text);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

const struct command cmd_status = {
	.name = "status",
	.usage = "[-o text|json] [--measure DURATION]",
	.summary = "nslens's own health: cpu, memory, losses, probes",
	.run = run,
};
