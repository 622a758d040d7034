// SPDX-License-Identifier: Apache-2.0
/*
 * Frames of a known number and length, by each way that user space has to a device.
 *
 *   frames send DEVICE COUNT LENGTH [MAC]     by a packet socket
 *   frames bypass DEVICE COUNT LENGTH [MAC]   the same with PACKET_QDISC_BYPASS
 *   frames xsk-send DEVICE COUNT LENGTH [MAC] by an AF_XDP socket, in copy mode
 *   frames xsk-receive DEVICE                 by an AF_XDP socket: takes all that DEVICE receives
 *
 * LENGTH is with the L2 header; MAC, to whom, is the broadcast address by default. The frames are
 * of an EtherType that no kernel answers to or sends (0x88b5, for experiments), so nothing else is
 * counted.
 *
 * Lines: xsk-receive says {"event":"ready"} first, and receives until stdin ends; {"event":"done"}
 * has the number of frames, and how many of them the kernel refused because something dropped
 * them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ETHERTYPE = 0x88b5,
	MAX_LENGTH = 2048,
	N_FRAMES = 1024, /* of the AF_XDP socket's memory, and of each ring: a power of two */
	PATIENCE_MS = 10000,
	XDP_POINT = 37,
	XDP_NATIVE = 1 << 2,
};

struct order {
	const char *device;
	int index;
	long count;
	size_t length;
	unsigned char mac[ETH_ALEN];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void die_usage(const char *what)
{
	fprintf(stderr, "frames: wrong or missing: %s\n", what);
	exit(2);
}

static long must(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static int done(long n, long n_refused)
{
	printf("{\"event\":\"done\",\"frames\":%ld,\"refused\":%ld}\n", n, n_refused);
	return 0;
}

static void frame_write(unsigned char *at, const struct order *o)
{
	struct ethhdr head = { .h_proto = htons(ETHERTYPE), .h_source = { 2, 0, 0, 0, 0, 1 } };

	memcpy(head.h_dest, o->mac, ETH_ALEN);
	memset(at, 0, o->length);
	memcpy(at, &head, sizeof(head));
}

/* --- packet sockets --- */

static int packet_send(const struct order *o, int bypass)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = o->index,
				  .sll_halen = ETH_ALEN };
	int fd = (int)must(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "socket");
	unsigned char frame[MAX_LENGTH];
	long n_refused = 0;

	frame_write(frame, o);
	memcpy(to.sll_addr, o->mac, ETH_ALEN);
	must(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass)),
	     "PACKET_QDISC_BYPASS");
	for (long i = 0; i < o->count; i++) {
		ssize_t n = sendto(fd, frame, o->length, 0, (struct sockaddr *)&to, sizeof(to));

		if (n < 0 && errno == ENOBUFS)
			n_refused++;
		else
			must(n, "sendto");
	}
	return done(o->count, n_refused);
}

static int send_plain(const struct order *o)
{
	return packet_send(o, 0);
}

static int send_bypass(const struct order *o)
{
	return packet_send(o, 1);
}

/* --- AF_XDP --- */

struct ring {
	uint32_t *producer, *consumer;
	void *entries;
};

struct xsk {
	int fd;
	unsigned char *memory;
	struct ring fill, completion, rx, tx;
};

static uint32_t load(const uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *at, uint32_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static void ring_size(int fd, int which)
{
	int n = N_FRAMES;

	must(setsockopt(fd, SOL_XDP, which, &n, sizeof(n)), "the size of a ring");
}

static void ring_map(struct ring *r, int fd, const struct xdp_ring_offset *o, size_t entry,
		     off_t which)
{
	size_t size = o->desc + N_FRAMES * entry;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, which);

	if (at == MAP_FAILED)
		die("mmap of a ring");
	r->producer = (uint32_t *)(at + o->producer);
	r->consumer = (uint32_t *)(at + o->consumer);
	r->entries = at + o->desc;
}

static void xsk_memory(struct xsk *x)
{
	struct xdp_umem_reg reg = { .len = N_FRAMES * MAX_LENGTH, .chunk_size = MAX_LENGTH };

	x->memory = mmap(NULL, reg.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (x->memory == MAP_FAILED)
		die("mmap");
	reg.addr = (uintptr_t)x->memory;
	must(setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)), "XDP_UMEM_REG");
}

static void xsk_open(struct xsk *x, const struct order *o)
{
	struct sockaddr_xdp at = { .sxdp_family = AF_XDP,
				   .sxdp_flags = XDP_COPY,
				   .sxdp_ifindex = (uint32_t)o->index };
	struct xdp_mmap_offsets offsets;
	socklen_t len = sizeof(offsets);
	int fd = (int)must(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "AF_XDP");

	x->fd = fd;
	xsk_memory(x);
	ring_size(fd, XDP_UMEM_FILL_RING);
	ring_size(fd, XDP_UMEM_COMPLETION_RING);
	ring_size(fd, XDP_RX_RING);
	ring_size(fd, XDP_TX_RING);
	must(getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &len), "XDP_MMAP_OFFSETS");
	ring_map(&x->fill, fd, &offsets.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	ring_map(&x->completion, fd, &offsets.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
	ring_map(&x->rx, fd, &offsets.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	ring_map(&x->tx, fd, &offsets.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	must(bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
}

static int send_xsk(const struct order *o)
{
	struct xdp_desc *entries;
	struct xsk x;

	if (o->count > N_FRAMES)
		die_usage("COUNT");
	xsk_open(&x, o);
	entries = x.tx.entries;
	for (long i = 0; i < o->count; i++) {
		entries[i] = (struct xdp_desc){ .addr = (uint64_t)i * MAX_LENGTH,
						.len = (uint32_t)o->length };
		frame_write(x.memory + i * MAX_LENGTH, o);
	}
	store(x.tx.producer, (uint32_t)o->count);
	/* Each call sends some. */
	for (int i = 0; i < PATIENCE_MS && load(x.completion.producer) < o->count; i++) {
		if (sendto(x.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
		    errno != EBUSY && errno != ENOBUFS)
			die("sendto");
		poll(NULL, 0, load(x.completion.producer) < o->count);
	}
	return done(load(x.completion.producer), 0);
}

/* --- an XDP program that hands all to the socket --- */

static long bpf(int command, union bpf_attr *a)
{
	return syscall(SYS_bpf, command, a, sizeof(*a));
}

static int map_with(int fd)
{
	union bpf_attr a = { .map_type = BPF_MAP_TYPE_XSKMAP,
			     .key_size = sizeof(uint32_t),
			     .value_size = sizeof(uint32_t),
			     .max_entries = 1 };
	int map = (int)must(bpf(BPF_MAP_CREATE, &a), "XSKMAP");
	uint32_t queue = 0, value = (uint32_t)fd;
	union bpf_attr u = { .map_fd = (uint32_t)map };

	u.key = (uintptr_t)&queue;
	u.value = (uintptr_t)&value;
	must(bpf(BPF_MAP_UPDATE_ELEM, &u), "XSKMAP's element");
	return map;
}

static struct bpf_insn set(int reg, int value)
{
	return (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K,
				  .dst_reg = (unsigned)reg & 15,
				  .imm = value };
}

/* return bpf_redirect_map(map, 0, XDP_PASS) */
static int program_load(int map)
{
	struct bpf_insn text[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{ 0 },
		set(BPF_REG_2, 0),
		set(BPF_REG_3, XDP_PASS),
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr a = { .prog_type = BPF_PROG_TYPE_XDP,
			     .insn_cnt = sizeof(text) / sizeof(*text) };

	a.insns = (uintptr_t)text;
	a.license = (uintptr_t) "GPL";
	return (int)must(bpf(BPF_PROG_LOAD, &a), "the XDP program");
}

static void program_attach(int program, const struct order *o)
{
	union bpf_attr a = { .link_create = { .prog_fd = (uint32_t)program,
					      .target_ifindex = (uint32_t)o->index,
					      .attach_type = XDP_POINT,
					      .flags = XDP_NATIVE } };

	must(bpf(BPF_LINK_CREATE, &a), "the XDP program's link");
}

static void fill_all(struct xsk *x)
{
	uint64_t *entries = x->fill.entries;

	for (uint32_t i = 0; i < N_FRAMES; i++)
		entries[i] = (uint64_t)i * MAX_LENGTH;
	store(x->fill.producer, N_FRAMES);
}

static int receive_xsk(const struct order *o)
{
	struct pollfd end = { .fd = 0, .events = POLLIN };
	struct xsk x;

	xsk_open(&x, o);
	fill_all(&x);
	program_attach(program_load(map_with(x.fd)), o);
	printf("{\"event\":\"ready\"}\n");
	fflush(stdout);
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
	return done(load(x.rx.producer), 0);
}

static const struct way {
	const char *name;
	int n_args;
	int (*run)(const struct order *o);
} ways[] = {
	{ "send", 3, send_plain },
	{ "bypass", 3, send_bypass },
	{ "xsk-send", 3, send_xsk },
	{ "xsk-receive", 1, receive_xsk },
};

static void order_read(struct order *o, int n, char **args)
{
	unsigned int m[ETH_ALEN] = { 255, 255, 255, 255, 255, 255 };

	o->device = args[0];
	o->index = (int)if_nametoindex(args[0]);
	if (!o->index)
		die_usage(args[0]);
	if (n < 3)
		return;
	o->count = strtol(args[1], NULL, 10);
	o->length = strtoul(args[2], NULL, 10);
	if (o->length < ETH_HLEN || o->length > MAX_LENGTH)
		die_usage("LENGTH");
	if (n > 3 && sscanf(args[3], "%2x:%2x:%2x:%2x:%2x:%2x", m, m + 1, m + 2, m + 3, m + 4,
			    m + 5) != ETH_ALEN)
		die_usage("MAC");
	for (int i = 0; i < ETH_ALEN; i++)
		o->mac[i] = (unsigned char)m[i];
}

int main(int argc, char **argv)
{
	struct order o = { 0 };
	int n = argc - 2;

	for (size_t i = 0; n > 0 && i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(argv[1], ways[i].name) && n >= ways[i].n_args) {
			order_read(&o, n, argv + 2);
			return ways[i].run(&o);
		}
	die_usage("the way");
}
