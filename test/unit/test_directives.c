/* SPDX-License-Identifier: BSD-2-Clause */
/* test_directives.c - Cache-Control (RFC 9111 section 5.2), Pragma (section
 * 5.4) and CDN-Cache-Control (RFC 9213). */
#include "config.h"

#include "cache/directives.h"

#include <CUnit/CUnit.h>

void suite_directives(void);

static struct arena arena;

static int
init(void)
{
    arena_init(&arena, NULL, 1024 * 1024);
    return 0;
}

static int
fini(void)
{
    arena_fini(&arena);
    return 0;
}

/* Lines of one message: "Name: value" each, the last NULL. */
static struct fields *
fields_of(const char *const lines[])
{
    struct fields *fields = arena_zalloc(&arena, sizeof(*fields));

    for (; *lines != NULL; lines++) {
        const char *colon = strchr(*lines, ':');

        fields_add_name(fields, &arena, slice_make(*lines, (size_t)(colon - *lines)),
                        slice_trim(slice_of(colon + 1)));
    }
    return fields;
}

static struct directives
of_response(const char *const lines[])
{
    struct directives directives;

    memset(&directives, 0xff, sizeof(directives));
    directives_of_response(&directives, fields_of(lines));
    return directives;
}

static struct directives
of_request(const char *const lines[])
{
    struct directives directives;

    memset(&directives, 0xff, sizeof(directives));
    directives_of_request(&directives, fields_of(lines));
    return directives;
}

#define RESPONSE(...) of_response((const char *const[]){ __VA_ARGS__, NULL })
#define REQUEST(...) of_request((const char *const[]){ __VA_ARGS__, NULL })
#define CC(value) RESPONSE("Cache-Control: " value)
#define CDN(value) RESPONSE("CDN-Cache-Control: " value, "Cache-Control: no-store")

/* RFC 9111 sections 5.2.1 and 5.2.2, RFC 5861, RFC 8246. */
static void
knows_every_directive(void)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } bare[] = {
        { "no-store", DIRECTIVE_NO_STORE }, { "no-cache", DIRECTIVE_NO_CACHE },
        { "private", DIRECTIVE_PRIVATE }, { "public", DIRECTIVE_PUBLIC },
        { "must-revalidate", DIRECTIVE_MUST_REVALIDATE },
        { "proxy-revalidate", DIRECTIVE_PROXY_REVALIDATE },
        { "must-understand", DIRECTIVE_MUST_UNDERSTAND },
        { "immutable", DIRECTIVE_IMMUTABLE }, { "no-transform", DIRECTIVE_NO_TRANSFORM },
        { "only-if-cached", DIRECTIVE_ONLY_IF_CACHED },
    };

    for (size_t i = 0; i < ARRAY_COUNT(bare); i++) {
        const char *lines[] = { "Cache-Control: x", NULL };
        struct directives d;

        lines[0] = arena_printf(&arena, "Cache-Control: %s", bare[i].name).data;
        d = of_response(lines);
        CU_ASSERT_EQUAL(d.present, bare[i].bit);
    }
    CU_ASSERT_EQUAL(CC("max-age=1").max_age_s, 1);
    CU_ASSERT_EQUAL(CC("s-maxage=2").s_maxage_s, 2);
    CU_ASSERT_EQUAL(CC("min-fresh=3").min_fresh_s, 3);
    CU_ASSERT_EQUAL(CC("max-stale=4").max_stale_s, 4);
    CU_ASSERT_EQUAL(CC("stale-while-revalidate=5").stale_while_revalidate_s, 5);
    CU_ASSERT_EQUAL(CC("stale-if-error=6").stale_if_error_s, 6);
    CU_ASSERT_EQUAL(CC("max-age=1").present, DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(CC("stale-if-error=6").present, DIRECTIVE_STALE_IF_ERROR);
}

/* RFC 9111 section 5.2: names are case-insensitive. */
static void
reads_names_whatever_their_case(void)
{
    CU_ASSERT_EQUAL(CC("MaX-aGe=3600").max_age_s, 3600);
    CU_ASSERT_EQUAL(CC("No-StOrE").present, DIRECTIVE_NO_STORE);
    CU_ASSERT_EQUAL(CC("No-CaChE").present, DIRECTIVE_NO_CACHE);
}

/* RFC 9111 section 5.2.3: unknown directives are ignored. */
static void
ignores_what_it_does_not_know(void)
{
    CU_ASSERT_EQUAL(CC("foobar, max-age=3600").max_age_s, 3600);
    CU_ASSERT_EQUAL(CC("foo=bar, max-age=3600, baz=\"q\"").present, DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(CC("no-stored, no-stor, xno-store, max-agee=1").present, 0);
}

/* RFC 9110 section 5.6.1: empty elements count for nothing. */
static void
reads_lists_with_gaps(void)
{
    CU_ASSERT_EQUAL(CC(", ,\tno-store ,, max-age=5\t,").present,
                    DIRECTIVE_NO_STORE | DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(CC("").present, 0);
    CU_ASSERT_EQUAL(CC(",,,").present, 0);
    CU_ASSERT_EQUAL(CC("=5, =, \", ;;;").present, 0);
    CU_ASSERT_EQUAL(RESPONSE("Via: x").present, 0);
}

/* RFC 9110 section 5.2: all lines are one list. */
static void
reads_every_line(void)
{
    struct directives d = RESPONSE("Cache-Control: max-age=3600", "Via: x",
                                   "cache-control: s-maxage=1", "Cache-Control: public");

    CU_ASSERT_EQUAL(d.present, DIRECTIVE_MAX_AGE | DIRECTIVE_S_MAXAGE | DIRECTIVE_PUBLIC);
    CU_ASSERT_EQUAL(d.max_age_s, 3600);
    CU_ASSERT_EQUAL(d.s_maxage_s, 1);
}

/* RFC 9111 section 5.2: both forms of arguments are accepted. */
static void
reads_quoted_numbers(void)
{
    CU_ASSERT_EQUAL(CC("max-age=\"3600\"").max_age_s, 3600);
    CU_ASSERT_EQUAL(CC("max-age=\"3600\" , s-maxage=\"1\"").s_maxage_s, 1);
    CU_ASSERT_EQUAL(CC("max-age=\"\"").max_age_s, 0);
    CU_ASSERT_EQUAL(CC("max-age='3600'").max_age_s, 0);
    CU_ASSERT_EQUAL(CC("max-age=\"3600").max_age_s, 0);
    CU_ASSERT_EQUAL(CC("max-age=\"3600\"x").max_age_s, 0);
}

/* RFC 9110 section 5.6.4: what is quoted is no directive. */
static void
passes_over_quoted_strings(void)
{
    CU_ASSERT_EQUAL(CC("extension=\"max-age=3600\", max-age=1").max_age_s, 1);
    CU_ASSERT_EQUAL(CC("max-age=1, extension=\"max-age=3600\"").max_age_s, 1);
    CU_ASSERT_EQUAL(CC("x=\"a, no-store, b\"").present, 0);
    CU_ASSERT_EQUAL(CC("x=\"a\\\", no-store\"").present, 0);
    CU_ASSERT_EQUAL(CC("x=\"a\\\\\", no-store").present, DIRECTIVE_NO_STORE);
}

/* A quote that is never closed would otherwise hide what forbids. */
static void
lets_no_open_quote_hide_directives(void)
{
    CU_ASSERT_EQUAL(CC("x=\"a, no-store").present, DIRECTIVE_NO_STORE);
    CU_ASSERT_EQUAL(CC("x=\"a\\, private\\").present, DIRECTIVE_PRIVATE);
    CU_ASSERT_EQUAL(CC("no-store=\"").present, DIRECTIVE_NO_STORE);
}

/* RFC 9111 section 1.2.2: overflow saturates at 2^31; leading zeros are digits. */
static void
reads_delta_seconds(void)
{
    CU_ASSERT_EQUAL(CC("max-age=003600").max_age_s, 3600);
    CU_ASSERT_EQUAL(CC("max-age=0").max_age_s, 0);
    CU_ASSERT_EQUAL(CC("max-age=2147483647").max_age_s, 2147483647);
    CU_ASSERT_EQUAL(CC("max-age=2147483648").max_age_s, DELTA_MAX);
    CU_ASSERT_EQUAL(CC("max-age=2147483649").max_age_s, DELTA_MAX);
    CU_ASSERT_EQUAL(CC("max-age=99999999999").max_age_s, DELTA_MAX);
    CU_ASSERT_EQUAL(CC("max-age=18446744073709551617").max_age_s, DELTA_MAX);
    CU_ASSERT_EQUAL(CC("max-age=99999999999999999999999999999999").max_age_s, DELTA_MAX);
}

/* RFC 9111 section 4.2.1: invalid freshness information is treated as stale. */
static void
takes_invalid_numbers_for_stale(void)
{
    static const char *const bad[] = {
        "max-age", "max-age=", "max-age=-3600", "max-age=+1", "max-age=3600.0", "max-age=3600.5",
        "max-age=a3600", "max-age=3600a", "max-age= 3600", "max-age =3600", "max-age=0x10",
        "max-age=3600 x", "max-age=3600;x", "max-age=3600=1", "max-age=1e9", "max-age;3600",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const char *lines[] = { arena_printf(&arena, "Cache-Control: %s", bad[i]).data, NULL };
        struct directives d = of_response(lines);

        CU_ASSERT_EQUAL(d.present, DIRECTIVE_MAX_AGE);
        CU_ASSERT_EQUAL(d.max_age_s, 0);
    }
    CU_ASSERT_EQUAL(CC("s-maxage=x").present, DIRECTIVE_S_MAXAGE);
    CU_ASSERT_EQUAL(CC("s-maxage=x").s_maxage_s, 0);
    CU_ASSERT_EQUAL(CC("stale-if-error=x").stale_if_error_s, 0);
}

/* RFC 9111 section 4.2.1: of duplicates, the most restrictive. */
static void
takes_the_stricter_of_two(void)
{
    CU_ASSERT_EQUAL(CC("max-age=1800, max-age=1").max_age_s, 1);
    CU_ASSERT_EQUAL(CC("max-age=1, max-age=1800").max_age_s, 1);
    CU_ASSERT_EQUAL(CC("max-age=1800, max-age=x").max_age_s, 0);
    CU_ASSERT_EQUAL(RESPONSE("Cache-Control: s-maxage=5", "Cache-Control: s-maxage=4").s_maxage_s,
                    4);
    CU_ASSERT_EQUAL(CC("min-fresh=1, min-fresh=9").min_fresh_s, 9);
    CU_ASSERT_EQUAL(CC("min-fresh=9, min-fresh=1").min_fresh_s, 9);
    CU_ASSERT_EQUAL(CC("max-stale, max-stale=9").max_stale_s, 9);
    CU_ASSERT_EQUAL(CC("stale-if-error=9, stale-if-error=3").stale_if_error_s, 3);
}

/* RFC 9111 sections 5.2.2.4 and 5.2.2.7: field names make it no weaker here. */
static void
takes_qualified_forms_for_unqualified(void)
{
    CU_ASSERT_EQUAL(CC("no-cache=\"a, b\"").present, DIRECTIVE_NO_CACHE);
    CU_ASSERT_EQUAL(CC("private=\"set-cookie\", max-age=1").present,
                    DIRECTIVE_PRIVATE | DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(CC("no-cache=a").present, DIRECTIVE_NO_CACHE);
}

/* What is malformed forbids, but does not allow. */
static void
grants_nothing_by_malformed_directives(void)
{
    CU_ASSERT_EQUAL(CC("no-store x").present, DIRECTIVE_NO_STORE);
    CU_ASSERT_EQUAL(CC("no-store=1, private;, no-cache=\"").present,
                    DIRECTIVE_NO_STORE | DIRECTIVE_PRIVATE | DIRECTIVE_NO_CACHE);
    CU_ASSERT_EQUAL(CC("public=1").present, 0);
    CU_ASSERT_EQUAL(CC("public x").present, 0);
    CU_ASSERT_EQUAL(CC("must-understand=\"\"").present, 0);
    CU_ASSERT_EQUAL(CC("immutable=").present, 0);
    CU_ASSERT_EQUAL(CC("public, public=1").present, DIRECTIVE_PUBLIC);
}

/* RFC 9111 section 5.2.1.2: without an argument any age will do. */
static void
reads_max_stale_without_a_number(void)
{
    CU_ASSERT_EQUAL(REQUEST("Cache-Control: max-stale").max_stale_s, DELTA_MAX);
    CU_ASSERT_EQUAL(REQUEST("Cache-Control: max-stale=10").max_stale_s, 10);
    CU_ASSERT_EQUAL(REQUEST("Cache-Control: max-stale=").max_stale_s, 0);
    CU_ASSERT_EQUAL(REQUEST("Cache-Control: max-stale=x").max_stale_s, 0);
}

/* RFC 9111 section 5.4: only in requests, only without Cache-Control. */
static void
heeds_pragma_without_cache_control(void)
{
    CU_ASSERT_EQUAL(REQUEST("Pragma: no-cache").present, DIRECTIVE_NO_CACHE);
    CU_ASSERT_EQUAL(REQUEST("Pragma: x", "Pragma: y, No-Cache").present, DIRECTIVE_NO_CACHE);
    CU_ASSERT_EQUAL(REQUEST("Pragma: unrecognised-extension").present, 0);
    CU_ASSERT_EQUAL(REQUEST("Pragma: no-cache", "Cache-Control: max-age=5").present,
                    DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(RESPONSE("Pragma: no-cache").present, 0);
}

/* RFC 9213 section 2.2: the targeted field alone counts. */
static void
prefers_the_targeted_field(void)
{
    struct directives d = CDN("max-age=10000");

    CU_ASSERT_TRUE(d.is_targeted);
    CU_ASSERT_EQUAL(d.present, DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(d.max_age_s, 10000);
    d = RESPONSE("Cache-Control: max-age=10000", "CDN-Cache-Control: no-store");
    CU_ASSERT_EQUAL(d.present, DIRECTIVE_NO_STORE);
    d = RESPONSE("Cache-Control: max-age=10000", "CDN-Cache-Control: private");
    CU_ASSERT_EQUAL(d.present, DIRECTIVE_PRIVATE);
    d = CDN("foobar, max-age=3600");
    CU_ASSERT_EQUAL(d.max_age_s, 3600);
    d = CDN("max-age=99999999999");
    CU_ASSERT_EQUAL(d.max_age_s, DELTA_MAX);
    CU_ASSERT_FALSE(CC("max-age=1").is_targeted);
}

/* RFC 9213 section 2.1: invalid or empty, it is as if it were not there. */
static void
ignores_invalid_targeted_fields(void)
{
    static const char *const bad[] = {
        "", " ", "max-age=10000, &&&&&", "max-age=\"10000\"", "max-age=1.5", "max-age=-1",
        "max-age", "max-age =100", "max-age= 100", "MaX-aGe=3600", "max-age=1,", "s-maxage=a",
        "stale-if-error=?1",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const char *lines[] = { arena_printf(&arena, "CDN-Cache-Control: %s", bad[i]).data,
                                "Cache-Control: no-transform, max-age=7", NULL };
        struct directives d = of_response(lines);

        CU_ASSERT_FALSE(d.is_targeted);
        CU_ASSERT_EQUAL(d.present, DIRECTIVE_NO_TRANSFORM | DIRECTIVE_MAX_AGE);
        CU_ASSERT_EQUAL(d.max_age_s, 7);
    }
}

/* RFC 9213 section 2.1 and RFC 9651 sections 3.1.2 and 4.2.2. */
static void
reads_targeted_values_as_structured(void)
{
    CU_ASSERT_EQUAL(CDN("max-age=1, max-age=9").max_age_s, 9); /* the last */
    CU_ASSERT_EQUAL(CDN("max-age=5;foo=bar").max_age_s, 5);     /* parameters are ignored */
    CU_ASSERT_EQUAL(CDN("no-cache=\"a, b\", private=?0").present, DIRECTIVE_NO_CACHE);
    CU_ASSERT_EQUAL(CDN("no-store=?0, max-age=1").present, DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(CDN("no-store, no-store=?0, max-age=1").present, DIRECTIVE_MAX_AGE);
    CU_ASSERT_EQUAL(CDN("no-store=1").present, DIRECTIVE_NO_STORE);
    CU_ASSERT_EQUAL(CDN("public=1, foo").present, 0);
    CU_ASSERT_EQUAL(CDN("public").present, DIRECTIVE_PUBLIC);
}

/* RFC 9651 section 4.2: several lines are one dictionary; none may be empty. */
static void
reads_every_targeted_line(void)
{
    struct directives d = RESPONSE("CDN-Cache-Control: max-age=5", "CDN-Cache-Control: public",
                                   "Cache-Control: no-store");

    CU_ASSERT_EQUAL(d.present, DIRECTIVE_MAX_AGE | DIRECTIVE_PUBLIC);
    d = RESPONSE("CDN-Cache-Control: max-age=5", "CDN-Cache-Control: &", "Cache-Control: no-store");
    CU_ASSERT_EQUAL(d.present, DIRECTIVE_NO_STORE);
    d = RESPONSE("CDN-Cache-Control: max-age=5", "CDN-Cache-Control:", "Cache-Control: no-store");
    CU_ASSERT_EQUAL(d.present, DIRECTIVE_NO_STORE);
}

/* RFC 9213 section 2: targeted fields are for responses. */
static void
reads_no_targeted_field_in_requests(void)
{
    struct directives d = REQUEST("CDN-Cache-Control: no-store", "Cache-Control: max-age=1");

    CU_ASSERT_EQUAL(d.present, DIRECTIVE_MAX_AGE);
    CU_ASSERT_FALSE(d.is_targeted);
}

void
suite_directives(void)
{
    CU_pSuite s = CU_add_suite("directives", init, fini);

    CU_add_test(s, "knows every directive", knows_every_directive);
    CU_add_test(s, "reads names whatever their case", reads_names_whatever_their_case);
    CU_add_test(s, "ignores what it does not know", ignores_what_it_does_not_know);
    CU_add_test(s, "reads lists with gaps", reads_lists_with_gaps);
    CU_add_test(s, "reads every line", reads_every_line);
    CU_add_test(s, "reads quoted numbers", reads_quoted_numbers);
    CU_add_test(s, "passes over quoted strings", passes_over_quoted_strings);
    CU_add_test(s, "lets no open quote hide directives", lets_no_open_quote_hide_directives);
    CU_add_test(s, "reads delta-seconds", reads_delta_seconds);
    CU_add_test(s, "takes invalid numbers for stale", takes_invalid_numbers_for_stale);
    CU_add_test(s, "takes the stricter of two", takes_the_stricter_of_two);
    CU_add_test(s, "takes qualified forms for unqualified", takes_qualified_forms_for_unqualified);
    CU_add_test(s, "grants nothing by malformed directives",
                grants_nothing_by_malformed_directives);
    CU_add_test(s, "reads max-stale without a number", reads_max_stale_without_a_number);
    CU_add_test(s, "heeds Pragma without Cache-Control", heeds_pragma_without_cache_control);
    CU_add_test(s, "prefers the targeted field", prefers_the_targeted_field);
    CU_add_test(s, "ignores invalid targeted fields", ignores_invalid_targeted_fields);
    CU_add_test(s, "reads targeted values as structured", reads_targeted_values_as_structured);
    CU_add_test(s, "reads every targeted line", reads_every_targeted_line);
    CU_add_test(s, "reads no targeted field in requests", reads_no_targeted_field_in_requests);
}
