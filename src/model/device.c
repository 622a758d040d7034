// SPDX-License-Identifier: Apache-2.0
#include "model/device.h"

const char *const device_point_names[N_DEVICE_POINTS] = {
	[POINT_TCX_INGRESS] = "tcx/ingress",
	[POINT_TCX_EGRESS] = "tcx/egress",
	[POINT_XDP] = "xdp",
};

const char *const hook_state_names[N_HOOK_STATES] = {
	[HOOK_NONE] = "none",	    [HOOK_WAITING] = "waiting", [HOOK_ATTACHED] = "attached",
	[HOOK_STARVED] = "starved", [HOOK_FAILED] = "failed",
};

const char *const coverage_names[N_COVERAGES] = {
	[COVERAGE_NONE] = "none",
	[COVERAGE_PARTIAL] = "partial",
	[COVERAGE_FULL] = "full",
};
