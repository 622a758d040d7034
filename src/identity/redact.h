/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_REDACT_H
#define NSLENS_IDENTITY_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#define REDACTED "[redacted]"

/*
 * Split @data, a process's arguments each ended by NUL, into an array of strings, and put
 * "[redacted]" where a secret stands or may stand. @cut: the process has more than @data, so the
 * last one may be a part; "..." is appended to it. Arguments empty at the end are left out, as
 * programs that write themselves a title leave many. Returns the array (free each, and it) and
 * its length in @ret_n; NULL without arguments or without memory. doc/internals/identity.md has
 * the rules.
 */
char **redact_args(const char *data, size_t len, bool cut, unsigned int *ret_n);

#endif
