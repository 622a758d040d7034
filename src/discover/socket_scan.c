// SPDX-License-Identifier: Apache-2.0
#include "discover/socket_scan.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discover.skel.h"
#include "discover/socket_diag.h"
#include "sys/bpf_refusal.h"

enum { SCAN_BUFFER_BYTES = 64 << 10 };

struct scan_netns {
	uint64_t cookie;
	uint32_t inode;
};

struct scan {
	struct socket_table *table;
	struct netns_registry *registry;
	struct socket_scan_gaps *gaps;
	struct scan_netns *netns;
	size_t n_netns;
	enum diag_use use;
	int err;
	struct err *e;
};

/* --- descriptors --- */

static int explain_load(int err, struct err *e)
{
	static const unsigned int caps[] = { CAP_BPF, CAP_PERFMON };

	return bpf_refusal_explain(err, "cannot read the kernel's list of sockets", caps,
				   ARRAY_SIZE(caps), e);
}

static int load_iterator(struct discover_bpf **ret_skel, struct err *e)
{
	struct discover_bpf *skel;
	struct bpf_program *prog;
	struct bpf_map *map;
	int err;

	bpf_complaint_listen();
	skel = discover_bpf__open();
	if (!skel)
		return err_set(e, errno, "opening the BPF object of the socket list: %s",
			       strerror(errno));
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, prog == skel->progs.sockets_walk);
	bpf_object__for_each_map(map, skel->obj) bpf_map__set_autocreate(map, false);
	err = discover_bpf__load(skel);
	if (err) {
		discover_bpf__destroy(skel);
		return explain_load(err, e);
	}
	*ret_skel = skel;
	return 0;
}

/* Called for each descriptor found. 0 or -errno. */
typedef int (*descriptor_fn)(struct socket_table *t, const struct rec_socket *r);

static int explain_descriptor(struct socket_table *t, const struct rec_socket *r)
{
	socket_table_explain(t, r);
	return 0;
}

static ssize_t read_some(int fd, char *buffer, size_t room)
{
	ssize_t n;

	/* EAGAIN: a million descriptors without a socket were passed, the kernel had a breath. */
	do {
		n = read(fd, buffer, room);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

static int read_records(int fd, struct socket_table *t, descriptor_fn take)
{
	static const size_t size = sizeof(struct rec_socket);
	char *buffer = malloc(SCAN_BUFFER_BYTES);
	size_t have = 0, used;
	ssize_t n;
	int err = buffer ? 0 : -ENOMEM;

	while (!err) {
		n = read_some(fd, buffer + have, SCAN_BUFFER_BYTES - have);
		if (n <= 0) {
			err = n < 0 ? (int)n : have ? -EBADMSG : 0;
			break;
		}
		have += (size_t)n;
		for (used = 0; !err && have - used >= size; used += size)
			err = take(t, (const struct rec_socket *)(buffer + used));
		memmove(buffer, buffer + used, have - used);
		have -= used;
	}
	free(buffer);
	return err;
}

static int walk_descriptors(struct discover_bpf *skel, struct socket_table *t, descriptor_fn take,
			    struct err *e)
{
	struct bpf_link *link = bpf_program__attach_iter(skel->progs.sockets_walk, NULL);
	int err, fd = -1;

	if (!link)
		return err_set(e, errno, "starting the BPF iterator over sockets: %s",
			       strerror(errno));
	fd = bpf_iter_create(bpf_link__fd(link));
	err = fd < 0 ? -errno : read_records(fd, t, take);
	if (err)
		err_set(e, -err, "reading the BPF iterator over sockets: %s", strerror(-err));
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return err;
}

/* --- namespaces --- */

static int list_netns(struct scan *s)
{
	const struct netns *ns = NULL;
	size_t covered, total;

	netns_registry_count(s->registry, &covered, &total);
	s->netns = calloc(total + 1, sizeof(*s->netns));
	if (!s->netns)
		return -ENOMEM;
	while ((ns = netns_registry_next(s->registry, ns)) && s->n_netns < total)
		s->netns[s->n_netns++] = (struct scan_netns){ ns->cookie, ns->inode };
	return 0;
}

/* Those with rows that are to be confirmed; few, as a rule. */
static int list_unexplained(struct scan *s)
{
	const struct socket_row *row;
	size_t known;

	s->netns = calloc(s->table->n_unexplained + 1, sizeof(*s->netns));
	if (!s->netns)
		return -ENOMEM;
	for (size_t i = 0; i < s->table->n_rows; i++) {
		row = &s->table->rows[i];
		if (!row->unexplained || row->n_owners)
			continue;
		for (known = 0; known < s->n_netns; known++)
			if (s->netns[known].cookie == row->netns_cookie)
				break;
		if (known == s->n_netns)
			s->netns[s->n_netns++] = (struct scan_netns){ row->netns_cookie,
								      row->netns_inode };
	}
	return 0;
}

static int enter_netns(struct scan *s, const struct scan_netns *ns, struct err *e)
{
	int err = 0, fd = netns_registry_open(s->registry, ns->cookie);

	if (fd < 0)
		return err_set(e, -fd, "opening network namespace %u: %s", ns->inode,
			       strerror(-fd));
	if (setns(fd, CLONE_NEWNET))
		err = err_set(e, errno, "entering network namespace %u: %s", ns->inode,
			      strerror(errno));
	close(fd);
	return err;
}

/* The names of the devices that sockets of the namespace that we are in are bound to. */
static void name_devices(struct socket_table *t, uint64_t cookie)
{
	struct socket_row *row;
	struct ifreq ifr;
	int fd = -1;

	for (size_t i = 0; i < t->n_rows; i++) {
		row = &t->rows[i];
		if (!row->ifindex || row->netns_cookie != cookie)
			continue;
		if (fd < 0)
			fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ifr.ifr_ifindex = (int)row->ifindex;
		if (fd >= 0 && !ioctl(fd, SIOCGIFNAME, &ifr))
			memcpy(row->device, ifr.ifr_name, sizeof(row->device));
	}
	if (fd >= 0)
		close(fd);
}

static int look_into(struct scan *s, const struct scan_netns *ns, struct err *e)
{
	int err = enter_netns(s, ns, e);

	if (!err)
		err = socket_diag_dump(s->table, ns->inode, s->use, e);
	if (!err && s->use == DIAG_ADD)
		name_devices(s->table, ns->cookie);
	return err;
}

/* A thread of its own, because the way back into the namespace that one came from can be barred. */
static void *look_into_all(void *arg)
{
	struct scan *s = arg;
	struct err e;
	int err;

	for (size_t i = 0; i < s->n_netns; i++) {
		err = look_into(s, &s->netns[i], &e);
		if (err == -ENOMEM) {
			s->err = err_set(s->e, ENOMEM, "%s", e.text);
			return NULL;
		}
		/* Gone since it was listed. */
		if (err == -ESTALE || err == -ENOENT)
			continue;
		s->gaps->n_netns += s->use == DIAG_ADD;
		if (err && !s->gaps->n_netns_failed++)
			s->gaps->first = e;
	}
	return NULL;
}

static int walk_namespaces(struct scan *s, enum diag_use use)
{
	pthread_t thread;
	int err;

	free(s->netns);
	s->netns = NULL;
	s->n_netns = 0;
	s->use = use;
	err = use == DIAG_ADD ? list_netns(s) : list_unexplained(s);
	if (err)
		return err_set(s->e, -err, "listing namespaces: %s", strerror(-err));
	err = pthread_create(&thread, NULL, look_into_all, s);
	if (err)
		return err_set(s->e, err, "starting a thread: %s", strerror(err));
	pthread_join(thread, NULL);
	return s->err;
}

/* Sockets came and went while the two lists were made: look at those that don't fit again. */
static int explain_rest(struct scan *s, struct discover_bpf *skel)
{
	int err = walk_descriptors(skel, s->table, explain_descriptor, s->e);

	if (err || !s->table->n_unexplained)
		return err;
	err = walk_namespaces(s, DIAG_CONFIRM);
	if (!err)
		socket_table_drop_gone(s->table);
	return err;
}

int socket_scan(struct socket_table *t, struct netns_registry *registry,
		struct socket_scan_gaps *ret_gaps, struct err *e)
{
	struct scan s = { .table = t, .registry = registry, .gaps = ret_gaps, .e = e };
	struct discover_bpf *skel = NULL;
	int err;

	*ret_gaps = (struct socket_scan_gaps){ 0 };
	err = load_iterator(&skel, e);
	if (err)
		return err;
	err = walk_descriptors(skel, t, socket_table_add_descriptor, e);
	if (!err)
		err = walk_namespaces(&s, DIAG_ADD);
	if (!err && t->n_unexplained)
		err = explain_rest(&s, skel);
	free(s.netns);
	discover_bpf__destroy(skel);
	return err;
}
