/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_QUERY_SUBJECT_DEVICE_H
#define NSLENS_QUERY_SUBJECT_DEVICE_H

#include <stddef.h>

#include "model/device.h"
#include "query/filter.h"

/*
 * A device as a filter's subject: filter_match(f, struct device_subject). container and cgroup are
 * those of the processes that live in its namespace. Everything is borrowed during the call.
 */
struct device_subject {
	const struct device *device;
	const struct netns *netns; /* NULL: nothing but its cookie is known */
	/* Paths below the cgroup2 root, "/..."; looked at only if the filter asks for them. */
	const char *const *cgroups;
	size_t n_cgroups;
};

extern const struct filter_subject filter_subject_device;

#endif
