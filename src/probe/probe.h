/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_PROBE_H
#define NSLENS_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/dgram.h"
#include "abi/figure.h"
#include "abi/record.h"
#include "base/err.h"
#include "model/device.h"
#include "model/layer.h"

/*
 * Facts from the kernel: loads and attaches the probes, and hands every record out of the ring to
 * one function. The probes' links die with the process: nothing stays behind, also after SIGKILL.
 */
struct probes;

/* Takes one record; it is valid during the call. */
typedef void (*record_fn)(void *arg, const struct rec_hdr *rec, size_t size);

/* A probe as a user knows it: some BPF programs that are loaded and attached together. */
struct probe_info {
	const char *name;
	const char *gives;	     /* what is missing without it */
	const char *const *programs; /* NULL-terminated */
	const char *const *instead;  /* where the kernel doesn't take those; NULL: there are none */
	const char *of;		     /* the probe that it adds to; NULL: it stands for itself */
	uint32_t records;	     /* what it emits: bits by enum rec_type */
	bool needs_cgroup;
	bool by_default; /* there unless it is turned off, rather than only if it is turned on */
	bool in_agent;	 /* by default in `nslens run` */
	bool apart; /* it has an object of its own, and who opens this one opens that: devices.h */
};

/* NULL-terminated by name. */
extern const struct probe_info probe_table[];
/* Of the row @i; NULL behind the last. */
const char *probe_name(size_t i);

struct probe_options {
	uint32_t with, without; /* probes, bits by row: those by default and with, but without */
	bool no_args;		/* leave processes' arguments alone */
	bool chosen_devices;	/* device flows only where probes_devflow_select() says so */
	uint32_t ring_bytes;	/* power of two and pages; 0: the default, 4 MiB */
	uint32_t max_sockets;	/* TCP, half as many UDP flows; 0: the default, 131072 */
	record_fn record;
	void *arg;
};

/* State of one probe, for status. */
struct probe_state {
	const struct probe_info *info;
	bool attached;
	bool off;	     /* it was not asked for */
	const char *why_not; /* the probes' own; NULL if attached or off */
	const char *instead; /* why other programs stand in for its first; NULL: they don't */
	uint64_t n_records;
	uint64_t figures[N_FIGURES]; /* those of others are 0 */
	uint64_t run_count;	     /* 0 unless the kernel keeps BPF statistics */
	uint64_t run_ns;
};

struct probe_memory {
	uint64_t map_bytes; /* the maps' memlock figures */
	uint64_t n_sockets; /* entries in the socket maps; UINT64_MAX: not counted */
};

/* Is the probe of that name asked for, by options @with and @without? */
bool probe_is_wanted(uint32_t with, uint32_t without, const char *name);

/*
 * Load, attach and adopt nothing yet. A probe that the kernel refuses is left out and says why in
 * its state; without the TCP probe it is an error.
 */
int probes_open(const struct probe_options *options, struct probes **ret, struct err *e);
void probes_close(struct probes *p);

/* Take over sockets that are older than the probes; once, after the first output. */
int probes_adopt(struct probes *p, struct err *e);

/* Hand the records that wait at this moment to the record function; their number or -errno. */
int probes_drain(struct probes *p);
/*
 * Have the kernel side emit the open of TCP connections that were opened before the last call, and
 * are open still. (Of others the last record is the only one.)
 */
void probes_tell_opened(struct probes *p);
/* Readable when a burst fills the ring faster than a timer's pace would empty it. */
int probes_fd(const struct probes *p);

/* Told of one that the kernel side does not know. */
typedef void (*gone_fn)(void *arg, const struct dgram_key *key);

/* What to sweep. */
struct probe_sweep {
	const struct dgram_key *keys; /* sockets and flows */
	size_t n;
	uint64_t dgram_idle_ns; /* a datagram flow is over after so long without a datagram */
};

/*
 * Have the kernel side emit updates of what changed among these, and end what is idle; the records
 * are handed over before this returns. What it did not know is told to @gone, after all records
 * that were emitted until then. 0 or -errno.
 */
int probes_sweep(struct probes *p, const struct probe_sweep *sweep, gone_fn gone, void *arg);
/* The same among all that the kernel side knows: costs by the size of its maps. */
int probes_sweep_all(struct probes *p, uint64_t dgram_idle_ns);

/*
 * Device flows. A turn: what passes devices from now on is counted apart from what did until now,
 * which is emitted and handed over by a collect, 20 ms or more after the turn. 0 or -errno.
 */
void probes_devflow_turn(struct probes *p);
int probes_devflow_collect(struct probes *p);
/* Are flows at this device wanted? Where all are (see chosen_devices), this changes nothing. */
int probes_devflow_select(struct probes *p, const struct device_id *id, bool on);

/* So many datagram flows find room in the kernel's map. */
size_t probes_dgram_room(const struct probes *p);

/*
 * Take a datagram flow out of the kernel's map, with its last figures. -ENOENT: not there. -EAGAIN:
 * left there, for it received more than @max_rx_packets.
 */
int probes_take_dgram(struct probes *p, const struct dgram_key *key, uint64_t max_rx_packets,
		      struct dgram_flow *ret);

/* Records lost on the kernel's side since open, by enum lost_reason. */
void probes_lost(const struct probes *p, uint64_t ret_lost[N_LOST_REASONS]);
/* Figure @i of the probe named @probe: its name as status shows it; NULL: it is another's. */
const char *probe_figure_name(const char *probe, enum figure i);
/* "ring_full", ... */
const char *lost_reason_name(enum lost_reason reason);

/* Append what the probes counted by layer. -ENOMEM. */
int probes_layers(const struct probes *p, struct layer_rows *ret);
/* The same of those namespaces that are @gone, which are forgotten here. */
int probes_take_layers(struct probes *p, bool (*gone)(void *arg, uint64_t netns_cookie), void *arg,
		       struct layer_rows *ret);

/* Of a probe that is apart: it can't be there. */
void probes_set_absent(struct probes *p, const char *name, const char *why);

/* Fill up to @max states, return how many there are. */
size_t probes_states(const struct probes *p, struct probe_state *ret, size_t max);
void probes_memory(const struct probes *p, struct probe_memory *ret);

#endif
