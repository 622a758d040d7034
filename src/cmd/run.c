// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "agent/detach.h"
#include "agent/pipeline.h"
#include "agent/protocol.h"
#include "agent/server.h"
#include "cmd/command.h"
#include "cmd/device_options.h"
#include "cmd/loop.h"
#include "cmd/option.h"
#include "cmd/pipeline_options.h"
#include "sys/bpffs.h"
#include "sys/capability.h"
#include "sys/priority.h"

/* `nslens run`: the agent. */

struct settings {
	const char *state_dir;
	uint64_t for_ns;
	struct pipeline_options pipeline;
	struct device_options device;
	int pins_fd; /* has the folder of the pins to itself; 0: there is none */
};

static const struct option_row option_rows[] = {
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, state_dir), .value = "DIR",
	  .help = "where its socket and lock are; NSLENS_STATE_DIR, else /run/nslens" },
	{ "for", 0, OPTION_DURATION, OPTION_AT(struct settings, for_ns), .min = 1,
	  .help = "end after this time" },
	PIPELINE_OPTION_ROWS(struct settings, pipeline),
	DEVICE_OPTION_ROWS(struct settings, device),
	{ 0 },
};

static const struct option_table options = {
	.command = &cmd_run,
	.rows = option_rows,
	.explain = pipeline_options_explain,
};

static void say_ready(struct pipeline *p, const char *state_dir)
{
	struct pipeline_status status;
	struct buf gaps = { 0 };

	pipeline_tell_gaps(p, &gaps);
	command_warn_lines("run", gaps.data);
	buf_fini(&gaps);
	pipeline_get_status(p, &status);
	printf("nslens %s: watching %zu of %zu network namespaces, state in %s; "
	       "try 'nslens observe'\n",
	       NSLENS_VERSION, status.netns_covered, status.netns_total, state_dir);
	fflush(stdout);
	sd_notify(0, "READY=1");
}

/* What is on by default here, and what options imply. */
static void choose_probes(struct settings *s)
{
	for (size_t i = 0; probe_table[i].name; i++)
		if (probe_table[i].in_agent ||
		    (s->device.flows && !strcmp(probe_table[i].name, "devflow")))
			s->pipeline.with |= 1U << i;
}

/*
 * Where nothing can be pinned the agent works as well, for as long as it lives. Where another one
 * has its pins it must not.
 */
static int choose_pins(struct settings *s, struct err *e)
{
	const char *dir = s->device.pin_dir ? s->device.pin_dir : detach_pin_dir();
	struct err why;

	if (!probe_is_wanted(s->pipeline.with, s->pipeline.without, "device"))
		return 0;
	if (bpffs_prepare(dir, &why)) {
		command_error("run",
			      "nothing is pinned, so counting at devices ends with the agent: %s",
			      why.text);
		return 0;
	}
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_set(e, errno, "cannot make %s: %s; choose another with --pin-dir", dir,
			       strerror(errno));
	s->pins_fd = bpffs_lock(dir, &why);
	if (s->pins_fd < 0)
		return err_set(e, -s->pins_fd, "%s; give this one another --pin-dir", why.text);
	s->pipeline.device.pin_dir = dir;
	return 0;
}

/* What was asked for and can't come of it. */
static void warn_idle_options(const struct settings *s)
{
	const struct pipeline_options *p = &s->pipeline;

	if ((s->device.hook || s->device.xdp) && !probe_is_wanted(p->with, p->without, "device"))
		command_error("run", "--hook and --xdp do nothing without the probe device");
	if (s->device.flows && !probe_is_wanted(p->with, p->without, "devflow"))
		command_error("run", "--device-flows does nothing without the probe devflow");
}

struct reload {
	struct settings *s;
	struct pipeline *pipeline;
};

/* The filters' files are read again; what is wrong in them changes nothing. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct reload *r = arg;
	struct device_keeper *keeper = pipeline_devices(r->pipeline);
	struct err e;
	int err = device_options_read(&r->s->device, &e);

	device_options_apply(&r->s->device, &r->s->pipeline.device);
	if (!err && keeper)
		err = device_keeper_select(keeper, &r->s->pipeline.device, &e);
	if (err)
		command_error("run", "reload: %s; nothing has changed", e.text);
	else
		puts("nslens: filters of devices are read again");
	fflush(stdout);
	return 0;
}

/* Before there are threads: none of them is to get it. */
static void block_reload(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
}

static int watch_reload(sd_event *loop, struct reload *r, struct err *e)
{
	int err = sd_event_add_signal(loop, NULL, SIGHUP, on_reload, r);

	return err < 0 ? err_set(e, -err, "event loop: %s", strerror(-err)) : 0;
}

static int serve(struct settings *s, sd_event *loop, struct err *e)
{
	const char *state_dir = s->state_dir ? s->state_dir : agent_state_dir();
	struct server *server = NULL;
	static const unsigned int needed[] = { CAP_BPF, CAP_PERFMON };
	struct pipeline *p = NULL;
	struct reload reload = { .s = s };
	char missing[64];
	int err;

	if (capability_missing(needed, ARRAY_SIZE(needed), missing, sizeof(missing)))
		return err_set(e, EPERM, "this process lacks %s; run it as root", missing);
	warn_idle_options(s);
	priority_raise();
	/* The lock first: a second agent must not attach anything. */
	err = server_open(loop, state_dir, &server, e);
	if (!err)
		err = choose_pins(s, e);
	if (!err)
		err = pipeline_open(loop, &s->pipeline, &p, e);
	reload.pipeline = p;
	if (!err)
		err = watch_reload(loop, &reload, e);
	if (!err) {
		server_serve(server, p);
		say_ready(p, state_dir);
		err = sd_event_loop(loop);
		if (err < 0)
			err_set(e, -err, "event loop: %s", strerror(-err));
		sd_notify(0, "STOPPING=1");
		pipeline_flush(p);
	}
	server_end(server);
	pipeline_close(p);
	server_close(server); /* the next agent may come when nothing is attached any more */
	return err;
}

static int run(int argc, char **argv)
{
	struct settings s = { 0 };
	sd_event *loop = NULL;
	struct err e = { 0 };
	int err = option_start(&options, argv, &s, NULL);

	if (err >= 0)
		return err;
	if (device_options_read(&s.device, &e)) {
		command_error("run", "%s", e.text);
		return EXIT_USAGE;
	}
	device_options_apply(&s.device, &s.pipeline.device);
	choose_probes(&s);
	block_reload();
	err = loop_new(&loop, &e);
	if (!err)
		err = loop_end_after(loop, s.for_ns, &e);
	if (!err)
		err = serve(&s, loop, &e);
	sd_event_unref(loop);
	device_options_fini(&s.device);
	if (err < 0) {
		command_error("run", "%s", e.text);
		return EXIT_FAILED;
	}
	return err;
}

const struct command cmd_run = {
	.name = "run",
	.usage = "[--state-dir DIR]",
	.summary = "the agent: collects, and serves the other commands",
	.run = run,
};
