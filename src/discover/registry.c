// SPDX-License-Identifier: Apache-2.0
#include "discover/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "discover/kernel.h"
#include "discover/nsid.h"
#include "discover/survey.h"
#include "discover/table.h"
#include "sys/mountinfo.h"

/*
 * When what is done. Each job keeps apart from its last run as many times as that took: it takes a
 * bounded share.
 */
enum {
	BIRTH_WALK_MS = 2, /* a namespace is on the list about 1 ms after its birth was told */
	BIRTH_WALK_MAX_MS = 256, /* not there by then: it came to nothing, or died */
	DEATH_WALK_MS = 1,	 /* deaths come in batches */
	NOTE_WALK_MS = 5,
	DYING_WALK_MS = 40,	  /* of those without an id, whose death nobody tells */
	DYING_WALK_MAX_MS = 1000, /* the same, where it won't die */
	POLL_MS = 50,		  /* where the kernel doesn't tell */
	FAILED_MS = 1000,
	WALK_SHARE = 8,
	MOUNT_SURVEY_MS = 3,
	BIRTH_SURVEY_MS = 20, /* `ip netns add` has bound it by then */
	LATE_SURVEY_MS = 300, /* and slower ones by then */
	SURVEY_SHARE = 20,
	GIVE_IDS_AT_ONCE = 512,
	REMEMBER_MS = 30000,
	REMEMBER_MAX = 4096,
};

/* A namespace that is gone, for events that are read late. */
struct departed {
	uint64_t cookie, died_ns;
	char *name;
	UT_hash_handle hh;
};

/* A thing to be done once, at some time. */
struct job {
	sd_event_source *timer;
	uint64_t due_ns;      /* 0: not to be done */
	uint64_t earliest_ns; /* not before */
};

struct netns_registry {
	struct netns_kernel *kernel;
	struct nsid *nsid; /* NULL: nothing is watched */
	struct netns_table table;
	struct departed *departed;
	struct netns_subscriber *subscribers;
	struct job walk, survey, ids;
	sd_event *loop;
	sd_event_source *births, *deaths, *mounts;
	int mounts_fd;
	char mounts_path[32];
	uint64_t mounts_hash;
	unsigned int walk_no;
	unsigned int poll_ms;	/* 0: births and deaths are told */
	unsigned int n_awaited; /* births that were told of and not met yet */
	unsigned int birth_ms;	/* how long to wait for them until the next walk */
	bool handles;
	bool covered;
	const char *not_covered_why;
	struct netns_registry_health health;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* --- jobs --- */

/* Do it @after_ms from now, or earlier if that was asked before. */
static void job_in(struct job *j, unsigned int after_ms)
{
	uint64_t due_ns = now_ns() + after_ms * NS_PER_MS;

	if (due_ns < j->earliest_ns)
		due_ns = j->earliest_ns;
	if (!j->timer || (j->due_ns && j->due_ns <= due_ns))
		return;
	j->due_ns = due_ns;
	sd_event_source_set_time(j->timer, due_ns / 1000);
	sd_event_source_set_enabled(j->timer, SD_EVENT_ONESHOT);
}

/* It was done; it took since @begin_ns. */
static uint64_t job_done(struct job *j, uint64_t begin_ns, unsigned int share)
{
	uint64_t end_ns = now_ns();

	j->earliest_ns = end_ns + share * (end_ns - begin_ns);
	return end_ns - begin_ns;
}

/* --- subscribers --- */

static void tell_born(struct netns_registry *r, const struct netns *ns)
{
	for (struct netns_subscriber *s = r->subscribers; s; s = s->next)
		if (s->born)
			s->born(s->arg, ns);
}

static void tell_died(struct netns_registry *r, const struct netns *ns)
{
	for (struct netns_subscriber *s = r->subscribers; s; s = s->next)
		if (s->died)
			s->died(s->arg, ns);
}

static void tell_named(void *arg, struct netns_entry *en)
{
	struct netns_registry *r = arg;
	const char *name = netns_name(&en->ns);

	if (name && (!en->last_name || strcmp(en->last_name, name))) {
		free(en->last_name);
		en->last_name = strdup(name);
	}
	for (struct netns_subscriber *s = r->subscribers; s; s = s->next)
		if (s->named)
			s->named(s->arg, &en->ns);
}

void netns_registry_subscribe(struct netns_registry *r, struct netns_subscriber *s)
{
	s->next = r->subscribers;
	r->subscribers = s;
}

void netns_registry_unsubscribe(struct netns_registry *r, struct netns_subscriber *s)
{
	struct netns_subscriber **at = &r->subscribers;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
}

/* --- those that are gone --- */

static void departed_free(struct netns_registry *r, struct departed *d)
{
	HASH_DEL(r->departed, d);
	free(d->name);
	free(d);
}

/* The hash is in the order of death. */
static void forget_departed(struct netns_registry *r, uint64_t now)
{
	while (r->departed && (HASH_COUNT(r->departed) > REMEMBER_MAX ||
			       r->departed->died_ns + REMEMBER_MS * NS_PER_MS < now))
		departed_free(r, r->departed);
}

static void remember_departed(struct netns_registry *r, struct netns_entry *en, uint64_t now)
{
	struct departed *d = calloc(1, sizeof(*d));

	if (!d)
		return;
	d->cookie = en->ns.cookie;
	d->died_ns = now;
	d->name = en->last_name;
	en->last_name = NULL;
	HASH_ADD(hh, r->departed, cookie, sizeof(d->cookie), d);
}

static void note_failure(struct netns_registry *r, const char *text)
{
	r->health.n_failures++;
	snprintf(r->health.last_failure, sizeof(r->health.last_failure), "%s", text);
}

/* --- ids --- */

static void tell_reachable(struct netns_registry *r, const struct netns_entry *en)
{
	for (struct netns_subscriber *s = r->subscribers; s; s = s->next)
		if (s->reachable)
			s->reachable(s->arg, &en->ns, en->nsid);
}

static void give_id(struct netns_registry *r, struct netns_entry *en)
{
	int err, fd = netns_entry_open(en, r->handles);
	int32_t nsid;

	en->nsid_wanted = false;
	err = fd < 0 ? fd : nsid_give(r->nsid, fd, &nsid);
	if (fd >= 0)
		close(fd);
	if (err) {
		en->n_tries++;
		return;
	}
	netns_table_set_nsid(&r->table, en, nsid);
	tell_reachable(r, en);
}

/* Look again for those whose death nobody will tell, less often the longer they last. */
static unsigned int recheck_ms(const struct netns_entry *en)
{
	unsigned int doublings = en->n_tries < 6 ? en->n_tries - 1 : 5;

	if (DYING_WALK_MS << doublings > DYING_WALK_MAX_MS)
		return DYING_WALK_MAX_MS;
	return DYING_WALK_MS << doublings;
}

/* A part at a time, lest a host with many namespaces stop the loop. */
static void give_ids(struct netns_registry *r)
{
	struct netns_entry *en = NULL;
	unsigned int n_given = 0;

	while ((en = netns_table_next(&r->table, en))) {
		if (en->nsid_wanted && n_given++ < GIVE_IDS_AT_ONCE)
			give_id(r, en);
		if (en->nsid_wanted)
			job_in(&r->ids, 0);
		else if (!en->has_nsid)
			job_in(&r->walk, recheck_ms(en));
	}
}

/* --- the walk --- */

static int meet(struct netns_registry *r, const struct netns_row *row, struct err *e)
{
	struct netns_entry *en = netns_table_get(&r->table, row->cookie);

	if (!en) {
		en = netns_table_add(&r->table, row);
		if (!en)
			return err_set(e, ENOMEM, "out of memory");
		en->fresh = true;
		en->seen_ns = now_ns();
		en->ns.covered = r->covered;
		en->ns.not_covered_why = r->not_covered_why;
	}
	en->ns.dying = row->dying;
	en->nsid_wanted = !en->has_nsid;
	en->walk = r->walk_no;
	return 0;
}

/* Its name was taken away before it died, as a rule: it dies with the last that it had. */
static void restore_name(struct netns_entry *en)
{
	char **names;

	if (en->ns.n_names || !en->last_name)
		return;
	names = calloc(1, sizeof(*names));
	if (names)
		names[0] = strdup(en->last_name);
	if (!names || !names[0]) {
		free(names);
		return;
	}
	free(en->ns.names);
	en->ns.names = names;
	en->ns.n_names = 1;
}

static void bury(struct netns_registry *r)
{
	struct netns_entry *en = netns_table_next(&r->table, NULL), *next;
	uint64_t now = now_ns();

	for (; en; en = next) {
		next = netns_table_next(&r->table, en);
		if (en->walk == r->walk_no)
			continue;
		netns_table_remove(&r->table, en);
		restore_name(en);
		remember_departed(r, en, now);
		r->health.n_died++;
		tell_died(r, &en->ns);
		netns_entry_free(en);
	}
	forget_departed(r, now);
}

static unsigned int welcome(struct netns_registry *r)
{
	struct netns_entry *en = NULL;
	unsigned int n_born = 0;

	while ((en = netns_table_next(&r->table, en))) {
		if (!en->fresh)
			continue;
		en->fresh = false;
		n_born++;
		tell_born(r, &en->ns);
	}
	r->health.n_born += n_born;
	return n_born;
}

static void take_births(struct netns_registry *r)
{
	unsigned int n = r->births ? netns_kernel_births(r->kernel) : 0;

	if (!n)
		return;
	r->n_awaited += n;
	r->birth_ms = BIRTH_WALK_MS;
	job_in(&r->walk, BIRTH_WALK_MS);
}

/* Births that were told of and are not on the list yet: look again, for a while. */
static void await_births(struct netns_registry *r, unsigned int n_born)
{
	r->n_awaited -= n_born < r->n_awaited ? n_born : r->n_awaited;
	if (n_born)
		r->birth_ms = BIRTH_WALK_MS;
	if (r->birth_ms > BIRTH_WALK_MAX_MS)
		r->n_awaited = 0;
	if (!r->n_awaited)
		return;
	job_in(&r->walk, r->birth_ms);
	r->birth_ms *= 2;
}

static int walk(struct netns_registry *r, struct err *e)
{
	const struct netns_row *rows;
	unsigned int n_born;
	uint64_t begin_ns;
	size_t n;
	int err;

	take_births(r);
	begin_ns = now_ns();
	r->walk.due_ns = 0;
	err = netns_kernel_walk(r->kernel, &rows, &n, e);
	if (err)
		return err;
	r->walk_no++;
	for (size_t i = 0; i < n && !err; i++)
		err = meet(r, &rows[i], e);
	if (err)
		return err;
	r->handles = r->handles && rows[0].ns_id; /* this kernel makes none without */
	netns_table_get(&r->table, rows[0].cookie)->ns.held_by |= NETNS_HELD_BY_KERNEL;
	bury(r);
	n_born = welcome(r);
	r->health.n_walks++;
	r->health.walk_ns += job_done(&r->walk, begin_ns, WALK_SHARE);
	await_births(r, n_born);
	if (n_born)
		job_in(&r->survey, BIRTH_SURVEY_MS);
	if (r->poll_ms)
		job_in(&r->walk, r->poll_ms);
	job_in(&r->ids, 0);
	return 0;
}

/* --- the survey --- */

static bool any_unnamed_newborn(const struct netns_registry *r)
{
	uint64_t now = now_ns();
	struct netns_entry *en = NULL;

	while ((en = netns_table_next(&r->table, en)))
		if (!en->ns.n_names && now - en->seen_ns < NS_PER_SEC)
			return true;
	return false;
}

static size_t count_without_id(const struct netns_registry *r)
{
	struct netns_entry *en = NULL;
	size_t n = 0;

	while ((en = netns_table_next(&r->table, en)))
		n += !en->has_nsid;
	return n;
}

static int survey(struct netns_registry *r, bool descriptors, struct err *e)
{
	uint64_t begin_ns = now_ns();
	int err;

	r->survey.due_ns = 0;
	err = netns_survey(&r->table, r->kernel, descriptors, tell_named, r, e);
	if (err)
		return err;
	r->health.n_surveys++;
	r->health.survey_ns += job_done(&r->survey, begin_ns, SURVEY_SHARE);
	if (any_unnamed_newborn(r))
		job_in(&r->survey, LATE_SURVEY_MS);
	return 0;
}

int netns_registry_refresh(struct netns_registry *r, struct err *e)
{
	int err = walk(r, e);

	return err ? err : survey(r, true, e);
}

/* --- what wakes it --- */

static int on_walk(sd_event_source *source, uint64_t usec, void *arg)
{
	struct netns_registry *r = arg;
	struct err e;

	if (walk(r, &e)) {
		note_failure(r, e.text);
		job_in(&r->walk, FAILED_MS);
	}
	return 0;
}

/* Without file handles, a namespace can only be opened by those that have it: find them. */
static int on_survey(sd_event_source *source, uint64_t usec, void *arg)
{
	struct netns_registry *r = arg;
	bool descriptors = !r->handles && count_without_id(r);
	struct err e;

	if (survey(r, descriptors, &e)) {
		note_failure(r, e.text);
		job_in(&r->survey, FAILED_MS);
	} else if (descriptors) {
		job_in(&r->walk, 0);
	}
	return 0;
}

static int on_ids(sd_event_source *source, uint64_t usec, void *arg)
{
	struct netns_registry *r = arg;

	r->ids.due_ns = 0;
	give_ids(r);
	return 0;
}

static int on_births(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	take_births(arg);
	return 0;
}

static int on_deaths(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct netns_registry *r = arg;
	int n = nsid_deaths(r->nsid);

	if (n == -ENOBUFS) {
		r->health.n_overruns++;
	} else if (n < 0) {
		note_failure(r, "cannot hear of the death of network namespaces: netlink failed");
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		r->poll_ms = POLL_MS;
	}
	if (n)
		job_in(&r->walk, DEATH_WALK_MS);
	return 0;
}

static void hash_mount(void *arg, const struct mount_entry *m)
{
	uint64_t *hash = arg;

	if (strcmp(m->fs_type, "nsfs"))
		return;
	for (const char *s = m->root; *s; s++)
		*hash = (*hash ^ (unsigned char)*s) * 0x100000001b3ULL;
	for (const char *s = m->mount_point; *s; s++)
		*hash = (*hash ^ (unsigned char)*s) * 0x100000001b3ULL;
}

/* A mount came or went; most are no namespaces. */
static int on_mounts(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct netns_registry *r = arg;
	uint64_t hash = 0;

	if (mountinfo_read(r->mounts_path, hash_mount, &hash) || hash != r->mounts_hash)
		job_in(&r->survey, MOUNT_SURVEY_MS);
	r->mounts_hash = hash;
	return 0;
}

/* --- life --- */

static int add_job(struct netns_registry *r, struct job *j, sd_event_time_handler_t fn)
{
	/* Off until it is asked for; exact to a microsecond. */
	int err = sd_event_add_time(r->loop, &j->timer, CLOCK_MONOTONIC, 0, 1, fn, r);

	return err < 0 ? err : sd_event_source_set_enabled(j->timer, SD_EVENT_OFF);
}

/*
 * The first mount namespace is where names are made, as a rule. Without it, births alone make look
 * for names.
 */
static int watch_mounts(struct netns_registry *r)
{
	snprintf(r->mounts_path, sizeof(r->mounts_path), "/proc/1/mountinfo");
	r->mounts_fd = open(r->mounts_path, O_RDONLY | O_CLOEXEC);
	if (r->mounts_fd < 0) {
		snprintf(r->mounts_path, sizeof(r->mounts_path), "/proc/self/mountinfo");
		r->mounts_fd = open(r->mounts_path, O_RDONLY | O_CLOEXEC);
	}
	if (r->mounts_fd < 0)
		return 0;
	return sd_event_add_io(r->loop, &r->mounts, r->mounts_fd, EPOLLPRI, on_mounts, r);
}

static int watch_births(struct netns_registry *r)
{
	struct err e;
	int fd;

	if (!netns_kernel_watch_births(r->kernel, &fd, &e))
		return sd_event_add_io(r->loop, &r->births, fd, EPOLLIN, on_births, r);
	snprintf(r->health.no_births, sizeof(r->health.no_births), "%s", e.text);
	r->poll_ms = POLL_MS;
	return 0;
}

static int watch(struct netns_registry *r, struct err *e)
{
	int err = nsid_new(&r->nsid, e);

	if (err)
		return err;
	err = add_job(r, &r->walk, on_walk);
	if (err >= 0)
		err = add_job(r, &r->survey, on_survey);
	if (err >= 0)
		err = add_job(r, &r->ids, on_ids);
	if (err >= 0)
		err = sd_event_add_io(r->loop, &r->deaths, nsid_fd(r->nsid), EPOLLIN, on_deaths, r);
	if (err >= 0)
		err = watch_births(r);
	if (err >= 0)
		err = watch_mounts(r);
	if (err < 0)
		return err_set(e, -err, "cannot watch network namespaces: event loop: %s",
			       strerror(-err));
	return 0;
}

/* Watch first, look then: nothing is missed between. */
static int start(struct netns_registry *r, struct err *e)
{
	int err = netns_kernel_new(&r->kernel, r->loop != NULL, e);

	if (!err && r->loop)
		err = watch(r, e);
	if (!err)
		err = walk(r, e);
	if (!err)
		err = survey(r, false, e);
	return err;
}

int netns_registry_new(struct netns_registry **ret, const struct netns_registry_options *options,
		       struct err *e)
{
	struct netns_registry *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return err_set(e, ENOMEM, "out of memory");
	r->loop = options->loop ? sd_event_ref(options->loop) : NULL;
	r->handles = !options->no_handles;
	r->mounts_fd = -1;
	r->not_covered_why = "nothing is attached";
	err = start(r, e);
	if (err) {
		netns_registry_free(r);
		return err;
	}
	*ret = r;
	return 0;
}

void netns_registry_free(struct netns_registry *r)
{
	if (!r)
		return;
	sd_event_source_disable_unref(r->walk.timer);
	sd_event_source_disable_unref(r->survey.timer);
	sd_event_source_disable_unref(r->ids.timer);
	sd_event_source_disable_unref(r->births);
	sd_event_source_disable_unref(r->deaths);
	sd_event_source_disable_unref(r->mounts);
	if (r->mounts_fd >= 0)
		close(r->mounts_fd);
	nsid_free(r->nsid);
	netns_kernel_free(r->kernel);
	netns_table_fini(&r->table);
	while (r->departed)
		departed_free(r, r->departed);
	sd_event_unref(r->loop);
	free(r);
}

/* --- questions --- */

const struct netns *netns_registry_get(const struct netns_registry *r, uint64_t cookie)
{
	struct netns_entry *en = netns_table_get(&r->table, cookie);

	return en ? &en->ns : NULL;
}

const struct netns *netns_registry_next(const struct netns_registry *r, const struct netns *ns)
{
	struct netns_entry *en = netns_table_next(&r->table, ns ? netns_entry_of(ns) : NULL);

	return en ? &en->ns : NULL;
}

void netns_registry_count(const struct netns_registry *r, size_t *ret_covered, size_t *ret_total)
{
	struct netns_entry *en = NULL;

	*ret_total = netns_table_count(&r->table);
	*ret_covered = 0;
	while ((en = netns_table_next(&r->table, en)))
		*ret_covered += en->ns.covered;
}

static struct departed *find_departed(const struct netns_registry *r, uint64_t cookie)
{
	struct departed *d;

	HASH_FIND(hh, r->departed, &cookie, sizeof(cookie), d);
	return d;
}

const char *netns_registry_name(struct netns_registry *r, uint64_t cookie)
{
	struct netns_entry *en = netns_table_get(&r->table, cookie);
	struct departed *d;

	if (en)
		return en->ns.n_names ? en->ns.names[0] : en->last_name;
	d = find_departed(r, cookie);
	if (d)
		return d->name;
	job_in(&r->walk, NOTE_WALK_MS);
	return NULL;
}

void netns_registry_note(struct netns_registry *r, uint64_t cookie)
{
	if (!netns_table_get(&r->table, cookie) && !find_departed(r, cookie))
		job_in(&r->walk, NOTE_WALK_MS);
}

int netns_registry_open(struct netns_registry *r, uint64_t cookie)
{
	struct netns_entry *en = netns_table_get(&r->table, cookie);

	return en ? netns_entry_open(en, r->handles) : -ENOENT;
}

int32_t netns_registry_nsid(const struct netns_registry *r, uint64_t cookie)
{
	struct netns_entry *en = netns_table_get(&r->table, cookie);

	return en && en->has_nsid ? en->nsid : -1;
}

const struct netns *netns_registry_get_nsid(const struct netns_registry *r, int32_t nsid)
{
	struct netns_entry *en = netns_table_get_nsid(&r->table, nsid);

	return en ? &en->ns : NULL;
}

int netns_registry_look(struct netns_registry *r, struct err *e)
{
	int err = walk(r, e);

	if (err || !r->nsid)
		return err;
	for (struct netns_entry *en = NULL; (en = netns_table_next(&r->table, en));)
		if (en->nsid_wanted)
			give_id(r, en);
	return 0;
}

int netns_registry_tasks(struct netns_registry *r, const struct task_row **ret, size_t *ret_n,
			 struct err *e)
{
	return netns_kernel_tasks(r->kernel, ret, ret_n, e);
}

void netns_registry_set_coverage(struct netns_registry *r, bool covered, const char *why)
{
	struct netns_entry *en = NULL;

	r->covered = covered;
	r->not_covered_why = why;
	while ((en = netns_table_next(&r->table, en))) {
		en->ns.covered = covered;
		en->ns.not_covered_why = why;
	}
}

void netns_registry_get_health(const struct netns_registry *r, struct netns_registry_health *ret)
{
	*ret = r->health;
	ret->n_without_id = r->nsid ? count_without_id(r) : 0;
}
