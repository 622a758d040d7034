/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_DETACH_H
#define NSLENS_AGENT_DETACH_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Taking all that nslens left on a host off it: the agent, its files, its pins. */
struct detach_options {
	const char *state_dir;
	const char *pin_dir;
};

enum detached_kind {
	DETACHED_AGENT,
	DETACHED_FILE,
	DETACHED_LINK,
	DETACHED_PROGRAM,
	DETACHED_MAP,
	DETACHED_FOLDER,
	DETACHED_OTHER,
	N_DETACHED_KINDS,
};

/* "agent", "file", "link", ... */
extern const char *const detached_kind_names[N_DETACHED_KINDS];

/* A thing that is gone. */
struct detached {
	enum detached_kind kind;
	uint64_t id;	  /* pid, or the kernel's id; 0: it has none, or unknown */
	const char *path; /* of an agent, its state directory; valid during the call */
};

typedef void (*detached_fn)(void *arg, const struct detached *d);

/*
 * Asks the agent to end and waits until it has; removes a dead agent's files; unpins all below
 * pin_dir. Tells @fn of each thing as it goes. 0; -errno: what came after is still there.
 */
int detach_all(const struct detach_options *o, detached_fn fn, void *arg, struct err *e);

/* Where nslens pins, unless it is told otherwise: NSLENS_PIN_DIR, or /sys/fs/bpf/nslens. */
const char *detach_pin_dir(void);

/* Why nothing is pinned, as detach_all() found it; NULL: it was not so. Static. */
const char *detach_no_pins(const struct detach_options *o);

#endif
