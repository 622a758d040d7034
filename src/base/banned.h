/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_BASE_BANNED_H
#define NSLENS_BASE_BANNED_H

/* Included before everything (-include): using one of these is a compile error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol system popen

#endif
