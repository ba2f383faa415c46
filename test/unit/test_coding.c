/* SPDX-License-Identifier: BSD-2-Clause */
/* test_coding.c - promises of filters/coding.h about names, wishes and fields. */
#include "config.h"

#include "filters/coding.h"

#include "test/unit/content_fixture.h"
#include "test/unit/suites.h"

static const enum coding usual[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };

/* What a client with this Accept-Encoding gets; NULL: it sends none. */
static enum coding
chosen(const char *accept)
{
    struct coding_wishes wishes;
    struct fields fields = { 0 };
    struct arena arena;
    enum coding coding;

    arena_init(&arena, NULL, 4096);
    if (accept != NULL)
        fields_add(&fields, &arena, FIELD_ACCEPT_ENCODING, slice_of(accept));
    coding_wishes_read(&wishes, &fields);
    coding = coding_choose(&wishes, usual, ARRAY_COUNT(usual));
    arena_fini(&arena);
    return coding;
}

/* RFC 9110 section 8.4.1: names are case-insensitive; section 8.4.1.3: x-gzip is gzip. */
static void
names_are_known_whatever_their_case(void)
{
    CU_ASSERT_EQUAL(coding_of(SLICE("GZip")), CODING_GZIP);
    CU_ASSERT_EQUAL(coding_of(SLICE("x-gzip")), CODING_GZIP);
    CU_ASSERT_EQUAL(coding_of(SLICE("BR")), CODING_BR);
    CU_ASSERT_EQUAL(coding_of(SLICE("zstd")), CODING_ZSTD);
    CU_ASSERT_EQUAL(coding_of(SLICE("deflate")), CODING_DEFLATE);
    CU_ASSERT_EQUAL(coding_of(SLICE("identity")), CODING_IDENTITY);
    CU_ASSERT_EQUAL(coding_of(SLICE("compress")), CODING_UNKNOWN);
    CU_ASSERT_EQUAL(coding_of(SLICE("")), CODING_UNKNOWN);
    for (enum coding coding = CODING_IDENTITY; coding < CODING_UNKNOWN; coding++)
        CU_ASSERT_EQUAL(coding_of(coding_name(coding)), coding);
}

/* RFC 9110 section 12.5.3. */
static void
the_coding_that_is_liked_best_is_chosen(void)
{
    static const struct {
        const char *accept;
        enum coding coding;
    } cases[] = {
        { NULL, CODING_IDENTITY },
        { "", CODING_IDENTITY },
        { "gzip", CODING_GZIP },
        { "x-gzip", CODING_GZIP },
        { "gzip, deflate, br, zstd", CODING_ZSTD }, /* our order among equals */
        { "gzip, deflate, br", CODING_BR },
        { "gzip;q=1.0, br;q=0.9", CODING_GZIP },
        { "gzip;q=0.5,zstd;q=0.4,br;q=0.3", CODING_GZIP },
        { "deflate", CODING_IDENTITY },
        { "*", CODING_ZSTD },
        { "zstd;q=0, *", CODING_BR },
        { "*;q=0.1, gzip", CODING_GZIP },
        { "gzip;q=0", CODING_IDENTITY },
        { "*;q=0", CODING_IDENTITY }, /* nothing is acceptable: as it is */
        { "identity;q=0, gzip;q=0.001", CODING_GZIP },
        { "identity, gzip;q=0.5", CODING_IDENTITY },
        { "identity;q=0.5, gzip;q=0.5", CODING_GZIP },
        { "identity;q=0.5, gzip;q=0.499", CODING_IDENTITY },
        { "gzip ; q=0.7 , br ; Q=0.8", CODING_BR },
        { "br;q=1.001, gzip;q=0.1", CODING_GZIP }, /* no weight: counts for nothing */
        { "br;q=0.1234, gzip;q=0.1", CODING_GZIP },
        { "br;level=3, gzip;q=0.1", CODING_GZIP },
        { "br;q=, gzip;q=0.1", CODING_GZIP },
        { ";q=1, , gzip;q=0.1,", CODING_GZIP },
        { "gzip;q=0.000", CODING_IDENTITY },
        { "bzip2, compress", CODING_IDENTITY },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum coding coding = chosen(cases[i].accept);

        if (coding != cases[i].coding)
            printf("# %s: %d\n", cases[i].accept, (int)coding);
        CU_ASSERT_EQUAL(coding, cases[i].coding);
    }
}

/* RFC 9110 section 8.4: in the order applied, over several lines. */
static void
content_encoding_is_read_in_its_order(void)
{
    struct fields fields = { 0 };
    struct codings codings;
    struct arena arena;

    arena_init(&arena, NULL, 4096);
    CU_ASSERT_TRUE(codings_read(&fields, &codings));
    CU_ASSERT_EQUAL(codings.count, 0);
    fields_add(&fields, &arena, FIELD_CONTENT_ENCODING, SLICE("deflate , identity"));
    fields_add(&fields, &arena, FIELD_CONTENT_ENCODING, SLICE("x-gzip,"));
    CU_ASSERT_TRUE(codings_read(&fields, &codings));
    CU_ASSERT_EQUAL_FATAL(codings.count, 2);
    CU_ASSERT_EQUAL(codings.items[0], CODING_DEFLATE);
    CU_ASSERT_EQUAL(codings.items[1], CODING_GZIP);
    CU_ASSERT_TRUE(codings_can_decode(&codings));
    fields_add(&fields, &arena, FIELD_CONTENT_ENCODING, SLICE("aes128gcm"));
    CU_ASSERT_TRUE(codings_read(&fields, &codings));
    CU_ASSERT_FALSE(codings_can_decode(&codings));
    fields_add(&fields, &arena, FIELD_CONTENT_ENCODING, SLICE("gzip, gzip"));
    CU_ASSERT_FALSE(codings_read(&fields, &codings));
    CU_ASSERT_EQUAL(codings.count, CODINGS_MAX);
    arena_fini(&arena);
}

static void
add_response(enum field_id id, const char *value)
{
    fields_add(&content.ex.response.fields, &content.ex.arena, id, slice_of(value));
}

static bool
response_has(enum field_id id, const char *value)
{
    return slice_equal(fields_get(&content.ex.response.fields, id), slice_of(value));
}

/* RFC 9110 sections 8.8.1 and 14.3, RFC 9530. */
static void
changed_content_loses_what_described_it(void)
{
    struct response *response = &content.ex.response;

    content_begin();
    response->body = &content.source;
    response->length = 7;
    response->ends_by_close = true;
    add_response(FIELD_CONTENT_LENGTH, "7");
    add_response(FIELD_ETAG, "\"x\"");
    add_response(FIELD_ACCEPT_RANGES, "bytes");
    add_response(FIELD_LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
    fields_add_name(&response->fields, &content.ex.arena, SLICE("Content-MD5"), SLICE("x"));
    fields_add_name(&response->fields, &content.ex.arena, SLICE("repr-digest"), SLICE("x"));
    content_changes_response(&content.ex);
    CU_ASSERT_EQUAL(response->length, LENGTH_UNKNOWN);
    CU_ASSERT_FALSE(response->ends_by_close);
    CU_ASSERT_EQUAL(response->fields.count, 2);
    CU_ASSERT_TRUE(response_has(FIELD_ETAG, "W/\"x\""));
    content_changes_response(&content.ex); /* by another filter */
    CU_ASSERT_TRUE(response_has(FIELD_ETAG, "W/\"x\""));
    content_finish();
}

/* RFC 9110 section 7.7, RFC 9111 sections 5.2.1.6 and 5.2.2.6; no part is changed. */
static void
parts_and_no_transform_stay(void)
{
    content_begin();
    content.ex.response.status = 200;
    CU_ASSERT_TRUE(content_may_change_response(&content.ex));
    content.ex.response.status = 206;
    CU_ASSERT_FALSE(content_may_change_response(&content.ex));
    content.ex.response.status = 200;
    add_response(FIELD_CACHE_CONTROL, "max-age=1");
    CU_ASSERT_TRUE(content_may_change_response(&content.ex));
    add_response(FIELD_CACHE_CONTROL, "public, No-Transform");
    CU_ASSERT_FALSE(content_may_change_response(&content.ex));
    CU_ASSERT_TRUE(content_may_change_request(&content.ex));
    fields_add(&content.ex.request.fields, &content.ex.arena, FIELD_CONTENT_RANGE,
               SLICE("bytes 0-1/5"));
    CU_ASSERT_FALSE(content_may_change_request(&content.ex));
    content_finish();
}

/* RFC 9110 section 12.5.5. */
static void
vary_is_said_once(void)
{
    content_begin();
    add_response(FIELD_VARY, "Origin");
    content_varies(&content.ex, FIELD_ACCEPT_ENCODING);
    CU_ASSERT_EQUAL(content.ex.response.fields.count, 2);
    content_varies(&content.ex, FIELD_ACCEPT_ENCODING);
    CU_ASSERT_EQUAL(content.ex.response.fields.count, 2);
    content_finish();
    content_begin();
    add_response(FIELD_VARY, "*");
    content_varies(&content.ex, FIELD_ACCEPT_ENCODING);
    CU_ASSERT_EQUAL(content.ex.response.fields.count, 1);
    content_finish();
}

/* RFC 9110 section 15.4.5: a 304 has the ETag of the 200 that it stands for. */
static void
a_304_has_the_tag_that_was_asked_for(void)
{
    static const struct {
        const char *asked, *etag;
    } cases[] = {
        { "W/\"x\"", "W/\"x\"" },
        { "\"y\", W/\"x\"", "W/\"x\"" },
        { "\"x\"", "\"x\"" },
        { "W/\"x\", \"x\"", "\"x\"" },
        { "*", "\"x\"" },
        { "W/\"xx\"", "\"x\"" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        content_begin();
        add_response(FIELD_ETAG, "\"x\"");
        fields_add(&content.ex.request.fields, &content.ex.arena, FIELD_IF_NONE_MATCH,
                   slice_of(cases[i].asked));
        content_not_modified(&content.ex);
        CU_ASSERT_TRUE(response_has(FIELD_ETAG, cases[i].etag));
        content_finish();
    }
}

void
suite_coding(void)
{
    CU_pSuite suite = CU_add_suite("coding", NULL, NULL);

    CU_add_test(suite, "names are known whatever their case", names_are_known_whatever_their_case);
    CU_add_test(suite, "the coding that is liked best is chosen",
                the_coding_that_is_liked_best_is_chosen);
    CU_add_test(suite, "Content-Encoding is read in its order",
                content_encoding_is_read_in_its_order);
    CU_add_test(suite, "changed content loses what described it",
                changed_content_loses_what_described_it);
    CU_add_test(suite, "parts and no-transform stay", parts_and_no_transform_stay);
    CU_add_test(suite, "Vary is said once", vary_is_said_once);
    CU_add_test(suite, "a 304 has the tag that was asked for",
                a_304_has_the_tag_that_was_asked_for);
}
