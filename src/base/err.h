/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_BASE_ERR_H
#define NSLENS_BASE_ERR_H

#include "base/base.h"

/*
 * The one line that a failed command prints: what failed, on what, why, what to do. Who notices
 * writes it, who decides prints it; functions in between pass it up untouched. Every function that
 * takes one fills it before it returns a negative errno.
 */
struct err {
	char text[512];
};

/* Fill @e and return -@errnum. @e may be NULL. */
int err_set(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
