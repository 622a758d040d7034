/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_DEVFLOW_DEVFLOW_H
#define NSLENS_PROBE_DEVFLOW_DEVFLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/devflow.h"
#include "model/device.h"

/* The probe of device flows, for probe/probe.c: what it needs beside its programs. */

struct probes_bpf;

/* Before the load: is it @on, and at every device or only at those that were selected? */
int devflow_configure(struct probes_bpf *skel, bool on, bool everywhere);

/* Have the kernel side count in the other table from now on. */
void devflow_turn(struct probes_bpf *skel);
/*
 * Emit what @cpu counted in the table of the turn before, from @from on: where to go on after the
 * ring was emptied, DEVFLOW_SWEPT, or -errno.
 */
int devflow_sweep(struct probes_bpf *skel, uint32_t cpu, uint32_t from);

/* Are flows of this device wanted? 0 or -errno; -E2BIG: no more than 2,048 devices can be. */
int devflow_select(struct probes_bpf *skel, const struct device_id *id, bool on);

#endif
