// SPDX-License-Identifier: Apache-2.0
#include "sys/bpf_object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

enum { MAPS_MAX = 64 };

uint64_t bpf_map_memlock(int map_fd)
{
	char path[64], line[128];
	uint64_t bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map_fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %" SCNu64, &bytes) == 1)
			break;
	if (f)
		fclose(f);
	return bytes;
}

int bpf_map_info_of(int map_fd, struct bpf_map_info *ret)
{
	__u32 len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(map_fd, ret, &len) ? -errno : 0;
}

int bpf_prog_info_of(int prog_fd, struct bpf_prog_info *ret)
{
	__u32 len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(prog_fd, ret, &len) ? -errno : 0;
}

int bpf_link_info_of(int link_fd, struct bpf_link_info *ret)
{
	__u32 len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(link_fd, ret, &len) ? -errno : 0;
}

int bpf_link_open_prog(int link_fd)
{
	struct bpf_link_info info;
	int err = bpf_link_info_of(link_fd, &info), fd;

	if (err)
		return err;
	fd = bpf_prog_get_fd_by_id(info.prog_id);
	return fd < 0 ? -errno : fd;
}

bool bpf_prog_uses_map(int prog_fd, uint32_t map_id)
{
	__u32 ids[MAPS_MAX], len;
	struct bpf_prog_info info = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids };

	len = sizeof(info);
	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len))
		return false;
	for (__u32 i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++)
		if (ids[i] == map_id)
			return true;
	return false;
}

bool bpf_progs_are_alike(int a_fd, int b_fd, uint32_t map_id)
{
	struct bpf_prog_info a, b;

	return !bpf_prog_info_of(a_fd, &a) && !bpf_prog_info_of(b_fd, &b) &&
	       !memcmp(a.tag, b.tag, sizeof(a.tag)) && bpf_prog_uses_map(a_fd, map_id) &&
	       bpf_prog_uses_map(b_fd, map_id);
}
