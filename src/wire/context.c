// SPDX-License-Identifier: Apache-2.0
#include "wire/context.h"

#include <stdio.h>

void wire_context_init(struct wire_context *ctx, const char *node, uint64_t boot_ns)
{
	*ctx = (struct wire_context){ .boot_ns = boot_ns };
	snprintf(ctx->node, sizeof(ctx->node), "%s", node ? node : "");
}
