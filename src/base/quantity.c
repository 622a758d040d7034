// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* The largest first. */
static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "d", 86400 * NS_PER_SEC },
	{ "h", 3600 * NS_PER_SEC },
	{ "m", 60 * NS_PER_SEC },
	{ "s", NS_PER_SEC },
	{ "ms", NS_PER_MS },
	{ "us", 1000 },
	{ "ns", 1 },
};

/* Read the digits that @text begins with. */
static int read_digits(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t n = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n) || n > max)
			return -ERANGE;
	*ret_number = n;
	return 0;
}

int number_parse(const char *text, uint64_t max, uint64_t *ret_number)
{
	if (text[strspn(text, "0123456789")])
		return -EINVAL;
	return read_digits(text, max, ret_number);
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
	const char *unit = text + strspn(text, "0123456789");

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t n;
		int ret;

		if (strcmp(unit, units[i].name))
			continue;
		ret = read_digits(text, UINT64_MAX / units[i].ns, &n);
		if (!ret)
			*ret_ns = n * units[i].ns;
		return ret;
	}
	return -EINVAL;
}

const char *duration_format(uint64_t ns, char *text)
{
	size_t i = 0;

	if (!ns)
		return memcpy(text, "0s", 3);
	while (ns % units[i].ns)
		i++;
	snprintf(text, DURATION_TEXT_MAX, "%" PRIu64 "%s", ns / units[i].ns, units[i].name);
	return text;
}
