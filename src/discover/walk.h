/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_DISCOVER_WALK_H
#define NSLENS_DISCOVER_WALK_H

#include "abi/record.h"

/* One network namespace on the kernel's list. */
struct netns_row {
	__u64 cookie;
	__u64 ns_id; /* what a file handle of it is made of; 0: this kernel has none */
	__u32 inode;
	__u32 dying; /* nobody holds it any more, the kernel is about to take it down */
};

/* A thread: each leader, and those that live elsewhere than their leader. */
struct task_row {
	__u64 netns_cookie;
	__u64 cgroup_id; /* in the cgroup2 hierarchy */
	__u64 root_id;	 /* two with the same mnt_inode and root_id see the same mounts */
	__u32 mnt_inode;
	__u32 pid; /* thread id in the first pid namespace */
	__u32 tgid;
	__u32 reserved;
};

enum held_kind { HELD_DESCRIPTOR = 1, HELD_SOCKET = 2 };

/* A descriptor that holds a network namespace; of several alike in one process, the first. */
struct held_row {
	__u64 netns_cookie;
	__u32 tgid;
	__u32 fd;
	__u32 kind; /* enum held_kind */
	__u32 reserved;
};

/* Woken when a namespace is about to be born; it is on the list about a millisecond later. */
struct birth_row {
	__u64 ts_ns; /* CLOCK_MONOTONIC */
};

_Static_assert(sizeof(struct netns_row) == 24, "namespace row");
_Static_assert(sizeof(struct task_row) == 40, "task row");
_Static_assert(sizeof(struct held_row) == 24, "holder row");
_Static_assert(sizeof(struct birth_row) == 8, "birth row");

#endif
