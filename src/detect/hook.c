// SPDX-License-Identifier: Apache-2.0
#include "detect/hook.h"

#include <stdio.h>

static bool is_put_back(const struct device_hook *h)
{
	return h->state == HOOK_WAITING && *h->why;
}

static bool starved(const struct device_hook *is, struct finding_event *ret,
		    char text[DETECT_HOOK_TEXT_MAX])
{
	ret->type = FINDING_HOOK_STARVED;
	ret->over = is->state != HOOK_STARVED;
	ret->prog_id = is->before_prog_id;
	if (ret->over)
		snprintf(text, DETECT_HOOK_TEXT_MAX, "no program runs before ours any more");
	else
		snprintf(text, DETECT_HOOK_TEXT_MAX,
			 "program %u runs before ours, and can keep packets from it",
			 is->before_prog_id);
	return true;
}

static bool removed(const struct device_hook *is, struct finding_event *ret,
		    char text[DETECT_HOOK_TEXT_MAX])
{
	ret->type = FINDING_HOOK_REMOVED;
	ret->over = device_hook_is_there(is);
	ret->prog_id = 0;
	snprintf(text, DETECT_HOOK_TEXT_MAX, "%s",
		 ret->over ? "it is attached again" : "somebody took it off the device");
	return true;
}

bool detect_hook(const struct device_hook *was, const struct device_hook *is,
		 struct finding_event *ret, char text[DETECT_HOOK_TEXT_MAX])
{
	ret->reason = text;
	if (device_hook_is_there(was) && is_put_back(is))
		return removed(is, ret, text);
	if (is_put_back(was) && device_hook_is_there(is))
		return removed(is, ret, text);
	if (is->state == HOOK_STARVED &&
	    (was->state != HOOK_STARVED || was->before_prog_id != is->before_prog_id))
		return starved(is, ret, text);
	if (was->state == HOOK_STARVED && is->state == HOOK_ATTACHED)
		return starved(is, ret, text);
	return false;
}
