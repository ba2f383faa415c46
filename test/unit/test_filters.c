/* SPDX-License-Identifier: BSD-2-Clause */
/* test_filters.c - what each filter does to an exchange, and refuses in its
 * configuration.
 */
#include "config.h"

#include "filters/filter.h"

#include "filters/anonymity.h"
#include "filters/field_set.h"
#include "filters/hide_server.h"
#include "server/config/tables.h"
#include "server/http/via.h"
#include "test/unit/filter_fixture.h"

void suite_filters(void);

static enum filter_verdict
run_request(const struct filter_conf *conf, struct exchange *ex)
{
    uint64_t state[64] = { 0 };

    must(conf->ops->state_bytes <= sizeof(state));
    return conf->ops->request_head(conf, state, ex);
}

static enum filter_verdict
run_fetch(const struct filter_conf *conf, struct exchange *ex)
{
    uint64_t state[64] = { 0 };

    must(conf->ops->state_bytes <= sizeof(state));
    return conf->ops->fetch_head(conf, state, ex);
}

/* ---- all of them */

static bool
has_default_of(const struct option *row)
{
    return row->is_required || row->fallback != NULL || row->type == OPTION_STRING ||
           row->type == OPTION_STRINGS || row->type == OPTION_GROUP ||
           row->type == OPTION_GROUPS;
}

static void
every_filter_is_described(void)
{
    struct err err = { "" };

    for (size_t i = 0; filters[i] != NULL; i++) {
        const struct filter_ops *ops = filters[i];

        CU_ASSERT(ops->name != NULL && ops->text != NULL);
        CU_ASSERT(ops->conf_bytes >= sizeof(struct filter_conf));
        CU_ASSERT_EQUAL(config_check_tables(ops->options, ops->conf_bytes, &err), 0);
        for (const struct option *row = ops->options; row->name != NULL; row++)
            CU_ASSERT(has_default_of(row));
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(ops->name, filters[j]->name);
    }
}

static void
sets_of_names_are_sound(void)
{
    CU_ASSERT(field_set_is_sound(&anonymity_telling));
    CU_ASSERT(field_set_is_sound(hide_server_default.hidden));
}

/* ---- headers */

static void
headers_changes_requests(void)
{
    const struct filter_conf *conf = filter_made(
        "filter = \"headers\";"
        " request = { add = [ \"X-A: b, c\", \"Accept: text/x\" ];"
        " set = [ \"x-b:two\", \"user-agent: %{client_ip}\" ];"
        " remove = [ \"X-C-*\", \"DNT\" ]; };");
    struct exchange *ex = exchange_begin();
    const struct fields *fields = &ex->request.fields;

    ask(ex, "Accept", "*/*");
    ask(ex, "X-B", "1");
    ask(ex, "X-B", "1b");
    ask(ex, "x-c-1", "gone");
    ask(ex, "X-C", "kept");
    ask(ex, "DNT", "1");
    ask(ex, "User-Agent", "curl");
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT(is_field(fields, "X-A", "b, c"));
    CU_ASSERT(is_field(fields, "X-B", "two"));
    CU_ASSERT(is_field(fields, "X-C-1", NULL) && is_field(fields, "DNT", NULL));
    CU_ASSERT(is_field(fields, "X-C", "kept"));
    CU_ASSERT(is_field(fields, "User-Agent", "192.0.2.7"));
    CU_ASSERT(is_text(fields_joined(fields, FIELD_ACCEPT, &ex->arena), "*/*, text/x"));
    CU_ASSERT_EQUAL(ex->response.fields.count, 0);
    exchange_end(ex);
}

static void
headers_changes_responses(void)
{
    const struct filter_conf *conf = filter_made(
        "filter = \"headers\"; response = { set = \"Cache-Control: no-store\";"
        " add = \"X-Id: %{id}\"; remove = \"*\"; };");
    struct exchange *ex = exchange_begin();

    respond(ex, "Cache-Control", "public");
    respond(ex, "ETag", "\"x\"");
    respond(ex, "Content-Length", "5");
    CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, NULL, ex), FILTER_NEXT);
    CU_ASSERT(is_field(&ex->response.fields, "Cache-Control", "no-store"));
    CU_ASSERT(is_field(&ex->response.fields, "X-Id", "0000000000000abc"));
    CU_ASSERT(is_field(&ex->response.fields, "ETag", NULL));
    CU_ASSERT(is_field(&ex->response.fields, "Content-Length", "5"));
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(ex->request.fields.count, 0);
    exchange_end(ex);
}

/* Framing is ours (RFC 9112 section 6); one line stays one line. */
static void
headers_refuses_what_would_break_messages(void)
{
#define HEADERS(text) "filter = \"headers\"; request = { " text " };"
    CU_ASSERT(is_filter_refused(HEADERS("set = \"Content-Length: 5\";"),
                                "request.set: \"Content-Length\" belongs to the framing"));
    CU_ASSERT(is_filter_refused(HEADERS("add = \"transfer-encoding: gzip\";"), "framing"));
    CU_ASSERT(is_filter_refused(HEADERS("remove = [ \"A\", \"connection\" ];"),
                                "request.remove: \"Connection\" belongs to"));
    CU_ASSERT(is_filter_refused(HEADERS("set = \"Expect: 100-continue\";"), "framing"));
    CU_ASSERT(is_filter_refused(HEADERS("set = \"Proxy-Authorization: x\";"), "one connection"));
    CU_ASSERT(is_filter_refused(HEADERS("set = \"Host: x\";"), "the option \"host\""));
    CU_ASSERT(is_filter_refused(HEADERS("add = \"Authorization: x\";"), "one \"Authorization\""));
    CU_ASSERT(is_filter_refused(HEADERS("add = \"X-A\";"), "expected \"Name: value\""));
    CU_ASSERT(is_filter_refused(HEADERS("add = \": x\";"), "no name of a header field"));
    CU_ASSERT(is_filter_refused(HEADERS("add = \"X A: x\";"), "no name of a header field"));
    CU_ASSERT(is_filter_refused(HEADERS("add = \"X-A: b\\r\\nEvil: 1\";"), "X-A: "));
    CU_ASSERT(is_filter_refused(HEADERS("add = \"X-A: %{client}\";"), "unknown name %{client}"));
    CU_ASSERT(is_filter_refused(HEADERS("remove = \"X-*-B\";"), "may only end a name"));
}

static void
headers_adds_nothing_when_memory_is_spent(void)
{
    const struct filter_conf *conf =
        filter_made(HEADERS("set = \"X-A: %{target}\"; add = [ \"X-B: %{id}\" ];"));
    struct exchange *ex = exchange_begin();

    ask(ex, "X-A", "old");
    ex->arena.left_bytes = 0;
    ex->arena.next = ex->arena.end;
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT(is_field(&ex->request.fields, "X-A", "old"));
    CU_ASSERT(arena_is_spent(&ex->arena));
    exchange_end(ex);
}

/* ---- body_limit */

static void
body_limit_only_lowers(void)
{
    const struct filter_conf *conf = filter_made("filter = \"body_limit\"; max = \"10M\";");
    struct exchange *ex = exchange_begin();

    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(ex->body_limit_bytes, 10 << 20);
    ex->body_limit_bytes = 11 << 20;
    run_request(conf, ex);
    CU_ASSERT_EQUAL(ex->body_limit_bytes, 10 << 20);
    ex->body_limit_bytes = 100;
    run_request(conf, ex);
    CU_ASSERT_EQUAL(ex->body_limit_bytes, 100);
    CU_ASSERT(is_filter_refused("filter = \"body_limit\"; max = 0;", "max"));
    CU_ASSERT(is_filter_refused("filter = \"body_limit\";", "max"));
    exchange_end(ex);
}

/* ---- redirect */

static void
redirect_answers_with_a_location(void)
{
    const struct filter_conf *conf =
        filter_made("filter = \"redirect\"; to = \"https://%{host}%{target}\";");
    struct exchange *ex = exchange_begin();

    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_ANSWER);
    CU_ASSERT_EQUAL(ex->response.status, 308);
    CU_ASSERT_EQUAL(ex->end, END_ANSWERED);
    CU_ASSERT(ex->is_answered && !ex->response.has_body);
    CU_ASSERT(is_field(&ex->response.fields, "Location", "https://www.example.com/a/b?c=d"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(ex->decisions);
    CU_ASSERT_EQUAL(ex->decisions->kind, DECISION_FILTER);
    CU_ASSERT_PTR_EQUAL(ex->decisions->place, &conf->place);
    exchange_end(ex);
}

static void
redirect_looks_at_the_scheme(void)
{
    const struct filter_conf *conf = filter_made(
        "filter = \"redirect\"; to = \"/secure%{path}\"; status = 302; if_scheme = \"http\";");
    struct site_conf site = { .name = "shop" };
    struct exchange *ex = exchange_begin();

    ex->site = &site;
    fixture_client.is_tls = true;
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    fixture_client.is_tls = false;
    ask(ex, "X-Forwarded-Proto", "https"); /* of a trusted proxy: others were removed */
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT(!ex->is_answered);
    fields_remove(&ex->request.fields, FIELD_X_FORWARDED_PROTO);
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_ANSWER);
    CU_ASSERT_EQUAL(ex->response.status, 302);
    CU_ASSERT(is_field(&ex->response.fields, "Location", "/secure/a/b"));
    exchange_end(ex);
}

static void
redirect_needs_something_to_redirect(void)
{
    const struct filter_conf *conf =
        filter_made("filter = \"redirect\"; to = \"https://%{host}%{target}\";");
    struct exchange *ex = exchange_begin();

    ex->request.host = slice_make("", 0); /* HTTP/1.0 without Host */
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_ANSWER);
    CU_ASSERT_EQUAL(ex->response.status, 400);
    CU_ASSERT(is_field(&ex->response.fields, "Location", NULL));
    exchange_end(ex);
    ex = exchange_begin();
    ex->request.path = SLICE("*"); /* OPTIONS *: RFC 9112 section 3.2.4 */
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    exchange_end(ex);
}

/* An open redirect is a hole: nobody may choose the host by a path. */
static void
redirect_keeps_clients_from_choosing_the_host(void)
{
#define REDIRECT(to) "filter = \"redirect\"; to = \"" to "\";"
    CU_ASSERT(is_filter_refused(REDIRECT("%{target}"), "expected a path"));
    CU_ASSERT(is_filter_refused(REDIRECT("/%{path}"), "right behind the first slash"));
    CU_ASSERT(is_filter_refused(REDIRECT("//evil.test"), "two slashes"));
    CU_ASSERT(is_filter_refused(REDIRECT("https://%{path}"), "may stand where the host does"));
    CU_ASSERT(is_filter_refused(REDIRECT("https://a.test%{query}"), "where the host does"));
    CU_ASSERT(is_filter_refused(REDIRECT("https://"), "host is missing"));
    CU_ASSERT(is_filter_refused(REDIRECT("https:///x"), "host is missing"));
    CU_ASSERT(is_filter_refused(REDIRECT("javascript:alert(1)"), "expected a path"));
    CU_ASSERT(is_filter_refused(REDIRECT("/a b"), "no URL has"));
    CU_ASSERT(is_filter_refused(REDIRECT("https://%{hosts}/"), "unknown name"));
    CU_ASSERT(is_filter_refused(REDIRECT("/x") " status = 200;", "expected 301"));
    CU_ASSERT_PTR_NOT_NULL(filter_made(REDIRECT("https://%{host}:8443%{target}")));
    CU_ASSERT_PTR_NOT_NULL(filter_made(REDIRECT("https://new.test%{path}?from=%{host}")));
    CU_ASSERT_PTR_NOT_NULL(filter_made(REDIRECT("https://[2001:db8::1]/?%{query}")));
    CU_ASSERT_PTR_NOT_NULL(filter_made(REDIRECT("/")));
}

/* ---- anonymity */

static const char *const identifying[] = {
    "X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-anything", "X-Forwarded", "Forwarded",
    "Forwarded-For", "X-Real-IP", "X-Real-Port", "Client-IP", "X-Client-IP", "True-Client-IP",
    "CF-Connecting-IP", "CF-Connecting-IPv6", "CF-IPCountry", "X-Cluster-Client-IP", "From",
    "Proxy-Client-IP", "WL-Proxy-Client-IP", "X-ProxyUser-Ip", "X-Proxy-User", "Client-Cert",
    "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-Client-Cert", "X-SSL-Client-S-DN",
    "X-Original-Forwarded-For", "X-Originating-IP", "X-Remote-IP", "Remote-User", "HTTP-Client-IP",
    "X-Azure-ClientIP", "X-Envoy-External-Address", "Fastly-Client-IP", "X-MSISDN",
};

static const char *const ordinary[] = {
    "Accept", "Accept-Encoding", "Content-Type", "Cookie", "Authorization", "Origin", "Range",
    "If-None-Match", "Sec-Fetch-Mode", "Sec-WebSocket-Key", "Upgrade-Insecure-Requests",
    "Cache-Control", "Pragma", "Expect", "X-Requested-With",
};

static void
anonymity_takes_out_what_identifies(void)
{
    const struct filter_conf *conf = anonymity_default(ANONYMITY_ON);
    struct exchange *ex = exchange_begin();
    struct fields *fields = &ex->request.fields;

    ask(ex, "Via", "1.1 laptop.internal");
    for (size_t i = 0; i < ARRAY_COUNT(identifying); i++)
        ask(ex, identifying[i], "10.1.2.3");
    for (size_t i = 0; i < ARRAY_COUNT(ordinary); i++)
        ask(ex, ordinary[i], "kept");
    ask(ex, "X-App", "kept");
    ask(ex, "DNT", "1");
    ask(ex, "User-Agent", "curl");
    fields_add(fields, &ex->arena, FIELD_VIA, via_value("HTTP/1.1", 1));
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(fields->count, ARRAY_COUNT(ordinary) + 4);
    for (size_t i = 0; i < ARRAY_COUNT(identifying); i++)
        CU_ASSERT(is_field(fields, identifying[i], NULL));
    for (size_t i = 0; i < ARRAY_COUNT(ordinary); i++)
        CU_ASSERT(is_field(fields, ordinary[i], "kept"));
    CU_ASSERT(is_field(fields, "User-Agent", "curl") && is_field(fields, "DNT", "1"));
    CU_ASSERT(slice_equal(fields_get(fields, FIELD_VIA), via_value("HTTP/1.1", 1)));
    exchange_end(ex);
}

/* A client that knows the pseudonym gets no line of its own through. */
static void
anonymity_knows_its_own_via(void)
{
    const struct filter_conf *conf = anonymity_default(ANONYMITY_STRICT);
    struct exchange *ex = exchange_begin();
    struct slice copy = arena_copy(&ex->arena, via_value("HTTP/1.1", 1));

    fields_add(&ex->request.fields, &ex->arena, FIELD_VIA, copy);
    run_request(conf, ex);
    CU_ASSERT(is_field(&ex->request.fields, "Via", NULL));
    exchange_end(ex);
}

static void
anonymity_strict_lets_only_browsing_through(void)
{
    const struct filter_conf *conf = anonymity_default(ANONYMITY_STRICT);
    struct exchange *ex = exchange_begin();
    struct fields *fields = &ex->request.fields;

    for (size_t i = 0; i < 60; i++)
        ask(ex, arena_printf(&ex->arena, "X-Random-%zu", i).data, "1");
    for (size_t i = 0; i < ARRAY_COUNT(identifying); i++)
        ask(ex, identifying[i], "10.1.2.3");
    for (size_t i = 0; i < ARRAY_COUNT(ordinary); i++)
        ask(ex, ordinary[i], "kept");
    ask(ex, "Sec-CH-UA", "\"Chromium\"");
    ask(ex, "DNT", "1");
    ask(ex, "X-Request-Id", "77");
    ask(ex, "Connection", "keep-alive");
    ask(ex, "User-Agent", "curl");
    CU_ASSERT_EQUAL(run_request(conf, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(fields->count, ARRAY_COUNT(ordinary) + 3);
    CU_ASSERT(is_field(fields, "Sec-GPC", "1"));
    for (size_t i = 0; i < ARRAY_COUNT(ordinary); i++)
        CU_ASSERT(is_field(fields, ordinary[i], "kept"));
    CU_ASSERT(is_field(fields, "Connection", "keep-alive")); /* the writer's affair */
    CU_ASSERT(slice_starts_with(fields_get(fields, FIELD_USER_AGENT), SLICE("Mozilla/5.0 (")));
    exchange_end(ex);
}

/* The agent is the same for those who send none. */
static void
anonymity_strict_makes_agents_and_languages_alike(void)
{
    static const char *const languages[][2] = {
        { "de-DE,de;q=0.9,en;q=0.8", "de-DE" }, { "en ; q=0.5", "en" }, { "*", "*" },
        { "fr", "fr" },  { "", NULL }, { ",en", NULL }, { "d\xc3\xa9", NULL },
        { "a-language-tag-that-is-much-too-long", NULL },
    };
    const struct filter_conf *conf = anonymity_default(ANONYMITY_STRICT);

    for (size_t i = 0; i < ARRAY_COUNT(languages); i++) {
        struct exchange *ex = exchange_begin();

        ask(ex, "Accept-Language", languages[i][0]);
        run_request(conf, ex);
        CU_ASSERT(is_field(&ex->request.fields, "Accept-Language", languages[i][1]));
        CU_ASSERT(fields_has(&ex->request.fields, FIELD_USER_AGENT));
        exchange_end(ex);
    }
}

/* Referrer Policy: strict-origin-when-cross-origin, for all clients. */
static void
anonymity_strict_cuts_referers(void)
{
    static const struct {
        const char *scheme;
        uint16_t port;
        const char *before, *after;
    } cases[] = {
        { "http", 80, "http://www.example.com/deep?q=1", "http://www.example.com/deep?q=1" },
        { "http", 80, "HTTP://WWW.Example.com:80/x#top", "HTTP://WWW.Example.com:80/x" },
        { "http", 80, "http://other.test/deep?q=1", "http://other.test/" },
        { "http", 80, "http://other.test:8080/deep", "http://other.test:8080/" },
        { "http", 80, "http://other.test?q=secret", "http://other.test" },
        { "http", 80, "http://www.example.com:8080/deep", "http://www.example.com:8080/" },
        { "http", 80, "http://example.com/deep", "http://example.com/" },
        { "http", 80, "https://www.example.com/deep", NULL },
        { "https", 443, "https://www.example.com/deep", "https://www.example.com/deep" },
        { "https", 443, "http://www.example.com/deep", "http://www.example.com/" },
        { "https", 443, "https://other.test/deep", "https://other.test/" },
        { "http", 80, "http://user:secret@www.example.com/", NULL },
        { "http", 80, "about:blank", NULL },
        { "http", 80, "/deep", NULL },
        { "http", 80, "ftp://www.example.com/", NULL },
        { "http", 80, "", NULL },
        { "http", 80, "#", NULL },
    };
    const struct filter_conf *conf = anonymity_default(ANONYMITY_STRICT);

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct exchange *ex = exchange_begin();

        ex->request.scheme = slice_of(cases[i].scheme);
        ex->request.port = cases[i].port;
        ask(ex, "Referer", cases[i].before);
        run_request(conf, ex);
        CU_ASSERT(is_field(&ex->request.fields, "Referer", cases[i].after));
        exchange_end(ex);
    }
}

/* DESIGN section 8: for our own sites the true client is meant to be known. */
static void
anonymity_of_a_listener_leaves_own_sites_alone(void)
{
    const struct filter_conf *written = filter_made("filter = \"anonymity\";");
    struct site_conf site = { .name = "shop" };
    struct exchange *ex = exchange_begin();

    ex->site = &site;
    ask(ex, "X-Forwarded-For", "10.1.2.3");
    run_request(anonymity_default(ANONYMITY_ON), ex);
    run_request(anonymity_default(ANONYMITY_STRICT), ex);
    CU_ASSERT(is_field(&ex->request.fields, "X-Forwarded-For", "10.1.2.3"));
    run_request(written, ex);
    CU_ASSERT(is_field(&ex->request.fields, "X-Forwarded-For", NULL));
    exchange_end(ex);
}

static void
anonymity_has_options(void)
{
    const struct filter_conf *strict =
        filter_made("filter = \"anonymity\"; profile = \"strict\"; user_agent = \"mine\";"
                    " keep = [ \"X-CSRF-*\" ];");
    const struct filter_conf *off = filter_made("filter = \"anonymity\"; profile = \"off\";");
    const struct filter_conf *plain = filter_made("filter = \"anonymity\"; profile = \"strict\";");
    struct exchange *ex = exchange_begin();

    ask(ex, "X-CSRF-Token", "t");
    ask(ex, "X-Forwarded-For", "10.1.2.3");
    run_request(off, ex);
    CU_ASSERT_EQUAL(ex->request.fields.count, 2);
    run_request(strict, ex);
    CU_ASSERT(is_field(&ex->request.fields, "X-CSRF-Token", "t"));
    CU_ASSERT(is_field(&ex->request.fields, "X-Forwarded-For", NULL));
    CU_ASSERT(is_field(&ex->request.fields, "User-Agent", "mine"));
    run_request(plain, ex);
    CU_ASSERT(is_field(&ex->request.fields, "X-CSRF-Token", NULL));
    CU_ASSERT(slice_starts_with(fields_get(&ex->request.fields, FIELD_USER_AGENT),
                                SLICE("Mozilla/5.0 (")));
    CU_ASSERT(is_filter_refused("filter = \"anonymity\"; keep = \"X-A\";", "profile \"strict\""));
    CU_ASSERT(is_filter_refused("filter = \"anonymity\"; user_agent = \"a\\nb\";", "user_agent: "));
    CU_ASSERT(is_filter_refused("filter = \"anonymity\"; profile = \"strickt\";", "strict"));
    exchange_end(ex);
}

/* ---- hide_server */

static struct endpoint_conf endpoints[] = {
    { .to = "127.0.0.1:9000", .host = SLICE_INIT("127.0.0.1"), .port = 9000 },
    { .to = "app.internal:80", .host = SLICE_INIT("app.internal"), .port = 80 },
    { .to = "[::1]:9001", .host = SLICE_INIT("::1"), .port = 9001 },
    { .to = "unix:/run/app" },
};
static void *endpoint_items[] = { &endpoints[0], &endpoints[1], &endpoints[2], &endpoints[3] };
static struct group_conf group = { .endpoints = { endpoint_items, 4 } };

/* An exchange through a route to the group. */
static struct exchange *
routed_begin(struct route_conf *route, const char *path)
{
    struct exchange *ex = exchange_begin();

    ex->to.group = &group;
    ex->endpoint = &endpoints[0];
    ex->route = route;
    ex->out.authority = ex->request.authority;
    ex->request.path = ex->normal_path = slice_of(path);
    return ex;
}

/* Whether the default filter makes after of before. */
static bool
makes(struct route_conf *route, const char *name, const char *before, const char *after)
{
    struct exchange *ex = routed_begin(route, "/api/x");
    bool is_right;

    respond(ex, name, before);
    run_fetch(&hide_server_default.filter, ex);
    is_right = is_field(&ex->response.fields, name, after);
    if (!is_right)
        printf("%s: %s -> %.*s\n", name, before,
               SLICE_ARG(ex->response.fields.items[0].value));
    exchange_end(ex);
    return is_right;
}

static bool
keeps(struct route_conf *route, const char *name, const char *value)
{
    return makes(route, name, value, value);
}

static void
hide_server_removes_what_tells(void)
{
    static const char *const telling[] = {
        "Server", "X-Powered-By", "x-powered-cms", "X-AspNet-Version", "X-AspNetMvc-Version",
        "X-Generator", "X-Runtime", "X-Backend", "X-Backend-Server", "X-Served-By", "Via",
        "X-Varnish", "Proxy-Status", "Alt-Svc",
    };
    struct exchange *ex = exchange_begin();

    for (size_t i = 0; i < ARRAY_COUNT(telling); i++)
        respond(ex, telling[i], "app7.internal");
    respond(ex, "ETag", "\"1\"");
    respond(ex, "X-App", "kept");
    fields_add(&ex->response.fields, &ex->arena, FIELD_VIA, via_value("HTTP/1.1", 1));
    CU_ASSERT_EQUAL(run_fetch(&hide_server_default.filter, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(ex->response.fields.count, 3);
    CU_ASSERT(is_field(&ex->response.fields, "X-App", "kept"));
    CU_ASSERT(slice_equal(fields_get(&ex->response.fields, FIELD_VIA), via_value("HTTP/1.1", 1)));
    exchange_end(ex);
}

static void
hide_server_has_options(void)
{
    const struct filter_conf *conf = filter_made(
        "filter = \"hide_server\"; server = \"web\"; remove = [ \"X-Team-*\", \"Date\" ];");
    const struct filter_conf *plain = filter_made("filter = \"hide_server\";");
    struct exchange *ex = exchange_begin();

    respond(ex, "Server", "nginx/1.2.3");
    respond(ex, "X-Powered-By", "PHP");
    respond(ex, "X-Team-A", "1");
    respond(ex, "Date", "today");
    run_fetch(conf, ex);
    CU_ASSERT_EQUAL(ex->response.fields.count, 1);
    CU_ASSERT(is_field(&ex->response.fields, "Server", "web"));
    CU_ASSERT_EQUAL(((const struct hide_server_conf *)(const void *)plain)->errors,
                    hide_server_default.errors);
    CU_ASSERT_PTR_NULL(((const struct hide_server_conf *)(const void *)plain)->server);
    CU_ASSERT(is_filter_refused("filter = \"hide_server\"; server = \"a\\nb\";", "server: "));
    CU_ASSERT(is_filter_refused("filter = \"hide_server\"; remove = \"Host\";", "remove: "));
    exchange_end(ex);
}

static void
hide_server_rewrites_internal_urls(void)
{
    struct route_conf route = { .name = "r" };
    static const char *const names[] = { "Location", "Content-Location" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        CU_ASSERT(makes(&route, names[i], "http://127.0.0.1:9000/x?y#z", "/x?y#z"));
        CU_ASSERT(makes(&route, names[i], "HTTP://127.0.0.1:9000", "/"));
        CU_ASSERT(makes(&route, names[i], "http://127.0.0.1:9000?q", "/?q"));
        CU_ASSERT(makes(&route, names[i], "http://127.0.0.1:9000#f", "/#f"));
        CU_ASSERT(makes(&route, names[i], "http://app.internal/login", "/login"));
        CU_ASSERT(makes(&route, names[i], "http://APP.internal:80/login", "/login"));
        CU_ASSERT(makes(&route, names[i], "//app.internal/login", "/login"));
        CU_ASSERT(makes(&route, names[i], "http://[::1]:9001/", "/"));
        /* The name it was asked by, with the port it listens on. */
        CU_ASSERT(makes(&route, names[i], "http://www.example.com:9000/dir/", "/dir/"));
    }
    CU_ASSERT(makes(&route, "Refresh", "5; url=http://127.0.0.1:9000/x", "5; url=/x"));
    CU_ASSERT(makes(&route, "Refresh", "0;URL = 'http://127.0.0.1:9000/x'", "0;URL = '/x'"));
    CU_ASSERT(keeps(&route, "Refresh", "5"));
    CU_ASSERT(keeps(&route, "Refresh", "5; url=https://other.test/"));
    CU_ASSERT(keeps(&route, "Refresh", "5; url"));
    CU_ASSERT(keeps(&route, "Refresh", "5; url=\""));
}

static void
hide_server_leaves_other_urls_alone(void)
{
    static const char *const others[] = {
        "https://other.test/x",       "http://127.0.0.1:9002/", "http://127.0.0.1/",
        "https://app.internal:8443/", "http://xapp.internal/",  "http://app.internal.test/",
        "/x",                         "x/y",                    "?q",
        "",                           "//other.test/",          "mailto:app.internal",
        "http://",                    "http:///x",              "http://app.internal:x/",
        "http://www.example.com/x",   "https://www.example.com/x", "http://u@app.internal/",
    };
    struct route_conf route = { .name = "r" };

    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT(keeps(&route, "Location", others[i]));
}

/* RFC 3986 section 4.2: "//x" is a host, and to browsers so is "/\x". */
static void
hide_server_never_makes_a_host_of_a_path(void)
{
    struct route_conf route = { .add_prefix = "/app" };

    CU_ASSERT(makes(&route, "Location", "http://app.internal/app//evil.test/", "/.//evil.test/"));
    CU_ASSERT(makes(&route, "Location", "/app//evil.test", "/.//evil.test"));
    CU_ASSERT(makes(&route, "Location", "/app/\\evil.test", "/./\\evil.test"));
    CU_ASSERT(makes(&route, "Location", "/app/\t/evil.test", "/./\t/evil.test"));
    CU_ASSERT(makes(&route, "Location", "http://127.0.0.1:9000//evil.test", "/.//evil.test"));
}

static void
hide_server_takes_back_what_the_route_did_to_paths(void)
{
    struct route_conf strip = { .strip_prefix = "/api/" };
    struct route_conf add = { .add_prefix = "/app" };
    struct route_conf both = { .strip_prefix = "/api", .add_prefix = "/app/" };
    struct route_conf other = { .strip_prefix = "/elsewhere" };

    CU_ASSERT(makes(&strip, "Location", "/login?n=1", "/api/login?n=1"));
    CU_ASSERT(makes(&strip, "Location", "http://127.0.0.1:9000/login", "/api/login"));
    CU_ASSERT(makes(&strip, "Location", "http://127.0.0.1:9000", "/api/"));
    CU_ASSERT(keeps(&strip, "Location", "/api/login")); /* a server that knows */
    CU_ASSERT(makes(&add, "Location", "/app/login", "/login"));
    CU_ASSERT(makes(&add, "Location", "/app", "/"));
    CU_ASSERT(makes(&add, "Location", "/app?q", "/?q"));
    CU_ASSERT(makes(&add, "Location", "http://app.internal/app/login", "/login"));
    CU_ASSERT(keeps(&add, "Location", "/apple"));
    CU_ASSERT(keeps(&add, "Location", "/elsewhere"));
    CU_ASSERT(makes(&both, "Location", "/app/login#x", "/api/login#x"));
    CU_ASSERT(makes(&both, "Location", "/app/", "/api/"));
    CU_ASSERT(makes(&both, "Location", "/app", "/api"));
    CU_ASSERT(makes(&both, "Location", "http://www.example.com/app/x",
                    "http://www.example.com/api/x"));
    CU_ASSERT(keeps(&other, "Location", "/login")); /* nothing was stripped */
}

static void
hide_server_rewrites_cookies(void)
{
    struct route_conf route = { .name = "r" };
    struct route_conf strip = { .strip_prefix = "/api" };
    struct route_conf add = { .add_prefix = "/app" };

    CU_ASSERT(makes(&route, "Set-Cookie", "a=b; Domain=app.internal; Secure", "a=b; Secure"));
    CU_ASSERT(makes(&route, "Set-Cookie", "a=b;domain = .INTERNAL", "a=b"));
    CU_ASSERT(makes(&route, "Set-Cookie", "a=b; Domain=127.0.0.1", "a=b"));
    CU_ASSERT(keeps(&route, "Set-Cookie", "a=b; Domain=example.com; Path=/x"));
    CU_ASSERT(keeps(&route, "Set-Cookie", "a=b; Domain=other.test"));
    CU_ASSERT(keeps(&route, "Set-Cookie", "Domain=app.internal"));
    CU_ASSERT(keeps(&route, "Set-Cookie", "a=b;;; ;Domain;=;"));
    CU_ASSERT(makes(&strip, "Set-Cookie", "a=b; Path=/; Secure", "a=b; Path=/api; Secure"));
    CU_ASSERT(makes(&strip, "Set-Cookie", "a=b;path=/x", "a=b; Path=/api/x"));
    CU_ASSERT(keeps(&strip, "Set-Cookie", "a=b; Path=/api/x"));
    CU_ASSERT(keeps(&strip, "Set-Cookie", "__Host-a=b; Path=/; Secure"));
    CU_ASSERT(keeps(&strip, "Set-Cookie", "a=b; HttpOnly"));
    CU_ASSERT(keeps(&strip, "Set-Cookie", "a=b; Path="));
    CU_ASSERT(makes(&add, "Set-Cookie", "a=b; Path=/app", "a=b; Path=/"));
    CU_ASSERT(makes(&add, "Set-Cookie", "a=b; Path=/app/x", "a=b; Path=/x"));
    CU_ASSERT(makes(&add, "Set-Cookie", "a=b; Path=/", "a=b; Path=/"));
    CU_ASSERT(keeps(&add, "Set-Cookie", "a=b; Path=/other"));
}

/* The name a route asks by is internal, too. */
static void
hide_server_knows_the_host_it_asked(void)
{
    struct route_conf route = { .host = "shop.intra" };
    struct exchange *ex = routed_begin(&route, "/");

    ex->out.authority = SLICE("shop.intra");
    respond(ex, "Location", "http://shop.intra/basket");
    respond(ex, "Set-Cookie", "a=b; Domain=shop.intra");
    respond(ex, "Set-Cookie", "c=d; Domain=intra");
    run_fetch(&hide_server_default.filter, ex);
    CU_ASSERT(is_field(&ex->response.fields, "Location", "/basket"));
    CU_ASSERT(is_text(ex->response.fields.items[1].value, "a=b"));
    CU_ASSERT(is_text(ex->response.fields.items[2].value, "c=d"));
    exchange_end(ex);
}

static void
hide_server_replaces_error_pages(void)
{
    const struct filter_conf *conf =
        filter_made("filter = \"hide_server\"; errors = \"5xx\"; server = \"web\";");
    const struct filter_conf *all = filter_made("filter = \"hide_server\"; errors = \"all\";");
    struct exchange *ex = exchange_begin();
    const struct fields *fields = &ex->response.fields;

    respond(ex, "Content-Type", "text/html");
    respond(ex, "Content-Encoding", "gzip");
    respond(ex, "Retry-After", "30");
    respond(ex, "X-Trace", "at com.acme.Main");
    ex->response.status = 404;
    CU_ASSERT_EQUAL(run_fetch(conf, ex), FILTER_NEXT);
    ex->response.status = 503;
    CU_ASSERT_EQUAL(run_fetch(&hide_server_default.filter, ex), FILTER_NEXT);
    CU_ASSERT_EQUAL(run_fetch(conf, ex), FILTER_ANSWER);
    CU_ASSERT_EQUAL(ex->response.status, 503);
    CU_ASSERT(ex->response.body == &ex->made_up.source);
    CU_ASSERT(is_field(fields, "Content-Type", "application/problem+json"));
    CU_ASSERT(is_field(fields, "Retry-After", "30") && is_field(fields, "Server", "web"));
    CU_ASSERT(is_field(fields, "X-Trace", NULL) && is_field(fields, "Content-Encoding", NULL));
    CU_ASSERT_PTR_NOT_NULL_FATAL(ex->decisions);
    CU_ASSERT_EQUAL(ex->decisions->kind, DECISION_FILTER);
    exchange_end(ex);

    ex = exchange_begin();
    ex->response.status = 401;
    respond(ex, "WWW-Authenticate", "Basic realm=x");
    respond(ex, "WWW-Authenticate", "Digest realm=x");
    CU_ASSERT_EQUAL(run_fetch(all, ex), FILTER_ANSWER);
    CU_ASSERT(is_text(fields_joined(fields, FIELD_WWW_AUTHENTICATE, &ex->arena),
                      "Basic realm=x, Digest realm=x"));
    ex->response.status = 302;
    CU_ASSERT_EQUAL(run_fetch(all, ex), FILTER_NEXT);
    exchange_end(ex);
}

/* However little memory is left. */
static void
hide_server_survives_spent_memory(void)
{
    const struct filter_conf *conf = filter_made("filter = \"hide_server\"; errors = \"5xx\";");
    struct route_conf route = { .strip_prefix = "/api", .add_prefix = "/app" };

    for (size_t left = 0; left < 6000; left += 40) {
        struct exchange *ex = routed_begin(&route, "/api/x");

        respond(ex, "Location", "http://app.internal/app/x");
        respond(ex, "Refresh", "1; url=http://app.internal/app/x");
        respond(ex, "Set-Cookie", "a=b; Domain=app.internal; Path=/app/x");
        ex->arena.left_bytes = left;
        ex->arena.next = ex->arena.end;
        CU_ASSERT_EQUAL(run_fetch(conf, ex), FILTER_NEXT);
        ex->response.status = 500;
        CU_ASSERT_EQUAL(run_fetch(conf, ex), FILTER_ANSWER);
        CU_ASSERT_EQUAL(ex->response.status, 500);
        exchange_end(ex);
    }
}

void
suite_filters(void)
{
    CU_pSuite s = CU_add_suite("filters", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "every filter is described and has defaults", every_filter_is_described);
    CU_add_test(s, "sets of names are in order and agree with ids", sets_of_names_are_sound);
    CU_add_test(s, "headers: requests are changed as written", headers_changes_requests);
    CU_add_test(s, "headers: responses are changed as written", headers_changes_responses);
    CU_add_test(s, "headers: what would break messages is refused",
                headers_refuses_what_would_break_messages);
    CU_add_test(s, "headers: spent memory leaves fields as they are",
                headers_adds_nothing_when_memory_is_spent);
    CU_add_test(s, "body_limit: limits are lowered, never raised", body_limit_only_lowers);
    CU_add_test(s, "redirect: answers with a Location", redirect_answers_with_a_location);
    CU_add_test(s, "redirect: the scheme may decide", redirect_looks_at_the_scheme);
    CU_add_test(s, "redirect: without a host there is none", redirect_needs_something_to_redirect);
    CU_add_test(s, "redirect: no client chooses the host",
                redirect_keeps_clients_from_choosing_the_host);
    CU_add_test(s, "anonymity: what identifies is taken out, all else stays",
                anonymity_takes_out_what_identifies);
    CU_add_test(s, "anonymity: our own Via cannot be imitated", anonymity_knows_its_own_via);
    CU_add_test(s, "anonymity: strict is a list of what passes",
                anonymity_strict_lets_only_browsing_through);
    CU_add_test(s, "anonymity: strict makes agents and languages alike",
                anonymity_strict_makes_agents_and_languages_alike);
    CU_add_test(s, "anonymity: strict cuts Referer across origins", anonymity_strict_cuts_referers);
    CU_add_test(s, "anonymity: a listener's profile spares our own sites",
                anonymity_of_a_listener_leaves_own_sites_alone);
    CU_add_test(s, "anonymity: options are heeded", anonymity_has_options);
    CU_add_test(s, "hide_server: fields that tell are removed", hide_server_removes_what_tells);
    CU_add_test(s, "hide_server: options are heeded", hide_server_has_options);
    CU_add_test(s, "hide_server: internal URLs lead to us", hide_server_rewrites_internal_urls);
    CU_add_test(s, "hide_server: other URLs are untouched", hide_server_leaves_other_urls_alone);
    CU_add_test(s, "hide_server: no path becomes a host", hide_server_never_makes_a_host_of_a_path);
    CU_add_test(s, "hide_server: a route's prefixes are taken back",
                hide_server_takes_back_what_the_route_did_to_paths);
    CU_add_test(s, "hide_server: cookies are the client's host's", hide_server_rewrites_cookies);
    CU_add_test(s, "hide_server: the host that was asked is internal",
                hide_server_knows_the_host_it_asked);
    CU_add_test(s, "hide_server: error pages are replaced if wanted",
                hide_server_replaces_error_pages);
    CU_add_test(s, "hide_server: spent memory does no harm", hide_server_survives_spent_memory);
}
