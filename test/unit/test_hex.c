/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hex.c - promises of base/hex.h. */
#include "config.h"

#include "server/base/hex.h"

#include <CUnit/CUnit.h>

#include "test/unit/suites.h"

static void
of_all_bytes_the_digits_of_both_cases_have_a_value(void)
{
    const char *lower = "0123456789abcdef", *upper = "0123456789ABCDEF";

    for (int c = 0; c < 256; c++) {
        const char *at = c != 0 ? strchr(lower, c) : NULL;
        int value = at != NULL ? (int)(at - lower) : -1;

        at = c != 0 ? strchr(upper, c) : NULL;
        if (at != NULL)
            value = (int)(at - upper);
        CU_ASSERT_EQUAL(hex_value((char)c), value);
    }
}

static void
a_byte_is_written_and_read_as_two_digits(void)
{
    char text[3] = "";

    for (int byte = 0; byte < 256; byte++) {
        CU_ASSERT_PTR_EQUAL(hex_put(text, (uint8_t)byte), text + 2);
        CU_ASSERT_EQUAL(hex_byte(text), byte);
        CU_ASSERT_PTR_EQUAL(hex_put_upper(text, (uint8_t)byte), text + 2);
        CU_ASSERT_EQUAL(hex_byte(text), byte);
    }
    hex_put(text, 0xa9);
    CU_ASSERT_STRING_EQUAL(text, "a9");
    hex_put_upper(text, 0xfe);
    CU_ASSERT_STRING_EQUAL(text, "FE");
    CU_ASSERT_EQUAL(hex_byte("g0"), -1);
    CU_ASSERT_EQUAL(hex_byte("0g"), -1);
    CU_ASSERT_EQUAL(hex_byte("0"), -1);
    CU_ASSERT_EQUAL(hex_byte(""), -1);
}

/* RFC 3986 section 2.1. */
static void
a_percent_escape_is_whole_or_none(void)
{
    CU_ASSERT_EQUAL(hex_unescape(SLICE("%2Fpath")), '/');
    CU_ASSERT_EQUAL(hex_unescape(SLICE("%ff")), 0xff);
    CU_ASSERT_EQUAL(hex_unescape(SLICE("%00")), 0);
    CU_ASSERT_EQUAL(hex_unescape(slice_make("%2F", 2)), -1);
    CU_ASSERT_EQUAL(hex_unescape(SLICE("%")), -1);
    CU_ASSERT_EQUAL(hex_unescape(SLICE("%2G")), -1);
    CU_ASSERT_EQUAL(hex_unescape(SLICE("02F")), -1);
    CU_ASSERT_EQUAL(hex_unescape(SLICE("")), -1);
}

static void
a_number_has_no_zeros_in_front(void)
{
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {
        { 0, "0" },         { 1, "1" },
        { 15, "f" },        { 16, "10" },
        { 0xabc, "abc" },   { UINT64_C(1) << 60, "1000000000000000" },
        { 0x1000, "1000" }, { UINT64_MAX, "ffffffffffffffff" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[16];
        size_t bytes = (size_t)(hex_put_number(text, rows[i].n) - text);
        uint64_t n = 7;

        CU_ASSERT_TRUE(slice_equal(slice_make(text, bytes), slice_of(rows[i].text)));
        CU_ASSERT_TRUE(hex_to_u64(slice_make(text, bytes), &n));
        CU_ASSERT_EQUAL(n, rows[i].n);
    }
}

static void
a_number_is_read_from_up_to_sixteen_digits_and_nothing_else(void)
{
    uint64_t n = 7;

    CU_ASSERT_TRUE(hex_to_u64(SLICE("00000000000000Ff"), &n));
    CU_ASSERT_EQUAL(n, 255);
    CU_ASSERT_FALSE(hex_to_u64(SLICE(""), &n));
    CU_ASSERT_FALSE(hex_to_u64(SLICE("00000000000000000"), &n));
    CU_ASSERT_FALSE(hex_to_u64(SLICE("0x1"), &n));
    CU_ASSERT_FALSE(hex_to_u64(SLICE("-1"), &n));
    CU_ASSERT_FALSE(hex_to_u64(SLICE("1 "), &n));
    CU_ASSERT_EQUAL(n, 255);
}

static void
runs_of_bytes_come_back_from_their_digits(void)
{
    static const unsigned char data[] = { 0x00, 0x7f, 0x80, 0xff };
    unsigned char back[sizeof(data)];
    char text[2 * sizeof(data)];

    hex_encode(data, sizeof(data), text);
    CU_ASSERT_TRUE(slice_equal(slice_make(text, sizeof(text)), SLICE("007f80ff")));
    CU_ASSERT_TRUE(hex_decode(SLICE("007F80fF"), back, sizeof(back)));
    CU_ASSERT_EQUAL(memcmp(back, data, sizeof(data)), 0);
    CU_ASSERT_FALSE(hex_decode(SLICE("007f80f"), back, sizeof(back)));
    CU_ASSERT_FALSE(hex_decode(SLICE("007f80ff0"), back, sizeof(back)));
    CU_ASSERT_FALSE(hex_decode(SLICE("007f80fg"), back, sizeof(back)));
}

void
suite_hex(void)
{
    CU_pSuite s = CU_add_suite("hex", NULL, NULL);

    CU_add_test(s, "of all bytes the digits of both cases have a value",
                of_all_bytes_the_digits_of_both_cases_have_a_value);
    CU_add_test(s, "a byte is written and read as two digits",
                a_byte_is_written_and_read_as_two_digits);
    CU_add_test(s, "a percent-escape is whole or none", a_percent_escape_is_whole_or_none);
    CU_add_test(s, "a number has no zeros in front", a_number_has_no_zeros_in_front);
    CU_add_test(s, "a number is read from up to sixteen digits and nothing else",
                a_number_is_read_from_up_to_sixteen_digits_and_nothing_else);
    CU_add_test(s, "runs of bytes come back from their digits",
                runs_of_bytes_come_back_from_their_digits);
}
