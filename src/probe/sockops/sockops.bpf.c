// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Callbacks of TCP that are asked for by socket: every round-trip sample, retransmissions. Watches
 * only: it answers nothing (the reply stays as it is), and leaves what other programs asked for.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "probe/lib/emit.bpf.h"
#include "probe/lib/maps.bpf.h"

enum { SOCKOPS_GO_ON = 1 };

static __always_inline void sockops_note(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	__u32 *max_us = bpf_map_lookup_elem(&max_rtts, &cookie);
	__u32 us = ctx->srtt_us >> 3;

	if (!max_us)
		bpf_map_update_elem(&max_rtts, &cookie, &us, BPF_ANY);
	else if (us > *max_us)
		*max_us = us;
}

/* The kernel takes the flags as a whole: those that are there stay. */
static __always_inline void sockops_ask(struct bpf_sock_ops *ctx)
{
	int flags = ctx->bpf_sock_ops_cb_flags;
	int wanted = flags | BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;

	if (wanted != flags)
		bpf_sock_ops_cb_flags_set(ctx, wanted);
	count_figure(FIGURE_RTT_SOCKETS);
	sockops_note(ctx); /* the handshake's */
}

SEC("sockops")
int sockops_watch(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB: sockops_ask(ctx); break;
	case BPF_SOCK_OPS_RTT_CB:
		count_figure(FIGURE_RTT_SAMPLES);
		sockops_note(ctx);
		break;
	case BPF_SOCK_OPS_RETRANS_CB: count_figure(FIGURE_RETRANSMISSIONS); break;
	}
	return SOCKOPS_GO_ON;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
