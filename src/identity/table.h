/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_IDENTITY_TABLE_H
#define NSLENS_IDENTITY_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/record.h"
#include "base/err.h"
#include "model/process.h"

/*
 * Who: process images by (pid, start, exec), and the cgroups they are in. Filled from the
 * kernel's records (REC_PROCESS, REC_CGROUP); what they lack, and processes older than the agent,
 * are read from /proc once, when first asked for. An image outlives its process as long as
 * somebody holds a reference, and for a grace period (30 s) and a bound (a number of images)
 * otherwise.
 */
struct process_table;

struct process_table_options {
	bool no_args;	       /* never read or keep arguments */
	unsigned int max_idle; /* images kept that nobody references; 0: default 8192 */
	const char *proc_root; /* where /proc is mounted; NULL: "/proc" */
};

/* Also finds the cgroup2 mount and scans its tree for the paths of the cgroups that exist. */
int process_table_new(const struct process_table_options *options, struct process_table **ret,
		      struct err *e);
void process_table_free(struct process_table *t);

/* Take a REC_PROCESS or REC_CGROUP record. A bad one is -EBADMSG and changes nothing. */
int process_table_record(struct process_table *t, const struct rec_hdr *rec, size_t size);

/*
 * The image of @owner; NULL if tgid is 0. Where no record told of it, it is read from /proc if
 * the process still lives and its start agrees; else an image with nothing but pid and start. The
 * caller's reference: process_unref().
 */
struct process *process_table_get(struct process_table *t, const struct owner *owner);

/* The path of a cgroup by its id; NULL: not known. Valid until the next call. */
const char *process_table_cgroup(struct process_table *t, uint64_t id);

/* Let go of images whose time is over. @now_ns: CLOCK_MONOTONIC. Call about once a second. */
void process_table_expire(struct process_table *t, uint64_t now_ns);

/* For status: images held, bytes they take, with the paths of cgroups. */
void process_table_usage(const struct process_table *t, uint64_t *ret_images, uint64_t *ret_bytes);

#endif
