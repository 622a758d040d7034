// SPDX-License-Identifier: Apache-2.0
/*
 * Two programs see each change of a TCP state, and one of them handles it: the second what the
 * kernel passed the first over for. That depends on interrupts, so here the first is left out to
 * see that the second does its work.
 */
#include <netinet/in.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "abi/tcp.h"
#include "base/base.h"
#include "probe/process/process.h"
#include "probes.skel.h"

enum { CONNECTIONS = 100 };

struct fixture {
	struct probes_bpf *skel;
	struct ring_buffer *ring;
	unsigned int n_closed, n_others; /* of the namespace that the test is in */
	uint64_t netns_cookie;
};

static int on_record(void *arg, void *data, size_t size)
{
	const struct rec_tcp *r = data;
	struct fixture *f = arg;

	if (r->h.type != REC_TCP || size != sizeof(*r) || r->netns_cookie != f->netns_cookie)
		return 0;
	switch (r->action) {
	case TCP_ACT_CLOSE: f->n_closed++; break;
	case TCP_ACT_LISTEN:
	case TCP_ACT_UNLISTEN: break;
	default: f->n_others++;
	}
	return 0;
}

static void load_only_tcp(struct probes_bpf *skel)
{
	struct btf *btf = btf__load_vmlinux_btf();
	struct bpf_program *prog;
	uint32_t zero = 0;
	int tcp_state_fd;

	bpf_object__for_each_program(prog, skel->obj)
	{
		bpf_program__set_autoload(prog, prog == skel->progs.tcp_state ||
							prog == skel->progs.tcp_state_again);
	}
	process_probe_configure(skel, btf, false);
	btf__free(btf);
	assert_int_equal(probes_bpf__load(skel), 0);
	tcp_state_fd = bpf_program__fd(skel->progs.tcp_state);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.tcp_itself), &zero,
					     &tcp_state_fd, BPF_ANY),
			 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	socklen_t len = sizeof(f->netns_cookie);
	int fd;

	*state = f;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &up), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &f->netns_cookie, &len), 0);
	close(fd);
	f->skel = probes_bpf__open();
	assert_non_null(f->skel);
	load_only_tcp(f->skel);
	f->ring = ring_buffer__new(bpf_map__fd(f->skel->maps.ring), on_record, f, NULL);
	assert_non_null(f->ring);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_buffer__free(f->ring);
	probes_bpf__destroy(f->skel);
	free(f);
	return 0;
}

/* Connections one after another; the client closes, then the server. */
static void connect_and_close(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	for (int i = 0; i < CONNECTIONS; i++) {
		int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;

		assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(server >= 0);
		close(client);
		close(server);
	}
	close(listener);
}

/* What the second took in place of the first. */
static uint64_t n_taken(const struct fixture *f)
{
	uint64_t values[256] = { 0 }, n = 0;
	uint32_t reason = LOST_NOT_RUN;

	assert_true(libbpf_num_possible_cpus() <= (int)ARRAY_SIZE(values));
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(f->skel->maps.lost), &reason, values), 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		n += values[i];
	return n;
}

static void each_once(struct fixture *f, bool first, bool second)
{
	struct bpf_link *links[2] = {
		first ? bpf_program__attach(f->skel->progs.tcp_state) : NULL,
		second ? bpf_program__attach(f->skel->progs.tcp_state_again) : NULL,
	};

	connect_and_close();
	bpf_link__destroy(links[0]);
	bpf_link__destroy(links[1]);
	assert_true(ring_buffer__consume(f->ring) > 0);
	assert_int_equal(f->n_closed, 2 * CONNECTIONS);
	assert_int_equal(f->n_others, 0);
}

static void both(void **state)
{
	struct fixture *f = *state;

	each_once(f, true, true);
	assert_in_range(n_taken(f), 0, CONNECTIONS);
}

static void the_second_alone(void **state)
{
	struct fixture *f = *state;

	each_once(f, false, true);
	assert_true(n_taken(f) >= 4 * CONNECTIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both, setup, teardown),
		cmocka_unit_test_setup_teardown(the_second_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
