// SPDX-License-Identifier: Apache-2.0
#include "wire/timestamp.h"

#include <string.h>

#include "base/base.h"

struct date {
	unsigned int year, month, day;
};

/*
 * The Gregorian date of a day since 1970-01-01. Reckoned in years that begin in March, so that the
 * leap day is the last: 719468 days lie between 0000-03-01 and 1970-01-01, 146097 in 400 years.
 */
static struct date date_of(uint64_t days)
{
	uint64_t z = days + 719468;
	unsigned int in_era = (unsigned int)(z % 146097);
	unsigned int year_in_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) /
				   365;
	unsigned int in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
	unsigned int march_month = (5 * in_year + 2) / 153;
	unsigned int month = march_month < 10 ? march_month + 3 : march_month - 9;

	return (struct date){
		.year = (unsigned int)(z / 146097) * 400 + year_in_era + (month <= 2),
		.month = month,
		.day = in_year - (153 * march_month + 2) / 5 + 1,
	};
}

/* @n decimal digits of @value to @to, and what follows them. Returns where to go on. */
static char *put(char *to, unsigned int n, unsigned int value, char after)
{
	for (unsigned int i = n; i-- > 0; value /= 10)
		to[i] = (char)('0' + value % 10);
	to[n] = after;
	return to + n + 1;
}

const char *timestamp_format(uint64_t realtime_ns, char text[TIMESTAMP_TEXT_MAX])
{
	uint64_t s = realtime_ns / NS_PER_SEC;
	unsigned int in_day = (unsigned int)(s % 86400);
	struct date date = date_of(s / 86400);
	char *to = text;

	to = put(to, 4, date.year, '-');
	to = put(to, 2, date.month, '-');
	to = put(to, 2, date.day, 'T');
	to = put(to, 2, in_day / 3600, ':');
	to = put(to, 2, in_day / 60 % 60, ':');
	to = put(to, 2, in_day % 60, '.');
	to = put(to, 9, (unsigned int)(realtime_ns % NS_PER_SEC), 'Z');
	*to = '\0';
	return text;
}
