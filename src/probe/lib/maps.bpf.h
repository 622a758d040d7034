/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_MAPS_BPF_H
#define NSLENS_PROBE_LIB_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "abi/dgram.h"
#include "abi/figure.h"
#include "abi/layer.h"
#include "abi/record.h"

/* Maps that all probes share; defined in maps.bpf.c, joined by the BPF linker. */

/* Every record to user space. User space sets the size before load. */
extern struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

/* Losses by enum lost_reason. */
extern struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, N_LOST_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* What probes contribute beside records, by enum figure. */
extern struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, N_FIGURES);
	__type(key, __u32);
	__type(value, __u64);
} figures SEC(".maps");

/* Packets and bytes by layer; what finds no room is counted as lost. */
extern struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, LAYERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct layer_key);
	__type(value, struct layer_counts);
} layers SEC(".maps");

/* The largest smoothed round-trip time of a TCP socket in us, by its cookie, as sockops saw it. */
extern struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u32);
} max_rtts SEC(".maps");

/* The keys of a sweep: see struct sweep_args. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SWEEP_KEYS_MAX);
	__type(key, __u32);
	__type(value, struct dgram_key);
} sweep_keys SEC(".maps");

enum { TCP_SOCK_ROOM = 4096 };

/* Room for a copy of a struct tcp_sock, where it can't be read in place: see compat.bpf.h. */
extern struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, TCP_SOCK_ROOM);
} tcp_sock_room SEC(".maps");

#endif
