/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_CMD_DEVICE_OPTIONS_H
#define NSLENS_CMD_DEVICE_OPTIONS_H

#include <stdint.h>

#include "agent/pipeline.h"
#include "cmd/option.h"

/*
 * The options of `nslens run` about devices. A filter is given in words, or as @FILE: that is read
 * at the start and again by device_options_reload(). Without an option the environment counts.
 */
enum hook_order { HOOKS_FIRST, HOOKS_LAST };

struct device_options {
	const char *hook, *xdp, *flows; /* as they were given */
	const char *pin_dir;
	enum hook_order order;
	uint64_t rtnl_percent;
	char *texts[3]; /* what the filters are now: device_options_fini() */
};

extern const char *const hook_order_names[];

#define DEVICE_OPTION_ROWS(type, member)                                                         \
	{ "hook",                                                                                \
	  0,                                                                                     \
	  OPTION_TEXT,                                                                           \
	  OPTION_AT(type, member.hook),                                                          \
	  .value = "FILTER|@FILE",                                                               \
	  .help = "devices to have tcx hooks; NSLENS_HOOK, else those whose receiving is not "   \
		  "seen otherwise" },                                                            \
		{ "xdp",                                                                         \
		  0,                                                                             \
		  OPTION_TEXT,                                                                   \
		  OPTION_AT(type, member.xdp),                                                   \
		  .value = "FILTER|@FILE",                                                       \
		  .help = "devices to have an XDP hook, hardware only by its name; NSLENS_XDP, " \
			  "else none" },                                                         \
		{ "device-flows",                                                                \
		  0,                                                                             \
		  OPTION_TEXT,                                                                   \
		  OPTION_AT(type, member.flows),                                                 \
		  .value = "FILTER|@FILE",                                                       \
		  .help = "devices to see conversations at that only pass; implies --with "      \
			  "devflow, which alone means those that forward" },                     \
		{ "hook-order",                                                                  \
		  0,                                                                             \
		  OPTION_CHOICE,                                                                 \
		  OPTION_AT(type, member.order),                                                 \
		  .choices = hook_order_names,                                                   \
		  .fallback = "first",                                                           \
		  .help = "before or behind other programs at a hook" },                         \
		{ "rtnl-share",                                                                  \
		  0,                                                                             \
		  OPTION_NUMBER,                                                                 \
		  OPTION_AT(type, member.rtnl_percent),                                          \
		  .min = 1,                                                                      \
		  .max = 100,                                                                    \
		  .fallback = "25",                                                              \
		  .unit = "percent",                                                             \
		  .help = "of the time, at most, in which the kernel's lock of networking is "   \
			  "held to attach hooks" },                                              \
	{                                                                                        \
		"pin-dir", 0, OPTION_TEXT, OPTION_AT(type, member.pin_dir),                      \
			.value = "DIR",                                                          \
			.help = "where what counts at devices is pinned; NSLENS_PIN_DIR, else "  \
				"/sys/fs/bpf/nslens"                                             \
	}

/* Read and check the filters. 0; -EINVAL and other errors: @e says which option, and why. */
int device_options_read(struct device_options *o, struct err *e);
/* Have them as they are now in @to, which borrows them. */
void device_options_apply(const struct device_options *o, struct device_keeper_options *to);
/* Free the texts. */
void device_options_fini(struct device_options *o);

#endif
