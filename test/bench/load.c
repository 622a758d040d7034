// SPDX-License-Identifier: Apache-2.0
/*
 * The load of the benchmark.
 *
 *	load serve KIND ADDRESS PORT	answers until its parent ends; says "ready" first
 *	load drive KIND ADDRESS PORT	for each line "WARM UNITS" of standard input does WARM
 *					units of work, then times UNITS more, and answers with
 *					"NS P50_NS P99_NS" (percentiles: 0 where there are none)
 *
 * Warm-up and measured work run through without a pause, so that what a tool does late (it drains a
 * buffer every so often) reaches from the warm-up into the measured time as it reaches out of its
 * end. Connections of kinds that keep one are made before the warm-up. IPv4 only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES (64 * 1024) /* a unit of bulk */
#define REQUEST_BYTES 128
#define RESPONSE_BYTES 1024
#define DATAGRAM_BYTES 64
#define WINDOW 64 /* datagrams sent before their receipt is awaited */
#define TIMEOUT_S 10

struct load {
	struct sockaddr_in peer;
	unsigned long warm, units;
	unsigned *latency_ns; /* by measured unit, for kinds that take it */
	unsigned long n_latency;
	long long begin_ns; /* of the measured part */
};

struct kind {
	const char *name;
	int type;		/* SOCK_STREAM, SOCK_DGRAM */
	void (*answer)(int fd); /* one accepted connection, or the bound UDP socket */
	void (*drive)(struct load *l);
};

static char buffer[CHUNK_BYTES];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The unit numbered i is about to begin. */
static void unit_begins(struct load *l, unsigned long i)
{
	if (i == l->warm)
		l->begin_ns = now_ns();
}

static int socket_open(int type)
{
	struct timeval limit = { .tv_sec = TIMEOUT_S };
	int one = 1, fd = socket(AF_INET, type, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int peer_connect(const struct load *l, int type)
{
	int fd = socket_open(type);

	if (connect(fd, (const struct sockaddr *)&l->peer, sizeof(l->peer)))
		fail("connect");
	return fd;
}

static void send_all(int fd, size_t n_bytes)
{
	size_t done = 0;

	while (done < n_bytes) {
		ssize_t n = send(fd, buffer + done, n_bytes - done, MSG_NOSIGNAL);

		if (n <= 0)
			fail("send");
		done += n;
	}
}

/* False at the end of the stream (or once the peer has reset it). */
static int receive_all(int fd, size_t n_bytes)
{
	size_t done = 0;

	while (done < n_bytes) {
		ssize_t n = recv(fd, buffer, n_bytes - done, 0);

		if (n < 0 && errno != ECONNRESET)
			fail("recv");
		if (n <= 0)
			return 0;
		done += n;
	}
	return 1;
}

static void must_receive(int fd, size_t n_bytes)
{
	if (receive_all(fd, n_bytes))
		return;
	errno = EPIPE;
	fail("recv");
}

/* --- connect: open, a byte each way, close; the client closes first --- */

static void connect_answer(int fd)
{
	if (!receive_all(fd, 1))
		return;
	send_all(fd, 1);
	receive_all(fd, 1);
}

static void connect_drive(struct load *l)
{
	for (unsigned long i = 0; i < l->warm + l->units; i++) {
		int fd;

		unit_begins(l, i);
		fd = peer_connect(l, SOCK_STREAM);
		send_all(fd, 1);
		must_receive(fd, 1);
		close(fd);
	}
}

/* --- bulk: one direction, in chunks; done when the receiver has read the last --- */

static void bulk_answer(int fd)
{
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		;
	if (!n)
		send_all(fd, 1);
}

static void bulk_drive(struct load *l)
{
	int fd = peer_connect(l, SOCK_STREAM);

	for (unsigned long i = 0; i < l->warm + l->units; i++) {
		unit_begins(l, i);
		send_all(fd, CHUNK_BYTES);
	}
	shutdown(fd, SHUT_WR);
	must_receive(fd, 1);
	close(fd);
}

/* --- rr: request and response on one connection --- */

static void rr_answer(int fd)
{
	while (receive_all(fd, REQUEST_BYTES))
		send_all(fd, RESPONSE_BYTES);
}

static void rr_drive(struct load *l)
{
	int fd = peer_connect(l, SOCK_STREAM);

	for (unsigned long i = 0; i < l->warm + l->units; i++) {
		long long begin_ns = now_ns();

		unit_begins(l, i);
		send_all(fd, REQUEST_BYTES);
		must_receive(fd, RESPONSE_BYTES);
		if (i >= l->warm)
			l->latency_ns[l->n_latency++] = now_ns() - begin_ns;
	}
	close(fd);
}

/* --- udp: datagrams one way, a receipt for every WINDOW of them --- */

static void udp_answer(int fd)
{
	for (unsigned long n_received = 1;; n_received++) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		unsigned position;

		if (recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &size) < 0) {
			if (errno == EAGAIN)
				continue;
			fail("recvfrom");
		}
		memcpy(&position, buffer, sizeof(position));
		if (position == WINDOW - 1)
			sendto(fd, buffer, sizeof(position), 0, (struct sockaddr *)&from, size);
	}
}

static void udp_window(int fd)
{
	char datagram[DATAGRAM_BYTES] = "";

	for (unsigned position = 0; position < WINDOW; position++) {
		memcpy(datagram, &position, sizeof(position));
		if (send(fd, datagram, sizeof(datagram), 0) != sizeof(datagram))
			fail("send");
	}
	if (recv(fd, datagram, sizeof(datagram), 0) < 0)
		fail("a datagram of the window was lost");
}

static void udp_drive(struct load *l)
{
	int fd = peer_connect(l, SOCK_DGRAM);

	for (unsigned long i = 0; i < l->warm + l->units; i++) {
		unit_begins(l, i);
		udp_window(fd);
	}
	close(fd);
}

/* --- the two sides --- */

static const struct kind kinds[] = {
	{ "connect", SOCK_STREAM, connect_answer, connect_drive },
	{ "bulk", SOCK_STREAM, bulk_answer, bulk_drive },
	{ "rr", SOCK_STREAM, rr_answer, rr_drive },
	{ "udp", SOCK_DGRAM, udp_answer, udp_drive },
};

static void serve(const struct kind *k, const struct sockaddr_in *at)
{
	int fd = socket_open(k->type);

	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)))
		fail("bind");
	if (k->type == SOCK_STREAM && listen(fd, 1024))
		fail("listen");
	puts("ready");
	if (k->type == SOCK_DGRAM)
		k->answer(fd);
	for (;;) {
		int c = accept(fd, NULL, NULL);

		if (c < 0 && errno != EAGAIN && errno != ECONNABORTED)
			fail("accept");
		if (c < 0)
			continue;
		k->answer(c);
		close(c);
	}
}

static int latency_compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static unsigned percentile(const struct load *l, unsigned percent)
{
	return l->n_latency ? l->latency_ns[(l->n_latency - 1) * percent / 100] : 0;
}

static void drive_once(const struct kind *k, struct load *l)
{
	long long end_ns;

	l->n_latency = 0;
	l->latency_ns = calloc(l->units, sizeof(*l->latency_ns));
	if (!l->latency_ns)
		fail("memory");
	/* No page faults while measuring. */
	memset(l->latency_ns, 1, l->units * sizeof(*l->latency_ns));
	k->drive(l);
	end_ns = now_ns();
	qsort(l->latency_ns, l->n_latency, sizeof(*l->latency_ns), latency_compare);
	printf("%lld %u %u\n", end_ns - l->begin_ns, percentile(l, 50), percentile(l, 99));
	free(l->latency_ns);
}

static void drive(const struct kind *k, const struct sockaddr_in *peer)
{
	struct load l = { .peer = *peer };

	while (scanf("%lu %lu", &l.warm, &l.units) == 2) {
		if (!l.units) {
			errno = EINVAL;
			fail("units");
		}
		drive_once(k, &l);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: load serve|drive connect|bulk|rr|udp ADDRESS PORT\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };

	if (argc != 5 || inet_pton(AF_INET, argv[3], &at.sin_addr) != 1)
		return usage();
	at.sin_port = htons(strtoul(argv[4], NULL, 10));
	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[2], kinds[i].name))
			continue;
		if (!strcmp(argv[1], "serve"))
			serve(&kinds[i], &at);
		else if (!strcmp(argv[1], "drive"))
			drive(&kinds[i], &at);
		else
			break;
		return 0;
	}
	return usage();
}
