/* SPDX-License-Identifier: BSD-2-Clause */
/* test_time_window.c - windows open and close by the clock on the wall, wherever it hangs
 * (RFC 8536).
 *
 * Rules of zones are written here as files end with them, so that the tests hold where
 * there is no database; where there is one, the C library's answers are compared.
 */
#include "config.h"

#include "server/policy/time_window.h"

#include "server/base/calendar.h"
#include "server/policy/time_zone.h"
#include "server/policy/zone_rule.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define SYDNEY "AEST-10AEDT,M10.1.0,M4.1.0/3"
#define KOLKATA "IST-5:30"

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, (size_t)64 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

/* "2026-03-29 01:00:00" in UTC. */
static int64_t
utc(const char *text)
{
    struct date date;
    int hour, minute, second;

    CU_ASSERT_EQUAL_FATAL(sscanf(text, "%d-%d-%d %d:%d:%d", &date.year, &date.month, &date.day,
                                 &hour, &minute, &second), 6);
    return calendar_days(date) * DAY_SECONDS + (hour * 60 + minute) * 60 + second;
}

/* ---- rules */

static void
expect_rule(const char *rule, const char *when, const char *name, int hours_by_60)
{
    const struct zone_offset *offset;
    struct zone_rule read;

    CU_ASSERT_TRUE_FATAL(zone_rule_read(&read, slice_of(rule)));
    offset = zone_rule_at(&read, utc(when));
    CU_ASSERT_STRING_EQUAL(offset->name, name);
    CU_ASSERT_EQUAL(offset->seconds, hours_by_60 * 60);
}

static void
clocks_are_turned_when_the_rule_says(void)
{
    expect_rule(BERLIN, "2026-03-29 00:59:59", "CET", 60);
    expect_rule(BERLIN, "2026-03-29 01:00:00", "CEST", 120);
    expect_rule(BERLIN, "2026-10-25 00:59:59", "CEST", 120);
    expect_rule(BERLIN, "2026-10-25 01:00:00", "CET", 60);
    expect_rule(NEW_YORK, "2026-03-08 06:59:59", "EST", -300);
    expect_rule(NEW_YORK, "2026-03-08 07:00:00", "EDT", -240);
    expect_rule(NEW_YORK, "2026-11-01 05:59:59", "EDT", -240);
    expect_rule(NEW_YORK, "2026-11-01 06:00:00", "EST", -300);
    expect_rule(KOLKATA, "2026-07-01 00:00:00", "IST", 330);
    expect_rule("UTC0", "2026-07-01 00:00:00", "UTC", 0);
}

static void
in_the_south_saving_goes_over_the_new_year(void)
{
    expect_rule(SYDNEY, "2026-01-01 00:00:00", "AEDT", 660);
    expect_rule(SYDNEY, "2026-04-04 15:59:59", "AEDT", 660);
    expect_rule(SYDNEY, "2026-04-04 16:00:00", "AEST", 600);
    expect_rule(SYDNEY, "2026-10-03 16:00:00", "AEDT", 660);
    expect_rule(SYDNEY, "2026-12-31 23:59:59", "AEDT", 660);
}

/* Ireland's winter is the saving one; Nuuk's turns are on the day before; a zone that
 * saves all year; days by number. RFC 8536 section 3.3.1. */
static void
unusual_rules_are_understood(void)
{
    expect_rule("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01 00:00:00", "IST", 60);
    expect_rule("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01 00:00:00", "GMT", 0);
    expect_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29 00:59:59", "-02", -120);
    expect_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29 01:00:00", "-01", -60);
    expect_rule("EST5EDT,0/0,J365/25", "2026-01-01 05:00:00", "EDT", -240);
    expect_rule("EST5EDT,0/0,J365/25", "2026-12-31 23:59:59", "EDT", -240);
    expect_rule("GMT0BST,J60/0,J61/0", "2024-03-01 00:00:00", "BST", 60);
    expect_rule("GMT0BST,J60/0,J61/0", "2024-02-29 12:00:00", "GMT", 0);
    expect_rule("GMT0BST,59/0,60/0", "2024-02-29 12:00:00", "BST", 60);
}

static void
what_is_no_rule_is_refused(void)
{
    static const char *const bad[] = {
        "", "CET", "CET-", "-1", "CET-25", "CET-1CEST", "CET-1CEST,", "CET-1CEST,M3.5.0",
        "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.0.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,M3.5.0,M10.5.0/168", "CET-1CEST,M3.5.0,M10.5.0/3x", "CET-1CEST,J0,J5",
        "CET-1CEST,366,5", "<CET-1", "ABCDEFGHIJKLMNOP-1", "CET-1:60", "CET-99999999999999999999",
    };
    struct zone_rule rule;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        CU_ASSERT_FALSE(zone_rule_read(&rule, slice_of(bad[i])));
        if (zone_rule_read(&rule, slice_of(bad[i])))
            printf("#   \"%s\" is taken for a rule\n", bad[i]);
    }
}

/* ---- files */

/* A file of version 2 with two times: WAT until 1000, then CVT, from 2000 on what
 * the rule says. */
static size_t
make_file(char *file, const char *rule)
{
    static const char header[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                 "\0\0\0\0\0\0\0\0\0\0\0\0"; /* to be followed by three counts */
    static const char data[] = "\0\0\0\0\0\0\x03\xe8" "\0\0\0\0\0\0\x07\xd0" /* times */
                               "\1\0"                                        /* their types */
                               "\0\0\x0e\x10\0\0" "\xff\xff\xf1\xf0\1\4"     /* types */
                               "WAT\0CVT";
    char *at = file;

    memcpy(at, header, 32);
    memcpy(at + 32, "\0\0\0\0\0\0\0\1\0\0\0\1", 12); /* of version 1: one type, one name */
    memcpy(at + 44, "\0\0\0\0\0\0\0", 7);
    at += 51;
    memcpy(at, header, 32);
    memcpy(at + 32, "\0\0\0\2\0\0\0\2\0\0\0\x08", 12);
    memcpy(at + 44, data, sizeof(data));
    at += 44 + sizeof(data);
    return (size_t)(at - file) + (size_t)sprintf(at, "\n%s\n", rule);
}

static void
before_between_and_after_the_times_of_a_file(void)
{
    char file[512];
    struct err err;
    struct time_zone *zone = time_zone_read(&arena, slice_make(file, make_file(file, BERLIN)),
                                            &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(zone);
    CU_ASSERT_STRING_EQUAL(time_zone_at(zone, INT64_C(-99999999999))->name, "WAT");
    CU_ASSERT_EQUAL(time_zone_at(zone, 999)->seconds, 3600);
    CU_ASSERT_STRING_EQUAL(time_zone_at(zone, 1000)->name, "CVT");
    CU_ASSERT_EQUAL(time_zone_at(zone, 1999)->seconds, -3600);
    CU_ASSERT_STRING_EQUAL(time_zone_at(zone, utc("2026-07-01 00:00:00"))->name, "CEST");
    zone = time_zone_read(&arena, slice_make(file, make_file(file, "")), &err);
    CU_ASSERT_STRING_EQUAL(time_zone_at(zone, utc("2026-07-01 00:00:00"))->name, "WAT");
}

static void
broken_files_are_refused(void)
{
    char file[512], *copy;
    size_t bytes = make_file(file, BERLIN);
    struct err err;

    for (size_t i = 0; i < bytes; i++) {
        copy = malloc(i + 1); /* so that reading past its end is seen */
        memcpy(copy, file, i);
        CU_ASSERT_PTR_NULL(time_zone_read(&arena, slice_make(copy, i), &err));
        free(copy);
    }
    copy = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        static const char others[] = { '\0', '\x7f', '\xff', '\x80', 'M' };

        for (unsigned j = 0; j < sizeof(others); j++) {
            struct time_zone *zone;

            memcpy(copy, file, bytes);
            copy[i] = others[j];
            zone = time_zone_read(&arena, slice_make(copy, bytes), &err);
            for (int64_t at = -1; zone != NULL && at < 4; at++)
                CU_ASSERT_PTR_NOT_NULL(time_zone_at(zone, at * 1000));
        }
    }
    free(copy);
}

static void
names_lead_nowhere_else(void)
{
    static const char *const bad[] = { "", "/etc/passwd", "../../etc/passwd", "Europe/../../x",
                                       "Europe//Berlin", "Europe/", ".", "Europe/Ber lin" };
    struct err err;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        CU_ASSERT_PTR_NULL(time_zone_load(&arena, bad[i], &err));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is no name of a time zone"));
    }
    CU_ASSERT_PTR_NULL(time_zone_load(&arena, "Nowhere/At_All", &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "there is no time zone \"Nowhere/At_All\""));
    CU_ASSERT_PTR_NOT_NULL(time_zone_load(&arena, "UTC", &err));
    CU_ASSERT_PTR_NOT_NULL(time_zone_load(&arena, NULL, &err));
}

static bool
has_database(void)
{
    return access("/usr/share/zoneinfo/Europe/Berlin", R_OK) == 0;
}

static void
a_misspelt_zone_is_guessed(void)
{
    struct err err;

    if (!has_database())
        return;
    CU_ASSERT_PTR_NULL(time_zone_load(&arena, "Europe/Berlni", &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "did you mean \"Europe/Berlin\"?"));
}

static void
compare(const char *name)
{
    struct err err;
    struct time_zone *zone = time_zone_load(&arena, name, &err);
    unsigned wrong = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(zone);
    setenv("TZ", name, 1);
    tzset();
    /* From 1902 to 2106, at odd times, and near each full hour of the years around now. */
    for (int64_t at = -2145916800; at < INT64_C(4291747200);
         at += at > 1700000000 && at < 1860000000 ? 3599 : 86399 * 3) {
        time_t time = (time_t)at;
        struct tm tm;

        localtime_r(&time, &tm);
        wrong += tm.tm_gmtoff != time_zone_at(zone, at)->seconds ||
                 strcmp(tm.tm_zone, time_zone_at(zone, at)->name) != 0;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    if (wrong > 0)
        printf("#   %s: %u times are wrong\n", name, wrong);
}

static void
the_c_library_agrees_about_all_kinds_of_zones(void)
{
    static const char *const names[] = {
        "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
        "Europe/Dublin", "Africa/Casablanca", "Pacific/Apia", "America/Nuuk", "Asia/Gaza",
        "Etc/UTC", "America/Sao_Paulo", "Africa/Monrovia",
    };
    char *before = getenv("TZ") != NULL ? strdup(getenv("TZ")) : NULL;

    for (unsigned i = 0; has_database() && i < ARRAY_COUNT(names); i++)
        compare(names[i]);
    if (before != NULL)
        setenv("TZ", before, 1);
    else
        unsetenv("TZ");
    tzset();
    free(before);
}

/* ---- windows */

static struct time_windows *
windows_of(const char *text, const char *zone, struct err *err)
{
    struct slice item = slice_of(text);
    const struct strings texts = { &item, 1 };

    return time_windows_new(&arena, &texts, zone, err);
}

/* Whether the window is open just before and from that moment on. */
static void
expect_turn(const char *text, const char *zone, const char *when, bool before, bool after)
{
    struct err err;
    struct time_windows *windows = windows_of(text, zone, &err);
    int64_t at = utc(when);

    CU_ASSERT_PTR_NOT_NULL_FATAL(windows);
    CU_ASSERT_EQUAL(time_windows_has(windows, at - 1), before);
    CU_ASSERT_EQUAL(time_windows_has(windows, at), after);
    CU_ASSERT_EQUAL(time_windows_has(windows, at), after); /* remembered */
}

/* 2026-11-23 is a Monday. */
static void
a_window_opens_and_closes(void)
{
    expect_turn("Mon-Fri 08:00-18:00", "UTC", "2026-11-23 08:00:00", false, true);
    expect_turn("Mon-Fri 08:00-18:00", "UTC", "2026-11-23 18:00:00", true, false);
    expect_turn("Mon-Fri 08:00-18:00", "UTC", "2026-11-22 12:00:00", false, false);
    expect_turn("sat,SUN", "UTC", "2026-11-21 00:00:00", false, true);
    expect_turn("Sat,Sun", "UTC", "2026-11-23 00:00:00", true, false);
    expect_turn("Sat-Mon", "UTC", "2026-11-24 00:00:00", true, false);
    expect_turn("Sat-Mon", "UTC", "2026-11-23 00:00:00", true, true);
    expect_turn("20:00-24:00", "UTC", "2026-11-23 00:00:00", true, false);
    expect_turn("12-24", "UTC", "2031-12-24 00:00:00", false, true);
    expect_turn("2026-12-24", "UTC", "2026-12-25 00:00:00", true, false);
    expect_turn("2026-12-24", "UTC", "2027-12-24 00:00:00", false, false);
    expect_turn("02-29", "UTC", "2028-02-29 00:00:00", false, true);
    expect_turn("Mon, 12-24 08:00-12:00,13:00-18:00", "UTC", "2026-12-24 13:00:00", false, true);
    expect_turn("Mon, 12-24 08:00-12:00,13:00-18:00", "UTC", "2026-12-24 12:00:00", true, false);
}

static void
a_window_past_midnight_belongs_to_the_day_it_began_on(void)
{
    expect_turn("Fri 22:00-06:00", "UTC", "2026-11-27 22:00:00", false, true);
    expect_turn("Fri 22:00-06:00", "UTC", "2026-11-28 00:00:00", true, true);
    expect_turn("Fri 22:00-06:00", "UTC", "2026-11-28 06:00:00", true, false);
    expect_turn("Fri 22:00-06:00", "UTC", "2026-11-27 06:00:00", false, false);
    expect_turn("12-31 22:00-06:00", "UTC", "2027-01-01 06:00:00", true, false);
}

static void
any_of_several_windows_will_do(void)
{
    struct slice items[] = { SLICE("Mon"), SLICE("Wed 10:00-11:00") };
    const struct strings texts = { items, 2 };
    struct err err;
    struct time_windows *windows = time_windows_new(&arena, &texts, "UTC", &err);

    CU_ASSERT_TRUE(time_windows_has(windows, utc("2026-11-23 10:30:00")));
    CU_ASSERT_FALSE(time_windows_has(windows, utc("2026-11-24 10:30:00")));
    CU_ASSERT_TRUE(time_windows_has(windows, utc("2026-11-25 10:30:00")));
}

/* When clocks are turned, windows go with them. */
static void
windows_keep_to_the_wall_clock(void)
{
    if (!has_database())
        return;
    expect_turn("Mon-Fri 08:00-18:00", "Europe/Berlin", "2026-11-23 07:00:00", false, true);
    expect_turn("Mon-Fri 08:00-18:00", "Europe/Berlin", "2026-07-06 06:00:00", false, true);
    expect_turn("Sun 02:30-03:30", "Europe/Berlin", "2026-03-29 01:00:00", false, true);
    expect_turn("Sun 02:30-03:30", "Europe/Berlin", "2026-03-29 01:30:00", true, false);
    expect_turn("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25 00:00:00", false, true);
    expect_turn("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25 00:30:00", true, false);
    expect_turn("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25 01:00:00", false, true);
    expect_turn("Sat 22:00-06:00", "Europe/Berlin", "2026-03-29 04:00:00", true, false);
    expect_turn("Sat 22:00-06:00", "Europe/Berlin", "2026-10-25 05:00:00", true, false);
    expect_turn("Sat 22:00-06:00", "America/New_York", "2026-11-01 11:00:00", true, false);
    expect_turn("09:00-17:00", "Asia/Kolkata", "2026-11-23 03:30:00", false, true);
}

static void
explain_is_told_what_the_clock_shows(void)
{
    char text[TIME_WINDOW_TEXT_BYTES];
    struct err err;

    CU_ASSERT_STRING_EQUAL(time_windows_say(windows_of("Mon", "UTC", &err),
                                            utc("2026-11-24 14:03:59"), text), "Tue 14:03 UTC");
}

static void
what_is_no_window_is_refused(void)
{
    static const char *const bad[] = {
        "", " ", "Mo", "Montag", "Mon-", "Mon-Xyz", "Mon Fri-", "8:00-18:00", "08:00", "08:00-",
        "08:00-25:00", "24:00-25:00", "08:60-09:00", "08:00-08:00", "24:00-06:00", "02-30",
        "13-01", "00-10", "2026-02-29", "0000-01-01", "2026-1-1", "08:00-18:00 Mon", "08.00-18.00",
    };
    struct err err;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct time_windows *windows = windows_of(bad[i], "UTC", &err);

        CU_ASSERT_PTR_NULL(windows);
        if (windows != NULL)
            printf("#   \"%s\" is taken for a window\n", bad[i]);
    }
    CU_ASSERT_PTR_NULL(windows_of("Mon-Fri 8-18", "UTC", &err));
    CU_ASSERT_STRING_EQUAL(err.text, "time \"Mon-Fri 8-18\": \"8-18\" is no day; write \"Mon-Fri\","
                                     " \"Sat\", \"12-24\" or \"2026-12-24\"");
}

void
suite_time_window(void)
{
    CU_pSuite s = CU_add_suite("time_window", begin, end);

    CU_add_test(s, "clocks are turned when the rule says", clocks_are_turned_when_the_rule_says);
    CU_add_test(s, "in the south saving goes over the new year",
                in_the_south_saving_goes_over_the_new_year);
    CU_add_test(s, "unusual rules are understood", unusual_rules_are_understood);
    CU_add_test(s, "what is no rule is refused", what_is_no_rule_is_refused);
    CU_add_test(s, "before, between and after the times of a file",
                before_between_and_after_the_times_of_a_file);
    CU_add_test(s, "broken files are refused", broken_files_are_refused);
    CU_add_test(s, "names lead nowhere else", names_lead_nowhere_else);
    CU_add_test(s, "a misspelt zone is guessed", a_misspelt_zone_is_guessed);
    CU_add_test(s, "the C library agrees about all kinds of zones",
                the_c_library_agrees_about_all_kinds_of_zones);
    CU_add_test(s, "a window opens and closes", a_window_opens_and_closes);
    CU_add_test(s, "a window past midnight belongs to the day it began on",
                a_window_past_midnight_belongs_to_the_day_it_began_on);
    CU_add_test(s, "any of several windows will do", any_of_several_windows_will_do);
    CU_add_test(s, "windows keep to the wall clock", windows_keep_to_the_wall_clock);
    CU_add_test(s, "explain is told what the clock shows", explain_is_told_what_the_clock_shows);
    CU_add_test(s, "what is no window is refused", what_is_no_window_is_refused);
}
