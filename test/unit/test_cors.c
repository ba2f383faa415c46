/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cors.c - who may read, what preflights are told, and what servers may not say. */
#include "config.h"

#include "filters/cors.h"
#include "test/unit/filter_fixture.h"

void suite_cors(void);

#define CORS(text) "filter = \"cors\"; " text
#define LISTED CORS("origins = [ \"https://app.test\", \"https://*.example.org\" ];")

static uint64_t state[8];

static struct exchange *
begin(const char *origin)
{
    struct exchange *ex = exchange_begin();

    memset(state, 0, sizeof(state));
    if (origin != NULL)
        ask(ex, "Origin", origin);
    return ex;
}

static enum filter_verdict
run(const struct filter_conf *conf, struct exchange *ex)
{
    enum filter_verdict verdict = conf->ops->request_head(conf, state, ex);

    conf->ops->deliver_head(conf, state, ex);
    return verdict;
}

/* Whether the answer names that origin; NULL: none. */
static bool
allows(const char *text, const char *origin, const char *named)
{
    struct exchange *ex = begin(origin);
    bool is_right;

    run(filter_made(text), ex);
    is_right = is_field(&ex->response.fields, "Access-Control-Allow-Origin", named);
    exchange_end(ex);
    return is_right;
}

static void
origins_are_allowed_when_listed(void)
{
    CU_ASSERT(allows(LISTED, "https://app.test", "https://app.test"));
    CU_ASSERT(allows(LISTED, "https://a.example.org", "https://a.example.org"));
    CU_ASSERT(allows(LISTED, "https://a.b-c.example.org", "https://a.b-c.example.org"));
    CU_ASSERT(allows(CORS("origins = \"*\";"), "https://any.test", "*"));
    CU_ASSERT(allows(CORS("origins = \"http://[::1]:3000\";"), "http://[::1]:3000",
                     "http://[::1]:3000"));
}

static void
other_origins_are_not(void)
{
    static const char *const others[] = {
        "http://app.test", "https://app.test:8443", "https://app.test.evil.test",
        "https://evil.test/https://app.test", "https://example.org", "https://aexample.org",
        "https://.example.org", "https://evil.test/.example.org", "https://evil.test:.example.org",
        "https://user@a.example.org", "https://a.example.org:8443", "null", "",
        "https://evil.test#.example.org",
    };

    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT(allows(LISTED, others[i], NULL));
    CU_ASSERT(allows(LISTED, NULL, NULL));
}

/* Fetch, section 3.2: caches on the way must know (RFC 9110 section 12.5.5). */
static void
answers_vary_by_origin(void)
{
    const struct filter_conf *listed = filter_made(LISTED);
    const struct filter_conf *any = filter_made(CORS("origins = \"*\";"));
    struct exchange *ex = begin(NULL);

    run(listed, ex);
    CU_ASSERT(is_field(&ex->response.fields, "Vary", "Origin"));
    exchange_end(ex);
    ex = begin("https://app.test");
    respond(ex, "Vary", "Accept, origin");
    run(listed, ex);
    CU_ASSERT(is_field(&ex->response.fields, "Vary", "Accept, origin"));
    exchange_end(ex);
    ex = begin("https://app.test");
    respond(ex, "Vary", "Accept");
    run(listed, ex);
    CU_ASSERT(is_text(fields_joined(&ex->response.fields, FIELD_VARY, &ex->arena),
                      "Accept, Origin"));
    exchange_end(ex);
    ex = begin(NULL);
    run(any, ex);
    CU_ASSERT(is_field(&ex->response.fields, "Vary", NULL));
    CU_ASSERT(is_field(&ex->response.fields, "Access-Control-Allow-Origin", "*"));
    exchange_end(ex);
}

static void
what_servers_say_is_taken_out(void)
{
    struct exchange *ex = begin("https://evil.test");

    respond(ex, "Access-Control-Allow-Origin", "https://evil.test");
    respond(ex, "Access-Control-Allow-Credentials", "true");
    respond(ex, "Access-Control-Allow-Methods", "PUT");
    respond(ex, "Access-Control-Allow-Headers", "X");
    respond(ex, "Access-Control-Expose-Headers", "X");
    respond(ex, "Access-Control-Max-Age", "5");
    respond(ex, "access-control-allow-private-network", "true");
    respond(ex, "X-App", "kept");
    run(filter_made(LISTED), ex);
    CU_ASSERT_EQUAL(ex->response.fields.count, 2);
    CU_ASSERT(is_field(&ex->response.fields, "X-App", "kept"));
    CU_ASSERT(is_field(&ex->response.fields, "Vary", "Origin"));
    exchange_end(ex);
}

static struct exchange *
preflight(const char *text, const char *origin, const char *method)
{
    struct exchange *ex = begin(origin);

    ex->request.method = METHOD_OPTIONS;
    if (method != NULL)
        ask(ex, "Access-Control-Request-Method", method);
    ask(ex, "Access-Control-Request-Headers", "content-type,x-a");
    ask(ex, "Access-Control-Request-Private-Network", "true");
    CU_ASSERT_EQUAL(run(filter_made(text), ex), method != NULL ? FILTER_ANSWER : FILTER_NEXT);
    return ex;
}

static bool
tells(const struct exchange *ex, const char *name, const char *value)
{
    return is_field(&ex->response.fields, name, value);
}

static void
preflights_are_answered(void)
{
    struct exchange *ex = preflight(
        CORS("origins = \"https://app.test\"; methods = [ \"GET\", \"PUT\" ];"
             " headers = [ \"Content-Type\", \"X-A\" ]; credentials = true; max_age = \"1h\";"
             " private_network = true;"), "https://app.test", "PUT");

    CU_ASSERT_EQUAL(ex->response.status, 204);
    CU_ASSERT(tells(ex, "Access-Control-Allow-Origin", "https://app.test"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Credentials", "true"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Methods", "GET, PUT"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Headers", "Content-Type, X-A"));
    CU_ASSERT(tells(ex, "Access-Control-Max-Age", "3600"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Private-Network", "true"));
    CU_ASSERT(tells(ex, "Vary", "Origin"));
    CU_ASSERT_PTR_NOT_NULL(ex->decisions);
    exchange_end(ex);

    ex = preflight(LISTED, "https://app.test", "DELETE");
    CU_ASSERT(tells(ex, "Access-Control-Allow-Methods", "GET, HEAD, POST"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Headers", NULL));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Credentials", NULL));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Private-Network", NULL));
    CU_ASSERT(tells(ex, "Access-Control-Max-Age", "600"));
    exchange_end(ex);
}

static void
preflights_of_others_are_told_nothing(void)
{
    struct exchange *ex = preflight(LISTED, "https://evil.test", "PUT");

    CU_ASSERT_EQUAL(ex->response.status, 204);
    CU_ASSERT_EQUAL(ex->response.fields.count, 1);
    CU_ASSERT(tells(ex, "Vary", "Origin"));
    exchange_end(ex);
}

/* An OPTIONS of its own is the application's. */
static void
only_preflights_are_answered(void)
{
    struct exchange *ex = preflight(LISTED, "https://app.test", NULL);

    CU_ASSERT(!ex->is_answered);
    exchange_end(ex);
    ex = preflight(LISTED, NULL, NULL);
    CU_ASSERT(!ex->is_answered);
    exchange_end(ex);
}

/* Fetch, section 3.2.5: with credentials "*" would be the name of a method. */
static void
stars_mean_any_with_credentials_too(void)
{
    struct exchange *ex = preflight(
        CORS("origins = \"https://app.test\"; methods = \"*\"; headers = \"*\";"
             " credentials = true;"), "https://app.test", "PURGE");

    CU_ASSERT(tells(ex, "Access-Control-Allow-Methods", "PURGE"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Headers", "content-type,x-a"));
    exchange_end(ex);
    ex = preflight(CORS("origins = \"*\"; methods = \"*\"; headers = [ \"*\", \"Authorization\" ];"
                        " max_age = 0;"), "https://a.test", "PURGE");
    CU_ASSERT(tells(ex, "Access-Control-Allow-Origin", "*"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Methods", "*"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Headers", "*, Authorization"));
    CU_ASSERT(tells(ex, "Access-Control-Max-Age", "0"));
    exchange_end(ex);
}

static void
answers_expose_fields(void)
{
    const struct filter_conf *conf =
        filter_made(CORS("origins = \"https://app.test\"; expose = [ \"X-A\", \"ETag\" ];"));
    struct exchange *ex = begin("https://app.test");

    run(conf, ex);
    CU_ASSERT(tells(ex, "Access-Control-Expose-Headers", "X-A, ETag"));
    CU_ASSERT(tells(ex, "Access-Control-Allow-Methods", NULL));
    exchange_end(ex);
    ex = begin("https://evil.test");
    run(conf, ex);
    CU_ASSERT(tells(ex, "Access-Control-Expose-Headers", NULL));
    exchange_end(ex);
}

/* Later filters of requests may take Origin out. */
static void
the_origin_is_remembered(void)
{
    const struct filter_conf *conf = filter_made(LISTED);
    struct exchange *ex = begin("https://app.test");

    conf->ops->request_head(conf, state, ex);
    fields_remove(&ex->request.fields, FIELD_ORIGIN);
    conf->ops->deliver_head(conf, state, ex);
    CU_ASSERT(tells(ex, "Access-Control-Allow-Origin", "https://app.test"));
    exchange_end(ex);
    ex = begin("https://app.test"); /* refused before the filters' turn */
    conf->ops->deliver_head(conf, state, ex);
    CU_ASSERT(tells(ex, "Access-Control-Allow-Origin", "https://app.test"));
    exchange_end(ex);
}

static void
dangerous_options_are_refused(void)
{
    CU_ASSERT(is_filter_refused(CORS(""), "origins"));
    CU_ASSERT(is_filter_refused(CORS("origins = [ ];"), "origins"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"*\"; credentials = true;"),
                                "every page act as its visitor"));
    CU_ASSERT(is_filter_refused(CORS("origins = [ \"*\", \"https://a.test\" ];"), "leave out"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"null\";"), "hides its own"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://a.test/\";"), "without a slash"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"a.test\";"), "scheme://host"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://A.test\";"), "lower case"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://a.test:443\";"), "own port"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://*.com\";"), "*.example.com"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://*\";"), "host[:port]"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://a.*.test\";"), "host[:port]"));
    CU_ASSERT(is_filter_refused(CORS("origins = \"https://u@a.test\";"), "host[:port]"));
    CU_ASSERT(is_filter_refused(LISTED " methods = \"GET, PUT;\";", "methods: "));
    CU_ASSERT(is_filter_refused(LISTED " headers = \"X A\";", "headers: "));
    CU_ASSERT(is_filter_refused(LISTED " expose = \"*\"; credentials = true;", "expose: "));
    CU_ASSERT(is_filter_refused(LISTED " max_age = \"2d\";", "max_age"));
}

void
suite_cors(void)
{
    CU_pSuite s = CU_add_suite("cors", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "origins are allowed when listed", origins_are_allowed_when_listed);
    CU_add_test(s, "other origins are not", other_origins_are_not);
    CU_add_test(s, "answers vary by origin", answers_vary_by_origin);
    CU_add_test(s, "what servers say of CORS is taken out", what_servers_say_is_taken_out);
    CU_add_test(s, "preflights are answered", preflights_are_answered);
    CU_add_test(s, "preflights of others are told nothing", preflights_of_others_are_told_nothing);
    CU_add_test(s, "only preflights are answered", only_preflights_are_answered);
    CU_add_test(s, "stars mean any, with credentials too", stars_mean_any_with_credentials_too);
    CU_add_test(s, "answers expose fields to allowed origins", answers_expose_fields);
    CU_add_test(s, "the origin is remembered", the_origin_is_remembered);
    CU_add_test(s, "dangerous options are refused", dangerous_options_are_refused);
}
