/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h1_parse.c - heads are read strictly, and the same however they arrive. */
#include "config.h"

#include "server/http/h1_parse.h"

#include <stdio.h>
#include <stdlib.h>

#include <CUnit/CUnit.h>

void suite_h1_parse(void);

static const struct h1_limits limits = { 16384, 65536 + 16384, 128 };
static struct arena arena;
static struct h1_refusal refusal;
static struct request request;
static struct response response;

static int
begin(void)
{
    arena_init(&arena, NULL, 64 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

/* ---- helpers */

/* Scans text in pieces of step bytes, each time in a block of just the bytes
 * so far, so that a sanitizer sees any reading ahead. Returns 0 for a head,
 * 1 when input is wanting, otherwise the status of the refusal. */
static int
scan(struct slice text, size_t step, bool is_request, const struct h1_limits *bounds,
     struct slice *head)
{
    struct h1_scan state = { 0 };
    size_t there = 0;

    refusal = (struct h1_refusal){ 0 };
    while (there < text.bytes) {
        enum h1_progress progress;
        char *block;

        there = text.bytes - there < step ? text.bytes : there + step;
        block = malloc(there);
        memcpy(block, text.data, there);
        progress = h1_scan_head(&state, slice_make(block, there), bounds, is_request, head,
                                &refusal);
        if (progress == H1_DONE)
            head->data = text.data + (head->data - block);
        free(block);
        if (progress != H1_NEED_INPUT)
            return progress == H1_DONE ? 0 : refusal.status;
    }
    return 1;
}

/* Scans and parses; returns 0, 1 or a status. */
static int
read_request_slice(struct slice text)
{
    struct slice head = { NULL, 0 }, again = { NULL, 0 };
    int whole = scan(text, SIZE_MAX, true, &limits, &head);
    int bytewise = scan(text, 1, true, &limits, &again);

    CU_ASSERT_EQUAL(whole, bytewise);
    CU_ASSERT_PTR_EQUAL(head.data, again.data);
    CU_ASSERT_EQUAL(head.bytes, again.bytes);
    if (whole != 0)
        return whole;
    return h1_parse_request(head, &arena, &limits, &request, &refusal) == 0 ? 0 : refusal.status;
}

static int
read_request(const char *text)
{
    return read_request_slice(slice_of(text));
}

static int
read_response(const char *text, enum method method)
{
    struct slice head = { NULL, 0 }, again = { NULL, 0 };
    int whole = scan(slice_of(text), SIZE_MAX, false, &limits, &head);

    CU_ASSERT_EQUAL(whole, scan(slice_of(text), 1, false, &limits, &again));
    if (whole != 0)
        return whole;
    if (h1_parse_response(head, &arena, &limits, method, &response, &refusal) == 0)
        return 0;
    return refusal.status;
}

static bool
is(struct slice found, const char *expected)
{
    return slice_equal(found, slice_of(expected));
}

static void
expect_status(int found, int expected, const char *text)
{
    CU_ASSERT_EQUAL(found, expected);
    if (found != expected)
        printf("\n  status %d, expected %d (%s): %s\n", found, expected,
               refusal.reason != NULL ? refusal.reason : "", text);
    if (found > 1)
        CU_ASSERT_TRUE(refusal.reason != NULL && refusal.reason[0] != '\0');
}

struct refused {
    int status;
    const char *text;
};

static void
expect_requests(const struct refused *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_status(read_request(cases[i].text), cases[i].status, cases[i].text);
}

static void
expect_responses(const struct refused *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_status(read_response(cases[i].text, METHOD_GET), cases[i].status, cases[i].text);
}

#define EXPECT_REQUESTS(cases) expect_requests(cases, ARRAY_COUNT(cases))
#define EXPECT_RESPONSES(cases) expect_responses(cases, ARRAY_COUNT(cases))

#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

/* ---- the end of a head */

/* RFC 9112 section 2.2: at least one empty line in front is to be ignored; we
 * take one and no more. */
static void
passes_over_one_empty_line(void)
{
    CU_ASSERT_EQUAL(read_request("\r\n" GET "\r\nrest"), 0);
    CU_ASSERT_TRUE(is(request.method_name, "GET"));
    CU_ASSERT_EQUAL(read_request("\r\n\r\n" GET "\r\n"), 400);
    CU_ASSERT_EQUAL(read_request("\n" GET "\r\n"), 400);
    CU_ASSERT_EQUAL(read_request("\r" GET "\r\n"), 400);
    CU_ASSERT_EQUAL(read_response("\r\n" OK "\r\n", METHOD_GET), 502);
}

static void
leaves_what_follows_the_head(void)
{
    struct slice text = SLICE("\r\n" GET "\r\nGET /2"), head;

    CU_ASSERT_EQUAL(scan(text, SIZE_MAX, true, &limits, &head), 0);
    CU_ASSERT_TRUE(is(head, GET "\r\n"));
    CU_ASSERT_PTR_EQUAL(head.data, text.data + 2);
}

static void
waits_for_the_whole_head(void)
{
    const char *text = "\r\n" GET "\r\n";
    struct slice head;

    for (size_t bytes = 0; bytes < strlen(text); bytes++) {
        CU_ASSERT_EQUAL(scan(slice_make(text, bytes), SIZE_MAX, true, &limits, &head), 1);
        CU_ASSERT_EQUAL(scan(slice_make(text, bytes), 1, true, &limits, &head), 1);
    }
}

/* What can never become a head is not waited for. */
static void
refuses_other_protocols_at_once(void)
{
    struct slice head;

    CU_ASSERT_EQUAL(scan(SLICE("\x16\x03\x01\x02"), SIZE_MAX, true, &limits, &head), 400);
    CU_ASSERT_EQUAL(scan(SLICE("\x16"), SIZE_MAX, true, &limits, &head), 400);
    CU_ASSERT_EQUAL(scan(SLICE("\x80\x2e"), 1, true, &limits, &head), 400);
    CU_ASSERT_EQUAL(read_request("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), 400);
    CU_ASSERT_EQUAL(read_request("SSH-2.0-OpenSSH_9.2\r\n"), 400);
    CU_ASSERT_EQUAL(read_request("GET /\r\n"), 400); /* HTTP/0.9 */
    CU_ASSERT_EQUAL(read_response("SSH-2.0", METHOD_GET), 502);
    CU_ASSERT_EQUAL(read_response("ICY 200 OK\r\n\r\n", METHOD_GET), 502);
    CU_ASSERT_EQUAL(read_response("<html>", METHOD_GET), 502);
}

static struct slice
repeat(const char *before, char c, size_t times, const char *after)
{
    size_t ahead = strlen(before), behind = strlen(after);
    char *text = arena_alloc(&arena, ahead + times + behind);

    memcpy(text, before, ahead);
    memset(text + ahead, c, times);
    memcpy(text + ahead + times, after, behind);
    return slice_make(text, ahead + times + behind);
}

static int
scan_both(struct slice text, bool is_request, const struct h1_limits *bounds)
{
    struct slice head;
    int whole = scan(text, SIZE_MAX, is_request, bounds, &head);

    CU_ASSERT_EQUAL(scan(text, 1, is_request, bounds, &head), whole);
    CU_ASSERT_EQUAL(scan(text, 7, is_request, bounds, &head), whole);
    return whole;
}

/* RFC 9112 section 3: 414 for a line too long. */
static void
bounds_the_first_line(void)
{
    const struct h1_limits small = { 100, 300, 10 };
    const char *version = " HTTP/1.1\r\n\r\n";
    size_t fixed = strlen("GET / HTTP/1.1");

    CU_ASSERT_EQUAL(scan_both(repeat("GET /", 'a', 100 - fixed, version), true, &small), 0);
    CU_ASSERT_EQUAL(scan_both(repeat("GET /", 'a', 101 - fixed, version), true, &small), 414);
    CU_ASSERT_EQUAL(scan_both(repeat("GET /", 'a', 1000, ""), true, &small), 414);
    CU_ASSERT_EQUAL(scan_both(repeat("GET /", 'a', 1000, "\n"), true, &small), 414);
    CU_ASSERT_EQUAL(scan_both(repeat("HTTP/1.1 200 ", 'a', 1000, ""), false, &small), 502);
}

/* RFC 6585 section 5: 431 for fields too large, or too many. */
static void
bounds_the_head(void)
{
    const struct h1_limits small = { 100, 300, 3 };
    size_t fixed = strlen(GET "A: \r\n\r\n");

    CU_ASSERT_EQUAL(scan_both(repeat(GET "A: ", 'a', 300 - fixed, "\r\n\r\n"), true, &small), 0);
    CU_ASSERT_EQUAL(scan_both(repeat(GET "A: ", 'a', 301 - fixed, "\r\n\r\n"), true, &small), 431);
    CU_ASSERT_EQUAL(scan_both(repeat("\r\n" GET "A: ", 'a', 300 - fixed, "\r\n\r\n"), true, &small),
                    0);
    CU_ASSERT_EQUAL(scan_both(repeat("\r\n" GET "A: ", 'a', 301 - fixed, "\r\n\r\n"), true, &small),
                    431);
    CU_ASSERT_EQUAL(scan_both(repeat(GET "A: ", 'a', 1000, ""), true, &small), 431);
    CU_ASSERT_EQUAL(scan_both(SLICE(GET "a:\r\nb:\r\n\r\n"), true, &small), 0);
    CU_ASSERT_EQUAL(scan_both(SLICE(GET "a:\r\nb:\r\nc:\r\n"), true, &small), 431);
    CU_ASSERT_EQUAL(scan_both(SLICE(OK "a:\r\nb:\r\nc:\r\nd:\r\n"), false, &small), 502);
}

/* ---- the request line */

static void
reads_a_request(void)
{
    CU_ASSERT_EQUAL(read_request("GET /a/b?c=d HTTP/1.1\r\nHost: Example.COM.:8080\r\n"
                                 "accept:*/*\r\nX-Empty:\r\nX-Own: \t a b\t \r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.method, METHOD_GET);
    CU_ASSERT_EQUAL(request.form, TARGET_ORIGIN);
    CU_ASSERT_EQUAL(request.minor_version, 1);
    CU_ASSERT_EQUAL(request.port, 8080);
    CU_ASSERT_EQUAL(request.length, 0);
    CU_ASSERT_FALSE(request.has_body || request.is_chunked || request.wants_close ||
                    request.wants_upgrade || request.expects_continue);
    CU_ASSERT_TRUE(is(request.target, "/a/b?c=d"));
    CU_ASSERT_TRUE(is(request.path, "/a/b"));
    CU_ASSERT_TRUE(is(request.query, "c=d"));
    CU_ASSERT_TRUE(is(request.scheme, "http"));
    CU_ASSERT_TRUE(is(request.authority, "Example.COM.:8080"));
    CU_ASSERT_TRUE(is(request.host, "example.com"));
    CU_ASSERT_PTR_NULL(request.body);
    CU_ASSERT_EQUAL(request.fields.count, 4);
    CU_ASSERT_TRUE(is(fields_get(&request.fields, FIELD_ACCEPT), "*/*"));
    CU_ASSERT_TRUE(is(fields_find_name(&request.fields, SLICE("x-empty"))->value, ""));
    CU_ASSERT_TRUE(is(fields_find_name(&request.fields, SLICE("x-own"))->value, "a b"));
}

/* RFC 9112 section 3: method SP target SP version, and nothing else. */
static void
refuses_malformed_request_lines(void)
{
    static const struct refused cases[] = {
        { 400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET /  HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, " GET / HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1.1 \r\nHost: h\r\n\r\n" },
        { 400, "GET / x HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1.1\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1.1\rHost: h\r\n\r\n" },
        { 400, "G(T / HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET: / HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET / http/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/11\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1.10\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/01.1\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1,1\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/x.1\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/\r\nHost: h\r\n\r\n" },
        { 400, "GET /\r\nHost: h\r\n\r\n" },
        { 400, "GET HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n" },
        { 505, "GET / HTTP/0.9\r\nHost: h\r\n\r\n" },
        { 505, "GET / HTTP/9.1\r\nHost: h\r\n\r\n" },
    };

    EXPECT_REQUESTS(cases);
    CU_ASSERT_EQUAL(read_request_slice(SLICE("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n")), 400);
    CU_ASSERT_EQUAL(read_request_slice(SLICE("G\0ET / HTTP/1.1\r\nHost: h\r\n\r\n")), 400);
}

/* RFC 9110 section 2.5: a higher minor version is the highest we know. */
static void
takes_minor_versions_for_what_they_are(void)
{
    CU_ASSERT_EQUAL(read_request("GET / HTTP/1.0\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.minor_version, 0);
    CU_ASSERT_TRUE(request.wants_close);
    CU_ASSERT_EQUAL(read_request("GET / HTTP/1.9\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.minor_version, 1);
    CU_ASSERT_FALSE(request.wants_close);
}

static void
refuses_characters_that_no_target_has(void)
{
    static const char bad[] = "\x01\x08\x0b\x0c\x1f\x7f\x80\xc3\xff#";

    for (const char *c = bad; *c != '\0'; c++) {
        char text[80];

        snprintf(text, sizeof(text), "GET /a%cb HTTP/1.1\r\nHost: h\r\n\r\n", *c);
        expect_status(read_request(text), 400, text);
    }
    CU_ASSERT_EQUAL(read_request("GET /%zz%00|\"<>{}^`\\ HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(request.path, "/%zz%00|\"<>{}^`\\"));
}

/* ---- the target: RFC 9112 section 3.2 */

static void
takes_absolute_form_apart(void)
{
    CU_ASSERT_EQUAL(read_request("GET HTTP://Example.com:81/a?b HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.form, TARGET_ABSOLUTE);
    CU_ASSERT_TRUE(is(request.scheme, "http"));
    CU_ASSERT_TRUE(is(request.authority, "Example.com:81"));
    CU_ASSERT_TRUE(is(request.host, "example.com"));
    CU_ASSERT_EQUAL(request.port, 81);
    CU_ASSERT_TRUE(is(request.path, "/a"));
    CU_ASSERT_TRUE(is(request.query, "b"));
    CU_ASSERT_EQUAL(read_request("GET https://[2001:DB8::1] HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(request.scheme, "https"));
    CU_ASSERT_TRUE(is(request.host, "2001:db8::1"));
    CU_ASSERT_EQUAL(request.port, 443);
    CU_ASSERT_TRUE(is(request.path, "/"));
    CU_ASSERT_PTR_NULL(request.query.data);
    CU_ASSERT_EQUAL(read_request("GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(request.path, "/"));
    CU_ASSERT_TRUE(is(request.query, "q"));
    CU_ASSERT_EQUAL(request.port, 80);
}

/* RFC 9112 section 3.2.2: the target's authority replaces Host. */
static void
replaces_host_by_the_targets_authority(void)
{
    CU_ASSERT_EQUAL(read_request("GET http://good:1/ HTTP/1.1\r\nA: b\r\nHost: evil\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(fields_get(&request.fields, FIELD_HOST), "good:1"));
    CU_ASSERT_EQUAL(request.fields.count, 2);
    CU_ASSERT_EQUAL(read_request("GET http://good/ HTTP/1.0\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(fields_get(&request.fields, FIELD_HOST), "good"));
    CU_ASSERT_EQUAL(read_request("CONNECT good:443 HTTP/1.1\r\nHost: evil\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(fields_get(&request.fields, FIELD_HOST), "good:443"));
}

static void
refuses_malformed_targets(void)
{
    static const struct refused cases[] = {
        { 400, "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http:/// HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http://h:0/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http://h:65536/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http://h%41/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http://[::1%251]/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET http:/h HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET h HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "OPTIONS ** HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT h: HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT h:0 HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT h:65536 HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT /h:1 HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT http://h:1 HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT u@h:1 HTTP/1.1\r\nHost: h\r\n\r\n" },
        { 400, "CONNECT * HTTP/1.1\r\nHost: h\r\n\r\n" },
    };

    EXPECT_REQUESTS(cases);
}

static void
reads_connect_and_options(void)
{
    CU_ASSERT_EQUAL(read_request("CONNECT [::1]:443 HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.form, TARGET_AUTHORITY);
    CU_ASSERT_TRUE(is(request.host, "::1"));
    CU_ASSERT_EQUAL(request.port, 443);
    CU_ASSERT_EQUAL(request.scheme.bytes, 0);
    CU_ASSERT_EQUAL(read_request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.form, TARGET_ASTERISK);
    CU_ASSERT_TRUE(is(request.path, "*"));
    CU_ASSERT_TRUE(is(request.host, "h"));
    /* Section 3.2.4: without path and query, it goes to the origin as "*". */
    CU_ASSERT_EQUAL(read_request("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(request.path, "*"));
    CU_ASSERT_EQUAL(read_request("OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    CU_ASSERT_TRUE(is(request.path, "/"));
}

/* RFC 9112 section 3.2: 400 for a Host that is missing, doubled or malformed. */
static void
judges_host(void)
{
    static const struct refused cases[] = {
        { 400, "GET / HTTP/1.1\r\n\r\n" },
        { 400, "GET http://h/ HTTP/1.1\r\n\r\n" },
        { 400, "CONNECT h:1 HTTP/1.1\r\n\r\n" },
        { 400, GET "Host: h\r\n\r\n" },
        { 400, GET "host: i\r\n\r\n" },
        { 400, "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: h i\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: h/i\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: h:0\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n" },
        { 400, "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n" },
        { 0, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n" },
        { 0, "GET / HTTP/1.1\r\nHost: a_b.c-d\r\n\r\n" },
    };

    EXPECT_REQUESTS(cases);
    CU_ASSERT_EQUAL(read_request("GET / HTTP/1.0\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.host.bytes, 0);
    CU_ASSERT_EQUAL(request.port, 80);
}

/* ---- fields: RFC 9112 section 5 */

static void
refuses_malformed_fields(void)
{
    static const struct refused cases[] = {
        { 400, GET "A : b\r\n\r\n" },
        { 400, GET "A\t: b\r\n\r\n" },
        { 400, GET " A: b\r\n\r\n" },
        { 400, GET "A: b\r\n c\r\n\r\n" },
        { 400, GET "A: b\r\n\tc\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\n Host: h\r\n\r\n" },
        { 400, GET ": b\r\n\r\n" },
        { 400, GET "A\r\n\r\n" },
        { 400, GET "A(: b\r\n\r\n" },
        { 400, GET "\xc3\xa4: b\r\n\r\n" },
        { 400, GET "A: b\n\r\n" },
        { 400, GET "A: b\r\n\n" },
        { 400, GET "A: b\rc\r\n\r\n" },
        { 400, GET "A: b\r\r\n\r\n" },
        { 400, GET "A: \x01\r\n\r\n" },
        { 400, GET "A: \x0b\r\n\r\n" },
        { 400, GET "A: \x7f\r\n\r\n" },
        { 400, GET "A\r: b\r\n\r\n" },
        { 0, GET "A: \xc3\xa4 \x80\xff\t\"\r\n\r\n" },
        { 0, GET "!#$%&'*+-.^_`|~: x\r\n\r\n" },
    };

    EXPECT_REQUESTS(cases);
    CU_ASSERT_EQUAL(read_request_slice(SLICE(GET "A: b\0c\r\n\r\n")), 400);
    CU_ASSERT_EQUAL(read_request_slice(SLICE(GET "A\0: b\r\n\r\n")), 400);
}

/* Two lines of these mean two things to two readers. */
static void
refuses_repeated_singletons(void)
{
    static const struct refused cases[] = {
        { 400, GET "Authorization: a\r\nAuthorization: b\r\n\r\n" },
        { 400, GET "Proxy-Authorization: a\r\nproxy-authorization: a\r\n\r\n" },
        { 400, GET "Max-Forwards: 1\r\nMax-Forwards: 2\r\n\r\n" },
        { 0, GET "Cookie: a\r\nCookie: b\r\nVia: a\r\nVia: b\r\n\r\n" },
    };

    EXPECT_REQUESTS(cases);
}

/* ---- the connection: RFC 9112 section 9 */

static void
understands_connection_options(void)
{
    CU_ASSERT_EQUAL(read_request(GET "Connection: Close\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.wants_close);
    CU_ASSERT_EQUAL(read_request(GET "Connection: x\r\nConnection: ,y, close\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.wants_close);
    CU_ASSERT_EQUAL(read_request(GET "Connection: closed, keep-alive\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.wants_close);
    CU_ASSERT_EQUAL(read_request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.wants_close);
    CU_ASSERT_EQUAL(read_request("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.wants_close);
    CU_ASSERT_EQUAL(read_request(GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.wants_upgrade);
    CU_ASSERT_EQUAL(read_request(GET "Upgrade: websocket\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.wants_upgrade);
    CU_ASSERT_EQUAL(read_request(GET "Connection: upgrade\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.wants_upgrade);
    CU_ASSERT_EQUAL(read_request("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.wants_upgrade);
}

static void
bounds_connection_options(void)
{
    char text[512];
    size_t at = (size_t)snprintf(text, sizeof(text), GET "Connection: x");

    for (unsigned i = 1; i < H1_CONNECTION_OPTIONS_MAX; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, ",x%u", i);
    snprintf(text + at, sizeof(text) - at, "\r\n\r\n");
    expect_status(read_request(text), 0, text);
    snprintf(text + at, sizeof(text) - at, "\r\nConnection: one-more\r\n\r\n");
    expect_status(read_request(text), 400, text);
}

/* RFC 9110 section 10.1.1. */
static void
understands_expect(void)
{
    CU_ASSERT_EQUAL(read_request(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.expects_continue);
    CU_ASSERT_EQUAL(read_request(POST "Expect: 100-continue\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.expects_continue);
    CU_ASSERT_EQUAL(read_request(POST "Expect: 100-continue\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.expects_continue);
    CU_ASSERT_EQUAL(read_request(POST "Expect: other\r\nContent-Length: 1\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.expects_continue);
    CU_ASSERT_EQUAL(read_request("POST / HTTP/1.0\r\nExpect: 100-continue\r\n"
                                 "Content-Length: 1\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.expects_continue);
}

/* ---- framing: RFC 9112 section 6 */

static void
frames_requests(void)
{
    CU_ASSERT_EQUAL(read_request(POST "Content-Length: 42\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.has_body && !request.is_chunked);
    CU_ASSERT_EQUAL(request.length, 42);
    CU_ASSERT_EQUAL(read_request(POST "Content-Length: 0\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.has_body);
    CU_ASSERT_EQUAL(request.length, 0);
    CU_ASSERT_EQUAL(read_request(POST "Content-Length: 9223372036854775807\r\n\r\n"), 0);
    CU_ASSERT_EQUAL(request.length, INT64_MAX);
    CU_ASSERT_EQUAL(read_request(POST "Transfer-Encoding: Chunked\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.has_body && request.is_chunked);
    CU_ASSERT_EQUAL(request.length, LENGTH_UNKNOWN);
    CU_ASSERT_EQUAL(read_request(POST "\r\n"), 0);
    CU_ASSERT_FALSE(request.has_body);
    CU_ASSERT_EQUAL(read_request(GET "Content-Length: 1\r\n\r\n"), 0);
    CU_ASSERT_TRUE(request.has_body);
    CU_ASSERT_EQUAL(read_request("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n"
                                 "Content-Length: 0\r\n\r\n"), 0);
    CU_ASSERT_FALSE(request.has_body);
}

/* Section 11.2: what could be framed in two ways. */
static void
refuses_ambiguous_requests(void)
{
    static const struct refused cases[] = {
        { 400, POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n" },
        { 400, POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n" },
        { 400, POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n" },
        { 400, POST "Content-Length: 1, 1\r\n\r\n" },
        { 400, POST "Content-Length: 1,2\r\n\r\n" },
        { 400, POST "Content-Length:\r\n\r\n" },
        { 400, POST "Content-Length: -1\r\n\r\n" },
        { 400, POST "Content-Length: +1\r\n\r\n" },
        { 400, POST "Content-Length: 0x1\r\n\r\n" },
        { 400, POST "Content-Length: 1 2\r\n\r\n" },
        { 400, POST "Content-Length: 1a\r\n\r\n" },
        { 400, POST "Content-Length: 1.0\r\n\r\n" },
        { 400, POST "Content-Length: \"1\"\r\n\r\n" },
        { 400, POST "Content-Length: 9223372036854775808\r\n\r\n" },
        { 400, POST "Content-Length: 18446744073709551617\r\n\r\n" },
        { 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, POST "Transfer-Encoding:\r\n\r\n" },
        { 400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n" },
        { 400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, POST "Transfer-Encoding: chunked, gzip\r\n\r\n" },
        { 400, POST "Transfer-Encoding: chunked,\r\n\r\n" },
        { 400, POST "Transfer-Encoding: ,chunked\r\n\r\n" },
        { 501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n" },
        { 501, POST "Transfer-Encoding: gzip\r\n\r\n" },
        { 501, POST "Transfer-Encoding: identity\r\n\r\n" },
        { 501, POST "Transfer-Encoding: xchunked\r\n\r\n" },
        { 501, POST "Transfer-Encoding: chunked;a=b\r\n\r\n" },
        { 501, POST "Transfer-Encoding: \"chunked\"\r\n\r\n" },
        { 400, POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n" },
        { 400, POST "Transfer-Encoding : chunked\r\n\r\n" },
        { 400, POST "Transfer-Encoding\r\n : chunked\r\n\r\n" },
        { 400, "TRACE / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n" },
        { 400, "TRACE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n" },
        { 400, "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" },
    };

    EXPECT_REQUESTS(cases);
}

/* ---- responses: RFC 9112 sections 4 and 6.3 */

static void
reads_a_response(void)
{
    CU_ASSERT_EQUAL(read_response("HTTP/1.1 404 Not \xc3\xa4 Found\r\nContent-Length: 7\r\n\r\n",
                                  METHOD_GET), 0);
    CU_ASSERT_EQUAL(response.status, 404);
    CU_ASSERT_TRUE(is(response.reason, "Not \xc3\xa4 Found"));
    CU_ASSERT_TRUE(response.has_body);
    CU_ASSERT_FALSE(response.is_chunked || response.ends_by_close || response.wants_close);
    CU_ASSERT_EQUAL(response.length, 7);
    CU_ASSERT_EQUAL(read_response("HTTP/1.1 200\r\n\r\n", METHOD_GET), 0);
    CU_ASSERT_EQUAL(response.reason.bytes, 0);
    CU_ASSERT_EQUAL(read_response("HTTP/1.1 200 \r\n\r\n", METHOD_GET), 0);
    CU_ASSERT_EQUAL(response.reason.bytes, 0);
}

static void
refuses_malformed_responses(void)
{
    static const struct refused cases[] = {
        { 502, "HTTP/1.1 20 OK\r\n\r\n" },
        { 502, "HTTP/1.1 2000 OK\r\n\r\n" },
        { 502, "HTTP/1.1 099 OK\r\n\r\n" },
        { 502, "HTTP/1.1 600 OK\r\n\r\n" },
        { 502, "HTTP/1.1 2x0 OK\r\n\r\n" },
        { 502, "HTTP/1.1 -20 OK\r\n\r\n" },
        { 502, "HTTP/1.1  200 OK\r\n\r\n" },
        { 502, "HTTP/1.1\t200 OK\r\n\r\n" },
        { 502, "HTTP/1.1 200OK\r\n\r\n" },
        { 502, "HTTP/1.1 200\tOK\r\n\r\n" },
        { 502, "HTTP/1.1 200 O\x01K\r\n\r\n" },
        { 502, "HTTP/1.1 200 O\rK\r\n\r\n" },
        { 502, "HTTP/1.1 200 OK\n\r\n" },
        { 502, "HTTP/1.1 \r\n\r\n" },
        { 502, "HTTP/1.1\r\n\r\n" },
        { 502, "HTTP/\r\n\r\n" },
        { 502, "HTTP/2.0 200 OK\r\n\r\n" },
        { 502, "HTTP/0.9 200 OK\r\n\r\n" },
        { 502, "http/1.1 200 OK\r\n\r\n" },
        { 502, OK "A: b\r\n c\r\n\r\n" },
        { 502, OK "A : b\r\n\r\n" },
        { 502, OK "A: b\nC: d\r\n\r\n" },
        { 502, OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 502, OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n" },
        { 502, OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n" },
        { 502, OK "Content-Length: x\r\n\r\n" },
        { 502, OK "Transfer-Encoding: gzip, chunked\r\n\r\n" },
        { 502, OK "Transfer-Encoding: chunked, identity\r\n\r\n" },
        { 502, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" },
    };

    EXPECT_RESPONSES(cases);
    CU_ASSERT_EQUAL(read_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                                  "Content-Length: 1\r\n\r\n", METHOD_HEAD), 502);
}

static void
frames_responses(void)
{
    CU_ASSERT_EQUAL(read_response(OK "Transfer-Encoding: chunked\r\n\r\n", METHOD_GET), 0);
    CU_ASSERT_TRUE(response.has_body && response.is_chunked && !response.ends_by_close);
    CU_ASSERT_EQUAL(response.length, LENGTH_UNKNOWN);
    CU_ASSERT_EQUAL(read_response(OK "\r\n", METHOD_GET), 0);
    CU_ASSERT_TRUE(response.has_body && response.ends_by_close && response.wants_close);
    CU_ASSERT_EQUAL(response.length, LENGTH_UNKNOWN);
    CU_ASSERT_EQUAL(read_response(OK "Content-Length: 0\r\n\r\n", METHOD_GET), 0);
    CU_ASSERT_TRUE(response.has_body && !response.ends_by_close);
    CU_ASSERT_EQUAL(response.length, 0);
    CU_ASSERT_EQUAL(read_response(OK "Content-Length: 5\r\n\r\n", METHOD_CONNECT), 0);
    CU_ASSERT_FALSE(response.has_body);
    CU_ASSERT_EQUAL(read_response("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
                                  METHOD_CONNECT), 0);
    CU_ASSERT_TRUE(response.has_body);
}

/* Section 6.3: whatever the fields say. */
static void
knows_responses_without_content(void)
{
    static const char *const heads[] = {
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        CU_ASSERT_EQUAL(read_response(heads[i], METHOD_GET), 0);
        CU_ASSERT_FALSE(response.has_body || response.is_chunked || response.ends_by_close ||
                        response.wants_close);
        CU_ASSERT_EQUAL(response.length, 0);
    }
    CU_ASSERT_EQUAL(read_response(OK "Content-Length: 5\r\n\r\n", METHOD_HEAD), 0);
    CU_ASSERT_FALSE(response.has_body);
    CU_ASSERT_EQUAL(response.length, 0);
    CU_ASSERT_TRUE(is(fields_get(&response.fields, FIELD_CONTENT_LENGTH), "5"));
}

/* Section 9.3. */
static void
knows_when_the_sender_closes(void)
{
    CU_ASSERT_EQUAL(read_response(OK "Connection: close\r\nContent-Length: 0\r\n\r\n",
                                  METHOD_GET), 0);
    CU_ASSERT_TRUE(response.wants_close);
    CU_ASSERT_EQUAL(read_response("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", METHOD_GET), 0);
    CU_ASSERT_TRUE(response.wants_close);
    CU_ASSERT_EQUAL(read_response("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"
                                  "Connection: keep-alive\r\n\r\n", METHOD_GET), 0);
    CU_ASSERT_FALSE(response.wants_close);
}

/* ---- memory */

/* Fails each budget in turn; nothing may be half done or leak. */
static void
refuses_when_memory_is_short(void)
{
    struct slice head = repeat("GET http://HOST/ HTTP/1.0\r\n", 'a', 100, ": b\r\n\r\n");

    for (size_t budget = 0; budget < 6 * BLOCK_BYTES; budget += 64) {
        struct arena small;
        int rc;

        arena_init(&small, NULL, budget);
        rc = h1_parse_request(head, &small, &limits, &request, &refusal);
        CU_ASSERT_EQUAL(rc, arena_is_spent(&small) ? -1 : 0);
        if (rc < 0)
            CU_ASSERT_EQUAL(refusal.status, 431);
        arena_fini(&small);
    }
}

/* A parse trusts nobody to have found the end of the head. */
static void
refuses_every_head_that_is_cut(void)
{
    const char *text = "POST http://h/a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n";
    const char *answer = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 1\r\n\r\n";

    for (size_t bytes = 1; bytes < strlen(text); bytes++) {
        char *block = malloc(bytes);

        memcpy(block, text, bytes);
        CU_ASSERT_EQUAL(h1_parse_request(slice_make(block, bytes), &arena, &limits, &request,
                                         &refusal), -1);
        free(block);
    }
    for (size_t bytes = 1; bytes < strlen(answer); bytes++) {
        char *block = malloc(bytes);

        memcpy(block, answer, bytes);
        CU_ASSERT_EQUAL(h1_parse_response(slice_make(block, bytes), &arena, &limits, METHOD_GET,
                                          &response, &refusal), -1);
        free(block);
    }
}

void
suite_h1_parse(void)
{
    CU_pSuite s = CU_add_suite("h1_parse", begin, end);

    CU_add_test(s, "passes over one empty line", passes_over_one_empty_line);
    CU_add_test(s, "leaves what follows the head", leaves_what_follows_the_head);
    CU_add_test(s, "waits for the whole head", waits_for_the_whole_head);
    CU_add_test(s, "refuses other protocols at once", refuses_other_protocols_at_once);
    CU_add_test(s, "bounds the first line", bounds_the_first_line);
    CU_add_test(s, "bounds the head", bounds_the_head);
    CU_add_test(s, "reads a request", reads_a_request);
    CU_add_test(s, "refuses malformed request lines", refuses_malformed_request_lines);
    CU_add_test(s, "takes minor versions for what they are",
                takes_minor_versions_for_what_they_are);
    CU_add_test(s, "refuses characters that no target has", refuses_characters_that_no_target_has);
    CU_add_test(s, "takes absolute form apart", takes_absolute_form_apart);
    CU_add_test(s, "replaces Host by the target's authority",
                replaces_host_by_the_targets_authority);
    CU_add_test(s, "refuses malformed targets", refuses_malformed_targets);
    CU_add_test(s, "reads CONNECT and OPTIONS", reads_connect_and_options);
    CU_add_test(s, "judges Host", judges_host);
    CU_add_test(s, "refuses malformed fields", refuses_malformed_fields);
    CU_add_test(s, "refuses repeated singletons", refuses_repeated_singletons);
    CU_add_test(s, "understands connection options", understands_connection_options);
    CU_add_test(s, "bounds connection options", bounds_connection_options);
    CU_add_test(s, "understands Expect", understands_expect);
    CU_add_test(s, "frames requests", frames_requests);
    CU_add_test(s, "refuses ambiguous requests", refuses_ambiguous_requests);
    CU_add_test(s, "reads a response", reads_a_response);
    CU_add_test(s, "refuses malformed responses", refuses_malformed_responses);
    CU_add_test(s, "frames responses", frames_responses);
    CU_add_test(s, "knows responses without content", knows_responses_without_content);
    CU_add_test(s, "knows when the sender closes", knows_when_the_sender_closes);
    CU_add_test(s, "refuses when memory is short", refuses_when_memory_is_short);
    CU_add_test(s, "refuses every head that is cut", refuses_every_head_that_is_cut);
}
