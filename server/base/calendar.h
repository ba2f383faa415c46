/* SPDX-License-Identifier: BSD-2-Clause */
/* calendar.h - days by number and by date, without time zones. */
#ifndef BASCULE_CALENDAR_H
#define BASCULE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define DAY_SECONDS 86400
#define CALENDAR_TEXT_BYTES 32

/* Of the Gregorian calendar, also for times before it was. */
struct date {
    int year, month, day; /* month and day from 1 */
};

/* Days from 1970-01-01 to this date. */
int64_t calendar_days(struct date date);

struct date calendar_date(int64_t days);

/* Whether there is such a day in its month, which is from 1 to 12. */
bool calendar_has(struct date date);

/* "2026-11-22 09:51 UTC": seconds since 1970, for people. Returns text; "": of no calendar. */
const char *calendar_text(int64_t seconds, char text[CALENDAR_TEXT_BYTES]);

/* 0: Sunday. */
static inline unsigned
calendar_weekday(int64_t days)
{
    return (unsigned)(((days + 4) % 7 + 7) % 7);
}

/* The day, and *second_of_day, of a number of seconds since 1970. */
static inline int64_t
calendar_split(int64_t seconds, int *second_of_day)
{
    int64_t days = seconds / DAY_SECONDS;

    *second_of_day = (int)(seconds % DAY_SECONDS);
    if (*second_of_day >= 0)
        return days;
    *second_of_day += DAY_SECONDS;
    return days - 1;
}

#endif
