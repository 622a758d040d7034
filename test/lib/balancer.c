// SPDX-License-Identifier: Apache-2.0
/*
 * What a socket load balancer does: an address that connect() asks for is changed by a BPF program
 * of a cgroup, before the socket sees it.
 *
 *   balancer CGROUP IP PORT TO_IP TO_PORT
 *
 * {"event":"ready"} once the program is attached; it goes when stdin ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_INSNS = 32, N_WORDS_MAX = 5 };

/* An address and its port, as words of struct bpf_sock_addr. */
struct target {
	int n;
	uint32_t words[N_WORDS_MAX];
	short offsets[N_WORDS_MAX];
};

struct program {
	struct bpf_insn insns[MAX_INSNS];
	int n;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "balancer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void target_add(struct target *t, size_t offset, uint32_t word)
{
	t->offsets[t->n] = (short)offset;
	t->words[t->n++] = word;
}

static struct target target_of(const char *ip, const char *port)
{
	struct target t = { 0 };
	uint32_t words[4];

	if (inet_pton(AF_INET, ip, words) == 1)
		target_add(&t, offsetof(struct bpf_sock_addr, user_ip4), words[0]);
	else if (inet_pton(AF_INET6, ip, words) == 1)
		for (size_t i = 0; i < 4; i++)
			target_add(&t, offsetof(struct bpf_sock_addr, user_ip6) + 4 * i, words[i]);
	else
		die(ip);
	target_add(&t, offsetof(struct bpf_sock_addr, user_port), htons((uint16_t)atoi(port)));
	return t;
}

static void put(struct program *p, struct bpf_insn insn)
{
	p->insns[p->n++] = insn;
}

/* if (the address is @from) the address = @to; return 1 */
static struct program program_of(const struct target *from, const struct target *to)
{
	struct program p = { 0 };
	int end = 2 * from->n + 2 * to->n;

	for (int i = 0; i < from->n; i++) {
		put(&p, (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
					   .dst_reg = BPF_REG_2,
					   .src_reg = BPF_REG_1,
					   .off = from->offsets[i] });
		put(&p, (struct bpf_insn){ .code = BPF_JMP32 | BPF_JNE | BPF_K,
					   .dst_reg = BPF_REG_2,
					   .off = (short)(end - p.n - 1),
					   .imm = (int)from->words[i] });
	}
	for (int i = 0; i < to->n; i++) {
		put(&p, (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K,
					   .dst_reg = BPF_REG_2,
					   .imm = (int)to->words[i] });
		put(&p, (struct bpf_insn){ .code = BPF_STX | BPF_MEM | BPF_W,
					   .dst_reg = BPF_REG_1,
					   .src_reg = BPF_REG_2,
					   .off = to->offsets[i] });
	}
	put(&p, (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1 });
	put(&p, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
	return p;
}

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* The link's descriptor. */
static int attach(const struct program *p, int cgroup_fd, enum bpf_attach_type type)
{
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR };
	int prog_fd, fd;

	attr.expected_attach_type = type;
	attr.insns = (uint64_t)(uintptr_t)p->insns;
	attr.insn_cnt = (uint32_t)p->n;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	prog_fd = bpf(BPF_PROG_LOAD, &attr);
	if (prog_fd < 0)
		die("loading the program");
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog_fd;
	attr.link_create.target_fd = (uint32_t)cgroup_fd;
	attr.link_create.attach_type = type;
	fd = bpf(BPF_LINK_CREATE, &attr);
	if (fd < 0)
		die("attaching the program");
	close(prog_fd);
	return fd;
}

int main(int argc, char **argv)
{
	struct target from, to;
	struct program p;
	int cgroup_fd, link_fd;
	char c;

	if (argc != 6) {
		fprintf(stderr, "usage: balancer CGROUP IP PORT TO_IP TO_PORT\n");
		return 2;
	}
	from = target_of(argv[2], argv[3]);
	to = target_of(argv[4], argv[5]);
	p = program_of(&from, &to);
	cgroup_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup_fd < 0)
		die(argv[1]);
	link_fd = attach(&p, cgroup_fd,
			 from.n == 2 ? BPF_CGROUP_INET4_CONNECT : BPF_CGROUP_INET6_CONNECT);
	printf("{\"event\":\"ready\",\"pid\":%d}\n", getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	close(link_fd);
	return 0;
}
