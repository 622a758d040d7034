/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_PID_NAMESPACE_H
#define NSLENS_SYS_PID_NAMESPACE_H

#include <stdbool.h>

/*
 * Is this process in the host's first pid namespace, where it sees all processes under the numbers
 * that the kernel's records have? True where /proc can't tell.
 */
bool pid_namespace_is_first(void);

#endif
