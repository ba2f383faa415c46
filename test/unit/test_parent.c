/* SPDX-License-Identifier: BSD-2-Clause */
/* test_parent.c - handshakes with parent proxies: RFC 9110 section 9.3.6,
 * RFC 1928, RFC 1929. The test plays the parent at the far end of a socket.
 */
#include "config.h"

#include "server/upstream/parent.h"

#include "server/base/clock.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void suite_parent(void);

#define PATIENCE_MS 60000

static struct loop *loop;
static struct parent_handshake *handshake;
static int far_end;
static unsigned done_calls;
static int result_fd;
static struct parent_result result;
static char ahead[64];

static const struct parent_conf http = { .kind = PARENT_HTTP, .host = "p", .port = 3128 };
static const struct parent_conf http_login = { .kind = PARENT_HTTP, .host = "p", .port = 3128,
                                               .user = "Aladdin", .password = "open sesame" };
static const struct parent_conf socks = { .kind = PARENT_SOCKS5, .host = "p", .port = 1080 };
static const struct parent_conf socks_login = { .kind = PARENT_SOCKS5, .host = "p", .port = 1080,
                                                .user = "joe", .password = "secret" };

/* ---- the stage */

static void
on_done(void *arg, int fd, const struct parent_result *r)
{
    CU_ASSERT_PTR_EQUAL(arg, &far_end);
    CU_ASSERT_TRUE(r->ahead.bytes < sizeof(ahead));
    done_calls++;
    result_fd = fd;
    result = *r;
    if (r->ahead.bytes > 0)
        memcpy(ahead, r->ahead.data, r->ahead.bytes);
    ahead[r->ahead.bytes] = '\0';
    handshake = NULL;
}

static void
start_for(const struct parent_conf *parent, const char *host, uint32_t timeout_ms)
{
    int fds[2];

    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    loop = loop_new(NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    far_end = fds[0];
    done_calls = 0;
    result_fd = -1;
    handshake = parent_handshake_start(loop, fds[1], parent, slice_of(host), 443, timeout_ms,
                                       on_done, &far_end);
}

static void
start(const struct parent_conf *parent)
{
    start_for(parent, "www.example.com", 60000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(handshake);
}

static void
stop(void)
{
    if (handshake != NULL)
        parent_handshake_cancel(handshake);
    handshake = NULL;
    loop_turn(loop, 0);
    loop_free_all(loop);
    if (result_fd >= 0)
        close(result_fd);
    close(far_end);
}

/* The handshake says exactly this, and nothing more. */
static bool
hears(const char *bytes, size_t count)
{
    char data[2048];
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
    size_t got = 0;

    while (got < count && clock_monotonic_ms() < until) {
        ssize_t n = recv(far_end, data + got, sizeof(data) - got, 0);

        if (n == 0)
            return false;
        if (n > 0)
            got += (size_t)n;
        else
            loop_turn(loop, 5);
    }
    return got == count && memcmp(data, bytes, count) == 0;
}

#define HEARS(literal) CU_ASSERT_TRUE_FATAL(hears(literal, sizeof(literal) - 1))

/* Byte by byte, so that every cut is tried. */
static void
say(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_TRUE(send(far_end, bytes + i, 1, MSG_NOSIGNAL) == 1 || done_calls > 0);
        if (done_calls == 0)
            loop_turn(loop, 0);
    }
}

static void
say_at_once(const char *bytes, size_t count)
{
    CU_ASSERT_EQUAL(send(far_end, bytes, count, MSG_NOSIGNAL), (ssize_t)count);
}

#define SAY(literal) say(literal, sizeof(literal) - 1)

static void
wait_done(void)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (done_calls == 0 && clock_monotonic_ms() < until)
        loop_turn(loop, 5);
    CU_ASSERT_EQUAL(done_calls, 1);
}

/* It ended well, and both ends can talk. */
static void
expect_success(const char *wanted_ahead)
{
    char data[16];

    wait_done();
    CU_ASSERT_EQUAL(result.status, PARENT_OK);
    CU_ASSERT_STRING_EQUAL(ahead, wanted_ahead);
    CU_ASSERT_TRUE_FATAL(result_fd >= 0);
    CU_ASSERT_EQUAL(send(result_fd, "hi", 2, MSG_NOSIGNAL), 2);
    CU_ASSERT_EQUAL(recv(far_end, data, sizeof(data), 0), 2);
    stop();
}

static void
expect_failure(enum parent_status status, const char *proxy_error)
{
    wait_done();
    CU_ASSERT_EQUAL(result.status, status);
    CU_ASSERT_STRING_EQUAL(result.proxy_error, proxy_error);
    CU_ASSERT_PTR_NOT_NULL(result.detail);
    CU_ASSERT_EQUAL(result_fd, -1);
    stop();
}

/* ---- HTTP CONNECT */

#define CONNECT_HEAD "CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n" \
                     "Via: 1.1 bascule\r\n"
#define PLAIN_CONNECT CONNECT_HEAD "\r\n"

static void
connects_through_an_http_parent(void)
{
    start(&http);
    HEARS(PLAIN_CONNECT);
    SAY("HTTP/1.1 200 Connection established\r\n\r\n");
    expect_success("");
}

static void
keeps_what_follows_the_handshake(void)
{
    static const char answer[] = "HTTP/1.0 200 OK\r\nVia: 1.1 p\r\n\r\nSSH-2.0-server";

    start(&http);
    HEARS(PLAIN_CONNECT);
    say_at_once(answer, sizeof(answer) - 1);
    expect_success("SSH-2.0-server");
}

/* RFC 9110 section 9.3.6: Content-Length in a 2xx to CONNECT is ignored. */
static void
takes_no_content_from_a_successful_answer(void)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    start(&http);
    HEARS(PLAIN_CONNECT);
    say_at_once(answer, sizeof(answer) - 1);
    expect_success("hello");
}

/* RFC 7617 section 2 has this very example. */
static void
sends_basic_credentials(void)
{
    start(&http_login);
    HEARS(CONNECT_HEAD "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    SAY("HTTP/1.1 200 OK\r\n\r\n");
    expect_success("");
}

static void
writes_ipv6_literals_in_brackets(void)
{
    start_for(&http, "2001:db8::1", 60000);
    HEARS("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
          "Via: 1.1 bascule\r\n\r\n");
    stop();
}

static void
passes_over_interim_responses(void)
{
    start(&http);
    HEARS(PLAIN_CONNECT);
    SAY("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        "HTTP/1.1 204 No Content\r\n\r\n");
    expect_success("");
}

static void
reports_the_status_of_a_refusal(void)
{
    static const struct {
        const char *answer;
        unsigned status;
        const char *proxy_error;
    } refusals[] = {
        { "HTTP/1.1 403 Forbidden\r\n\r\n", 403, "http_request_denied" },
        { "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
          "Content-Length: 0\r\n\r\n", 407, "proxy_configuration_error" },
        { "HTTP/1.1 504 Gateway Timeout\r\n\r\n", 504, "connection_timeout" },
        { "HTTP/1.1 508 Loop Detected\r\n\r\n", 508, "proxy_loop_detected" },
        { "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", 302, "destination_unavailable" },
        { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101,
          "destination_unavailable" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        start(&http);
        HEARS(PLAIN_CONNECT);
        say(refusals[i].answer, strlen(refusals[i].answer));
        expect_failure(PARENT_REFUSED, refusals[i].proxy_error);
        CU_ASSERT_EQUAL(result.http_status, refusals[i].status);
    }
}

static void
refuses_an_answer_that_is_not_http(void)
{
    static const char *const answers[] = {
        "220 mail.example.com ESMTP\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "\x05\x00\x00\x00\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        start(&http);
        HEARS(PLAIN_CONNECT);
        say(answers[i], 4);
        say(answers[i] + 4, strlen(answers[i] + 4));
        expect_failure(PARENT_BAD, "http_protocol_error");
    }
}

static void
bounds_the_head_of_an_answer(void)
{
    static const char line[] = "X-Padding: 0123456789012345678901234567890123456789\r\n";
    size_t sent = 0;

    start(&http);
    HEARS(PLAIN_CONNECT);
    say("HTTP/1.1 200 OK\r\n", 17);
    while (done_calls == 0 && sent < 64 * 1024) {
        if (send(far_end, line, sizeof(line) - 1, MSG_NOSIGNAL) > 0)
            sent += sizeof(line) - 1;
        loop_turn(loop, 0);
    }
    CU_ASSERT_TRUE(sent < 17 * 1024);
    expect_failure(PARENT_BAD, "http_protocol_error");
}

static void
bounds_interim_responses(void)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t sent = 0;

    start(&http);
    HEARS(PLAIN_CONNECT);
    while (done_calls == 0 && sent < 64 * 1024) {
        if (send(far_end, interim, sizeof(interim) - 1, MSG_NOSIGNAL) > 0)
            sent += sizeof(interim) - 1;
        loop_turn(loop, 0);
    }
    CU_ASSERT_TRUE(sent < 17 * 1024);
    expect_failure(PARENT_BAD, "http_protocol_error");
}

/* ---- SOCKS5 */

#define SOCKS_REQUEST "\x05\x01\x00\x03\x0fwww.example.com\x01\xbb"

static void
connects_through_socks5(void)
{
    start(&socks);
    HEARS("\x05\x01\x00");
    SAY("\x05\x00");
    HEARS(SOCKS_REQUEST);
    SAY("\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38");
    expect_success("");
}

static void
logs_in_to_socks5(void)
{
    start(&socks_login);
    HEARS("\x05\x02\x00\x02");
    SAY("\x05\x02");
    HEARS("\x01\x03joe\x06secret");
    SAY("\x01\x00");
    HEARS(SOCKS_REQUEST);
    SAY("\x05\x00\x00\x03\x04host\x04\x38");
    expect_success("");
}

static void
need_not_log_in_where_socks5_does_not_ask(void)
{
    static const char reply[] = "\x05\x00\x00\x04"
                                "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x04\x38"
                                "220 ready";

    start(&socks_login);
    HEARS("\x05\x02\x00\x02");
    SAY("\x05\x00");
    HEARS(SOCKS_REQUEST);
    say_at_once(reply, sizeof(reply) - 1);
    expect_success("220 ready");
}

static void
sends_literals_to_socks5_as_addresses(void)
{
    start_for(&socks, "192.0.2.1", 60000);
    HEARS("\x05\x01\x00");
    SAY("\x05\x00");
    HEARS("\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb");
    stop();
    start_for(&socks, "2001:db8::1", 60000);
    HEARS("\x05\x01\x00");
    SAY("\x05\x00");
    HEARS("\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb");
    stop();
}

/* RFC 1928 section 6. */
static void
tells_why_socks5_refused(void)
{
    static const char *const errors[] = {
        [1] = "destination_unavailable",   [2] = "http_request_denied",
        [3] = "destination_ip_unroutable", [4] = "destination_ip_unroutable",
        [5] = "connection_refused",        [6] = "connection_timeout",
        [7] = "proxy_configuration_error", [8] = "proxy_configuration_error",
        [9] = "destination_unavailable",
    };

    for (char code = 1; code <= 9; code++) {
        char reply[] = "\x05?\x00\x01\0\0\0\0\0";

        start(&socks);
        HEARS("\x05\x01\x00");
        SAY("\x05\x00");
        HEARS(SOCKS_REQUEST);
        reply[1] = code;
        say(reply, 10);
        expect_failure(PARENT_REFUSED, errors[(int)code]);
        CU_ASSERT_EQUAL(result.http_status, 0);
    }
}

static void
reports_credentials_that_socks5_refuses(void)
{
    start(&socks_login);
    HEARS("\x05\x02\x00\x02");
    SAY("\x05\x02");
    HEARS("\x01\x03joe\x06secret");
    SAY("\x01\x01");
    expect_failure(PARENT_REFUSED, "proxy_configuration_error");
    start(&socks);
    HEARS("\x05\x01\x00");
    SAY("\x05\xff");
    expect_failure(PARENT_REFUSED, "proxy_configuration_error");
}

static void
refuses_answers_that_are_not_socks5(void)
{
    start(&socks);
    HEARS("\x05\x01\x00");
    SAY("HTTP/1.1 400 Bad Request\r\n\r\n");
    expect_failure(PARENT_BAD, "destination_unavailable");
    start(&socks); /* a method that was not offered */
    HEARS("\x05\x01\x00");
    SAY("\x05\x02");
    expect_failure(PARENT_BAD, "destination_unavailable");
    start(&socks);
    HEARS("\x05\x01\x00");
    SAY("\x05\x00");
    HEARS(SOCKS_REQUEST);
    SAY("\x05\x00\x00\x07\0\0\0\0\0\0");
    expect_failure(PARENT_BAD, "destination_unavailable");
}

/* ---- both */

static void
reports_a_parent_that_hangs_up(void)
{
    start(&http);
    HEARS(PLAIN_CONNECT);
    SAY("HTTP/1.1 200");
    shutdown(far_end, SHUT_WR);
    expect_failure(PARENT_GONE, "connection_terminated");
    start(&socks);
    HEARS("\x05\x01\x00");
    shutdown(far_end, SHUT_RDWR);
    expect_failure(PARENT_GONE, "connection_terminated");
}

static void
gives_up_in_time(void)
{
    start_for(&http, "www.example.com", 30);
    HEARS(PLAIN_CONNECT);
    SAY("HTTP/1.1 ");
    expect_failure(PARENT_TIMEOUT, "connection_read_timeout");
}

static void
can_be_cancelled(void)
{
    char byte;

    start(&http);
    HEARS(PLAIN_CONNECT);
    parent_handshake_cancel(handshake);
    handshake = NULL;
    CU_ASSERT_EQUAL(recv(far_end, &byte, 1, 0), 0);
    stop();
    CU_ASSERT_EQUAL(done_calls, 0);
}

static void
does_not_say_a_host_that_breaks_the_line(void)
{
    static const char *const hosts[] = { "", "a b", "a\r\nX: y", "a\x80" };
    char longest[257];

    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        start_for(&http, hosts[i], 60000);
        CU_ASSERT_PTR_NULL(handshake);
        stop();
    }
    memset(longest, 'a', sizeof(longest));
    longest[256] = '\0';
    start_for(&socks, longest, 60000);
    CU_ASSERT_PTR_NULL(handshake);
    stop();
    start_for(&socks, longest + 1, 60000);
    CU_ASSERT_PTR_NOT_NULL(handshake);
    stop();
}

static void
has_room_for_the_longest_of_everything(void)
{
    char longest[256];
    struct parent_conf conf = { .kind = PARENT_HTTP, .host = "p", .port = 1, .user = longest,
                                .password = longest };
    char data[2048];
    ssize_t got;

    memset(longest, 'a', 255);
    longest[255] = '\0';
    CU_ASSERT_EQUAL(parent_check(&conf, NULL), 0);
    start_for(&conf, longest, 60000);
    loop_turn(loop, 0);
    got = recv(far_end, data, sizeof(data), 0);
    CU_ASSERT_TRUE(got > 1000 && memcmp(data + got - 4, "\r\n\r\n", 4) == 0);
    stop();
}

/* ---- configuration */

static const char *
parse(const char *url)
{
    static char text[1200];
    struct parent_conf parent = { .kind = PARENT_HTTP };
    struct arena arena;
    struct err err;

    arena_init(&arena, NULL, 65536);
    if (parent_parse_url(&parent, &arena, slice_of(url), &err) < 0)
        snprintf(text, sizeof(text), "%s", err.text);
    else
        snprintf(text, sizeof(text), "%s %s %d %s %s",
                 parent.kind == PARENT_HTTP ? "http" : "socks5", parent.host, (int)parent.port,
                 parent.user != NULL ? parent.user : "-",
                 parent.password != NULL ? parent.password : "-");
    arena_fini(&arena);
    return text;
}

static void
reads_urls(void)
{
    CU_ASSERT_STRING_EQUAL(parse("http://proxy.example:3128"), "http proxy.example 3128 - -");
    CU_ASSERT_STRING_EQUAL(parse("http://proxy.example:3128/"), "http proxy.example 3128 - -");
    CU_ASSERT_STRING_EQUAL(parse("http://joe:secret@10.0.0.1:8080"),
                           "http 10.0.0.1 8080 joe secret");
    CU_ASSERT_STRING_EQUAL(parse("http://joe:p%40ss%3aword@h:1"), "http h 1 joe p@ss:word");
    CU_ASSERT_STRING_EQUAL(parse("http://joe@[2001:db8::1]:3128"), "http 2001:db8::1 3128 joe -");
    CU_ASSERT_STRING_EQUAL(parse("socks5://127.0.0.1"), "socks5 127.0.0.1 1080 - -");
    CU_ASSERT_STRING_EQUAL(parse("socks5://joe:x@[::1]:9050"), "socks5 ::1 9050 joe x");
}

static void
refuses_bad_urls_without_showing_the_password(void)
{
    static const char *const bad[] = {
        "", "proxy:3128", "https://joe:hunter2@proxy:3128", "http://proxy", "http://:3128",
        "http://proxy:0", "http://proxy:65536", "http://proxy:31x", "http://proxy:3128/path",
        "http://joe:hunter2@proxy", "http://joe:hunter2%zz@proxy:1",
        "http://joe:hunter2%0@proxy:1",
        "http://joe:hunter2%00@proxy:1", "http://:hunter2@proxy:1", "http://a%3ab:hunter2@proxy:1",
        "http://2001:db8::1:3128", "http://[::1:3128", "http://[proxy]:3128",
        "socks5://joe@proxy:1",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const char *text = parse(bad[i]);

        CU_ASSERT_EQUAL(strncmp(text, "parent", 6), 0);
        CU_ASSERT_PTR_NULL(strstr(text, "hunter2"));
    }
}

void
suite_parent(void)
{
    CU_pSuite s = CU_add_suite("parent", NULL, NULL);

    CU_add_test(s, "connects through an HTTP parent", connects_through_an_http_parent);
    CU_add_test(s, "keeps what follows the handshake", keeps_what_follows_the_handshake);
    CU_add_test(s, "takes no content from a successful answer",
                takes_no_content_from_a_successful_answer);
    CU_add_test(s, "sends Basic credentials", sends_basic_credentials);
    CU_add_test(s, "writes IPv6 literals in brackets", writes_ipv6_literals_in_brackets);
    CU_add_test(s, "passes over interim responses", passes_over_interim_responses);
    CU_add_test(s, "reports the status of a refusal", reports_the_status_of_a_refusal);
    CU_add_test(s, "refuses an answer that is not HTTP", refuses_an_answer_that_is_not_http);
    CU_add_test(s, "bounds the head of an answer", bounds_the_head_of_an_answer);
    CU_add_test(s, "bounds interim responses", bounds_interim_responses);
    CU_add_test(s, "connects through SOCKS5", connects_through_socks5);
    CU_add_test(s, "logs in to SOCKS5", logs_in_to_socks5);
    CU_add_test(s, "need not log in where SOCKS5 does not ask",
                need_not_log_in_where_socks5_does_not_ask);
    CU_add_test(s, "sends literals to SOCKS5 as addresses", sends_literals_to_socks5_as_addresses);
    CU_add_test(s, "tells why SOCKS5 refused", tells_why_socks5_refused);
    CU_add_test(s, "reports credentials that SOCKS5 refuses",
                reports_credentials_that_socks5_refuses);
    CU_add_test(s, "refuses answers that are not SOCKS5", refuses_answers_that_are_not_socks5);
    CU_add_test(s, "reports a parent that hangs up", reports_a_parent_that_hangs_up);
    CU_add_test(s, "gives up in time", gives_up_in_time);
    CU_add_test(s, "can be cancelled", can_be_cancelled);
    CU_add_test(s, "does not say a host that breaks the line",
                does_not_say_a_host_that_breaks_the_line);
    CU_add_test(s, "has room for the longest of everything",
                has_room_for_the_longest_of_everything);
    CU_add_test(s, "reads URLs", reads_urls);
    CU_add_test(s, "refuses bad URLs without showing the password",
                refuses_bad_urls_without_showing_the_password);
}
