/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef NSLENS_ABI_PROCESS_H
#define NSLENS_ABI_PROCESS_H

#include "abi/record.h"

/*
 * Records about who: written by probe/process, read by identity. Both are of variable length: the
 * struct, then bytes whose lengths the struct holds; hdr.size is the sum of all.
 *
 * A path of a file comes as its names, leaf first, each with its NUL: "curl\0bin\0usr\0" is
 * /usr/bin/curl. That is the order in which the kernel's dentries are linked. An empty path is
 * unknown.
 */
enum {
	PROCESS_PATH_MAX =
		1024, /* bytes of one path's names; beyond, the part near the root is left out */
	PROCESS_PATH_NAMES = 64, /* names and mounts on the way to the root; likewise */
	PROCESS_NAME_MAX = 256,	 /* one name with its NUL, the kernel's limit */
	PROCESS_ARGS_MAX = 512,
	CGROUP_PATH_MAX = 1024,
};

enum process_flags {
	PROCESS_EXE_CUT = 1 << 0, /* the part of the path near the root is not there */
	PROCESS_PARENT_EXE_CUT = 1 << 1,
	PROCESS_KERNEL_THREAD = 1 << 2, /* has neither executable nor arguments */
	PROCESS_NO_ARGS = 1 << 3,	/* arguments turned off, or not in memory at that moment */
};

/*
 * Then exe_len bytes of names, parent_exe_len bytes of names, args_len bytes: NUL-terminated
 * arguments.
 */
struct rec_process {
	struct rec_hdr hdr;
	struct owner owner;
	struct owner parent;	/* tgid 0: none */
	__u64 cgroup_id;	/* in the cgroup2 hierarchy */
	__u32 uid;		/* effective, in the first user namespace */
	__u32 pid_in_namespace; /* of the process, in its own (innermost) pid namespace */
	char comm[16];		/* NUL-terminated */
	__u32 args_total;	/* what the process has; above args_len: cut */
	__u16 exe_len, parent_exe_len, args_len;
	__u16 flags; /* enum process_flags */
	__u32 reserved;
};

enum cgroup_happened { CGROUP_MADE = 1, CGROUP_REMOVED = 2 };

/* Then path_len bytes: the path below the root of the cgroup2 hierarchy, "/a/b", no NUL. */
struct rec_cgroup {
	struct rec_hdr hdr;
	__u64 id;
	__u16 happened; /* enum cgroup_happened */
	__u16 path_len; /* 0: longer than CGROUP_PATH_MAX */
	__u32 reserved;
};

_Static_assert(sizeof(struct rec_process) == 96, "process record");
_Static_assert(sizeof(struct rec_cgroup) == 32, "cgroup record");

#endif
