/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_WIRE_CONTEXT_H
#define NSLENS_WIRE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

/* What the encoders must know of the host and cannot read off an event. */
struct wire_context {
	char node[256];		    /* the host's name; "": unknown */
	uint64_t boot_ns;	    /* CLOCK_REALTIME less CLOCK_BOOTTIME: when it was booted */
	bool no_args;		    /* leave processes' arguments out */
	uint64_t host_netns_cookie; /* the initial namespace's, which text leaves unnamed; or 0 */
};

/* A name that is too long is cut, NULL is unknown. host_netns_cookie is the caller's to set. */
void wire_context_init(struct wire_context *ctx, const char *node, uint64_t boot_ns);

#endif
