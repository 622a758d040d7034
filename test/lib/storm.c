// SPDX-License-Identifier: Apache-2.0
/*
 * A storm of which every drop is counted: loads as hard as the host can make them, in namespaces of
 * their own, and one JSON object a line about what they did.
 *
 *   storm converse fin|rst|udp CLIENTS SECONDS EACH RATE
 *           CLIENTS clients at once, each with a server process of its own, both in a namespace
 *           that lives for EACH conversations: connect, a byte each way, close; with rst the
 *           client aborts; udp is a request and its answer from a fresh socket. The i-th
 *           conversation of a namespace comes from port FIRST_PORT + i. RATE a second of all
 *           clients; 0: no limit. A line a namespace: its cookie, both pids, conversations.
 *   storm exec SECONDS WORKERS talk|mute
 *           WORKERS that fork and exec as fast as they can; talk: each has one TCP conversation.
 *   storm flows SECONDS RATE EACH
 *           UDP datagrams by sendmmsg(), each with a 5-tuple of its own; EACH a sending socket.
 *   storm namespaces N
 *           N namespaces, held until its standard input ends.
 *
 * The last line sums up: seconds, how many of what.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum {
	SERVER_PORT = 7000,
	FIRST_PORT = 10000,
	EACH_MAX = 20000, /* below the ports that the kernel chooses from */
	BATCH = 64,	  /* datagrams a sendmmsg() */
	NS_PER_SEC = 1000000000,
	PATIENCE_SECONDS = 10,
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int must(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * (int64_t)NS_PER_SEC + t.tv_nsec;
}

/* --- pieces --- */

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int socket_bound(int type, uint16_t port)
{
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	struct sockaddr_in at = loopback(port);
	int fd = must(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");

	must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), "setsockopt");
	must(bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
	return fd;
}

static void loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK };
	int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");

	must(ioctl(fd, SIOCSIFFLAGS, &r), "lo");
	close(fd);
}

/* Leave this namespace for a new one. */
static void enter_new_namespace(void)
{
	must(unshare(CLONE_NEWNET), "unshare");
	loopback_up();
}

static uint64_t netns_cookie(void)
{
	int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	must(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len), "SO_NETNS_COOKIE");
	close(fd);
	return cookie;
}

/* A child that ends with its parent; the child gets 0. */
static pid_t child_start(void)
{
	pid_t parent = getpid(), pid = must(fork(), "fork");

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(1);
	}
	return pid;
}

static void child_end(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0), "waitpid");
	if (status) {
		errno = ECHILD;
		fail("a child failed");
	}
}

/* One whole line at once: others write to the same pipe. */
static void say(const char *line, int len)
{
	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		fail("write");
}

#define SAY(...)                                                         \
	do {                                                             \
		char line_[256];                                         \
		say(line_, snprintf(line_, sizeof(line_), __VA_ARGS__)); \
	} while (0)

/* --- pace --- */

struct pace {
	int64_t next_ns, gap_ns; /* gap 0: as fast as it goes */
};

static struct pace pace_of(double rate, int n_at_once)
{
	return (struct pace){ .next_ns = now_ns(),
			      .gap_ns = rate > 0 ? (int64_t)(1e9 * n_at_once / rate) : 0 };
}

/* Not earlier than it is time for the next @n; what is late is caught up with, up to a second. */
static void pace_wait(struct pace *p, int n)
{
	int64_t ahead = p->next_ns - now_ns();

	p->next_ns += n * p->gap_ns;
	if (ahead < -(int64_t)NS_PER_SEC)
		p->next_ns -= ahead;
	if (!p->gap_ns || ahead < 1000000)
		return;
	nanosleep(&(struct timespec){ .tv_sec = ahead / NS_PER_SEC, .tv_nsec = ahead % NS_PER_SEC },
		  NULL);
}

/* --- converse --- */

struct kind {
	const char *name;
	int type;
	bool abort;
};

static const struct kind kinds[] = {
	{ "fin", SOCK_STREAM, false },
	{ "rst", SOCK_STREAM, true },
	{ "udp", SOCK_DGRAM, false },
};

static void tcp_answer(int listener)
{
	char byte;
	int fd = must(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");

	if (recv(fd, &byte, 1, 0) != 1 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		fail("server: a byte each way");
	if (recv(fd, &byte, 1, 0) > 0) /* until the end, or a reset */
		fail("server: more than a byte");
	close(fd);
}

static void udp_answer(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char byte;

	if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &len) != 1 ||
	    sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, len) != 1)
		fail("server: a request and its answer");
}

/* In a process of its own: @n conversations, then it is over. */
static pid_t server_start(const struct kind *k, int n)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	must(pipe2(ready, O_CLOEXEC), "pipe");
	pid = child_start();
	if (!pid) {
		int fd = socket_bound(k->type, SERVER_PORT);

		if (k->type == SOCK_STREAM)
			must(listen(fd, 16), "listen");
		if (write(ready[1], &byte, 1) != 1)
			fail("ready");
		while (n--)
			k->type == SOCK_STREAM ? tcp_answer(fd) : udp_answer(fd);
		exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		fail("a server's begin");
	close(ready[0]);
	return pid;
}

static void converse_once(const struct kind *k, uint16_t from_port)
{
	struct linger none = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in server = loopback(SERVER_PORT);
	int fd = socket_bound(k->type, from_port);
	char byte = 'x';

	must(connect(fd, (struct sockaddr *)&server, sizeof(server)), "connect");
	if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
		fail("client: a byte each way");
	if (k->abort)
		must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), "SO_LINGER");
	close(fd);
}

/* A namespace with @each conversations. */
static void converse_in_namespace(const struct kind *k, int each, struct pace *pace)
{
	uint64_t cookie;
	pid_t server;

	enter_new_namespace();
	cookie = netns_cookie();
	server = server_start(k, each);
	for (int i = 0; i < each; i++) {
		pace_wait(pace, 1);
		converse_once(k, FIRST_PORT + i);
	}
	child_end(server);
	SAY("{\"netns\":%llu,\"client\":%d,\"server\":%d,\"conversations\":%d}\n",
	    (unsigned long long)cookie, getpid(), server, each);
}

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	errno = EINVAL;
	fail(name);
}

static void converse(char **argv)
{
	const struct kind *k = kind_find(argv[0]);
	int n_clients = atoi(argv[1]), each = atoi(argv[3]);
	int64_t begin_ns = now_ns(), end_ns = begin_ns + (int64_t)(atof(argv[2]) * 1e9);
	pid_t clients[64];

	if (n_clients < 1 || n_clients > 64 || each < 1 || each > EACH_MAX) {
		errno = EINVAL;
		fail("converse");
	}
	for (int i = 0; i < n_clients; i++) {
		clients[i] = child_start();
		if (!clients[i]) {
			struct pace pace = pace_of(atof(argv[4]), n_clients);

			while (now_ns() < end_ns)
				converse_in_namespace(k, each, &pace);
			exit(0);
		}
	}
	for (int i = 0; i < n_clients; i++)
		child_end(clients[i]);
	SAY("{\"seconds\":%.3f}\n", (double)(now_ns() - begin_ns) / 1e9);
}

/* --- exec --- */

static void touch(char **argv)
{
	struct sockaddr_in server = loopback(SERVER_PORT);
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	must(connect(fd, (struct sockaddr *)&server, sizeof(server)), "connect");
}

static void nothing(char **argv)
{
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			close(fd);
	}
}

static long exec_until(int64_t end_ns, const char *role)
{
	char *const argv[] = { "storm", (char *)role, NULL };
	long n = 0;

	for (; now_ns() < end_ns; n++) {
		pid_t pid;

		errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, NULL);
		if (errno)
			fail("posix_spawn");
		child_end(pid);
	}
	return n;
}

static void exec_storm(char **argv)
{
	int64_t begin_ns = now_ns(), end_ns = begin_ns + (int64_t)(atof(argv[0]) * 1e9);
	int n_workers = atoi(argv[1]), sums[2], listener;
	const char *role = strcmp(argv[2], "talk") ? "nothing" : "touch";
	long n, sum = 0;
	pid_t server;

	enter_new_namespace();
	must(pipe2(sums, O_CLOEXEC), "pipe");
	listener = socket_bound(SOCK_STREAM, SERVER_PORT);
	must(listen(listener, 1024), "listen");
	server = child_start();
	if (!server)
		accept_all(listener);
	for (int i = 0; i < n_workers; i++) {
		if (child_start())
			continue;
		n = exec_until(end_ns, role);
		exit(write(sums[1], &n, sizeof(n)) != sizeof(n));
	}
	for (int i = 0; i < n_workers; i++, sum += n)
		if (read(sums[0], &n, sizeof(n)) != sizeof(n))
			fail("a worker");
	SAY("{\"seconds\":%.3f,\"processes\":%ld,\"netns\":%llu}\n",
	    (double)(now_ns() - begin_ns) / 1e9, sum, (unsigned long long)netns_cookie());
	kill(server, SIGKILL);
}

/* --- flows --- */

struct batch {
	struct mmsghdr headers[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in to[BATCH];
	char byte;
};

static void batch_init(struct batch *b)
{
	memset(b, 0, sizeof(*b));
	for (int i = 0; i < BATCH; i++) {
		b->to[i] = loopback(SERVER_PORT);
		b->iov[i] = (struct iovec){ .iov_base = &b->byte, .iov_len = 1 };
		b->headers[i].msg_hdr = (struct msghdr){ .msg_name = &b->to[i],
							 .msg_namelen = sizeof(b->to[i]),
							 .msg_iov = &b->iov[i],
							 .msg_iovlen = 1 };
	}
}

/* The addresses of 127.0.0.0/8, one after the other: each is another flow. */
static void batch_send(struct batch *b, int fd, uint32_t first)
{
	for (uint32_t i = 0; i < BATCH; i++)
		b->to[i].sin_addr.s_addr = htonl(0x7f010000 + (first + i) % 0xfe0000);
	if (sendmmsg(fd, b->headers, BATCH, 0) != BATCH)
		fail("sendmmsg");
}

static void receive_all(int fd)
{
	static char bytes[BATCH];
	struct mmsghdr headers[BATCH] = { 0 };
	struct iovec iov[BATCH];

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ .iov_base = &bytes[i], .iov_len = 1 };
		headers[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	for (;;)
		recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
}

static void flows(char **argv)
{
	int64_t begin_ns, end_ns;
	struct pace pace = pace_of(atof(argv[1]), 1);
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(SERVER_PORT) };
	long each = atol(argv[2]), n = 0, of_socket = 0;
	int receiver, fd;
	static struct batch b;
	pid_t server;

	enter_new_namespace();
	receiver = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	must(bind(receiver, (struct sockaddr *)&any, sizeof(any)), "bind");
	server = child_start();
	if (!server)
		receive_all(receiver);
	close(receiver);
	batch_init(&b);
	fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	begin_ns = now_ns();
	end_ns = begin_ns + (int64_t)(atof(argv[0]) * 1e9);
	while (now_ns() < end_ns) {
		pace_wait(&pace, BATCH);
		batch_send(&b, fd, (uint32_t)n);
		n += BATCH;
		of_socket += BATCH;
		if (of_socket < each)
			continue;
		close(fd);
		fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
		of_socket = 0;
	}
	SAY("{\"seconds\":%.3f,\"flows\":%ld,\"netns\":%llu}\n",
	    (double)(now_ns() - begin_ns) / 1e9, n, (unsigned long long)netns_cookie());
	kill(server, SIGKILL);
}

/* --- namespaces --- */

static void raise_limit(void)
{
	struct rlimit l;

	must(getrlimit(RLIMIT_NOFILE, &l), "getrlimit");
	l.rlim_cur = l.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &l), "setrlimit");
}

static void namespaces(char **argv)
{
	int64_t begin_ns = now_ns();
	long n = atol(argv[0]);
	char byte;

	raise_limit();
	for (long i = 0; i < n; i++) {
		must(unshare(CLONE_NEWNET), "unshare");
		must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "namespace");
	}
	SAY("{\"seconds\":%.3f,\"namespaces\":%ld}\n", (double)(now_ns() - begin_ns) / 1e9, n);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* --- the roles --- */

static const struct role {
	const char *name;
	int n_args;
	void (*play)(char **argv);
} roles[] = {
	{ "converse", 5, converse },	 { "exec", 3, exec_storm }, { "flows", 3, flows },
	{ "namespaces", 1, namespaces }, { "touch", 0, touch },	    { "nothing", 0, nothing },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(roles[i].name, argv[1]) || argc - 2 != roles[i].n_args)
			continue;
		roles[i].play(argv + 2);
		return 0;
	}
	fprintf(stderr,
		"usage: storm converse KIND CLIENTS SECONDS EACH RATE | exec SECONDS WORKERS "
		"talk|mute | flows SECONDS RATE EACH | namespaces N\n");
	return 2;
}
