// SPDX-License-Identifier: Apache-2.0
#include "sys/pid_namespace.h"

#include <sys/stat.h>

/* PROC_PID_INIT_INO of the kernel: part of its user-space interface, CRIU and others rely on it. */
enum { FIRST_PID_NAMESPACE_INODE = 0xEFFFFFFC };

bool pid_namespace_is_first(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == (ino_t)FIRST_PID_NAMESPACE_INODE;
}
