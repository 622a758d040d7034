// SPDX-License-Identifier: Apache-2.0
#include "wire/units.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base.h"

#define NS_PER_MINUTE (60 * NS_PER_SEC)
#define NS_PER_HOUR (60 * NS_PER_MINUTE)
#define NS_PER_DAY (24 * NS_PER_HOUR)

/*
 * @value in the largest of the units, each 1000 times the one before, that leaves at least 1; below
 * 10 with a tenth. Cut rather than rounded: 999.9 kB never reads as 1000.
 */
static void put_scaled(uint64_t value, const char *const *units, unsigned int n_units, char *text)
{
	uint64_t rest = 0;
	unsigned int unit = 0;

	while (value >= 1000 && unit + 1 < n_units) {
		rest = value % 1000;
		value /= 1000;
		unit++;
	}
	if (unit && value < 10)
		snprintf(text, UNITS_TEXT_MAX, "%u.%u %s", (unsigned int)value,
			 (unsigned int)rest / 100, units[unit]);
	else
		snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 " %s", value, units[unit]);
}

const char *units_bytes(uint64_t bytes, char text[UNITS_TEXT_MAX])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };

	put_scaled(bytes, units, ARRAY_SIZE(units), text);
	return text;
}

/* Two units of a long time: "2m05s". */
static void put_pair(uint64_t ns, uint64_t unit_ns, uint64_t part_ns, const char *form, char *text)
{
	snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 "%c%02u%c", ns / unit_ns, form[0],
		 (unsigned int)(ns % unit_ns / part_ns), form[1]);
}

const char *units_duration(uint64_t ns, char text[UNITS_TEXT_MAX])
{
	static const char *const units[] = { "ns", "us", "ms", "s" };

	if (ns >= NS_PER_DAY)
		put_pair(ns, NS_PER_DAY, NS_PER_HOUR, "dh", text);
	else if (ns >= NS_PER_HOUR)
		put_pair(ns, NS_PER_HOUR, NS_PER_MINUTE, "hm", text);
	else if (ns >= NS_PER_MINUTE)
		put_pair(ns, NS_PER_MINUTE, NS_PER_SEC, "ms", text);
	else if (ns >= 10 * NS_PER_SEC)
		snprintf(text, UNITS_TEXT_MAX, "%u.%u s", (unsigned int)(ns / NS_PER_SEC),
			 (unsigned int)(ns % NS_PER_SEC / (100 * NS_PER_MS)));
	else
		put_scaled(ns, units, ARRAY_SIZE(units), text);
	return text;
}

const char *units_count(uint64_t n, char text[UNITS_TEXT_MAX])
{
	char digits[21];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	char *to = text;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}
