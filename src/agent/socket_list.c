// SPDX-License-Identifier: Apache-2.0
#include "agent/socket_list.h"

#include <pwd.h>
#include <stdlib.h>
#include <time.h>
#include <uthash.h>

#include "discover/registry.h"
#include "identity/table.h"

struct user_name {
	uint32_t uid;
	char *name; /* NULL: there is none */
	UT_hash_handle hh;
};

static const char *user_name(struct socket_list *l, uint32_t uid)
{
	struct user_name *u;
	struct passwd *pw;

	HASH_FIND(hh, l->users, &uid, sizeof(uid), u);
	if (u)
		return u->name;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	pw = getpwuid(uid);
	u->uid = uid;
	u->name = pw ? strdup(pw->pw_name) : NULL;
	HASH_ADD(hh, l->users, uid, sizeof(uid), u);
	return u->name;
}

static void identify(struct socket_list *l, struct netns_registry *registry,
		     struct process_table *processes, struct socket_row *s)
{
	for (unsigned int i = 0; i < socket_owners_kept(s); i++)
		s->owners[i].process = process_table_get(processes, &s->owners[i].id);
	s->netns_name = netns_registry_name(registry, s->netns_cookie);
	if (s->has & SOCKET_HAS_UID)
		s->user = user_name(l, s->uid);
}

int socket_list_read(struct socket_list *ret, struct netns_registry *registry,
		     struct process_table *processes, struct err *e)
{
	struct socket_list l = { 0 };
	struct timespec now;
	int err;

	err = socket_scan(&l.sockets, registry, &l.gaps, e);
	if (err) {
		socket_list_fini(&l);
		return err;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	l.ts_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
	for (size_t i = 0; i < l.sockets.n_rows; i++)
		identify(&l, registry, processes, &l.sockets.rows[i]);
	if (l.sockets.n_rows)
		qsort(l.sockets.rows, l.sockets.n_rows, sizeof(*l.sockets.rows), socket_compare);
	*ret = l;
	return 0;
}

void socket_list_fini(struct socket_list *l)
{
	struct user_name *u, *tmp;

	socket_table_fini(&l->sockets);
	HASH_ITER(hh, l->users, u, tmp) {
		HASH_DEL(l->users, u);
		free(u->name);
		free(u);
	}
	*l = (struct socket_list){ 0 };
}
