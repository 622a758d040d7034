// SPDX-License-Identifier: Apache-2.0
#include "probe/attach_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/base.h"
#include "sys/clock.h"

enum {
	PROGRAMS_MAX = 64, /* at one hook: the kernel's own limit */
	CLSACT_HANDLE = 0x6e73,
	CLSACT_PRIORITY = 1,
	MESSAGE_BYTES = 1 << 15,
};

struct attach_worker {
	sd_event_source *source;
	attach_done_fn done;
	void *arg;
	pthread_t thread;
	bool runs;
	int home_fd, event_fd;

	/* Of both. */
	pthread_mutex_t lock;
	pthread_cond_t asked;
	bool stop, has_job, has_result;
	struct attach_job job;
};

static const enum bpf_attach_type attach_types[N_DEVICE_POINTS] = {
	[POINT_TCX_INGRESS] = BPF_TCX_INGRESS,
	[POINT_TCX_EGRESS] = BPF_TCX_EGRESS,
	[POINT_XDP] = BPF_XDP,
};

/* --- in the namespace of the device --- */

static int tcx_make(struct attach_job *j)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = j->last ? BPF_F_AFTER : BPF_F_BEFORE);

	j->made_fd = bpf_link_create(j->prog_fd, (int)j->id.ifindex, attach_types[j->point], &opts);
	return j->made_fd < 0 ? -errno : 0;
}

static int xdp_make_in(struct attach_job *j, __u32 mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode);

	j->made_fd = bpf_link_create(j->prog_fd, (int)j->id.ifindex, BPF_XDP, &opts);
	return j->made_fd < 0 ? -errno : 0;
}

static int xdp_make(struct attach_job *j)
{
	int err = xdp_make_in(j, XDP_FLAGS_DRV_MODE);

	j->mode = "native";
	if (err != -EOPNOTSUPP || !j->generic)
		return err;
	j->mode = "generic";
	return xdp_make_in(j, XDP_FLAGS_SKB_MODE);
}

static enum bpf_tc_attach_point clsact_point(const struct attach_job *j)
{
	return j->point == POINT_TCX_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

static int clsact_make(struct attach_job *j)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)j->id.ifindex,
		    .attach_point = clsact_point(j));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY,
		    .prog_fd = j->prog_fd, .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);

	j->mode = "clsact";
	j->own_qdisc = !err;
	return err && err != -EEXIST ? err : bpf_tc_attach(&hook, &opts);
}

static int count_message(const struct nlmsghdr *h, void *arg)
{
	unsigned int *n = arg;

	*n += h->nlmsg_type == RTM_NEWTFILTER;
	return MNL_CB_OK;
}

static void ask_for_filters(struct mnl_socket *nl, const struct attach_job *j, uint32_t minor,
			    unsigned int *n)
{
	char buf[MESSAGE_BYTES];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct tcmsg *tc;
	ssize_t len;

	h->nlmsg_type = RTM_GETTFILTER;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	tc = mnl_nlmsg_put_extra_header(h, sizeof(*tc));
	tc->tcm_ifindex = (int)j->id.ifindex;
	tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, minor);
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		return;
	do {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	} while (len > 0 && mnl_cb_run(buf, (size_t)len, 0, 0, count_message, n) > MNL_CB_STOP);
}

/* Has anybody a filter there? Where that can't be told, somebody has. */
static bool clsact_is_used(const struct attach_job *j)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	unsigned int n = 0;

	if (!nl)
		return true;
	if (!mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID)) {
		ask_for_filters(nl, j, TC_H_MIN_INGRESS, &n);
		ask_for_filters(nl, j, TC_H_MIN_EGRESS, &n);
	}
	mnl_socket_close(nl);
	return n;
}

/* The filter; and the qdisc, if it is ours and nobody has a filter there any more. */
static int clsact_remove(struct attach_job *j)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)j->id.ifindex,
		    .attach_point = clsact_point(j));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	int err = bpf_tc_detach(&hook, &opts);

	if (!err && j->own_qdisc && !clsact_is_used(j)) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
	return err;
}

static int job_make(struct attach_job *j)
{
	if (j->point == POINT_XDP)
		return xdp_make(j);
	return j->clsact ? clsact_make(j) : tcx_make(j);
}

/* Another one's XDP program comes before all of tcx ingress. 0: there is none. */
static uint32_t xdp_before(const struct attach_job *j)
{
	__u32 id = 0;

	if (j->point != POINT_TCX_INGRESS || bpf_xdp_query_id((int)j->id.ifindex, 0, &id))
		return 0;
	return id == j->xdp_id ? 0 : id;
}

static int tcx_look(struct attach_job *j)
{
	__u32 programs[PROGRAMS_MAX] = { 0 }, links[PROGRAMS_MAX] = { 0 };
	LIBBPF_OPTS(bpf_prog_query_opts, q, .prog_ids = programs, .link_ids = links,
		    .count = PROGRAMS_MAX);

	if (bpf_prog_query_opts((int)j->id.ifindex, attach_types[j->point], &q))
		return -errno;
	for (__u32 i = 0; i < q.count && i < PROGRAMS_MAX; i++) {
		if (links[i] != j->link_id || programs[i] != j->prog_id)
			continue;
		j->there = true;
		j->before_id = i ? programs[i - 1] : xdp_before(j);
		break;
	}
	return 0;
}

static int clsact_look(struct attach_job *j)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)j->id.ifindex,
		    .attach_point = clsact_point(j));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);

	j->there = !bpf_tc_query(&hook, &opts);
	return 0;
}

static int job_remove(struct attach_job *j)
{
	if (j->clsact)
		return clsact_remove(j);
	/* Links of tracing can't be detached; these can, whoever else holds them. */
	return bpf_link_detach(j->link_fd) ? -errno : 0;
}

static int job_here(struct attach_job *j)
{
	switch (j->task) {
	case ATTACH_MAKE: return job_make(j);
	case ATTACH_REMOVE: return job_remove(j);
	case ATTACH_LOOK: return j->clsact ? clsact_look(j) : tcx_look(j);
	}
	return -EINVAL;
}

/* There, and back home again. */
void attach_job_do(struct attach_job *j, int home_fd, bool *ret_way_back)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

	*ret_way_back = true;
	j->made_fd = -1;
	if (j->netns_fd >= 0 && setns(j->netns_fd, CLONE_NEWNET)) {
		j->err = -errno;
	} else {
		j->err = job_here(j);
		*ret_way_back = j->netns_fd < 0 || !setns(home_fd, CLONE_NEWNET);
	}
	if (j->netns_fd >= 0)
		close(j->netns_fd);
	if (j->task == ATTACH_REMOVE && j->link_fd >= 0)
		close(j->link_fd);
	j->took_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
}

/* --- the thread --- */

static bool worker_wait(struct attach_worker *w, struct attach_job *ret)
{
	bool stop;

	pthread_mutex_lock(&w->lock);
	while ((!w->has_job || w->has_result) && !w->stop)
		pthread_cond_wait(&w->asked, &w->lock);
	*ret = w->job;
	stop = !w->has_job || w->has_result;
	pthread_mutex_unlock(&w->lock);
	return !stop;
}

static void worker_done(struct attach_worker *w, const struct attach_job *j)
{
	uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	w->job = *j;
	w->has_result = true;
	pthread_mutex_unlock(&w->lock);
	if (write(w->event_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static void *worker_run(void *arg)
{
	struct attach_worker *w = arg;
	struct attach_job j;
	bool back = true;

	/* In a foreign namespace nothing more can be done: it says so of each job. */
	while (worker_wait(w, &j)) {
		if (back)
			attach_job_do(&j, w->home_fd, &back);
		else
			j.err = -EXDEV;
		worker_done(w, &j);
	}
	return NULL;
}

/* --- the loop's side --- */

static int worker_on_result(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct attach_worker *w = arg;
	struct attach_job j;
	uint64_t n;
	bool any;

	if (read(fd, &n, sizeof(n)) < 0)
		return 0;
	pthread_mutex_lock(&w->lock);
	any = w->has_result;
	j = w->job;
	w->has_job = w->has_result = false;
	pthread_mutex_unlock(&w->lock);
	if (any)
		w->done(w->arg, &j);
	return 0;
}

bool attach_worker_is_busy(const struct attach_worker *w)
{
	return w->has_job; /* only this side sets and clears it */
}

int attach_worker_give(struct attach_worker *w, const struct attach_job *job)
{
	if (w->has_job)
		return -EBUSY;
	pthread_mutex_lock(&w->lock);
	w->job = *job;
	w->has_job = true;
	pthread_cond_signal(&w->asked);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static int worker_start(struct attach_worker *w, sd_event *loop)
{
	int err;

	w->home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->home_fd < 0 || w->event_fd < 0)
		return -errno;
	err = sd_event_add_io(loop, &w->source, w->event_fd, EPOLLIN, worker_on_result, w);
	if (err < 0)
		return err;
	err = pthread_create(&w->thread, NULL, worker_run, w);
	w->runs = !err;
	return -err;
}

int attach_worker_new(sd_event *loop, attach_done_fn done, void *arg, struct attach_worker **ret,
		      struct err *e)
{
	struct attach_worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return err_set(e, ENOMEM, "out of memory");
	w->done = done;
	w->arg = arg;
	w->home_fd = w->event_fd = -1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->asked, NULL);
	err = worker_start(w, loop);
	if (err) {
		attach_worker_free(w);
		return err_set(e, -err, "cannot start a thread for hooks at devices: %s",
			       strerror(-err));
	}
	*ret = w;
	return 0;
}

void attach_worker_free(struct attach_worker *w)
{
	if (!w)
		return;
	if (w->runs) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->asked);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	sd_event_source_disable_unref(w->source);
	if (w->home_fd >= 0)
		close(w->home_fd);
	if (w->event_fd >= 0)
		close(w->event_fd);
	pthread_cond_destroy(&w->asked);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
