/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_PROCESS_PROCESS_H
#define NSLENS_PROBE_PROCESS_PROCESS_H

#include <stdbool.h>

struct btf;
struct probes_bpf;

/*
 * Set what the process probe has to know, between open and load of the skeleton. @btf: the
 * kernel's; without (NULL) this still works, only in_task_context() is less sharp.
 */
void process_probe_configure(struct probes_bpf *skel, const struct btf *btf, bool no_args);

#endif
