/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_MODEL_DEVICE_H
#define NSLENS_MODEL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/netns.h"

/*
 * A net_device of any namespace: what it is, what is hooked into it, and what was counted at it,
 * ours beside the kernel's. No IO here. What is known is a flag, not a magic value: a field that
 * names a bit means something only if that is set.
 */
enum {
	DEVICE_NAME_MAX = 24,	/* IFNAMSIZ is 16; "<PF>:vf3" of what has none */
	DEVICE_KIND_MAX = 16,	/* "veth", "loopback", "physical", "vf", ... */
	DEVICE_DRIVER_MAX = 32, /* "igbvf" */
	DEVICE_BUS_MAX = 32,	/* "0000:01:10.1" */
	DEVICE_PIN_MAX = 256,
	DEVICE_WHY_MAX = 192,
};

/* A virtual function without a device: the ifindex is this | its number; the netns its PF's. */
enum { DEVICE_VF_IFINDEX = 0x80000000U };

/* The key: an ifindex is unique in its namespace, as long as the device is there. */
struct device_id {
	uint64_t netns_cookie;
	uint32_t ifindex;
};

enum device_has {
	DEVICE_UP = 1 << 0,	    /* IFF_UP */
	DEVICE_HAS_PEER = 1 << 1,   /* peer: the other end of a veth or netkit pair */
	DEVICE_HAS_LOWER = 1 << 2,  /* lower: what it stands on (macvlan, vlan, tunnel) */
	DEVICE_HAS_MASTER = 1 << 3, /* master: its bridge, bond, team, VRF; in the same namespace */
	DEVICE_HAS_PF = 1 << 4,	    /* pf: it is a virtual function of that one; vf */
	DEVICE_HAS_KERNEL = 1 << 5, /* the kernel's counters were read */
	/*
	 * It gets packets that another device has received already, from its handler: the
	 * tracepoint netif_receive_skb doesn't show them (macvlan, ipvlan, vlan, bond, team).
	 */
	DEVICE_STACKED = 1 << 6,
	DEVICE_FORWARDS = 1 << 7,     /* a bridge, a port of one, or other that hands packets on */
	DEVICE_UNOBSERVABLE = 1 << 8, /* the kernel doesn't see its packets; why says why */
};

/* The kernel's own counters, struct rtnl_link_stats64. */
struct device_kernel {
	uint64_t packets, bytes, dropped, errors;
};

/*
 * What nslens counted at a device in one direction. skbs are what the kernel hands on, packets
 * those of the wire: one skb may stand for many (GSO, GRO). Bytes begin with the L2 header.
 */
struct device_counted {
	uint64_t skbs, skb_bytes;
	uint64_t packets, bytes;
	uint64_t multicast, broadcast;	 /* packets; the rest is unicast */
	uint64_t ipv4, ipv6, arp, other; /* packets */
	uint64_t missed;		 /* kernel's packets from before we counted */
	uint64_t unobserved;		 /* kernel's since then that we did not see */
	struct device_kernel kernel;
};

enum device_point { POINT_TCX_INGRESS, POINT_TCX_EGRESS, POINT_XDP, N_DEVICE_POINTS };

enum hook_state {
	HOOK_NONE,    /* nobody wants one there */
	HOOK_WAITING, /* it will be attached, within the budget of RTNL time */
	HOOK_ATTACHED,
	HOOK_STARVED, /* attached, but another program in front of it keeps packets from it */
	HOOK_FAILED,  /* why says why */
	N_HOOK_STATES
};

/* One of our hooks at a device. */
struct device_hook {
	enum hook_state state;
	const char *mode;	  /* XDP: "native", "generic"; tcx: NULL, or "clsact" before 6.6 */
	bool removable;		  /* by the namespace's root: clsact */
	uint32_t link_id;	  /* 0: there is none */
	uint32_t prog_id;	  /* 0: there is none */
	uint32_t before_prog_id;  /* of the program that runs right before ours; 0: none */
	uint64_t since_ns;	  /* when it was attached, CLOCK_REALTIME */
	uint64_t delay_ns;	  /* from the moment that nslens heard of the device until then */
	uint64_t skbs, bytes;	  /* that it has seen */
	char pin[DEVICE_PIN_MAX]; /* "": not pinned */
	char why[DEVICE_WHY_MAX];
};

enum coverage { COVERAGE_NONE, COVERAGE_PARTIAL, COVERAGE_FULL, N_COVERAGES };

struct device {
	struct device_id id;
	unsigned int has; /* enum device_has bits */
	char name[DEVICE_NAME_MAX];
	char kind[DEVICE_KIND_MAX];
	char driver[DEVICE_DRIVER_MAX]; /* "": not known */
	char bus[DEVICE_BUS_MAX];	/* of the hardware: its PCI address; "": not known */
	uint16_t type;			/* ARPHRD_* */
	uint8_t address_bytes;		/* of its L2 address: 6, or 0 */
	uint32_t mtu;
	struct device_id peer, lower, master, pf;
	uint32_t vf;				   /* its number at its PF */
	uint32_t n_vfs;				   /* that it has itself */
	uint32_t xdp_prog_id;			   /* of whoever's XDP program at it; 0: none */
	uint64_t heard_ns;			   /* CLOCK_MONOTONIC; 0: it is older than nslens */
	struct device_kernel kernel_rx, kernel_tx; /* as they were read last */
};

/* A line of `nslens devices`. Borrowed pointers are valid while the row is shown. */
struct device_row {
	const struct device *device;
	const struct netns *netns;
	/* Of the related devices, as far as they are known; else NULL. */
	const struct device *peer, *lower, *master, *pf;
	const struct netns *peer_netns, *lower_netns, *pf_netns;
	enum coverage coverage;
	char why[DEVICE_WHY_MAX]; /* why it isn't full; "": it is */
	bool counted;		  /* rx and tx have figures of ours */
	struct device_counted rx, tx;
	struct device_hook hooks[N_DEVICE_POINTS];
};

/* It is attached, whoever comes before it. */
static inline bool device_hook_is_there(const struct device_hook *h)
{
	return h->state == HOOK_ATTACHED || h->state == HOOK_STARVED;
}

/* "tcx/ingress", "tcx/egress", "xdp"; "none", "waiting", ...; "none", "partial", "full". */
extern const char *const device_point_names[N_DEVICE_POINTS];
extern const char *const hook_state_names[N_HOOK_STATES];
extern const char *const coverage_names[N_COVERAGES];

#endif
