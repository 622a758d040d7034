/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_MOUNTINFO_H
#define NSLENS_SYS_MOUNTINFO_H

#include <stddef.h>

/*
 * One mount of /proc/PID/mountinfo. The strings lie in the line it was parsed from, octal escapes
 * undone.
 */
struct mount_entry {
	char *root; /* of the mount within its filesystem; of a namespace: "net:[4026531833]" */
	char *mount_point; /* relative to the reader's root */
	char *fs_type;
};

/* Parse @line, without its newline, and write into it. 0, or -EINVAL: not such a line. */
int mountinfo_parse(char *line, struct mount_entry *ret_mount);

typedef void (*mount_fn)(void *arg, const struct mount_entry *mount);

/*
 * Call @fn for each mount in the file @path; lines that don't parse are passed over. 0 or -errno.
 */
int mountinfo_read(const char *path, mount_fn fn, void *arg);

#endif
