/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_DEVICE_DEVICE_H
#define NSLENS_PROBE_DEVICE_DEVICE_H

#include "abi/layer.h"

/*
 * What is counted at devices, as it lies in pinned maps. Those outlive the agent, and an agent of
 * another version may find them:
 *
 * - struct device_counts grows at its end only. An agent that finds smaller or larger values than
 *   its own makes new maps and carries the counts over.
 * - struct device_turn and struct device_control are shared by the programs of all versions: they
 *   never change.
 */

struct device_key {
	__u64 netns_cookie;
	__u32 ifindex;
	__u32 reserved;
};

enum { DEVICE_RX = LAYER_RX, DEVICE_TX = LAYER_TX, N_DEVICE_WAYS = 2 };

/*
 * Of the packets of one class: skbs, as the kernel hands them on. Few stand for more than one
 * packet of the wire: how many more those are, and the bytes of their headers, which the skbs don't
 * hold.
 */
struct device_class {
	__u64 skbs, skb_bytes;
	__u64 more_packets, more_bytes;
};

/* One direction. */
struct device_way {
	struct device_class class[N_LAYER_CLASSES];
	__u64 multicast, broadcast; /* packets, by their L2 destination */
	__u64 ipv6, arp;	    /* packets */
};

/* Our programs at the device itself, as enum device_point has them. */
enum { DEVICE_HOOK_INGRESS, DEVICE_HOOK_EGRESS, DEVICE_HOOK_XDP, DEVICE_N_HOOKS };

struct device_passed {
	__u64 skbs, bytes;
};

/* Another number is another layout of the maps; a test has one. */
#ifndef DEVICE_SPARE
#define DEVICE_SPARE 2 /* whole cache lines */
#endif

/* Of one device and CPU. */
struct device_counts {
	struct device_way way[N_DEVICE_WAYS];
	struct device_passed hook[DEVICE_N_HOOKS];
	__u64 spare[DEVICE_SPARE];
};

/* Where a device's counts are. */
struct device_place {
	__u64 first_ns; /* its first packet, CLOCK_MONOTONIC */
	__u32 slot;	/* index of device_counts; DEVICE_NO_SLOT: they are in device_rest */
	__u32 reserved;
};

/* The kernel's packets from before ours were counted; user space's own. */
struct device_missed {
	__u64 packets[N_DEVICE_WAYS];
};

enum {
	DEVICE_NO_SLOT = 0xffffffff,
	DEVICE_SLOTS = 1024, /* by default; the counts of more devices are in a hash map */
	DEVICES_MAX = 65536,
	DEVICE_CACHE = 256, /* places that a CPU remembers */
};

/* A place as a CPU remembers it. */
struct device_cached {
	__u64 netns_cookie;
	__u64 ifindex_epoch; /* the index, and above it the epoch: compared at once */
	__u32 slot, reserved;
};

/*
 * The packet that this CPU's witness counted last, and where. Programs of two generations are
 * attached at once while one takes over from the other, the older one runs first; and one at
 * tcx/ingress counts what no witness did.
 */
struct device_turn {
	__u64 skb, dev;
	__u32 generation, point;
};

enum { DEVICE_TURN_RX = 1, DEVICE_TURN_TX = 2 };

struct device_control {
	__u32 generation; /* programs of older ones don't count */
	__u32 epoch;	  /* another one: what CPUs remember is out of date */
	__u64 unplaced;	  /* packets not counted: no room for another device */
	__u32 turns;	  /* not 0: somebody looks at device_turn */
	__u32 reserved;
	__u64 spare[5];
};

_Static_assert(sizeof(struct device_key) == 16, "device key");
_Static_assert(sizeof(struct device_way) == 192, "device way");
_Static_assert(sizeof(struct device_counts) == 432 + 8 * DEVICE_SPARE, "device counts");
_Static_assert(sizeof(struct device_place) == 16, "device place");
_Static_assert(sizeof(struct device_missed) == 16, "device missed");
_Static_assert(sizeof(struct device_cached) == 24, "device cached");
_Static_assert(sizeof(struct device_turn) == 24, "device turn");
_Static_assert(sizeof(struct device_control) == 64, "device control");

#endif
