// SPDX-License-Identifier: Apache-2.0
#include "probe/attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include <bpf/bpf.h>

#include "base/base.h"
#include "probe/attach_pins.h"
#include "probe/attach_worker.h"
#include "sys/bpf_object.h"
#include "sys/bpffs.h"
#include "sys/clock.h"

enum {
	RTNL_PERCENT = 25,
	LOOK_PAUSE_NS = 2000000,
	N_QUEUES = N_ATTACH_RANKS,
};

struct hook_key {
	uint64_t netns_cookie;
	uint32_t ifindex, point;
};

TAILQ_HEAD(hook_queue, hook_entry);

struct hook_entry {
	struct hook_key key;
	struct attach_wish wish;
	struct device_hook hook;
	int fd;	     /* of a link that is not pinned; -1 */
	bool wanted; /* else it goes */
	bool busy;   /* the worker has it */
	bool doomed; /* the device went meanwhile */
	TAILQ_ENTRY(hook_entry) queue;
	struct hook_queue *in; /* NULL: it waits for nothing */
	UT_hash_handle hh;
};

struct attacher {
	struct device_probe *probe;
	struct attacher_options o;
	char dir[PINS_DIR_MAX]; /* "": nothing is pinned */
	struct attach_worker *worker;
	sd_event_source *timer;
	struct hook_entry *entries, *working;
	struct hook_queue make[N_QUEUES], remove, look;
	uint64_t rtnl_free_ns; /* CLOCK_MONOTONIC: not before is there budget again */
	uint64_t look_free_ns;
	struct hook_key looked_at; /* the last that was, in turn */
	struct attacher_usage usage;
};

/* --- entries --- */

static struct hook_key key_of(struct device_id id, enum device_point point)
{
	struct hook_key key;

	memset(&key, 0, sizeof(key));
	key.netns_cookie = id.netns_cookie;
	key.ifindex = id.ifindex;
	key.point = point;
	return key;
}

static struct device_id id_of(const struct hook_entry *en)
{
	return (struct device_id){ en->key.netns_cookie, en->key.ifindex };
}

static struct hook_entry *entry_get_key(const struct attacher *a, const struct hook_key *key)
{
	struct hook_entry *en;

	HASH_FIND(hh, a->entries, key, sizeof(*key), en);
	return en;
}

static struct hook_entry *entry_get(const struct attacher *a, struct device_id id,
				    enum device_point point)
{
	struct hook_key key = key_of(id, point);

	return entry_get_key(a, &key);
}

static struct hook_entry *entry_add(struct attacher *a, struct device_id id,
				    enum device_point point)
{
	struct hook_entry *en = calloc(1, sizeof(*en));

	if (!en)
		return NULL;
	en->key = key_of(id, point);
	en->fd = -1;
	HASH_ADD(hh, a->entries, key, sizeof(en->key), en);
	return en;
}

static void entry_wait_for_nothing(struct hook_entry *en)
{
	if (en->in)
		TAILQ_REMOVE(en->in, en, queue);
	en->in = NULL;
}

static void entry_wait(struct hook_entry *en, struct hook_queue *q)
{
	entry_wait_for_nothing(en);
	en->in = q;
	TAILQ_INSERT_TAIL(q, en, queue);
}

static void entry_free(struct attacher *a, struct hook_entry *en)
{
	entry_wait_for_nothing(en);
	HASH_DEL(a->entries, en);
	if (en->fd >= 0)
		close(en->fd);
	free(en);
}

static bool entry_is_attached(const struct hook_entry *en)
{
	return device_hook_is_there(&en->hook);
}

static void tell_changed(struct attacher *a, const struct hook_entry *en,
			 const struct device_hook *was)
{
	a->o.changed(a->o.arg, id_of(en), en->wish.point, was, &en->hook);
}

static void entry_fail(struct attacher *a, struct hook_entry *en, const char *why)
{
	struct device_hook was = en->hook;

	en->hook.state = HOOK_FAILED;
	snprintf(en->hook.why, sizeof(en->hook.why), "%s", why);
	tell_changed(a, en, &was);
}

/* Somebody took it off. Its link, if it is there still, is of no use. */
static void entry_put_back(struct attacher *a, struct hook_entry *en)
{
	struct device_hook was = en->hook;

	if (*en->hook.pin)
		unlink(en->hook.pin);
	if (en->fd >= 0)
		close(en->fd);
	en->fd = -1;
	en->hook = (struct device_hook){ .state = HOOK_WAITING };
	snprintf(en->hook.why, sizeof(en->hook.why), "it was taken off the device");
	tell_changed(a, en, &was);
	entry_wait(en, &a->make[en->wish.rank]);
}

/* --- pins --- */

static int pins_prepare(struct attacher *a, const char *pin_dir, struct err *e)
{
	if (snprintf(a->dir, sizeof(a->dir), "%s/links", pin_dir) >= (int)sizeof(a->dir))
		return err_set(e, ENAMETOOLONG, "pin folder %.60s...: its name is too long",
			       pin_dir);
	if (mkdir(a->dir, 0700) && errno != EEXIST)
		return err_set(e, errno, "cannot make %s: %s; see --pin-dir", a->dir,
			       strerror(errno));
	return 0;
}

/*
 * A filter outlives us by itself: its program is pinned for who removes it, under a name that says
 * whether its qdisc is ours.
 */
static void entry_keep_filter(struct attacher *a, struct hook_entry *en, bool own_qdisc)
{
	const char *why;

	if (!*a->dir)
		return;
	attach_pin_path(a->dir, id_of(en), en->wish.point, true, en->hook.pin);
	own_qdisc |= !access(en->hook.pin, F_OK);
	unlink(en->hook.pin);
	attach_pin_path(a->dir, id_of(en), en->wish.point, own_qdisc, en->hook.pin);
	unlink(en->hook.pin);
	if (bpf_obj_pin(device_probe_program(a->probe, en->wish.point, &why), en->hook.pin))
		*en->hook.pin = '\0';
}

/* The link is made: have it outlive us, or keep it. */
static void entry_keep_link(struct attacher *a, struct hook_entry *en, int fd)
{
	en->fd = fd;
	if (!*a->dir || fd < 0)
		return;
	attach_pin_path(a->dir, id_of(en), en->wish.point, false, en->hook.pin);
	unlink(en->hook.pin); /* of a device that had the same name before */
	if (bpf_obj_pin(fd, en->hook.pin)) {
		*en->hook.pin = '\0';
		return;
	}
	close(fd);
	en->fd = -1;
}

static void entry_note_link(struct hook_entry *en, int fd)
{
	struct bpf_link_info info;

	if (fd < 0 || bpf_link_info_of(fd, &info))
		return;
	en->hook.link_id = info.id;
	en->hook.prog_id = info.prog_id;
}

/* --- the budget --- */

static void attacher_step(struct attacher *a);

static int attacher_on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	attacher_step(arg);
	return 0;
}

static void attacher_wake(struct attacher *a, uint64_t at_ns)
{
	sd_event_source_set_time(a->timer, at_ns / 1000);
	sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
}

static void attacher_spend(struct attacher *a, uint64_t took_ns)
{
	uint64_t percent = a->o.rtnl_percent ?: RTNL_PERCENT;

	a->usage.rtnl_ns += took_ns;
	if (took_ns > a->usage.longest_ns)
		a->usage.longest_ns = took_ns;
	a->rtnl_free_ns = clock_ns(CLOCK_MONOTONIC) + took_ns * (100 - percent) / percent;
}

/* --- work --- */

static void attacher_give(struct attacher *a, struct hook_entry *en, struct attach_job *j)
{
	if (attach_worker_give(a->worker, j))
		return;
	en->busy = true;
	a->working = en;
}

static void start_make(struct attacher *a, struct hook_entry *en)
{
	struct attach_job j = { .task = ATTACH_MAKE,
				.point = en->wish.point,
				.id = id_of(en),
				.link_fd = -1,
				.last = a->o.last,
				.generic = en->wish.generic,
				.clsact = en->wish.point != POINT_XDP &&
					  !device_probe_has_tcx(a->probe) };
	char why[DEVICE_WHY_MAX];
	const char *no_program;

	entry_wait_for_nothing(en);
	j.prog_fd = device_probe_program(a->probe, j.point, &no_program);
	if (j.prog_fd < 0) {
		entry_fail(a, en, no_program);
		return;
	}
	j.netns_fd = a->o.open_netns(a->o.arg, j.id.netns_cookie);
	if (j.netns_fd < 0) {
		snprintf(why, sizeof(why), "its namespace can't be opened: %s",
			 strerror(-j.netns_fd));
		entry_fail(a, en, why);
		return;
	}
	if (j.point == POINT_TCX_INGRESS)
		device_probe_set_ingress(a->probe, true);
	attacher_give(a, en, &j);
}

/* The last of a link: nobody finds it any more, then it is taken off its hook. */
static void start_remove(struct attacher *a, struct hook_entry *en)
{
	struct attach_job j = { .task = ATTACH_REMOVE,
				.point = en->wish.point,
				.id = id_of(en),
				.netns_fd = -1,
				.link_fd = en->fd };

	entry_wait_for_nothing(en);
	j.clsact = en->hook.removable;
	j.own_qdisc = attach_pin_is_own_qdisc(en->hook.pin);
	if (*en->hook.pin) {
		if (!j.clsact)
			j.link_fd = bpf_obj_get(en->hook.pin);
		unlink(en->hook.pin);
	}
	en->fd = -1;
	if (j.clsact)
		j.netns_fd = a->o.open_netns(a->o.arg, j.id.netns_cookie);
	attacher_give(a, en, &j);
}

static void start_look(struct attacher *a, struct hook_entry *en)
{
	const struct hook_entry *xdp = entry_get(a, id_of(en), POINT_XDP);
	struct attach_job j = { .task = ATTACH_LOOK,
				.point = en->wish.point,
				.id = id_of(en),
				.link_fd = -1,
				.link_id = en->hook.link_id,
				.prog_id = en->hook.prog_id,
				.xdp_id = xdp ? xdp->hook.prog_id : 0,
				.clsact = !en->hook.link_id };

	entry_wait_for_nothing(en);
	j.netns_fd = a->o.open_netns(a->o.arg, j.id.netns_cookie);
	if (j.netns_fd >= 0)
		attacher_give(a, en, &j);
}

static struct hook_entry *next_to_make(struct attacher *a)
{
	for (int i = 0; i < N_QUEUES; i++)
		if (!TAILQ_EMPTY(&a->make[i]))
			return TAILQ_FIRST(&a->make[i]);
	return NULL;
}

/* What needs RTNL, if there is budget for it. True: something was begun. */
static bool step_in_budget(struct attacher *a, uint64_t now_ns)
{
	struct hook_entry *remove = TAILQ_FIRST(&a->remove), *make = next_to_make(a);

	if (!remove && !make)
		return false;
	if (now_ns < a->rtnl_free_ns) {
		attacher_wake(a, a->rtnl_free_ns);
		return false;
	}
	if (remove)
		start_remove(a, remove);
	else
		start_make(a, make);
	return true;
}

static bool step_look(struct attacher *a, uint64_t now_ns)
{
	struct hook_entry *en = TAILQ_FIRST(&a->look);

	if (!en)
		return false;
	if (now_ns < a->look_free_ns) {
		if (now_ns >= a->rtnl_free_ns || a->look_free_ns < a->rtnl_free_ns)
			attacher_wake(a, a->look_free_ns);
		return false;
	}
	a->look_free_ns = now_ns + LOOK_PAUSE_NS;
	start_look(a, en);
	return true;
}

static void attacher_step(struct attacher *a)
{
	while (!attach_worker_is_busy(a->worker)) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

		if (!step_in_budget(a, now_ns) && !step_look(a, now_ns))
			return;
	}
}

/* --- results --- */

static void made(struct attacher *a, struct hook_entry *en, const struct attach_job *j)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct device_hook was = en->hook;
	char why[DEVICE_WHY_MAX];

	attacher_spend(a, j->took_ns);
	if (j->err) {
		snprintf(why, sizeof(why), "the kernel refuses it: %s%s", strerror(-j->err),
			 j->err == -EBUSY ? ", another program has the place" : "");
		entry_fail(a, en, why);
		return;
	}
	a->usage.n_made++;
	en->hook.state = HOOK_ATTACHED;
	en->hook.mode = j->mode;
	en->hook.removable = j->clsact;
	en->hook.since_ns = clock_ns(CLOCK_REALTIME);
	en->hook.delay_ns = en->wish.heard_ns ? now_ns - en->wish.heard_ns : 0;
	*en->hook.why = '\0';
	entry_note_link(en, j->made_fd);
	if (j->clsact)
		entry_keep_filter(a, en, j->own_qdisc);
	else
		entry_keep_link(a, en, j->made_fd);
	tell_changed(a, en, &was);
}

static void looked(struct attacher *a, struct hook_entry *en, const struct attach_job *j)
{
	struct device_hook was = en->hook;

	if (j->err || !entry_is_attached(en))
		return;
	if (!j->there) {
		entry_put_back(a, en);
		return;
	}
	en->hook.before_prog_id = j->before_id;
	en->hook.state = j->before_id && !a->o.last ? HOOK_STARVED : HOOK_ATTACHED;
	if (was.state != en->hook.state || was.before_prog_id != en->hook.before_prog_id)
		tell_changed(a, en, &was);
}

static void on_done(void *arg, const struct attach_job *j)
{
	struct attacher *a = arg;
	struct hook_entry *en = a->working;

	a->working = NULL;
	en->busy = false;
	if (j->task == ATTACH_MAKE)
		made(a, en, j);
	else if (j->task == ATTACH_LOOK)
		looked(a, en, j);
	else
		attacher_spend(a, j->took_ns);
	a->usage.n_removed += j->task == ATTACH_REMOVE;
	if (en->doomed || (j->task == ATTACH_REMOVE && !en->wanted)) {
		unlink(en->hook.pin);
		entry_free(a, en);
	} else if (!en->wanted && entry_is_attached(en)) {
		entry_wait(en, &a->remove);
	} else if (j->task == ATTACH_REMOVE) {
		en->hook = (struct device_hook){ .state = HOOK_WAITING };
		entry_wait(en, &a->make[en->wish.rank]);
	}
	attacher_step(a);
}

/* --- wishes --- */

int attacher_want(struct attacher *a, const struct attach_wish *w)
{
	struct hook_entry *en = entry_get(a, w->id, w->point);

	if (!en)
		en = entry_add(a, w->id, w->point);
	if (!en)
		return -ENOMEM;
	en->wish = *w;
	en->wanted = true;
	if (en->in == &a->remove)
		entry_wait_for_nothing(en);
	if (entry_is_attached(en) || en->busy || en->in)
		return 0;
	en->hook.state = HOOK_WAITING;
	entry_wait(en, &a->make[w->rank]);
	attacher_step(a);
	return 0;
}

void attacher_unwant(struct attacher *a, struct device_id id, enum device_point point)
{
	struct hook_entry *en = entry_get(a, id, point);

	if (!en || !en->wanted)
		return;
	en->wanted = false;
	if (en->busy)
		return;
	if (entry_is_attached(en))
		entry_wait(en, &a->remove);
	else
		entry_free(a, en);
	attacher_step(a);
}

/* The kernel has let go of it: what is left is the pin. */
static void entry_gone(struct attacher *a, struct hook_entry *en)
{
	if (en->busy) {
		en->doomed = true;
		return;
	}
	if (*en->hook.pin)
		unlink(en->hook.pin);
	entry_free(a, en);
}

void attacher_gone(struct attacher *a, struct device_id id)
{
	for (int point = 0; point < N_DEVICE_POINTS; point++) {
		struct hook_entry *en = entry_get(a, id, (enum device_point)point);

		if (en)
			entry_gone(a, en);
	}
}

static void entry_moved(struct attacher *a, struct hook_entry *en, struct device_id to)
{
	struct hook_entry *other = entry_get(a, to, en->wish.point);
	char pin[DEVICE_PIN_MAX];

	if (other)
		entry_gone(a, other);
	HASH_DEL(a->entries, en);
	en->key = key_of(to, en->wish.point);
	en->wish.id = to;
	HASH_ADD(hh, a->entries, key, sizeof(en->key), en);
	if (!*en->hook.pin)
		return;
	attach_pin_path(a->dir, to, en->wish.point, false, pin);
	if (!rename(en->hook.pin, pin))
		memcpy(en->hook.pin, pin, sizeof(pin));
}

void attacher_moved(struct attacher *a, struct device_id from, struct device_id to)
{
	for (int point = 0; point < N_DEVICE_POINTS; point++) {
		struct hook_entry *en = entry_get(a, from, (enum device_point)point);

		if (en)
			entry_moved(a, en, to);
	}
}

/* --- pins of earlier agents --- */

/* Is the pinned link attached to that device still? */
static bool link_is_alive(int fd, struct device_id id)
{
	struct bpf_link_info info;

	if (bpf_link_info_of(fd, &info))
		return false;
	if (info.type == BPF_LINK_TYPE_XDP)
		return info.xdp.ifindex == id.ifindex;
	return info.type == BPF_LINK_TYPE_TCX && info.tcx.ifindex == id.ifindex;
}

/* Have it run the program of this version, without a moment in which it runs none. */
static int link_renew(const struct attacher *a, int fd, enum device_point point)
{
	const char *why;
	int ours = device_probe_program(a->probe, point, &why), theirs;
	bool alike;

	if (ours < 0)
		return ours;
	theirs = bpf_link_open_prog(fd);
	alike = theirs >= 0 && device_probe_is_alike(a->probe, theirs, ours);
	if (theirs >= 0)
		close(theirs);
	return alike || !bpf_link_update(fd, ours, NULL) ? 0 : -errno;
}

/* Who sees the pin can put another program into a link: off with it. */
static bool link_has_ours(int fd, uint32_t prog_id)
{
	struct bpf_link_info info;

	if (bpf_link_info_of(fd, &info) || info.prog_id == prog_id)
		return true;
	bpf_link_detach(fd);
	return false;
}

/*
 * An XDP program has the device for itself: all that can happen is that it was taken off, or
 * another one put into its link.
 */
static void look_at_xdp(struct attacher *a, struct hook_entry *en)
{
	int fd = *en->hook.pin ? bpf_obj_get(en->hook.pin) : dup(en->fd);
	bool alive = fd >= 0 && link_is_alive(fd, id_of(en)) && link_has_ours(fd, en->hook.prog_id);

	if (fd >= 0)
		close(fd);
	if (!alive)
		entry_put_back(a, en);
}

static void look_at(struct attacher *a, struct hook_entry *en)
{
	if (!entry_is_attached(en) || en->busy || en->in)
		return;
	if (en->key.point == POINT_XDP)
		look_at_xdp(a, en);
	else
		entry_wait(en, &a->look);
}

void attacher_look(struct attacher *a, unsigned int n)
{
	struct hook_entry *en = entry_get_key(a, &a->looked_at);

	for (unsigned int i = 0; i < n && i < HASH_COUNT(a->entries); i++) {
		en = en && en->hh.next ? en->hh.next : a->entries;
		look_at(a, en);
	}
	if (en)
		a->looked_at = en->key;
	attacher_step(a);
}

static void entry_take_over(struct attacher *a, struct hook_entry *en, int fd, const char *path)
{
	struct stat st;

	en->wanted = true;
	en->hook.state = HOOK_ATTACHED;
	if (!stat(path, &st))
		en->hook.since_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC +
				    (uint64_t)st.st_mtim.tv_nsec;
	snprintf(en->hook.pin, sizeof(en->hook.pin), "%s", path);
	entry_note_link(en, fd);
	a->usage.n_taken_over++;
}

struct adoption {
	struct attacher *a;
	attach_keep_fn keep;
	void *arg;
};

/* One that is wanted will be replaced in place, when it is made again. */
static void adopt_no_filter(struct attacher *a, const char *path, struct device_id id,
			    enum device_point point)
{
	int netns_fd = a->o.open_netns(a->o.arg, id.netns_cookie);
	int home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (netns_fd >= 0 && home_fd >= 0)
		attach_remove_filter(path, id, point, netns_fd, home_fd);
	if (home_fd >= 0)
		close(home_fd);
	unlink(path);
	a->usage.n_removed++;
}

static int adopt_pin(const struct adoption *ad, const char *name)
{
	struct attacher *a = ad->a;
	enum device_point point;
	struct hook_entry *en;
	struct device_id id;
	char path[DEVICE_PIN_MAX];
	int fd;

	if (attach_pin_parse(name, &id, &point))
		return 0;
	snprintf(path, sizeof(path), "%s/%.60s", a->dir, name);
	if (bpffs_pin_kind(path) == PIN_PROGRAM) {
		if (!ad->keep(ad->arg, id, point))
			adopt_no_filter(a, path, id, point);
		return 0;
	}
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	if (!link_is_alive(fd, id) || !ad->keep(ad->arg, id, point) || link_renew(a, fd, point)) {
		bpf_link_detach(fd);
		unlink(path);
		a->usage.n_removed++;
	} else {
		en = entry_get(a, id, point) ?: entry_add(a, id, point);
		if (en) {
			en->wish.id = id;
			en->wish.point = point;
			entry_take_over(a, en, fd, path);
		}
	}
	close(fd);
	return 0;
}

static bool has_ingress(const struct attacher *a)
{
	for (const struct hook_entry *en = a->entries; en; en = en->hh.next)
		if (en->key.point == POINT_TCX_INGRESS)
			return true;
	return false;
}

int attacher_adopt(struct attacher *a, attach_keep_fn keep, void *arg, struct err *e)
{
	const struct adoption ad = { .a = a, .keep = keep, .arg = arg };
	const struct dirent *entry;
	DIR *dir;

	if (!*a->dir)
		return 0;
	dir = opendir(a->dir);
	if (!dir)
		return err_set(e, errno, "cannot read %s: %s", a->dir, strerror(errno));
	while ((entry = readdir(dir)))
		adopt_pin(&ad, entry->d_name);
	closedir(dir);
	device_probe_set_ingress(a->probe, has_ingress(a));
	return 0;
}

/* --- life, and questions --- */

static int attacher_open(struct attacher *a, sd_event *loop, struct err *e)
{
	int err = a->o.pin_dir ? pins_prepare(a, a->o.pin_dir, e) : 0;

	if (err)
		return err;
	for (int i = 0; i < N_QUEUES; i++)
		TAILQ_INIT(&a->make[i]);
	TAILQ_INIT(&a->remove);
	TAILQ_INIT(&a->look);
	err = sd_event_add_time(loop, &a->timer, CLOCK_MONOTONIC, 0, 1000, attacher_on_timer, a);
	if (err >= 0)
		err = sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
	if (err < 0)
		return err_set(e, -err, "event loop: %s", strerror(-err));
	return attach_worker_new(loop, on_done, a, &a->worker, e);
}

int attacher_new(sd_event *loop, struct device_probe *probe, const struct attacher_options *o,
		 struct attacher **ret, struct err *e)
{
	struct attacher *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return err_set(e, ENOMEM, "out of memory");
	a->probe = probe;
	a->o = *o;
	err = attacher_open(a, loop, e);
	if (err) {
		attacher_free(a);
		return err;
	}
	*ret = a;
	return 0;
}

void attacher_free(struct attacher *a)
{
	struct hook_entry *en, *tmp;

	if (!a)
		return;
	attach_worker_free(a->worker);
	sd_event_source_disable_unref(a->timer);
	HASH_ITER(hh, a->entries, en, tmp)
		entry_free(a, en);
	free(a);
}

const struct device_hook *attacher_hook(const struct attacher *a, struct device_id id,
					enum device_point point)
{
	const struct hook_entry *en = entry_get(a, id, point);

	return en && en->wanted ? &en->hook : NULL;
}

void attacher_get_usage(const struct attacher *a, struct attacher_usage *ret)
{
	const struct hook_entry *en;

	*ret = a->usage;
	for (en = a->entries; en; en = en->hh.next) {
		ret->n_attached += entry_is_attached(en);
		ret->n_waiting += en->hook.state == HOOK_WAITING;
		ret->n_failed += en->hook.state == HOOK_FAILED;
	}
}
