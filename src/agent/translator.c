// SPDX-License-Identifier: Apache-2.0
#include "agent/translator.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "discover/conntrack.h"
#include "discover/registry.h"
#include "sys/clock.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum {
	UNDER_WAY_MAX = 64,
	A_SECOND_MAX = 128, /* a question costs some 50 us */
	N_WITHOUT = 256,
	STACK_BYTES = 256 << 10,
};

/* So long an answer about the other end is waited for, too. */
#define TRACKED_NS (10 * NS_PER_SEC)

static const char conntrack_file[] = "/proc/sys/net/netfilter/nf_conntrack_count";

struct job {
	struct flow_question q;
	int own_fd;    /* the socket's namespace; -1: not to be asked */
	bool ask_home; /* ask the one that nslens runs in */
	struct flow_answer answer;
	bool own_without, home_without; /* nothing is tracked there */
	bool failed;
};

struct jobs {
	struct job v[UNDER_WAY_MAX];
	size_t n;
};

struct translator {
	struct netns_registry *netns;
	uint64_t home_cookie;
	pthread_t thread;
	bool runs;
	size_t n_under_way;
	uint64_t budget_ns; /* from here on there is budget; so much of it lies behind now */
	struct {
		uint64_t cookie, until_ns;
	} without[N_WITHOUT]; /* namespaces that track nothing, by their cookies' low bits */
	uint64_t looked_ns;   /* when it was looked for connection tracking on this host */
	bool is_loaded;
	uint64_t tracked_ns; /* when a namespace was seen last that tracks anything */
	struct translator_usage usage;

	/* Of the thread. */
	int home_fd;
	struct mnl_socket *home;

	/* Of both. */
	pthread_mutex_t lock;
	pthread_cond_t asked;
	bool stop;
	struct jobs todo, done;
};

/* --- the thread --- */

/* One namespace's word on @view, which becomes what is beyond it. */
static void job_ask(struct job *j, struct mnl_socket *nl, struct ip_view *view)
{
	struct ip_view far;
	int err = nl ? conntrack_far_view(nl, j->q.key.proto, view, &far) : -errno;

	if (!err)
		*view = ip_view_turned(&far);
	j->failed |= err && err != -ENOENT;
}

/* In the namespace of the socket; back home again afterwards. False: there is no way back. */
static bool job_ask_own(struct translator *t, struct job *j, struct ip_view *view)
{
	struct mnl_socket *nl = NULL;

	if (setns(j->own_fd, CLONE_NEWNET)) {
		j->failed = true;
		return true;
	}
	if (conntrack_is_in_use()) {
		nl = conntrack_open();
		job_ask(j, nl, view);
	} else {
		j->own_without = true;
	}
	if (nl)
		mnl_socket_close(nl);
	return !setns(t->home_fd, CLONE_NEWNET);
}

/* A socket that failed may have an answer under way: it is not used again. */
static void job_ask_home(struct translator *t, struct job *j, struct ip_view *view)
{
	bool failed_before = j->failed;

	if (!conntrack_is_in_use()) {
		j->home_without = true;
		return;
	}
	if (!t->home)
		t->home = conntrack_open();
	j->failed = false;
	job_ask(j, t->home, view);
	if (j->failed && t->home) {
		mnl_socket_close(t->home);
		t->home = NULL;
	}
	j->failed |= failed_before;
}

static void job_do(struct translator *t, struct job *j, bool *way_back)
{
	struct ip_view view = j->q.view;

	if (j->own_fd >= 0) {
		if (*way_back)
			*way_back = job_ask_own(t, j, &view);
		close(j->own_fd);
	}
	if (*way_back && j->ask_home)
		job_ask_home(t, j, &view);
	j->failed |= !*way_back;
	j->answer = (struct flow_answer){ .key = j->q.key,
					  .start_ns = j->q.start_ns,
					  .translated = !ip_view_equal(&view, &j->q.view),
					  .far = ip_view_turned(&view) };
}

static void jobs_done(struct translator *t, const struct jobs *jobs)
{
	pthread_mutex_lock(&t->lock);
	memcpy(t->done.v + t->done.n, jobs->v, jobs->n * sizeof(jobs->v[0]));
	t->done.n += jobs->n;
	pthread_mutex_unlock(&t->lock);
}

/* Wait for questions. False: it is over. */
static bool jobs_wait(struct translator *t, struct jobs *ret)
{
	bool stop;

	pthread_mutex_lock(&t->lock);
	while (!t->todo.n && !t->stop)
		pthread_cond_wait(&t->asked, &t->lock);
	*ret = t->todo;
	t->todo.n = 0;
	stop = t->stop;
	pthread_mutex_unlock(&t->lock);
	return !stop;
}

static void *translator_run(void *arg)
{
	struct translator *t = arg;
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	bool way_back = true;

	while (jobs && jobs_wait(t, jobs)) {
		for (size_t i = 0; i < jobs->n; i++)
			job_do(t, &jobs->v[i], &way_back);
		jobs_done(t, jobs);
	}
	for (size_t i = 0; jobs && i < jobs->n; i++)
		if (jobs->v[i].own_fd >= 0)
			close(jobs->v[i].own_fd);
	free(jobs);
	return NULL;
}

/* --- asking --- */

static int translator_start(struct translator *t)
{
	pthread_attr_t attr;
	int err;

	t->home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (t->home_fd < 0)
		return -errno;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&t->thread, &attr, translator_run, t);
	pthread_attr_destroy(&attr);
	if (!err) {
		t->runs = true;
		return 0;
	}
	close(t->home_fd);
	return -err;
}

static bool is_without(const struct translator *t, uint64_t cookie, uint64_t now_ns)
{
	return t->without[cookie % N_WITHOUT].cookie == cookie &&
	       t->without[cookie % N_WITHOUT].until_ns > now_ns;
}

static void note_without(struct translator *t, uint64_t cookie)
{
	t->without[cookie % N_WITHOUT].cookie = cookie;
	t->without[cookie % N_WITHOUT].until_ns = clock_ns(CLOCK_MONOTONIC) + NS_PER_SEC;
}

/* Is there connection tracking on this host at all? Looked at once a second. */
static bool is_loaded(struct translator *t, uint64_t now_ns)
{
	if (t->looked_ns && now_ns - t->looked_ns < NS_PER_SEC)
		return t->is_loaded;
	t->looked_ns = now_ns;
	t->is_loaded = !access(conntrack_file, F_OK);
	return t->is_loaded;
}

static bool take_budget(struct translator *t, uint64_t now_ns)
{
	if (t->budget_ns < now_ns - NS_PER_SEC)
		t->budget_ns = now_ns - NS_PER_SEC;
	if (t->budget_ns > now_ns || t->n_under_way == UNDER_WAY_MAX) {
		t->usage.n_skipped++;
		return false;
	}
	t->budget_ns += NS_PER_SEC / A_SECOND_MAX;
	return true;
}

static void translator_push(struct translator *t, const struct job *j)
{
	pthread_mutex_lock(&t->lock);
	t->todo.v[t->todo.n++] = *j;
	pthread_cond_signal(&t->asked);
	pthread_mutex_unlock(&t->lock);
	t->n_under_way++;
	t->usage.n_asked++;
}

int translator_ask(struct translator *t, const struct flow_question *q)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	bool ask_own = q->netns_cookie != t->home_cookie &&
		       (q->sure || !is_without(t, q->netns_cookie, now_ns));
	struct job j = { .q = *q,
			 .own_fd = -1,
			 .ask_home = !is_without(t, t->home_cookie, now_ns) };

	if (!is_loaded(t, now_ns))
		return -ENOENT;
	if (!ask_own && !j.ask_home)
		return now_ns - t->tracked_ns < TRACKED_NS ? 0 : -ENOENT;
	if (!take_budget(t, now_ns))
		return -EBUSY;
	if (!t->runs && translator_start(t))
		return -EAGAIN;
	if (ask_own)
		j.own_fd = netns_registry_open(t->netns, q->netns_cookie);
	if (j.own_fd < 0 && !j.ask_home)
		return -ENOENT;
	translator_push(t, &j);
	return 0;
}

static bool translator_take(struct translator *t, struct job *ret)
{
	bool any;

	pthread_mutex_lock(&t->lock);
	any = t->done.n;
	if (any)
		*ret = t->done.v[--t->done.n];
	pthread_mutex_unlock(&t->lock);
	return any;
}

void translator_collect(struct translator *t, answer_fn answer, void *arg)
{
	struct flow_answer none[UNDER_WAY_MAX];
	size_t n_none = 0;
	struct job j;

	while (t->n_under_way && translator_take(t, &j)) {
		t->n_under_way--;
		t->usage.n_translated += j.answer.translated;
		t->usage.n_failed += j.failed;
		if ((j.own_fd >= 0 && !j.own_without) || (j.ask_home && !j.home_without))
			t->tracked_ns = clock_ns(CLOCK_MONOTONIC);
		if (j.own_without)
			note_without(t, j.q.netns_cookie);
		if (j.home_without)
			note_without(t, t->home_cookie);
		if (j.answer.translated)
			answer(arg, &j.answer);
		else
			none[n_none++] = j.answer;
	}
	/* Where anything is tracked, the other end's answer may tell still. */
	if (clock_ns(CLOCK_MONOTONIC) - t->tracked_ns < TRACKED_NS)
		return;
	while (n_none)
		answer(arg, &none[--n_none]);
}

void translator_get_usage(const struct translator *t, struct translator_usage *ret)
{
	*ret = t->usage;
}

/* --- new and free --- */

/* Of the namespace that we are in; 0: not known. */
static uint64_t netns_cookie_here(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		cookie = 0;
	close(fd);
	return cookie;
}

struct translator *translator_new(struct netns_registry *netns)
{
	struct translator *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->netns = netns;
	t->home_cookie = netns_cookie_here();
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->asked, NULL);
	return t;
}

void translator_free(struct translator *t)
{
	if (!t)
		return;
	if (t->runs) {
		pthread_mutex_lock(&t->lock);
		t->stop = true;
		pthread_cond_signal(&t->asked);
		pthread_mutex_unlock(&t->lock);
		pthread_join(t->thread, NULL);
		close(t->home_fd);
	}
	if (t->home)
		mnl_socket_close(t->home);
	pthread_cond_destroy(&t->asked);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
