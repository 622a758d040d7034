/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_BPF_OBJECT_H
#define NSLENS_SYS_BPF_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf.h>

/* What the kernel tells of BPF objects, by their descriptors. */

/* The kernel's own figure for the memory of a map, or 0. */
uint64_t bpf_map_memlock(int map_fd);

/* 0 or -errno; what the kernel doesn't fill is 0. */
int bpf_map_info_of(int map_fd, struct bpf_map_info *ret);
int bpf_prog_info_of(int prog_fd, struct bpf_prog_info *ret);
int bpf_link_info_of(int link_fd, struct bpf_link_info *ret);

/*
 * A descriptor of the program behind a link, of the map or the program with an id; the caller's.
 * -errno.
 */
int bpf_link_open_prog(int link_fd);

/* Does the program use this map? */
bool bpf_prog_uses_map(int prog_fd, uint32_t map_id);

/* Do both do the same with the same maps? (By their tags, and by whether both use @map_id.) */
bool bpf_progs_are_alike(int a_fd, int b_fd, uint32_t map_id);

#endif
