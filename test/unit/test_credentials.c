/* SPDX-License-Identifier: BSD-2-Clause */
/* test_credentials.c - names and passwords out of header fields. */
#include "config.h"

#include "server/users/credentials.h"
#include "server/users/digest_fields.h"

#include <CUnit/CUnit.h>
#include <openssl/evp.h>

void suite_credentials(void);

static struct arena arena;

static int
set_up(void)
{
    arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

static bool
is(struct slice s, const char *text)
{
    return slice_equal(s, slice_of(text));
}

/* ---- Basic */

/* RFC 7617 section 2: Aladdin; section 2.1: "test" with a pound sign in UTF-8. */
static void
reads_the_examples(void)
{
    struct slice name, password;

    CU_ASSERT_EQUAL(basic_parse(SLICE("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), &arena, &name,
                                &password), CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "Aladdin") && is(password, "open sesame"));
    CU_ASSERT_EQUAL(basic_parse(SLICE("Basic dGVzdDoxMjPCow=="), &arena, &name, &password),
                    CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "test") && is(password, "123\u00a3"));
}

/* RFC 7617 section 2: the scheme has no case, the name ends at the first colon. */
static void
reads_any_case_and_more_colons(void)
{
    struct slice name, password;

    CU_ASSERT_EQUAL(basic_parse(SLICE("bASIC   YTpiOmM="), &arena, &name, &password),
                    CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "a") && is(password, "b:c"));
    CU_ASSERT_EQUAL(basic_parse(SLICE("Basic YTo="), &arena, &name, &password), CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "a") && password.bytes == 0);
}

static void
passes_over_other_schemes(void)
{
    static const char *const others[] = {
        "", "Bearer YTpi", "Basicx YTpi", "Bas", "BasicYTpi", "Digest username=\"a\"",
    };
    struct slice name, password;

    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_EQUAL(basic_parse(slice_of(others[i]), &arena, &name, &password),
                        CREDENTIALS_NONE);
}

/* No colon; no name; control characters (section 2); not UTF-8; not base64. */
static void
refuses_malformed_basic(void)
{
    static const char *const bad[] = {
        "Basic", "Basic ", "Basic YQ==", "Basic OmI=", "Basic IGE6Yg==", "Basic YSA6Yg==",
        "Basic YQA6Yg==", "Basic YTpiCg==",
        "Basic YTr/", "Basic 4Dpi", "Basic YTpi YTpi", "Basic YTpi=", "Basic YTp", "Basic !!!!",
        "Basic YTrCgA==", /* U+0080 */
        "Basic YTrtoIA=", /* a surrogate */
    };
    struct slice name, password;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(basic_parse(slice_of(bad[i]), &arena, &name, &password), CREDENTIALS_BAD);
}

static void
bounds_names_and_passwords(void)
{
    char pair[USER_NAME_BYTES_MAX + 1 + PASSWORD_BYTES_MAX + 2];
    struct slice name, password, text;

    memset(pair, 'a', sizeof(pair));
    pair[USER_NAME_BYTES_MAX] = ':';
    for (size_t more = 0; more < 2; more++) {
        size_t bytes = USER_NAME_BYTES_MAX + 1 + PASSWORD_BYTES_MAX + more;
        unsigned char encoded[2048];

        EVP_EncodeBlock(encoded, (unsigned char *)pair, (int)bytes);
        text = arena_printf(&arena, "Basic %s", encoded);
        CU_ASSERT_EQUAL(basic_parse(text, &arena, &name, &password),
                        more ? CREDENTIALS_BAD : CREDENTIALS_GOOD);
    }
}

/* ---- parameters: RFC 9110 section 11.2 */

static void
reads_parameters(void)
{
    struct slice list = SLICE(" a=1,, b = \"x\\\"y, z\" ,c=\"\" "), name, value;

    CU_ASSERT_EQUAL(credentials_next(&list, &arena, &name, &value), CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "a") && is(value, "1"));
    CU_ASSERT_EQUAL(credentials_next(&list, &arena, &name, &value), CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "b") && is(value, "x\"y, z"));
    CU_ASSERT_EQUAL(credentials_next(&list, &arena, &name, &value), CREDENTIALS_GOOD);
    CU_ASSERT(is(name, "c") && value.data != NULL && value.bytes == 0);
    CU_ASSERT_EQUAL(credentials_next(&list, &arena, &name, &value), CREDENTIALS_NONE);
}

static void
refuses_malformed_parameters(void)
{
    static const char *const bad[] = {
        "a",          "=1",       "a=",       "a=\"x",    "a=\"x\\",
        "a=\"x\\\"", "a=\"x\"y", "a=1 b=2", "a=1;b=2", "\"a\"=1",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct slice list = slice_of(bad[i]), name, value;

        CU_ASSERT_EQUAL(credentials_next(&list, &arena, &name, &value), CREDENTIALS_BAD);
    }
}

/* ---- Digest */

#define REST ", realm=\"r\", nonce=\"n\", uri=\"/\", response=\"0\", cnonce=\"c\""
#define COUNTED REST ", qop=auth, nc=0000000a"

/* RFC 7616 section 3.9.1, in the order of the example. */
static void
reads_the_digest_example(void)
{
    static const char text[] =
        "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "
        "algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "
        "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "
        "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", "
        "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    struct digest_fields fields;

    CU_ASSERT_EQUAL(digest_parse(slice_of(text), &arena, &fields), CREDENTIALS_GOOD);
    CU_ASSERT(is(fields.username, "Mufasa") && is(fields.realm, "http-auth@example.org"));
    CU_ASSERT(is(fields.uri, "/dir/index.html") && is(fields.algorithm, "SHA-256"));
    CU_ASSERT(is(fields.nc, "00000001") && fields.count == 1);
    CU_ASSERT_EQUAL(fields.response.bytes, 64);
}

/* Section 3.4 with RFC 8187: names beyond ASCII come as username*. */
static void
reads_extended_names(void)
{
    struct digest_fields fields;

    CU_ASSERT_EQUAL(digest_parse(SLICE("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe" COUNTED),
                                 &arena, &fields), CREDENTIALS_GOOD);
    CU_ASSERT(is(fields.username, "J\u00e4s\u00f8n Doe"));
    CU_ASSERT_EQUAL(digest_parse(SLICE("Digest username*=utf-8'en'%41" COUNTED), &arena, &fields),
                    CREDENTIALS_GOOD);
    CU_ASSERT(is(fields.username, "A"));
    CU_ASSERT_EQUAL(digest_parse(SLICE("Digest USERNAME=\"a\"" COUNTED ", unknown=1"), &arena,
                                 &fields), CREDENTIALS_GOOD);
    CU_ASSERT_EQUAL(fields.count, 10);
}

static void
refuses_malformed_digests(void)
{
    static const char *const bad[] = {
        "Digest", "Digest username=\"a\"", "Digest username=\"\"" COUNTED,
        "Digest username=\"a\", username=\"b\"" COUNTED,
        "Digest username=\"a\", username*=UTF-8''b" COUNTED,
        "Digest username*=ISO-8859-1''b" COUNTED, "Digest username*=UTF-8''%" COUNTED,
        "Digest username*=UTF-8''%0a" COUNTED, "Digest username*=UTF-8''%ff" COUNTED,
        "Digest username*=UTF-8'b" COUNTED,
        "Digest username=\"a\"" REST ", nc=00000001",
        "Digest username=\"a\"" REST ", qop=auth",
        "Digest username=\"a\"" REST ", qop=auth-int, nc=00000001",
        "Digest username=\"a\"" REST ", qop=auth, nc=0000000",
        "Digest username=\"a\"" REST ", qop=auth, nc=00000000",
        "Digest username=\"a\"" REST ", qop=auth, nc=0000000g",
        "Digest username=\"a\", userhash=true" COUNTED,
        "Digest username=\"a\"" COUNTED " x",
    };
    struct digest_fields fields;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(digest_parse(slice_of(bad[i]), &arena, &fields), CREDENTIALS_BAD);
    CU_ASSERT_EQUAL(digest_parse(SLICE("Basic YTpi"), &arena, &fields), CREDENTIALS_NONE);
}

static void
bounds_parameters(void)
{
    struct slice text = SLICE("Digest username=\"a\"" COUNTED);
    struct digest_fields fields;

    for (unsigned i = 0; i < 32; i++)
        text = arena_printf(&arena, "%.*s, x%u=1", SLICE_ARG(text), i);
    CU_ASSERT_EQUAL(digest_parse(text, &arena, &fields), CREDENTIALS_BAD);
}

void
suite_credentials(void)
{
    CU_pSuite s = CU_add_suite("credentials", set_up, tear_down);

    CU_add_test(s, "the examples of RFC 7617 are read", reads_the_examples);
    CU_add_test(s, "the scheme has no case; colons may follow", reads_any_case_and_more_colons);
    CU_add_test(s, "other schemes are none of ours", passes_over_other_schemes);
    CU_add_test(s, "malformed Basic credentials are refused", refuses_malformed_basic);
    CU_add_test(s, "names and passwords are bounded", bounds_names_and_passwords);
    CU_add_test(s, "parameters are tokens or quoted", reads_parameters);
    CU_add_test(s, "malformed parameters are refused", refuses_malformed_parameters);
    CU_add_test(s, "the example of RFC 7616 is read", reads_the_digest_example);
    CU_add_test(s, "names beyond ASCII are read", reads_extended_names);
    CU_add_test(s, "malformed digests are refused", refuses_malformed_digests);
    CU_add_test(s, "the number of parameters is bounded", bounds_parameters);
}
