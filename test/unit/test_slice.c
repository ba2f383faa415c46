/* SPDX-License-Identifier: BSD-2-Clause */
/* test_slice.c - promises of base/slice.h. */
#include "config.h"

#include "server/base/slice.h"

#include <CUnit/CUnit.h>

#include "test/unit/suites.h"

/* RFC 9110 section 5.6.1. */
static void
list_elements_are_trimmed_and_empty_ones_passed_over(void)
{
    struct slice list = SLICE(" a ,, \"b,c\" ,\td");
    struct slice element;

    CU_ASSERT_TRUE(slice_next_element(&list, &element));
    CU_ASSERT_TRUE(slice_equal(element, SLICE("a")));
    CU_ASSERT_TRUE(slice_next_element(&list, &element));
    CU_ASSERT_TRUE(slice_equal(element, SLICE("\"b,c\"")));
    CU_ASSERT_TRUE(slice_next_element(&list, &element));
    CU_ASSERT_TRUE(slice_equal(element, SLICE("d")));
    CU_ASSERT_FALSE(slice_next_element(&list, &element));
}

static void
an_unfinished_quoted_string_ends_with_the_list(void)
{
    struct slice list = SLICE("\"a, b\\");
    struct slice element;

    CU_ASSERT_TRUE(slice_next_element(&list, &element));
    CU_ASSERT_EQUAL(element.bytes, 6);
    CU_ASSERT_FALSE(slice_next_element(&list, &element));
}

static void
tokens_are_found_in_lists_whatever_their_case(void)
{
    CU_ASSERT_TRUE(slice_list_has(SLICE("keep-alive, Close"), SLICE("close")));
    CU_ASSERT_FALSE(slice_list_has(SLICE("closed"), SLICE("close")));
}

static void
digits_and_characters_are_taken_off_the_head(void)
{
    struct slice text = SLICE("2026-9x");

    CU_ASSERT_TRUE(slice_equal(slice_take_digits(&text, 3), SLICE("202")));
    CU_ASSERT_TRUE(slice_equal(slice_take_digits(&text, SIZE_MAX), SLICE("6")));
    CU_ASSERT_EQUAL(slice_take_digits(&text, SIZE_MAX).bytes, 0);
    CU_ASSERT_FALSE(slice_take_char(&text, '9'));
    CU_ASSERT_TRUE(slice_take_char(&text, '-'));
    CU_ASSERT_EQUAL(slice_take_digits(&text, 0).bytes, 0);
    CU_ASSERT_TRUE(slice_take_char(&text, '9') && slice_take_char(&text, 'x'));
    CU_ASSERT_FALSE(slice_take_char(&text, 'x'));
    CU_ASSERT_EQUAL(slice_take_digits(&text, SIZE_MAX).bytes, 0);
}

static void
numbers_are_digits_and_nothing_else(void)
{
    uint64_t n = 7;

    CU_ASSERT_TRUE(slice_to_u64(SLICE("0042"), 100, &n));
    CU_ASSERT_EQUAL(n, 42);
    CU_ASSERT_FALSE(slice_to_u64(SLICE(""), 100, &n));
    CU_ASSERT_FALSE(slice_to_u64(SLICE("+1"), 100, &n));
    CU_ASSERT_FALSE(slice_to_u64(SLICE("1 "), 100, &n));
    CU_ASSERT_FALSE(slice_to_u64(SLICE("101"), 100, &n));
    CU_ASSERT_FALSE(slice_to_u64(SLICE("18446744073709551616"), UINT64_MAX, &n));
    CU_ASSERT_TRUE(slice_to_u64(SLICE("18446744073709551615"), UINT64_MAX, &n));
    CU_ASSERT_EQUAL(n, UINT64_MAX);
}

static void
ranges_are_one_number_or_two(void)
{
    uint64_t first = 7, last = 7;

    CU_ASSERT_TRUE(slice_to_range(SLICE("8000-8999"), 65535, &first, &last));
    CU_ASSERT_EQUAL(first, 8000);
    CU_ASSERT_EQUAL(last, 8999);
    CU_ASSERT_TRUE(slice_to_range(SLICE("443"), 65535, &first, &last));
    CU_ASSERT_EQUAL(first, 443);
    CU_ASSERT_EQUAL(last, 443);
    CU_ASSERT_FALSE(slice_to_range(SLICE("-443"), 65535, &first, &last));
    CU_ASSERT_FALSE(slice_to_range(SLICE("443-"), 65535, &first, &last));
    CU_ASSERT_FALSE(slice_to_range(SLICE("1-2-3"), 65535, &first, &last));
    CU_ASSERT_FALSE(slice_to_range(SLICE("1-65536"), 65535, &first, &last));
    CU_ASSERT_FALSE(slice_to_range(SLICE(""), 65535, &first, &last));
}

void
suite_slice(void)
{
    CU_pSuite s = CU_add_suite("slice", NULL, NULL);

    CU_add_test(s, "list elements are trimmed and empty ones passed over",
                list_elements_are_trimmed_and_empty_ones_passed_over);
    CU_add_test(s, "an unfinished quoted string ends with the list",
                an_unfinished_quoted_string_ends_with_the_list);
    CU_add_test(s, "tokens are found in lists whatever their case",
                tokens_are_found_in_lists_whatever_their_case);
    CU_add_test(s, "digits and characters are taken off the head",
                digits_and_characters_are_taken_off_the_head);
    CU_add_test(s, "numbers are digits and nothing else", numbers_are_digits_and_nothing_else);
    CU_add_test(s, "ranges are one number or two", ranges_are_one_number_or_two);
}
