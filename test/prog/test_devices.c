// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "discover/devices.h"
#include "sys/clock.h"

/*
 * Devices of real namespaces, which nobody but their sockets here has: the test stays in the first
 * namespace and makes nothing there.
 */

enum { N_NETNS = 100, N_PAIRS = 5, DEADLINE_MS = 20000 };

static int home = -1;

/* --- making devices --- */

/* Held by its two descriptors. */
struct space {
	struct mnl_socket *nl;
	int fd;
	uint64_t cookie;
};

struct request {
	char buf[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h;
	struct ifinfomsg *ifi;
};

static void space_open(struct space *s)
{
	socklen_t len = sizeof(s->cookie);

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	s->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	assert_non_null(s->nl);
	assert_int_equal(mnl_socket_bind(s->nl, 0, MNL_SOCKET_AUTOPID), 0);
	s->fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(s->fd >= 0);
	assert_int_equal(getsockopt(mnl_socket_get_fd(s->nl), SOL_SOCKET, SO_NETNS_COOKIE,
				    &s->cookie, &len),
			 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
}

static void space_close(struct space *s)
{
	mnl_socket_close(s->nl);
	close(s->fd);
}

static void request_begin(struct request *r, uint16_t type, uint16_t flags)
{
	memset(r->buf, 0, sizeof(r->buf));
	r->h = mnl_nlmsg_put_header(r->buf);
	r->h->nlmsg_type = type;
	r->h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->ifi = mnl_nlmsg_put_extra_header(r->h, sizeof(*r->ifi));
}

static int take_ifindex(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	*(uint32_t *)arg = (uint32_t)ifi->ifi_index;
	return MNL_CB_OK;
}

/* 0, or the kernel's -errno. */
static int request_try(struct space *s, struct request *r, uint32_t *ret_ifindex)
{
	char buf[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	uint32_t ifindex = 0;
	ssize_t len;
	int more;

	assert_true(mnl_socket_sendto(s->nl, r->h, r->h->nlmsg_len) > 0);
	do {
		len = mnl_socket_recvfrom(s->nl, buf, sizeof(buf));
		assert_true(len > 0);
		more = mnl_cb_run(buf, (size_t)len, 0, 0, take_ifindex, &ifindex);
	} while (more > MNL_CB_STOP);
	if (ret_ifindex)
		*ret_ifindex = ifindex;
	return more < 0 ? -errno : 0;
}

static void request_send(struct space *s, struct request *r)
{
	assert_int_equal(request_try(s, r, NULL), 0);
}

static uint32_t ifindex_of(struct space *s, const char *name)
{
	struct request r;
	uint32_t ifindex;

	request_begin(&r, RTM_GETLINK, 0);
	mnl_attr_put_strz(r.h, IFLA_IFNAME, name);
	assert_int_equal(request_try(s, &r, &ifindex), 0);
	return ifindex;
}

static struct device_id id_of(struct space *s, const char *name)
{
	return (struct device_id){ s->cookie, ifindex_of(s, name) };
}

static void request_begin_new(struct request *r, const char *name, uint32_t ifindex)
{
	request_begin(r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	r->ifi->ifi_index = (int)ifindex;
	mnl_attr_put_strz(r->h, IFLA_IFNAME, name);
}

/* @ifindex 0: the kernel chooses one. */
static void make_veth(struct space *s, const char *name, uint32_t ifindex, struct space *to,
		      const char *peer)
{
	struct nlattr *info, *data, *other;
	struct request r;

	request_begin_new(&r, name, ifindex);
	info = mnl_attr_nest_start(r.h, IFLA_LINKINFO);
	mnl_attr_put_strz(r.h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(r.h, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(r.h, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(r.h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(r.h, IFLA_IFNAME, peer);
	mnl_attr_put_u32(r.h, IFLA_NET_NS_FD, (uint32_t)to->fd);
	mnl_attr_nest_end(r.h, other);
	mnl_attr_nest_end(r.h, data);
	mnl_attr_nest_end(r.h, info);
	request_send(s, &r);
}

/* @lower 0: it stands on nothing. false: this kernel doesn't know that kind. */
static bool make_device(struct space *s, const char *name, const char *kind, uint32_t lower)
{
	struct nlattr *info;
	struct request r;
	int err;

	request_begin_new(&r, name, 0);
	if (lower)
		mnl_attr_put_u32(r.h, IFLA_LINK, lower);
	info = mnl_attr_nest_start(r.h, IFLA_LINKINFO);
	mnl_attr_put_strz(r.h, IFLA_INFO_KIND, kind);
	mnl_attr_nest_end(r.h, info);
	err = request_try(s, &r, NULL);
	assert_true(!err || err == -EOPNOTSUPP);
	return !err;
}

static void change_begin(struct request *r, uint32_t ifindex)
{
	request_begin(r, RTM_NEWLINK, 0);
	r->ifi->ifi_index = (int)ifindex;
}

static void set_up(struct space *s, uint32_t ifindex)
{
	struct request r;

	change_begin(&r, ifindex);
	r.ifi->ifi_flags = r.ifi->ifi_change = IFF_UP;
	request_send(s, &r);
}

static void set_u32(struct space *s, uint32_t ifindex, uint16_t type, uint32_t value)
{
	struct request r;

	change_begin(&r, ifindex);
	mnl_attr_put_u32(r.h, type, value);
	request_send(s, &r);
}

static void rename_device(struct space *s, uint32_t ifindex, const char *name)
{
	struct request r;

	change_begin(&r, ifindex);
	mnl_attr_put_strz(r.h, IFLA_IFNAME, name);
	request_send(s, &r);
}

static void delete_device(struct space *s, uint32_t ifindex)
{
	struct request r;

	request_begin(&r, RTM_DELLINK, 0);
	r.ifi->ifi_index = (int)ifindex;
	request_send(s, &r);
}

/* --- what is told --- */

struct bench {
	sd_event *loop;
	struct netns_registry *registry;
	struct devices *devices;
	struct devices_subscriber subscriber;
	struct device_id watched; /* the rest is about this one */
	unsigned int n_appeared, n_changed, n_gone;
	bool was_moved;
	struct device_id moved_to;
};

static bool is_watched(const struct bench *b, const struct device *dev)
{
	return dev->id.netns_cookie == b->watched.netns_cookie &&
	       dev->id.ifindex == b->watched.ifindex;
}

static void on_appeared(void *arg, const struct device *dev)
{
	struct bench *b = arg;

	b->n_appeared += is_watched(b, dev);
}

static void on_changed(void *arg, const struct device *dev)
{
	struct bench *b = arg;

	b->n_changed += is_watched(b, dev);
}

static void on_gone(void *arg, const struct device *dev, const struct device_id *moved_to)
{
	struct bench *b = arg;

	if (!is_watched(b, dev))
		return;
	b->n_gone++;
	b->was_moved = moved_to != NULL;
	if (moved_to)
		b->moved_to = *moved_to;
}

static void bench_open(struct bench *b)
{
	struct netns_registry_options options = { 0 };
	struct err e = { "" };

	memset(b, 0, sizeof(*b));
	assert_true(sd_event_new(&b->loop) >= 0);
	options.loop = b->loop;
	assert_int_equal(netns_registry_new(&b->registry, &options, &e), 0);
	if (devices_new(&b->devices, b->registry, b->loop, &e))
		fail_msg("%s", e.text);
	b->subscriber = (struct devices_subscriber){ on_appeared, on_changed, on_gone, b, NULL };
	devices_subscribe(b->devices, &b->subscriber);
}

static void bench_close(struct bench *b)
{
	devices_unsubscribe(b->devices, &b->subscriber);
	devices_free(b->devices);
	netns_registry_free(b->registry);
	sd_event_unref(b->loop);
}

static void bench_watch(struct bench *b, struct device_id id)
{
	b->watched = id;
	b->n_appeared = b->n_changed = b->n_gone = 0;
	b->was_moved = false;
}

typedef bool (*condition_fn)(const struct bench *b, void *arg);

static void run_until(struct bench *b, condition_fn done, void *arg)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + DEADLINE_MS * NS_PER_MS;

	while (!done(b, arg) && clock_ns(CLOCK_MONOTONIC) < end_ns)
		assert_true(sd_event_run(b->loop, 100000) >= 0);
	assert_true(done(b, arg));
}

static bool is_there(const struct bench *b, void *arg)
{
	return devices_get(b->devices, *(struct device_id *)arg);
}

static bool is_gone(const struct bench *b, void *arg)
{
	return b->n_gone && !devices_get(b->devices, b->watched);
}

static bool was_changed(const struct bench *b, void *arg)
{
	return b->n_changed;
}

/* --- pairs --- */

struct pair {
	struct device_id left, right;
	char left_name[IFNAMSIZ], right_name[IFNAMSIZ];
};

static bool is_end(const struct devices *d, struct device_id id, const char *name,
		   struct device_id peer)
{
	const struct device *dev = devices_get(d, id);

	return dev && !strcmp(dev->name, name) && !strcmp(dev->kind, "veth") &&
	       dev->has & DEVICE_HAS_PEER && dev->peer.netns_cookie == peer.netns_cookie &&
	       dev->peer.ifindex == peer.ifindex;
}

static bool is_pair(const struct devices *d, const struct pair *p)
{
	return is_end(d, p->left, p->left_name, p->right) &&
	       is_end(d, p->right, p->right_name, p->left);
}

struct many {
	struct space spaces[N_NETNS];
	struct pair pairs[N_NETNS * N_PAIRS];
};

static bool are_pairs(const struct bench *b, void *arg)
{
	struct many *m = arg;

	for (size_t i = 0; i < N_NETNS * N_PAIRS; i++)
		if (!is_pair(b->devices, &m->pairs[i]))
			return false;
	return true;
}

/* A ring: each is connected with the next. Ifindexes are the same everywhere. */
static void make_many(struct many *m)
{
	struct pair *p = m->pairs;
	struct space *s, *to;

	for (size_t i = 0; i < N_NETNS; i++)
		space_open(&m->spaces[i]);
	for (size_t i = 0; i < N_NETNS; i++) {
		s = &m->spaces[i];
		to = &m->spaces[(i + 1) % N_NETNS];
		for (unsigned int k = 0; k < N_PAIRS; k++, p++) {
			snprintf(p->left_name, sizeof(p->left_name), "l%u", k);
			snprintf(p->right_name, sizeof(p->right_name), "r%u", k);
			make_veth(s, p->left_name, 0, to, p->right_name);
			p->left = id_of(s, p->left_name);
			p->right = id_of(to, p->right_name);
		}
	}
}

static bool are_gone(const struct bench *b, void *arg)
{
	struct many *m = arg;

	for (size_t i = 0; i < N_NETNS; i++)
		if (netns_registry_get(b->registry, m->spaces[i].cookie))
			return false;
	for (size_t i = 0; i < N_NETNS * N_PAIRS; i++)
		if (devices_get(b->devices, m->pairs[i].left) ||
		    devices_get(b->devices, m->pairs[i].right))
			return false;
	return true;
}

static size_t count_kind(const struct devices *d, const struct many *m, const char *kind)
{
	const struct device *dev = NULL;
	size_t n = 0;

	while ((dev = devices_next(d, dev)))
		for (size_t i = 0; i < N_NETNS && !strcmp(dev->kind, kind); i++)
			n += dev->id.netns_cookie == m->spaces[i].cookie;
	return n;
}

static void knows_a_thousand_devices_of_fresh_namespaces(void **state)
{
	static struct many m;
	struct devices_health health;
	struct bench b;

	bench_open(&b);
	make_many(&m);
	run_until(&b, are_pairs, &m);
	assert_int_equal(count_kind(b.devices, &m, "veth"), 2 * N_NETNS * N_PAIRS);
	assert_int_equal(count_kind(b.devices, &m, "loopback"), N_NETNS);
	devices_get_health(b.devices, &health);
	assert_true(health.n_appeared >= N_NETNS * (2 * N_PAIRS + 1));
	assert_int_equal(health.n_overruns, 0);
	/* Nothing but the test holds them. */
	for (size_t i = 0; i < N_NETNS; i++)
		space_close(&m.spaces[i]);
	run_until(&b, are_gone, &m);
	bench_close(&b);
}

static void lists_what_was_there_before(void **state)
{
	static struct many m;
	struct bench b;

	make_many(&m);
	bench_open(&b);
	assert_true(are_pairs(&b, &m));
	assert_int_equal(devices_get(b.devices, m.pairs[0].left)->heard_ns, 0);
	for (size_t i = 0; i < N_NETNS; i++)
		space_close(&m.spaces[i]);
	run_until(&b, are_gone, &m);
	bench_close(&b);
}

static void lists_without_a_loop(void **state)
{
	struct netns_registry_options options = { 0 };
	struct bench b = { 0 };
	static struct many m;
	struct err e = { "" };

	make_many(&m);
	assert_int_equal(netns_registry_new(&b.registry, &options, &e), 0);
	assert_int_equal(devices_new(&b.devices, b.registry, NULL, &e), 0);
	assert_true(are_pairs(&b, &m));
	delete_device(&m.spaces[0], m.pairs[0].left.ifindex);
	assert_int_equal(devices_refresh_one(b.devices, m.pairs[0].left), -ENODEV);
	assert_int_equal(devices_refresh_one(b.devices, m.pairs[1].left), 0);
	assert_int_equal(devices_refresh(b.devices, &e), 0);
	assert_null(devices_get(b.devices, m.pairs[0].left));
	assert_null(devices_get(b.devices, m.pairs[0].right));
	assert_true(is_pair(b.devices, &m.pairs[1]));
	for (size_t i = 0; i < N_NETNS; i++)
		space_close(&m.spaces[i]);
	devices_free(b.devices);
	netns_registry_free(b.registry);
}

/* --- one device's life --- */

struct two {
	struct bench b;
	struct space left, right;
	struct pair pair;
};

static bool is_one_pair(const struct bench *b, void *arg)
{
	return is_pair(b->devices, arg);
}

static int two_open(void **state)
{
	static struct two t;
	struct pair *p = &t.pair;

	bench_open(&t.b);
	space_open(&t.left);
	space_open(&t.right);
	make_veth(&t.left, "l", 77, &t.right, "r");
	snprintf(p->left_name, sizeof(p->left_name), "l");
	snprintf(p->right_name, sizeof(p->right_name), "r");
	p->left = id_of(&t.left, "l");
	p->right = id_of(&t.right, "r");
	run_until(&t.b, is_one_pair, p);
	bench_watch(&t.b, p->left);
	*state = &t;
	return 0;
}

static int two_close(void **state)
{
	struct two *t = *state;

	bench_close(&t->b);
	space_close(&t->left);
	space_close(&t->right);
	return 0;
}

static void tells_of_a_deletion(void **state)
{
	struct two *t = *state;

	delete_device(&t->left, 77);
	run_until(&t->b, is_gone, NULL);
	assert_false(t->b.was_moved);
	assert_int_equal(t->b.n_gone, 1);
	assert_null(devices_get(t->b.devices, t->pair.right));
}

static bool is_again(const struct bench *b, void *arg)
{
	return b->n_appeared == 1 && b->n_gone == 1 && is_pair(b->devices, arg);
}

static void tells_apart_those_that_follow_with_the_same_ifindex(void **state)
{
	struct two *t = *state;

	delete_device(&t->left, 77);
	make_veth(&t->left, "l", 77, &t->right, "r");
	t->pair.right = id_of(&t->right, "r");
	run_until(&t->b, is_again, &t->pair);
}

static void tells_of_another_name_and_state(void **state)
{
	struct two *t = *state;

	rename_device(&t->left, 77, "renamed");
	run_until(&t->b, was_changed, NULL);
	assert_string_equal(devices_get(t->b.devices, t->pair.left)->name, "renamed");
	assert_false(devices_get(t->b.devices, t->pair.left)->has & DEVICE_UP);
	bench_watch(&t->b, t->pair.left);
	set_up(&t->left, 77);
	run_until(&t->b, was_changed, NULL);
	assert_true(devices_get(t->b.devices, t->pair.left)->has & DEVICE_UP);
	assert_true(devices_get(t->b.devices, t->pair.left)->has & DEVICE_HAS_PEER);
	assert_int_equal(t->b.n_gone + t->b.n_appeared, 0);
}

/* Into a namespace that was just made, which nobody knows yet. */
static void tells_where_a_device_went(void **state)
{
	struct two *t = *state;
	struct space third;

	space_open(&third);
	set_u32(&t->left, 77, IFLA_NET_NS_FD, (uint32_t)third.fd);
	run_until(&t->b, is_gone, NULL);
	assert_true(t->b.was_moved);
	assert_int_equal(t->b.moved_to.netns_cookie, third.cookie);
	assert_int_equal(t->b.moved_to.ifindex, ifindex_of(&third, "l"));
	t->pair.left = t->b.moved_to;
	run_until(&t->b, is_one_pair, &t->pair);
	space_close(&third);
}

static bool is_port(const struct bench *b, void *arg)
{
	const struct device *dev = devices_get(b->devices, b->watched);

	return dev->has & DEVICE_HAS_MASTER && dev->has & DEVICE_FORWARDS &&
	       dev->master.ifindex == *(uint32_t *)arg &&
	       dev->master.netns_cookie == dev->id.netns_cookie;
}

static bool is_free(const struct bench *b, void *arg)
{
	return !(devices_get(b->devices, b->watched)->has & (DEVICE_HAS_MASTER | DEVICE_FORWARDS));
}

static void tells_of_masters(void **state)
{
	struct two *t = *state;
	uint32_t bridge;

	if (!make_device(&t->left, "br", "bridge", 0))
		skip();
	bridge = ifindex_of(&t->left, "br");
	set_u32(&t->left, 77, IFLA_MASTER, bridge);
	run_until(&t->b, is_port, &bridge);
	set_u32(&t->left, 77, IFLA_MASTER, 0);
	run_until(&t->b, is_free, NULL);
	assert_int_equal(t->b.n_gone, 0);
}

static void knows_what_a_device_stands_on(void **state)
{
	struct two *t = *state;
	const struct device *dev;
	struct device_id id;

	if (!make_device(&t->left, "mv", "macvlan", 77))
		skip();
	id = id_of(&t->left, "mv");
	run_until(&t->b, is_there, &id);
	dev = devices_get(t->b.devices, id);
	assert_string_equal(dev->kind, "macvlan");
	assert_true(dev->has & DEVICE_STACKED && dev->has & DEVICE_HAS_LOWER);
	assert_int_equal(dev->lower.ifindex, 77);
	assert_int_equal(dev->lower.netns_cookie, t->left.cookie);
	/* Moved, it still stands on the same. */
	set_u32(&t->left, id.ifindex, IFLA_NET_NS_FD, (uint32_t)t->right.fd);
	id = id_of(&t->right, "mv");
	run_until(&t->b, is_there, &id);
	dev = devices_get(t->b.devices, id);
	assert_true(dev->has & DEVICE_HAS_LOWER);
	assert_int_equal(dev->lower.ifindex, 77);
	assert_int_equal(dev->lower.netns_cookie, t->left.cookie);
}

/* A datagram to the discard port of lo, from a socket made in the namespace. */
static void send_on_loopback(struct space *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd;

	set_up(s, 1);
	assert_int_equal(setns(s->fd, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_int_equal(sendto(fd, "1234", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	close(fd);
}

static void reads_the_kernels_counters(void **state)
{
	struct two *t = *state;
	struct device_id lo = { t->left.cookie, 1 };
	const struct device *dev = devices_get(t->b.devices, lo);

	assert_string_equal(dev->kind, "loopback");
	assert_int_equal(dev->kernel_rx.packets, 0);
	send_on_loopback(&t->left);
	assert_int_equal(devices_refresh_one(t->b.devices, lo), 0);
	dev = devices_get(t->b.devices, lo);
	assert_true(dev->has & DEVICE_HAS_KERNEL);
	/* And ICMP says that nobody is there. */
	assert_int_equal(dev->kernel_rx.packets, 2);
	assert_int_equal(dev->kernel_tx.packets, 2);
	assert_int_equal(dev->kernel_rx.bytes, (20 + 8 + 4) + (20 + 8 + 20 + 8 + 4));
	lo.ifindex = 12345;
	assert_int_equal(devices_refresh_one(t->b.devices, lo), -ENODEV);
}

/* --- what the kernel doesn't tell --- */

/* Of this process the one socket with much room for messages gets as little as can be. */
static void make_deaf(void)
{
	int bytes, protocol, none = 0;
	unsigned int n = 0;
	socklen_t len;

	for (int fd = 3; fd < 256; fd++) {
		len = sizeof(int);
		if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) ||
		    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) || bytes < 32 << 20)
			continue;
		n++;
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &none, sizeof(none)),
				 0);
	}
	assert_int_equal(n, 1);
}

static bool is_again_known(const struct bench *b, void *arg)
{
	const struct two *t = arg;
	struct device_id other = { t->left.cookie, 78 };

	return b->n_gone && !devices_get(b->devices, t->pair.left) &&
	       !devices_get(b->devices, t->pair.right) && devices_get(b->devices, other);
}

static void lists_anew_what_the_kernel_had_to_drop(void **state)
{
	struct two *t = *state;
	struct devices_health health;

	make_deaf();
	for (uint32_t mtu = 1000; mtu < 1050; mtu++)
		set_u32(&t->right, t->pair.right.ifindex, IFLA_MTU, mtu);
	delete_device(&t->left, 77);
	make_veth(&t->left, "other", 78, &t->right, "end");
	run_until(&t->b, is_again_known, t);
	devices_get_health(t->b.devices, &health);
	assert_true(health.n_overruns > 0);
	assert_false(t->b.was_moved);
}

/* --- anything, in any order --- */

enum { N_PLACES = 8, N_STEPS = 2000 };

struct churn {
	struct bench b;
	struct space places[N_PLACES];
	struct netns_registry *registry; /* these two list once */
	struct devices *truth;
	unsigned int n_names;
	uint64_t random;
};

/* The same each time. */
static unsigned int draw(struct churn *c, unsigned int below)
{
	c->random = c->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(c->random >> 33) % below;
}

/* The kernel may say no: there is no such device (any more), or two have one name or ifindex. */
static void step_on_device(struct churn *c, struct space *s, uint32_t ifindex)
{
	unsigned int what = draw(c, 4);
	struct request r;

	request_begin(&r, what ? RTM_NEWLINK : RTM_DELLINK, 0);
	r.ifi->ifi_index = (int)ifindex;
	if (what == 1)
		mnl_attr_put_u32(r.h, IFLA_NET_NS_FD, (uint32_t)c->places[draw(c, N_PLACES)].fd);
	else if (what == 2)
		mnl_attr_put_u32(r.h, IFLA_MTU, 1000 + draw(c, 400));
	else if (what == 3)
		r.ifi->ifi_flags = r.ifi->ifi_change = IFF_UP;
	request_try(s, &r, NULL);
}

static void step(struct churn *c)
{
	struct space *s = &c->places[draw(c, N_PLACES)];
	struct space *to = &c->places[draw(c, N_PLACES)];
	unsigned int what = draw(c, 100);
	char name[2][IFNAMSIZ];

	snprintf(name[0], IFNAMSIZ, "n%u", c->n_names++);
	snprintf(name[1], IFNAMSIZ, "n%u", c->n_names++);
	if (what < 25) {
		make_veth(s, name[0], 0, to, name[1]);
	} else if (what < 27) {
		/* The next may get its id. */
		space_close(s);
		space_open(s);
	} else if (what < 40) {
		sd_event_run(c->b.loop, 0);
	} else {
		step_on_device(c, s, 2 + draw(c, 12));
	}
}

static bool is_same(const struct device *a, const struct device *b)
{
	return a && b && !strcmp(a->name, b->name) && !strcmp(a->kind, b->kind) &&
	       a->mtu == b->mtu && a->has == b->has &&
	       (!(a->has & DEVICE_HAS_PEER) || (a->peer.netns_cookie == b->peer.netns_cookie &&
						a->peer.ifindex == b->peer.ifindex));
}

static size_t count_in_places(const struct churn *c, const struct devices *d)
{
	const struct device *dev = NULL;
	size_t n = 0;

	while ((dev = devices_next(d, dev)))
		for (size_t i = 0; i < N_PLACES; i++)
			n += dev->id.netns_cookie == c->places[i].cookie;
	return n;
}

static bool is_true(const struct bench *b, void *arg)
{
	const struct churn *c = arg;
	const struct device *dev = NULL;

	while ((dev = devices_next(c->truth, dev)))
		for (size_t i = 0; i < N_PLACES; i++)
			if (dev->id.netns_cookie == c->places[i].cookie &&
			    !is_same(dev, devices_get(b->devices, dev->id)))
				return false;
	return count_in_places(c, c->truth) == count_in_places(c, b->devices);
}

static void what_was_heard_ends_as_what_is_there(void **state)
{
	static struct churn c;
	struct netns_registry_options options = { 0 };
	struct devices_health health;
	struct err e = { "" };

	bench_open(&c.b);
	for (size_t i = 0; i < N_PLACES; i++)
		space_open(&c.places[i]);
	for (unsigned int i = 0; i < N_STEPS; i++)
		step(&c);
	assert_int_equal(netns_registry_new(&c.registry, &options, &e), 0);
	assert_int_equal(devices_new(&c.truth, c.registry, NULL, &e), 0);
	assert_true(count_in_places(&c, c.truth) > 2 * N_PLACES);
	run_until(&c.b, is_true, &c);
	devices_get_health(c.b.devices, &health);
	assert_int_equal(health.n_overruns, 0);
	assert_true(health.n_moved > 50);
	devices_free(c.truth);
	netns_registry_free(c.registry);
	bench_close(&c.b);
	for (size_t i = 0; i < N_PLACES; i++)
		space_close(&c.places[i]);
}

#define TWO(fn) cmocka_unit_test_setup_teardown(fn, two_open, two_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_a_thousand_devices_of_fresh_namespaces),
		cmocka_unit_test(lists_what_was_there_before),
		cmocka_unit_test(lists_without_a_loop),
		cmocka_unit_test(what_was_heard_ends_as_what_is_there),
		TWO(tells_of_a_deletion),
		TWO(tells_apart_those_that_follow_with_the_same_ifindex),
		TWO(tells_of_another_name_and_state),
		TWO(tells_where_a_device_went),
		TWO(tells_of_masters),
		TWO(knows_what_a_device_stands_on),
		TWO(reads_the_kernels_counters),
		TWO(lists_anew_what_the_kernel_had_to_drop),
	};

	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
