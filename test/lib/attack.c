// SPDX-License-Identifier: Apache-2.0
/*
 * What root in a namespace can try with BPF to be rid of hooks at its devices, or to come before
 * them.
 *
 *   attack tcx DEVICE ingress|egress VERDICT first|last       attach by a link
 *   attack tcx-prog DEVICE ingress|egress VERDICT first|last  attach without one
 *   attack tcx-replace DEVICE ingress|egress VERDICT PROG_ID  put a program into another's place
 *   attack tcx-detach DEVICE ingress|egress first|last|PROG_ID
 *   attack tcx-query DEVICE ingress|egress                    who is there, in their order
 *   attack xdp DEVICE VERDICT native|generic                  attach by a link
 *   attack xdp-set DEVICE VERDICT|off native|generic          attach without one
 *   attack link-detach OBJECT
 *   attack link-update OBJECT tcx|xdp VERDICT
 *
 * VERDICT: pass, drop, next (tcx), tx (xdp), redirect:DEVICE; tcx also ingress:DEVICE (into its
 * receive side), peer:DEVICE (of its peer), clone:DEVICE (a copy; the packet passes). OBJECT:
 * id:N, or the path of a pin.
 *
 * One line: {"event":"done"}, with "error" where the kernel refuses, and ids. Links stay until
 * stdin ends, the rest stays. Exit status: 0 it worked, 1 the kernel refused, 2 wrong usage.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_INSNS = 16, MAX_PROGRAMS = 64 };

/* As of Linux 6.6; older headers lack them. */
enum {
	TCX_INGRESS = 46,
	TCX_EGRESS = 47,
	XDP_POINT = 37,
	FLAG_REPLACE = 1 << 2,
	FLAG_BEFORE = 1 << 3,
	FLAG_AFTER = 1 << 4,
	XDP_GENERIC = 1 << 1,
	XDP_NATIVE = 1 << 2,
};

struct link_attr {
	uint32_t prog_fd, ifindex, type, flags, relative, pad;
	uint64_t revision;
};

struct attach_attr {
	uint32_t ifindex, prog_fd, type, flags, replace_fd, relative;
	uint64_t revision;
};

struct query_attr {
	uint32_t ifindex, type, query_flags, attach_flags;
	uint64_t prog_ids;
	uint32_t count, pad;
	uint64_t prog_flags, link_ids, link_flags, revision;
};

struct update_attr {
	uint32_t link_fd, prog_fd, flags, old_prog_fd;
};

/* --- ends --- */

static _Noreturn void die_usage(const char *what)
{
	fprintf(stderr, "attack: wrong or missing: %s\n", what);
	exit(2);
}

static _Noreturn void refused(const char *what)
{
	printf("{\"event\":\"done\",\"what\":\"%s\",\"error\":\"%s\"}\n", what,
	       strerrorname_np(errno));
	exit(1);
}

static long bpf(int command, void *attr, size_t size)
{
	return syscall(SYS_bpf, command, attr, size);
}

/* The id of a program or link: second of the members of each one's info. */
static uint32_t id_of(int fd)
{
	uint32_t info[64] = { 0 };
	union bpf_attr a = { .info = { .bpf_fd = (uint32_t)fd, .info_len = sizeof(info) } };

	a.info.info = (uintptr_t)info;
	return bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)) ? 0 : info[1];
}

static void print_done(int prog, int link)
{
	printf("{\"event\":\"done\",\"prog_id\":%u", id_of(prog));
	if (link >= 0)
		printf(",\"link_id\":%u", id_of(link));
	printf("}\n");
	fflush(stdout);
}

static int hold(int prog, int link)
{
	char c;

	print_done(prog, link);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

static int done(void)
{
	printf("{\"event\":\"done\"}\n");
	return 0;
}

/* --- arguments --- */

static uint32_t device_index(const char *name)
{
	uint32_t index = if_nametoindex(name);

	if (!index)
		die_usage(name);
	return index;
}

static uint32_t tcx_point(const char *word)
{
	if (strcmp(word, "ingress") && strcmp(word, "egress"))
		die_usage("ingress|egress");
	return strcmp(word, "egress") ? TCX_INGRESS : TCX_EGRESS;
}

static uint32_t order_flag(const char *word)
{
	if (strcmp(word, "first") && strcmp(word, "last"))
		die_usage("first|last");
	return strcmp(word, "last") ? FLAG_BEFORE : FLAG_AFTER;
}

static uint32_t xdp_mode(const char *word)
{
	if (strcmp(word, "native") && strcmp(word, "generic"))
		die_usage("native|generic");
	return strcmp(word, "generic") ? XDP_NATIVE : XDP_GENERIC;
}

static int object_open(const char *object, int get_by_id)
{
	union bpf_attr a = { 0 };
	bool by_id = !strncmp(object, "id:", 3);
	long fd;

	if (by_id)
		a.link_id = (uint32_t)strtoul(object + 3, NULL, 10);
	else
		a.pathname = (uintptr_t)object;
	fd = bpf(by_id ? get_by_id : BPF_OBJ_GET, &a, sizeof(a));
	if (fd < 0)
		refused(by_id ? "get by id" : "get by path");
	return (int)fd;
}

/* --- programs --- */

struct verdict {
	const char *word;
	bool device;	     /* it names one */
	int tcx, xdp;	     /* what the program returns; -2: it can't */
	int tcx_call, flags; /* the function that it calls before, and its flags */
};

static const struct verdict verdicts[] = {
	{ "pass", .tcx = 0, .xdp = XDP_PASS },
	{ "drop", .tcx = 2, .xdp = XDP_DROP },
	{ "next", .tcx = -1, .xdp = -2 },
	{ "tx", .tcx = -2, .xdp = XDP_TX },
	{ "redirect:", true, .tcx_call = BPF_FUNC_redirect },
	{ "ingress:", true, .xdp = -2, .tcx_call = BPF_FUNC_redirect, .flags = BPF_F_INGRESS },
	{ "peer:", true, .xdp = -2, .tcx_call = BPF_FUNC_redirect_peer },
	{ "clone:", true, .xdp = -2, .tcx_call = BPF_FUNC_clone_redirect },
};

static const struct verdict *verdict_find(const char *word, bool xdp)
{
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
		const struct verdict *v = &verdicts[i];
		bool same = v->device ? !strncmp(word, v->word, strlen(v->word))
				      : !strcmp(word, v->word);

		if (same && (xdp ? v->xdp : v->tcx) != -2)
			return v;
	}
	die_usage("VERDICT");
}

static struct bpf_insn set(int reg, int value)
{
	return (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K,
				  .dst_reg = (unsigned)reg & 15,
				  .imm = value };
}

static struct bpf_insn call(int function)
{
	return (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = function };
}

/* The program's text; returns how many instructions. */
static int program_write(struct bpf_insn *text, const struct verdict *v, const char *word, bool xdp)
{
	int n = 0;

	if (v->device) {
		bool clone = v->tcx_call == BPF_FUNC_clone_redirect;
		int index = (int)device_index(word + strlen(v->word));

		/* clone_redirect(skb, ifindex, flags); the others lack the skb. */
		text[n++] = set(clone ? BPF_REG_2 : BPF_REG_1, index);
		text[n++] = set(clone ? BPF_REG_3 : BPF_REG_2, v->flags);
		text[n++] = call(v->tcx_call);
		if (clone)
			text[n++] = set(BPF_REG_0, 0);
	} else {
		text[n++] = set(BPF_REG_0, xdp ? v->xdp : v->tcx);
	}
	text[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	return n;
}

static int program_load(const char *word, bool xdp)
{
	static const char licence[] = "GPL";
	struct bpf_insn text[MAX_INSNS];
	union bpf_attr a = { .prog_type = xdp ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS };
	long fd;

	a.insn_cnt = (uint32_t)program_write(text, verdict_find(word, xdp), word, xdp);
	a.insns = (uintptr_t)text;
	a.license = (uintptr_t)licence;
	strncpy(a.prog_name, "attack", sizeof(a.prog_name) - 1);
	fd = bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd < 0)
		refused("load");
	return (int)fd;
}

/* --- tcx --- */

static int link_create(int prog, uint32_t ifindex, uint32_t type, uint32_t flags)
{
	struct link_attr a = {
		.prog_fd = (uint32_t)prog, .ifindex = ifindex, .type = type, .flags = flags
	};
	long link = bpf(BPF_LINK_CREATE, &a, sizeof(a));

	if (link < 0)
		refused("link");
	return hold(prog, (int)link);
}

static int tcx(char **v)
{
	int prog = program_load(v[2], false);

	return link_create(prog, device_index(v[0]), tcx_point(v[1]), order_flag(v[3]));
}

static int tcx_prog(char **v)
{
	struct attach_attr a = { .ifindex = device_index(v[0]),
				 .type = tcx_point(v[1]),
				 .prog_fd = (uint32_t)program_load(v[2], false),
				 .flags = order_flag(v[3]) };

	if (bpf(BPF_PROG_ATTACH, &a, sizeof(a)))
		refused("attach");
	print_done((int)a.prog_fd, -1);
	return 0;
}

static int tcx_replace(char **v)
{
	struct attach_attr a = { .ifindex = device_index(v[0]),
				 .type = tcx_point(v[1]),
				 .prog_fd = (uint32_t)program_load(v[2], false),
				 .flags = FLAG_REPLACE };
	char id[32];

	snprintf(id, sizeof(id), "id:%s", v[3]);
	a.replace_fd = (uint32_t)object_open(id, BPF_PROG_GET_FD_BY_ID);
	if (bpf(BPF_PROG_ATTACH, &a, sizeof(a)))
		refused("replace");
	return done();
}

static int tcx_detach(char **v)
{
	struct attach_attr a = { .ifindex = device_index(v[0]), .type = tcx_point(v[1]) };
	char id[32];

	if (strtoul(v[2], NULL, 10)) {
		snprintf(id, sizeof(id), "id:%s", v[2]);
		a.prog_fd = (uint32_t)object_open(id, BPF_PROG_GET_FD_BY_ID);
	} else {
		a.flags = order_flag(v[2]);
	}
	if (bpf(BPF_PROG_DETACH, &a, sizeof(a)))
		refused("detach");
	return done();
}

static void print_ids(const char *name, const uint32_t *ids, uint32_t n)
{
	printf(",\"%s\":[", name);
	for (uint32_t i = 0; i < n; i++)
		printf("%s%u", i ? "," : "", ids[i]);
	printf("]");
}

static int tcx_query(char **v)
{
	uint32_t programs[MAX_PROGRAMS] = { 0 }, links[MAX_PROGRAMS] = { 0 };
	struct query_attr a = { .ifindex = device_index(v[0]),
				.type = tcx_point(v[1]),
				.count = MAX_PROGRAMS };

	a.prog_ids = (uintptr_t)programs;
	a.link_ids = (uintptr_t)links;
	if (bpf(BPF_PROG_QUERY, &a, sizeof(a)))
		refused("query");
	printf("{\"event\":\"done\"");
	print_ids("prog_ids", programs, a.count);
	print_ids("link_ids", links, a.count);
	printf("}\n");
	return 0;
}

/* --- XDP --- */

static int xdp(char **v)
{
	return link_create(program_load(v[1], true), device_index(v[0]), XDP_POINT, xdp_mode(v[2]));
}

struct xdp_request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct nlattr nest, fd_head;
	int32_t fd;
	struct nlattr flags_head;
	uint32_t flags;
};

static void request_send(const struct xdp_request *r)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[1024];
	} answer;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (s < 0 || send(s, r, sizeof(*r), 0) != sizeof(*r) ||
	    recv(s, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)))
		refused("netlink");
	close(s);
	errno = -answer.error.error;
	if (errno)
		refused("set");
}

static int xdp_set(char **v)
{
	int fd = strcmp(v[1], "off") ? program_load(v[1], true) : -1;
	struct xdp_request r = {
		.head = { .nlmsg_len = sizeof(r),
			  .nlmsg_type = RTM_SETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.link = { .ifi_family = AF_UNSPEC, .ifi_index = (int)device_index(v[0]) },
		.nest = { sizeof(r) - offsetof(struct xdp_request, nest), IFLA_XDP | NLA_F_NESTED },
		.fd_head = { NLA_HDRLEN + sizeof(r.fd), IFLA_XDP_FD },
		.fd = fd,
		.flags_head = { NLA_HDRLEN + sizeof(r.flags), IFLA_XDP_FLAGS },
		.flags = xdp_mode(v[2]),
	};

	request_send(&r);
	if (fd < 0)
		return done();
	print_done(fd, -1);
	return 0;
}

/* --- others' links --- */

static int link_detach(char **v)
{
	union bpf_attr a = { 0 };

	a.link_detach.link_fd = (uint32_t)object_open(v[0], BPF_LINK_GET_FD_BY_ID);
	if (bpf(BPF_LINK_DETACH, &a, sizeof(a)))
		refused("detach");
	return done();
}

static int link_update(char **v)
{
	struct update_attr a = { .link_fd = (uint32_t)object_open(v[0], BPF_LINK_GET_FD_BY_ID) };

	a.prog_fd = (uint32_t)program_load(v[2], !strcmp(v[1], "xdp"));
	if (bpf(BPF_LINK_UPDATE, &a, sizeof(a)))
		refused("update");
	return done();
}

static const struct command {
	const char *name;
	int n_args;
	int (*run)(char **args);
} commands[] = {
	{ "tcx", 4, tcx },
	{ "tcx-prog", 4, tcx_prog },
	{ "tcx-replace", 4, tcx_replace },
	{ "tcx-detach", 3, tcx_detach },
	{ "tcx-query", 2, tcx_query },
	{ "xdp", 3, xdp },
	{ "xdp-set", 3, xdp_set },
	{ "link-detach", 1, link_detach },
	{ "link-update", 3, link_update },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) && argc == commands[i].n_args + 2)
			return commands[i].run(argv + 2);
	die_usage("the command");
}
