// SPDX-License-Identifier: Apache-2.0
#include "identity/processes.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/base.h"

#define GRACE_NS (30 * NS_PER_SEC)

/*
 * In the order of their last use, the oldest first: what is used is taken out and put in again.
 */
struct image {
	struct owner owner;
	struct process *process;
	uint64_t idle_since_ns; /* 0: was not idle when last looked at */
	size_t bytes;
	UT_hash_handle hh;
};

struct processes {
	struct image *by_owner;
	unsigned int max_idle;
	unsigned int n_idle; /* at most so many: those counted last, and all that came since */
	uint64_t bytes;
};

/* What the allocator gives for it, with the word that it keeps in front. */
static size_t block_bytes(const void *block)
{
	return block ? malloc_usable_size((void *)block) + sizeof(size_t) : 0;
}

static size_t image_bytes(const struct image *i)
{
	const struct process *p = i->process;
	size_t n = block_bytes(i) + block_bytes(p) + block_bytes(p->args);

	for (unsigned int arg = 0; arg < p->n_args; arg++)
		n += block_bytes(p->args[arg]);
	return n + block_bytes(p->name) + block_bytes(p->executable) +
	       block_bytes(p->parent_executable) + block_bytes(p->cgroup) +
	       block_bytes(p->container_id);
}

int processes_new(unsigned int max_idle, struct processes **ret)
{
	struct processes *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->max_idle = max_idle;
	*ret = s;
	return 0;
}

static void image_drop(struct processes *s, struct image *i)
{
	HASH_DEL(s->by_owner, i);
	s->bytes -= i->bytes;
	process_unref(i->process);
	free(i);
}

void processes_free(struct processes *s)
{
	struct image *i, *next;

	if (!s)
		return;
	HASH_ITER(hh, s->by_owner, i, next) {
		image_drop(s, i);
	}
	free(s);
}

static struct image *image_find(const struct processes *s, const struct owner *owner)
{
	struct image *i;

	HASH_FIND(hh, s->by_owner, owner, sizeof(*owner), i);
	return i;
}

struct process *processes_find(struct processes *s, const struct owner *owner)
{
	struct image *i = image_find(s, owner);

	if (!i)
		return NULL;
	i->idle_since_ns = 0;
	HASH_DEL(s->by_owner, i);
	HASH_ADD(hh, s->by_owner, owner, sizeof(i->owner), i);
	return i->process;
}

bool processes_has_later(const struct processes *s, const struct owner *owner)
{
	for (const struct image *i = s->by_owner; i; i = i->hh.next)
		if (i->owner.tgid == owner->tgid && i->owner.start_ns == owner->start_ns &&
		    i->owner.exec_id > owner->exec_id)
			return true;
	return false;
}

static bool is_idle(const struct image *i)
{
	return i->process->n_ref == 1;
}

/* Count, and if there are too many let go of the oldest, an eighth at once. */
static void bound_idle(struct processes *s)
{
	unsigned int keep = s->max_idle - s->max_idle / 8;
	struct image *i, *next;

	s->n_idle = 0;
	for (i = s->by_owner; i; i = i->hh.next)
		s->n_idle += is_idle(i);
	if (s->n_idle <= s->max_idle)
		return;
	HASH_ITER(hh, s->by_owner, i, next) {
		if (s->n_idle <= keep)
			break;
		if (!is_idle(i))
			continue;
		image_drop(s, i);
		s->n_idle--;
	}
}

static char *first_known(char **better, char **known)
{
	char *s = *better ? *better : *known;

	if (s == *known)
		*known = NULL;
	return s;
}

/*
 * What @p lacks, as the record of a process does that is about to end, @known may have. But not the
 * cgroup: the process may be in another one now.
 */
static void process_complete(struct process *p, struct process *known)
{
	p->name = first_known(&p->name, &known->name);
	p->executable = first_known(&p->executable, &known->executable);
	p->parent_executable = first_known(&p->parent_executable, &known->parent_executable);
	if (p->uid == PROCESS_NO_UID)
		p->uid = known->uid;
	if (p->n_args)
		return;
	p->args = known->args;
	p->n_args = known->n_args;
	known->args = NULL;
	known->n_args = 0;
}

/* Who holds the image sees what is known now. Takes @p over. */
static void image_replace(struct processes *s, struct image *i, struct process *p)
{
	struct process *held = i->process, known;

	process_complete(p, held);
	known = *held;
	*held = *p;
	held->n_ref = known.n_ref;
	*p = known;
	p->n_ref = 1;
	process_unref(p);
	s->bytes -= i->bytes;
	i->bytes = image_bytes(i);
	s->bytes += i->bytes;
}

int processes_put(struct processes *s, struct process *p)
{
	struct owner owner = { .start_ns = p->start_ns, .tgid = p->pid, .exec_id = p->exec_id };
	struct image *i = image_find(s, &owner);

	if (i) {
		image_replace(s, i, p);
		return 0;
	}
	i = calloc(1, sizeof(*i));
	if (!i) {
		process_unref(p);
		return -ENOMEM;
	}
	i->owner = owner;
	i->process = p;
	i->bytes = image_bytes(i);
	if (++s->n_idle > s->max_idle)
		bound_idle(s);
	HASH_ADD(hh, s->by_owner, owner, sizeof(i->owner), i);
	s->bytes += i->bytes;
	return 0;
}

void processes_expire(struct processes *s, uint64_t now_ns)
{
	struct image *i, *next;

	s->n_idle = 0;
	HASH_ITER(hh, s->by_owner, i, next) {
		if (!is_idle(i)) {
			i->idle_since_ns = 0;
			continue;
		}
		if (!i->idle_since_ns)
			i->idle_since_ns = now_ns;
		if (now_ns - i->idle_since_ns >= GRACE_NS)
			image_drop(s, i);
		else
			s->n_idle++;
	}
}

void processes_usage(const struct processes *s, uint64_t *ret_images, uint64_t *ret_bytes)
{
	*ret_images = HASH_COUNT(s->by_owner);
	*ret_bytes = s->bytes + HASH_OVERHEAD(hh, s->by_owner);
}
