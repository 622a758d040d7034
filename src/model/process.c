// SPDX-License-Identifier: Apache-2.0
#include "model/process.h"

#include <stdlib.h>

struct process *process_ref(struct process *p)
{
	if (p)
		p->n_ref++;
	return p;
}

struct process *process_unref(struct process *p)
{
	if (!p || --p->n_ref)
		return NULL;
	for (unsigned int i = 0; i < p->n_args; i++)
		free(p->args[i]);
	free(p->args);
	free(p->name);
	free(p->executable);
	free(p->parent_executable);
	free(p->cgroup);
	free(p->container_id);
	free(p);
	return NULL;
}
