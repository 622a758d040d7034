/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_STATUS_H
#define NSLENS_AGENT_STATUS_H

#include <sys/types.h>

#include "agent/pipeline.h"
#include "base/buf.h"

/* The health of an agent: what `nslens status` prints. */
struct agent_status {
	pid_t pid;
	uint64_t cpu_ns;	 /* of this process, since its start */
	uint64_t resident_bytes; /* VmRSS */
	unsigned int n_clients;
	uint64_t n_refused;
	struct pipeline_status pipeline;
	struct layer_rows layers;
	struct netns_registry *netns; /* the pipeline's, for names */
};

/* Fill all but the clients' figures, about this process and @p. */
void status_fill(struct agent_status *s, struct pipeline *p);
void status_fini(struct agent_status *s);

/* One screen for a person. */
void status_text(struct buf *out, const struct agent_status *s);
/* One line of JSON, as doc/json.md has it. */
void status_json(struct buf *out, const struct agent_status *s);

#endif
