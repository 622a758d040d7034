// SPDX-License-Identifier: Apache-2.0
#include "sys/kernel_release.h"

#include <stdio.h>

unsigned int kernel_release_parse(const char *text)
{
	unsigned int major = 0, minor = 0;

	if (sscanf(text, "%u.%u", &major, &minor) != 2 || minor > 255)
		return 0;
	return KERNEL_RELEASE(major, minor);
}
