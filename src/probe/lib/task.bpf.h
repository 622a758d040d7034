/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_PROBE_LIB_TASK_BPF_H
#define NSLENS_PROBE_LIB_TASK_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "abi/record.h"
#include "probe/lib/compat.bpf.h"

/*
 * The task that runs now. All of this works in tp_btf, cgroup_skb, cgroup/sock and
 * cgroup/sock_addr programs. It is about the process behind an event only where the event is in
 * the caller's own context: see in_task_context().
 */

/* The task itself, for reading. */
static __always_inline struct task_struct *task_current(void)
{
	return for_reading(bpf_get_current_task_btf(), struct task_struct);
}

/* Fill @o with the current process image. False (and tgid 0) for the idle task. */
static __always_inline bool owner_current(struct owner *o)
{
	struct task_struct *task = task_current();

	o->start_ns = task->group_leader->start_boottime;
	o->tgid = task->tgid;
	o->exec_id = (__u32)task->self_exec_id;
	return o->tgid != 0;
}

/* Does a thread of the kernel run, such as a worker that does what others left to it? */
static __always_inline bool task_is_kernel_thread(void)
{
	enum { PF_KTHREAD = 0x00200000 };

	return task_current()->flags & PF_KTHREAD;
}

/* The same process image? */
static __always_inline bool owner_equal(const struct owner *a, const struct owner *b)
{
	return a->tgid == b->tgid && a->start_ns == b->start_ns && a->exec_id == b->exec_id;
}

/*
 * Emit the REC_PROCESS of the current process image unless that was done already. To be called
 * before the first record that names the image. Returns 0 if user space knows or will know it;
 * negative: the ring was full, the next call tries again. Defined in probe/process/process.bpf.c.
 */
extern int process_announce_current(void);

/*
 * From the address of a CPU's run queue to that of its preempt count, in bytes; 0: unknown. User
 * space takes it from the kernel's BTF (probe/process/process.c), since kallsyms may lack data,
 * and reading kallsyms costs five times as much.
 */
extern const volatile __s64 task_preempt_count_off;

struct thread_info___arm64 {
	u64 preempt_count;
} __attribute__((preserve_access_index));

struct task_struct___net {
	void *bpf_net_context;
} __attribute__((preserve_access_index));

/*
 * Does this run on behalf of the current task: not in NMI, hard or soft interrupt? A kernel that
 * does not give away where its preempt count is shows only the soft interrupt of packet reception
 * (6.10 and later) here, and all else, timers among it, is taken for the task.
 */
static __always_inline bool in_task_context(void)
{
	/* A running soft interrupt counts 0x100; a disabled one 0x200, which is no context. */
	enum { IN_INTERRUPT = 0x00ff0100 };
	struct task_struct *task = task_current();
	__u32 count = 0;

	if (bpf_core_field_exists(struct thread_info___arm64, preempt_count)) {
		count = (__u32)BPF_CORE_READ((struct thread_info___arm64 *)&task->thread_info,
					     preempt_count);
	} else if (task_preempt_count_off && bpf_core_field_exists(task->se.cfs_rq->rq)) {
		/* The run queue of the task that runs is this CPU's. */
		bpf_probe_read_kernel(&count, sizeof(count),
				      (void *)task->se.cfs_rq->rq + task_preempt_count_off);
	} else if (bpf_core_field_exists(struct task_struct___net, bpf_net_context)) {
		return !BPF_CORE_READ((struct task_struct___net *)task, bpf_net_context);
	}
	return !(count & IN_INTERRUPT);
}

#endif
