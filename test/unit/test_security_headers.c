/* SPDX-License-Identifier: BSD-2-Clause */
/* test_security_headers.c - presets, options, and what the application says itself. */
#include "config.h"

#include "filters/security_headers.h"
#include "test/unit/filter_fixture.h"

void suite_security_headers(void);

#define HEADERS(text) "filter = \"security_headers\"; " text

static void
run(const char *text, struct exchange *ex)
{
    const struct filter_conf *conf = filter_made(text);

    CU_ASSERT_EQUAL(conf->ops->state_bytes, 0);
    CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, NULL, ex), FILTER_NEXT);
}

static bool
tells(const struct exchange *ex, const char *name, const char *value)
{
    return is_field(&ex->response.fields, name, value);
}

static void
presets_are_sets_of_fields(void)
{
    struct exchange *ex = exchange_begin();

    run(HEADERS(""), ex);
    CU_ASSERT(tells(ex, "X-Content-Type-Options", "nosniff"));
    CU_ASSERT(tells(ex, "X-Frame-Options", "SAMEORIGIN"));
    CU_ASSERT(tells(ex, "Referrer-Policy", "strict-origin-when-cross-origin"));
    CU_ASSERT(tells(ex, "Content-Security-Policy", "frame-ancestors 'self'"));
    CU_ASSERT_EQUAL(ex->response.fields.count, 4);
    exchange_end(ex);

    ex = exchange_begin();
    run(HEADERS("preset = \"strict\";"), ex);
    CU_ASSERT(tells(ex, "X-Frame-Options", "DENY"));
    CU_ASSERT(tells(ex, "Cross-Origin-Opener-Policy", "same-origin"));
    CU_ASSERT(tells(ex, "Cross-Origin-Resource-Policy", "same-origin"));
    CU_ASSERT_PTR_NOT_NULL(fields_find_name(&ex->response.fields, SLICE("Permissions-Policy")));
    CU_ASSERT_EQUAL(ex->response.fields.count, 7);
    exchange_end(ex);

    ex = exchange_begin();
    run(HEADERS("preset = \"api\";"), ex);
    CU_ASSERT(tells(ex, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"));
    exchange_end(ex);

    ex = exchange_begin();
    run(HEADERS("preset = \"none\"; embedder_policy = \"require-corp\";"), ex);
    CU_ASSERT(tells(ex, "Cross-Origin-Embedder-Policy", "require-corp"));
    CU_ASSERT_EQUAL(ex->response.fields.count, 1);
    exchange_end(ex);
}

/* RFC 6797 section 7.2: not over plain connections. */
static void
strict_transport_is_for_https(void)
{
    struct site_conf site = { .name = "shop" };
    struct exchange *ex = exchange_begin();

    ex->site = &site;
    run(HEADERS(""), ex);
    CU_ASSERT(tells(ex, "Strict-Transport-Security", NULL));
    fixture_client.is_tls = true;
    run(HEADERS(""), ex);
    CU_ASSERT(tells(ex, "Strict-Transport-Security", "max-age=31536000"));
    exchange_end(ex);
    ex = exchange_begin();
    ex->site = &site;
    ask(ex, "X-Forwarded-Proto", "https"); /* of a trusted proxy: others were removed */
    run(HEADERS("strict_transport_security = \"max-age=5\";"), ex);
    CU_ASSERT(tells(ex, "Strict-Transport-Security", "max-age=5"));
    exchange_end(ex);
}

static void
single_options_go_before_the_preset(void)
{
    struct exchange *ex = exchange_begin();

    run(HEADERS("frame_options = \"off\"; referrer_policy = \"same-origin\";"
                " permissions_policy = \"camera=()\";"), ex);
    CU_ASSERT(tells(ex, "X-Frame-Options", NULL));
    CU_ASSERT(tells(ex, "Referrer-Policy", "same-origin"));
    CU_ASSERT(tells(ex, "Permissions-Policy", "camera=()"));
    exchange_end(ex);
}

static void
say_it_themselves(struct exchange *ex)
{
    respond(ex, "Content-Security-Policy", "default-src *");
    respond(ex, "Content-Security-Policy", "img-src *");
    respond(ex, "referrer-policy", "unsafe-url");
    respond(ex, "cross-origin-opener-policy", "unsafe-none");
}

static void
applications_may_say_it_themselves(void)
{
    struct exchange *ex = exchange_begin();

    say_it_themselves(ex);
    run(HEADERS("preset = \"strict\";"), ex);
    CU_ASSERT(is_text(fields_joined(&ex->response.fields, FIELD_CONTENT_SECURITY_POLICY,
                                    &ex->arena), "default-src *, img-src *"));
    CU_ASSERT(tells(ex, "Referrer-Policy", "unsafe-url"));
    CU_ASSERT(tells(ex, "Cross-Origin-Opener-Policy", "unsafe-none"));
    CU_ASSERT(tells(ex, "X-Frame-Options", "DENY"));
    exchange_end(ex);

    ex = exchange_begin();
    say_it_themselves(ex);
    run(HEADERS("override = true; opener_policy = \"same-origin\";"), ex);
    CU_ASSERT(tells(ex, "Content-Security-Policy", "frame-ancestors 'self'"));
    CU_ASSERT(tells(ex, "Referrer-Policy", "strict-origin-when-cross-origin"));
    CU_ASSERT(tells(ex, "Cross-Origin-Opener-Policy", "same-origin"));
    exchange_end(ex);
}

/* CSP Level 3, section 6.4.2.2: frame-ancestors makes X-Frame-Options count no more. */
static void
our_policy_does_not_undo_their_frame_options(void)
{
    struct exchange *ex = exchange_begin();

    respond(ex, "X-Frame-Options", "DENY");
    run(HEADERS(""), ex);
    CU_ASSERT(tells(ex, "X-Frame-Options", "DENY"));
    CU_ASSERT(tells(ex, "Content-Security-Policy", NULL));
    run(HEADERS("content_security_policy = \"default-src 'self'\";"), ex);
    CU_ASSERT(tells(ex, "Content-Security-Policy", "default-src 'self'"));
    exchange_end(ex);
}

static void
policies_may_be_tried_first(void)
{
    struct exchange *ex = exchange_begin();

    respond(ex, "Content-Security-Policy", "default-src *");
    run(HEADERS("report_only = true;"), ex);
    CU_ASSERT(tells(ex, "Content-Security-Policy", "default-src *"));
    CU_ASSERT(tells(ex, "Content-Security-Policy-Report-Only", "frame-ancestors 'self'"));
    exchange_end(ex);
}

/* Their style is in them: a policy would leave them bare. */
static void
our_own_pages_get_no_content_policy(void)
{
    struct exchange *ex = exchange_begin();

    exchange_answer(ex, 404, END_ANSWERED, NULL);
    run(HEADERS("preset = \"strict\";"), ex);
    CU_ASSERT(tells(ex, "Content-Security-Policy", NULL));
    CU_ASSERT(tells(ex, "X-Frame-Options", "DENY"));
    exchange_end(ex);
}

static void
wrong_options_are_refused(void)
{
    CU_ASSERT(is_filter_refused(HEADERS("preset = \"paranoid\";"), "strict"));
    CU_ASSERT(is_filter_refused(HEADERS("opener_policy = \"a\\nb\";"), "opener_policy: "));
    CU_ASSERT(is_filter_refused(HEADERS("content_security_policy = \" \";"),
                                "content_security_policy: is empty: \"off\""));
}

void
suite_security_headers(void)
{
    CU_pSuite s = CU_add_suite("security_headers", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "presets are sets of fields", presets_are_sets_of_fields);
    CU_add_test(s, "Strict-Transport-Security is for https", strict_transport_is_for_https);
    CU_add_test(s, "single options go before the preset", single_options_go_before_the_preset);
    CU_add_test(s, "applications may say it themselves", applications_may_say_it_themselves);
    CU_add_test(s, "our policy does not undo their X-Frame-Options",
                our_policy_does_not_undo_their_frame_options);
    CU_add_test(s, "a policy may be tried first", policies_may_be_tried_first);
    CU_add_test(s, "our own pages get no content policy", our_own_pages_get_no_content_policy);
    CU_add_test(s, "wrong options are refused", wrong_options_are_refused);
}
