// SPDX-License-Identifier: Apache-2.0
#include "probe/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/base.h"
#include "probe/devflow/devflow.h"
#include "probe/hooks.h"
#include "probe/process/process.h"
#include "probes.skel.h"
#include "sys/bpf_object.h"
#include "sys/bpf_refusal.h"
#include "sys/capability.h"
#include "sys/cgroup2.h"

static const char *const tcp_programs[] = { "tcp_state", "tcp_state_again", NULL };
static const char *const io_programs[] = { "io_send", "io_recv", NULL };
static const char *const io_functions[] = {
	"io_sent4", "io_sent6", "io_sent_page", "io_received4", "io_received6", NULL,
};
static const char *const dgram_programs[] = { "dgram_egress", "dgram_ingress", NULL };
static const char *const sock_programs[] = {
	"dgram_bind4", "dgram_bind6", "dgram_connect4", "dgram_connect6", "dgram_release", NULL,
};
static const char *const refused_programs[] = { "dgram_refused", NULL };
static const char *const refused_functions[] = { "dgram_unqueued", NULL };
static const char *const process_programs[] = { "cgroup_made", "cgroup_removed", NULL };

static const char *const sockops_programs[] = { "sockops_watch", NULL };
static const char *const l3_programs[] = { "l3_egress", "l3_ingress", NULL };
static const char *const device_programs[] = { NULL };
static const char *const devflow_programs[] = { "devflow_tx", "devflow_rx", NULL };

#define RECORD(type) (1U << (type))

/* Nothing works without the first FIRST_OPTIONAL, unless a user wants it so. */
const struct probe_info probe_table[] = {
	{ .name = "tcp",
	  .gives = "TCP conversations",
	  .programs = tcp_programs,
	  .records = RECORD(REC_TCP),
	  .by_default = true },
	{ .name = "io",
	  .gives = "the process that uses a socket after another opened it",
	  .programs = io_programs,
	  .instead = io_functions,
	  .by_default = true },
	{ .name = "dgram",
	  .gives = "UDP and ICMP conversations",
	  .programs = dgram_programs,
	  .records = RECORD(REC_DGRAM) | RECORD(REC_OWNER) | RECORD(REC_RELEASE),
	  .needs_cgroup = true,
	  .by_default = true },
	{ .name = "sock",
	  .gives = "what bind(), connect() and close() of sockets ask for, and whose they are",
	  .of = "dgram",
	  .programs = sock_programs,
	  .needs_cgroup = true,
	  .by_default = true },
	{ .name = "refused",
	  .gives = "that a datagram for a full socket isn't counted as received",
	  .of = "dgram",
	  .programs = refused_programs,
	  .instead = refused_functions,
	  .by_default = true },
	{ .name = "process",
	  .gives = "paths of cgroups made later",
	  .programs = process_programs,
	  .records = RECORD(REC_CGROUP),
	  .by_default = true },
	{ .name = "sockops",
	  .gives = "the largest round-trip time of each TCP connection",
	  .of = "tcp",
	  .programs = sockops_programs,
	  .needs_cgroup = true },
	{ .name = "l3",
	  .gives = "packets and bytes of every cgroup, TCP, raw sockets and all of ICMP included",
	  .programs = l3_programs,
	  .needs_cgroup = true },
	{ .name = "device",
	  .gives = "packets and bytes of every device, and hooks at devices",
	  .programs = device_programs,
	  .in_agent = true,
	  .apart = true },
	{ .name = "devflow",
	  .gives = "conversations that only pass through this host's devices, hop by hop",
	  .programs = devflow_programs,
	  .records = RECORD(REC_DEVICE_FLOW) },
	{ NULL },
};

enum {
	FIRST_OPTIONAL = 1,
	N_PROBES = ARRAY_SIZE(probe_table) - 1,
	MAX_LINKS = 32,
	MAX_FIRST = 8,
	WHY_NOT_MAX = 400,
	SWEEP_KEYS_BYTES = SWEEP_KEYS_MAX * sizeof(struct dgram_key),
};

struct probes {
	struct probes_bpf *skel;
	struct ring_buffer *ring;
	struct bpf_link *links[MAX_LINKS];
	size_t n_links;
	int first_fds[MAX_FIRST]; /* of links that libbpf doesn't know how to make */
	size_t n_first;
	uint32_t off;			     /* probes that nobody wants, bits by row */
	char why_not[N_PROBES][WHY_NOT_MAX]; /* "": attached, or off */
	char instead[N_PROBES][WHY_NOT_MAX]; /* "": by its own programs; why by others */
	uint64_t n_records[32];		     /* by enum rec_type */
	record_fn record;
	void *arg;
	unsigned long drain_end;      /* the ring's position where a round of emptying it ends */
	int n_drained;		      /* in this round */
	struct dgram_key *sweep_keys; /* the map of that name */
};

static const char *const lost_names[N_LOST_REASONS] = {
#define X(symbol, name, text) [LOST_##symbol] = name,
	LOST_REASONS(X)
#undef X
};

const char *lost_reason_name(enum lost_reason reason)
{
	return lost_names[reason];
}

const char *probe_name(size_t i)
{
	return i < N_PROBES ? probe_table[i].name : NULL;
}

static const struct {
	const char *probe, *name;
} figure_names[N_FIGURES] = {
#define X(symbol, probe, name) [FIGURE_##symbol] = { probe, name },
	FIGURES(X)
#undef X
};

const char *probe_figure_name(const char *probe, enum figure i)
{
	return strcmp(figure_names[i].probe, probe) ? NULL : figure_names[i].name;
}

static int probes_on_record(void *ctx, void *data, size_t size)
{
	struct probes *p = ctx;
	const struct rec_hdr *rec = data;

	if (size >= sizeof(*rec) && rec->type < ARRAY_SIZE(p->n_records))
		p->n_records[rec->type]++;
	if (size >= sizeof(*rec) && rec->size <= size)
		p->record(p->arg, rec, rec->size);
	p->n_drained++;
	/* An error stops the round, behind this record. */
	return ring__consumer_pos(ring_buffer__ring(p->ring, 0)) >= p->drain_end ? -EAGAIN : 0;
}

/* --- open --- */

bool probe_is_wanted(uint32_t with, uint32_t without, const char *name)
{
	for (size_t i = 0; i < N_PROBES; i++)
		if (!strcmp(probe_table[i].name, name))
			return (probe_table[i].by_default || with >> i & 1) && !(without >> i & 1);
	return false;
}

static uint32_t probes_unwanted(const struct probe_options *o)
{
	uint32_t wanted = o->with;

	for (size_t i = 0; i < N_PROBES; i++)
		if (probe_table[i].by_default)
			wanted |= 1U << i;
	return ~(wanted & ~o->without);
}

/* Not turned off, and nothing has been found that keeps it from being there. */
static bool probe_is_there(const struct probes *p, size_t i)
{
	return !(p->off >> i & 1) && !*p->why_not[i];
}

static bool probe_named_is_there(const struct probes *p, const char *name)
{
	for (size_t i = 0; i < N_PROBES; i++)
		if (!strcmp(probe_table[i].name, name))
			return probe_is_there(p, i);
	return false;
}

/* Room for @n TCP sockets, and half as many datagram flows. */
static int probes_set_room(struct probes_bpf *skel, uint32_t n)
{
	uint32_t n_places = 1; /* a power of two: a connection's place is by low bits */

	while (n_places * 2 <= n / 8)
		n_places *= 2;
	skel->rodata->tcp_places_mask = n_places - 1;
	return bpf_map__set_max_entries(skel->maps.tcp_places, n_places) ?:
	       bpf_map__set_max_entries(skel->maps.tcp_conns, n) ?:
	       bpf_map__set_max_entries(skel->maps.dgram_socks, (n + 1) / 2) ?:
	       bpf_map__set_max_entries(skel->maps.dgram_flows, (n + 1) / 2);
}

static int probes_configure(const struct probes *p, const struct probe_options *o,
			    const struct btf *btf)
{
	struct probes_bpf *skel = p->skel;
	int err = 0;

	skel->rodata->tcp_on = probe_named_is_there(p, "tcp");
	skel->rodata->dgram_on = probe_named_is_there(p, "dgram");
	skel->rodata->sock_on = probe_named_is_there(p, "sock");
	skel->rodata->sockops_on = probe_named_is_there(p, "sockops");
	if (!skel->rodata->sockops_on)
		err = bpf_map__set_max_entries(skel->maps.max_rtts, 1);
	if (!err && !probe_named_is_there(p, "l3"))
		err = bpf_map__set_max_entries(skel->maps.layers, 1);
	process_probe_configure(skel, btf, o->no_args);
	if (!err)
		err = devflow_configure(skel, probe_named_is_there(p, "devflow"),
					!o->chosen_devices);
	/* A copy is only made where sockets can't be read in place: see compat.bpf.h. */
	if (btf && btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0)
		bpf_map__set_autocreate(skel->maps.tcp_sock_room, false);
	if (!err && o->ring_bytes)
		err = bpf_map__set_max_entries(skel->maps.ring, o->ring_bytes);
	skel->rodata->emit_wake_bytes = bpf_map__max_entries(skel->maps.ring) / 4;
	if (!err && o->max_sockets)
		err = probes_set_room(skel, o->max_sockets);
	return err;
}

static int probes_explain(int err, struct err *e)
{
	static const unsigned int caps[] = { CAP_BPF, CAP_PERFMON };

	return bpf_refusal_explain(err, "cannot load the probes", caps, ARRAY_SIZE(caps), e);
}

/* The programs that make up a probe on this kernel. */
static const char *const *probe_programs(const struct probes *p, size_t i)
{
	return *p->instead[i] ? probe_table[i].instead : probe_table[i].programs;
}

static bool probe_has(const struct probes *p, size_t i, const char *program)
{
	for (const char *const *name = probe_programs(p, i); *name; name++)
		if (!strcmp(*name, program))
			return true;
	return false;
}

/* Leave probe @i out, or have its other programs stand in, because of @why. */
static void probe_without(struct probes *p, size_t i, const char *why)
{
	bool others = probe_table[i].instead && !*p->instead[i];

	snprintf(others ? p->instead[i] : p->why_not[i], WHY_NOT_MAX, "%s", why);
}

/* What the user can do about the refusal of a probe, or "". */
static const char *probe_remedy(size_t i)
{
	bool forbidden = probe_table[i].needs_cgroup && !capability_has(CAP_NET_ADMIN) &&
			 !capability_has(CAP_SYS_ADMIN);

	return forbidden ? " (CAP_NET_ADMIN is missing)" : "";
}

/* Without the programs that the kernel refuses, if those are some that can be done without. */
static bool probes_leave_out(struct probes *p)
{
	const struct bpf_complaint *c = bpf_complaint_heard();
	char why[WHY_NOT_MAX];

	for (size_t i = FIRST_OPTIONAL; i < N_PROBES; i++) {
		if (!probe_is_there(p, i) || !probe_has(p, i, c->program))
			continue;
		snprintf(why, sizeof(why), "the kernel refuses program %s: %s%s", c->program,
			 c->text, probe_remedy(i));
		probe_without(p, i, why);
		return true;
	}
	return false;
}

/* Has the kernel what all of these programs hook into? */
static bool programs_can_hook(const struct probes *p, const struct btf *btf,
			      const char *const *names, char why[HOOK_WHY_MAX])
{
	for (; *names; names++) {
		const struct bpf_program *prog = bpf_object__find_program_by_name(p->skel->obj,
										  *names);

		if (hook_find(btf, *names, bpf_program__section_name(prog), why))
			return false;
	}
	return true;
}

static void programs_set_autoload(struct probes *p, const char *const *names, bool load)
{
	for (; names && *names; names++)
		bpf_program__set_autoload(bpf_object__find_program_by_name(p->skel->obj, *names),
					  load);
}

/* Of each probe load the programs that have what they hook into: its own, or those instead. */
static void probes_choose(struct probes *p, const struct btf *btf)
{
	char why[HOOK_WHY_MAX];

	for (size_t i = 0; i < N_PROBES; i++) {
		while (probe_is_there(p, i) &&
		       !programs_can_hook(p, btf, probe_programs(p, i), why))
			probe_without(p, i, why);
		programs_set_autoload(p, probe_table[i].programs, false);
		programs_set_autoload(p, probe_table[i].instead, false);
		programs_set_autoload(p, probe_programs(p, i), probe_is_there(p, i));
	}
}

static int probes_load_chosen(struct probes *p, const struct probe_options *o,
			      const struct btf *btf, struct err *e)
{
	int err;

	bpf_complaint_listen();
	p->skel = probes_bpf__open();
	if (!p->skel)
		return probes_explain(-errno, e);
	probes_choose(p, btf);
	err = probes_configure(p, o, btf);
	if (err)
		return err_set(e, -err, "cannot size the probes' maps: %s", strerror(-err));
	err = probes_bpf__load(p->skel);
	return err ? probes_explain(err, e) : 0;
}

/* Again and again, without what the kernel refused the last time. */
static int probes_load_possible(struct probes *p, const struct probe_options *o, struct err *e)
{
	struct btf *btf;
	int err;

	bpf_complaint_listen();
	btf = btf__load_vmlinux_btf();
	while ((err = probes_load_chosen(p, o, btf, e))) {
		probes_bpf__destroy(p->skel);
		p->skel = NULL;
		if (!probes_leave_out(p))
			break;
	}
	btf__free(btf);
	return err;
}

/* What the kernel passes tcp_state over for, tcp_state_again has it do after all. */
static int probes_join_tcp(const struct probes *p)
{
	int prog_fd = bpf_program__fd(p->skel->progs.tcp_state);
	uint32_t zero = 0;

	return prog_fd < 0 ? 0
			   : bpf_map_update_elem(bpf_map__fd(p->skel->maps.tcp_itself), &zero,
						 &prog_fd, BPF_ANY);
}

static int probes_load(struct probes *p, const struct probe_options *o, struct err *e)
{
	int err = probes_load_possible(p, o, e);

	if (err)
		return err;
	err = probes_join_tcp(p);
	if (err)
		return err_set(e, -err, "cannot join the probes' programs: %s", strerror(-err));
	p->sweep_keys = mmap(NULL, SWEEP_KEYS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			     bpf_map__fd(p->skel->maps.sweep_keys), 0);
	if (p->sweep_keys == MAP_FAILED) {
		p->sweep_keys = NULL;
		return err_set(e, errno, "cannot map the sweep's keys: %s", strerror(errno));
	}
	p->ring = ring_buffer__new(bpf_map__fd(p->skel->maps.ring), probes_on_record, p, NULL);
	if (!p->ring)
		return err_set(e, errno, "cannot map the probes' ring: %s", strerror(errno));
	return 0;
}

/*
 * Of linux/bpf.h of Linux 6.17, where links know them, too: before the programs of cgroups below,
 * and before those of the same cgroup.
 */
enum { F_BEFORE = 1U << 3, F_PREORDER = 1U << 6 };

/*
 * Programs at connect() may change the address: ours has to see it before any other does. The
 * descriptor of the link; -errno: the kernel has no such order.
 */
static int program_attach_first(const struct bpf_program *prog, int cgroup_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = F_PREORDER | F_BEFORE);

	return bpf_link_create(bpf_program__fd(prog), cgroup_fd,
			       bpf_program__expected_attach_type(prog), &opts);
}

/* Has it to run before others of its kind? */
static bool program_is_first(const struct bpf_program *prog)
{
	enum bpf_attach_type type = bpf_program__expected_attach_type(prog);

	return bpf_program__type(prog) == BPF_PROG_TYPE_CGROUP_SOCK_ADDR &&
	       (type == BPF_CGROUP_INET4_CONNECT || type == BPF_CGROUP_INET6_CONNECT);
}

/* False: the kernel has no such order. */
static bool probes_attach_first(struct probes *p, const struct bpf_program *prog, int cgroup_fd)
{
	int fd;

	if (!program_is_first(prog) || p->n_first == MAX_FIRST)
		return false;
	fd = program_attach_first(prog, cgroup_fd);
	if (fd >= 0)
		p->first_fds[p->n_first++] = fd;
	return fd >= 0;
}

static int probes_attach_program(struct probes *p, const char *name, int cgroup_fd)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(p->skel->obj, name);
	struct bpf_link *link;

	if (!prog)
		return -ENOENT;
	if (p->n_links == MAX_LINKS)
		return -ENOSPC;
	if (probes_attach_first(p, prog, cgroup_fd))
		return 0;
	if (bpf_program__type(prog) == BPF_PROG_TYPE_TRACING)
		link = bpf_program__attach(prog);
	else
		link = bpf_program__attach_cgroup(prog, cgroup_fd);
	if (!link)
		return -errno;
	p->links[p->n_links++] = link;
	return 0;
}

/* All programs of a probe, or none. */
static int probes_attach_one(struct probes *p, size_t i, int cgroup_fd)
{
	size_t before = p->n_links, first_before = p->n_first;
	int err = 0;

	for (const char *const *name = probe_programs(p, i); *name && !err; name++)
		err = probes_attach_program(p, *name, cgroup_fd);
	while (err && p->n_links > before)
		bpf_link__destroy(p->links[--p->n_links]);
	while (err && p->n_first > first_before)
		close(p->first_fds[--p->n_first]);
	return err;
}

static int probes_attach(struct probes *p, int cgroup_fd, struct err *e)
{
	int err;

	for (size_t i = 0; i < N_PROBES; i++) {
		if (!probe_is_there(p, i))
			continue;
		err = probes_attach_one(p, i, cgroup_fd);
		if (err)
			snprintf(p->why_not[i], sizeof(p->why_not[i]),
				 "the kernel refuses to attach it: %s%s", strerror(-err),
				 probe_remedy(i));
	}
	for (size_t i = 0; i < FIRST_OPTIONAL; i++)
		if (*p->why_not[i])
			return err_set(e, EIO, "probe %s: %s; 'nslens doctor' says more",
				       probe_table[i].name, p->why_not[i]);
	return 0;
}

/* Without cgroup2 its probes aren't even loaded. */
static int probes_open_cgroup(struct probes *p)
{
	int fd = cgroup2_open();

	for (size_t i = 0; fd < 0 && i < N_PROBES; i++)
		if (probe_table[i].needs_cgroup && probe_is_there(p, i))
			snprintf(p->why_not[i], sizeof(p->why_not[i]), "%s",
				 fd == -ENOENT ? "cgroup2 is not mounted"
					       : "cgroup2 can't be opened");
	return fd;
}

int probes_open(const struct probe_options *options, struct probes **ret, struct err *e)
{
	struct probes *p = calloc(1, sizeof(*p));
	int err, cgroup_fd;

	if (!p)
		return err_set(e, ENOMEM, "probes: out of memory");
	p->record = options->record;
	p->arg = options->arg;
	p->off = probes_unwanted(options);
	cgroup_fd = probes_open_cgroup(p);
	err = probes_load(p, options, e);
	if (!err)
		err = probes_attach(p, cgroup_fd, e);
	if (cgroup_fd >= 0)
		close(cgroup_fd);
	if (err) {
		probes_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

void probes_close(struct probes *p)
{
	if (!p)
		return;
	while (p->n_links)
		bpf_link__destroy(p->links[--p->n_links]);
	while (p->n_first)
		close(p->first_fds[--p->n_first]);
	ring_buffer__free(p->ring);
	if (p->sweep_keys)
		munmap(p->sweep_keys, SWEEP_KEYS_BYTES);
	probes_bpf__destroy(p->skel);
	free(p);
}

/* --- use --- */

int probes_adopt(struct probes *p, struct err *e)
{
	struct bpf_link *link = bpf_program__attach_iter(p->skel->progs.adopt_sockets, NULL);
	char none[64];
	ssize_t n;
	int fd, err = 0;

	if (!link)
		return err_set(e, errno, "probes: cannot iterate over descriptors: %s",
			       strerror(errno));
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		err = err_set(e, -fd, "probes: cannot iterate over descriptors: %s", strerror(-fd));
	} else {
		while ((n = read(fd, none, sizeof(none))) > 0 || (n < 0 && errno == EAGAIN))
			;
		if (n < 0)
			err = err_set(e, errno, "probes: sockets older than nslens: %s",
				      strerror(errno));
		close(fd);
	}
	bpf_link__destroy(link);
	return err;
}

int probes_drain(struct probes *p)
{
	int err;

	/* The kernel goes on to fill it: who tries to keep up with that never comes back. */
	p->drain_end = ring__producer_pos(ring_buffer__ring(p->ring, 0));
	p->n_drained = 0;
	err = ring_buffer__consume(p->ring);
	return err < 0 && err != -EAGAIN ? err : p->n_drained;
}

/*
 * Did the last probes_drain() get to the end? A record that somebody reserved and has not written
 * yet, interrupted or without a CPU, holds up those behind it.
 */
static bool probes_drained(const struct probes *p)
{
	return ring__consumer_pos(ring_buffer__ring(p->ring, 0)) >= p->drain_end;
}

int probes_fd(const struct probes *p)
{
	return ring_buffer__epoll_fd(p->ring);
}

/* Run a program of type syscall; its return value or -errno. */
static int probes_call(struct bpf_program *prog, void *args, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = (__u32)size);

	return bpf_prog_test_run_opts(bpf_program__fd(prog), &opts) ? -errno : (int)opts.retval;
}

void probes_tell_opened(struct probes *p)
{
	struct sweep_args args = { .n = (uint32_t)libbpf_num_possible_cpus() };

	probes_call(p->skel->progs.tcp_tell_opened, &args, sizeof(args));
}

static struct sweep_args sweep_args_of(uint64_t dgram_idle_ns)
{
	uint64_t ms = dgram_idle_ns / NS_PER_MS;

	return (struct sweep_args){ .idle_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX };
}

/* Of up to SWEEP_KEYS_MAX keys those of one protocol family to the program that looks at them. */
static int probes_sweep_some(struct probes *p, const struct probe_sweep *some, bool tcp,
			     gone_fn gone, void *arg)
{
	struct bpf_program *prog = tcp ? p->skel->progs.tcp_sweep : p->skel->progs.dgram_sweep;
	struct sweep_args args = sweep_args_of(some->dgram_idle_ns);
	int err;

	for (size_t i = 0; i < some->n; i++)
		if ((some->keys[i].proto == IPPROTO_TCP) == tcp)
			p->sweep_keys[args.n++] = some->keys[i];
	if (!args.n)
		return 0;
	err = probes_call(prog, &args, sizeof(args));
	probes_drain(p);
	for (size_t i = 0; i < args.n; i++) {
		if (p->sweep_keys[i].reserved != SWEEP_GONE)
			continue;
		p->sweep_keys[i].reserved = 0;
		/* What ended them may stand behind: the next sweep will find them again. */
		if (probes_drained(p))
			gone(arg, &p->sweep_keys[i]);
	}
	return err;
}

int probes_sweep(struct probes *p, const struct probe_sweep *sweep, gone_fn gone, void *arg)
{
	struct probe_sweep some = *sweep;
	size_t rest = sweep->n;
	int err = 0;

	while (rest && err >= 0) {
		some.n = rest < SWEEP_KEYS_MAX ? rest : SWEEP_KEYS_MAX;
		err = probes_sweep_some(p, &some, true, gone, arg);
		if (err >= 0)
			err = probes_sweep_some(p, &some, false, gone, arg);
		some.keys += some.n;
		rest -= some.n;
	}
	return err < 0 ? err : 0;
}

int probes_sweep_all(struct probes *p, uint64_t dgram_idle_ns)
{
	struct sweep_args args = sweep_args_of(dgram_idle_ns);
	int more_tcp, more_dgram;

	do {
		more_tcp = probes_call(p->skel->progs.tcp_sweep_all, NULL, 0);
		more_dgram = probes_call(p->skel->progs.dgram_sweep_all, &args, sizeof(args));
		probes_drain(p);
	} while (more_tcp > 0 || more_dgram > 0);
	return more_tcp < 0 ? more_tcp : more_dgram;
}

/* --- device flows --- */

void probes_devflow_turn(struct probes *p)
{
	if (probe_named_is_there(p, "devflow"))
		devflow_turn(p->skel);
}

int probes_devflow_collect(struct probes *p)
{
	uint32_t n_cpus = (uint32_t)libbpf_num_possible_cpus();
	int at = 0;

	if (!probe_named_is_there(p, "devflow"))
		return 0;
	for (uint32_t cpu = 0; cpu < n_cpus && at >= 0; cpu++) {
		at = 0;
		while ((at = devflow_sweep(p->skel, cpu, (uint32_t)at)) >= 0 && at != DEVFLOW_SWEPT)
			probes_drain(p);
	}
	probes_drain(p);
	return at < 0 ? at : 0;
}

int probes_devflow_select(struct probes *p, const struct device_id *id, bool on)
{
	return probe_named_is_there(p, "devflow") ? devflow_select(p->skel, id, on) : 0;
}

size_t probes_dgram_room(const struct probes *p)
{
	return bpf_map__max_entries(p->skel->maps.dgram_flows);
}

int probes_take_dgram(struct probes *p, const struct dgram_key *key, uint64_t max_rx_packets,
		      struct dgram_flow *ret)
{
	int fd = bpf_map__fd(p->skel->maps.dgram_flows);

	if (max_rx_packets != UINT64_MAX && !bpf_map_lookup_elem(fd, key, ret) &&
	    ret->n.rx_packets > max_rx_packets)
		return -EAGAIN;
	return bpf_map_lookup_and_delete_elem(fd, key, ret) ? -errno : 0;
}

/* --- figures --- */

/* Times that the kernel passed our programs over, since one must not interrupt itself. */
static uint64_t probes_passed_over(const struct probes *p)
{
	struct bpf_program *prog;
	uint64_t n = 0;

	bpf_object__for_each_program(prog, p->skel->obj)
	{
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		/* It comes second: then the first has run. */
		if (prog != p->skel->progs.tcp_state_again &&
		    !bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			n += info.recursion_misses;
	}
	return n;
}

/* The first @n values of a per-CPU array of counters, each the sum over the CPUs. */
static void map_sum_cpus(int fd, uint64_t *ret, uint32_t n)
{
	int n_cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc(n_cpus > 0 ? (size_t)n_cpus : 1, sizeof(*values));

	for (uint32_t i = 0; i < n; i++) {
		ret[i] = 0;
		if (!values || bpf_map_lookup_elem(fd, &i, values))
			continue;
		for (int cpu = 0; cpu < n_cpus; cpu++)
			ret[i] += values[cpu];
	}
	free(values);
}

void probes_lost(const struct probes *p, uint64_t ret_lost[N_LOST_REASONS])
{
	uint64_t passed_over = probes_passed_over(p);

	map_sum_cpus(bpf_map__fd(p->skel->maps.lost), ret_lost, N_LOST_REASONS);
	/* What stands there was taken by tcp_state_again, some of it since we looked. */
	ret_lost[LOST_NOT_RUN] = passed_over > ret_lost[LOST_NOT_RUN]
					 ? passed_over - ret_lost[LOST_NOT_RUN]
					 : 0;
}

static void probes_add_stats(const struct probes *p, const char *name, struct probe_state *s)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(p->skel->obj, name);
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	if (!prog || bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return;
	s->run_count += info.run_cnt;
	s->run_ns += info.run_time_ns;
}

static void probes_add_contribution(const struct probes *p, const uint64_t *figures,
				    struct probe_state *s)
{
	for (size_t type = 0; type < ARRAY_SIZE(p->n_records); type++)
		if (s->info->records >> type & 1)
			s->n_records += p->n_records[type];
	for (enum figure i = 0; i < N_FIGURES; i++)
		if (probe_figure_name(s->info->name, i))
			s->figures[i] = figures[i];
}

size_t probes_states(const struct probes *p, struct probe_state *ret, size_t max)
{
	uint64_t figures[N_FIGURES];

	map_sum_cpus(bpf_map__fd(p->skel->maps.figures), figures, N_FIGURES);
	for (size_t i = 0; i < N_PROBES && i < max; i++) {
		ret[i] = (struct probe_state){ .info = &probe_table[i],
					       .attached = probe_is_there(p, i),
					       .off = p->off >> i & 1,
					       .why_not = *p->why_not[i] ? p->why_not[i] : NULL,
					       .instead = *p->instead[i] ? p->instead[i] : NULL };
		for (const char *const *name = probe_programs(p, i); *name; name++)
			probes_add_stats(p, *name, &ret[i]);
		probes_add_contribution(p, figures, &ret[i]);
	}
	return N_PROBES;
}

void probes_set_absent(struct probes *p, const char *name, const char *why)
{
	for (size_t i = 0; i < N_PROBES; i++)
		if (!strcmp(probe_table[i].name, name))
			snprintf(p->why_not[i], sizeof(p->why_not[i]), "%s", why);
}

/* Each key of the map: to @ret its sum over the CPUs; with @gone, only of those, taken out. */
static int layers_read(int fd, struct layer_counts *values, int n_cpus,
		       bool (*gone)(void *arg, uint64_t netns_cookie), void *arg,
		       struct layer_rows *ret)
{
	struct layer_key key, *previous = NULL, next;
	int err = 0;

	while (!err && !bpf_map_get_next_key(fd, previous, &next)) {
		struct layer_row row = { .key = next };
		bool wanted = !gone || gone(arg, next.netns_cookie);

		/* The key that was taken is no place to go on from: the one before it is. */
		if (!wanted || !gone) {
			key = next;
			previous = &key;
		}
		if (!wanted || (gone ? bpf_map_lookup_and_delete_elem(fd, &next, values)
				     : bpf_map_lookup_elem(fd, &next, values)))
			continue;
		for (int cpu = 0; cpu < n_cpus; cpu++)
			layer_counts_add(&row.n, &values[cpu]);
		err = layer_rows_add(ret, &row);
	}
	return err;
}

static int probes_read_layers(const struct probes *p,
			      bool (*gone)(void *arg, uint64_t netns_cookie), void *arg,
			      struct layer_rows *ret)
{
	int n_cpus = libbpf_num_possible_cpus();
	struct layer_counts *values = calloc(n_cpus > 0 ? (size_t)n_cpus : 1, sizeof(*values));
	int err = -ENOMEM;

	if (values)
		err = layers_read(bpf_map__fd(p->skel->maps.layers), values, n_cpus, gone, arg,
				  ret);
	free(values);
	return err;
}

int probes_layers(const struct probes *p, struct layer_rows *ret)
{
	return probes_read_layers(p, NULL, NULL, ret);
}

int probes_take_layers(struct probes *p, bool (*gone)(void *arg, uint64_t netns_cookie), void *arg,
		       struct layer_rows *ret)
{
	return probes_read_layers(p, gone, arg, ret);
}

void probes_memory(const struct probes *p, struct probe_memory *ret)
{
	struct bpf_map *map;

	*ret = (struct probe_memory){ .n_sockets = UINT64_MAX };
	bpf_object__for_each_map(map, p->skel->obj)
		ret->map_bytes += bpf_map_memlock(bpf_map__fd(map));
}
