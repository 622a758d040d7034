// SPDX-License-Identifier: Apache-2.0
#include "cmd/pipeline_options.h"

void pipeline_options_explain(struct buf *b)
{
	buf_adds(b, "probes:\n");
	for (const struct probe_info *info = probe_table; info->name; info++)
		buf_addf(b, "  %-9s %-4s %s\n", info->name,
			 info->by_default ? "on"
			 : info->in_agent ? "run"
					  : "off",
			 info->gives);
}
