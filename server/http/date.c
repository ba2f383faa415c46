/* SPDX-License-Identifier: BSD-2-Clause */
/* date.c - dates without the C library's time zones and locales. */
#include "config.h"

#include "server/http/date.h"

#include "server/base/calendar.h"

#define YEAR_0_SECONDS INT64_C(-62167219200)   /* 0000-01-01 00:00:00 */
#define YEAR_9999_SECONDS INT64_C(253402300799) /* 9999-12-31 23:59:59 */

static const char day_names[7][10] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};

static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

/* ---- writing */

static char *
put_digits(char *at, int value)
{
    at[0] = (char)('0' + value / 10);
    at[1] = (char)('0' + value % 10);
    return at + 2;
}

static char *
put_text(char *at, const char *text, size_t bytes)
{
    memcpy(at, text, bytes);
    return at + bytes;
}

static char *
put_time(char *at, int second_of_day)
{
    at = put_digits(at, second_of_day / 3600);
    *at++ = ':';
    at = put_digits(at, second_of_day / 60 % 60);
    *at++ = ':';
    return put_digits(at, second_of_day % 60);
}

void
date_format(char text[DATE_BYTES + 1], int64_t seconds)
{
    int64_t held = seconds < YEAR_0_SECONDS ? YEAR_0_SECONDS
                   : seconds > YEAR_9999_SECONDS ? YEAR_9999_SECONDS : seconds;
    int64_t since_year_0 = held - YEAR_0_SECONDS; /* a Saturday */
    int64_t day = since_year_0 / DAY_SECONDS;
    struct date date = calendar_date(day + YEAR_0_SECONDS / DAY_SECONDS);
    char *at = put_text(text, day_names[(day + 6) % 7], 3);

    at = put_text(at, ", ", 2);
    at = put_digits(at, date.day);
    *at++ = ' ';
    at = put_text(at, month_names[date.month - 1], 3);
    *at++ = ' ';
    at = put_digits(at, date.year / 100);
    at = put_digits(at, date.year % 100);
    *at++ = ' ';
    at = put_time(at, (int)(since_year_0 % DAY_SECONDS));
    put_text(at, " GMT", 5);
}

struct slice
date_cached(struct date_cache *cache, int64_t seconds)
{
    if (cache->text[0] == '\0' || cache->seconds != seconds) {
        date_format(cache->text, seconds);
        cache->seconds = seconds;
    }
    return slice_make(cache->text, DATE_BYTES);
}

/* ---- reading: each step takes its part off the text, or fails */

/* Whatever the case of its letters: RFC 9111 section 4.2. */
static bool
take_text(struct slice *text, const char *expected)
{
    struct slice prefix;

    if (text->bytes == 0 || ascii_lower(text->data[0]) != ascii_lower(expected[0]))
        return false; /* most often */
    prefix = slice_of(expected);
    if (text->bytes < prefix.bytes ||
        !slice_equal_nocase(slice_make(text->data, prefix.bytes), prefix))
        return false;
    *text = slice_skip(*text, prefix.bytes);
    return true;
}

static bool
take_digits(struct slice *text, size_t count, int *value)
{
    struct slice digits = slice_take_digits(text, count);
    uint64_t number;

    if (digits.bytes < count || !slice_to_u64(digits, 9999, &number))
        return false;
    *value = (int)number;
    return true;
}

static bool
take_month(struct slice *text, int *month)
{
    for (*month = 1; *month <= 12; ++*month)
        if (take_text(text, month_names[*month - 1]))
            return true;
    return false;
}

/* Second 60 is a leap second. */
static bool
take_time(struct slice *text, int *second_of_day)
{
    int hour, minute, second;

    if (!take_digits(text, 2, &hour) || !take_text(text, ":") || !take_digits(text, 2, &minute) ||
        !take_text(text, ":") || !take_digits(text, 2, &second))
        return false;
    *second_of_day = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool
take_imf(struct slice *text, struct date *date, int *second_of_day)
{
    return take_digits(text, 2, &date->day) && take_text(text, " ") &&
           take_month(text, &date->month) && take_text(text, " ") &&
           take_digits(text, 4, &date->year) && take_text(text, " ") &&
           take_time(text, second_of_day) && take_text(text, " GMT");
}

/* "06-Nov-94 08:49:37 GMT" */
static bool
take_rfc850(struct slice *text, struct date *date, int *second_of_day, int64_t now)
{
    int this_year = calendar_date(now / DAY_SECONDS).year;

    if (!take_digits(text, 2, &date->day) || !take_text(text, "-") ||
        !take_month(text, &date->month) || !take_text(text, "-") ||
        !take_digits(text, 2, &date->year) || !take_text(text, " ") ||
        !take_time(text, second_of_day) || !take_text(text, " GMT"))
        return false;
    date->year += this_year / 100 * 100 + 100;
    while (date->year > this_year + 50)
        date->year -= 100;
    return true;
}

/* "Nov  6 08:49:37 1994" */
static bool
take_asctime(struct slice *text, struct date *date, int *second_of_day)
{
    return take_month(text, &date->month) && take_text(text, " ") &&
           (take_text(text, " ") ? take_digits(text, 1, &date->day)
                                 : take_digits(text, 2, &date->day)) &&
           take_text(text, " ") && take_time(text, second_of_day) && take_text(text, " ") &&
           take_digits(text, 4, &date->year);
}

/* Which of the formats it is shows behind the name of the day. */
static bool
take_any(struct slice *text, struct date *date, int *second_of_day, int64_t now)
{
    for (unsigned i = 0; i < 7; i++) {
        struct slice rest = *text;
        char abbreviation[4] = { day_names[i][0], day_names[i][1], day_names[i][2], '\0' };

        if (take_text(text, day_names[i]))
            return take_text(text, ", ") && take_rfc850(text, date, second_of_day, now);
        if (take_text(&rest, abbreviation)) {
            *text = rest;
            return take_text(text, ", ") ? take_imf(text, date, second_of_day)
                   : take_text(text, " ") && take_asctime(text, date, second_of_day);
        }
    }
    return false;
}

bool
date_parse(struct slice text, int64_t now, int64_t *seconds)
{
    struct date date;
    int second_of_day;

    if (!take_any(&text, &date, &second_of_day, now) || text.bytes > 0 || !calendar_has(date))
        return false;
    *seconds = calendar_days(date) * DAY_SECONDS + second_of_day;
    return true;
}
