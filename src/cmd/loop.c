// SPDX-License-Identifier: Apache-2.0
#include "cmd/loop.h"

#include <signal.h>
#include <string.h>

int loop_new(sd_event **ret, struct err *e)
{
	sigset_t signals;
	int err;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = sd_event_new(ret);
	if (err >= 0)
		err = sd_event_add_signal(*ret, NULL, SIGINT, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(*ret, NULL, SIGTERM, NULL, NULL);
	return err < 0 ? err_set(e, -err, "event loop: %s", strerror(-err)) : 0;
}

int loop_end_after(sd_event *loop, uint64_t for_ns, struct err *e)
{
	int err;

	if (!for_ns)
		return 0;
	/* Without a handler the source ends the loop. */
	err = sd_event_add_time_relative(loop, NULL, CLOCK_MONOTONIC, for_ns / 1000, 1000, NULL,
					 NULL);
	return err < 0 ? err_set(e, -err, "event loop: %s", strerror(-err)) : 0;
}
