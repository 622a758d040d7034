/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_EMIT_BPF_H
#define NSLENS_PROBE_LIB_EMIT_BPF_H

#include "probe/lib/maps.bpf.h"

/*
 * The reader drains the ring by timer; it is woken only when more than this waits: a part of the
 * ring, so that a burst fits. Set by user space.
 */
extern const volatile __u32 emit_wake_bytes;

/* One more loss of enum lost_reason @reason. */
static __always_inline void count_lost(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&lost, &reason);

	if (n)
		__sync_fetch_and_add(n, 1); /* an interrupt may lose one, too */
}

/* One more of enum figure @figure. */
static __always_inline void count_figure(__u32 figure)
{
	__u64 *n = bpf_map_lookup_elem(&figures, &figure);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* Wake the reader or not. */
static __always_inline __u64 emit_flags(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > emit_wake_bytes ? BPF_RB_FORCE_WAKEUP
									     : BPF_RB_NO_WAKEUP;
}

/*
 * Room for a record of fixed size, its header filled in; NULL and counted if the ring is full.
 * @ts_ns: CLOCK_MONOTONIC.
 */
static __always_inline void *emit_reserve_at(__u16 type, __u16 size, __u64 ts_ns)
{
	struct rec_hdr *h = bpf_ringbuf_reserve(&ring, size, 0);

	if (!h) {
		count_lost(LOST_RING_FULL);
		return NULL;
	}
	h->ts_ns = ts_ns;
	h->type = type;
	h->size = size;
	h->reserved = 0;
	return h;
}

/* The same, of this moment. */
static __always_inline void *emit_reserve(__u16 type, __u16 size)
{
	return emit_reserve_at(type, size, bpf_ktime_get_ns());
}

/* Hand over what emit_reserve() gave. */
static __always_inline void emit_submit(void *record)
{
	bpf_ringbuf_submit(record, emit_flags());
}

/*
 * Copy a record of variable length to the ring, header filled in here. Negative: full, and counted
 * as @reason.
 */
static __always_inline long emit_output(struct rec_hdr *h, __u16 type, __u32 size, __u32 reason)
{
	long err;

	h->ts_ns = bpf_ktime_get_ns();
	h->type = type;
	h->size = size;
	h->reserved = 0;
	err = bpf_ringbuf_output(&ring, h, size, emit_flags());
	if (err)
		count_lost(reason);
	return err;
}

/* So little room is left that who can wait should: the reader empties the ring, then goes on. */
static __always_inline bool emit_crowded(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
	       bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 4 * 3;
}

#endif
