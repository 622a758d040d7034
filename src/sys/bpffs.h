/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_SYS_BPFFS_H
#define NSLENS_SYS_BPFFS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* What is pinned in a BPF filesystem. */
enum pin_kind { PIN_LINK, PIN_PROGRAM, PIN_MAP, PIN_FOLDER, PIN_OTHER, N_PIN_KINDS };

struct pin {
	enum pin_kind kind;
	uint32_t id;	  /* the kernel's; 0: it has none */
	const char *path; /* valid during the call */
	/*
	 * The kernel took the link off its hook at once, whoever else holds it; other links are off
	 * when the last one who holds them is gone.
	 */
	bool detached;
};

typedef void (*pin_fn)(void *arg, const struct pin *pin);

enum bpffs_state {
	BPFFS_THERE,  /* the folder is one of a BPF filesystem */
	BPFFS_EMPTY,  /* there is a BPF filesystem around it, and no such folder */
	BPFFS_ABSENT, /* there is no BPF filesystem */
	BPFFS_OTHER,  /* the folder is one of another filesystem */
};

/* What @folder is; or -errno. */
int bpffs_look(const char *folder);

/*
 * Make sure that @folder can be in a BPF filesystem: where it is below /sys/fs/bpf and none is
 * mounted there, as on a host without systemd, mount it. The folder itself is not made.
 */
int bpffs_prepare(const char *folder, struct err *e);

/*
 * Have @folder, which is there, for oneself as long as the descriptor is open, which is returned.
 * -EBUSY: another process has it.
 */
int bpffs_lock(const char *folder, struct err *e);

/*
 * Detach and unpin all below @folder, and @folder itself, which must be BPFFS_THERE. Tells @fn,
 * which may be NULL, of each thing that is gone. 0, or -errno at the first one that can't be
 * removed.
 */
int bpffs_remove(const char *folder, pin_fn fn, void *arg, struct err *e);

/* What is pinned at @path; PIN_OTHER: nothing, or none of these. */
enum pin_kind bpffs_pin_kind(const char *path);

/* Is there a link of this id, whoever holds it? Needs CAP_SYS_ADMIN, else it says no. */
bool bpf_link_exists(uint32_t id);

#endif
