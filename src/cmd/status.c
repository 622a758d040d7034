// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/pipeline.h"
#include "agent/status.h"
#include "cmd/command.h"
#include "cmd/loop.h"
#include "cmd/option.h"
#include "sys/io.h"

/* `nslens status`: the agent's health; without an agent, what this host would give one. */

enum { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	int format;
	const char *state_dir;
};

static const char *const format_names[] = { "text", "json", NULL };

static const struct option_row option_rows[] = {
	{ "output", 'o', OPTION_CHOICE, OPTION_AT(struct settings, format), .choices = format_names,
	  .fallback = "text", .help = "how to print" },
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, state_dir), .value = "DIR",
	  .help = "where the agent to ask has its socket" },
	{ 0 },
};

static const struct option_table options = { .command = &cmd_status, .rows = option_rows };

static int status_agent(const struct settings *s, struct err *e)
{
	struct request request = { .version = NSLENS_VERSION, .command = "status" };
	int fd, err;

	snprintf(request.output, sizeof(request.output), "%s", format_names[s->format]);
	err = client_open(s->state_dir ? s->state_dir : agent_state_dir(), &request, &fd, NULL, e);
	if (err)
		return err;
	err = client_copy(fd, STDOUT_FILENO, 0, e);
	close(fd);
	return err == -EPIPE ? 0 : err == -ENOENT ? -EIO : err;
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
	if (!err) {
		status_fill(&status, p);
		if (s->format == FORMAT_JSON)
			status_json(&out, &status);
		else
			status_text(&out, &status);
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
	int err = option_start(&options, argv, &s, NULL);

	if (err >= 0)
		return err;
	err = status_agent(&s, &e);
	if (err == -ENOENT)
		err = status_here(&s, &e);
	if (err) {
		command_error("status", "%s", e.text);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

const struct command cmd_status = {
	.name = "status",
	.usage = "[-o text|json]",
	.summary = "nslens's own health: cpu, memory, losses, probes",
	.run = run,
};
