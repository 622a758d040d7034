// SPDX-License-Identifier: Apache-2.0
/*
 * An application that knows exactly what it did. It talks TCP, UDP or ICMP echo as its options
 * say, and prints one JSON object a line: what write() and read() returned, with whom, when. Tests
 * compare this with what nslens saw.
 *
 *   talk hold                hold this network namespace until stdin ends
 *   talk tcp-server|tcp-client|udp-server|udp-client|ping [OPTION...]
 *
 * Lines: {"event":"ready"} once it listens or begins, {"event":"paused"} at each --pause (a line on
 * stdin goes on), {"event":"done"} for each connection, or UDP socket and peer, just before the
 * close; {"event":"end"} at the end. Every wait has a deadline: exit status 1 and "error" in the
 * line if one passes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum { STEPS = 61, MAX_SIZES = 16, MAX_PEERS = 256, BUFFER_SIZE = 1 << 16 };

static struct {
	const char *ip, *from_ip, *close, *group, *interface;
	const char *pause; /* comma list of steps: connected, close */
	int port, from_port;
	long count;	      /* connections, or datagrams a socket sends or receives */
	long long send, recv; /* bytes a connection; recv -1: until the peer ends */
	long chunk, gap_ms, timeout_ms, stall_ms;
	long step; /* a connection, or UDP socket, sends so much more than the one before; wraps */
	int segment; /* UDP: let the kernel cut what is sent into datagrams of so many bytes */
	int rcvbuf, sndbuf, backlog, syn_retries, user_timeout_ms;
	bool mptcp, no_accept, do_fork, answer, summary, connect, peek, cork;
	long sizes[MAX_SIZES];
	int n_sizes, sockets, peers;
	long reply;  /* UDP server: bytes of each answer; client: wait for one each. -1: none */
	long buffer; /* of each UDP receive */
} opt = {
	.ip = "127.0.0.1",
	.close = "fin",
	.pause = "",
	.count = 1,
	.recv = -1,
	.chunk = BUFFER_SIZE,
	.backlog = 128,
	.sizes = { 64 },
	.n_sizes = 1,
	.sockets = 1,
	.peers = 1,
	.reply = -1,
	.buffer = BUFFER_SIZE,
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A TCP connection, or what a datagram socket and one peer exchanged. */
struct talk {
	int fd;
	long n;
	union address peer;
	uint64_t sent, received, n_sent, n_received;
	uint64_t start_ns, connected_ns; /* CLOCK_REALTIME */
	int unread, unsent;
	bool ended, stalled;
	int error;
};

static char buffer[BUFFER_SIZE];
static bool failed;

/* --- time, numbers, lines --- */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "talk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void die_usage(const char *what)
{
	fprintf(stderr, "talk: wrong or missing: %s\n", what);
	exit(2);
}

static int port_of(const union address *a)
{
	return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

static socklen_t length_of(const union address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static void print_address(const char *key, const union address *a)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof(text));
	printf(",\"%s\":{\"ip\":\"%s\",\"port\":%d}", key, text, port_of(a));
}

static void print_local(int fd)
{
	union address a = { 0 };
	socklen_t len = sizeof(a);

	if (fd >= 0 && !getsockname(fd, &a.any, &len))
		print_address("local", &a);
}

static void print_end_of_line(void)
{
	printf("}\n");
	fflush(stdout);
}

/* The namespace's cookie and inode: what nslens must say, from another source. */
static void print_ready(const char *role, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (s < 0 || getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) ||
	    stat("/proc/self/ns/net", &st))
		die("the namespace's cookie and inode");
	close(s);
	printf("{\"event\":\"ready\",\"role\":\"%s\",\"pid\":%d,\"netns\":{\"cookie\":%" PRIu64
	       ",\"inode\":%lu}",
	       role, getpid(), cookie, (unsigned long)st.st_ino);
	print_local(fd);
	print_end_of_line();
}

static void print_talk(const char *event, const struct talk *t)
{
	printf("{\"event\":\"%s\",\"pid\":%d,\"n\":%ld", event, getpid(), t->n);
	print_local(t->fd);
	print_address("remote", &t->peer);
	printf(",\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"n_sent\":%" PRIu64
	       ",\"n_received\":%" PRIu64,
	       t->sent, t->received, t->n_sent, t->n_received);
	printf(",\"unread\":%d,\"unsent\":%d,\"start_ns\":%" PRIu64 ",\"connected_ns\":%" PRIu64
	       ",\"end_ns\":%" PRIu64,
	       t->unread, t->unsent, t->start_ns, t->connected_ns, clock_ns(CLOCK_REALTIME));
	printf(",\"stalled\":%s", t->stalled ? "true" : "false");
	if (t->error)
		printf(",\"error\":\"%s\"", strerrorname_np(t->error));
	print_end_of_line();
}

static void print_end(const struct talk *sum)
{
	printf("{\"event\":\"end\",\"pid\":%d,\"n\":%ld,\"sent\":%" PRIu64 ",\"received\":%" PRIu64
	       ",\"n_sent\":%" PRIu64 ",\"n_received\":%" PRIu64,
	       getpid(), sum->n, sum->sent, sum->received, sum->n_sent, sum->n_received);
	print_end_of_line();
}

static void talk_add(struct talk *sum, const struct talk *t)
{
	sum->n++;
	sum->sent += t->sent;
	sum->received += t->received;
	sum->n_sent += t->n_sent;
	sum->n_received += t->n_received;
	failed |= t->error == ETIMEDOUT && !opt.syn_retries && !opt.user_timeout_ms;
}

/* If @step is one of --pause's: say so, and go on when a line comes on stdin. */
static void pause_at(const char *step, const struct talk *t)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char c = 0;

	if (!strstr(opt.pause, step))
		return;
	print_talk("paused", t);
	while (c != '\n') {
		if (poll(&p, 1, (int)opt.timeout_ms) <= 0) {
			fprintf(stderr, "talk: nobody ended the pause\n");
			exit(1);
		}
		if (read(STDIN_FILENO, &c, 1) <= 0)
			break;
	}
}

/* --- sockets --- */

static union address address_of(const char *ip, int port)
{
	union address a = { 0 };

	if (inet_pton(AF_INET, ip, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, ip, &a.v6.sin6_addr) == 1) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons((uint16_t)port);
		a.v6.sin6_scope_id = opt.interface ? if_nametoindex(opt.interface) : 0;
	} else {
		die_usage(ip);
	}
	return a;
}

static void set_int(int fd, int level, int name, int value, const char *what)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		die(what);
}

static void set_buffers(int fd)
{
	if (opt.rcvbuf)
		set_int(fd, SOL_SOCKET, SO_RCVBUF, opt.rcvbuf, "SO_RCVBUF");
	if (opt.sndbuf)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, opt.sndbuf, "SO_SNDBUF");
}

static int open_socket(const union address *a, int type, int protocol)
{
	int fd;

	if (type == SOCK_STREAM && opt.mptcp)
		protocol = IPPROTO_MPTCP;
	fd = socket(a->any.sa_family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		die("socket");
	set_buffers(fd);
	return fd;
}

static int bind_socket(const char *ip, int port, int type)
{
	union address a = address_of(ip, port);
	int fd = open_socket(&a, type, 0);

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
	if (bind(fd, &a.any, length_of(&a)))
		die("bind");
	return fd;
}

/* A client's socket: bound if --from-ip or --from-port say so. */
static int open_client(const union address *to, int type)
{
	int fd = open_socket(to, type, 0);
	const char *any = to->any.sa_family == AF_INET ? "0.0.0.0" : "::";
	union address a;

	if (!opt.from_ip && !opt.from_port)
		return fd;
	a = address_of(opt.from_ip ? opt.from_ip : any, opt.from_port);
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
	if (bind(fd, &a.any, length_of(&a)))
		die("bind");
	return fd;
}

/* Wait for @events on @fd. True if they came within @ms. */
static bool wait_fd(int fd, short events, long ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, (int)ms) > 0;
}

/* --- TCP --- */

static uint64_t extra(long n)
{
	return (uint64_t)(n % STEPS * opt.step);
}

/* Bytes that the connection has to send. */
static uint64_t tcp_due(const struct talk *t)
{
	return (uint64_t)opt.send + extra(t->n);
}

/* Send what is due. False: nothing to do now. */
static bool tcp_send_some(struct talk *t)
{
	uint64_t left = tcp_due(t) - t->sent;
	ssize_t n;

	n = send(t->fd, buffer, left < (uint64_t)opt.chunk ? left : (size_t)opt.chunk,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		t->error = errno;
	if (n <= 0)
		return false;
	t->sent += (uint64_t)n;
	t->n_sent++;
	if (opt.gap_ms && t->sent < tcp_due(t))
		sleep_ms(opt.gap_ms);
	return true;
}

static bool tcp_recv_some(struct talk *t)
{
	uint64_t left = opt.recv < 0 ? sizeof(buffer) : (uint64_t)opt.recv - t->received;
	ssize_t n = recv(t->fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer),
			 MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		t->error = errno;
	if (!n)
		t->ended = true;
	if (n <= 0)
		return false;
	t->received += (uint64_t)n;
	t->n_received++;
	return true;
}

static bool tcp_sends(const struct talk *t)
{
	return t->sent < tcp_due(t) && (!opt.answer || t->ended);
}

static bool tcp_receives(const struct talk *t)
{
	return !t->ended && (opt.recv < 0 || t->received < (uint64_t)opt.recv);
}

/* Send and receive at once until both are done, an error, or nothing moved for --stall-ms. */
static void tcp_exchange(struct talk *t)
{
	bool shut = strcmp(opt.close, "half") != 0;

	while (!t->error &&
	       (tcp_sends(t) || tcp_receives(t) || (opt.answer && t->sent < tcp_due(t)))) {
		bool moved = tcp_sends(t) && tcp_send_some(t);
		short events = (short)((tcp_receives(t) ? POLLIN : 0) |
				       (tcp_sends(t) ? POLLOUT : 0));

		if (!t->error && tcp_receives(t))
			moved |= tcp_recv_some(t);
		if (!shut && !tcp_sends(t)) {
			shutdown(t->fd, SHUT_WR);
			shut = true;
		}
		if (moved || t->error || t->ended)
			continue;
		if (!wait_fd(t->fd, events, opt.stall_ms ? opt.stall_ms : opt.timeout_ms)) {
			t->stalled = true;
			if (!opt.stall_ms)
				t->error = ETIMEDOUT;
			return;
		}
	}
}

static void tcp_close(struct talk *t, const char *how)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (ioctl(t->fd, SIOCINQ, &t->unread))
		t->unread = 0;
	if (ioctl(t->fd, SIOCOUTQNSD, &t->unsent))
		t->unsent = 0;
	if (!opt.summary)
		print_talk("done", t);
	if (!strcmp(how, "exit"))
		_exit(0);
	if (!strcmp(how, "kill"))
		raise(SIGKILL);
	if (!strcmp(how, "rst") && setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)))
		die("SO_LINGER");
	close(t->fd);
}

static void tcp_serve(struct talk *t)
{
	pause_at("connected", t);
	tcp_exchange(t);
	pause_at("close", t);
	tcp_close(t, opt.close);
}

/* A child serves, as soon as it has the only descriptor: who closes last is the socket's owner. */
static void tcp_serve_by_child(int listener, struct talk *t)
{
	int parent_closed[2];
	pid_t child;
	char c;

	if (pipe2(parent_closed, O_CLOEXEC))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	close(parent_closed[child ? 0 : 1]);
	if (!child) {
		close(listener);
		if (read(parent_closed[0], &c, 1) < 0)
			die("read");
		tcp_serve(t);
		exit(0);
	}
	close(t->fd);
	close(parent_closed[1]);
	waitpid(child, NULL, 0);
}

/* Accept and serve one connection; with --fork a child serves it. */
static void tcp_accept(int fd, struct talk *t)
{
	socklen_t len = sizeof(t->peer);

	if (!wait_fd(fd, POLLIN, opt.timeout_ms)) {
		errno = ETIMEDOUT;
		die("accept");
	}
	t->fd = accept4(fd, &t->peer.any, &len, SOCK_CLOEXEC);
	if (t->fd < 0)
		die("accept");
	t->start_ns = t->connected_ns = clock_ns(CLOCK_REALTIME);
	if (opt.do_fork)
		tcp_serve_by_child(fd, t);
	else
		tcp_serve(t);
}

static void tcp_server(void)
{
	struct talk sum = { .fd = -1 };
	int fd = bind_socket(opt.ip, opt.port, SOCK_STREAM);

	if (listen(fd, opt.backlog))
		die("listen");
	print_ready("server", fd);
	if (opt.no_accept) {
		opt.pause = "close";
		pause_at("close", &sum);
		opt.count = 0;
	}
	for (long i = 0; i < opt.count; i++) {
		struct talk t = { .n = i };

		tcp_accept(fd, &t);
		talk_add(&sum, &t);
	}
	print_end(&sum);
	close(fd);
}

static void tcp_connect(struct talk *t)
{
	t->fd = open_client(&t->peer, SOCK_STREAM);
	if (opt.syn_retries)
		set_int(t->fd, IPPROTO_TCP, TCP_SYNCNT, opt.syn_retries, "TCP_SYNCNT");
	if (opt.user_timeout_ms)
		set_int(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, opt.user_timeout_ms,
			"TCP_USER_TIMEOUT");
	t->start_ns = clock_ns(CLOCK_REALTIME);
	if (connect(t->fd, &t->peer.any, length_of(&t->peer)))
		t->error = errno;
	t->connected_ns = clock_ns(CLOCK_REALTIME);
}

static void tcp_client(void)
{
	struct talk sum = { .fd = -1 };

	print_ready("client", -1);
	for (long i = 0; i < opt.count; i++) {
		struct talk t = { .n = i, .peer = address_of(opt.ip, opt.port) };

		tcp_connect(&t);
		if (!t.error)
			pause_at("connected", &t);
		if (!t.error)
			tcp_exchange(&t);
		if (!t.error || t.error != ECONNREFUSED)
			pause_at("close", &t);
		tcp_close(&t, opt.close);
		talk_add(&sum, &t);
	}
	print_end(&sum);
}

/* --- UDP --- */

/* The entry of @peer, a new one if it isn't there. */
static struct talk *udp_peer(struct talk *peers, int *n_peers, int fd, const union address *peer)
{
	for (int i = 0; i < *n_peers; i++)
		if (!memcmp(&peers[i].peer, peer, sizeof(*peer)))
			return &peers[i];
	if (*n_peers == MAX_PEERS)
		die_usage("more peers than talk can count");
	peers[*n_peers] = (struct talk){
		.fd = fd, .n = *n_peers, .peer = *peer, .start_ns = clock_ns(CLOCK_REALTIME)
	};
	return &peers[(*n_peers)++];
}

static void udp_join(int fd, const union address *group)
{
	struct ip_mreqn m4 = { .imr_multiaddr = group->v4.sin_addr,
			       .imr_ifindex = (int)if_nametoindex(opt.interface) };
	struct ipv6_mreq m6 = { .ipv6mr_interface = if_nametoindex(opt.interface) };

	memcpy(&m6.ipv6mr_multiaddr, &group->v6.sin6_addr, sizeof(m6.ipv6mr_multiaddr));
	if (group->any.sa_family == AF_INET
		    ? setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m4, sizeof(m4))
		    : setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m6, sizeof(m6)))
		die("join the group");
}

static void udp_multicast_to(int fd, int family)
{
	struct ip_mreqn m4 = { .imr_ifindex = (int)if_nametoindex(opt.interface) };
	int m6 = (int)if_nametoindex(opt.interface);

	if (family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m4, sizeof(m4))
			      : setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &m6, sizeof(m6)))
		die("choose the interface");
}

/* Receive one datagram within the timeout; counted at its sender. False: none came. */
static bool udp_receive(int fd, struct talk *peers, int *n_peers, struct talk **ret_from)
{
	union address from = { 0 };
	socklen_t len = sizeof(from);
	struct talk *t;
	ssize_t n;

	if (!wait_fd(fd, POLLIN, opt.timeout_ms))
		return false;
	if (opt.peek)
		recv(fd, buffer, 1, MSG_PEEK);
	n = recvfrom(fd, buffer, (size_t)opt.buffer, 0, &from.any, &len);
	if (n < 0)
		return false;
	t = udp_peer(peers, n_peers, fd, &from);
	t->received += (uint64_t)n;
	t->n_received++;
	*ret_from = t;
	return true;
}

static void udp_finish(struct talk *peers, int n_peers, struct talk *sum)
{
	for (int i = 0; i < n_peers; i++) {
		if (!opt.summary)
			print_talk("done", &peers[i]);
		talk_add(sum, &peers[i]);
	}
}

/* Receive --count datagrams, answer each with --reply bytes. */
static void udp_server(void)
{
	static struct talk peers[MAX_PEERS];
	struct talk sum = { .fd = -1 }, *from;
	int n_peers = 0, fd = bind_socket(opt.ip, opt.port, SOCK_DGRAM);

	if (opt.group) {
		union address group = address_of(opt.group, opt.port);

		udp_join(fd, &group);
	}
	print_ready("server", fd);
	for (long i = 0; i < opt.count; i++) {
		if (!udp_receive(fd, peers, &n_peers, &from)) {
			failed = true;
			break;
		}
		if (opt.reply < 0)
			continue;
		if (sendto(fd, buffer, (size_t)opt.reply, 0, &from->peer.any,
			   length_of(&from->peer)) < 0)
			die("sendto");
		from->sent += (uint64_t)opt.reply;
		from->n_sent++;
	}
	if (n_peers)
		pause_at("close", &peers[0]);
	udp_finish(peers, n_peers, &sum);
	print_end(&sum);
	close(fd);
}

static void udp_send(struct talk *t, size_t size)
{
	int flags = opt.cork ? MSG_MORE : 0;
	ssize_t n;

	if (opt.connect)
		n = send(t->fd, buffer, size, flags);
	else
		n = sendto(t->fd, buffer, size, flags, &t->peer.any, length_of(&t->peer));
	if (n < 0) {
		t->error = errno;
		return;
	}
	t->sent += (uint64_t)n;
	if (opt.segment)
		t->n_sent += ((uint64_t)n + (uint64_t)opt.segment - 1) / (uint64_t)opt.segment;
	else
		t->n_sent += !opt.cork;
}

/* With --cork all that was written so far leaves as one datagram. */
static void udp_uncork(struct talk *t)
{
	if (!opt.cork)
		return;
	if (send(t->fd, buffer, 0, 0) < 0)
		t->error = errno;
	t->n_sent++;
}

/* Each datagram has @more bytes than --sizes says. */
static void udp_exchange(int fd, struct talk *peers, int *n_peers, long more)
{
	struct talk *from;
	int n_to = *n_peers;

	for (long i = 0; i < opt.count; i++) {
		struct talk *t = &peers[i % n_to];

		udp_send(t, (size_t)(opt.sizes[i % opt.n_sizes] + more));
		if (opt.reply >= 0 && !t->error && !udp_receive(fd, peers, n_peers, &from)) {
			t->error = errno == ECONNREFUSED ? errno : ETIMEDOUT;
			failed = true;
			return;
		}
		if (opt.gap_ms && i + 1 < opt.count)
			sleep_ms(opt.gap_ms);
	}
	udp_uncork(&peers[0]);
}

static void udp_client(void)
{
	struct talk sum = { .fd = -1 };

	print_ready("client", -1);
	for (int s = 0; s < opt.sockets; s++) {
		static struct talk peers[MAX_PEERS];
		union address to = address_of(opt.ip, opt.port);
		int n_peers = 0, fd = open_client(&to, SOCK_DGRAM);

		if (opt.interface)
			udp_multicast_to(fd, to.any.sa_family);
		if (opt.segment)
			set_int(fd, IPPROTO_UDP, UDP_SEGMENT, opt.segment, "UDP_SEGMENT");
		for (int i = 0; i < opt.peers; i++) {
			to = address_of(opt.ip, opt.port + i);
			udp_peer(peers, &n_peers, fd, &to);
		}
		if (opt.connect && connect(fd, &to.any, length_of(&to)))
			die("connect");
		udp_exchange(fd, peers, &n_peers, (long)extra(s));
		pause_at("close", &peers[0]);
		udp_finish(peers, n_peers, &sum);
		close(fd);
	}
	print_end(&sum);
}

/* --- ICMP echo --- */

static void ping_send(struct talk *t, bool v4, uint16_t sequence)
{
	struct icmphdr h = { .type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST };
	size_t size = sizeof(h) + (size_t)opt.sizes[0];
	ssize_t n;

	h.un.echo.sequence = htons(sequence);
	memset(buffer, 0, size);
	memcpy(buffer, &h, sizeof(h));
	n = sendto(t->fd, buffer, size, 0, &t->peer.any, length_of(&t->peer));
	if (n < 0) {
		t->error = errno;
		return;
	}
	t->sent += (uint64_t)n;
	t->n_sent++;
}

/* Echo by a ping socket, one request at a time. */
static void ping(void)
{
	struct talk t = { .peer = address_of(opt.ip, 0) }, sum = { .fd = -1 };
	bool v4 = t.peer.any.sa_family == AF_INET;

	t.fd = open_socket(&t.peer, SOCK_DGRAM, v4 ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	t.start_ns = clock_ns(CLOCK_REALTIME);
	print_ready("ping", -1);
	for (long i = 0; i < opt.count && !t.error; i++) {
		ssize_t n;

		ping_send(&t, v4, (uint16_t)(i + 1));
		if (t.error || !wait_fd(t.fd, POLLIN, opt.timeout_ms))
			break;
		n = recv(t.fd, buffer, sizeof(buffer), 0);
		if (n < 0)
			break;
		t.received += (uint64_t)n;
		t.n_received++;
	}
	failed = t.n_received != (uint64_t)opt.count;
	pause_at("close", &t);
	print_talk("done", &t);
	talk_add(&sum, &t);
	print_end(&sum);
	close(t.fd);
}

static void hold(void)
{
	char c;

	print_ready("hold", -1);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

/* --- options --- */

enum option_id {
	OPT_IP = 1,
	OPT_PORT,
	OPT_FROM_IP,
	OPT_FROM_PORT,
	OPT_COUNT,
	OPT_SEND,
	OPT_RECV,
	OPT_CHUNK,
	OPT_GAP,
	OPT_CLOSE,
	OPT_PAUSE,
	OPT_TIMEOUT,
	OPT_STALL,
	OPT_RCVBUF,
	OPT_SNDBUF,
	OPT_BACKLOG,
	OPT_NO_ACCEPT,
	OPT_FORK,
	OPT_ANSWER,
	OPT_SUMMARY,
	OPT_SYN_RETRIES,
	OPT_USER_TIMEOUT,
	OPT_SIZES,
	OPT_CONNECT,
	OPT_SOCKETS,
	OPT_PEERS,
	OPT_REPLY,
	OPT_GROUP,
	OPT_INTERFACE,
	OPT_PEEK,
	OPT_CORK,
	OPT_BUFFER,
	OPT_PASSWORD,
	OPT_MPTCP,
	OPT_SEGMENT,
	OPT_STEP,
};

static const struct option options[] = {
	{ "ip", required_argument, NULL, OPT_IP },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "from-ip", required_argument, NULL, OPT_FROM_IP },
	{ "from-port", required_argument, NULL, OPT_FROM_PORT },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "send", required_argument, NULL, OPT_SEND },
	{ "recv", required_argument, NULL, OPT_RECV },
	{ "chunk", required_argument, NULL, OPT_CHUNK },
	{ "gap-ms", required_argument, NULL, OPT_GAP },
	{ "close", required_argument, NULL, OPT_CLOSE },
	{ "pause", required_argument, NULL, OPT_PAUSE },
	{ "timeout-ms", required_argument, NULL, OPT_TIMEOUT },
	{ "stall-ms", required_argument, NULL, OPT_STALL },
	{ "rcvbuf", required_argument, NULL, OPT_RCVBUF },
	{ "sndbuf", required_argument, NULL, OPT_SNDBUF },
	{ "backlog", required_argument, NULL, OPT_BACKLOG },
	{ "no-accept", no_argument, NULL, OPT_NO_ACCEPT },
	{ "fork", no_argument, NULL, OPT_FORK },
	{ "answer", no_argument, NULL, OPT_ANSWER },
	{ "summary", no_argument, NULL, OPT_SUMMARY },
	{ "syn-retries", required_argument, NULL, OPT_SYN_RETRIES },
	{ "user-timeout-ms", required_argument, NULL, OPT_USER_TIMEOUT },
	{ "sizes", required_argument, NULL, OPT_SIZES },
	{ "connect", no_argument, NULL, OPT_CONNECT },
	{ "sockets", required_argument, NULL, OPT_SOCKETS },
	{ "peers", required_argument, NULL, OPT_PEERS },
	{ "reply", required_argument, NULL, OPT_REPLY },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "interface", required_argument, NULL, OPT_INTERFACE },
	{ "peek", no_argument, NULL, OPT_PEEK },
	{ "cork", no_argument, NULL, OPT_CORK },
	{ "buffer", required_argument, NULL, OPT_BUFFER },
	{ "segment", required_argument, NULL, OPT_SEGMENT },
	{ "step", required_argument, NULL, OPT_STEP },
	{ "mptcp", no_argument, NULL, OPT_MPTCP },
	{ "password", required_argument, NULL, OPT_PASSWORD },
	{ 0 },
};

static long long number(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (*end || end == text)
		die_usage(text);
	return n;
}

static void set_sizes(const char *list)
{
	char *end = NULL;

	for (opt.n_sizes = 0; opt.n_sizes < MAX_SIZES; list = end + 1) {
		opt.sizes[opt.n_sizes++] = strtol(list, &end, 10);
		if (!*end)
			return;
	}
	die_usage("--sizes");
}

static void set_text(int id, const char *text)
{
	switch (id) {
	case OPT_IP: opt.ip = text; break;
	case OPT_FROM_IP: opt.from_ip = text; break;
	case OPT_CLOSE: opt.close = text; break;
	case OPT_PAUSE: opt.pause = text; break;
	case OPT_GROUP: opt.group = text; break;
	case OPT_INTERFACE: opt.interface = text; break;
	case OPT_SIZES: set_sizes(text); break;
	case OPT_PASSWORD: break; /* only to be seen among the arguments */
	default: break;
	}
}

static void set_switch(int id)
{
	switch (id) {
	case OPT_MPTCP: opt.mptcp = true; break;
	case OPT_NO_ACCEPT: opt.no_accept = true; break;
	case OPT_FORK: opt.do_fork = true; break;
	case OPT_ANSWER: opt.answer = true; break;
	case OPT_SUMMARY: opt.summary = true; break;
	case OPT_CONNECT: opt.connect = true; break;
	case OPT_PEEK: opt.peek = true; break;
	case OPT_CORK: opt.cork = true; break;
	default: break;
	}
}

static bool is_text(int id)
{
	return id == OPT_IP || id == OPT_FROM_IP || id == OPT_CLOSE || id == OPT_PAUSE ||
	       id == OPT_GROUP || id == OPT_INTERFACE || id == OPT_SIZES || id == OPT_PASSWORD;
}

static void set_number(int id, long long n)
{
	switch (id) {
	case OPT_PORT: opt.port = (int)n; break;
	case OPT_FROM_PORT: opt.from_port = (int)n; break;
	case OPT_COUNT: opt.count = (long)n; break;
	case OPT_SEND: opt.send = n; break;
	case OPT_RECV: opt.recv = n; break;
	case OPT_CHUNK: opt.chunk = (long)n; break;
	case OPT_STEP: opt.step = (long)n; break;
	case OPT_GAP: opt.gap_ms = (long)n; break;
	case OPT_TIMEOUT: opt.timeout_ms = (long)n; break;
	case OPT_STALL: opt.stall_ms = (long)n; break;
	case OPT_RCVBUF: opt.rcvbuf = (int)n; break;
	case OPT_SNDBUF: opt.sndbuf = (int)n; break;
	case OPT_BACKLOG: opt.backlog = (int)n; break;
	case OPT_SYN_RETRIES: opt.syn_retries = (int)n; break;
	case OPT_USER_TIMEOUT: opt.user_timeout_ms = (int)n; break;
	case OPT_SEGMENT: opt.segment = (int)n; break;
	case OPT_SOCKETS: opt.sockets = (int)n; break;
	case OPT_PEERS: opt.peers = (int)n; break;
	case OPT_REPLY: opt.reply = (long)n; break;
	case OPT_BUFFER: opt.buffer = (long)n; break;
	default: break;
	}
}

static void parse(int argc, char **argv)
{
	int id;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == '?')
			exit(2);
		if (!optarg)
			set_switch(id);
		else if (is_text(id))
			set_text(id, optarg);
		else
			set_number(id, number(optarg));
	}
	if (optind < argc)
		die_usage(argv[optind]);
	if (opt.chunk < 1 || opt.chunk > BUFFER_SIZE || opt.buffer < 0 ||
	    opt.buffer > BUFFER_SIZE || opt.peers < 1)
		die_usage("--chunk, --buffer or --peers");
}

static const struct {
	const char *name;
	void (*run)(void);
} roles[] = {
	{ "hold", hold },
	{ "tcp-server", tcp_server },
	{ "tcp-client", tcp_client },
	{ "udp-server", udp_server },
	{ "udp-client", udp_client },
	{ "ping", ping },
};

/* How long to wait if nothing is said: longer on a machine that NSLENS_FACTOR calls slow. */
static void set_timeout(void)
{
	const char *factor = getenv("NSLENS_FACTOR");

	opt.timeout_ms = (long)(10000 * (factor ? atof(factor) : 1));
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	set_timeout();
	for (size_t i = 0; argc > 1 && i < sizeof(roles) / sizeof(roles[0]); i++)
		if (!strcmp(argv[1], roles[i].name)) {
			parse(argc - 1, argv + 1);
			roles[i].run();
			return failed;
		}
	die_usage("the role: hold, tcp-server, tcp-client, udp-server, udp-client or ping");
}
