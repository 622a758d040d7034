/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_PRIORITY_H
#define NSLENS_SYS_PRIORITY_H

/*
 * Let this process run ahead of others that want the same CPU, by its nice value. One that was
 * started with another one than the usual 0 keeps it, and so does one that may not.
 */
void priority_raise(void);

#endif
