/* SPDX-License-Identifier: BSD-2-Clause */
/* test_escape.c - values in logs cannot do harm. */
#include "config.h"

#include "server/log/escape.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <time.h>

void suite_escape(void);

/* Escapes s in memory of exactly room bytes, so that AddressSanitizer sees one byte too many. */
static struct slice
escaped_in(enum escape escape, struct slice s, size_t room, bool *is_cut)
{
    static char text[6 * ESCAPE_VALUE_MAX + 16];
    char *in = malloc(s.bytes + 1), *out = malloc(room), *end;

    memcpy(in, s.data, s.bytes);
    in = realloc(in, s.bytes > 0 ? s.bytes : 1);
    *is_cut = false;
    end = escape_put(escape, out, out + room, slice_make(in, s.bytes), is_cut);
    CU_ASSERT(end >= out && end <= out + room);
    memcpy(text, out, (size_t)(end - out));
    s.bytes = (size_t)(end - out);
    s.data = text;
    free(in);
    free(out);
    return s;
}

static bool
escapes_to(enum escape escape, struct slice s, const char *expected)
{
    bool is_cut;
    struct slice found = escaped_in(escape, s, 6 * s.bytes + 8, &is_cut);

    return !is_cut && slice_equal(found, slice_of(expected));
}

static void
clean_bytes_stay(void)
{
    static const char clean[] = "GET /a/long/path/of/more/than/sixteen?bytes=1&x='y' <HTTP>/1.1";

    for (size_t n = 0; n < sizeof(clean); n++) {
        char part[sizeof(clean)];

        memcpy(part, clean, n);
        part[n] = '\0';
        CU_ASSERT(escapes_to(ESCAPE_QUOTED, slice_of(part), part));
        CU_ASSERT(escapes_to(ESCAPE_JSON, slice_of(part), part));
    }
}

static void
control_quotes_and_high_bytes_become_hex(void)
{
    struct slice hostile = SLICE("a\"b\\c\n\x1b[2J\x7f\xff\0z");

    CU_ASSERT(escapes_to(ESCAPE_QUOTED, hostile, "a\\x22b\\x5Cc\\x0A\\x1B[2J\\x7F\\xFF\\x00z"));
    CU_ASSERT(escapes_to(ESCAPE_QUOTED, SLICE("a b"), "a b"));
    CU_ASSERT(escapes_to(ESCAPE_TOKEN, SLICE("a b"), "a\\x20b"));
    CU_ASSERT(escapes_to(ESCAPE_URL, SLICE("/a b\"\xc3\xa9%20"), "/a%20b%22%C3%A9%20"));
}

/* RFC 8259 section 7; RFC 3629 section 4: no overlong forms, no surrogates. */
static void
json_keeps_utf8_and_marks_what_is_none(void)
{
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\"\\\n\x7f"), "\\\"\\\\\\u000a\\u007f"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
                         "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xe9t\xe9"), "\\u00e9t\\u00e9"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xc0\xaf"), "\\u00c0\\u00af"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xe2\x82"), "\\u00e2\\u0082"));
    CU_ASSERT(escapes_to(ESCAPE_JSON, SLICE("\xc2\x9b[2J"), "\\u009b[2J")); /* CSI, a C1 control */
}

/* A dirty byte is found wherever it stands, and nothing is lost around it. */
static void
dirty_bytes_are_found_at_every_place(void)
{
    for (size_t bytes = 1; bytes < 70; bytes++) {
        for (size_t at = 0; at < bytes; at++) {
            char text[80], expected[80];
            bool is_cut;

            memset(text, 'x', bytes);
            text[at] = '\n';
            memset(expected, 'x', bytes + 3);
            memcpy(expected + at, "\\x0A", 4);
            CU_ASSERT(slice_equal(
                escaped_in(ESCAPE_QUOTED, slice_make(text, bytes), 4 * bytes + 8, &is_cut),
                slice_make(expected, bytes + 3)));
        }
    }
}

static void
short_rooms_cut_and_say_so(void)
{
    static const char text[] = "clean start \x01\x02\xc3\xa9\"\\ and a clean end";
    struct slice s = slice_of(text);

    for (int escape = ESCAPE_QUOTED; escape <= ESCAPE_JSON; escape++) {
        for (size_t room = ESCAPE_ROOM_MIN; room < 120; room++) {
            bool is_cut;
            struct slice found = escaped_in((enum escape)escape, s, room, &is_cut);

            CU_ASSERT(!is_cut || memcmp(found.data + found.bytes - 3, "...", 3) == 0);
            CU_ASSERT(is_cut || room >= s.bytes);
            CU_ASSERT(!is_cut || room < 6 * s.bytes);
        }
    }
}

static void
long_values_are_cut_with_a_mark(void)
{
    static char text[ESCAPE_VALUE_MAX + 1];
    bool is_cut;
    struct slice found;

    memset(text, 'x', sizeof(text));
    found = escaped_in(ESCAPE_QUOTED, slice_make(text, sizeof(text)), 2 * sizeof(text), &is_cut);
    CU_ASSERT(!is_cut);
    CU_ASSERT_EQUAL(found.bytes, ESCAPE_VALUE_MAX + 3);
    CU_ASSERT(memcmp(found.data + ESCAPE_VALUE_MAX, "...", 3) == 0);
    found = escaped_in(ESCAPE_QUOTED, slice_make(text, ESCAPE_VALUE_MAX), 2 * sizeof(text),
                       &is_cut);
    CU_ASSERT_EQUAL(found.bytes, ESCAPE_VALUE_MAX);
    memcpy(text + ESCAPE_VALUE_MAX - 1, "\xc3\xa9", 2); /* the cut does not split it */
    found = escaped_in(ESCAPE_JSON, slice_make(text, sizeof(text)), 2 * sizeof(text), &is_cut);
    CU_ASSERT_EQUAL(found.bytes, ESCAPE_VALUE_MAX - 1 + 3);
}

static bool
is_written(char *(*write)(char *, uint64_t), uint64_t value, const char *expected)
{
    char text[64];

    return slice_equal(slice_make(text, (size_t)(write(text, value) - text)), slice_of(expected));
}

static void
numbers_are_exact(void)
{
    CU_ASSERT(is_written(text_u64, 0, "0"));
    CU_ASSERT(is_written(text_u64, 9, "9"));
    CU_ASSERT(is_written(text_u64, 10, "10"));
    CU_ASSERT(is_written(text_u64, 100, "100"));
    CU_ASSERT(is_written(text_u64, 12345, "12345"));
    CU_ASSERT(is_written(text_u64, UINT64_MAX, "18446744073709551615"));
    CU_ASSERT(is_written(text_hex64, 0xbeef, "000000000000beef"));
}

static void
times_are_of_their_second_and_zone(void)
{
    const char *before = getenv("TZ");
    char *zone = before != NULL ? strdup(before) : NULL;

    CU_ASSERT(is_written(text_time_iso, 1795295250123, "2026-11-21T21:07:30.123Z"));
    CU_ASSERT(is_written(text_time_iso, 1795295250999, "2026-11-21T21:07:30.999Z"));
    CU_ASSERT(is_written(text_time_iso, 1795295251007, "2026-11-21T21:07:31.007Z"));
    CU_ASSERT(is_written(text_time_iso, 951782400000, "2000-02-29T00:00:00.000Z"));
    setenv("TZ", "XXX3:30", 1);
    tzset();
    CU_ASSERT(is_written(text_time_local, 1795295252000, "21/Nov/2026:17:37:32 -0330"));
    if (zone != NULL)
        setenv("TZ", zone, 1);
    else
        unsetenv("TZ");
    tzset();
    free(zone);
}

void
suite_escape(void)
{
    CU_pSuite s = CU_add_suite("escape", NULL, NULL);

    CU_add_test(s, "clean bytes stay", clean_bytes_stay);
    CU_add_test(s, "control, quotes and high bytes become hex",
                control_quotes_and_high_bytes_become_hex);
    CU_add_test(s, "JSON keeps UTF-8 and marks what is none",
                json_keeps_utf8_and_marks_what_is_none);
    CU_add_test(s, "dirty bytes are found at every place", dirty_bytes_are_found_at_every_place);
    CU_add_test(s, "short rooms cut and say so", short_rooms_cut_and_say_so);
    CU_add_test(s, "long values are cut with a mark", long_values_are_cut_with_a_mark);
    CU_add_test(s, "numbers are exact", numbers_are_exact);
    CU_add_test(s, "times are of their second and zone", times_are_of_their_second_and_zone);
}
