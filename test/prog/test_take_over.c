// SPDX-License-Identifier: Apache-2.0
/*
 * The device probe and what an earlier agent left pinned: while packets pass, programs of another
 * version with another layout of the maps are taken over from, and probes come and go; the kernel's
 * counter says how many packets there were.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <bpf/bpf.h>

#include "probe/devices.h"
#include "sys/bpffs.h"

#include "other_layout.skel.h" /* behind the types of its variables */

enum { TIMES = 12, LOOPBACK = 1, BEFORE = 20000 };

static char folder[64], pins[128];
static uint64_t cookie;

/* --- packets on the loopback of a namespace of our own --- */

static atomic_bool enough;
static atomic_uint n_sent;

static void *send_on(void *arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	while (fd >= 0 && !enough) {
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		n_sent++;
	}
	close(fd);
	return NULL;
}

static void send_some(int n)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	for (int i = 0; i < n; i++)
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

static void wait_for_packets(unsigned int more)
{
	unsigned int until = n_sent + more;

	while (n_sent < until)
		sched_yield();
}

static uint64_t kernel_packets(void)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	uint64_t rx = 0, tx = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " lo: %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &rx,
			   &tx) == 2)
			break;
	fclose(f);
	assert_int_equal(rx, tx);
	return tx;
}

static void enter_netns(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	socklen_t len = sizeof(cookie);
	int fd;

	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len), 0);
	close(fd);
}

/* --- what an agent of another version left --- */

static void pin(int fd, const char *where, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", where, name);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
}

/* Another descriptor of the link. */
static int pin_link(struct bpf_program *prog, const char *where, const char *name)
{
	struct bpf_link *link = bpf_program__attach(prog);
	int fd;

	assert_non_null(link);
	pin(bpf_link__fd(link), where, name);
	fd = dup(bpf_link__fd(link));
	bpf_link__destroy(link);
	return fd;
}

/* Leaves it pinned; its links and maps are the caller's, too. */
static struct other_layout_bpf *other_version(int ret_links[2])
{
	struct other_layout_bpf *skel = other_layout_bpf__open_and_load();
	char device[160], layout[192];
	__u32 slot;

	assert_non_null(skel);
	snprintf(device, sizeof(device), "%s/device", pins);
	snprintf(layout, sizeof(layout), "%s/layout-1-512", device);
	assert_int_equal(mkdir(pins, 0700) | mkdir(device, 0700) | mkdir(layout, 0700), 0);
	for (slot = 0; slot < 16; slot++)
		bpf_map_update_elem(bpf_map__fd(skel->maps.device_free), NULL, &slot, BPF_ANY);
	skel->data_control->device_control.generation = 1;
	pin(bpf_map__fd(skel->maps.data_control), device, "device_control");
	pin(bpf_map__fd(skel->maps.device_turn), device, "device_turn");
	pin(bpf_map__fd(skel->maps.device_places), layout, "device_places");
	pin(bpf_map__fd(skel->maps.device_slots), layout, "device_slots");
	pin(bpf_map__fd(skel->maps.device_rest), layout, "device_rest");
	pin(bpf_map__fd(skel->maps.device_base), layout, "device_base");
	ret_links[0] = pin_link(skel->progs.device_tx, device, "witness_tx-1");
	ret_links[1] = pin_link(skel->progs.device_rx, device, "witness_rx-1");
	return skel;
}

/* --- the probe --- */

static struct device_probe *open_probe(void)
{
	const struct device_probe_options o = { .pin_dir = pins };
	struct device_probe *p;
	struct err e;

	if (device_probe_open(&o, &p, &e))
		fail_msg("%s", e.text);
	if (device_probe_settle(p, &e))
		fail_msg("%s", e.text);
	return p;
}

static void counts(const struct device_probe *p, struct device_counted *rx,
		   struct device_counted *tx)
{
	struct device_tally t;

	assert_int_equal(device_probe_read(p, (struct device_id){ cookie, LOOPBACK }, &t), 0);
	device_tally_show(&t, rx, tx);
}

static void agrees_with_kernel(struct device_probe *p, const char *when)
{
	struct device_counted rx, tx;

	counts(p, &rx, &tx);
	if (tx.skbs != kernel_packets() || rx.skbs != kernel_packets())
		fail_msg("%s: tx %" PRIu64 ", rx %" PRIu64 ", the kernel %" PRIu64, when, tx.skbs,
			 rx.skbs, kernel_packets());
}

static bool exists(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/device/%s", pins, name);
	return !access(path, F_OK);
}

static void no_packet_is_missed_or_counted_twice(void **state)
{
	struct device_probe_usage usage;
	struct device_probe *p;
	pthread_t sender;
	int links[2];

	other_layout_bpf__destroy(other_version(links));
	close(links[0]);
	close(links[1]);
	assert_int_equal(pthread_create(&sender, NULL, send_on, NULL), 0);
	wait_for_packets(BEFORE);
	for (int i = 0; i < TIMES; i++) {
		p = open_probe();
		device_probe_get_usage(p, &usage);
		assert_int_equal(usage.adopted, i > 0);
		assert_int_equal(usage.generation, 2);
		wait_for_packets(BEFORE / 10);
		device_probe_close(p);
		wait_for_packets(BEFORE / 10); /* nobody is there, and it counts */
	}
	enough = true;
	pthread_join(sender, NULL);
	assert_false(exists("witness_tx-1"));
	assert_false(exists("layout-1-512"));
	assert_true(exists("witness_tx-2"));
	p = open_probe();
	agrees_with_kernel(p, "at the end");
	device_probe_close(p);
}

/* With a single slot, which somebody else has: counts in the hash map, and counts anew. */
static void a_device_without_a_slot_is_counted_anew(void **state)
{
	const struct device_probe_options o = { .n_slots = 1 };
	const struct device_counted none = { 0 };
	struct device_counted rx, tx;
	struct device_tally last;
	struct device_probe *p;
	uint64_t before;
	struct err e;

	assert_int_equal(device_probe_open(&o, &p, &e), 0);
	send_some(10);
	enter_netns();
	for (int round = 0; round < 3; round++) {
		before = kernel_packets();
		send_some(100);
		counts(p, &rx, &tx);
		assert_int_equal(tx.skbs, kernel_packets() - before);
		assert_int_equal(rx.skbs, tx.skbs);
		assert_int_equal(
			device_probe_forget(p, (struct device_id){ cookie, LOOPBACK }, &last), 0);
		device_tally_show(&last, &rx, &tx);
		assert_memory_not_equal(&tx, &none, sizeof(none));
		if (round)
			device_probe_tidy(p);
	}
	device_probe_close(p);
}

/* Which generation counts, while the programs of two are attached. */
static void let_count(struct other_layout_bpf *skel, uint32_t generation)
{
	skel->data_control->device_control.turns = 1;
	__atomic_store_n(&skel->data_control->device_control.generation, generation,
			 __ATOMIC_SEQ_CST);
}

/* What the other version's maps say of the device: skbs received and sent. */
static void other_counts(const struct other_layout_bpf *skel, uint64_t ret[2])
{
	const size_t size = 512;
	struct device_key key = { .netns_cookie = cookie, .ifindex = LOOPBACK };
	int n_cpus = libbpf_num_possible_cpus();
	char *values = calloc((size_t)n_cpus, size);
	struct device_place place;

	ret[DEVICE_RX] = ret[DEVICE_TX] = 0;
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(skel->maps.device_places), &key, &place),
			 0);
	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(skel->maps.device_slots), &place.slot, values), 0);
	for (int cpu = 0; cpu < n_cpus; cpu++)
		for (int way = 0; way < N_DEVICE_WAYS; way++)
			for (int class = 0; class < N_LAYER_CLASSES; class ++) {
				const struct device_counts *n = (void *)(values +
									 (size_t)cpu * size);

				ret[way] += n->way[way].class[class].skbs;
			}
	free(values);
}

/* As long as both are attached, in whatever order they are told to count. */
static void two_generations_count_each_packet_once(void **state)
{
	const struct device_probe_options o = { .pin_dir = pins };
	uint64_t others[2];
	struct device_counted rx = { 0 }, tx = { 0 };
	struct other_layout_bpf *skel;
	struct device_probe *p;
	pthread_t sender;
	struct err e;
	int links[2];

	skel = other_version(links);
	enough = false;
	assert_int_equal(pthread_create(&sender, NULL, send_on, NULL), 0);
	wait_for_packets(BEFORE / 10);
	assert_int_equal(device_probe_open(&o, &p, &e), 0);
	for (int i = 0; i < 2 * TIMES; i++) {
		let_count(skel, i % 2 ? 2 : 1);
		wait_for_packets(BEFORE / 10);
	}
	enough = true;
	pthread_join(sender, NULL);
	counts(p, &rx, &tx);
	other_counts(skel, others);
	assert_true(tx.skbs > BEFORE / 2);
	assert_true(others[DEVICE_TX] > BEFORE / 2);
	assert_int_equal(tx.skbs + others[DEVICE_TX], kernel_packets());
	assert_int_equal(rx.skbs + others[DEVICE_RX], kernel_packets());
	device_probe_close(p);
	close(links[0]);
	close(links[1]);
	other_layout_bpf__destroy(skel);
}

/* After a crash in the middle of a change one may be said to count that is not there. */
static void a_crash_in_the_middle_is_made_good(void **state)
{
	struct device_probe *p = open_probe();
	struct device_probe_usage usage;
	struct device_control control;
	char path[256];
	__u32 zero = 0;
	int fd;

	device_probe_close(p);
	snprintf(path, sizeof(path), "%s/device/device_control", pins);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &control), 0);
	control.generation = 7;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &control, BPF_ANY), 0);
	close(fd);
	p = open_probe();
	device_probe_get_usage(p, &usage);
	assert_false(usage.adopted);
	assert_int_equal(usage.generation, 8);
	assert_false(exists("witness_tx-2"));
	assert_true(exists("witness_tx-8"));
	device_probe_close(p);
}

static void ignore(void *arg, const struct pin *pin)
{
}

static int set_up(void **state)
{
	enter_netns();
	snprintf(folder, sizeof(folder), "/tmp/nslens-take-over-XXXXXX");
	if (!mkdtemp(folder) || mount("none", folder, "bpf", 0, NULL))
		return -1;
	snprintf(pins, sizeof(pins), "%s/pins", folder);
	return 0;
}

static int tear_down(void **state)
{
	struct err e;

	bpffs_remove(pins, ignore, NULL, &e);
	umount(folder);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_packet_is_missed_or_counted_twice, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(two_generations_count_each_packet_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_device_without_a_slot_is_counted_anew, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_crash_in_the_middle_is_made_good, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
