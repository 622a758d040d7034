// SPDX-License-Identifier: Apache-2.0
#include "sys/capability.h"

#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const names[] = {
	[CAP_DAC_READ_SEARCH] = "CAP_DAC_READ_SEARCH",
	[CAP_NET_ADMIN] = "CAP_NET_ADMIN",
	[CAP_SYS_PTRACE] = "CAP_SYS_PTRACE",
	[CAP_SYS_ADMIN] = "CAP_SYS_ADMIN",
	[CAP_SYS_RESOURCE] = "CAP_SYS_RESOURCE",
	[CAP_PERFMON] = "CAP_PERFMON",
	[CAP_BPF] = "CAP_BPF",
};

bool capability_has(unsigned int cap)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &h, d))
		return false;
	return d[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

static bool implied_by_admin(unsigned int cap)
{
	return (cap == CAP_BPF || cap == CAP_PERFMON) && capability_has(CAP_SYS_ADMIN);
}

unsigned int capability_missing(const unsigned int *caps, size_t n, char *text, size_t size)
{
	unsigned int n_missing = 0;
	size_t len = 0;

	if (size)
		text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		const char *name = caps[i] < sizeof(names) / sizeof(names[0]) ? names[caps[i]]
									      : NULL;

		if (capability_has(caps[i]) || implied_by_admin(caps[i]))
			continue;
		if (len < size)
			len += (size_t)snprintf(text + len, size - len, "%s%s",
						n_missing ? ", " : "",
						name ? name : "another capability");
		n_missing++;
	}
	return n_missing;
}
