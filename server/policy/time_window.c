/* SPDX-License-Identifier: BSD-2-Clause */
/* time_window.c - days and times as people write them.
 *
 *     "Mon-Fri,12-24 08:00-12:00,13:00-18:00"   each item of days with each of times
 *
 * What a wall clock shows decides: an hour that it shows twice, when daylight saving
 * ends, counts twice. Rules ask with every request, and the answer stays the same for
 * a second at least: the last one is remembered.
 */
#include "config.h"

#include "server/policy/time_window.h"

#include "server/base/calendar.h"
#include "server/policy/time_zone.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>

#define DAY_MINUTES (24 * 60)
#define ITEMS_MAX 32 /* of days, or of times, in one text */

static const char *const weekdays[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

/* Days of the week, or a date. */
struct days {
    unsigned weekdays; /* bits, 0: Sunday; 0: a date instead */
    int year, month, day; /* year 0: every year */
};

struct times {
    int begin, end; /* minutes of the day; end before begin: past midnight */
};

struct window {
    struct window *next;
    struct days days;
    struct times times;
};

struct time_windows {
    const struct time_zone *zone;
    struct window *first;
    _Atomic int64_t *last; /* the last question * 2 + its answer */
};

/* ---- reading */

/* Exactly so many digits. */
static bool
take_digits(struct slice *text, unsigned digits, int *number)
{
    struct slice taken = slice_take_digits(text, digits);
    uint64_t value;

    if (taken.bytes < digits || !slice_to_u64(taken, INT_MAX, &value))
        return false;
    *number = (int)value;
    return true;
}

static bool
take_weekday(struct slice *text, unsigned *day)
{
    for (unsigned i = 0; i < ARRAY_COUNT(weekdays); i++) {
        if (text->bytes >= 3 &&
            slice_equal_nocase(slice_make(text->data, 3), slice_of(weekdays[i]))) {
            *text = slice_skip(*text, 3);
            *day = i;
            return true;
        }
    }
    return false;
}

/* "Mon", "Mon-Fri", "Fri-Mon". */
static bool
read_weekdays(struct slice text, struct days *days)
{
    unsigned first, last;

    *days = (struct days){ .weekdays = 0 };
    if (!take_weekday(&text, &first))
        return false;
    last = first;
    if (slice_take_char(&text, '-') && !take_weekday(&text, &last))
        return false;
    for (unsigned day = first;; day = (day + 1) % 7) {
        days->weekdays |= 1u << day;
        if (day == last)
            break;
    }
    return text.bytes == 0;
}

/* "2026-12-24", "12-24". */
static bool
read_date(struct slice text, struct days *days)
{
    int leap_year = 2000; /* in which every day there is can be found */

    *days = (struct days){ .weekdays = 0 };
    if (text.bytes > 5 && (!take_digits(&text, 4, &days->year) || !slice_take_char(&text, '-') ||
                           days->year == 0))
        return false;
    return take_digits(&text, 2, &days->month) && slice_take_char(&text, '-') &&
           take_digits(&text, 2, &days->day) && text.bytes == 0 && days->month >= 1 &&
           days->month <= 12 &&
           calendar_has((struct date){ days->year > 0 ? days->year : leap_year, days->month,
                                       days->day });
}

static bool
take_minute(struct slice *text, int *minute)
{
    int hour, rest;

    if (!take_digits(text, 2, &hour) || !slice_take_char(text, ':') || !take_digits(text, 2, &rest))
        return false;
    *minute = hour * 60 + rest;
    return rest < 60 && *minute <= DAY_MINUTES;
}

/* "08:00-18:00", "22:00-06:00", "18:00-24:00". */
static bool
read_times(struct slice text, struct times *times)
{
    return take_minute(&text, &times->begin) && slice_take_char(&text, '-') &&
           take_minute(&text, &times->end) && text.bytes == 0 && times->begin < DAY_MINUTES &&
           times->begin != times->end;
}

/* Both kinds of items of one text. */
struct reading {
    struct days days[ITEMS_MAX];
    struct times times[ITEMS_MAX];
    unsigned day_count, time_count;
};

static int
read_item(struct reading *reading, struct slice item, struct err *err)
{
    struct times times;
    struct days days;

    if (reading->day_count == ITEMS_MAX || reading->time_count == ITEMS_MAX)
        return err_set(err, "has more than %d days or times; write several texts", ITEMS_MAX);
    if (slice_find(item, ':') < 0) {
        if (!read_weekdays(item, &days) && !read_date(item, &days))
            return err_set(err, "\"%.*s\" is no day; write \"Mon-Fri\", \"Sat\", \"12-24\" or "
                           "\"2026-12-24\"", SLICE_ARG(item));
        if (reading->time_count > 0)
            return err_set(err, "\"%.*s\" comes after the times; days come first",
                           SLICE_ARG(item));
        reading->days[reading->day_count++] = days;
        return 0;
    }
    if (!read_times(item, &times))
        return err_set(err, "\"%.*s\" is no time; write \"08:00-18:00\", \"22:00-06:00\" or "
                       "\"18:00-24:00\"", SLICE_ARG(item));
    reading->times[reading->time_count++] = times;
    return 0;
}

/* Items have commas or spaces between them. */
static int
read_items(struct reading *reading, struct slice text, struct err *err)
{
    *reading = (struct reading){ .day_count = 0 };
    while (text.bytes > 0) {
        size_t bytes = 0;

        while (bytes < text.bytes && text.data[bytes] != ',' && text.data[bytes] != ' ')
            bytes++;
        if (bytes > 0 && read_item(reading, slice_make(text.data, bytes), err) < 0)
            return -1;
        text = slice_skip(text, bytes + 1);
    }
    if (reading->day_count + reading->time_count == 0)
        return err_set(err, "says neither days nor times");
    if (reading->day_count == 0)
        reading->days[reading->day_count++] = (struct days){ .weekdays = 0x7f };
    if (reading->time_count == 0)
        reading->times[reading->time_count++] = (struct times){ 0, DAY_MINUTES };
    return 0;
}

static int
add(struct time_windows *windows, struct arena *arena, const struct reading *reading,
    struct err *err)
{
    for (unsigned i = 0; i < reading->day_count * reading->time_count; i++) {
        struct window *window = arena_alloc(arena, sizeof(*window));

        if (window == NULL)
            return err_set(err, "memory for the configuration is short");
        *window = (struct window){ windows->first, reading->days[i / reading->time_count],
                                   reading->times[i % reading->time_count] };
        windows->first = window;
    }
    return 0;
}

struct time_windows *
time_windows_new(struct arena *arena, const struct strings *texts, const char *time_zone,
                 struct err *err)
{
    struct time_windows *windows = arena_zalloc(arena, sizeof(*windows));
    struct reading reading;

    if (windows == NULL || (windows->last = arena_alloc(arena, sizeof(*windows->last))) == NULL) {
        err_set(err, "memory for the configuration is short");
        return NULL;
    }
    atomic_init(windows->last, INT64_MIN);
    windows->zone = time_zone_load(arena, time_zone, err);
    if (windows->zone == NULL)
        return NULL;
    for (size_t i = 0; i < texts->count; i++) {
        if (read_items(&reading, texts->items[i], err) < 0) {
            err_prefix(err, "time \"%.*s\": ", SLICE_ARG(texts->items[i]));
            return NULL;
        }
        if (add(windows, arena, &reading, err) < 0)
            return NULL;
    }
    return windows;
}

/* ---- asking */

/* What a wall clock shows. */
struct local {
    int64_t day; /* since 1970-01-01 */
    int minute;  /* of it */
};

static struct local
local_of(const struct time_zone *zone, int64_t now_s)
{
    struct local local;
    int second_of_day;

    local.day = calendar_split(now_s + time_zone_at(zone, now_s)->seconds, &second_of_day);
    local.minute = second_of_day / 60;
    return local;
}

static bool
has_day(const struct days *days, int64_t day)
{
    struct date date;

    if (days->weekdays != 0)
        return (days->weekdays >> calendar_weekday(day)) & 1;
    date = calendar_date(day);
    return date.month == days->month && date.day == days->day &&
           (days->year == 0 || date.year == days->year);
}

/* A window past midnight belongs to the day it began on. */
static bool
has(const struct window *window, const struct local *local)
{
    const struct times *times = &window->times;

    if (times->begin < times->end)
        return local->minute >= times->begin && local->minute < times->end &&
               has_day(&window->days, local->day);
    return (local->minute >= times->begin && has_day(&window->days, local->day)) ||
           (local->minute < times->end && has_day(&window->days, local->day - 1));
}

bool
time_windows_has(const struct time_windows *windows, int64_t now_s)
{
    int64_t last = atomic_load_explicit(windows->last, memory_order_relaxed);
    const struct window *window;
    struct local local;

    if (last >> 1 == now_s)
        return last & 1;
    local = local_of(windows->zone, now_s);
    for (window = windows->first; window != NULL && !has(window, &local); window = window->next)
        ;
    atomic_store_explicit(windows->last, now_s * 2 + (window != NULL), memory_order_relaxed);
    return window != NULL;
}

const char *
time_windows_say(const struct time_windows *windows, int64_t now_s, char *text)
{
    struct local local = local_of(windows->zone, now_s);

    snprintf(text, TIME_WINDOW_TEXT_BYTES, "%s %02d:%02d %s",
             weekdays[calendar_weekday(local.day)], local.minute / 60, local.minute % 60,
             time_zone_at(windows->zone, now_s)->name);
    return text;
}
