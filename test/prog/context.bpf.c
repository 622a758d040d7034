// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For test_context.c: asks in_task_context() where the answer is known. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probe/lib/task.bpf.h"

__u64 n_softirq, n_softirq_wrong, n_hardirq, n_hardirq_wrong, n_send, n_send_wrong;
const volatile __u32 sender = 0;

SEC("tp_btf/softirq_entry")
int BPF_PROG(in_softirq, unsigned int vector)
{
	__sync_fetch_and_add(in_task_context() ? &n_softirq_wrong : &n_softirq, 1);
	return 0;
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(in_hardirq, struct hrtimer *timer)
{
	__sync_fetch_and_add(in_task_context() ? &n_hardirq_wrong : &n_hardirq, 1);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(in_send, struct sock *sk, int ret)
{
	struct owner o;

	if (owner_current(&o) && o.tgid == sender)
		__sync_fetch_and_add(in_task_context() ? &n_send : &n_send_wrong, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
