// SPDX-License-Identifier: Apache-2.0
#include "agent/device_list.h"
#include "agent/devices_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "detect/hook.h"
#include "query/subject_device.h"
#include "sys/clock.h"

enum {
	GONE_MAX = 8192,
	GONE_SECONDS = 60,
	LOOKS_A_TICK = 500,
	EXACT_TRIES = 5,
	CGROUP_LOOK_MS = 200,
	USEC_PER_MS = 1000,
	STRANGER_TICKS = 2,
};

/* --- which hooks are wanted where --- */

static bool chosen_by(const struct device_keeper *w, const struct filter *f,
		      const struct device *dev)
{
	struct device_subject subject = {
		.device = dev,
		.netns = netns_registry_get(w->netns, dev->id.netns_cookie),
	};

	if (w->by_cgroup)
		subject.cgroups = netns_cgroups_of(&w->cgroups, dev->id.netns_cookie,
						   &subject.n_cgroups);
	return filter_match(f, &subject);
}

/* Was it chosen by its name, rather than as one of many? */
static bool named_by(const struct device_keeper *w, const struct filter *f,
		     const struct device *dev)
{
	struct device nameless = *dev;

	*nameless.name = '\0';
	return !chosen_by(w, f, &nameless);
}

/*
 * Some drivers restart the device, and all its virtual functions, when they get a program of XDP;
 * so hardware has to be named.
 */
static bool wants_xdp(const struct device_keeper *w, const struct device *dev)
{
	const struct filter *f = w->chosen[CHOICE_XDP];

	return f && chosen_by(w, f, dev) && (!*dev->bus || named_by(w, f, dev));
}

static bool wants(const struct device_keeper *w, const struct device *dev, enum device_point point)
{
	const struct filter *hook = w->chosen[CHOICE_HOOK];

	if (!w->hooks || dev->has & DEVICE_UNOBSERVABLE)
		return false;
	switch (point) {
	case POINT_TCX_INGRESS: return hook ? chosen_by(w, hook, dev) : dev->has & DEVICE_STACKED;
	case POINT_TCX_EGRESS: return hook && chosen_by(w, hook, dev);
	case POINT_XDP: return wants_xdp(w, dev);
	default: return false;
	}
}

static bool wants_flows(const struct device_keeper *w, const struct device *dev)
{
	const struct filter *f = w->chosen[CHOICE_FLOWS];

	return f ? chosen_by(w, f, dev) : dev->has & DEVICE_FORWARDS;
}

static enum attach_rank rank_of(const struct device *dev)
{
	if (*dev->bus)
		return RANK_HARDWARE;
	if (dev->has & DEVICE_STACKED)
		return RANK_STACKED;
	return strcmp(dev->kind, "loopback") ? RANK_VIRTUAL : RANK_LOOPBACK;
}

static void apply_to(struct device_keeper *w, const struct device *dev)
{
	struct attach_wish wish = { .id = dev->id,
				    .rank = rank_of(dev),
				    .heard_ns = dev->heard_ns };

	for (int i = 0; i < N_DEVICE_POINTS; i++) {
		wish.point = (enum device_point)i;
		wish.generic = i == POINT_XDP && w->chosen[CHOICE_XDP] &&
			       named_by(w, w->chosen[CHOICE_XDP], dev);
		if (wants(w, dev, wish.point))
			attacher_want(w->attacher, &wish);
		else
			attacher_unwant(w->attacher, dev->id, wish.point);
	}
	w->choose_flows(w->arg, dev->id, wants_flows(w, dev));
}

static void apply(struct device_keeper *w)
{
	const struct device *dev = NULL;

	while ((dev = devices_next(w->devices, dev)))
		apply_to(w, dev);
}

/* True: it is not as it was. What can't be looked at stays as it is known. */
static bool look_at_cgroups(struct device_keeper *w)
{
	bool changed;

	return !netns_cgroups_look(&w->cgroups, w->netns, w->processes, &changed, NULL) && changed;
}

/*
 * The kernel doesn't tell when the last process of a cgroup leaves a namespace, nor of all ways
 * into one: look, while somebody chooses devices so.
 */
static int on_cgroup_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct device_keeper *w = arg;

	if (w->by_cgroup && look_at_cgroups(w))
		apply(w);
	sd_event_source_set_time_relative(source, CGROUP_LOOK_MS * USEC_PER_MS);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int device_keeper_select(struct device_keeper *w, const struct device_keeper_options *o,
			 struct err *e)
{
	const char *const texts[N_CHOICES] = { o->hook, o->xdp, o->flows };
	struct filter *chosen[N_CHOICES] = { 0 };
	int err = 0;

	for (int i = 0; i < N_CHOICES && !err; i++)
		err = filter_compile(texts[i], &filter_subject_device, &chosen[i], e);
	/* The old ones, or on error the new ones go. */
	for (int i = 0; i < N_CHOICES; i++) {
		struct filter *old = err ? chosen[i] : w->chosen[i];

		if (!err)
			w->chosen[i] = chosen[i];
		filter_free(old);
	}
	if (err)
		return err;
	w->by_cgroup = false;
	for (int i = 0; i < N_CHOICES; i++)
		w->by_cgroup |= device_list_asks_cgroups(w->chosen[i]);
	if (w->by_cgroup)
		look_at_cgroups(w);
	if (w->attacher)
		apply(w);
	return 0;
}

/* --- what passed before we counted --- */

/* The kernel's counters and ours of the same moment, as far as there is one without packets. */
static void missed_until_now(struct device_keeper *w, struct device_id id, bool rx, bool tx)
{
	struct device_counted ours[2], before[2] = { 0 };
	struct device_missed missed;
	struct device_tally t;

	device_probe_missed(w->probe, id, &missed);
	for (int i = 0; i < EXACT_TRIES; i++) {
		const struct device *dev;

		if (device_probe_read(w->probe, id, &t))
			t.n = (struct device_counts){ 0 };
		device_tally_show(&t, &ours[DEVICE_RX], &ours[DEVICE_TX]);
		dev = devices_get(w->devices, id);
		if (!dev)
			return;
		for (int way = 0; way < N_DEVICE_WAYS; way++) {
			uint64_t passed = device_kernel_passed(dev, way == DEVICE_TX);
			uint64_t seen = device_seen(dev, &ours[way]);

			if (way == DEVICE_TX ? tx : rx)
				missed.packets[way] = passed > seen ? passed - seen : 0;
		}
		if (i && !memcmp(ours, before, sizeof(ours)))
			break;
		memcpy(before, ours, sizeof(ours));
		if (devices_refresh_one(w->devices, id))
			return;
	}
	if (missed.packets[DEVICE_RX] || missed.packets[DEVICE_TX])
		device_probe_set_missed(w->probe, id, &missed);
}

/* A witness that begins with us has missed what there was before. */
static void missed_at_start(struct device_keeper *w)
{
	const struct device *dev = NULL;

	if (device_probe_continues(w->probe))
		return;
	while ((dev = devices_next(w->devices, dev)))
		missed_until_now(w, dev->id, true, true);
}

/* --- those that are gone --- */

static void gone_free(struct device_keeper *w, struct gone_device *g)
{
	TAILQ_REMOVE(&w->gone, g, all);
	w->n_gone--;
	free(g->netns_name);
	free(g);
}

static void gone_expire(struct device_keeper *w, uint64_t now_ns)
{
	struct gone_device *g;

	while ((g = TAILQ_FIRST(&w->gone)) &&
	       (w->n_gone > GONE_MAX || g->died_ns + GONE_SECONDS * NS_PER_SEC < now_ns))
		gone_free(w, g);
}

/* Its figures stay in the sums of the device layer, without a place. */
static void gone_add_layers(struct device_keeper *w, const struct device_tally *t)
{
	struct device_tally placeless = *t;
	struct layer_rows rows = { 0 };

	placeless.key = (struct device_key){ 0 };
	device_tally_layers(&placeless, &rows);
	for (size_t i = 0; i < rows.n; i++)
		layer_rows_sum(&w->gone_layers, &rows.rows[i]);
	layer_rows_fini(&rows);
}

static bool gone_has(const struct device_keeper *w, struct device_id id)
{
	const struct gone_device *g = TAILQ_FIRST(&w->gone);

	for (; g; g = TAILQ_NEXT(g, all))
		if (g->device.id.netns_cookie == id.netns_cookie &&
		    g->device.id.ifindex == id.ifindex)
			return true;
	return false;
}

/* @dev NULL: nothing but its key is known. */
static void bury(struct device_keeper *w, struct device_id id, const struct device *dev)
{
	struct gone_device *g = calloc(1, sizeof(*g));
	const struct netns *ns = netns_registry_get(w->netns, id.netns_cookie);
	const char *name = netns_registry_name(w->netns, id.netns_cookie);

	if (!g)
		return;
	if (dev)
		g->device = *dev;
	g->device.id = id;
	device_probe_missed(w->probe, id, &g->missed);
	if (!device_probe_forget(w->probe, id, &g->tally)) {
		gone_add_layers(w, &g->tally);
	} else if (gone_has(w, id)) {
		free(g); /* a list that was made meanwhile had it once more */
		return;
	}
	g->netns.cookie = id.netns_cookie;
	g->netns.inode = ns ? ns->inode : 0;
	g->netns_name = name ? strdup(name) : NULL;
	g->netns.names = &g->netns_name;
	g->netns.n_names = g->netns_name ? 1 : 0;
	g->died_ns = clock_ns(CLOCK_MONOTONIC);
	TAILQ_INSERT_TAIL(&w->gone, g, all);
	w->n_gone++;
	gone_expire(w, g->died_ns);
}

/* Has it counts, and did nobody tell of it, for a while? Then it died young. */
static void meet_stranger(void *arg, struct device_id id)
{
	const struct device_key key = { .netns_cookie = id.netns_cookie, .ifindex = id.ifindex };
	struct device_keeper *w = arg;
	struct stranger *s;

	if (devices_get(w->devices, id))
		return;
	HASH_FIND(hh, w->strangers, &key, sizeof(key), s);
	if (s) {
		s->n_ticks++;
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	s->key = key;
	HASH_ADD(hh, w->strangers, key, sizeof(s->key), s);
}

/* Devices of a namespace that can't be listed are strangers for as long as it lives. */
static void bury_strangers(struct device_keeper *w)
{
	struct devices_health health;
	struct stranger *s, *tmp;
	bool known;

	devices_get_health(w->devices, &health);
	HASH_ITER(hh, w->strangers, s, tmp) {
		struct device_id id = { s->key.netns_cookie, s->key.ifindex };

		known = devices_get(w->devices, id);
		if (!known && s->n_ticks < STRANGER_TICKS)
			continue;
		if (!known && health.n_netns_failed &&
		    netns_registry_get(w->netns, id.netns_cookie))
			continue;
		if (!known)
			bury(w, id, NULL);
		HASH_DEL(w->strangers, s);
		free(s);
	}
}

/* --- what comes and goes --- */

static void on_appeared(void *arg, const struct device *dev)
{
	apply_to(arg, dev);
}

static void on_gone(void *arg, const struct device *dev, const struct device_id *moved_to)
{
	struct device_keeper *w = arg;

	w->choose_flows(w->arg, dev->id, false);
	/* Where to may not be known: then it will appear there as another one. */
	if (moved_to && moved_to->netns_cookie) {
		attacher_moved(w->attacher, dev->id, *moved_to);
		device_probe_move(w->probe, dev->id, *moved_to);
	} else {
		attacher_gone(w->attacher, dev->id);
		bury(w, dev->id, dev);
	}
}

static int open_netns(void *arg, uint64_t cookie)
{
	struct device_keeper *w = arg;

	return netns_registry_open(w->netns, cookie);
}

static void tell_finding(struct device_keeper *w, const struct device *dev, enum device_point point,
			 struct finding_event *finding)
{
	const struct netns *ns = netns_registry_get(w->netns, dev->id.netns_cookie);
	struct event event = { .kind = EVENT_FINDING };

	finding->ts_ns = clock_ns(CLOCK_REALTIME);
	finding->has = FINDING_HAS_POINT;
	finding->point = point;
	finding->device = dev->id;
	finding->device_name = dev->name;
	finding->netns_inode = ns ? ns->inode : 0;
	finding->netns_name = ns ? netns_name(ns) : NULL;
	event.finding = *finding;
	w->event(w->arg, &event);
}

static void on_hook(void *arg, struct device_id id, enum device_point point,
		    const struct device_hook *was, const struct device_hook *is)
{
	struct device_keeper *w = arg;
	const struct device *dev = devices_get(w->devices, id);
	struct finding_event finding = { 0 };
	char text[DETECT_HOOK_TEXT_MAX];

	if (!dev)
		return;
	/* From here on it sees what this device receives. */
	if (is->state == HOOK_ATTACHED && was->state == HOOK_WAITING &&
	    point == POINT_TCX_INGRESS && dev->has & DEVICE_STACKED)
		missed_until_now(w, id, true, false);
	if (detect_hook(was, is, &finding, text))
		tell_finding(w, dev, point, &finding);
}

/* --- the pace --- */

void device_keeper_tick(struct device_keeper *w)
{
	gone_expire(w, clock_ns(CLOCK_MONOTONIC));
	device_probe_tidy(w->probe);
	device_probe_keys(w->probe, meet_stranger, w);
	bury_strangers(w);
	attacher_look(w->attacher, LOOKS_A_TICK);
}

/* --- life --- */

static bool keep_hook(void *arg, struct device_id id, enum device_point point)
{
	const struct device_keeper *w = arg;
	const struct device *dev = devices_get(w->devices, id);

	return dev && wants(w, dev, point);
}

static int watch_open(struct device_keeper *w, sd_event *loop,
		      const struct device_keeper_options *o, struct err *e)
{
	const struct device_probe_options probe = { .pin_dir = o->pin_dir, .no_hooks = !o->hooks };
	const struct attacher_options attach = { .pin_dir = o->pin_dir,
						 .rtnl_percent = o->rtnl_percent,
						 .last = o->hooks_last,
						 .open_netns = open_netns,
						 .changed = on_hook,
						 .arg = w };
	int err = device_keeper_select(w, o, e);

	if (!err &&
	    sd_event_add_time_relative(loop, &w->cgroup_timer, CLOCK_MONOTONIC,
				       CGROUP_LOOK_MS * USEC_PER_MS, 0, on_cgroup_timer, w) < 0)
		err = err_set(e, ENOMEM, "event loop: no timer");
	if (!err)
		err = device_probe_open(&probe, &w->probe, e);
	if (!err)
		err = devices_new(&w->devices, w->netns, loop, e);
	if (!err)
		err = attacher_new(loop, w->probe, &attach, &w->attacher, e);
	if (!err)
		err = attacher_adopt(w->attacher, keep_hook, w, e);
	return err ? err : device_probe_settle(w->probe, e);
}

int device_keeper_new(sd_event *loop, struct netns_registry *netns, struct process_table *processes,
		      const struct device_keeper_options *o, struct device_keeper **ret,
		      struct err *e)
{
	struct device_keeper *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return err_set(e, ENOMEM, "out of memory");
	TAILQ_INIT(&w->gone);
	w->netns = netns;
	w->processes = processes;
	w->hooks = o->hooks;
	w->event = o->event;
	w->choose_flows = o->choose_flows;
	w->arg = o->arg;
	err = watch_open(w, loop, o, e);
	if (err) {
		device_keeper_free(w);
		return err;
	}
	w->subscriber = (struct devices_subscriber){
		.appeared = on_appeared, .changed = on_appeared, .gone = on_gone, .arg = w
	};
	devices_subscribe(w->devices, &w->subscriber);
	missed_at_start(w);
	apply(w);
	*ret = w;
	return 0;
}

void device_keeper_free(struct device_keeper *w)
{
	struct stranger *s, *tmp;

	if (!w)
		return;
	sd_event_source_disable_unref(w->cgroup_timer);
	attacher_free(w->attacher);
	devices_free(w->devices);
	device_probe_close(w->probe);
	while (!TAILQ_EMPTY(&w->gone))
		gone_free(w, TAILQ_FIRST(&w->gone));
	HASH_ITER(hh, w->strangers, s, tmp) {
		HASH_DEL(w->strangers, s);
		free(s);
	}
	layer_rows_fini(&w->gone_layers);
	netns_cgroups_fini(&w->cgroups);
	for (int i = 0; i < N_CHOICES; i++)
		filter_free(w->chosen[i]);
	free(w);
}

/* --- questions --- */

bool device_keeper_began_anew(const struct device_keeper *w)
{
	return device_probe_began_anew(w->probe);
}

const struct netns_cgroups *device_keeper_cgroups(struct device_keeper *w)
{
	bool changed;

	return netns_cgroups_look(&w->cgroups, w->netns, w->processes, &changed, NULL)
		       ? NULL
		       : &w->cgroups;
}

const struct device *device_keeper_get(const struct device_keeper *w, struct device_id id)
{
	return devices_get(w->devices, id);
}

static void add_layers(void *arg, const struct device_tally *t)
{
	device_tally_layers(t, arg);
}

int device_keeper_layers(struct device_keeper *w, struct layer_rows *ret)
{
	int err = device_probe_each(w->probe, add_layers, ret);

	for (size_t i = 0; i < w->gone_layers.n && !err; i++)
		err = layer_rows_add(ret, &w->gone_layers.rows[i]);
	return err;
}

void device_keeper_get_usage(struct device_keeper *w, struct device_keeper_usage *ret)
{
	ret->n_devices = devices_count(w->devices);
	device_probe_get_usage(w->probe, &ret->probe);
	attacher_get_usage(w->attacher, &ret->hooks);
	devices_get_health(w->devices, &ret->health);
}
