// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/pipeline.h"
#include "agent/protocol.h"
#include "agent/stream.h"
#include "cmd/command.h"
#include "cmd/loop.h"
#include "cmd/option.h"
#include "cmd/pipeline_options.h"
#include "query/subject_flow.h"
#include "sys/io.h"
#include "sys/priority.h"

/* `nslens observe`: conversations as they happen, from the agent, or without one by itself. */

enum { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	int format;
	uint64_t for_ns;
	struct pipeline_options pipeline;
	const char *state_dir;
};

static const char *const format_names[] = { "text", "json", NULL };

static const struct option_row option_rows[] = {
	{ "output", 'o', OPTION_CHOICE, OPTION_AT(struct settings, format), .choices = format_names,
	  .fallback = "text", .help = "how to print" },
	{ "for", 0, OPTION_DURATION, OPTION_AT(struct settings, for_ns), .min = 1,
	  .help = "end after this time" },
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, state_dir), .value = "DIR",
	  .help = "where the agent to ask has its socket" },
	PIPELINE_OPTION_ROWS(struct settings, pipeline),
	{ 0 },
};

static const struct option_table options = {
	.command = &cmd_observe,
	.rows = option_rows,
	.filter = &filter_subject_flow,
	.explain = pipeline_options_explain,
};

/* --- in this process --- */

struct output {
	sd_event *loop;
	int err; /* of the first write that failed; nothing is written after that */
};

/* What stdout does not take ends the loop: nobody reads any more, or the disk is full. */
static void print_output(void *arg, struct buf *out)
{
	struct output *o = arg;

	if (!o->err)
		o->err = out->failed ? -ENOMEM : write_whole(STDOUT_FILENO, out->data, out->len);
	buf_reset(out);
	if (o->err)
		sd_event_exit(o->loop, EXIT_DONE);
}

/* What can't be seen is said, but is no reason not to show the rest. */
static void warn_gaps(const struct pipeline *p)
{
	struct buf gaps = { 0 };

	pipeline_tell_gaps(p, &gaps);
	command_warn_lines("observe", gaps.data);
	buf_fini(&gaps);
}

static int observe_loop(sd_event *loop, struct pipeline *p, const struct stream_options *options_,
			struct err *e)
{
	struct output output = { .loop = loop };
	struct stream *stream;
	int status = stream_new(p, options_, print_output, &output, &stream, e);

	if (status)
		return status;
	warn_gaps(p);
	status = sd_event_loop(loop);
	if (status >= 0) {
		pipeline_flush(p);
		stream_end(stream);
	}
	stream_free(stream);
	if (status < 0)
		return err_set(e, -status, "event loop: %s", strerror(-status));
	if (output.err && output.err != -EPIPE)
		return err_set(e, -output.err, "cannot write the output: %s",
			       strerror(-output.err));
	return status;
}

static int observe_here(const struct settings *s, const struct stream_options *stream,
			struct err *e)
{
	struct pipeline *p = NULL;
	sd_event *loop = NULL;
	int err = loop_new(&loop, e);

	if (!err)
		err = pipeline_open(loop, &s->pipeline, &p, e);
	if (!err) /* loading is no part of the time */
		err = loop_end_after(loop, s->for_ns, e);
	if (!err)
		err = observe_loop(loop, p, stream, e);
	pipeline_close(p);
	sd_event_unref(loop);
	return err;
}

/* --- from the agent --- */

/* How to collect was settled when the agent began: what is asked for here and can't be is said. */
static void warn_settled(const struct settings *s)
{
	char *none[] = { (char *)cmd_observe.name, NULL };
	struct settings usual = { 0 };
	struct buf words = { 0 };
	struct err e;

	if (!option_parse(&options, none, &usual, &words, &e) &&
	    (s->pipeline.with || s->pipeline.without ||
	     s->pipeline.dgram_idle_ns != usual.pipeline.dgram_idle_ns ||
	     s->pipeline.ring_bytes != usual.pipeline.ring_bytes ||
	     s->pipeline.max_sockets != usual.pipeline.max_sockets))
		command_error("observe", "an agent collects, by the options that it was started "
					 "with: --with, --without, --udp-idle, --ring-size "
					 "and --max-sockets do nothing here");
	buf_fini(&words);
}

static int observe_agent(const struct settings *s, const struct text_options *text, char *filter,
			 struct err *e)
{
	struct request request = { .version = NSLENS_VERSION,
				   .command = "observe",
				   .filter = filter,
				   .columns = text->columns,
				   .colour = text->colour,
				   .no_args = s->pipeline.no_args };
	struct buf warnings = { 0 };
	int fd, err;

	snprintf(request.output, sizeof(request.output), "%s", format_names[s->format]);
	err = client_open(s->state_dir ? s->state_dir : agent_state_dir(), &request, &fd, &warnings,
			  e);
	if (!err)
		command_warn_lines("observe", warnings.data);
	buf_fini(&warnings);
	if (err)
		return err;
	warn_settled(s);
	err = client_copy(fd, STDOUT_FILENO, s->for_ns, e);
	close(fd);
	return err == -EPIPE ? 0 : err == -ENOENT ? -EIO : err;
}

/* --- the command --- */

static struct text_options terminal_options(void)
{
	struct text_options text = { 0 };
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return text;
	text.colour = !getenv("NO_COLOR");
	text.columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? 80 : size.ws_col;
	return text;
}

static int run(int argc, char **argv)
{
	struct settings s = { 0 };
	struct stream_options stream = { .text = terminal_options() };
	struct filter *filter = NULL;
	struct buf words = { 0 };
	struct err e = { 0 };
	int err = option_start_words(&options, argv, &s, &filter, &words);

	if (err >= 0)
		return err;
	stream.sink = sink_find(format_names[s.format]);
	stream.filter = filter;
	priority_raise();
	err = observe_agent(&s, &stream.text, words.data, &e);
	if (err == -ENOENT)
		err = observe_here(&s, &stream, &e);
	filter_free(filter);
	buf_fini(&words);
	if (err < 0) {
		command_error("observe", "%s", e.text);
		return EXIT_FAILED;
	}
	return err;
}

const struct command cmd_observe = {
	.name = "observe",
	.usage = "[FILTER]",
	.summary = "conversations as they happen, with the process at both ends",
	.run = run,
};
