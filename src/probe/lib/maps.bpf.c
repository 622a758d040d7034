// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "abi/dgram.h"
#include "abi/figure.h"
#include "abi/layer.h"
#include "abi/record.h"

const volatile __u32 emit_wake_bytes = 1 << 20;
const volatile bool tcp_on = true, dgram_on = true, sock_on = true, sockops_on = true;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, N_LOST_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, N_FIGURES);
	__type(key, __u32);
	__type(value, __u64);
} figures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, LAYERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct layer_key);
	__type(value, struct layer_counts);
} layers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u32);
} max_rtts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SWEEP_KEYS_MAX);
	__type(key, __u32);
	__type(value, struct dgram_key);
} sweep_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 4096);
} tcp_sock_room SEC(".maps");
