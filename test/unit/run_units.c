/* SPDX-License-Identifier: BSD-2-Clause */
/* run_units.c - runs the suites of unit tests and tells as TAP how they went.
 *
 *     run_units [SUITE ...]
 *
 * The plan is written first, so that a test that kills the program is missed; one that
 * does not end is killed.
 */
#include "config.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For the slowest test under the slowest sanitizer on a machine that does more than this. */
#define TEST_SECONDS 600

static void (*const suites[])(void) = {
#define X(noun) suite_##noun,
    SUITES(X)
#undef X
    NULL,
};

static unsigned done, failed;

static void
on_test_start(const CU_pTest test, const CU_pSuite suite)
{
    (void)test;
    (void)suite;
    alarm(TEST_SECONDS);
}

/* CUnit calls this after each test with the list of what failed in it. */
static void
on_test(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord first)
{
    const struct CU_FailureRecord *record;

    done++;
    if (first != NULL)
        failed++;
    printf("%s %u - %s: %s\n", first != NULL ? "not ok" : "ok", done, suite->pName, test->pName);
    for (record = first; record != NULL; record = record->pNext)
        printf("#   %s:%u: %s\n", record->strFileName, record->uiLineNumber,
               record->strCondition);
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
    CU_cleanup_registry();
    printf("# units: %u passed, %u failed\n", done - failed, failed);
    return failed > 0 ? 1 : 0;
}
