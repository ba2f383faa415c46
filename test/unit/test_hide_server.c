/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hide_server.c - names and addresses of servers, in any field and in content. */
#include "config.h"

#include "filters/hide_server.h"
#include "filters/hide_server_inside.h"
#include "test/unit/filter_fixture.h"
#include "test/unit/content_fixture.h"

void suite_hide_server(void);

static struct endpoint_conf endpoints[] = {
    { .to = "127.0.0.1:9000", .host = SLICE_INIT("127.0.0.1"), .port = 9000 },
    { .to = "app.internal:80", .host = SLICE_INIT("app.internal"), .port = 80 },
    { .to = "[fd00::7]:9001", .host = SLICE_INIT("fd00::7"), .port = 9001 },
    { .to = "app:8080", .host = SLICE_INIT("app"), .port = 8080 },
    { .to = "unix:/run/app" },
};
static void *items[] = { &endpoints[0], &endpoints[1], &endpoints[2], &endpoints[3],
                         &endpoints[4] };
static struct group_conf group = { .endpoints = { items, ARRAY_COUNT(items) } };
static struct route_conf route = { .name = "r" };

#define ADDRESSES "filter = \"hide_server\"; addresses = true;"
#define BODIES "filter = \"hide_server\"; addresses = true; bodies = true;"

static void
route_to_group(struct exchange *ex)
{
    ex->to.group = &group;
    ex->endpoint = &endpoints[0];
    ex->route = &route;
    ex->out.authority = ex->request.authority;
}

/* What a field is for the client, by the filter's both sides. */
static bool
makes(const struct filter_conf *conf, const char *name, const char *before, const char *after)
{
    struct exchange *ex = exchange_begin();
    void *state[4] = { NULL };
    bool is_right;

    CU_ASSERT_FATAL(conf->ops->state_bytes <= sizeof(state));
    route_to_group(ex);
    respond(ex, name, before);
    conf->ops->fetch_head(conf, state, ex);
    conf->ops->deliver_head(conf, state, ex);
    is_right = is_field(&ex->response.fields, name, after);
    if (!is_right)
        printf("%s: %s -> %.*s\n", name, before, SLICE_ARG(ex->response.fields.items[0].value));
    exchange_end(ex);
    return is_right;
}

static bool
shows(const char *before, const char *after)
{
    return makes(&hide_server_default.filter, "X-App", before, after);
}

static void
endpoints_become_the_clients_host(void)
{
    const struct filter_conf *conf = &hide_server_default.filter;

    CU_ASSERT(shows("http://app.internal", "http://www.example.com"));
    CU_ASSERT(shows("https://APP.internal:8443/x", "http://www.example.com/x"));
    CU_ASSERT(shows("ws://127.0.0.1:9000/x", "ws://www.example.com/x"));
    CU_ASSERT(shows("at app.internal, 127.0.0.1:9000.", "at www.example.com, www.example.com."));
    CU_ASSERT(shows("app.internal:80", "www.example.com"));
    CU_ASSERT(shows("http://[fd00::7]:9001/", "http://www.example.com/"));
    CU_ASSERT(shows("{\"u\":\"http:\\/\\/app.internal\\/x\"}",
                    "{\"u\":\"http:\\/\\/www.example.com\\/x\"}"));
    CU_ASSERT(shows("?to=http%3A%2F%2Fapp.internal%2Fx", "?to=http%3A%2F%2Fwww.example.com%2Fx"));
    CU_ASSERT(shows("?at=%2Fapp.internal&%20http://app:8080/",
                    "?at=%2Fwww.example.com&%20http://www.example.com/"));
    CU_ASSERT(shows("\"a\\napp.internal\"", "\"a\\nwww.example.com\""));
    CU_ASSERT(shows("\\\\app.internal\\share", "\\\\www.example.com\\share"));
    CU_ASSERT(makes(conf, "Access-Control-Allow-Origin", "http://app.internal",
                    "http://www.example.com"));
    CU_ASSERT(makes(conf, "Content-Security-Policy",
                    "connect-src 'self' wss://app.internal https://cdn.test app.internal:80",
                    "connect-src 'self' ws://www.example.com https://cdn.test www.example.com"));
    CU_ASSERT(makes(conf, "Report-To", "{\"url\":\"http://app.internal/r\"}",
                    "{\"url\":\"http://www.example.com/r\"}"));
}

static void
other_words_stay(void)
{
    static const char *const others[] = {
        "app", "the app: it", "xapp.internal", "app.internal.test", "app.internals",
        "-app.internal",
        "http://other.test/app", "127.0.0.10", "1127.0.0.1", "12:34:56", "a::b", "", ":", "[", "[]",
        "http://", "http:", "https", "http://www.example.com/", "www.example.com:80",
        "fd00::8", "10.0.0.1", "http://10.0.0.1/", "fd00::7", "[fd00::7]", "127.0.0.1",
        "127.0.0.1:9002", "https://127.0.0.1/",
    };

    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT(shows(others[i], others[i]));
}

/* One label is a word, until it is a place. */
static void
short_names_count_as_places_only(void)
{
    CU_ASSERT(shows("http://app/x", "http://www.example.com/x"));
    CU_ASSERT(shows("app:8080", "www.example.com"));
    CU_ASSERT(shows("www.example.com:9001", "www.example.com"));
}

static void
links_are_mapped_like_locations(void)
{
    const struct filter_conf *conf = &hide_server_default.filter;

    CU_ASSERT(makes(conf, "Link", "<http://app.internal/a.css>; rel=preload",
                    "</a.css>; rel=preload"));
    CU_ASSERT(makes(conf, "Link", "</b>; rel=x, <http://127.0.0.1:9000>; rel=y, <c>",
                    "</b>; rel=x, </>; rel=y, <c>"));
    CU_ASSERT(makes(conf, "Link", "<https://cdn.test/x>; rel=x", "<https://cdn.test/x>; rel=x"));
    CU_ASSERT(makes(conf, "Link", "<http://app.internal/x", "<http://app.internal/x"));
}

static void
private_addresses_are_masked_by_option(void)
{
    const struct filter_conf *conf = filter_made(ADDRESSES);

    CU_ASSERT(makes(conf, "X-Node", "10.1.2.3", "hidden"));
    CU_ASSERT(makes(conf, "X-Node", "10.1.2.3:8080, 192.168.0.1", "hidden, hidden"));
    CU_ASSERT(makes(conf, "X-Node", "172.16.0.1 172.32.0.1 169.254.9.9",
                    "hidden 172.32.0.1 hidden"));
    CU_ASSERT(makes(conf, "X-Node", "fe80::1", "hidden"));
    CU_ASSERT(makes(conf, "X-Node", "[fd12::1]:80 2001:db8::1", "hidden 2001:db8::1"));
    CU_ASSERT(makes(conf, "X-Node", "::ffff:10.0.0.1", "::ffff:hidden"));
    CU_ASSERT(makes(conf, "Location", "http://10.9.9.9:81/x", "http://hidden/x"));
    CU_ASSERT(makes(conf, "X-Version", "1.2.3.4", "1.2.3.4"));
    CU_ASSERT(makes(conf, "X-Node", "127.0.0.1:9000", "www.example.com"));
}

/* However little memory is left. */
static void
spent_memory_is_survived(void)
{
    const struct filter_conf *conf = filter_made(BODIES);

    for (size_t left = 0; left < 3000; left += 40) {
        struct exchange *ex = exchange_begin();
        void *state[4] = { NULL };

        route_to_group(ex);
        respond(ex, "X-A", "http://app.internal/ 10.0.0.1");
        respond(ex, "Link", "<http://app.internal/>");
        respond(ex, "Content-Type", "text/html");
        respond(ex, "ETag", "\"1\"");
        ex->arena.left_bytes = left;
        ex->arena.next = ex->arena.end;
        CU_ASSERT_EQUAL(conf->ops->fetch_head(conf, state, ex), FILTER_NEXT);
        CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, state, ex), FILTER_NEXT);
        exchange_end(ex);
    }
}

/* ---- content */

/* RFC 9110 sections 7.7, 8.8.3 and 14; RFC 9530. */
static void
content_is_announced_as_changed(void)
{
    const struct filter_conf *conf = filter_made(BODIES);
    struct exchange *ex = exchange_begin();
    void *state[4] = { NULL };

    route_to_group(ex);
    ask(ex, "Accept-Encoding", "gzip");
    ask(ex, "Range", "bytes=0-5");
    ask(ex, "If-Range", "\"1\"");
    conf->ops->request_head(conf, state, ex);
    CU_ASSERT_EQUAL(ex->request.fields.count, 0);
    ex->response.length = 5;
    respond(ex, "Content-Type", "text/html; charset=utf-8");
    respond(ex, "Content-Length", "5");
    respond(ex, "ETag", "\"1\"");
    respond(ex, "Repr-Digest", "sha-256=:x:");
    respond(ex, "Accept-Ranges", "bytes");
    conf->ops->deliver_head(conf, state, ex);
    CU_ASSERT_EQUAL(ex->response.fields.count, 2);
    CU_ASSERT(is_field(&ex->response.fields, "ETag", "W/\"1\""));
    CU_ASSERT_EQUAL(ex->response.length, LENGTH_UNKNOWN);
    exchange_end(ex);
}

static bool
is_changed(unsigned status, const char *name, const char *value, const char *type)
{
    const struct filter_conf *conf = filter_made(BODIES);
    struct exchange *ex = exchange_begin();
    void *state[4] = { NULL };
    bool is;

    route_to_group(ex);
    ex->response.status = (uint16_t)status;
    ex->response.length = 5;
    respond(ex, name, value);
    respond(ex, "Content-Type", type);
    conf->ops->deliver_head(conf, state, ex);
    is = ex->response.length == LENGTH_UNKNOWN;
    exchange_end(ex);
    return is;
}

static void
only_whole_plain_text_is_changed(void)
{
    CU_ASSERT(is_changed(200, "X", "y", "text/plain"));
    CU_ASSERT(is_changed(404, "X", "y", "application/problem+json"));
    CU_ASSERT(is_changed(200, "Content-Encoding", "identity", "Application/JavaScript"));
    CU_ASSERT(!is_changed(200, "X", "y", "image/png"));
    CU_ASSERT(!is_changed(200, "X", "y", ""));
    CU_ASSERT(!is_changed(206, "Content-Range", "bytes 0-4/9", "text/plain"));
    CU_ASSERT(!is_changed(304, "X", "y", "text/plain"));
    CU_ASSERT(!is_changed(200, "Content-Encoding", "gzip", "text/plain"));
    CU_ASSERT(!is_changed(200, "Cache-Control", "public, no-transform", "text/plain"));
}

static const char page[] =
    "<a href=\"http://app.internal/x\">app.internal</a> [10.1.2.3] "
    "{\"u\":\"https:\\/\\/app:8080\\/y\"} http://[fd00::7]:9001/ xapp.internal app.internalx "
    "http://other.test:8080/ \\napp.internal %2fapp.internal fe80::1 "
    "wss://127.0.0.1:9000/s?to=http%3A%2F%2Fapp.internal";
static const char page_for_clients[] =
    "<a href=\"http://www.example.com/x\">www.example.com</a> [hidden] "
    "{\"u\":\"http:\\/\\/www.example.com\\/y\"} http://www.example.com/ xapp.internal "
    "app.internalx http://other.test:8080/ \\nwww.example.com %2fwww.example.com hidden "
    "ws://www.example.com/s?to=http%3A%2F%2Fwww.example.com";

/* The content of the page behind bytes of filler, in pieces of step, to a sink of room. */
static void
try_content(size_t filler, size_t step, size_t room)
{
    const struct filter_conf *conf = filter_made(BODIES);
    size_t bytes = filler + strlen(page);
    char *text = malloc(bytes + 1);
    struct exchange *ex = &content.ex;
    void *state[4] = { NULL };
    bool is_right;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'a', filler);
    for (size_t i = 0; i < filler; i += 7)
        text[i] = ' ';
    if (filler > 0)
        text[filler - 1] = ' ';
    memcpy(text + filler, page, strlen(page));
    content_begin();
    content_script(text, bytes, step);
    ex->request = (struct request){ .method = METHOD_GET, .port = 80, .scheme = SLICE("http"),
                                    .authority = SLICE("www.example.com"),
                                    .host = SLICE("www.example.com") };
    ex->response = (struct response){ .status = 200 };
    fields_add(&ex->response.fields, &ex->arena, FIELD_CONTENT_TYPE, SLICE("text/html"));
    route_to_group(ex);
    conf->ops->deliver_head(conf, state, ex);
    content_run(conf->ops->deliver_body(conf, state, ex, &content.source), room);
    CU_ASSERT_EQUAL(content.result, PUMP_DONE);
    is_right = content.out_bytes == filler + strlen(page_for_clients) &&
               memcmp(content.out, text, filler) == 0 &&
               memcmp(content.out + filler, page_for_clients, strlen(page_for_clients)) == 0;
    CU_ASSERT(is_right);
    if (!is_right && content.out_bytes >= filler)
        printf("%.*s\n", (int)(content.out_bytes - filler), content.out + filler);
    content_finish();
    free(text);
}

static void
content_is_changed_across_pieces(void)
{
    for (size_t step = 1; step < 80; step++)
        try_content(0, step, step % 3 == 0 ? 1 : 0);
    for (size_t step = 100; step < 1000; step += 131)
        try_content(40000, step, 500);
    for (size_t filler = 16000; filler < 16500; filler += 11)
        try_content(filler, 8192, 0);
}

void
suite_hide_server(void)
{
    CU_pSuite s = CU_add_suite("hide_server", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "endpoints become the client's host", endpoints_become_the_clients_host);
    CU_add_test(s, "other words stay", other_words_stay);
    CU_add_test(s, "short names count as places only", short_names_count_as_places_only);
    CU_add_test(s, "links are mapped like locations", links_are_mapped_like_locations);
    CU_add_test(s, "private addresses are masked by option",
                private_addresses_are_masked_by_option);
    CU_add_test(s, "spent memory is survived", spent_memory_is_survived);
    CU_add_test(s, "content is announced as changed", content_is_announced_as_changed);
    CU_add_test(s, "only whole, plain text is changed", only_whole_plain_text_is_changed);
    CU_add_test(s, "content is changed across pieces", content_is_changed_across_pieces);
}
