/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_CMD_LOOP_H
#define NSLENS_CMD_LOOP_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"

/*
 * An event loop that SIGINT and SIGTERM end with status 0. Blocks those signals and ignores SIGPIPE
 * in this process.
 */
int loop_new(sd_event **ret, struct err *e);

/* End it @for_ns from now, with status 0; 0: don't. */
int loop_end_after(sd_event *loop, uint64_t for_ns, struct err *e);

#endif
