/* SPDX-License-Identifier: BSD-2-Clause */
/* test_multipart.c - promises of filters/multipart.h. */
#include "config.h"

#include "filters/multipart.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/suites.h"

/* What was read, as text: "[name|filename|filename*|type]content;" for each part. */
static char told[8192];
static size_t told_bytes;

static void
tell(struct slice text)
{
    size_t room = sizeof(told) - told_bytes, bytes = text.bytes < room ? text.bytes : room;

    if (bytes > 0)
        memcpy(told + told_bytes, text.data, bytes);
    told_bytes += bytes;
}

static void
tell_part(const struct multipart_part *part)
{
    const struct slice values[] = { part->name, part->filename, part->filename_star,
                                    part->content_type };

    tell(SLICE("["));
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        tell(values[i].data != NULL ? values[i] : SLICE("-"));
        tell(i + 1 < ARRAY_COUNT(values) ? SLICE("|") : SLICE("]"));
    }
}

/* Pieces are copied to memory of their own, so that a look beyond them is seen. */
static void
feed(struct multipart *form, struct slice piece)
{
    char *copy = malloc(piece.bytes);
    struct slice in = slice_make(copy, piece.bytes), data;
    enum multipart_event event;

    memcpy(copy, piece.data, piece.bytes);
    do {
        event = multipart_next(form, &in, &data);
        switch (event) {
        case MULTIPART_PART:
            tell_part(&form->part);
            break;
        case MULTIPART_DATA:
            CU_ASSERT_TRUE(data.bytes > 0);
            tell(data);
            break;
        case MULTIPART_PART_END:
            tell(SLICE(";"));
            break;
        case MULTIPART_MORE:
        case MULTIPART_ERROR:
            break;
        }
    } while (event != MULTIPART_MORE && event != MULTIPART_ERROR);
    CU_ASSERT_TRUE(event == MULTIPART_ERROR || in.bytes == 0);
    free(copy);
}

/* Reads text in pieces of step bytes. Returns what is wrong, or NULL. */
static const char *
read_form(struct slice text, size_t step, const struct multipart_limits *limits)
{
    static char words[128];
    struct multipart form;
    struct arena arena;
    const char *error;

    arena_init(&arena, NULL, 1 << 16);
    CU_ASSERT_EQUAL_FATAL(multipart_init(&form, SLICE("xYz"), limits, &arena), 0);
    told_bytes = 0;
    for (size_t at = 0; at < text.bytes; at += step)
        feed(&form, slice_make(text.data + at, text.bytes - at < step ? text.bytes - at : step));
    error = multipart_finish(&form);
    CU_ASSERT_PTR_EQUAL(form.error != NULL ? form.error : error, error);
    if (error != NULL)
        snprintf(words, sizeof(words), "%s", error);
    arena_fini(&arena);
    return error != NULL ? words : NULL;
}

/* Whether text, cut into pieces of any length, is read as expected. */
static bool
is_read(const char *text, const char *expected)
{
    size_t bytes = strlen(text);

    for (size_t step = 1; step <= bytes; step++) {
        const char *error = read_form(slice_make(text, bytes), step, NULL);

        if (error != NULL || told_bytes != strlen(expected) ||
            memcmp(told, expected, told_bytes) != 0) {
            printf("step %zu: %s: %.*s\n", step, error != NULL ? error : "", (int)told_bytes,
                   told);
            return false;
        }
    }
    return true;
}

static bool
is_refused_with(const char *text, const char *why, const struct multipart_limits *limits)
{
    size_t bytes = strlen(text);

    for (size_t step = 1; step <= bytes; step++) {
        const char *error = read_form(slice_make(text, bytes), step, limits);

        if (error == NULL || strstr(error, why) == NULL) {
            printf("step %zu: %s\n", step, error != NULL ? error : "not refused");
            return false;
        }
    }
    return true;
}

static bool
is_refused(const char *text, const char *why)
{
    return is_refused_with(text, why, NULL);
}

#define FIELD "Content-Disposition: form-data; name=\"a\"\r\n\r\n"

/* RFC 7578 section 4. */
static void
reads_parts_with_their_names(void)
{
    CU_ASSERT_TRUE(is_read("--xYz\r\n" FIELD "one\r\n--xYz\r\n"
                           "content-disposition:form-data;name=f; filename=\"b c.txt\"\r\n"
                           "Content-Type: text/plain; charset=utf-8\r\n\r\n"
                           "two\r\nlines\r\n--xYz--\r\n",
                           "[a|-|-|-]one;[f|b c.txt|-|text/plain; charset=utf-8]two\r\nlines;"));
}

static void
reads_empty_content_and_no_line_end_at_the_end(void)
{
    CU_ASSERT_TRUE(is_read("--xYz\r\n" FIELD "\r\n--xYz--", "[a|-|-|-];"));
    CU_ASSERT_TRUE(is_read("\r\n--xYz\r\n" FIELD "\r\n--xYz--\r\n\r\n", "[a|-|-|-];"));
    CU_ASSERT_TRUE(is_read("--xYz--\r\n", ""));
}

static void
content_may_be_like_a_boundary(void)
{
    static const char text[] = "\r\n--xY\r\n-\r\r\n\n--xyz\r\n\r\n--xYx\r\r\n--";
    char whole[256], expected[256];

    snprintf(whole, sizeof(whole), "--xYz\r\n%s%s\r\n--xYz--", FIELD, text);
    snprintf(expected, sizeof(expected), "[a|-|-|-]%s;", text);
    CU_ASSERT_TRUE(is_read(whole, expected));
}

/* WHATWG HTML, multipart/form-data: names come with quotes as %22; RFC 8187. */
static void
reads_every_form_of_a_file_name(void)
{
    CU_ASSERT_TRUE(is_read("--xYz\r\nContent-Disposition: form-data; name=\"a\"; "
                           "filename=\"C:\\dir\\x%22.exe\"; filename*=UTF-8'en'%e2%82%AC.p%68p\r\n"
                           "\r\n\r\n--xYz--",
                           "[a|C:\\dir\\x%22.exe|\xe2\x82\xac.php|-];"));
    CU_ASSERT_TRUE(is_read("--xYz\r\nContent-Disposition: form-data; name=\"a\"; "
                           "filename=\"a\\\\b\"\r\n\r\n\r\n--xYz--",
                           "[a|a\\b|-|-];"));
}

static void
refuses_what_receivers_read_in_two_ways(void)
{
    CU_ASSERT_TRUE(is_refused("--xYz\r\n" FIELD "one\n--xYz\r\n", "bare line feed"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\n" FIELD "--xYz\r\n", "right behind the header"));
    CU_ASSERT_TRUE(is_refused("hello\r\n--xYz\r\n" FIELD, "does not begin"));
    CU_ASSERT_TRUE(is_refused("--xYz\n" FIELD, "behind a boundary"));
    CU_ASSERT_TRUE(is_refused("--xYz \r\n" FIELD, "behind a boundary"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\n" FIELD "one\r\n--xYzz\r\n", "behind a boundary"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\n" FIELD "one\r\n--xYz-\r\n", "behind a boundary"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\n" FIELD "\r\n--xYz--\r\n--xYz\r\n", "last boundary"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\n\r\n\r\n--xYz--", "no Content-Disposition"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Disposition: attachment; name=a\r\n\r\n",
                              "not form-data"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Disposition: form-data\r\n\r\n", "no name"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Disposition: form-data; name=a\n\n",
                              "without CR"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\n",
                              "no name"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Type: a/b;\r\n c=d\r\n", "no field"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Type : a/b\r\n", "no field"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Type: a\r\nContent-Type: b\r\n", "two fields"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Type: Multipart/mixed; boundary=i\r\n", "itself"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Type: a\x01\r\n", "control character"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Transfer-Encoding: base64\r\n", "transfer"));
}

static bool
is_disposition_refused(const char *parameters, const char *why)
{
    char text[512];

    snprintf(text, sizeof(text), "--xYz\r\nContent-Disposition: form-data; %s\r\n\r\n",
             parameters);
    return is_refused(text, why);
}

static void
refuses_file_names_that_receivers_read_in_two_ways(void)
{
    CU_ASSERT_TRUE(is_disposition_refused("name=a; name=b", "twice"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename=a.exe; FileName=b.jpg", "twice"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename*0=a; filename*1=.exe", "in parts"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename*0*=a", "in parts"));
    CU_ASSERT_TRUE(is_disposition_refused("name*=utf-8''a", "in parts"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename=\"a.exe\\\"b.jpg\"", "quote"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename=\"a", "malformed"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename=a b.exe", "malformed"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a filename=b", "malformed"));
    CU_ASSERT_TRUE(is_disposition_refused("name=a; filename*=utf-8''a%00.exe", "NUL"));
    CU_ASSERT_TRUE(is_refused("--xYz\r\nContent-Disposition: form-data; name=a\r\n"
                              "Content-Disposition: form-data; name=b\r\n", "two fields"));
}

static void
counts_bytes_lines_and_parts(void)
{
    static const struct multipart_limits few = { .header_bytes = 64, .headers = 2, .parts = 2 };

    CU_ASSERT_TRUE(is_refused_with("--xYz\r\nA: b\r\nC: d\r\nE: f\r\n", "too many lines", &few));
    CU_ASSERT_TRUE(is_refused_with("--xYz\r\nA: 0123456789012345678901234567890123456789"
                                   "012345678901234567890123456789\r\n", "too long", &few));
    CU_ASSERT_TRUE(is_refused_with("--xYz\r\n" FIELD "\r\n--xYz\r\n" FIELD "\r\n--xYz\r\n",
                                   "too many parts", &few));
    CU_ASSERT_PTR_NULL(read_form(SLICE("--xYz\r\n" FIELD "\r\n--xYz\r\n" FIELD "\r\n--xYz--"), 7,
                                 &few));
}

static void
knows_a_form_that_was_cut_short(void)
{
    static const char text[] = "--xYz\r\n" FIELD "one\r\n--xYz--";

    for (size_t bytes = 0; bytes < sizeof(text) - 1; bytes++)
        CU_ASSERT_PTR_NOT_NULL(read_form(slice_make(text, bytes), 1000, NULL));
    CU_ASSERT_PTR_NULL(read_form(slice_make(text, sizeof(text) - 1), 1000, NULL));
}

static bool
has_boundary(const char *type, const char *boundary)
{
    char text[MULTIPART_BOUNDARY_MAX];
    size_t bytes = 0;
    const char *error = multipart_boundary(slice_of(type), text, &bytes);

    return error == NULL && slice_equal(slice_make(text, bytes), slice_of(boundary));
}

static bool
has_no_boundary(const char *type, const char *why)
{
    char text[MULTIPART_BOUNDARY_MAX];
    size_t bytes = 0;
    const char *error = multipart_boundary(slice_of(type), text, &bytes);

    return error != NULL && strstr(error, why) != NULL;
}

/* RFC 2046 section 5.1.1. */
static void
finds_the_boundary(void)
{
    char type[128] = "multipart/form-data; boundary=";

    CU_ASSERT_TRUE(multipart_is_form(SLICE("Multipart/Form-Data ; boundary=x")));
    CU_ASSERT_FALSE(multipart_is_form(SLICE("multipart/mixed; boundary=x")));
    CU_ASSERT_FALSE(multipart_is_form(SLICE("multipart/form-data2; boundary=x")));
    CU_ASSERT_TRUE(multipart_is_form(SLICE("multipart/form-data, x; boundary=x")));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data x; boundary=a", "malformed"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; xBoundary=a; boundary=b", "more than"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; x=boundary; boundary=b", "more than"));
    CU_ASSERT_TRUE(has_boundary("multipart/form-data; boundary=boundary", "boundary"));
    CU_ASSERT_TRUE(has_boundary("multipart/form-data; boundary=----WebKit7", "----WebKit7"));
    CU_ASSERT_TRUE(has_boundary("multipart/form-data;charset=u;Boundary=\"a b:c\"", "a b:c"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data", "no boundary"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; boundary=a; boundary=b", "more than one"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; boundary*=a", "more than one"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; boundary=\"a\r\nb\"", "characters"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; boundary=\"a \"", "characters"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data; boundary=", "malformed"));
    CU_ASSERT_TRUE(has_no_boundary("multipart/form-data, text/plain; x", "malformed"));
    memset(type + strlen(type), 'b', 71);
    CU_ASSERT_TRUE(has_no_boundary(type, "longer"));
}

void
suite_multipart(void)
{
    CU_pSuite s = CU_add_suite("multipart", NULL, NULL);

    CU_add_test(s, "reads parts with their names", reads_parts_with_their_names);
    CU_add_test(s, "reads empty content, and no line end at the end",
                reads_empty_content_and_no_line_end_at_the_end);
    CU_add_test(s, "content may be like a boundary", content_may_be_like_a_boundary);
    CU_add_test(s, "reads every form of a file name", reads_every_form_of_a_file_name);
    CU_add_test(s, "refuses what receivers read in two ways",
                refuses_what_receivers_read_in_two_ways);
    CU_add_test(s, "refuses file names that receivers read in two ways",
                refuses_file_names_that_receivers_read_in_two_ways);
    CU_add_test(s, "counts bytes, lines and parts", counts_bytes_lines_and_parts);
    CU_add_test(s, "knows a form that was cut short", knows_a_form_that_was_cut_short);
    CU_add_test(s, "finds the boundary", finds_the_boundary);
}
