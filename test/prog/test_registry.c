// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "discover/registry.h"

/*
 * The registry in an event loop, with file handles of namespaces, and as on kernels without: there
 * whoever has a namespace must be found first.
 */

enum how { BY_PROCESS, BY_DESCRIPTOR, BY_SOCKET, N_HOW };

static int home = -1;

static uint64_t cookie_of(int sock)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	assert_int_equal(getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len), 0);
	return cookie;
}

/*
 * Make a namespace in this process, and go home. It lives as long as *ret_fd, a socket of it or
 * its descriptor.
 */
static uint64_t make_netns(enum how how, int *ret_fd)
{
	uint64_t cookie;
	int sock;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(sock >= 0);
	cookie = cookie_of(sock);
	*ret_fd = sock;
	if (how != BY_SOCKET) {
		*ret_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		close(sock);
	}
	assert_true(*ret_fd >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	return cookie;
}

/* A child that lives in the namespace, and then has it alone. */
static pid_t live_in(int netns_fd)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setns(netns_fd, CLONE_NEWNET))
			_exit(1);
		close(netns_fd);
		for (;;)
			pause();
	}
	return pid;
}

/* --- what the registry tells --- */

struct told {
	uint64_t cookie;
	bool born, died;
};

static void on_born(void *arg, const struct netns *ns)
{
	struct told *t = arg;

	t->born |= ns->cookie == t->cookie;
}

static void on_died(void *arg, const struct netns *ns)
{
	struct told *t = arg;

	t->died |= ns->cookie == t->cookie;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / NS_PER_MS;
}

typedef bool (*condition_fn)(struct netns_registry *r, struct told *t);

static bool is_born(struct netns_registry *r, struct told *t)
{
	return t->born && netns_registry_get(r, t->cookie);
}

static bool is_dead(struct netns_registry *r, struct told *t)
{
	return t->died && !netns_registry_get(r, t->cookie);
}

/* Its death will be told, rather than found by looking: other tests' namespaces may lack an id. */
static bool can_be_opened(struct netns_registry *r, struct told *t)
{
	int fd = netns_registry_open(r, t->cookie);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool run_until(sd_event *loop, struct netns_registry *r, struct told *t, condition_fn done)
{
	uint64_t end_ms = now_ms() + 10000;

	while (!done(r, t) && now_ms() < end_ms)
		assert_true(sd_event_run(loop, 10000) >= 0);
	return done(r, t);
}

static void live_and_die(sd_event *loop, struct netns_registry *r, enum how how)
{
	struct told t = { 0 };
	struct netns_subscriber s = { .born = on_born, .died = on_died, .arg = &t };
	pid_t pid = 0;
	int fd;

	netns_registry_subscribe(r, &s);
	t.cookie = make_netns(how, &fd);
	if (how == BY_PROCESS) {
		pid = live_in(fd);
		close(fd);
	}
	assert_true(run_until(loop, r, &t, is_born));
	assert_true(run_until(loop, r, &t, can_be_opened));
	if (pid) {
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	} else {
		close(fd);
	}
	assert_true(run_until(loop, r, &t, is_dead));
	netns_registry_unsubscribe(r, &s);
}

static void run_all(bool no_handles)
{
	struct netns_registry_options options = { .no_handles = no_handles };
	struct netns_registry_health health;
	struct netns_registry *r = NULL;
	struct err e = { "" };

	assert_true(sd_event_new(&options.loop) >= 0);
	assert_int_equal(netns_registry_new(&r, &options, &e), 0);
	for (enum how how = 0; how < N_HOW; how++)
		live_and_die(options.loop, r, how);
	netns_registry_get_health(r, &health);
	assert_string_equal(health.no_births, "");
	assert_string_equal(health.last_failure, "");
	assert_true(health.n_born > N_HOW && health.n_died >= N_HOW);
	netns_registry_free(r);
	sd_event_unref(options.loop);
}

static void hears_of_lives_and_deaths(void **state)
{
	run_all(false);
}

static void finds_who_has_them_where_there_are_no_handles(void **state)
{
	run_all(true);
}

/* --- without a loop --- */

static void refresh_is_enough_without_a_loop(void **state)
{
	struct netns_registry_options options = { 0 };
	struct netns_registry *r = NULL;
	const struct netns *ns;
	size_t covered, total;
	struct err e;
	uint64_t cookie;
	int fd;

	assert_int_equal(netns_registry_new(&r, &options, &e), 0);
	cookie = make_netns(BY_DESCRIPTOR, &fd);
	assert_null(netns_registry_get(r, cookie));
	assert_int_equal(netns_registry_refresh(r, &e), 0);
	ns = netns_registry_get(r, cookie);
	assert_non_null(ns);
	assert_int_equal(ns->held_by, NETNS_HELD_BY_DESCRIPTOR);
	assert_int_equal(ns->holder_pid, getpid());
	assert_false(ns->covered);
	netns_registry_set_coverage(r, true, NULL);
	netns_registry_count(r, &covered, &total);
	assert_true(ns->covered && covered == total && total >= 2);
	assert_int_equal(netns_registry_open(r, 1ULL << 60), -ENOENT);
	close(fd);
	netns_registry_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hears_of_lives_and_deaths),
		cmocka_unit_test(finds_who_has_them_where_there_are_no_handles),
		cmocka_unit_test(refresh_is_enough_without_a_loop),
	};

	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
