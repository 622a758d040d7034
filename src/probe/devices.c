// SPDX-License-Identifier: Apache-2.0
#include "probe/devices.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/base.h"
#include "probe/devices_private.h"
#include "sys/bpf_object.h"
#include "sys/bpf_refusal.h"
#include "sys/bpffs.h"

/*
 * In the pin folder:
 *
 *	device/control, turn		shared by the programs of all versions
 *	device/layout-N-SIZE/MAP	the maps whose values have that layout
 *	device/witness_tx-G, _rx-G	the links of generation G of the programs
 *
 * Two generations can be there at once, after a crash in the middle of a change. The one that
 * `control` names counts; programs of both know it (device.bpf.c).
 */

static const char *const witness_names[N_WITNESSES] = { "witness_tx", "witness_rx" };

/* The name that a map has in the folder; NULL: it isn't pinned. That of a variable is libbpf's. */
static const char *map_pin_name(const struct device_probe *p, const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	if (map == p->skel->maps.data_control)
		return "device_control";
	return strchr(name, '.') ? NULL : name;
}

/* All versions share it. */
static bool map_is_frozen(const struct device_probe *p, const struct bpf_map *map)
{
	return map == p->skel->maps.data_control || map == p->skel->maps.device_turn;
}

/* --- the folder --- */

static int folder_make(const char *path, struct err *e)
{
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	return err_set(e, errno, "cannot make %s: %s; see --pin-dir", path, strerror(errno));
}

static int folder_prepare(struct device_probe *p, const char *pin_dir, struct err *e)
{
	if (snprintf(p->dir, sizeof(p->dir), "%s/device", pin_dir) >= (int)sizeof(p->dir))
		return err_set(e, ENAMETOOLONG, "pin folder %.60s...: its name is too long",
			       pin_dir);
	snprintf(p->layout, sizeof(p->layout), "layout-%d-%zu", DEVICE_LAYOUT,
		 sizeof(struct device_counts));
	snprintf(p->maps_dir, sizeof(p->maps_dir), "%s/%s", p->dir, p->layout);
	return folder_make(pin_dir, e) ?: folder_make(p->dir, e) ?: folder_make(p->maps_dir, e);
}

static void map_path(const struct device_probe *p, const struct bpf_map *map, char *ret)
{
	snprintf(ret, PATH_MAX, "%s/%s", map_is_frozen(p, map) ? p->dir : p->maps_dir,
		 map_pin_name(p, map));
}

/* Are these maps there: all, none, or some? */
enum presence { PRESENT_NONE, PRESENT_SOME, PRESENT_ALL };

static enum presence maps_presence(const char *dir, const char *const *names)
{
	size_t n = 0, n_there = 0;
	char path[PATH_MAX];

	for (; names[n]; n++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[n]);
		n_there += !access(path, F_OK);
	}
	return !n_there ? PRESENT_NONE : n_there == n ? PRESENT_ALL : PRESENT_SOME;
}

/*
 * Maps go together. Where somebody has removed some, or a crash came between, the programs that are
 * there count into maps that nobody finds: begin anew, without them.
 */
static int folder_check(struct device_probe *p, struct err *e)
{
	static const char *const shared[] = { "device_control", "device_turn", NULL };
	static const char *const own[] = { "device_places", "device_slots",
					   "device_free",   "device_rest",
					   "device_base",   "device_missed",
					   "device_cache",  NULL };
	enum presence of_all = maps_presence(p->dir, shared),
		      ours = maps_presence(p->maps_dir, own);

	if (of_all != PRESENT_SOME && ours != PRESENT_SOME &&
	    !(ours == PRESENT_ALL && of_all == PRESENT_NONE))
		return 0;
	p->began_anew = true;
	return bpffs_remove(p->dir, NULL, NULL, e) ?: folder_make(p->dir, e) ?:
	       folder_make(p->maps_dir, e);
}

/* --- maps --- */

/* Go on with what is pinned, if it is what this version would make. */
static int map_reuse(struct device_probe *p, struct bpf_map *map, struct err *e)
{
	struct bpf_map_info info;
	char path[PATH_MAX];
	int fd, err;

	map_path(p, map, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(e, errno, "cannot open %s: %s", path, strerror(errno));
	err = bpf_map_info_of(fd, &info);
	if (!err && (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		     info.value_size != bpf_map__value_size(map)))
		err = -EEXIST;
	if (!err)
		err = bpf_map__reuse_fd(map, fd);
	close(fd);
	if (!err && !strcmp(bpf_map__name(map), "device_slots"))
		p->slots_are_old = true;
	return err ? err_set(e, -err, "%s is not this program's; 'nslens detach' removes it", path)
		   : 0;
}

static int maps_reuse(struct device_probe *p, struct err *e)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, p->skel->obj) if (!err && map_pin_name(p, map))
		err = map_reuse(p, map, e);
	return err;
}

/* Slots are numbers: all are free at first. */
static int slots_fill(struct device_probe *p)
{
	uint32_t n = bpf_map__max_entries(p->skel->maps.device_slots);
	int fd = bpf_map__fd(p->skel->maps.device_free);

	for (uint32_t slot = 0; slot < n; slot++)
		if (bpf_map_update_elem(fd, NULL, &slot, BPF_ANY))
			return -errno;
	return 0;
}

/* The slots come last: with them the others are complete. */
static int map_pin(struct device_probe *p, struct bpf_map *map, struct err *e)
{
	char path[PATH_MAX];
	int err;

	map_path(p, map, path);
	err = bpf_obj_pin(bpf_map__fd(map), path);
	if (err && errno != EEXIST)
		return err_set(e, errno, "cannot pin %s: %s", path, strerror(errno));
	return 0;
}

static int maps_pin(struct device_probe *p, struct err *e)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, p->skel->obj) if (!err && map_pin_name(p, map) &&
							map != p->skel->maps.device_slots)
		err = map_pin(p, map, e);
	return err ? err : map_pin(p, p->skel->maps.device_slots, e);
}

/* --- loading --- */

static int explain(int err, struct err *e)
{
	static const unsigned int caps[] = { CAP_BPF, CAP_PERFMON };

	return bpf_refusal_explain(err, "cannot load the device probe", caps, ARRAY_SIZE(caps), e);
}

static uint32_t generation_now(const struct device_probe *p)
{
	return p->control->generation;
}

/* The number that the programs of this load have is read before they are loaded. */
static uint32_t generation_pinned(const struct device_probe *p)
{
	struct device_control control = { 0 };
	char path[PATH_MAX];
	__u32 zero = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/device_control", p->dir);
	fd = *p->dir ? bpf_obj_get(path) : -1;
	if (fd < 0)
		return 0;
	bpf_map_lookup_elem(fd, &zero, &control);
	close(fd);
	return control.generation;
}

/* tcx is of 6.6. */
static bool kernel_has_tcx(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool has = btf && btf__find_by_name_kind(btf, "tcx_link", BTF_KIND_STRUCT) > 0;

	btf__free(btf);
	return has;
}

static void hooks_choose(struct device_probe *p, bool with_hooks)
{
	snprintf(p->why_no_hooks, sizeof(p->why_no_hooks), "%s", with_hooks ? "" : "not asked for");
	bpf_program__set_autoload(p->skel->progs.device_ingress, with_hooks);
	bpf_program__set_autoload(p->skel->progs.device_egress, with_hooks);
	bpf_program__set_autoload(p->skel->progs.device_xdp, with_hooks);
}

static int skeleton_open(struct device_probe *p, const struct device_probe_options *o,
			 bool with_hooks, struct err *e)
{
	int err = 0;

	bpf_complaint_listen();
	p->skel = devices_bpf__open();
	if (!p->skel)
		return explain(-errno, e);
	hooks_choose(p, with_hooks);
	p->skel->rodata->device_mine = p->generation;
	if (o->n_slots)
		err = bpf_map__set_max_entries(p->skel->maps.device_slots, o->n_slots)
			      ?: bpf_map__set_max_entries(p->skel->maps.device_free, o->n_slots);
	if (err)
		return err_set(e, -err, "cannot size the maps of devices: %s", strerror(-err));
	return *p->dir ? maps_reuse(p, e) : 0;
}

static int skeleton_load(struct device_probe *p, const struct device_probe_options *o,
			 bool with_hooks, struct err *e)
{
	int err = skeleton_open(p, o, with_hooks, e);

	if (err)
		return err;
	err = devices_bpf__load(p->skel);
	return err ? explain(err, e) : 0;
}

/* Where the kernel refuses the programs for devices, the witness is there without them. */
static int probe_load(struct device_probe *p, const struct device_probe_options *o, struct err *e)
{
	int err;

	p->generation = generation_pinned(p) + 1;
	p->has_tcx = kernel_has_tcx();
	err = skeleton_load(p, o, !o->no_hooks, e);
	if (err && !o->no_hooks && p->skel) {
		const struct bpf_complaint *c = bpf_complaint_heard();
		char why[sizeof(p->why_no_hooks)];

		snprintf(why, sizeof(why), "the kernel refuses program %s: %s", c->program,
			 c->text);
		devices_bpf__destroy(p->skel);
		err = skeleton_load(p, o, false, e);
		snprintf(p->why_no_hooks, sizeof(p->why_no_hooks), "%s", why);
	}
	return err;
}

/* Who looks at device_turn. */
enum { TURNS_TAKE_OVER = 1, TURNS_INGRESS = 2 };

static void turns_set(struct device_probe *p, uint32_t bit, bool on)
{
	if (on)
		__atomic_or_fetch(&p->control->turns, bit, __ATOMIC_SEQ_CST);
	else
		__atomic_and_fetch(&p->control->turns, ~bit, __ATOMIC_SEQ_CST);
}

void device_probe_set_ingress(struct device_probe *p, bool there)
{
	turns_set(p, TURNS_INGRESS, there);
}

bool device_probe_began_anew(const struct device_probe *p)
{
	return p->began_anew;
}

bool device_probe_has_tcx(const struct device_probe *p)
{
	return p->has_tcx;
}

bool device_probe_is_alike(const struct device_probe *p, int a_fd, int b_fd)
{
	struct bpf_map_info slots;

	return !bpf_map_info_of(bpf_map__fd(p->skel->maps.device_slots), &slots) &&
	       bpf_progs_are_alike(a_fd, b_fd, slots.id);
}

/* --- the witness --- */

static struct bpf_program *witness_program(const struct device_probe *p, int i)
{
	return i ? p->skel->progs.device_rx : p->skel->progs.device_tx;
}

static void witness_path(const struct device_probe *p, int i, uint32_t generation, char *ret)
{
	snprintf(ret, PATH_MAX, "%s/%s-%u", p->dir, witness_names[i], generation);
}

/* Is the pinned link of that generation one whose program does just what ours would? */
static bool witness_is_alike(const struct device_probe *p, int i, uint32_t generation)
{
	char path[PATH_MAX];
	int link_fd, prog_fd;
	bool alike;

	witness_path(p, i, generation, path);
	link_fd = bpf_obj_get(path);
	if (link_fd < 0)
		return false;
	prog_fd = bpf_link_open_prog(link_fd);
	alike = prog_fd >= 0 &&
		device_probe_is_alike(p, prog_fd, bpf_program__fd(witness_program(p, i)));
	if (prog_fd >= 0)
		close(prog_fd);
	close(link_fd);
	return alike;
}

static int witness_attach(struct device_probe *p, int i, struct err *e)
{
	char path[PATH_MAX];

	p->witness[i] = bpf_program__attach(witness_program(p, i));
	if (!p->witness[i])
		return err_set(e, errno, "cannot attach the device probe: %s", strerror(errno));
	if (!*p->dir)
		return 0;
	witness_path(p, i, p->generation, path);
	unlink(path); /* of one that never came to count */
	if (bpf_obj_pin(bpf_link__fd(p->witness[i]), path))
		return err_set(e, errno, "cannot pin %s: %s", path, strerror(errno));
	return 0;
}

/* Of a name in the folder: which generation's link it is; 0: it is none. */
static uint32_t witness_generation(const char *name)
{
	unsigned int generation;

	for (int i = 0; i < N_WITNESSES; i++) {
		size_t len = strlen(witness_names[i]);

		if (!strncmp(name, witness_names[i], len) &&
		    sscanf(name + len, "-%u", &generation) == 1)
			return generation;
	}
	return 0;
}

/* All generations but the one that counts. */
static void witness_remove_others(const struct device_probe *p)
{
	DIR *dir = opendir(p->dir);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		uint32_t generation = witness_generation(entry->d_name);

		if (generation && generation != generation_now(p))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

void device_probe_end_turns(struct device_probe *p)
{
	turns_set(p, TURNS_TAKE_OVER, false);
}

/*
 * Attach ours; from one packet to the next they count, and those before them don't any more. The
 * turns end later: a packet may be between the two programs now.
 */
static int witness_take_over(struct device_probe *p, struct err *e)
{
	int err;

	turns_set(p, TURNS_TAKE_OVER, generation_now(p));
	err = witness_attach(p, 0, e) ?: witness_attach(p, 1, e);
	if (err)
		return err;
	__atomic_store_n(&p->control->generation, p->generation, __ATOMIC_SEQ_CST);
	return 0;
}

/* The pinned ones do the same. */
static void witness_unload(struct device_probe *p)
{
	for (int i = 0; i < N_WITNESSES; i++)
		bpf_program__unload(witness_program(p, i));
}

static int witness_start(struct device_probe *p, struct err *e)
{
	uint32_t now = generation_now(p);
	int err = 0;

	p->adopted = *p->dir && now && witness_is_alike(p, 0, now) && witness_is_alike(p, 1, now);
	if (p->adopted)
		witness_unload(p);
	else
		err = witness_take_over(p, e);
	if (!err && *p->dir)
		witness_remove_others(p);
	return err;
}

/* --- life --- */

static int probe_open(struct device_probe *p, const struct device_probe_options *o, struct err *e)
{
	int err = o->pin_dir ? folder_prepare(p, o->pin_dir, e) ?: folder_check(p, e) : 0;

	if (!err)
		err = probe_load(p, o, e);
	if (!err)
		p->control = &p->skel->data_control->device_control;
	if (!err && !p->slots_are_old) {
		err = slots_fill(p);
		if (err)
			err_set(e, -err, "cannot fill the device probe's slots: %s",
				strerror(-err));
	}
	if (!err && *p->dir)
		err = maps_pin(p, e);
	return err ? err : witness_start(p, e);
}

int device_probe_open(const struct device_probe_options *o, struct device_probe **ret,
		      struct err *e)
{
	struct device_probe *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return err_set(e, ENOMEM, "device probe: out of memory");
	p->n_cpus = libbpf_num_possible_cpus();
	p->values = calloc(p->n_cpus > 0 ? (size_t)p->n_cpus : 1, sizeof(*p->values));
	err = p->values ? probe_open(p, o, e) : err_set(e, ENOMEM, "device probe: out of memory");
	if (err) {
		device_probe_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

void device_probe_close(struct device_probe *p)
{
	if (!p)
		return;
	for (int i = 0; i < N_WITNESSES; i++)
		bpf_link__destroy(p->witness[i]);
	devices_bpf__destroy(p->skel);
	free(p->forgotten);
	free(p->values);
	free(p);
}

int device_probe_program(const struct device_probe *p, enum device_point point,
			 const char **ret_why)
{
	static const enum device_point points[] = { POINT_TCX_INGRESS, POINT_TCX_EGRESS,
						    POINT_XDP };
	struct bpf_program *const programs[] = { p->skel->progs.device_ingress,
						 p->skel->progs.device_egress,
						 p->skel->progs.device_xdp };

	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		if (points[i] == point && !*p->why_no_hooks)
			return bpf_program__fd(programs[i]);
	*ret_why = p->why_no_hooks;
	return -ENOTSUP;
}

/* --- figures --- */

static void usage_of_program(const struct device_probe *p, int i, struct device_probe_usage *ret)
{
	struct bpf_prog_info info;
	char path[PATH_MAX];
	int link_fd, prog_fd;

	if (!p->adopted) {
		prog_fd = dup(bpf_program__fd(witness_program(p, i)));
	} else {
		witness_path(p, i, generation_now(p), path);
		link_fd = bpf_obj_get(path);
		prog_fd = link_fd < 0 ? -1 : bpf_link_open_prog(link_fd);
		if (link_fd >= 0)
			close(link_fd);
	}
	if (prog_fd >= 0 && !bpf_prog_info_of(prog_fd, &info)) {
		ret->passed_over += info.recursion_misses;
		ret->run_count += info.run_cnt;
		ret->run_ns += info.run_time_ns;
	}
	if (prog_fd >= 0)
		close(prog_fd);
}

static void count_one(void *arg, const struct device_tally *t)
{
	struct device_probe_usage *u = arg;

	u->n_devices++;
}

/* Somebody may have removed them: then they end with this process. */
static bool pins_are_there(const struct device_probe *p)
{
	char path[PATH_MAX];

	witness_path(p, 0, generation_now(p), path);
	return *p->dir && !access(path, F_OK);
}

void device_probe_get_usage(const struct device_probe *p, struct device_probe_usage *ret)
{
	struct bpf_map *map;

	*ret = (struct device_probe_usage){ .unplaced_packets = p->control->unplaced,
					    .generation = generation_now(p),
					    .adopted = p->adopted,
					    .pinned = pins_are_there(p) };
	bpf_object__for_each_map(map, p->skel->obj)
		ret->map_bytes += bpf_map_memlock(bpf_map__fd(map));
	for (int i = 0; i < N_WITNESSES; i++)
		usage_of_program(p, i, ret);
	device_probe_each(p, count_one, ret);
}
