// SPDX-License-Identifier: Apache-2.0
#include "agent/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "sys/clock.h"
#include "sys/io.h"

enum { GREETING_SECONDS = 10, END_SECONDS = 5 };

/* A busy agent may take a while, a stuck one may not hold us for ever. */
static void client_set_patience(int fd, time_t seconds)
{
	struct timeval patience = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int client_explain_silence(int err, const char *state_dir, struct err *e)
{
	if (err == -EAGAIN)
		return err_set(e, ETIMEDOUT,
			       "the agent with state directory %s does not answer within %d s; "
			       "look at its log, or start it again",
			       state_dir, GREETING_SECONDS);
	if (err == -ECONNRESET || err == -EPIPE)
		return err_set(e, ECONNRESET,
			       "the agent with state directory %s ended before it answered; try "
			       "again",
			       state_dir);
	return err_set(e, -err, "asking the agent with state directory %s: %s", state_dir,
		       strerror(-err));
}

static int client_connect(const char *state_dir, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err = agent_socket_path(state_dir, address.sun_path, sizeof(address.sun_path));

	if (err)
		return err_set(e, -err, "state directory '%s': its name is too long for a socket",
			       state_dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	client_set_patience(fd, GREETING_SECONDS);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = errno == ECONNREFUSED || errno == ENOTDIR ? -ENOENT : -errno;
	close(fd);
	if (err == -EAGAIN)
		return client_explain_silence(err, state_dir, e);
	return err_set(e, -err, "cannot ask the agent at %s: %s%s", address.sun_path,
		       strerror(-err),
		       err == -EACCES ? "; run this as the user who runs the agent" : "");
}

/* The next frame into @frame. 0; -ECONNRESET if the connection ends within or before it. */
static int client_read_frame(int fd, struct buf *frame)
{
	unsigned char header[FRAME_HEADER];
	char bytes[16384];
	size_t left;
	int err = read_whole(fd, header, sizeof(header));

	buf_reset(frame);
	if (err)
		return err;
	left = frame_length(header);
	if (left > FRAME_MAX)
		return -ECONNRESET;
	while (left && !err) {
		size_t n = left < sizeof(bytes) ? left : sizeof(bytes);

		err = read_whole(fd, bytes, n);
		buf_add(frame, bytes, n);
		left -= n;
	}
	return err ? err : frame->failed ? -ENOMEM : 0;
}

static int client_greet(int fd, const char *state_dir, const struct request *request,
			struct buf *warnings, struct err *e)
{
	const char *version = request->any_agent ? NULL : request->version;
	struct buf buf = { 0 };
	int err;

	request_encode(request, &buf);
	/* One that turns us away may do so before it has read all: what it says is what counts. */
	if (!buf.failed)
		send(fd, buf.data, buf.len, MSG_NOSIGNAL);
	err = buf.failed ? -EILSEQ : client_read_frame(fd, &buf);
	if (err == -EILSEQ)
		err_set(e, EILSEQ, "the filter can't be sent to the agent: it must be UTF-8");
	else if (err)
		err = client_explain_silence(err, state_dir, e);
	else
		err = greeting_decode(buf.data ? buf.data : "", buf.len, version, warnings, e);
	client_set_patience(fd, 0);
	buf_fini(&buf);
	return err;
}

int client_open(const char *state_dir, const struct request *request, int *ret_fd,
		struct buf *warnings, struct err *e)
{
	int fd = client_connect(state_dir, e);
	int err;

	if (fd < 0)
		return fd;
	err = client_greet(fd, state_dir, request, warnings, e);
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

static volatile sig_atomic_t asked_to_end;

static void on_signal(int signum)
{
	asked_to_end = signum;
}

static void client_catch_signals(sigset_t *ret_unblocked)
{
	/* The second one ends the process, in case that the agent is stuck. */
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	sigset_t block;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	/* Only while it waits: no signal falls between the look at the flag and the wait. */
	sigprocmask(SIG_BLOCK, &block, ret_unblocked);
	sigdelset(ret_unblocked, SIGINT);
	sigdelset(ret_unblocked, SIGTERM);
}

/* When to end; after that, when to give up on the agent's last words. CLOCK_MONOTONIC, 0: never. */
struct client_end {
	uint64_t at_ns;
	bool asked; /* the agent was told */
};

static void client_ask_to_end(int fd, struct client_end *end, uint64_t now_ns)
{
	end->asked = true;
	end->at_ns = now_ns + END_SECONDS * NS_PER_SEC;
	shutdown(fd, SHUT_WR);
}

/* Wait until the agent says something; tell it once when it is time to end. */
static void client_wait(int fd, const sigset_t *unblocked, struct client_end *end)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct timespec left = { 0 };

	if (!end->asked && (asked_to_end || (end->at_ns && now_ns >= end->at_ns)))
		client_ask_to_end(fd, end, now_ns);
	if (end->at_ns > now_ns) {
		left.tv_sec = (time_t)((end->at_ns - now_ns) / NS_PER_SEC);
		left.tv_nsec = (long)((end->at_ns - now_ns) % NS_PER_SEC);
	}
	ppoll(&p, 1, end->at_ns ? &left : NULL, unblocked);
}

static bool client_gives_up(const struct client_end *end)
{
	return end->asked && clock_ns(CLOCK_MONOTONIC) >= end->at_ns;
}

static bool client_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

int client_copy(int fd, int out_fd, uint64_t for_ns, struct err *e)
{
	struct client_end end = { .at_ns = for_ns ? clock_ns(CLOCK_MONOTONIC) + for_ns : 0 };
	struct buf frame = { 0 };
	sigset_t unblocked;
	int err;

	client_catch_signals(&unblocked);
	for (;;) {
		client_wait(fd, &unblocked, &end);
		if (!client_readable(fd) && !client_gives_up(&end))
			continue;
		if (!client_readable(fd)) {
			err = err_set(
				e, ETIMEDOUT,
				"the agent does not end the output: it is "
				"stopped, or very busy; what was printed may not be the whole");
			break;
		}
		err = client_read_frame(fd, &frame);
		if (err) {
			err_set(e, ECONNRESET,
				"the agent broke off: what was printed is not the whole; "
				"start it again with 'nslens run', or watch without it");
			break;
		}
		if (!frame.len)
			break;
		err = write_whole(out_fd, frame.data, frame.len);
		if (err) {
			err_set(e, -err, "cannot write the output: %s", strerror(-err));
			break;
		}
	}
	buf_fini(&frame);
	return err;
}

bool client_agent_runs(const char *state_dir)
{
	struct request request = { .version = NSLENS_VERSION, .command = "status" };
	struct err e;
	int fd;

	if (client_open(state_dir, &request, &fd, NULL, &e))
		return false;
	close(fd);
	return true;
}
