// SPDX-License-Identifier: Apache-2.0
#include "sys/priority.h"

#include <sys/resource.h>

enum { RAISED = -15 };

void priority_raise(void)
{
	if (!getpriority(PRIO_PROCESS, 0))
		setpriority(PRIO_PROCESS, 0, RAISED);
}
