// SPDX-License-Identifier: Apache-2.0
/*
 * One TCP connection whose every step is done by io_uring, with the bare system calls.
 *
 *   uring client|server inline|async|sqpoll|fixed IP [PORT]
 *
 * inline: as io_uring sees fit; async: by its workers; sqpoll: by its polling thread; fixed: the
 * socket is in io_uring's own table alone, and nobody closes it. The client sends five bytes and
 * receives five, the server the other way round. Lines as talk's: "ready" and "done". Status 77:
 * io_uring is not to be had here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N_ENTRIES = 4, N_BYTES = 5, NOT_HERE = 77 };

struct ring {
	int fd;
	bool async, poll, fixed;
	uint32_t *sq_tail, *sq_flags, *cq_head, *cq_tail;
	uint32_t *sq_array;
	uint32_t sq_mask, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "uring: %s: %s\n", what, strerror(errno));
	exit(errno == ENOSYS || errno == EPERM ? NOT_HERE : 1);
}

static char *ring_map(const struct ring *r, size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, what);

	if (p == MAP_FAILED)
		die("mmap of the ring");
	return p;
}

static void ring_open(struct ring *r, const char *mode)
{
	struct io_uring_params p = { 0 };
	char *sq, *cq;

	r->async = !strcmp(mode, "async");
	r->poll = !strcmp(mode, "sqpoll");
	r->fixed = !strcmp(mode, "fixed");
	if (r->poll) {
		p.flags = IORING_SETUP_SQPOLL;
		p.sq_thread_idle = 1000;
	}
	r->fd = (int)syscall(__NR_io_uring_setup, N_ENTRIES, &p);
	if (r->fd < 0)
		die("io_uring_setup");
	sq = ring_map(r, p.sq_off.array + p.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	cq = ring_map(r, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	r->sqes = (void *)ring_map(r, p.sq_entries * sizeof(*r->sqes), IORING_OFF_SQES);
	r->sq_tail = (void *)(sq + p.sq_off.tail);
	r->sq_flags = (void *)(sq + p.sq_off.flags);
	r->sq_array = (void *)(sq + p.sq_off.array);
	r->sq_mask = p.sq_entries - 1;
	r->cq_head = (void *)(cq + p.cq_off.head);
	r->cq_tail = (void *)(cq + p.cq_off.tail);
	r->cqes = (void *)(cq + p.cq_off.cqes);
	r->cq_mask = p.cq_entries - 1;
}

static void ring_enter(struct ring *r)
{
	unsigned int flags = IORING_ENTER_GETEVENTS;

	if (r->poll && __atomic_load_n(r->sq_flags, __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP)
		flags |= IORING_ENTER_SQ_WAKEUP;
	if (syscall(__NR_io_uring_enter, r->fd, r->poll ? 0 : 1, 1, flags, NULL, 0) < 0)
		die("io_uring_enter");
}

/* Have @e done, and wait for it. Returns its result. */
static int ring_do(struct ring *r, const struct io_uring_sqe *e, const char *what)
{
	uint32_t tail = *r->sq_tail, head = *r->cq_head, at = tail & r->sq_mask;
	int result;

	r->sqes[at] = *e;
	if (r->async)
		r->sqes[at].flags |= IOSQE_ASYNC;
	r->sq_array[at] = at;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ring_enter(r);
	if (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head) {
		fprintf(stderr, "uring: %s: no completion\n", what);
		exit(1);
	}
	result = r->cqes[head & r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	if (result < 0) {
		errno = -result;
		die(what);
	}
	return result;
}

/* Move @fd to io_uring's own table, where it has index 0. */
static int ring_take(const struct ring *r, int fd)
{
	if (syscall(__NR_io_uring_register, r->fd, IORING_REGISTER_FILES, &fd, 1))
		die("io_uring_register");
	close(fd);
	return 0;
}

static void ring_bytes(struct ring *r, int opcode, int fd, const char *what)
{
	static char bytes[N_BYTES];
	struct io_uring_sqe e = { .opcode = (uint8_t)opcode, .fd = fd, .len = N_BYTES };

	e.addr = (uintptr_t)bytes;
	e.flags = r->fixed ? IOSQE_FIXED_FILE : 0;
	if (opcode == IORING_OP_RECV)
		e.msg_flags = MSG_WAITALL;
	if (ring_do(r, &e, what) != N_BYTES) {
		fprintf(stderr, "uring: %s: fewer bytes than expected\n", what);
		exit(1);
	}
}

static void print_line(const char *event, int fd)
{
	struct sockaddr_in local = { 0 }, remote = { 0 };
	socklen_t len = sizeof(local);

	getsockname(fd, (struct sockaddr *)&local, &len);
	len = sizeof(remote);
	getpeername(fd, (struct sockaddr *)&remote, &len);
	printf("{\"event\":\"%s\",\"pid\":%d,\"local\":{\"port\":%d},\"remote\":{\"port\":%d}}\n",
	       event, getpid(), ntohs(local.sin_port), ntohs(remote.sin_port));
	fflush(stdout);
}

static int connected(struct ring *r, const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct io_uring_sqe e = { .opcode = IORING_OP_CONNECT, .fd = fd };

	if (fd < 0)
		die("socket");
	e.addr = (uintptr_t)to;
	e.off = sizeof(*to);
	print_line("ready", fd);
	ring_do(r, &e, "connect");
	return fd;
}

static int accepted(struct ring *r, const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct io_uring_sqe e = { .opcode = IORING_OP_ACCEPT, .fd = fd };

	if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof(*at)) || listen(fd, 1))
		die("listen");
	print_line("ready", fd);
	return ring_do(r, &e, "accept");
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct ring ring = { 0 };
	bool client;
	int fd;

	if (argc < 4 || inet_pton(AF_INET, argv[3], &address.sin_addr) != 1) {
		fprintf(stderr, "uring client|server inline|async|sqpoll|fixed IP [PORT]\n");
		return 2;
	}
	client = !strcmp(argv[1], "client");
	address.sin_port = htons((uint16_t)(argc > 4 ? strtol(argv[4], NULL, 10) : 0));
	ring_open(&ring, argv[2]);
	fd = client ? connected(&ring, &address) : accepted(&ring, &address);
	print_line("done", fd);
	if (ring.fixed)
		fd = ring_take(&ring, fd);
	ring_bytes(&ring, client ? IORING_OP_SEND : IORING_OP_RECV, fd, "the first bytes");
	ring_bytes(&ring, client ? IORING_OP_RECV : IORING_OP_SEND, fd, "the second bytes");
	return 0;
}
