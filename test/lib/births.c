// SPDX-License-Identifier: Apache-2.0
/*
 * Devices that live for a moment, each of which sends at once.
 *
 *   births NAMESPACES PAIRS LIFE_MS
 *
 * In each of that many fresh namespaces, one after the other, make PAIRS veth pairs; as soon as
 * both ends of one are up, each end sends one frame. LIFE_MS later all of the namespace's devices
 * but its loopback are removed, and so is the namespace.
 *
 * Lines: {"event":"device","cookie":..,"ifindex":..,"name":"..","bytes":..} for each end, which
 * has sent one frame of so many bytes, and got one of as many;
 * {"event":"done","devices":..,"seconds":..}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum {
	ETHERTYPE = 0x88b5,
	LENGTH = 61,
	GROUP = 5,
	ROOM = 512,
	NS_PER_MS = 1000000,
	PATIENCE = 100000
};

/* The sockets of the namespace that it is in. */
struct place {
	int netlink, packet;
	uint64_t cookie;
};

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	char rest[ROOM];
};

static long must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "births: %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return result;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / (1000LL * NS_PER_MS),
			      .tv_nsec = ns % (1000LL * NS_PER_MS) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* --- netlink --- */

static struct request request_new(int type, int flags)
{
	return (struct request){
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			  .nlmsg_type = (uint16_t)type,
			  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags) },
	};
}

/* Where the next attribute goes. */
static struct rtattr *request_end(struct request *r)
{
	return (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));
}

static void attribute_add(struct request *r, int type, const void *data, size_t size)
{
	struct rtattr *at = request_end(r);

	at->rta_type = (uint16_t)type;
	at->rta_len = (uint16_t)RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(at), data, size);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + (uint32_t)RTA_ALIGN(at->rta_len);
}

static struct rtattr *nest_begin(struct request *r, int type)
{
	struct rtattr *at = request_end(r);

	attribute_add(r, type | NLA_F_NESTED, NULL, 0);
	return at;
}

static void nest_end(struct request *r, struct rtattr *at)
{
	at->rta_len = (uint16_t)((char *)request_end(r) - (char *)at);
}

static void request_do(const struct place *p, const struct request *r, const char *what)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[ROOM];
	} answer;

	must(send(p->netlink, r, r->head.nlmsg_len, 0), what);
	must(recv(p->netlink, &answer, sizeof(answer), 0), what);
	errno = -answer.error.error;
	must(errno ? -1 : 0, what);
}

/* A name, and the group by which all are removed at once. */
static void end_describe(struct request *r, const char *name)
{
	uint32_t group = GROUP;

	attribute_add(r, IFLA_IFNAME, name, strlen(name) + 1);
	attribute_add(r, IFLA_GROUP, &group, sizeof(group));
}

static void pair_make(const struct place *p, const char *one, const char *other)
{
	struct request r = request_new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct rtattr *info, *data, *peer;

	end_describe(&r, one);
	info = nest_begin(&r, IFLA_LINKINFO);
	attribute_add(&r, IFLA_INFO_KIND, "veth", strlen("veth"));
	data = nest_begin(&r, IFLA_INFO_DATA);
	peer = nest_begin(&r, VETH_INFO_PEER);
	r.head.nlmsg_len += sizeof(struct ifinfomsg);
	end_describe(&r, other);
	nest_end(&r, peer);
	nest_end(&r, data);
	nest_end(&r, info);
	request_do(p, &r, "a veth pair");
}

static void all_remove(const struct place *p)
{
	struct request r = request_new(RTM_DELLINK, 0);
	uint32_t group = GROUP;

	attribute_add(&r, IFLA_GROUP, &group, sizeof(group));
	request_do(p, &r, "removal");
}

/* --- devices --- */

static int device_up(const struct place *p, const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_UP };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", name);
	must(ioctl(p->packet, SIOCSIFFLAGS, &r), "up");
	must(ioctl(p->packet, SIOCGIFINDEX, &r), "the index");
	return r.ifr_ifindex;
}

/* IF_OPER_*, or -1. */
static int device_state(const struct place *p, int ifindex)
{
	struct request r = request_new(RTM_GETLINK, 0);
	union {
		struct nlmsghdr head;
		char room[8192];
	} answer;
	struct rtattr *at;
	long left;

	r.link.ifi_index = ifindex;
	r.head.nlmsg_flags = NLM_F_REQUEST;
	must(send(p->netlink, &r, r.head.nlmsg_len, 0), "a link");
	must(recv(p->netlink, &answer, sizeof(answer), 0), "a link");
	must(answer.head.nlmsg_type == RTM_NEWLINK ? 0 : -1, "a link");
	left = answer.head.nlmsg_len - NLMSG_LENGTH(sizeof(r.link));
	for (at = IFLA_RTA(NLMSG_DATA(&answer.head)); RTA_OK(at, left); at = RTA_NEXT(at, left))
		if (at->rta_type == IFLA_OPERSTATE)
			return *(unsigned char *)RTA_DATA(at);
	return -1;
}

/*
 * Until the kernel would send what it gets: the end that came up first has no carrier before the
 * other is up, and the kernel drops what is sent before it has noticed.
 */
static void device_run(const struct place *p, int ifindex)
{
	for (int i = 0; i < PATIENCE && device_state(p, ifindex) != IF_OPER_UP; i++)
		sched_yield();
}

static void frame_send(const struct place *p, int ifindex)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = ifindex,
				  .sll_halen = ETH_ALEN };
	unsigned char frame[LENGTH] = { 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1 };

	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 255;
	must(sendto(p->packet, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)),
	     "a frame");
}

static void pair_live(const struct place *p, int i)
{
	char names[2][IFNAMSIZ];
	int indexes[2];

	snprintf(names[0], sizeof(names[0]), "a%d", i);
	snprintf(names[1], sizeof(names[1]), "b%d", i);
	pair_make(p, names[0], names[1]);
	for (int end = 0; end < 2; end++)
		indexes[end] = device_up(p, names[end]);
	for (int end = 0; end < 2; end++) {
		device_run(p, indexes[end]);
		frame_send(p, indexes[end]);
	}
	for (int end = 0; end < 2; end++)
		printf("{\"event\":\"device\",\"cookie\":%" PRIu64
		       ",\"ifindex\":%d,\"name\":\"%s\",\"bytes\":%d}\n",
		       p->cookie, indexes[end], names[end], LENGTH);
}

/* --- namespaces --- */

/* The kernel must have nothing to say by itself. */
static void silence(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* a kernel without IPv6 */
	must(write(fd, "1", 1), "disable_ipv6");
	close(fd);
}

static void place_enter(struct place *p)
{
	socklen_t len = sizeof(p->cookie);

	must(unshare(CLONE_NEWNET), "unshare");
	silence();
	p->netlink = (int)must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE),
			       "netlink");
	p->packet = (int)must(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "a packet socket");
	must(getsockopt(p->netlink, SOL_SOCKET, SO_NETNS_COOKIE, &p->cookie, &len), "the cookie");
}

static void place_leave(struct place *p)
{
	close(p->netlink);
	close(p->packet);
}

int main(int argc, char **argv)
{
	long n = argc > 3 ? strtol(argv[1], NULL, 10) : 0;
	int pairs = argc > 3 ? (int)strtol(argv[2], NULL, 10) : 0;
	int64_t life_ns = argc > 3 ? strtol(argv[3], NULL, 10) * NS_PER_MS : 0, begin = now_ns();

	if (n <= 0 || pairs <= 0 || life_ns <= 0) {
		fprintf(stderr, "births NAMESPACES PAIRS LIFE_MS\n");
		return 2;
	}
	for (long i = 0; i < n; i++) {
		struct place p;

		place_enter(&p);
		for (int pair = 0; pair < pairs; pair++)
			pair_live(&p, pair);
		sleep_until(now_ns() + life_ns);
		all_remove(&p);
		place_leave(&p);
	}
	printf("{\"event\":\"done\",\"devices\":%ld,\"seconds\":%.2f}\n", n * pairs * 2,
	       (double)(now_ns() - begin) / (1000.0 * NS_PER_MS));
	return 0;
}
