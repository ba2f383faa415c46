/* SPDX-License-Identifier: BSD-2-Clause */
/* test_clamd_answer.c - promises of filters/clamd_answer.h (clamd(8), INSTREAM). */
#include "config.h"

#include "filters/clamd_answer.h"

#include "server/base/must.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <string.h>

static struct clamd_answer answer;

/* text with the NUL at its end, step bytes at a time. */
static enum clamd_reply
read_in_steps(const char *text, size_t bytes, size_t step)
{
    enum clamd_reply reply = CLAMD_REPLY_MORE;

    answer = (struct clamd_answer){ .bytes = 0 };
    for (size_t at = 0; at < bytes && reply == CLAMD_REPLY_MORE; at += step)
        reply = clamd_answer_read(&answer, text + at, step < bytes - at ? step : bytes - at);
    return reply;
}

static void
check(const char *text, enum clamd_reply expected)
{
    for (size_t step = 1; step < 100; step = step * 3 + 1)
        CU_ASSERT_EQUAL(read_in_steps(text, strlen(text) + 1, step), expected);
}

static void
each_answer_is_understood_however_it_arrives(void)
{
    check("stream: OK", CLAMD_REPLY_OK);
    check("stream: Eicar-Test FOUND", CLAMD_REPLY_FOUND);
    CU_ASSERT_TRUE(slice_equal(answer.name, SLICE("Eicar-Test")));
    check("INSTREAM size limit exceeded. ERROR", CLAMD_REPLY_TOO_LONG);
    check("stream: Can't allocate memory ERROR", CLAMD_REPLY_ERROR);
    check("INSTREAM: Can't write to temporary file. ERROR", CLAMD_REPLY_ERROR);
}

static void
an_answer_without_its_end_is_not_taken_for_one(void)
{
    CU_ASSERT_EQUAL(read_in_steps("stream: OK", 10, 10), CLAMD_REPLY_MORE);
    CU_ASSERT_EQUAL(read_in_steps("", 0, 1), CLAMD_REPLY_MORE);
}

static void
anything_else_makes_no_sense(void)
{
    static const char *const texts[] = {
        "", "OK", "stream: ", "stream: ok", "stream: OK ", " stream: OK", "UNKNOWN COMMAND",
        "stream: FOUND", "stream:  FOUND", "Eicar-Test FOUND", "1: stream: OK", "PONG",
        "stream: OK\n", "HTTP/1.1 200 OK",
    };

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        check(texts[i], CLAMD_REPLY_NONSENSE);
}

static void
names_are_short_and_can_be_seen(void)
{
    char text[CLAMD_ANSWER_BYTES + 100] = "stream: ";

    check("stream: a b\x01\x7f\xff<c> FOUND", CLAMD_REPLY_FOUND);
    CU_ASSERT_TRUE(slice_equal(answer.name, SLICE("a_b___<c>")));
    memset(text + 8, 'x', 400);
    strcpy(text + 408, " FOUND");
    check(text, CLAMD_REPLY_FOUND);
    CU_ASSERT_EQUAL(answer.name.bytes, CLAMD_NAME_BYTES);
}

static void
no_more_is_read_than_an_answer_may_have(void)
{
    char text[CLAMD_ANSWER_BYTES + 100];

    memset(text, 'x', sizeof(text));
    for (size_t step = 1; step <= sizeof(text); step += 200)
        CU_ASSERT_EQUAL(read_in_steps(text, sizeof(text), step), CLAMD_REPLY_NONSENSE);
}

void
suite_clamd_answer(void)
{
    CU_pSuite s = CU_add_suite("clamd_answer", NULL, NULL);

    CU_add_test(s, "each answer is understood, however it arrives",
                each_answer_is_understood_however_it_arrives);
    CU_add_test(s, "an answer without its end is not taken for one",
                an_answer_without_its_end_is_not_taken_for_one);
    CU_add_test(s, "anything else makes no sense", anything_else_makes_no_sense);
    CU_add_test(s, "names are short and can be seen", names_are_short_and_can_be_seen);
    CU_add_test(s, "no more is read than an answer may have",
                no_more_is_read_than_an_answer_may_have);
}
