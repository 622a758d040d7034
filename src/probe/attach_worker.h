/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_PROBE_ATTACH_WORKER_H
#define NSLENS_PROBE_ATTACH_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "model/device.h"

/*
 * A thread that attaches, detaches and looks, since that has to be done in the device's namespace
 * and may wait for RTNL: one job at a time, the result on the event loop.
 */
struct attach_worker;

enum attach_task { ATTACH_MAKE, ATTACH_REMOVE, ATTACH_LOOK };

struct attach_job {
	enum attach_task task;
	enum device_point point;
	struct device_id id;
	int netns_fd;	  /* MAKE, LOOK, and REMOVE of a clsact filter; else -1. Closed here */
	int prog_fd;	  /* MAKE: borrowed */
	int link_fd;	  /* REMOVE: the last descriptor, closed here; -1: a clsact filter */
	uint32_t link_id; /* LOOK: ours */
	uint32_t prog_id; /* LOOK: ours */
	uint32_t xdp_id;  /* LOOK: our XDP program at the device; 0: none */
	bool last;	  /* MAKE: behind others' programs */
	bool generic;	  /* MAKE, XDP: the kernel's own will do */
	bool clsact;	  /* tcx is not there; REMOVE: it is such a filter */
	bool own_qdisc;	  /* MAKE of such a filter: we made its qdisc; REMOVE: we had, it may go */

	/* Results. */
	int err;	    /* 0 or -errno */
	int made_fd;	    /* MAKE: the link; the receiver's; -1: a clsact filter */
	const char *mode;   /* MAKE: as struct device_hook has it */
	bool there;	    /* LOOK: our link is at the hook, with our program */
	uint32_t before_id; /* LOOK: the program that runs right before ours; 0: none */
	uint64_t took_ns;
};

typedef void (*attach_done_fn)(void *arg, const struct attach_job *job);

/* Start the thread; @done is called from the loop. */
int attach_worker_new(sd_event *loop, attach_done_fn done, void *arg, struct attach_worker **ret,
		      struct err *e);
/* Waits for the job that is under way. NULL is fine. */
void attach_worker_free(struct attach_worker *w);

/* -EBUSY: another job is under way. On error the job's descriptors are the caller's still. */
int attach_worker_give(struct attach_worker *w, const struct attach_job *job);
bool attach_worker_is_busy(const struct attach_worker *w);

/* Do a job here and now, in this thread, which is home in the namespace of @home_fd. */
void attach_job_do(struct attach_job *job, int home_fd, bool *ret_way_back);

#endif
