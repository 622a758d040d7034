/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_PROTOCOL_H
#define NSLENS_AGENT_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * What the agent and its clients say on the unix socket.
 *
 * The client sends one line of JSON, the request. The agent answers in frames: four bytes of
 * length, big-endian, and as many bytes. The first frame is the greeting, {"version":...}, with
 * "error" if it refuses, and "warnings", lines, if it can't show all; the next ones are output for
 * the client to print; a frame of length 0 is the orderly end. Without it the output is not whole.
 * A client that has enough shuts its sending side down, and gets what the output ends with.
 *
 * A request of another version is refused, but for "stop": whoever may connect may end the agent,
 * also after an upgrade.
 */
enum {
	REQUEST_MAX = 16 * 1024,
	FRAME_HEADER = 4,
	FRAME_MAX = 16 * 1024 * 1024,
};

struct request {
	char version[32]; /* of the client: the agent's must be the same */
	bool any_agent;	  /* unless this is set, which is not sent */
	char command[32]; /* "observe", "status", "stop" */
	char output[16];  /* name of a sink */
	char *filter;	  /* NULL: none */
	unsigned int columns;
	bool colour;
	bool no_args; /* leave processes' arguments out */
};

/* Free what it owns. */
void request_fini(struct request *r);
/* Append it as its line. Fails if the filter is no UTF-8. */
void request_encode(const struct request *r, struct buf *out);
/* -EPROTO: not a request. On error there is nothing to free. */
int request_decode(const char *text, size_t len, struct request *ret, struct err *e);

/* The greeting: @error NULL is a welcome. @warnings: lines for the user to know, or NULL. */
void greeting_encode(const char *error, const char *warnings, struct buf *out);
/*
 * 0; -EPROTO: not a welcome, or not from an agent of @version (NULL: any), and why. Warnings of a
 * welcome are appended to @warnings, clean lines each; NULL: not of interest.
 */
int greeting_decode(const char *text, size_t len, const char *version, struct buf *warnings,
		    struct err *e);

/* Append a frame of @len bytes. */
void frame_encode(struct buf *out, const void *data, size_t len);
/* The length that a frame's header says. */
size_t frame_length(const unsigned char header[FRAME_HEADER]);

/* Where the agent of @state_dir listens: @path of @size bytes. -ENAMETOOLONG. */
int agent_socket_path(const char *state_dir, char *path, size_t size);

/* Where agents keep their state unless told otherwise: NSLENS_STATE_DIR, or /run/nslens. */
const char *agent_state_dir(void);

#endif
