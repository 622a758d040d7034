// SPDX-License-Identifier: Apache-2.0
/* in_task_context() tells a task from interrupts, by the offset that user space found in BTF. */
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <net/if.h>
#include <unistd.h>
#include <cmocka.h>

#include <bpf/btf.h>

#include "context.skel.h"
#include "probe/process/process.h"
#include "probes.skel.h"

enum { SENDS = 200 };

static int64_t preempt_count_off(void)
{
	struct probes_bpf *probes = probes_bpf__open();
	struct btf *btf = btf__load_vmlinux_btf();
	int64_t off;

	assert_non_null(probes);
	process_probe_configure(probes, btf, false);
	off = probes->rodata->task_preempt_count_off;
	probes_bpf__destroy(probes);
	btf__free(btf);
	return off;
}

static void loopback_up(int fd)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
}

/* Datagrams over the loopback: each is a send in the task and a soft interrupt behind it. */
static void send_some(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	loopback_up(fd);
	for (int i = 0; i < SENDS; i++)
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

static void tells_a_task_from_interrupts(void **state)
{
	struct context_bpf *skel = context_bpf__open();

	assert_non_null(skel);
	skel->rodata->task_preempt_count_off = preempt_count_off();
	skel->rodata->sender = (uint32_t)getpid();
	assert_int_equal(context_bpf__load(skel), 0);
	assert_int_equal(context_bpf__attach(skel), 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	send_some();
	context_bpf__detach(skel);
	assert_in_range(skel->bss->n_send, 1, SENDS);
	assert_int_equal(skel->bss->n_send_wrong, 0);
	assert_true(skel->bss->n_softirq > 0);
	assert_int_equal(skel->bss->n_softirq_wrong, 0);
	assert_int_equal(skel->bss->n_hardirq_wrong, 0);
	context_bpf__destroy(skel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_task_from_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
