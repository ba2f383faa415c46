/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_fields.c - what a field section may say (RFC 9113 section 8). */
#include "config.h"

#include "server/http/h2_fields.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

static const struct h1_limits limits = { 16384, 4096, 16 };
static struct arena arena;
static struct h2_head head;
static struct request request;
static struct response response;
static struct h1_refusal refusal;
static char key_accept[H2_ACCEPT_BYTES];

/* A fresh section of "name: value\n" lines; a name may begin with a colon. */
static void
read_lines(enum h2_section section, const char *lines)
{
    arena_fini(&arena);
    arena_init(&arena, NULL, 1 << 20);
    h2_head_begin(&head, section, &arena, &limits);
    while (*lines != '\0') {
        const char *end = strchr(lines, '\n'), *colon = strstr(lines + 1, ": ");

        h2_head_add(&head, slice_make(lines, (size_t)(colon - lines)),
                    slice_make(colon + 2, (size_t)(end - colon - 2)));
        lines = end + 1;
    }
}

static int
ask_with(const struct h2_request_context *context, const char *lines)
{
    read_lines(H2_REQUEST, lines);
    return h2_head_to_request(&head, context, &request, key_accept, &refusal);
}

static int
ask(const char *lines)
{
    static const struct h2_request_context context = { .is_end = true };

    return ask_with(&context, lines);
}

static bool
is_malformed(const char *lines)
{
    return ask(lines) < 0 && refusal.status == 400 && head.is_malformed;
}

/* Each of them by itself; tells which one is not. */
static void
assert_malformed(const char *const *sections, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CU_assertImplementation(is_malformed(sections[i]), __LINE__, sections[i], __FILE__, "",
                                CU_FALSE);
}

#define ASSERT_MALFORMED(...) \
    assert_malformed((const char *const[]){ __VA_ARGS__ }, \
                     ARRAY_COUNT(((const char *const[]){ __VA_ARGS__ })))

static bool
is_refused(const char *lines, unsigned status)
{
    return ask(lines) < 0 && refusal.status == status && !head.is_malformed;
}

static bool
is(struct slice s, const char *text)
{
    return slice_equal(s, slice_of(text));
}

#define GET ":method: GET\n:scheme: http\n:authority: a.test:81\n:path: /a/b?c=d\n"

/* Section 8.3.1. */
static void
reads_a_request(void)
{
    CU_ASSERT_EQUAL_FATAL(ask(GET "x-one: 1\nuser-agent: me\n"), 0);
    CU_ASSERT_EQUAL(request.method, METHOD_GET);
    CU_ASSERT_EQUAL(request.form, TARGET_ORIGIN);
    CU_ASSERT(is(request.scheme, "http") && is(request.authority, "a.test:81"));
    CU_ASSERT(is(request.host, "a.test") && request.port == 81);
    CU_ASSERT(is(request.path, "/a/b") && is(request.query, "c=d") && is(request.target,
                                                                         "/a/b?c=d"));
    CU_ASSERT(is(fields_get(&request.fields, FIELD_HOST), "a.test:81"));
    CU_ASSERT(is(fields_get(&request.fields, FIELD_USER_AGENT), "me"));
    CU_ASSERT(!request.has_body && request.length == 0 && key_accept[0] == '\0');
}

static void
takes_the_scheme_from_the_connection(void)
{
    static const struct h2_request_context tls = { .is_tls = true, .is_end = true };

    CU_ASSERT_EQUAL_FATAL(ask_with(&tls,
            ":method: GET\n:scheme: http\n:authority: A.test\n:path: /\n"), 0);
    CU_ASSERT(is(request.scheme, "https") && request.port == 443 && is(request.host, "a.test"));
    CU_ASSERT(is_refused(":method: GET\n:scheme: ftp\n:authority: a\n:path: /\n", 400));
}

static void
gives_a_proxy_absolute_targets(void)
{
    static const struct h2_request_context proxied = { .is_tls = true, .is_proxied = true,
        .is_end = true };

    CU_ASSERT_EQUAL_FATAL(ask_with(&proxied, GET), 0);
    CU_ASSERT(request.form == TARGET_ABSOLUTE && is(request.target, "http://a.test:81/a/b?c=d"));
    CU_ASSERT(is(request.scheme, "http") && is(request.path, "/a/b") && is(request.query, "c=d"));
    CU_ASSERT(request.path.data > request.target.data &&
              request.path.data < request.target.data + request.target.bytes);
    CU_ASSERT_EQUAL_FATAL(ask_with(&proxied,
            ":method: OPTIONS\n:scheme: https\n:authority: a\n:path: *\n"), 0);
    CU_ASSERT(is(request.target, "https://a") && is(request.path, "*") && request.port == 443);
}

/* Section 8.3: all of them, once, known, in front. */
static void
refuses_misplaced_pseudo_fields(void)
{
    ASSERT_MALFORMED(GET ":path: /\n",
                     GET "x: 1\n:method: GET\n",
                     GET ":status: 200\n",
                     GET ":odd: 1\n",
                     ":scheme: http\n:authority: a\n:path: /\n",
                     ":method: GET\n:authority: a\n:path: /\n",
                     ":method: GET\n:scheme: http\n:authority: a\n",
                     ":method: GET\n:scheme: http\n:authority: a\n:path: \n",
                     ":method: G T\n:scheme: http\n:authority: a\n:path: /\n");
}

/* Section 8.3.1. */
static void
refuses_what_is_not_a_path(void)
{
    ASSERT_MALFORMED(":method: GET\n:scheme: http\n:authority: a\n:path: a\n",
                     ":method: GET\n:scheme: http\n:authority: a\n:path: *\n",
                     ":method: OPTIONS\n:scheme: http\n:authority: a\n:path: *a\n",
                     ":method: GET\n:scheme: http\n:authority: a\n:path: /a b\n",
                     ":method: GET\n:scheme: http\n:authority: a\n:path: /a#b\n",
                     ":method: GET\n:scheme: http\n:authority: a\n:path: /\xc3\xa4\n");
    CU_ASSERT_EQUAL(ask(":method: OPTIONS\n:scheme: http\n:authority: a\n:path: *\n"), 0);
    CU_ASSERT_EQUAL(request.form, TARGET_ASTERISK);
}

/* Section 8.2.1 and, for what it would mean in HTTP/1.1, 10.3. */
static void
refuses_names_and_values_with_meaning(void)
{
    ASSERT_MALFORMED(GET "X-Upper: 1\n",
                     GET "a b: 1\n",
                     GET "a\rb: 1\n",
                     GET "a:b: 1\n",
                     GET "x:  1\n",
                     GET "x: 1 \n",
                     GET "x: 1\t\n",
                     GET "x: a\rb\n");
    read_lines(H2_REQUEST, GET);
    h2_head_add(&head, SLICE("x"), SLICE("a\nb"));
    CU_ASSERT(head.is_malformed);
    read_lines(H2_REQUEST, GET);
    h2_head_add(&head, SLICE("x"), SLICE("a\0b"));
    CU_ASSERT(head.is_malformed);
    read_lines(H2_REQUEST, GET);
    h2_head_add(&head, SLICE(""), SLICE("a"));
    CU_ASSERT(head.is_malformed);
    CU_ASSERT_EQUAL(ask(GET "x: \nx-two: a\tb \xc3\xa4\n"), 0);
}

/* Section 8.2.2. */
static void
refuses_fields_of_connections(void)
{
    ASSERT_MALFORMED(GET "connection: close\n",
                     GET "keep-alive: 1\n",
                     GET "proxy-connection: close\n",
                     GET "transfer-encoding: chunked\n",
                     GET "upgrade: websocket\n",
                     GET "te: gzip\n",
                     GET "te: trailers, gzip\n");
    CU_ASSERT_EQUAL(ask(GET "te: trailers\n"), 0);
}

/* Section 8.3.1. */
static void
joins_authority_and_host(void)
{
    CU_ASSERT(is_malformed(GET "host: b.test\n"));
    CU_ASSERT_EQUAL(ask(GET "host: A.TEST:81\n"), 0);
    CU_ASSERT(is(fields_get(&request.fields, FIELD_HOST), "a.test:81"));
    CU_ASSERT_EQUAL(ask(":method: GET\n:scheme: http\n:path: /\nhost: b.test\n"), 0);
    CU_ASSERT(is(request.host, "b.test"));
    CU_ASSERT(is_refused(":method: GET\n:scheme: http\n:path: /\n", 400));
    CU_ASSERT(is_refused(":method: GET\n:scheme: http\n:authority: u@b\n:path: /\n", 400));
    CU_ASSERT(is_refused(":method: GET\n:scheme: http\n:authority: \n:path: /\n", 400));
    CU_ASSERT(is_malformed(GET "host: a.test:81\nhost: a.test:81\n"));
}

/* Section 8.1.1. */
static void
compares_length_and_end(void)
{
    static const struct h2_request_context open = { .is_end = false };

    ASSERT_MALFORMED(GET "content-length: 5\n",
                     GET "content-length: 5, 5\n",
                     GET "content-length: -1\n",
                     GET "content-length: 0\ncontent-length: 0\n");
    CU_ASSERT_EQUAL(ask(GET "content-length: 0\n"), 0);
    CU_ASSERT(request.has_body && request.length == 0);
    CU_ASSERT_EQUAL(ask_with(&open, GET "content-length: 5\nexpect: 100-continue\n"), 0);
    CU_ASSERT(request.has_body && request.length == 5 && request.expects_continue &&
              !request.is_chunked);
    CU_ASSERT_EQUAL(ask_with(&open, GET), 0);
    CU_ASSERT(request.has_body && request.length == LENGTH_UNKNOWN && request.is_chunked);
    CU_ASSERT_EQUAL(ask(":method: POST\n:scheme: http\n:authority: a\n:path: /\n"), 0);
    CU_ASSERT(request.has_body && request.length == 0);
}

/* Section 8.2.3. */
static void
joins_cookie_crumbs(void)
{
    CU_ASSERT_EQUAL_FATAL(ask(GET "cookie: a=1\nx: y\ncookie: b=2\ncookie: c=3\n"), 0);
    CU_ASSERT(is(fields_get(&request.fields, FIELD_COOKIE), "a=1; b=2; c=3"));
    CU_ASSERT_PTR_NULL(fields_next(&request.fields, FIELD_COOKIE,
                                   fields_find(&request.fields, FIELD_COOKIE)));
}

/* Section 8.5. */
static void
reads_connect(void)
{
    CU_ASSERT_EQUAL_FATAL(ask(":method: CONNECT\n:authority: a.test:443\n"), 0);
    CU_ASSERT(request.method == METHOD_CONNECT && request.form == TARGET_AUTHORITY);
    CU_ASSERT(is(request.host, "a.test") && request.port == 443 && is(request.target,
                                                                      "a.test:443"));
    CU_ASSERT(is_refused(":method: CONNECT\n:authority: a.test\n", 400));
    ASSERT_MALFORMED(":method: CONNECT\n",
                     ":method: CONNECT\n:authority: a:1\n:path: /\n",
                     ":method: CONNECT\n:authority: a:1\n:scheme: http\n",
                     ":method: CONNECT\n:authority: a:1\ncontent-length: 0\n");
}

#define WEBSOCKET \
    ":method: CONNECT\n:protocol: websocket\n:scheme: https\n:authority: a\n:path: /chat\n"

/* RFC 8441 section 5. */
static void
makes_an_upgrade_of_websockets(void)
{
    CU_ASSERT_EQUAL_FATAL(ask(WEBSOCKET "sec-websocket-protocol: x\nsec-websocket-key: mine\n"), 0);
    CU_ASSERT(request.method == METHOD_GET && is(request.method_name, "GET"));
    CU_ASSERT(request.wants_upgrade && is(request.upgrade, "websocket") && is(request.path,
                                                                              "/chat"));
    CU_ASSERT(is(fields_get(&request.fields, FIELD_UPGRADE), "websocket"));
    CU_ASSERT_EQUAL(fields_get(&request.fields, FIELD_SEC_WEBSOCKET_KEY).bytes, 24);
    CU_ASSERT(is(fields_get(&request.fields, FIELD_SEC_WEBSOCKET_VERSION), "13"));
    CU_ASSERT_EQUAL(strlen(key_accept), 28);
    CU_ASSERT(!request.has_body);
    CU_ASSERT(is_refused(":method: CONNECT\n:protocol: other\n:scheme: https\n"
                         ":authority: a\n:path: /\n", 501));
    CU_ASSERT(is_malformed(GET ":protocol: websocket\n"));
    CU_ASSERT(is_malformed(":method: CONNECT\n:protocol: websocket\n:authority: a\n:path: /\n"));
}

static void
bounds_a_section(void)
{
    char lines[8192] = GET;
    size_t at = strlen(lines);

    for (int i = 0; i < 17; i++)
        at += (size_t)sprintf(lines + at, "x-%d: 1\n", i);
    CU_ASSERT(is_refused(lines, 431));
    strcpy(lines, GET "x: ");
    at = strlen(lines);
    memset(lines + at, 'a', 4096);
    strcpy(lines + at + 4096, "\n");
    CU_ASSERT(is_refused(lines, 431));
    CU_ASSERT(head.bytes > 4096 && is(request.method_name, "GET"));
}

/* Sections 8.3.2, 8.6. */
static void
reads_responses(void)
{
    read_lines(H2_RESPONSE, ":status: 200\ncontent-length: 5\n");
    CU_ASSERT_EQUAL(h2_head_to_response(&head, METHOD_GET, false, &response, &refusal), 0);
    CU_ASSERT(response.status == 200 && response.has_body && response.length == 5);
    read_lines(H2_RESPONSE, ":status: 200\ncontent-length: 5\n");
    CU_ASSERT_EQUAL(h2_head_to_response(&head, METHOD_HEAD, true, &response, &refusal), 0);
    CU_ASSERT(!response.has_body);
    read_lines(H2_RESPONSE, ":status: 200\ncontent-length: 5\n");
    CU_ASSERT(h2_head_to_response(&head, METHOD_GET, true, &response, &refusal) < 0 &&
              refusal.status == 502);
    read_lines(H2_RESPONSE, ":status: 101\n");
    CU_ASSERT(h2_head_to_response(&head, METHOD_GET, false, &response, &refusal) < 0);
    read_lines(H2_RESPONSE, ":status: 20\n");
    CU_ASSERT(h2_head_to_response(&head, METHOD_GET, false, &response, &refusal) < 0);
    read_lines(H2_RESPONSE, "server: x\n");
    CU_ASSERT(h2_head_to_response(&head, METHOD_GET, false, &response, &refusal) < 0);
    read_lines(H2_RESPONSE, ":status: 200\nconnection: close\n");
    CU_ASSERT(h2_head_to_response(&head, METHOD_GET, false, &response, &refusal) < 0);
}

/* RFC 9110 section 6.5.1. */
static void
lets_only_harmless_trailers_through(void)
{
    const struct fields *trailers;

    read_lines(H2_TRAILERS, "grpc-status: 0\ncontent-type: x\nauthorization: y\n");
    CU_ASSERT_EQUAL_FATAL(h2_head_to_trailers(&head, &trailers), 0);
    CU_ASSERT_EQUAL(trailers->count, 1);
    CU_ASSERT(is(trailers->items[0].name, "grpc-status"));
    read_lines(H2_TRAILERS, "content-type: x\n");
    CU_ASSERT(h2_head_to_trailers(&head, &trailers) == 0 && trailers == NULL);
    read_lines(H2_TRAILERS, ":path: /\n");
    CU_ASSERT(h2_head_to_trailers(&head, &trailers) < 0);
}

/* RFC 9218 section 4. */
static void
reads_priorities(void)
{
    struct h2_priority priority = { 3, false };

    h2_priority_parse(SLICE("u=1, i"), &priority);
    CU_ASSERT(priority.urgency == 1 && priority.is_incremental);
    h2_priority_parse(SLICE("i=?0, u=7, x=y"), &priority);
    CU_ASSERT(priority.urgency == 7 && !priority.is_incremental);
    h2_priority_parse(SLICE("u=9, u=-1, u, i=1"), &priority);
    CU_ASSERT(priority.urgency == 7 && !priority.is_incremental);
}

void
suite_h2_fields(void)
{
    CU_pSuite s = CU_add_suite("h2_fields", NULL, NULL);

    CU_add_test(s, "reads a request", reads_a_request);
    CU_add_test(s, "takes the scheme from the connection", takes_the_scheme_from_the_connection);
    CU_add_test(s, "gives a proxy absolute targets", gives_a_proxy_absolute_targets);
    CU_add_test(s, "refuses misplaced pseudo-fields", refuses_misplaced_pseudo_fields);
    CU_add_test(s, "refuses what is not a path", refuses_what_is_not_a_path);
    CU_add_test(s, "refuses names and values that mean something in HTTP/1.1",
                refuses_names_and_values_with_meaning);
    CU_add_test(s, "refuses fields of HTTP/1 connections", refuses_fields_of_connections);
    CU_add_test(s, "joins :authority and Host", joins_authority_and_host);
    CU_add_test(s, "compares Content-Length with the end of the stream", compares_length_and_end);
    CU_add_test(s, "joins cookie crumbs", joins_cookie_crumbs);
    CU_add_test(s, "reads CONNECT", reads_connect);
    CU_add_test(s, "makes an upgrade of a WebSocket's CONNECT", makes_an_upgrade_of_websockets);
    CU_add_test(s, "bounds a section", bounds_a_section);
    CU_add_test(s, "reads responses", reads_responses);
    CU_add_test(s, "lets only harmless trailers through", lets_only_harmless_trailers_through);
    CU_add_test(s, "reads priorities", reads_priorities);
}
