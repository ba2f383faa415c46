/* SPDX-License-Identifier: BSD-2-Clause */
/* run_units.c - runs the suites of unit tests and tells as TAP how they went.
 *
 *     run_units [SUITE ...]
 *
 * The plan is written first, so that a test that kills the program is missed; one that
 * does not end is killed. One that failed runs once more behind all others: what passes then
 * was held up by the machine, and is told as unsteady. Nothing excuses a sanitizer's report.
 */
#include "config.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILURES_MAX 100

/* For the slowest test under the slowest sanitizer on a machine that does more than this. */
#define TEST_SECONDS 600

static void (*const suites[])(void) = {
#define X(noun) suite_##noun,
    SUITES(X)
#undef X
    NULL,
};

struct failure {
    CU_pTest test;
    CU_pSuite suite;
};

static unsigned done, failed;
static struct failure first_failures[FAILURES_MAX];
static unsigned first_failure_count;
static bool is_last_chance;

static void
on_test_start(const CU_pTest test, const CU_pSuite suite)
{
    (void)test;
    (void)suite;
    alarm(TEST_SECONDS);
}

static void
tell_failures(const struct CU_FailureRecord *record)
{
    for (; record != NULL; record = record->pNext)
        printf("#   %s:%u: %s\n", record->strFileName, record->uiLineNumber,
               record->strCondition);
}

/* CUnit calls this after each test with the list of what failed in it. */
static void
on_test(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord first)
{
    if (first != NULL && !is_last_chance && first_failure_count < FAILURES_MAX) {
        first_failures[first_failure_count++] = (struct failure){ test, suite };
        printf("# %s: %s: failed, and is tried again\n", suite->pName, test->pName);
        tell_failures(first);
        return;
    }
    done++;
    if (first != NULL)
        failed++;
    else if (is_last_chance)
        printf("# unsteady: %s: %s\n", suite->pName, test->pName);
    printf("%s %u - %s: %s\n", first != NULL ? "not ok" : "ok", done, suite->pName, test->pName);
    tell_failures(first);
}

static void
run_failed_again(void)
{
    is_last_chance = true;
    for (unsigned i = 0; i < first_failure_count; i++)
        CU_run_test(first_failures[i].suite, first_failures[i].test);
}

static int
run_named(int count, char **names)
{
    unsigned planned = 0;
    int i;

    for (i = 0; i < count; i++) {
        CU_pSuite suite = CU_get_suite(names[i]);

        if (suite == NULL) {
            fprintf(stderr, "run_units: no suite \"%s\"\n", names[i]);
            return -1;
        }
        planned += suite->uiNumberOfTests;
    }
    printf("1..%u\n", planned);
    for (i = 0; i < count; i++)
        CU_run_suite(CU_get_suite(names[i]));
    return 0;
}

static void
run_all(void)
{
    printf("1..%u\n", CU_get_registry()->uiNumberOfTests);
    CU_run_all_tests();
}

int
main(int argc, char **argv)
{
    size_t i;

    /* Every configuration with a forward listener would read the system's authorities. */
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    for (i = 0; suites[i] != NULL; i++)
        suites[i]();
    if (CU_get_error() != CUE_SUCCESS) {
        fprintf(stderr, "run_units: %s\n", CU_get_error_msg());
        return 2;
    }
    CU_set_test_start_handler(on_test_start);
    CU_set_test_complete_handler(on_test);
    if (argc > 1 && run_named(argc - 1, argv + 1) < 0)
        return 2;
    if (argc == 1)
        run_all();
    run_failed_again();
    CU_cleanup_registry();
    printf("# units: %u passed, %u failed\n", done - failed, failed);
    return failed > 0 ? 1 : 0;
}
