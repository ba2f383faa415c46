/* SPDX-License-Identifier: BSD-2-Clause */
/* zone_rule.c - takes a rule apart from left to right, and finds its turns in a year. */
#include "config.h"

#include "server/policy/zone_rule.h"

#include "server/base/calendar.h"

#define HOURS_MAX 167    /* of a turn: RFC 8536 section 3.3.1 */
#define OFFSET_HOURS_MAX 24

/* ---- reading */

static bool
take_number(struct slice *text, int max, int *number)
{
    uint64_t value;

    if (!slice_to_u64(slice_take_digits(text, SIZE_MAX), (uint64_t)max, &value))
        return false;
    *number = (int)value;
    return true;
}

static bool
is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* "CET", or "<+0330>". */
static bool
take_name(struct slice *text, char name[TIME_ZONE_NAME_BYTES])
{
    bool is_quoted = slice_take_char(text, '<');
    size_t bytes = 0;

    while (bytes < text->bytes &&
           (is_quoted ? text->data[bytes] != '>' : is_letter(text->data[bytes])))
        bytes++;
    if (bytes == 0 || bytes >= TIME_ZONE_NAME_BYTES)
        return false;
    memcpy(name, text->data, bytes);
    name[bytes] = '\0';
    *text = slice_skip(*text, bytes);
    return !is_quoted || slice_take_char(text, '>');
}

/* [+-]hh[:mm[:ss]] */
static bool
take_time(struct slice *text, int hours_max, int32_t *seconds)
{
    bool is_negative = slice_take_char(text, '-');
    int hours, minutes = 0, rest = 0;

    if (!is_negative)
        slice_take_char(text, '+');
    if (!take_number(text, hours_max, &hours))
        return false;
    if (slice_take_char(text, ':') && !take_number(text, 59, &minutes))
        return false;
    if (slice_take_char(text, ':') && !take_number(text, 59, &rest))
        return false;
    *seconds = (hours * 60 + minutes) * 60 + rest;
    if (is_negative)
        *seconds = -*seconds;
    return true;
}

/* West of UTC counts up here. */
static bool
take_offset(struct slice *text, struct zone_offset *offset)
{
    int32_t west;

    if (!take_time(text, OFFSET_HOURS_MAX, &west))
        return false;
    offset->seconds = -west;
    return true;
}

static bool
take_day(struct slice *text, struct turn *turn)
{
    if (slice_take_char(text, 'M')) {
        turn->kind = TURN_MONTH;
        return take_number(text, 12, &turn->month) && turn->month >= 1 &&
               slice_take_char(text, '.') && take_number(text, 5, &turn->week) &&
               turn->week >= 1 && slice_take_char(text, '.') && take_number(text, 6, &turn->day);
    }
    turn->kind = slice_take_char(text, 'J') ? TURN_DAY_NO_29 : TURN_DAY;
    return take_number(text, 365, &turn->day) &&
           (turn->kind == TURN_DAY || turn->day >= 1);
}

static bool
take_turn(struct slice *text, struct turn *turn)
{
    turn->seconds = 2 * 3600;
    return slice_take_char(text, ',') && take_day(text, turn) &&
           (!slice_take_char(text, '/') || take_time(text, HOURS_MAX, &turn->seconds));
}

bool
zone_rule_read(struct zone_rule *rule, struct slice text)
{
    *rule = (struct zone_rule){ .has_saving = false };
    if (!take_name(&text, rule->standard.name) || !take_offset(&text, &rule->standard))
        return false;
    if (text.bytes == 0)
        return true;
    rule->has_saving = true;
    rule->saving.seconds = rule->standard.seconds + 3600;
    if (!take_name(&text, rule->saving.name))
        return false;
    if (text.bytes > 0 && text.data[0] != ',' && !take_offset(&text, &rule->saving))
        return false;
    return take_turn(&text, &rule->start) && take_turn(&text, &rule->end) && text.bytes == 0;
}

/* ---- asking */

static int64_t
month_day(const struct turn *turn, int year)
{
    int64_t first = calendar_days((struct date){ year, turn->month, 1 });
    int until = (turn->day - (int)calendar_weekday(first) + 7) % 7; /* to the first such weekday */
    struct date date = { year, turn->month, 1 + until + 7 * (turn->week - 1) };

    if (!calendar_has(date)) /* only of the fifth week */
        date.day -= 7;
    return calendar_days(date);
}

static bool
is_leap(int year)
{
    return calendar_has((struct date){ year, 2, 29 });
}

/* When it is in that year, in seconds since 1970 by clocks that do not know of it. */
static int64_t
turn_in(const struct turn *turn, int year)
{
    int64_t first = calendar_days((struct date){ year, 1, 1 }), day = first;

    switch (turn->kind) {
    case TURN_MONTH:
        day = month_day(turn, year);
        break;
    case TURN_DAY:
        day = first + turn->day;
        break;
    case TURN_DAY_NO_29:
        day = first + turn->day - 1 + (turn->day >= 60 && is_leap(year));
        break;
    }
    return day * DAY_SECONDS + turn->seconds;
}

const struct zone_offset *
zone_rule_at(const struct zone_rule *rule, int64_t now_s)
{
    int64_t start, end;
    bool is_saving;
    int year, rest;

    if (!rule->has_saving)
        return &rule->standard;
    year = calendar_date(calendar_split(now_s + rule->standard.seconds, &rest)).year;
    start = turn_in(&rule->start, year) - rule->standard.seconds;
    end = turn_in(&rule->end, year) - rule->saving.seconds;
    is_saving = start < end ? now_s >= start && now_s < end   /* north */
                            : now_s >= start || now_s < end; /* south: over the new year */
    return is_saving ? &rule->saving : &rule->standard;
}
