/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_KERNEL_RELEASE_H
#define NSLENS_SYS_KERNEL_RELEASE_H

#define KERNEL_RELEASE(major, minor) ((unsigned int)(major) << 8 | (unsigned int)(minor))

/* The oldest one that nslens is made for. */
#define KERNEL_RELEASE_OLDEST KERNEL_RELEASE(6, 1)

/* KERNEL_RELEASE() of uname's "6.12.9-amd64"; 0: it doesn't begin like that. */
unsigned int kernel_release_parse(const char *text);

#endif
