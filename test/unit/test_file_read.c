/* SPDX-License-Identifier: BSD-2-Clause */
/* test_file_read.c - whole files, and those that are not taken. */
#include "config.h"

#include "server/file_read.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void suite_file_read(void);

static char folder[] = "/tmp/bascule-file-XXXXXX";
static char path[64];

static int
set_up(void)
{
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/text", folder);
    return 0;
}

static int
tear_down(void)
{
    (void)unlink(path);
    return rmdir(folder);
}

static void
write_text(const char *text)
{
    FILE *out = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT(fputs(text, out) >= 0 && fclose(out) == 0);
}

static void
reads_all_of_it(void)
{
    static const char *const texts[] = { "", "x", "two\nlines\n" };

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct slice text;

        write_text(texts[i]);
        CU_ASSERT_EQUAL_FATAL(file_read(path, strlen(texts[i]), &text, NULL), 0);
        CU_ASSERT(slice_equal(text, slice_of(texts[i])));
        CU_ASSERT_EQUAL(text.data[text.bytes], '\0');
        file_text_free(&text);
        CU_ASSERT(text.data == NULL && text.bytes == 0);
        file_text_free(&text);
    }
}

/* Says which file, and leaves nothing to be freed. */
static bool
is_refused(size_t bytes_max, const char *why)
{
    struct slice text = SLICE("of before");
    struct err err;

    return file_read(path, bytes_max, &text, &err) == -1 && text.data == NULL &&
           strstr(err.text, path) != NULL && strstr(err.text, why) != NULL;
}

static void
says_why_it_reads_nothing(void)
{
    write_text("1234");
    CU_ASSERT(is_refused(3, "has more than 3 bytes"));
    (void)unlink(path);
    CU_ASSERT(is_refused(3, "No such file"));
}

/* Nobody may ever write to it. */
static void
waits_for_no_pipe(void)
{
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    CU_ASSERT(is_refused(3, ""));
    (void)unlink(path);
}

/* Its length is not what is in it: as with one that is being written. */
static void
takes_nothing_that_changes(void)
{
    struct slice text;
    struct err err;

    CU_ASSERT_EQUAL(file_read("/proc/self/status", 100, &text, &err), -1);
    CU_ASSERT_STRING_EQUAL(err.text, "/proc/self/status: changes while it is read");
}

void
suite_file_read(void)
{
    CU_pSuite s = CU_add_suite("file_read", set_up, tear_down);

    CU_add_test(s, "a whole file is read", reads_all_of_it);
    CU_add_test(s, "what is too large or not there is named", says_why_it_reads_nothing);
    CU_add_test(s, "a pipe is not waited for", waits_for_no_pipe);
    CU_add_test(s, "a file that changes is not taken", takes_nothing_that_changes);
}
