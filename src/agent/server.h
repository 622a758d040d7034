/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_AGENT_SERVER_H
#define NSLENS_AGENT_SERVER_H

#include <systemd/sd-event.h>

#include "agent/pipeline.h"
#include "base/err.h"

/*
 * The agent's unix socket: every client gets its own stream. Clients that ask badly, never read or
 * never end cost a bounded amount and disturb nobody: their number, what they may send, what waits
 * for them and how long they may take to ask are limited.
 */
struct server;

/*
 * Lock @state_dir, which is made if it isn't there (0755; the socket in it is 0600), and listen
 * there. -EEXIST: another agent runs there. The lock dies with the process: a killed agent leaves
 * nothing that hinders the next.
 */
int server_open(sd_event *loop, const char *state_dir, struct server **ret, struct err *e);
/* Answer clients, also those that came before, out of @p. */
void server_serve(struct server *s, struct pipeline *p);
/* Ends every client's stream in order, as far as it reads; takes no more. NULL is fine. */
void server_end(struct server *s);
/* Gives the lock back: nothing may be attached any more. After server_end(). NULL is fine. */
void server_close(struct server *s);

/* Clients connected now; those turned away since the start. */
void server_usage(const struct server *s, unsigned int *ret_clients, uint64_t *ret_refused);

#endif
