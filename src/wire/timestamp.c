// SPDX-License-Identifier: Apache-2.0
#include "wire/timestamp.h"

#include <string.h>

#include "base/base.h"
#include "wire/decimal.h"

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

/* Two decimal digits to @to, and what follows them. Returns where to go on. */
static char *put_pair(char *to, unsigned int value, char after)
{
	decimal_put_pair(to, value);
	to[2] = after;
	return to + 3;
}

/* Nine. */
static char *put_ns(char *to, unsigned int value, char after)
{
	for (int i = 7; i > 0; i -= 2, value /= 100)
		decimal_put_pair(to + i, value);
	to[0] = (char)('0' + value);
	to[9] = after;
	return to + 10;
}

const char *timestamp_format(uint64_t realtime_ns, char text[TIMESTAMP_TEXT_MAX])
{
	uint64_t s = realtime_ns / NS_PER_SEC;
	unsigned int in_day = (unsigned int)(s % 86400);
	struct date date = date_of(s / 86400);
	char *to = text;

	decimal_put_pair(to, date.year / 100);
	to = put_pair(to + 2, date.year, '-');
	to = put_pair(to, date.month, '-');
	to = put_pair(to, date.day, 'T');
	to = put_pair(to, in_day / 3600, ':');
	to = put_pair(to, in_day / 60 % 60, ':');
	to = put_pair(to, in_day % 60, '.');
	to = put_ns(to, (unsigned int)(realtime_ns % NS_PER_SEC), 'Z');
	*to = '\0';
	return text;
}
