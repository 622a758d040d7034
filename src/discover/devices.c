// SPDX-License-Identifier: Apache-2.0
#include "discover/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "discover/device_ask.h"
#include "discover/device_hardware.h"
#include "discover/device_message.h"
#include "discover/device_outpost.h"
#include "discover/device_table.h"
#include "discover/device_watch.h"
#include "sys/clock.h"

static const char sysfs[] = "/sys";

struct devices {
	struct netns_registry *registry;
	struct device_table table;
	struct device_ask *ask;		/* NULL: not now */
	struct device_watch *watch;	/* NULL: nothing is watched */
	struct device_outpost *outpost; /* while something is asked, if nothing is watched */
	sd_event *loop;
	sd_event_source *messages, *later;
	struct netns_subscriber netns;
	struct devices_subscriber *subscribers;
	uint64_t own_cookie;
	struct device_id *singles; /* ends of pairs that were told without the other */
	size_t n_singles;
	unsigned int list;   /* the last */
	bool starting;	     /* what is found now is older than nslens */
	bool overrun;	     /* list all anew */
	bool hardware_stale; /* look again which functions have a device */
	struct devices_health health;
};

/* --- subscribers --- */

static void tell_appeared(struct devices *d, const struct device_entry *en)
{
	d->health.n_appeared++;
	for (struct devices_subscriber *s = d->subscribers; s; s = s->next)
		if (s->appeared)
			s->appeared(s->arg, &en->dev);
}

static void tell_changed(struct devices *d, const struct device_entry *en)
{
	for (struct devices_subscriber *s = d->subscribers; s; s = s->next)
		if (s->changed)
			s->changed(s->arg, &en->dev);
}

static void tell_gone(struct devices *d, const struct device_entry *en, const struct device_id *to)
{
	d->health.n_gone++;
	d->health.n_moved += to != NULL;
	for (struct devices_subscriber *s = d->subscribers; s; s = s->next)
		if (s->gone)
			s->gone(s->arg, &en->dev, to);
}

void devices_subscribe(struct devices *d, struct devices_subscriber *s)
{
	s->next = d->subscribers;
	d->subscribers = s;
}

void devices_unsubscribe(struct devices *d, struct devices_subscriber *s)
{
	struct devices_subscriber **at = &d->subscribers;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
}

/* --- ids of namespaces --- */

/* 0: not known (yet). */
static uint64_t cookie_of(const struct devices *d, int32_t nsid)
{
	const struct netns *ns;

	if (d->outpost)
		return device_outpost_cookie(d->outpost, nsid);
	if (nsid == DEVICE_ASK_OWN)
		return d->own_cookie;
	ns = netns_registry_get_nsid(d->registry, nsid);
	return ns ? ns->cookie : 0;
}

/* 0 or -ENOENT: it has none. */
static int nsid_of(const struct devices *d, uint64_t cookie, int32_t *ret)
{
	if (d->outpost)
		return device_outpost_nsid(d->outpost, cookie, ret);
	*ret = cookie == d->own_cookie ? DEVICE_ASK_OWN : netns_registry_nsid(d->registry, cookie);
	return *ret < 0 && cookie != d->own_cookie ? -ENOENT : 0;
}

/* --- relations --- */

/* @link with ids as we see them. */
static void set_link(const struct devices *d, struct device_entry *en,
		     const struct device_link *link)
{
	struct device_id to = { en->dev.id.netns_cookie, link->ifindex };

	if (link->foreign)
		to.netns_cookie = cookie_of(d, link->nsid);
	en->link = *link;
	en->dev.has &= ~(unsigned int)(DEVICE_HAS_PEER | DEVICE_HAS_LOWER);
	if (!link->ifindex || !to.netns_cookie)
		return;
	if (en->paired) {
		en->dev.has |= DEVICE_HAS_PEER;
		en->dev.peer = to;
	} else {
		en->dev.has |= DEVICE_HAS_LOWER;
		en->dev.lower = to;
	}
}

static struct device_entry *peer_of(const struct devices *d, const struct device_entry *en)
{
	return en->dev.has & DEVICE_HAS_PEER ? device_table_get(&d->table, en->dev.peer) : NULL;
}

/* The other end of a pair isn't told when this one was moved. */
static void set_other_end(struct devices *d, const struct device_entry *en)
{
	struct device_entry *peer = peer_of(d, en);

	if (!peer || !peer->paired ||
	    (peer->dev.has & DEVICE_HAS_PEER && device_id_equal(peer->dev.peer, en->dev.id)))
		return;
	peer->link = (struct device_link){ 0 };
	peer->dev.has |= DEVICE_HAS_PEER;
	peer->dev.peer = en->dev.id;
	tell_changed(d, peer);
}

static bool follow(struct device_id *id, struct device_id from, struct device_id to)
{
	if (!device_id_equal(*id, from))
		return false;
	*id = to;
	return true;
}

/* Those that name it name it by its new id. */
static void follow_move(struct devices *d, struct device_id from, struct device_id to)
{
	struct device_entry *en = NULL;
	bool changed;

	while ((en = device_table_next(&d->table, en))) {
		changed = en->dev.has & DEVICE_HAS_PEER && follow(&en->dev.peer, from, to);
		changed |= en->dev.has & DEVICE_HAS_LOWER && follow(&en->dev.lower, from, to);
		changed |= en->dev.has & DEVICE_HAS_PF && follow(&en->dev.pf, from, to);
		if (!changed)
			continue;
		en->link = (struct device_link){ 0 };
		tell_changed(d, en);
	}
}

static void forget_other_end(struct devices *d, const struct device_entry *en)
{
	struct device_entry *peer = peer_of(d, en);

	if (peer && peer->dev.has & DEVICE_HAS_PEER &&
	    device_id_equal(peer->dev.peer, en->dev.id)) {
		peer->dev.has &= ~(unsigned int)DEVICE_HAS_PEER;
		peer->told = (struct device_link){ 0 };
	}
}

/* --- hardware --- */

/* The device of the hardware at @bus; of several that of the function itself, as it came first. */
static struct device_entry *find_hardware(const struct devices *d, const char *bus)
{
	struct device_entry *en = NULL;

	while ((en = device_table_next(&d->table, en)))
		if (!(en->dev.has & DEVICE_UNOBSERVABLE) && !strcmp(en->dev.bus, bus))
			return en;
	return NULL;
}

static void set_pf(struct device_entry *en, const struct device_entry *pf)
{
	en->dev.has |= DEVICE_HAS_PF;
	en->dev.pf = pf->dev.id;
}

static void meet_hardware(struct devices *d, struct device_entry *en, const char *bus_name)
{
	struct device_hardware hw;
	struct device_entry *pf;

	device_hardware_read(sysfs, bus_name, en->dev.bus, &hw);
	memcpy(en->dev.driver, hw.driver, sizeof(en->dev.driver));
	d->hardware_stale = true;
	if (!hw.is_vf)
		return;
	if (!strcmp(en->dev.kind, "physical"))
		snprintf(en->dev.kind, sizeof(en->dev.kind), "vf");
	if (!*hw.pf_bus)
		return;
	memcpy(en->pf_bus, hw.pf_bus, sizeof(en->pf_bus));
	en->dev.vf = hw.vf;
	pf = find_hardware(d, hw.pf_bus);
	if (pf)
		set_pf(en, pf);
}

/* Functions of @pf that were met before it, or found without it. */
static void set_pf_of_all(struct devices *d, const struct device_entry *pf)
{
	struct device_entry *en = NULL;

	while ((en = device_table_next(&d->table, en))) {
		if (strcmp(en->pf_bus, pf->dev.bus) || en->dev.has & DEVICE_HAS_PF)
			continue;
		set_pf(en, pf);
		tell_changed(d, en);
	}
}

static void forget_pf(struct devices *d, const struct device_entry *pf)
{
	struct device_entry *en = NULL;

	while ((en = device_table_next(&d->table, en)))
		if (en->dev.has & DEVICE_HAS_PF && device_id_equal(en->dev.pf, pf->dev.id))
			en->dev.has &= ~(unsigned int)DEVICE_HAS_PF;
}

/* --- what is gone --- */

static void drop(struct devices *d, struct device_entry *en, const struct device_id *moved_to)
{
	tell_gone(d, en, moved_to);
	if (moved_to && moved_to->netns_cookie)
		follow_move(d, en->dev.id, *moved_to);
	else
		forget_other_end(d, en);
	if (*en->dev.bus) {
		forget_pf(d, en);
		d->hardware_stale = true;
	}
	device_table_remove(&d->table, en);
}

static void drop_netns(struct devices *d, uint64_t cookie)
{
	struct device_entry *en;

	while ((en = device_table_first_in(&d->table, cookie)))
		drop(d, en, NULL);
}

/* Those of a namespace that the list which just ended didn't meet. */
static void drop_unmet(struct devices *d, uint64_t cookie)
{
	struct device_entry *en = device_table_first_in(&d->table, cookie), *next;

	for (; en; en = next) {
		next = en->next;
		if (en->list != d->list && !(en->dev.has & DEVICE_UNOBSERVABLE))
			drop(d, en, NULL);
	}
}

/* --- what is there --- */

static void update(struct device_entry *en, const struct device_message *m)
{
	const unsigned int ours = DEVICE_HAS_PEER | DEVICE_HAS_LOWER | DEVICE_HAS_PF;
	struct device *dev = &en->dev;
	uint64_t cookie = dev->id.netns_cookie;

	dev->has = (dev->has & (ours | DEVICE_HAS_KERNEL)) | m->dev.has;
	memcpy(dev->name, m->dev.name, sizeof(dev->name));
	dev->type = m->dev.type;
	dev->address_bytes = m->dev.address_bytes;
	dev->mtu = m->dev.mtu;
	dev->master = (struct device_id){ cookie, m->dev.master.ifindex };
	dev->xdp_prog_id = m->dev.xdp_prog_id;
	if (m->has_vfs)
		dev->n_vfs = m->dev.n_vfs;
	if (m->dev.has & DEVICE_HAS_KERNEL) {
		dev->kernel_rx = m->dev.kernel_rx;
		dev->kernel_tx = m->dev.kernel_tx;
	}
}

/* But for the kernel's counters. */
static bool is_changed(const struct device *a, const struct device *b)
{
	return a->has != b->has || strcmp(a->name, b->name) || strcmp(a->kind, b->kind) ||
	       a->type != b->type || a->address_bytes != b->address_bytes || a->mtu != b->mtu ||
	       a->vf != b->vf || a->n_vfs != b->n_vfs || a->xdp_prog_id != b->xdp_prog_id ||
	       !device_id_equal(a->peer, b->peer) || !device_id_equal(a->lower, b->lower) ||
	       !device_id_equal(a->master, b->master) || !device_id_equal(a->pf, b->pf);
}

/* Another device has its ifindex now: what came between was not heard. */
static bool is_another(const struct device_entry *en, const struct device_message *m)
{
	const char *kind = strcmp(en->dev.kind, "vf") ? en->dev.kind : "physical";

	return strcmp(kind, m->dev.kind) || strcmp(en->dev.bus, m->dev.bus);
}

static struct device_entry *add(struct devices *d, struct device_id id,
				const struct device_message *m)
{
	struct device_entry *en = device_table_add(&d->table, id);

	if (!en)
		return NULL;
	memcpy(en->dev.kind, m->dev.kind, sizeof(en->dev.kind));
	memcpy(en->dev.bus, m->dev.bus, sizeof(en->dev.bus));
	en->paired = m->paired;
	if (!d->starting)
		en->dev.heard_ns = clock_ns(CLOCK_MONOTONIC);
	if (*en->dev.bus)
		meet_hardware(d, en, m->bus_name);
	return en;
}

struct answer {
	struct devices *d;
	uint64_t cookie;
	struct device_entry *en; /* what it is about; NULL: not met */
	int err;
};

static void take_link(void *arg, const struct nlmsghdr *h)
{
	struct answer *answer = arg;
	struct device_message m;

	if (!device_message_parse(h, &m) && m.dev.id.ifindex == answer->en->dev.id.ifindex)
		set_link(answer->d, answer->en, &m.link);
}

static bool is_same_link(const struct device_link *a, const struct device_link *b)
{
	return a->ifindex == b->ifindex && a->foreign == b->foreign && a->nsid == b->nsid;
}

static void ask_link(struct devices *d, struct device_entry *en)
{
	struct answer answer = { .d = d, .en = en };
	int32_t nsid;

	if (!nsid_of(d, en->dev.id.netns_cookie, &nsid))
		device_ask_one(d->ask, nsid, en->dev.id.ifindex, take_link, &answer);
}

/* The first end of a pair is told before it has another: ask when that is settled. */
static void add_single(struct devices *d, const struct device_entry *en)
{
	struct device_id *more = reallocarray(d->singles, d->n_singles + 1, sizeof(*d->singles));

	if (!more)
		return;
	d->singles = more;
	d->singles[d->n_singles++] = en->dev.id;
}

/* A message's ids are those of the device's namespace: ask for ours, once for each link. */
static void hear_link(struct devices *d, struct device_entry *en, const struct device_link *link)
{
	if (en->paired && !link->ifindex && !(en->dev.has & DEVICE_HAS_PEER))
		add_single(d, en);
	if (is_same_link(link, &en->told))
		return;
	en->told = *link;
	if (!link->foreign || en->dev.id.netns_cookie == d->own_cookie)
		set_link(d, en, link);
	else
		ask_link(d, en);
}

/*
 * @m was @heard, or else is an answer, of namespace @cookie. The entry, or NULL: out of memory,
 * which is the same as not having heard.
 */
static struct device_entry *take(struct devices *d, uint64_t cookie, const struct device_message *m,
				 bool heard)
{
	struct device_id id = { cookie, m->dev.id.ifindex };
	struct device_entry *en = device_table_get(&d->table, id);
	struct device before = { 0 };
	bool fresh;

	if (en && is_another(en, m)) {
		drop(d, en, NULL);
		en = NULL;
	}
	fresh = !en;
	if (fresh)
		en = add(d, id, m);
	if (!en) {
		d->overrun = true;
		return NULL;
	}
	if (!fresh)
		before = en->dev;
	update(en, m);
	if (heard)
		hear_link(d, en, &m->link);
	else
		set_link(d, en, &m->link);
	if (fresh)
		tell_appeared(d, en);
	else if (is_changed(&before, &en->dev))
		tell_changed(d, en);
	set_other_end(d, en);
	if (fresh && *en->dev.bus)
		set_pf_of_all(d, en);
	return en;
}

/* --- lists --- */

static void add_vf(void *arg, const struct device_vf *vf)
{
	struct device_entry *en = arg;
	struct device_vf *more = reallocarray(en->vfs, en->n_vfs + 1, sizeof(*more));

	if (!more)
		return;
	en->vfs = more;
	en->vfs[en->n_vfs++] = *vf;
}

static void take_answer(void *arg, const struct nlmsghdr *h)
{
	struct answer *answer = arg;
	struct devices *d = answer->d;
	struct device_message m;

	if (device_message_parse(h, &m) || m.deleted)
		return;
	answer->en = take(d, answer->cookie, &m, false);
	if (!answer->en) {
		answer->err = -ENOMEM;
		return;
	}
	answer->en->list = d->list;
	answer->en->n_vfs = 0;
	if (m.dev.n_vfs)
		device_message_each_vf(h, add_vf, answer->en);
}

/* Nothing of a namespace that is gone can be listed, and that is right. */
static bool is_gone(struct devices *d, uint64_t cookie)
{
	int fd = netns_registry_open(d->registry, cookie);

	if (fd >= 0)
		close(fd);
	return fd == -ENOENT || fd == -ESTALE;
}

static void note_failure(struct devices *d, uint64_t cookie, int err)
{
	const struct netns *ns = netns_registry_get(d->registry, cookie);

	if (!d->health.n_netns_failed++)
		err_set(&d->health.first_failure, -err,
			"cannot list the devices of network namespace %u: %s", ns ? ns->inode : 0,
			strerror(-err));
}

static void list_netns(struct devices *d, uint64_t cookie, bool sweep)
{
	struct answer answer = { .d = d, .cookie = cookie };
	int32_t nsid;
	int err = nsid_of(d, cookie, &nsid);

	if (err)
		return;
	d->list++;
	d->health.n_lists++;
	err = device_ask_all(d->ask, nsid, take_answer, &answer);
	if (!err)
		err = answer.err;
	if (err && !is_gone(d, cookie))
		note_failure(d, cookie, err);
	if (!err && sweep)
		drop_unmet(d, cookie);
}

/* @sweep: those that the lists don't show are gone. */
static void list_all(struct devices *d, bool sweep)
{
	const struct netns *ns = NULL;

	if (d->watch)
		d->health.n_netns_failed = 0;
	while ((ns = netns_registry_next(d->registry, ns)))
		list_netns(d, ns->cookie, sweep);
}

/* --- functions without a device --- */

static void fill_unbound(struct device_entry *en, const struct device_entry *pf, const char *bus)
{
	struct device *dev = &en->dev;
	struct device_hardware hw;

	device_hardware_read(sysfs, "pci", bus, &hw);
	dev->has = DEVICE_HAS_PF | DEVICE_UNOBSERVABLE;
	dev->pf = pf->dev.id;
	snprintf(dev->name, sizeof(dev->name), "%.15s:vf%u", pf->dev.name, dev->vf);
	snprintf(dev->kind, sizeof(dev->kind), "vf");
	snprintf(dev->bus, sizeof(dev->bus), "%s", bus);
	memcpy(dev->driver, hw.driver, sizeof(dev->driver));
	for (size_t i = 0; i < pf->n_vfs; i++) {
		if (pf->vfs[i].vf != dev->vf)
			continue;
		dev->has |= DEVICE_HAS_KERNEL;
		dev->kernel_rx = pf->vfs[i].rx;
		dev->kernel_tx = pf->vfs[i].tx;
	}
}

static void show_unbound(struct devices *d, const struct device_entry *pf, uint32_t vf,
			 const char *bus)
{
	struct device_id id = { pf->dev.id.netns_cookie, DEVICE_VF_IFINDEX | vf };
	struct device_entry *en = device_table_get(&d->table, id);
	bool fresh = !en;

	if (fresh)
		en = device_table_add(&d->table, id);
	if (!en)
		return;
	en->dev.vf = vf;
	en->list = d->list;
	fill_unbound(en, pf, bus);
	if (fresh)
		tell_appeared(d, en);
}

/* Where it isn't known what a function is, nothing is said of it. */
static void show_unbound_of(struct devices *d, const struct device_entry *pf)
{
	char bus[DEVICE_BUS_MAX];

	if (find_hardware(d, pf->dev.bus) != pf)
		return;
	for (uint32_t vf = 0; vf < pf->dev.n_vfs; vf++)
		if (!device_hardware_vf_bus(sysfs, pf->dev.bus, vf, bus) && !find_hardware(d, bus))
			show_unbound(d, pf, vf, bus);
}

static void drop_unbound(struct devices *d)
{
	struct device_entry *en = device_table_next(&d->table, NULL), *next;

	for (; en; en = next) {
		next = device_table_next(&d->table, en);
		if (en->dev.has & DEVICE_UNOBSERVABLE && en->list != d->list)
			drop(d, en, NULL);
	}
}

static bool has_functions(const struct device_entry *en)
{
	char bus[DEVICE_BUS_MAX];

	return *en->dev.bus && !*en->pf_bus && !(en->dev.has & DEVICE_UNOBSERVABLE) &&
	       !device_hardware_vf_bus(sysfs, en->dev.bus, 0, bus);
}

/* One that has functions and wasn't asked about since the last list began. */
static struct device_entry *next_pf(const struct devices *d)
{
	struct device_entry *en = NULL;

	while ((en = device_table_next(&d->table, en)))
		if (en->list != d->list && has_functions(en))
			return en;
	return NULL;
}

/* Which functions have a device, and which have none? Seldom asked: hardware came or went. */
static void settle_hardware(struct devices *d)
{
	struct device_entry *en;

	if (!d->hardware_stale)
		return;
	for (d->list++; (en = next_pf(d));) {
		en->list = d->list;
		devices_refresh_one(d, en->dev.id);
	}
	d->list++;
	while ((en = device_table_next(&d->table, en)))
		if (has_functions(en))
			show_unbound_of(d, en);
	drop_unbound(d);
	d->hardware_stale = false;
}

/* --- what is heard --- */

/* The id is one of the namespace that the device left. 0: not known. */
static uint64_t translate(struct devices *d, uint64_t from, const struct device_heard *h)
{
	int32_t nsid = h->message.new_nsid;

	if (from != d->own_cookie && device_ask_translate(d->ask, h->nsid, nsid, &nsid))
		return 0;
	return cookie_of(d, nsid);
}

/* Often it is a namespace that was made a moment ago. */
static struct device_id find_destination(struct devices *d, uint64_t from,
					 const struct device_heard *h)
{
	struct device_id to = { translate(d, from, h), h->message.new_ifindex };
	struct err e;

	if (!to.netns_cookie && !netns_registry_look(d->registry, &e))
		to.netns_cookie = translate(d, from, h);
	return to;
}

static void hear_deleted(struct devices *d, uint64_t cookie, struct device_heard *h)
{
	struct device_id id = { cookie, h->message.dev.id.ifindex }, to;
	struct device_entry *en;

	if (h->message.moved)
		to = find_destination(d, cookie, h);
	en = device_table_get(&d->table, id);
	if (!en)
		return;
	update(en, &h->message);
	drop(d, en, h->message.moved ? &to : NULL);
}

static void hear(struct devices *d, struct device_heard *h)
{
	uint64_t cookie = cookie_of(d, h->nsid);

	d->health.n_messages++;
	if (!cookie) /* listed when it gets known */
		return;
	if (h->message.deleted)
		hear_deleted(d, cookie, h);
	else
		take(d, cookie, &h->message, true);
}

static void join_single(struct devices *d, struct device_id id)
{
	struct device_entry *en = device_table_get(&d->table, id);

	if (!en || en->dev.has & DEVICE_HAS_PEER || en->link.ifindex)
		return;
	ask_link(d, en);
	if (!(en->dev.has & DEVICE_HAS_PEER))
		return;
	tell_changed(d, en);
	set_other_end(d, en);
}

static void catch_up(struct devices *d)
{
	struct device_heard heard;

	while (device_watch_take(d->watch, &heard))
		hear(d, &heard);
	for (size_t i = 0; i < d->n_singles; i++)
		join_single(d, d->singles[i]);
	free(d->singles);
	d->singles = NULL;
	d->n_singles = 0;
	if (d->overrun) {
		d->overrun = false;
		list_all(d, true);
	}
	settle_hardware(d);
}

static int receive(struct devices *d)
{
	int err = device_watch_receive(d->watch);

	if (err != -ENOBUFS)
		return err;
	d->overrun = true;
	d->health.n_overruns++;
	return 0;
}

static int on_messages(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct devices *d = arg;
	int err = receive(d);

	if (err) {
		err_set(&d->health.first_failure, -err,
			"cannot hear of network devices any more: %s", strerror(-err));
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	catch_up(d);
	return 0;
}

static int on_later(sd_event_source *source, void *arg)
{
	catch_up(arg);
	return 0;
}

/* --- what the registry tells --- */

/* Also those that took the id for that of a namespace which had died already. */
static void meet_awaited(struct devices *d, int32_t nsid)
{
	struct device_entry *en = NULL;
	struct device before;
	struct device_link link;

	while ((en = device_table_next(&d->table, en))) {
		if (!en->link.foreign || en->link.nsid != nsid)
			continue;
		before = en->dev;
		link = en->link;
		set_link(d, en, &link);
		if (!is_changed(&before, &en->dev))
			continue;
		tell_changed(d, en);
		set_other_end(d, en);
	}
}

/*
 * What was heard with this id until now is of one that is dead, or is in the list that is made
 * now. The rest is looked at when the registry is done.
 */
static void on_reachable(void *arg, const struct netns *ns, int32_t nsid)
{
	struct devices *d = arg;

	receive(d);
	device_watch_forget(d->watch, nsid);
	list_netns(d, ns->cookie, false);
	meet_awaited(d, nsid);
	sd_event_source_set_enabled(d->later, SD_EVENT_ONESHOT);
}

static void on_died(void *arg, const struct netns *ns)
{
	drop_netns(arg, ns->cookie);
}

/* --- asking without being there --- */

static void number_all(struct devices *d)
{
	const struct netns *ns = NULL;
	int err;

	d->health.n_netns_failed = 0;
	while ((ns = netns_registry_next(d->registry, ns))) {
		err = device_outpost_number(d->outpost, d->registry, ns->cookie);
		if (err && err != -ENOENT && err != -ESTALE)
			note_failure(d, ns->cookie, err);
	}
}

static int begin_asking(struct devices *d, struct err *e)
{
	int err;

	if (d->watch)
		return 0;
	err = device_outpost_new(&d->outpost, e);
	if (err)
		return err;
	d->ask = device_outpost_ask(d->outpost);
	number_all(d);
	return 0;
}

static void end_asking(struct devices *d)
{
	if (d->watch)
		return;
	device_outpost_free(d->outpost);
	d->outpost = NULL;
	d->ask = NULL;
}

int devices_refresh(struct devices *d, struct err *e)
{
	int err = begin_asking(d, e);

	if (err)
		return err;
	if (d->watch && !receive(d))
		catch_up(d);
	list_all(d, !d->watch);
	d->hardware_stale = true;
	settle_hardware(d);
	end_asking(d);
	return 0;
}

int devices_refresh_one(struct devices *d, struct device_id id)
{
	struct answer answer = { .d = d, .cookie = id.netns_cookie };
	bool asking = d->ask != NULL;
	int32_t nsid;
	int err = asking ? 0 : begin_asking(d, NULL);

	if (err)
		return err;
	err = nsid_of(d, id.netns_cookie, &nsid);
	if (!err)
		err = device_ask_one(d->ask, nsid, id.ifindex, take_answer, &answer);
	if (!asking)
		end_asking(d);
	if (err && (err == -ENOENT || is_gone(d, id.netns_cookie)))
		return -ENODEV;
	return err ? err : answer.err;
}

/* --- life --- */

static int open_sockets(struct devices *d, struct err *e)
{
	int err = device_ask_new(&d->ask, e);

	if (err)
		return err;
	d->own_cookie = device_ask_own_cookie(d->ask);
	return device_watch_new(&d->watch, e);
}

static int add_sources(struct devices *d, struct err *e)
{
	int err = sd_event_add_io(d->loop, &d->messages, device_watch_fd(d->watch), EPOLLIN,
				  on_messages, d);

	if (err >= 0)
		err = sd_event_add_defer(d->loop, &d->later, on_later, d);
	if (err >= 0)
		err = sd_event_source_set_enabled(d->later, SD_EVENT_OFF);
	if (err < 0)
		return err_set(e, -err, "cannot watch network devices: event loop: %s",
			       strerror(-err));
	return 0;
}

/* Watch first, look then: nothing is missed between. */
static int watch(struct devices *d, struct err *e)
{
	int err = open_sockets(d, e);

	if (!err)
		err = add_sources(d, e);
	if (!err)
		err = netns_registry_look(d->registry, e);
	if (err)
		return err;
	receive(d);
	device_watch_forget_all(d->watch);
	d->overrun = false;
	d->netns = (struct netns_subscriber){ .reachable = on_reachable, .arg = d };
	d->netns.died = on_died;
	netns_registry_subscribe(d->registry, &d->netns);
	return 0;
}

int devices_new(struct devices **ret, struct netns_registry *registry, sd_event *loop,
		struct err *e)
{
	struct devices *d = calloc(1, sizeof(*d));
	int err = 0;

	if (!d)
		return err_set(e, ENOMEM, "out of memory");
	d->registry = registry;
	d->loop = loop ? sd_event_ref(loop) : NULL;
	d->starting = true;
	if (loop)
		err = watch(d, e);
	if (!err)
		err = devices_refresh(d, e);
	if (err) {
		devices_free(d);
		return err;
	}
	d->starting = !loop;
	*ret = d;
	return 0;
}

void devices_free(struct devices *d)
{
	if (!d)
		return;
	if (d->netns.arg)
		netns_registry_unsubscribe(d->registry, &d->netns);
	sd_event_source_disable_unref(d->messages);
	sd_event_source_disable_unref(d->later);
	device_watch_free(d->watch);
	device_ask_free(d->ask);
	device_table_fini(&d->table);
	free(d->singles);
	sd_event_unref(d->loop);
	free(d);
}

/* --- questions --- */

const struct device *devices_get(const struct devices *d, struct device_id id)
{
	struct device_entry *en = device_table_get(&d->table, id);

	return en ? &en->dev : NULL;
}

const struct device *devices_next(const struct devices *d, const struct device *dev)
{
	struct device_entry *en = device_table_next(&d->table, dev ? device_entry_of(dev) : NULL);

	return en ? &en->dev : NULL;
}

size_t devices_count(const struct devices *d)
{
	return device_table_count(&d->table);
}

/* Those that have no id can't be asked about; the registry goes on trying. */
static void count_out_of_reach(const struct devices *d, struct devices_health *ret)
{
	const struct netns *ns = NULL;
	int32_t nsid;

	while ((ns = netns_registry_next(d->registry, ns))) {
		if (ns->dying || !nsid_of(d, ns->cookie, &nsid))
			continue;
		if (!ret->n_netns_failed++)
			err_set(&ret->first_failure, 0,
				"network namespace %u: the kernel gave it no id, or it cannot be "
				"opened",
				ns->inode);
	}
}

void devices_get_health(const struct devices *d, struct devices_health *ret)
{
	*ret = d->health;
	if (d->watch)
		count_out_of_reach(d, ret);
}
