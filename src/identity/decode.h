/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_DECODE_H
#define NSLENS_IDENTITY_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "abi/process.h"
#include "model/process.h"

/*
 * Records of the process probe to what they mean. No IO. A record that is cut short, too long, or
 * holds a length that does not fit is -EBADMSG.
 */

/* A new image with one reference; its cgroup is not filled in. */
int decode_process(const struct rec_hdr *rec, size_t size, bool take_args, struct process **ret);

/* Id, and the path in the record; @ret_len 0: it was too long for the record. */
int decode_cgroup(const struct rec_hdr *rec, size_t size, const struct rec_cgroup **ret_rec,
		  const char **ret_path);

#endif
