/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_DEVICE_MESSAGE_H
#define NSLENS_DISCOVER_DEVICE_MESSAGE_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/device.h"

/* What RTM_NEWLINK and RTM_DELLINK say. Pure: nothing is looked up. */

/*
 * The device that another one stands on, or is paired with. Ids of namespaces are those of whoever
 * asked, or, where nobody did, those of the namespace that the device is in.
 */
struct device_link {
	uint32_t ifindex; /* 0: there is none */
	bool foreign;	  /* in another namespace: nsid */
	int32_t nsid;
};

struct device_message {
	bool deleted;
	bool moved; /* deleted here: it went to another namespace, as new_ifindex */
	int32_t new_nsid;
	uint32_t new_ifindex;
	/*
	 * Cookies, peer, lower and pf are not filled in. kind of what is no virtual device is
	 * "loopback", "physical" (it has hardware behind it) or "other".
	 */
	struct device dev;
	struct device_link link;
	bool paired;			/* link is a peer, not a lower device */
	bool has_vfs;			/* dev.n_vfs is known: only if it was asked for */
	char bus_name[DEVICE_KIND_MAX]; /* of the bus that dev.bus is on: "pci"; "": no hardware */
};

/*
 * Read message @h, all of which lies in memory. -EBADMSG: not one of a device (those that bridges
 * send about their ports are not), or broken.
 */
int device_message_parse(const struct nlmsghdr *h, struct device_message *ret);

/* What the PF counted for one of its virtual functions, as seen by that function. */
struct device_vf {
	uint32_t vf;
	struct device_kernel rx, tx;
};

/* Call @fn for each virtual function in @h that has counters. */
typedef void (*device_vf_fn)(void *arg, const struct device_vf *vf);
void device_message_each_vf(const struct nlmsghdr *h, device_vf_fn fn, void *arg);

#endif
