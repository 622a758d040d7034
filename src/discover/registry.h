/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DISCOVER_REGISTRY_H
#define NSLENS_DISCOVER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "discover/walk.h"
#include "model/netns.h"

/*
 * Every network namespace of the host: those on the kernel's list, also those that no process and
 * no mount holds. With an event loop it is kept current by events and costs nothing while nothing
 * happens: the kernel tells of births (a tracepoint), of deaths (RTM_DELNSID), and of mounts; the
 * list is walked then. It holds no namespace: whatever descriptor it opens is closed before the
 * function that opened it returns.
 *
 * Cookies, inodes and births are current at any time. Names are those of a moment ago: they are
 * looked for when a namespace is born, shortly after (`ip netns add` binds it to its name only
 * then), and when a mount is made or taken away in the first mount namespace. n_processes, held_by
 * and holder_pid are as old as the last netns_registry_refresh(), or younger.
 */
struct netns_registry;

struct netns_registry_options {
	sd_event *loop; /* NULL: nothing is watched, netns_registry_refresh() is all that updates */
	bool no_handles; /* do as kernels without file handles of namespaces do, for tests */
};

/* The first walk and the first look for names are done when this returns. */
int netns_registry_new(struct netns_registry **ret, const struct netns_registry_options *options,
		       struct err *e);
void netns_registry_free(struct netns_registry *r);

/* Bring everything up to date, who holds what included. Tells subscribers of what is new. */
int netns_registry_refresh(struct netns_registry *r, struct err *e);

/*
 * What a subscriber is told, in its order: born, any number of named (the best name is another, or
 * the first, or gone), died; between born and died reachable, when the namespace has an id: what
 * happens in it from then on is heard by a netlink socket with NETLINK_LISTEN_ALL_NSID. Any may be
 * NULL. The namespace is valid during the call; in died it is not in the registry any more, and has
 * the last name that it had. The registry must not be freed in the call. The struct is the
 * subscriber's, and stays until it unsubscribes.
 */
struct netns_subscriber {
	void (*born)(void *arg, const struct netns *ns);
	void (*named)(void *arg, const struct netns *ns);
	void (*died)(void *arg, const struct netns *ns);
	void (*reachable)(void *arg, const struct netns *ns, int32_t nsid);
	void *arg;
	struct netns_subscriber *next; /* the registry's */
};

/* From now on, or no more. Not from within a call to a subscriber. */
void netns_registry_subscribe(struct netns_registry *r, struct netns_subscriber *s);
void netns_registry_unsubscribe(struct netns_registry *r, struct netns_subscriber *s);

/*
 * NULL: not there (any more). Valid until control goes back to the event loop, as all that is
 * returned here.
 */
const struct netns *netns_registry_get(const struct netns_registry *r, uint64_t cookie);
/* The first (the initial one), or the one that was met after @ns; NULL: no more. */
const struct netns *netns_registry_next(const struct netns_registry *r, const struct netns *ns);
void netns_registry_count(const struct netns_registry *r, size_t *ret_covered, size_t *ret_total);

/*
 * The best name that namespace @cookie has, or the last that it had: events of a namespace may be
 * read after its name or the namespace itself is gone (that is remembered for 30 s). NULL: none
 * known. An unknown cookie is looked for as with netns_registry_note(). A hash lookup.
 */
const char *netns_registry_name(struct netns_registry *r, uint64_t cookie);

/*
 * Somebody saw @cookie: if it isn't known, walk the list soon. Cheap, may be called for every
 * event.
 */
void netns_registry_note(struct netns_registry *r, uint64_t cookie);

/*
 * A descriptor of the namespace, which keeps it alive: close it at once. -ENOENT: not there.
 * -errno: it can't be had.
 */
int netns_registry_open(struct netns_registry *r, uint64_t cookie);

/*
 * The id of namespace @cookie as seen from that which nslens lives in; -1: it has none (yet, or
 * nothing is watched). And back; NULL: no namespace that is known has that id.
 */
int32_t netns_registry_nsid(const struct netns_registry *r, uint64_t cookie);
const struct netns *netns_registry_get_nsid(const struct netns_registry *r, int32_t nsid);

/*
 * Walk now, and give all that have none an id, rather than soon; not from within a call to a
 * subscriber. Without a loop only the walk is done. -errno: the walk failed.
 */
int netns_registry_look(struct netns_registry *r, struct err *e);

/*
 * What all namespaces, and those that come, are said to be: covered, or not and @why (static
 * text).
 */
void netns_registry_set_coverage(struct netns_registry *r, bool covered, const char *why);

/*
 * All processes of this moment, by an iterator of the kernel's: about a microsecond each. Valid
 * until control goes back to the event loop.
 */
int netns_registry_tasks(struct netns_registry *r, const struct task_row **ret, size_t *ret_n,
			 struct err *e);

/* For status. Counts since the registry was made. */
struct netns_registry_health {
	uint64_t n_walks, walk_ns;     /* of the kernel's list */
	uint64_t n_surveys, survey_ns; /* of processes and mounts */
	uint64_t n_born, n_died;
	uint64_t n_overruns;	/* messages of deaths dropped by the kernel; a walk made it good */
	uint64_t n_failures;	/* walks and surveys that failed */
	char last_failure[512]; /* why the last of them did */
	char no_births[512];	/* why births are not heard of; "": they are */
	size_t n_without_id;	/* now: their death is found by looking again and again */
};

/* A copy of the figures as they are now. */
void netns_registry_get_health(const struct netns_registry *r, struct netns_registry_health *ret);

#endif
