/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_ATTACH_PINS_H
#define NSLENS_PROBE_ATTACH_PINS_H

#include <stdbool.h>

#include "model/device.h"

/*
 * The pins of hooks: COOKIE-IFINDEX-POINT in the folder links. Of tcx and XDP that is the link. A
 * filter of clsact has none: there its program is pinned, for who takes it off, with "-qdisc"
 * behind the name where nslens made the qdisc.
 */

/* The path of a pin in @dir, which is short enough: PINS_DIR_MAX. */
enum { PIN_NAME_MAX = 63, PINS_DIR_MAX = DEVICE_PIN_MAX - PIN_NAME_MAX - 1 };
void attach_pin_path(const char *dir, struct device_id id, enum device_point point, bool own_qdisc,
		     char ret[DEVICE_PIN_MAX]);
/* 0; -EINVAL: not the name of a pin. */
int attach_pin_parse(const char *name, struct device_id *ret_id, enum device_point *ret_point);
/* Does the path say that the qdisc was made by nslens? */
bool attach_pin_is_own_qdisc(const char *path);

/* Take the filter that is pinned at @path off its device. @netns_fd is closed here. */
void attach_remove_filter(const char *path, struct device_id id, enum device_point point,
			  int netns_fd, int home_fd);

/*
 * Before 6.6: take filters of clsact off, which don't go with their pins, and their qdiscs. @told
 * of each. For `nslens detach`.
 */
typedef void (*attach_removed_fn)(void *arg, struct device_id id, enum device_point point);
void attach_remove_filters(const char *pin_dir, int (*open_netns)(void *arg, uint64_t cookie),
			   attach_removed_fn told, void *arg);

#endif
