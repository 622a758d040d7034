// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "agent/client.h"
#include "base/buf.h"
#include "cmd/command.h"
#include "cmd/loop.h"
#include "cmd/option.h"
#include "discover/registry.h"
#include "query/filter.h"
#include "wire/jsonw.h"
#include "wire/timestamp.h"

/*
 * `nslens namespaces`: the network namespaces of the host, and with --watch how they come and go.
 */

enum { FORMAT_TEXT, FORMAT_JSON };

struct settings {
	int format;
	bool watch;
	uint64_t for_ns;
	const char *state_dir;
};

struct namespaces {
	struct settings settings;
	struct filter *filter;
	struct netns_registry *registry;
	sd_event *loop;	  /* NULL without --watch */
	struct buf out;	  /* what is to be printed next */
	struct buf names; /* scratch */
};

static const char *const format_names[] = { "text", "json", NULL };

static const struct option_row option_rows[] = {
	{ "output", 'o', OPTION_CHOICE, OPTION_AT(struct settings, format), .choices = format_names,
	  .fallback = "text", .help = "how to print" },
	{ "state-dir", 0, OPTION_TEXT, OPTION_AT(struct settings, state_dir), .value = "DIR",
	  .help = "where the agent has its socket that may cover them" },
	{ "watch", 'w', OPTION_FLAG, OPTION_AT(struct settings, watch),
	  .help = "go on, and print those that are born, named and die" },
	{ "for", 0, OPTION_DURATION, OPTION_AT(struct settings, for_ns), .min = 1,
	  .help = "with --watch: end after this time" },
	{ 0 },
};

/* --- the filter --- */

static bool netns_value(const void *subject, enum filter_field field, enum filter_side side,
			unsigned int i, struct filter_value *ret)
{
	const struct netns *ns = subject;

	if (field != FILTER_NETNS || i >= ns->n_names + 2)
		return false;
	if (i < ns->n_names)
		*ret = (struct filter_value){ FILTER_VALUE_TEXT, .text = ns->names[i] };
	else if (i == ns->n_names)
		*ret = (struct filter_value){ FILTER_VALUE_NUMBER, .number = ns->inode };
	else
		*ret = (struct filter_value){ FILTER_VALUE_NUMBER, .number = ns->cookie };
	return true;
}

static const struct filter_subject netns_subject = {
	.what = "a namespace",
	.fields = 1 << FILTER_NETNS,
	.value = netns_value,
};

/* --- what is known of one --- */

static const struct {
	enum netns_hold bit;
	const char *name;
} holds[] = {
	{ NETNS_HELD_BY_KERNEL, "kernel" }, { NETNS_HELD_BY_PROCESS, "process" },
	{ NETNS_HELD_BY_MOUNT, "mount" },   { NETNS_HELD_BY_DESCRIPTOR, "descriptor" },
	{ NETNS_HELD_BY_SOCKET, "socket" },
};

/* The kernel's short name of a process; "" if it is gone. */
static const char *process_name(uint32_t pid, char *name, int size)
{
	char path[64];
	FILE *f;

	name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	f = pid ? fopen(path, "re") : NULL;
	if (!f)
		return name;
	if (!fgets(name, size, f))
		name[0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	fclose(f);
	return name;
}

/* --- JSON --- */

static void json_netns(struct jsonw *j, const struct netns *ns)
{
	jsonw_member_object(j, "netns");
	jsonw_member_u64(j, "inode", ns->inode);
	jsonw_member_u64(j, "cookie", ns->cookie);
	jsonw_member_string(j, "name", netns_name(ns));
	if (ns->n_names) {
		jsonw_member_array(j, "names");
		for (unsigned int i = 0; i < ns->n_names; i++)
			jsonw_string(j, ns->names[i]);
		jsonw_array_end(j);
	}
	jsonw_object_end(j);
}

static void json_holders(struct jsonw *j, const struct netns *ns)
{
	char name[64];

	jsonw_member_u64(j, "processes", ns->n_processes);
	jsonw_member_array(j, "held_by");
	for (size_t i = 0; i < ARRAY_SIZE(holds); i++)
		if (ns->held_by & holds[i].bit)
			jsonw_string(j, holds[i].name);
	jsonw_array_end(j);
	if (ns->dying)
		jsonw_member_bool(j, "dying", true);
	if (!ns->holder_pid)
		return;
	jsonw_member_object(j, "process");
	jsonw_member_u64(j, "pid", ns->holder_pid);
	jsonw_member_string(j, "name", process_name(ns->holder_pid, name, sizeof(name)));
	jsonw_object_end(j);
}

static void json_line(struct buf *out, const struct netns *ns)
{
	struct jsonw j = jsonw_on(out);

	jsonw_object_begin(&j);
	json_netns(&j, ns);
	json_holders(&j, ns);
	jsonw_member_object(&j, "coverage");
	jsonw_member_string(&j, "state", ns->covered ? "full" : "none");
	if (!ns->covered)
		jsonw_member_string(&j, "reason", ns->not_covered_why);
	jsonw_object_end(&j);
	jsonw_object_end(&j);
	jsonw_line_end(&j);
}

/* --- text --- */

/* A name may hold anything that a path can: what would move the cursor becomes '?'. Its columns. */
static size_t add_visible(struct buf *b, const char *s)
{
	size_t columns = 0;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		buf_addc(b, c < ' ' || c == 0x7f ? '?' : *s);
		columns += (c & 0xc0) != 0x80;
	}
	return columns;
}

/* The names into p->names; returns how many columns they take. */
static size_t format_names_of(struct namespaces *p, const struct netns *ns)
{
	size_t columns = 0;

	buf_reset(&p->names);
	for (unsigned int i = 0; i < ns->n_names; i++) {
		if (i)
			buf_adds(&p->names, ", ");
		columns += (i ? 2 : 0) + add_visible(&p->names, ns->names[i]);
	}
	if (ns->n_names)
		return columns;
	return add_visible(&p->names, ns->held_by & NETNS_HELD_BY_KERNEL ? "(initial)" : "-");
}

static void text_holds(struct buf *b, const struct netns *ns, int width)
{
	size_t begin = b->len;

	for (size_t i = 0; i < ARRAY_SIZE(holds); i++)
		if (ns->held_by & holds[i].bit)
			buf_addf(b, "%s%s", b->len > begin ? "," : "", holds[i].name);
	if (b->len == begin)
		buf_adds(b, ns->dying ? "(dying)" : "(unknown)");
	if (b->len - begin < (size_t)width)
		buf_addf(b, "%*s", width - (int)(b->len - begin), "");
}

struct widths {
	int name, held_by;
};

static void text_line(struct namespaces *p, const struct netns *ns, const struct widths *w)
{
	struct buf *b = &p->out;
	char name[64];
	int columns = (int)format_names_of(p, ns);

	buf_add(b, p->names.data, p->names.len);
	buf_addf(b, "%*s  %10u  %8" PRIu64 "  %9u  ", w->name - columns, "", ns->inode, ns->cookie,
		 ns->n_processes);
	text_holds(b, ns, w->held_by);
	buf_addf(b, "  %-7s", ns->covered ? "yes" : "no");
	process_name(ns->holder_pid, name, sizeof(name));
	if (ns->holder_pid) {
		buf_addf(b, "  %u ", ns->holder_pid);
		add_visible(b, name);
	}
	while (b->len && b->data[b->len - 1] == ' ')
		b->data[--b->len] = '\0';
	buf_addc(b, '\n');
}

static struct widths measure(struct namespaces *p, const struct netns *const *v, size_t n)
{
	struct widths w = { .name = strlen("NAME"), .held_by = strlen("HELD BY") };
	struct buf held = { 0 };

	for (size_t i = 0; i < n; i++) {
		int columns = (int)format_names_of(p, v[i]);

		if (columns > w.name)
			w.name = columns;
		buf_reset(&held);
		text_holds(&held, v[i], 0);
		if ((int)held.len > w.held_by)
			w.held_by = (int)held.len;
	}
	buf_fini(&held);
	return w;
}

static void text_list(struct namespaces *p, const struct netns *const *v, size_t n)
{
	struct widths w = measure(p, v, n);
	const char *why = NULL;

	buf_addf(&p->out, "%-*s  %10s  %8s  %9s  %-*s  COVERED  FIRST PROCESS\n", w.name, "NAME",
		 "INODE", "COOKIE", "PROCESSES", w.held_by, "HELD BY");
	for (size_t i = 0; i < n; i++) {
		text_line(p, v[i], &w);
		if (!v[i]->covered)
			why = v[i]->not_covered_why;
	}
	if (why)
		buf_addf(&p->out, "\nnot covered: %s\n", why);
}

/* --- the list --- */

static int rank(const struct netns *ns)
{
	if (ns->held_by & NETNS_HELD_BY_KERNEL)
		return 0;
	return ns->n_names ? 1 : 2;
}

/* The initial one, then those with a name, then the others by age. */
static int compare(const void *x, const void *y)
{
	const struct netns *a = *(const struct netns *const *)x;
	const struct netns *b = *(const struct netns *const *)y;
	int d = rank(a) - rank(b);

	if (!d && a->n_names && b->n_names)
		d = strcmp(a->names[0], b->names[0]);
	return d ? d : (a->cookie > b->cookie) - (a->cookie < b->cookie);
}

static int print_list(struct namespaces *p)
{
	const struct netns **v, *ns = NULL;
	size_t n_covered, n_total, n = 0;

	netns_registry_count(p->registry, &n_covered, &n_total);
	v = calloc(n_total + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	while ((ns = netns_registry_next(p->registry, ns)))
		if (filter_match(p->filter, ns))
			v[n++] = ns;
	qsort(v, n, sizeof(*v), compare);
	if (p->settings.format == FORMAT_TEXT)
		text_list(p, v, n);
	else
		for (size_t i = 0; i < n; i++)
			json_line(&p->out, v[i]);
	free(v);
	return 0;
}

/* Print what has gathered. */
static int flush(struct namespaces *p)
{
	int err = p->out.failed ? -ENOMEM : 0;

	errno = 0;
	if (!err && p->out.len &&
	    (fwrite(p->out.data, 1, p->out.len, stdout) != p->out.len || fflush(stdout)))
		err = errno ? -errno : -EIO;
	buf_reset(&p->out);
	if (err && err != -EPIPE)
		command_error("namespaces", "cannot write the list: %s", strerror(-err));
	return err;
}

/* That nobody reads any more is no failure. */
static int status_of_write(int err)
{
	return err && err != -EPIPE ? EXIT_FAILED : EXIT_DONE;
}

/* --- coming and going --- */

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static void json_change(struct namespaces *p, const struct netns *ns, const char *action,
			const char *type)
{
	struct jsonw j = jsonw_on(&p->out);

	jsonw_object_begin(&j);
	jsonw_member_time(&j, "@timestamp", realtime_ns());
	jsonw_member_object(&j, "event");
	jsonw_member_string(&j, "kind", "event");
	jsonw_member_string(&j, "dataset", "nslens.netns");
	jsonw_member_array(&j, "category");
	jsonw_string(&j, "host");
	jsonw_array_end(&j);
	jsonw_member_array(&j, "type");
	jsonw_string(&j, type);
	jsonw_array_end(&j);
	jsonw_member_string(&j, "action", action);
	jsonw_object_end(&j);
	json_netns(&j, ns);
	jsonw_object_end(&j);
	jsonw_line_end(&j);
}

static void text_change(struct namespaces *p, const struct netns *ns, const char *action)
{
	char time[TIMESTAMP_TEXT_MAX];

	format_names_of(p, ns);
	/* The time of day, to the microsecond. */
	timestamp_format(realtime_ns(), time);
	buf_addf(&p->out, "%.15s  %-5s  %s  inode %u  cookie %" PRIu64 "\n", time + 11, action,
		 p->names.data, ns->inode, ns->cookie);
}

static void print_change(struct namespaces *p, const struct netns *ns, const char *action,
			 const char *type)
{
	int err;

	if (!filter_match(p->filter, ns))
		return;
	if (p->settings.format == FORMAT_TEXT)
		text_change(p, ns, action);
	else
		json_change(p, ns, action, type);
	err = flush(p);
	if (err)
		sd_event_exit(p->loop, status_of_write(err));
}

static void on_born(void *arg, const struct netns *ns)
{
	print_change(arg, ns, "born", "start");
}

static void on_named(void *arg, const struct netns *ns)
{
	print_change(arg, ns, "named", "change");
}

static void on_died(void *arg, const struct netns *ns)
{
	print_change(arg, ns, "died", "end");
}

static int make_loop(struct namespaces *p, struct err *e)
{
	int err = loop_new(&p->loop, e);

	return err ? err : loop_end_after(p->loop, p->settings.for_ns, e);
}

/* Subscribe when the list is printed: everything after it is news. */
static int watch(struct namespaces *p)
{
	struct netns_subscriber s = {
		.born = on_born,
		.named = on_named,
		.died = on_died,
		.arg = p,
	};
	int status;

	netns_registry_subscribe(p->registry, &s);
	status = sd_event_loop(p->loop);
	netns_registry_unsubscribe(p->registry, &s);
	if (status < 0)
		command_error("namespaces", "cannot watch: event loop: %s", strerror(-status));
	return status < 0 ? EXIT_FAILED : status;
}

/* An agent's probes are host-wide: it covers every namespace, or there is none. */
static bool agent_covers(const struct namespaces *p)
{
	const char *dir = p->settings.state_dir;

	return client_agent_runs(dir ? dir : agent_state_dir());
}

static int list_and_watch(struct namespaces *p)
{
	struct netns_registry_options options = { 0 };
	struct err e;
	int err;

	if (p->settings.watch && make_loop(p, &e)) {
		command_error("namespaces", "cannot watch: %s", e.text);
		return EXIT_FAILED;
	}
	options.loop = p->loop;
	if (netns_registry_new(&p->registry, &options, &e) ||
	    netns_registry_refresh(p->registry, &e)) {
		command_error("namespaces", "%s", e.text);
		return EXIT_FAILED;
	}
	netns_registry_set_coverage(p->registry, agent_covers(p),
				    "no agent runs, and this command attaches nothing");
	if (print_list(p)) {
		command_error("namespaces", "out of memory");
		return EXIT_FAILED;
	}
	err = flush(p);
	if (err || !p->settings.watch)
		return status_of_write(err);
	return watch(p);
}

static int run(int argc, char **argv)
{
	static const struct option_table table = { .command = &cmd_namespaces,
						   .rows = option_rows,
						   .filter = &netns_subject };
	struct namespaces p = { 0 };
	int status;

	status = option_start(&table, argv, &p.settings, &p.filter);
	if (status >= 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	status = list_and_watch(&p);
	netns_registry_free(p.registry);
	sd_event_unref(p.loop);
	filter_free(p.filter);
	buf_fini(&p.out);
	buf_fini(&p.names);
	return status;
}

const struct command cmd_namespaces = {
	.name = "namespaces",
	.usage = "[-o text|json] [--watch] [FILTER]",
	.summary = "list every network namespace: names, processes, how it is held",
	.run = run,
};
