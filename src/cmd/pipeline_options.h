/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_CMD_PIPELINE_OPTIONS_H
#define NSLENS_CMD_PIPELINE_OPTIONS_H

#include "agent/pipeline.h"
#include "cmd/option.h"

/*
 * Rows for an option table whose settings have a struct pipeline_options: what commands that
 * collect by themselves have in common.
 */
#define PIPELINE_OPTION_ROWS(type, member)                                                      \
	{ "with",                                                                               \
	  0,                                                                                    \
	  OPTION_SET,                                                                           \
	  OPTION_AT(type, member.with),                                                         \
	  .set = probe_name,                                                                    \
	  .help = "probes to have beside those that are on by default" },                       \
		{ "without",	     0,                                                         \
		  OPTION_SET,	     OPTION_AT(type, member.without),                           \
		  .set = probe_name, .help = "probes to do without; counts more than --with" }, \
		{ "no-args", 0, OPTION_FLAG, OPTION_AT(type, member.no_args),                   \
		  .help = "leave the arguments of processes alone" },                           \
		{ "udp-idle",                                                                   \
		  0,                                                                            \
		  OPTION_DURATION,                                                              \
		  OPTION_AT(type, member.dgram_idle_ns),                                        \
		  .min = 1000000000,                                                            \
		  .fallback = "60s",                                                            \
		  .help = "a UDP or ICMP conversation ends after so long without a datagram" }, \
		{ "ring-size",                                                                  \
		  0,                                                                            \
		  OPTION_NUMBER,                                                                \
		  OPTION_AT(type, member.ring_bytes),                                           \
		  .min = 4096,                                                                  \
		  .max = 1 << 30,                                                               \
		  .fallback = "4194304",                                                        \
		  .unit = "bytes",                                                              \
		  .help = "room for records that wait to be read; a power of two" },            \
	{                                                                                       \
		"max-sockets", 0, OPTION_NUMBER, OPTION_AT(type, member.max_sockets),           \
			.min = 1, .max = 1 << 24, .fallback = "131072",                         \
			.help = "TCP sockets kept track of at a time; UDP flows: half of it"    \
	}

/* Append to the help of those rows: each probe, what it gives, and whether it is on. */
void pipeline_options_explain(struct buf *b);

#endif
