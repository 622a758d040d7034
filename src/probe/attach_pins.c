// SPDX-License-Identifier: Apache-2.0
#include "probe/attach_pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/attach_worker.h"
#include "sys/bpffs.h"

/* Behind the name of a filter's pin: the qdisc was made for it. */
#define OWN_QDISC "-qdisc"

static const char *const pin_words[N_DEVICE_POINTS] = { "tcx_ingress", "tcx_egress", "xdp" };

void attach_pin_path(const char *dir, struct device_id id, enum device_point point, bool own_qdisc,
		     char ret[DEVICE_PIN_MAX])
{
	snprintf(ret, DEVICE_PIN_MAX, "%s/%" PRIu64 "-%u-%s%s", dir, id.netns_cookie, id.ifindex,
		 pin_words[point], own_qdisc ? OWN_QDISC : "");
}

int attach_pin_parse(const char *name, struct device_id *ret_id, enum device_point *ret_point)
{
	char word[32];

	if (sscanf(name, "%" SCNu64 "-%u-%31[a-z_]", &ret_id->netns_cookie, &ret_id->ifindex,
		   word) != 3)
		return -EINVAL;
	for (int i = 0; i < N_DEVICE_POINTS; i++)
		if (!strcmp(word, pin_words[i])) {
			*ret_point = (enum device_point)i;
			return 0;
		}
	return -EINVAL;
}

bool attach_pin_is_own_qdisc(const char *path)
{
	size_t len = strlen(path), word = strlen(OWN_QDISC);

	return len > word && !strcmp(path + len - word, OWN_QDISC);
}

void attach_remove_filter(const char *path, struct device_id id, enum device_point point,
			  int netns_fd, int home_fd)
{
	struct attach_job j = { .task = ATTACH_REMOVE,
				.point = point,
				.id = id,
				.netns_fd = netns_fd,
				.link_fd = -1,
				.clsact = true,
				.own_qdisc = attach_pin_is_own_qdisc(path) };
	bool way_back;

	attach_job_do(&j, home_fd, &way_back);
}

void attach_remove_filters(const char *pin_dir, int (*open_netns)(void *arg, uint64_t cookie),
			   attach_removed_fn told, void *arg)
{
	int home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), netns_fd;
	const struct dirent *entry;
	char path[DEVICE_PIN_MAX];
	enum device_point point;
	struct device_id id;
	DIR *dir;

	snprintf(path, sizeof(path), "%.180s/links", pin_dir);
	dir = opendir(path);
	while (dir && home_fd >= 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%.180s/links/%.60s", pin_dir, entry->d_name);
		if (attach_pin_parse(entry->d_name, &id, &point) ||
		    bpffs_pin_kind(path) != PIN_PROGRAM)
			continue;
		netns_fd = open_netns(arg, id.netns_cookie);
		if (netns_fd < 0)
			continue;
		attach_remove_filter(path, id, point, netns_fd, home_fd);
		told(arg, id, point);
	}
	if (dir)
		closedir(dir);
	if (home_fd >= 0)
		close(home_fd);
}
