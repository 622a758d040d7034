/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_DEVICES_PRIVATE_H
#define NSLENS_PROBE_DEVICES_PRIVATE_H

#include <linux/limits.h>
#include <sys/mman.h>

#include "probe/devices.h"

#include "devices.skel.h" /* behind the types of its variables */

/* What devices.c (load, attach, take over) and device_tally.c (read) have in common. */

enum {
	N_WITNESSES = 2,
	DEVICE_LAYOUT = 1, /* another one if keys or places change, too */
	PIN_DIR_MAX = 1024,
};

/* A place whose device is gone, and that a CPU may still count in. */
struct forgotten {
	uint32_t slot;
	bool waits; /* until the next device_probe_tidy() */
};

struct device_probe {
	struct devices_bpf *skel;
	struct bpf_link *witness[N_WITNESSES]; /* NULL: those that are pinned do */
	struct device_control *control;	       /* the map's memory */
	uint32_t generation;		       /* of the programs of this load */
	bool adopted, slots_are_old, has_carried, has_tcx, began_anew;
	char dir[PIN_DIR_MAX], layout[64],
		maps_dir[PIN_DIR_MAX + 65]; /* dir "": nothing is pinned */
	char why_no_hooks[512];
	int n_cpus;
	struct device_counts *values; /* room for one entry of a per-CPU map */
	struct forgotten *forgotten;
	size_t n_forgotten, forgotten_room;
};

/* Nobody is attached any more but who counts: no word of packets has to be left for others. */
void device_probe_end_turns(struct device_probe *p);

#endif
