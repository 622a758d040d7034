// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/detach.h"
#include "agent/protocol.h"
#include "cmd/command.h"
#include "cmd/option.h"
#include "sys/clock.h"
#include "sys/io.h"
#include "wire/jsonw.h"
#include "wire/printable.h"

/* `nslens detach`: take all that nslens left on this host off it. */

enum { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	int format;
	struct detach_options detach;
};

static const char *const format_names[] = { "text", "json", NULL };

static const struct option_row option_rows[] = {
	{ "output", 'o', OPTION_CHOICE, OPTION_AT(struct settings, format), .choices = format_names,
	  .fallback = "text", .help = "how to print" },
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, detach.state_dir), .value = "DIR",
	  .help = "where the agent has its socket and lock" },
	{ "pin-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, detach.pin_dir), .value = "DIR",
	  .help = "what to unpin; NSLENS_PIN_DIR, else /sys/fs/bpf/nslens" },
	{ 0 },
};

static const struct option_table options = { .command = &cmd_detach, .rows = option_rows };

struct report {
	struct buf out;
	int format;
	uint64_t n_removed;
};

/* --- text --- */

static void add_text(struct buf *out, const struct detached *d)
{
	static const char *const gone[N_DETACHED_KINDS] = {
		[DETACHED_AGENT] = "ended",    [DETACHED_FILE] = "removed",
		[DETACHED_LINK] = "detached",  [DETACHED_PROGRAM] = "unpinned",
		[DETACHED_MAP] = "unpinned",   [DETACHED_FOLDER] = "removed",
		[DETACHED_OTHER] = "unpinned",
	};
	char id[24] = "";

	if (d->id)
		snprintf(id, sizeof(id), "%llu", (unsigned long long)d->id);
	buf_addf(out, "%-8s  %-7s  %7s  ", gone[d->kind], detached_kind_names[d->kind], id);
	printable_add(out, d->path);
	buf_addc(out, '\n');
}

static void end_text(struct report *r, const struct detach_options *o, const char *no_pins)
{
	if (r->n_removed) {
		buf_adds(&r->out, "nothing of nslens is left\n");
		return;
	}
	buf_adds(&r->out, "nothing to detach: no agent runs with ");
	printable_add(&r->out, o->state_dir);
	buf_adds(&r->out, "; ");
	printable_add(&r->out, o->pin_dir);
	buf_addf(&r->out, ": %s\n", no_pins ? no_pins : "nothing is pinned");
}

/* --- JSON --- */

static void begin_json(struct jsonw *j, const char *action)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	jsonw_object_begin(j);
	jsonw_member_time(j, "@timestamp", clock_ns(CLOCK_REALTIME));
	jsonw_member_object(j, "event");
	jsonw_member_string(j, "kind", "event");
	jsonw_member_string(j, "dataset", "nslens.detach");
	jsonw_member_string(j, "action", action);
	jsonw_object_end(j);
	jsonw_member_object(j, "host");
	jsonw_member_string(j, "name", host);
	jsonw_object_end(j);
	jsonw_member_object(j, "detach");
}

static void end_json_line(struct jsonw *j)
{
	jsonw_object_end(j);
	jsonw_object_end(j);
	jsonw_line_end(j);
}

static void add_json(struct buf *out, const struct detached *d)
{
	struct jsonw j = jsonw_on(out);

	begin_json(&j, "removed");
	jsonw_member_string(&j, "kind", detached_kind_names[d->kind]);
	if (d->id)
		jsonw_member_u64(&j, d->kind == DETACHED_AGENT ? "pid" : "id", d->id);
	jsonw_member_string(&j, "path", d->path);
	end_json_line(&j);
}

static void end_json(struct report *r, const char *no_pins)
{
	struct jsonw j = jsonw_on(&r->out);

	begin_json(&j, "totals");
	jsonw_member_u64(&j, "removed", r->n_removed);
	jsonw_member_string(&j, "reason", r->n_removed ? NULL : no_pins);
	end_json_line(&j);
}

/* --- the command --- */

static void on_detached(void *arg, const struct detached *d)
{
	struct report *r = arg;

	r->n_removed++;
	if (r->format == FORMAT_JSON)
		add_json(&r->out, d);
	else
		add_text(&r->out, d);
}

static int detach(const struct settings *s, struct report *r, struct err *e)
{
	const char *no_pins = detach_no_pins(&s->detach);
	int err = detach_all(&s->detach, on_detached, r, e);

	if (err)
		return err;
	if (s->format == FORMAT_JSON)
		end_json(r, no_pins);
	else
		end_text(r, &s->detach, no_pins);
	return 0;
}

/* What is gone is told, also if not all could be removed. */
static int print(struct report *r, struct err *e)
{
	int err = r->out.failed ? -ENOMEM : write_whole(STDOUT_FILENO, r->out.data, r->out.len);

	buf_fini(&r->out);
	if (!err || err == -EPIPE)
		return 0;
	return err_set(e, -err, "cannot write the output: %s", strerror(-err));
}

static int run(int argc, char **argv)
{
	struct settings s = { 0 };
	struct report r = { 0 };
	struct err e = { 0 };
	int err = option_start(&options, argv, &s, NULL);

	if (err >= 0)
		return err;
	if (!s.detach.state_dir)
		s.detach.state_dir = agent_state_dir();
	if (!s.detach.pin_dir)
		s.detach.pin_dir = detach_pin_dir();
	r.format = s.format;
	signal(SIGPIPE, SIG_IGN);
	err = detach(&s, &r, &e);
	if (err)
		command_error("detach", "%s", e.text);
	if (print(&r, &e)) {
		command_error("detach", "%s", e.text);
		err = -EIO;
	}
	return err ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_detach = {
	.name = "detach",
	.usage = "[-o text|json] [--pin-dir DIR]",
	.summary = "end the agent, and take all that nslens left on this host off it",
	.run = run,
};
