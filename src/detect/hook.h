/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_DETECT_HOOK_H
#define NSLENS_DETECT_HOOK_H

#include <stdbool.h>

#include "model/device.h"
#include "model/event.h"

/* Verdicts on hooks at devices. */
enum { DETECT_HOOK_TEXT_MAX = 160 };

/*
 * What became of a hook at a device: is it a finding? @was and @is are its states before and now;
 * a hook that waits with a reason was there before and is put back. True: type, over, prog_id and
 * reason of @ret are filled, the reason in @text.
 */
bool detect_hook(const struct device_hook *was, const struct device_hook *is,
		 struct finding_event *ret, char text[DETECT_HOOK_TEXT_MAX]);

#endif
