// SPDX-License-Identifier: Apache-2.0
#include "agent/netns_cgroups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "discover/walk.h"

static int row_compare(const void *x, const void *y)
{
	const struct netns_cgroup *a = x, *b = y;

	if (a->netns_cookie != b->netns_cookie)
		return a->netns_cookie < b->netns_cookie ? -1 : 1;
	return (a->cgroup_id > b->cgroup_id) - (a->cgroup_id < b->cgroup_id);
}

/* Each pair once, in order. */
static size_t rows_make(struct netns_cgroup *rows, const struct task_row *tasks, size_t n_tasks)
{
	size_t n = 0;

	for (size_t i = 0; i < n_tasks; i++)
		rows[i] = (struct netns_cgroup){ .netns_cookie = tasks[i].netns_cookie,
						 .cgroup_id = tasks[i].cgroup_id };
	qsort(rows, n_tasks, sizeof(*rows), row_compare);
	for (size_t i = 0; i < n_tasks; i++)
		if (!n || row_compare(&rows[n - 1], &rows[i]))
			rows[n++] = rows[i];
	return n;
}

static bool rows_equal(const struct netns_cgroups *c, const struct netns_cgroup *rows, size_t n)
{
	if (c->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (row_compare(&c->rows[i], &rows[i]))
			return false;
	return true;
}

static int rows_take(struct netns_cgroups *c, struct netns_cgroup *rows, size_t n,
		     struct process_table *processes)
{
	const char **paths = calloc(n + 1, sizeof(*paths));

	if (!paths)
		return -ENOMEM;
	netns_cgroups_fini(c);
	c->rows = rows;
	c->n = n;
	c->paths = paths;
	for (size_t i = 0; i < n; i++) {
		const char *path = process_table_cgroup(processes, rows[i].cgroup_id);

		rows[i].path = path ? strdup(path) : NULL;
	}
	return 0;
}

int netns_cgroups_look(struct netns_cgroups *c, struct netns_registry *netns,
		       struct process_table *processes, bool *ret_changed, struct err *e)
{
	const struct task_row *tasks;
	struct netns_cgroup *rows;
	size_t n;
	int err = netns_registry_tasks(netns, &tasks, &n, e);

	*ret_changed = false;
	if (err)
		return err;
	rows = calloc(n + 1, sizeof(*rows));
	if (!rows)
		return err_set(e, ENOMEM, "out of memory");
	n = rows_make(rows, tasks, n);
	if (rows_equal(c, rows, n)) {
		free(rows);
		return 0;
	}
	err = rows_take(c, rows, n, processes);
	if (err) {
		free(rows);
		return err_set(e, -err, "out of memory");
	}
	*ret_changed = true;
	return 0;
}

const char *const *netns_cgroups_of(const struct netns_cgroups *c, uint64_t netns_cookie,
				    size_t *ret_n)
{
	size_t low = 0, high = c->n;

	*ret_n = 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->rows[middle].netns_cookie < netns_cookie)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < c->n && c->rows[low].netns_cookie == netns_cookie; low++)
		if (c->rows[low].path)
			c->paths[(*ret_n)++] = c->rows[low].path;
	return c->paths;
}

void netns_cgroups_fini(struct netns_cgroups *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->rows[i].path);
	free(c->rows);
	free(c->paths);
	*c = (struct netns_cgroups){ 0 };
}
