// SPDX-License-Identifier: Apache-2.0
/*
 * sockets N PORT: opens N connections to itself over loopback, two sockets each, sends a byte each
 * way on every one, says "ready", and holds them until its standard input ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "sockets: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		fail("getrlimit");
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l))
		fail("setrlimit");
}

static int listener_open(const struct sockaddr_in *at)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) || listen(fd, 16))
		fail("listen");
	return fd;
}

static void pass_byte(int from, int to)
{
	char byte = 0;

	if (send(from, &byte, 1, 0) != 1 || recv(to, &byte, 1, 0) != 1)
		fail("send and recv");
}

static void pair_open(int listener, const struct sockaddr_in *at)
{
	int client = socket(AF_INET, SOCK_STREAM, 0), server;

	if (client < 0)
		fail("socket");
	if (connect(client, (const struct sockaddr *)at, sizeof(*at)))
		fail("connect");
	server = accept(listener, NULL, NULL);
	if (server < 0)
		fail("accept");
	pass_byte(client, server);
	pass_byte(server, client);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char byte;
	int listener;

	if (argc != 3) {
		fprintf(stderr, "usage: sockets N PORT\n");
		return 2;
	}
	at.sin_port = htons(strtoul(argv[2], NULL, 10));
	raise_limit();
	listener = listener_open(&at);
	for (unsigned long n = strtoul(argv[1], NULL, 10); n; n--)
		pair_open(listener, &at);
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
