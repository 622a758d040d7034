// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/base.h"
#include "probe/devices_private.h"
#include "sys/bpf_object.h"
#include "sys/bpffs.h"

/* What the device probe counted: read from its maps, taken over from those of other versions. */

static void counts_add(struct device_counts *n, const struct device_counts *more)
{
	uint64_t *to = (uint64_t *)n;
	const uint64_t *from = (const uint64_t *)more;

	for (size_t i = 0; i < sizeof(*n) / sizeof(*to); i++)
		to[i] += from[i];
}

static struct device_key key_of(struct device_id id)
{
	return (struct device_key){ .netns_cookie = id.netns_cookie, .ifindex = id.ifindex };
}

/* --- one set of maps --- */

/* The maps of a layout; values of another version's are smaller or larger. */
struct tally_maps {
	int places, slots, rest, base; /* descriptors; -1: there is none */
	size_t value_size;	       /* of the counts */
};

static struct tally_maps own_maps(const struct device_probe *p)
{
	return (struct tally_maps){ .places = bpf_map__fd(p->skel->maps.device_places),
				    .slots = bpf_map__fd(p->skel->maps.device_slots),
				    .rest = bpf_map__fd(p->skel->maps.device_rest),
				    .base = bpf_map__fd(p->skel->maps.device_base),
				    .value_size = sizeof(struct device_counts) };
}

/* Add the values of all CPUs, as far as both versions know them. */
static void values_add(struct device_counts *n, const char *values, const struct tally_maps *m,
		       int n_cpus)
{
	size_t stride = (m->value_size + 7) / 8 * 8;
	size_t known = m->value_size < sizeof(*n) ? m->value_size : sizeof(*n);

	for (int cpu = 0; cpu < n_cpus; cpu++) {
		struct device_counts one = { 0 };

		memcpy(&one, values + (size_t)cpu * stride, known);
		counts_add(n, &one);
	}
}

static void tally_read(const struct tally_maps *m, const struct device_place *place, void *values,
		       int n_cpus, struct device_tally *t)
{
	t->first_ns = place->first_ns;
	t->n = (struct device_counts){ 0 };
	if (place->slot != DEVICE_NO_SLOT && !bpf_map_lookup_elem(m->slots, &place->slot, values))
		values_add(&t->n, values, m, n_cpus);
	/* Its first packets may be there in any case: see device_probe_forget(). */
	if (!bpf_map_lookup_elem(m->rest, &t->key, values))
		values_add(&t->n, values, m, n_cpus);
	if (m->base >= 0 && !bpf_map_lookup_elem(m->base, &t->key, values))
		values_add(&t->n, values, m, 1);
}

static int maps_each(const struct tally_maps *m, void *values, int n_cpus, device_tally_fn fn,
		     void *arg)
{
	struct device_key *previous = NULL, key;
	struct device_place place;
	struct device_tally t;

	while (!bpf_map_get_next_key(m->places, previous, &t.key)) {
		key = t.key;
		previous = &key;
		if (bpf_map_lookup_elem(m->places, &key, &place))
			continue;
		tally_read(m, &place, values, n_cpus, &t);
		fn(arg, &t);
	}
	return errno == ENOENT ? 0 : -errno;
}

/* --- questions --- */

int device_probe_read(const struct device_probe *p, struct device_id id, struct device_tally *ret)
{
	struct tally_maps m = own_maps(p);
	struct device_place place;

	ret->key = key_of(id);
	if (bpf_map_lookup_elem(m.places, &ret->key, &place))
		return -errno;
	tally_read(&m, &place, p->values, p->n_cpus, ret);
	return 0;
}

int device_probe_each(const struct device_probe *p, device_tally_fn fn, void *arg)
{
	struct tally_maps m = own_maps(p);

	return maps_each(&m, p->values, p->n_cpus, fn, arg);
}

int device_tally_layers(const struct device_tally *t, struct layer_rows *ret)
{
	int err = 0;

	for (int way = 0; way < N_DEVICE_WAYS; way++)
		for (int class = 0; class < N_LAYER_CLASSES && !err; class ++) {
			const struct device_class *n = &t->n.way[way].class[class];
			struct layer_row row = {
				.key = { .netns_cookie = t->key.netns_cookie,
					 .place = t->key.ifindex,
					 .layer = LAYER_DEVICE,
					 .class = (uint8_t) class,
					 .direction = (uint8_t)way },
				.n = { .skbs = n->skbs,
				       .packets = n->skbs + n->more_packets,
				       .skb_bytes = n->skb_bytes,
				       .bytes = n->skb_bytes + n->more_bytes },
			};

			if (n->skbs)
				err = layer_rows_add(ret, &row);
		}
	return err;
}

static void way_show(const struct device_way *n, struct device_counted *ret)
{
	ret->skbs = ret->skb_bytes = ret->packets = ret->bytes = 0;
	for (int class = 0; class < N_LAYER_CLASSES; class ++) {
		ret->skbs += n->class[class].skbs;
		ret->skb_bytes += n->class[class].skb_bytes;
		ret->packets += n->class[class].skbs + n->class[class].more_packets;
		ret->bytes += n->class[class].skb_bytes + n->class[class].more_bytes;
	}
	ret->multicast = n->multicast;
	ret->broadcast = n->broadcast;
	ret->ipv6 = n->ipv6;
	ret->arp = n->arp;
	ret->other = n->class[LAYER_NOT_IP].skbs + n->class[LAYER_NOT_IP].more_packets - n->arp;
	ret->ipv4 = ret->packets - ret->ipv6 - ret->arp - ret->other;
}

void device_tally_show(const struct device_tally *t, struct device_counted *ret_rx,
		       struct device_counted *ret_tx)
{
	way_show(&t->n.way[DEVICE_RX], ret_rx);
	way_show(&t->n.way[DEVICE_TX], ret_tx);
}

int device_probe_keys(const struct device_probe *p, device_key_fn fn, void *arg)
{
	int fd = bpf_map__fd(p->skel->maps.device_places);
	struct device_key *previous = NULL, key, next;

	while (!bpf_map_get_next_key(fd, previous, &next)) {
		key = next;
		previous = &key;
		fn(arg, (struct device_id){ key.netns_cookie, key.ifindex });
	}
	return errno == ENOENT ? 0 : -errno;
}

int device_probe_set_missed(struct device_probe *p, struct device_id id,
			    const struct device_missed *m)
{
	struct device_key key = key_of(id);

	return bpf_map_update_elem(bpf_map__fd(p->skel->maps.device_missed), &key, m, BPF_ANY)
		       ? -errno
		       : 0;
}

void device_probe_missed(const struct device_probe *p, struct device_id id,
			 struct device_missed *ret)
{
	struct device_key key = key_of(id);

	if (bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.device_missed), &key, ret))
		*ret = (struct device_missed){ 0 };
}

bool device_probe_continues(const struct device_probe *p)
{
	return p->slots_are_old || p->has_carried;
}

/* --- those that are gone --- */

static int forgotten_add(struct device_probe *p, const struct forgotten *f)
{
	if (p->n_forgotten == p->forgotten_room) {
		size_t room = p->forgotten_room ? p->forgotten_room * 2 : 64;
		struct forgotten *more = reallocarray(p->forgotten, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->forgotten = more;
		p->forgotten_room = room;
	}
	p->forgotten[p->n_forgotten++] = *f;
	return 0;
}

int device_probe_forget(struct device_probe *p, struct device_id id, struct device_tally *ret)
{
	struct device_key key = key_of(id);
	struct forgotten f = { .waits = true };
	struct device_tally last;
	struct device_place place;
	int fd = bpf_map__fd(p->skel->maps.device_places), err;

	err = device_probe_read(p, id, ret ?: &last);
	if (err)
		return err;
	/* A device that has the key by now may count on there, and then get a slot. */
	bpf_map_delete_elem(bpf_map__fd(p->skel->maps.device_rest), &key);
	if (bpf_map_lookup_and_delete_elem(fd, &key, &place))
		return -errno;
	bpf_map_delete_elem(bpf_map__fd(p->skel->maps.device_base), &key);
	bpf_map_delete_elem(bpf_map__fd(p->skel->maps.device_missed), &key);
	__atomic_add_fetch(&p->control->epoch, 1, __ATOMIC_SEQ_CST);
	f.slot = place.slot;
	return f.slot == DEVICE_NO_SLOT ? 0 : forgotten_add(p, &f);
}

static void forgotten_free(struct device_probe *p, const struct forgotten *f)
{
	memset(p->values, 0, (size_t)p->n_cpus * sizeof(*p->values));
	bpf_map_update_elem(bpf_map__fd(p->skel->maps.device_slots), &f->slot, p->values, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(p->skel->maps.device_free), NULL, &f->slot, BPF_ANY);
}

void device_probe_tidy(struct device_probe *p)
{
	size_t kept = 0;

	device_probe_end_turns(p);
	for (size_t i = 0; i < p->n_forgotten; i++) {
		struct forgotten *f = &p->forgotten[i];

		if (!f->waits) {
			forgotten_free(p, f);
			continue;
		}
		f->waits = false;
		p->forgotten[kept++] = *f;
	}
	p->n_forgotten = kept;
}

/* --- other versions --- */

static int open_in(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return bpf_obj_get(path);
}

static void maps_close(struct tally_maps *m)
{
	const int fds[] = { m->places, m->slots, m->rest, m->base };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int maps_open(const char *dir, struct tally_maps *ret)
{
	struct bpf_map_info info;
	int err;

	ret->places = open_in(dir, "device_places");
	ret->slots = open_in(dir, "device_slots");
	ret->rest = open_in(dir, "device_rest");
	ret->base = open_in(dir, "device_base");
	err = ret->places < 0 || ret->slots < 0 || ret->rest < 0
		      ? -ENOENT
		      : bpf_map_info_of(ret->slots, &info);
	if (err) {
		maps_close(ret);
		return err;
	}
	ret->value_size = info.value_size;
	return 0;
}

/* A place for a device that may never send again, as the kernel side makes it. */
static void place_make(struct device_probe *p, const struct device_tally *t)
{
	int places = bpf_map__fd(p->skel->maps.device_places);
	int free_slots = bpf_map__fd(p->skel->maps.device_free);
	struct device_place place = { .first_ns = t->first_ns };

	if (bpf_map_lookup_and_delete_elem(free_slots, NULL, &place.slot))
		place.slot = DEVICE_NO_SLOT;
	if (bpf_map_update_elem(places, &t->key, &place, BPF_NOEXIST) &&
	    place.slot != DEVICE_NO_SLOT)
		bpf_map_update_elem(free_slots, NULL, &place.slot, BPF_ANY);
}

static void carry_one(void *arg, const struct device_tally *t)
{
	struct device_probe *p = arg;
	struct device_place there;

	bpf_map_update_elem(bpf_map__fd(p->skel->maps.device_base), &t->key, &t->n, BPF_ANY);
	if (bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.device_places), &t->key, &there))
		place_make(p, t);
}

/* Where it is counted now there may be counts already, and a base of a device before. */
void device_probe_move(struct device_probe *p, struct device_id from, struct device_id to)
{
	int fd = bpf_map__fd(p->skel->maps.device_base);
	struct device_missed missed;
	struct device_counts base;
	struct device_tally t;

	device_probe_missed(p, from, &missed);
	if (device_probe_forget(p, from, &t))
		return;
	t.key = key_of(to);
	if (!bpf_map_lookup_elem(fd, &t.key, &base))
		counts_add(&t.n, &base);
	carry_one(p, &t);
	device_probe_set_missed(p, to, &missed);
}

static void carry_missed(struct device_probe *p, const char *dir)
{
	int from = open_in(dir, "device_missed"), to = bpf_map__fd(p->skel->maps.device_missed);
	struct device_key *previous = NULL, key, next;
	struct device_missed missed;

	while (from >= 0 && !bpf_map_get_next_key(from, previous, &next)) {
		key = next;
		previous = &key;
		if (!bpf_map_lookup_elem(from, &key, &missed))
			bpf_map_update_elem(to, &key, &missed, BPF_ANY);
	}
	if (from >= 0)
		close(from);
}

/* Nothing counts there any more: its counts become the base of ours, and it goes. */
static int carry_layout(struct device_probe *p, const char *name, struct err *e)
{
	struct tally_maps m;
	char dir[PIN_DIR_MAX + NAME_MAX + 1];
	char *values;

	snprintf(dir, sizeof(dir), "%s/%s", p->dir, name);
	if (!maps_open(dir, &m)) {
		values = calloc((size_t)p->n_cpus, m.value_size + 8);
		if (values)
			maps_each(&m, values, p->n_cpus, carry_one, p);
		carry_missed(p, dir);
		p->has_carried = true;
		free(values);
		maps_close(&m);
		if (!values)
			return err_set(e, ENOMEM, "device probe: out of memory");
	}
	return bpffs_remove(dir, NULL, NULL, e);
}

int device_probe_settle(struct device_probe *p, struct err *e)
{
	DIR *dir = *p->dir ? opendir(p->dir) : NULL;
	const struct dirent *entry;
	int err = 0;

	while (dir && !err && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "layout-", 7) && strcmp(entry->d_name, p->layout))
			err = carry_layout(p, entry->d_name, e);
	if (dir)
		closedir(dir);
	return err;
}
