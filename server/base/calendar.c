/* SPDX-License-Identifier: BSD-2-Clause */
/* calendar.c - days by number and by date.
 *
 * Days are counted in years that begin in March, so that the day that leap
 * years add is the last of its year and the months fall into a regular pattern.
 */
#include "config.h"

#include "server/base/calendar.h"

#include <time.h>

int64_t
calendar_days(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400; /* 400 years have 146097 days */
    int64_t year_of_era = year - era * 400;
    int64_t month = (date.month + 9) % 12; /* March is 0 */
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468; /* days from 0000-03-01 to 1970-01-01 */
}

struct date
calendar_date(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* March is 0 */
    struct date date = {
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
    };

    date.year = (int)(year_of_era + era * 400) + (date.month <= 2);
    return date;
}

bool
calendar_has(struct date date)
{
    struct date first = { date.year, date.month, 1 };
    struct date next = { date.month == 12 ? date.year + 1 : date.year, date.month % 12 + 1, 1 };

    return date.day >= 1 && date.day <= calendar_days(next) - calendar_days(first);
}

const char *
calendar_text(int64_t seconds, char text[CALENDAR_TEXT_BYTES])
{
    time_t time = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&time, &tm) == NULL ||
        strftime(text, CALENDAR_TEXT_BYTES, "%F %R UTC", &tm) == 0)
        text[0] = '\0';
    return text;
}
