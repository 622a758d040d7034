// SPDX-License-Identifier: Apache-2.0
#include "agent/server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/device_list.h"
#include "agent/lock.h"
#include "agent/protocol.h"
#include "agent/status.h"
#include "agent/stream.h"
#include "base/base.h"
#include "query/subject_device.h"
#include "query/subject_flow.h"
#include "sys/clock.h"

enum {
	MAX_CLIENTS = 64,
	ASK_USEC = 5000000,    /* time to send the request */
	WAITING_MAX = 4 << 20, /* bytes that wait for a client; behind that events are dropped */
	STREAM_MAX = 1 << 20,  /* bytes that wait before that */
	END_SECONDS = 2,       /* at the agent's end: time for all of them to read what waits */
};

struct client {
	LIST_ENTRY(client) all;
	struct server *server;
	int fd;
	sd_event_source *io, *timer;
	struct buf in, out;
	size_t sent; /* of out */
	struct stream *stream;
	struct filter *filter;
	bool asked;
	bool ending; /* free it once out is sent */
};

LIST_HEAD(client_list, client);

struct server {
	sd_event *loop;
	struct pipeline *pipeline;
	int lock_fd, fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	sd_event_source *io;
	struct client_list clients;
	unsigned int n_clients;
	uint64_t n_refused;
};

/* --- a client --- */

static void client_free(struct client *c)
{
	LIST_REMOVE(c, all);
	c->server->n_clients--;
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	stream_free(c->stream);
	filter_free(c->filter);
	buf_fini(&c->in);
	buf_fini(&c->out);
	close(c->fd);
	free(c);
}

/* Send what the socket takes. -EAGAIN: more waits; other errors: the client is gone. */
static int client_send(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		c->sent += (size_t)n;
	}
	buf_reset(&c->out);
	c->sent = 0;
	return 0;
}

static void client_watch(struct client *c, bool writing)
{
	uint32_t events = (c->ending ? 0 : EPOLLIN) | (writing ? EPOLLOUT : 0);

	sd_event_source_set_io_events(c->io, events);
}

/* Send, and look at what comes next. True: the client is gone, freed. */
static bool client_push(struct client *c)
{
	int err = client_send(c);

	if ((err && err != -EAGAIN) || (!err && c->ending) || c->out.failed) {
		client_free(c);
		return true;
	}
	client_watch(c, err == -EAGAIN);
	return false;
}

/* The stream has something. It stays there while the client is behind, but for the last words. */
static void client_output(void *arg, struct buf *out)
{
	struct client *c = arg;
	int err;

	if (!c->ending && c->out.len - c->sent > WAITING_MAX)
		return;
	frame_encode(&c->out, out->data, out->len);
	buf_reset(out);
	/* Half a frame would look whole: rather let it break off. */
	if (c->out.failed)
		shutdown(c->fd, SHUT_RDWR);
	err = client_send(c);
	/* A client that is gone is noticed by its descriptor: nothing is freed within a stream. */
	client_watch(c, err == -EAGAIN);
}

/* Let it go after what waits has been sent. True: freed. */
static bool client_end(struct client *c)
{
	c->ending = true;
	if (c->stream)
		stream_end(c->stream);
	frame_encode(&c->out, NULL, 0);
	stream_free(c->stream);
	c->stream = NULL;
	return client_push(c);
}

static bool client_refuse(struct client *c, const char *why)
{
	c->server->n_refused++;
	greeting_encode(why, NULL, &c->out);
	c->ending = true;
	return client_push(c);
}

/* --- requests --- */

static bool client_observe(struct client *c, const struct request *r)
{
	struct stream_options options = { .sink = sink_find(r->output),
					  .text = { .columns = r->columns, .colour = r->colour },
					  .no_args = r->no_args,
					  .max_bytes = STREAM_MAX };
	struct buf gaps = { 0 };
	struct err e;

	if (!options.sink)
		return client_refuse(c, "no such output; there are text and json");
	if (filter_compile(r->filter, &filter_subject_flow, &c->filter, &e))
		return client_refuse(c, e.text);
	options.filter = c->filter;
	if (stream_new(c->server->pipeline, &options, client_output, c, &c->stream, &e))
		return client_refuse(c, e.text);
	pipeline_tell_gaps(c->server->pipeline, &gaps);
	greeting_encode(NULL, gaps.failed ? NULL : gaps.data, &c->out);
	buf_fini(&gaps);
	return client_push(c);
}

static bool client_status(struct client *c, const struct request *r)
{
	struct buf out = { 0 };
	struct agent_status status = { 0 };

	status_fill(&status, c->server->pipeline);
	server_usage(c->server, &status.n_clients, &status.n_refused);
	if (!strcmp(r->output, "json"))
		status_json(&out, &status);
	else
		status_text(&out, &status);
	greeting_encode(NULL, NULL, &c->out);
	frame_encode(&c->out, out.data, out.len);
	buf_fini(&out);
	status_fini(&status);
	return client_end(c);
}

static int client_list_devices(struct client *c, const struct request *r, bool gone,
			       struct buf *out, struct err *e)
{
	struct device_keeper *keeper = pipeline_devices(c->server->pipeline);
	struct netns_registry *netns = pipeline_netns(c->server->pipeline);
	struct wire_context context;
	struct device_list_options o = { .context = &context,
					 .ts_ns = clock_ns(CLOCK_REALTIME),
					 .json = !strcmp(r->output, "json") };
	struct device_row *rows = NULL;
	size_t n = 0;
	int err;

	if (!keeper)
		return err_set(e, ENOENT,
			       "the agent's device probe is off, or absent: see "
			       "'nslens status'");
	err = filter_compile(r->filter, &filter_subject_device, &c->filter, e)
		      ?: device_keeper_rows(keeper, gone, &rows, &n, e);
	device_list_context(&context, netns);
	o.filter = c->filter;
	if (!err && device_list_asks_cgroups(c->filter))
		o.cgroups = device_keeper_cgroups(keeper);
	if (!err)
		err = device_list_print(out, &o, rows, n, e);
	free(rows);
	return err;
}

static bool client_send_devices(struct client *c, const struct request *r, bool gone)
{
	struct buf out = { 0 };
	struct err e;
	int err = client_list_devices(c, r, gone, &out, &e);

	if (err) {
		buf_fini(&out);
		return client_refuse(c, e.text);
	}
	greeting_encode(NULL, NULL, &c->out);
	for (size_t at = 0; at < out.len; at += FRAME_MAX)
		frame_encode(&c->out, out.data + at,
			     out.len - at < FRAME_MAX ? out.len - at : FRAME_MAX);
	buf_fini(&out);
	return client_end(c);
}

static bool client_devices(struct client *c, const struct request *r)
{
	return client_send_devices(c, r, false);
}

static bool client_devices_gone(struct client *c, const struct request *r)
{
	return client_send_devices(c, r, true);
}

/* The end of the connection tells the client that the agent is gone. */
static bool client_stop(struct client *c, const struct request *r)
{
	greeting_encode(NULL, NULL, &c->out);
	sd_event_exit(c->server->loop, 0);
	return client_push(c);
}

static const struct {
	const char *name;
	bool (*serve)(struct client *c, const struct request *r);
	bool any_version;
} request_table[] = {
	{ "observe", client_observe, false }, { "status", client_status, false },
	{ "devices", client_devices, false }, { "devices-gone", client_devices_gone, false },
	{ "stop", client_stop, true },
};

static bool client_serve(struct client *c, const struct request *r)
{
	bool same = !strcmp(r->version, NSLENS_VERSION);
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(request_table); i++)
		if (!strcmp(request_table[i].name, r->command) &&
		    (same || request_table[i].any_version))
			return request_table[i].serve(c, r);
	if (same)
		return client_refuse(c, "the agent does not know this command");
	snprintf(why, sizeof(why), "the agent is nslens %s, this is nslens %s; restart the agent",
		 NSLENS_VERSION, r->version);
	return client_refuse(c, why);
}

/* True: freed. */
static bool client_request(struct client *c, size_t len)
{
	struct request r = { 0 };
	struct err e;
	bool gone;

	c->asked = true;
	c->timer = sd_event_source_disable_unref(c->timer);
	if (request_decode(c->in.data, len, &r, &e))
		return client_refuse(c, e.text);
	gone = client_serve(c, &r);
	request_fini(&r);
	return gone;
}

/* True: freed. */
static bool client_read(struct client *c)
{
	char bytes[4096], *end;
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0 || (!n && !c->stream)) {
		client_free(c);
		return true;
	}
	if (!n)
		return client_end(c);
	if (c->asked)
		return false; /* more than a request: not looked at */
	buf_add(&c->in, bytes, (size_t)n);
	end = c->in.failed ? NULL : memchr(c->in.data, '\n', c->in.len);
	if (end)
		return client_request(c, (size_t)(end - c->in.data));
	return c->in.failed || c->in.len > REQUEST_MAX ? client_refuse(c, "the request is too long")
						       : false;
}

static int client_on_io(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct client *c = arg;

	if (revents & (EPOLLERR | EPOLLHUP)) {
		client_free(c);
		return 0;
	}
	if (revents & EPOLLIN && client_read(c))
		return 0;
	if (revents & EPOLLOUT)
		client_push(c);
	return 0;
}

static int client_on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	client_free(arg);
	return 0;
}

/* One too many: it learns why, if it reads. */
static void turn_away(int fd)
{
	struct buf out = { 0 };
	char why[64];

	snprintf(why, sizeof(why), "it serves %d commands already, and no more", MAX_CLIENTS);
	greeting_encode(why, NULL, &out);
	if (!out.failed)
		send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_fini(&out);
}

static void client_new(struct server *s, int fd)
{
	struct client *c = s->n_clients < MAX_CLIENTS ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		s->n_refused++;
		turn_away(fd);
		close(fd);
		return;
	}
	c->server = s;
	c->fd = fd;
	LIST_INSERT_HEAD(&s->clients, c, all);
	s->n_clients++;
	if (sd_event_add_io(s->loop, &c->io, fd, EPOLLIN, client_on_io, c) < 0 ||
	    sd_event_add_time_relative(s->loop, &c->timer, CLOCK_MONOTONIC, ASK_USEC, 0,
				       client_on_timer, c) < 0)
		client_free(c);
}

/* --- the server --- */

static int server_on_io(sd_event_source *source, int listen_fd, uint32_t revents, void *arg)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		client_new(arg, fd);
	return 0;
}

/* One agent a state directory: who holds the lock. */
static int server_lock(struct server *s, const char *state_dir, struct err *e)
{
	pid_t pid = 0;
	int err;

	if (mkdir(state_dir, 0755) && errno != EEXIST)
		return err_set(e, errno, "state directory %s: %s; choose another with --state-dir",
			       state_dir, strerror(errno));
	err = lock_take(state_dir, true, &s->lock_fd, &pid, e);
	if (err == -EEXIST)
		err_set(e, EEXIST,
			"another agent%s runs with state directory %s; ask it with 'nslens "
			"status', or give this one another --state-dir and --pin-dir",
			lock_holder(pid, (char[32]){ "" }), state_dir);
	return err;
}

static int server_listen(struct server *s, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, s->path, sizeof(address.sun_path));
	unlink(s->path); /* a dead agent's: this one holds the lock */
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&address, sizeof(address)) ||
	    chmod(s->path, 0600) || listen(s->fd, MAX_CLIENTS))
		return err_set(e, errno, "%s: %s", s->path, strerror(errno));
	return 0;
}

int server_open(sd_event *loop, const char *state_dir, struct server **ret, struct err *e)
{
	struct server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return err_set(e, ENOMEM, "out of memory");
	s->loop = loop;
	s->fd = s->lock_fd = -1;
	err = agent_socket_path(state_dir, s->path, sizeof(s->path));
	if (err)
		err_set(e, -err, "state directory '%s': its name is too long for a socket",
			state_dir);
	else
		err = server_lock(s, state_dir, e) ?: server_listen(s, e);
	if (!err) {
		err = sd_event_add_io(loop, &s->io, s->fd, 0, server_on_io, s);
		err = err < 0 ? err_set(e, -err, "event loop: %s", strerror(-err)) : 0;
	}
	if (err) {
		server_close(s);
		return err;
	}
	*ret = s;
	return 0;
}

void server_serve(struct server *s, struct pipeline *p)
{
	s->pipeline = p;
	sd_event_source_set_io_events(s->io, EPOLLIN);
}

/* The last words: until @end_ns (CLOCK_MONOTONIC), wait for a client that reads. */
static void client_finish(struct client *c, uint64_t end_ns)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	c->ending = true;
	if (c->stream)
		stream_end(c->stream);
	frame_encode(&c->out, NULL, 0);
	while (c->asked && !c->out.failed && client_send(c) == -EAGAIN) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

		if (now_ns >= end_ns || poll(&p, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) <= 0)
			break;
	}
	client_free(c);
}

void server_end(struct server *s)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + END_SECONDS * NS_PER_SEC;
	struct client *c;

	if (!s)
		return;
	while ((c = LIST_FIRST(&s->clients)))
		client_finish(c, end_ns);
	s->io = sd_event_source_disable_unref(s->io);
	if (s->fd >= 0) {
		unlink(s->path);
		close(s->fd);
	}
	s->fd = -1;
}

void server_close(struct server *s)
{
	if (!s)
		return;
	server_end(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

void server_usage(const struct server *s, unsigned int *ret_clients, uint64_t *ret_refused)
{
	*ret_clients = s->n_clients;
	*ret_refused = s->n_refused;
}
