/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log_format.c - access log lines that other programs can read. */
#include "config.h"

#include "server/log/log_format.h"

#include <CUnit/CUnit.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/http/header.h"
#include "server/log/access_log.h"
#include "server/log/escape.h"
#include "server/log/log_thread.h"

void suite_log_format(void);

static struct arena arena;
static char line[LOG_LINE_MAX + 1];

static int
set_up(void)
{
    arena_init(&arena, NULL, 1024 * 1024);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

static struct access_record
sample(void)
{
    return (struct access_record){
        .wall_ms = 1795295250123,
        .id = 0x1234abcd,
        .duration_us = 12345,
        .dns_us = -1,
        .connect_us = 250,
        .first_byte_us = 9999,
        .client = { .family = 4, .port = 50123, .bytes = { 192, 0, 2, 7 } },
        .upstream_ip = { .family = 4, .port = 80, .bytes = { 198, 51, 100, 3 } },
        .endpoint = SLICE("198.51.100.3:80"),
        .status = 200,
        .upstream_status = 200,
        .body_out_bytes = 1024,
        .total_out_bytes = 1300,
        .total_in_bytes = 400,
        .method = SLICE("GET"),
        .target = SLICE("/a/b?c=d"),
        .scheme = SLICE("http"),
        .host = SLICE("www.example.com"),
        .version = SLICE("HTTP/1.1"),
        .referer = SLICE("http://example.org/"),
        .user_agent = SLICE("Mozilla/5.0 (X11)"),
        .end = "done",
        .cache = "TCP_MISS",
    };
}

/* The line in that format, with a NUL behind it. */
static const char *
format_line(const char *text, const struct access_record *record)
{
    struct err err = { "" };
    struct log_format *format = log_format_new(&arena, text, &err);
    bool is_cut = false;
    size_t bytes;

    CU_ASSERT_PTR_NOT_NULL_FATAL(format);
    bytes = log_format_write(format, record, line, LOG_LINE_MAX, &is_cut);
    line[bytes] = '\0';
    return line;
}

static bool
matches(const char *text, const char *expression)
{
    regex_t regex;
    bool found;

    CU_ASSERT_EQUAL_FATAL(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB), 0);
    found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

/* ---- a strict reader of JSON texts (RFC 8259) */

static bool read_json(const char **at);

static bool
read_json_string(const char **at)
{
    const char *p = *at;

    if (*p++ != '"')
        return false;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < ' ')
            return false;
        if (*p != '\\')
            continue;
        p++;
        if (*p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4)
            p += 4;
        else if (*p == '\0' || strchr("\"\\/bfnrt", *p) == NULL)
            return false;
    }
    *at = p + 1;
    return true;
}

static bool
read_json_object(const char **at)
{
    do {
        ++*at; /* "{" or "," */
        if (!read_json_string(at) || *(*at)++ != ':' || !read_json(at))
            return false;
    } while (**at == ',');
    return *(*at)++ == '}';
}

static bool
read_json(const char **at)
{
    size_t digits = strspn(*at, "0123456789");

    if (**at == '{')
        return read_json_object(at);
    if (**at == '"')
        return read_json_string(at);
    if (strncmp(*at, "true", 4) == 0 || strncmp(*at, "false", 5) == 0) {
        *at += **at == 't' ? 4 : 5;
        return true;
    }
    *at += digits;
    return digits == 1 || (digits > 1 && (*at)[-(ptrdiff_t)digits] != '0');
}

/* RFC 3629 section 4: leads that never are, overlong forms, surrogates, too large. */
static bool
is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    while (*p != '\0') {
        unsigned tails = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
        unsigned second = (unsigned)p[0] << 8 | p[1];

        if ((*p >= 0x80 && *p < 0xc2) || *p > 0xf4 || (second >= 0xe000 && second <= 0xe09f) ||
            (second >= 0xeda0 && second <= 0xedff) || (second >= 0xf000 && second <= 0xf08f) ||
            (second >= 0xf490 && second <= 0xf4ff))
            return false;
        for (p++; tails > 0; tails--)
            if ((*p++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static bool
is_json(const char *text)
{
    const char *at = text;

    return is_utf8(text) && read_json(&at) && *at == '\0';
}

/* ---- promises */

static void
combined_is_what_analysers_expect(void)
{
    struct access_record record = sample();

    CU_ASSERT(matches(format_line("combined", &record),
                      "^192\\.0\\.2\\.7 - - \\[[0-9]{2}/Nov/2026:[0-9]{2}:[0-9]{2}:[0-9]{2} "
                      "[+-][0-9]{4}\\] \"GET /a/b\\?c=d HTTP/1\\.1\" 200 1024 "
                      "\"http://example\\.org/\" \"Mozilla/5\\.0 \\(X11\\)\"$"));
    CU_ASSERT(matches(format_line("common", &record), "HTTP/1\\.1\" 200 1024$"));
    record = (struct access_record){ .client = { .family = 6, .bytes = { [15] = 1 } } };
    CU_ASSERT(matches(format_line("combined", &record),
                      "^::1 - - \\[.*\\] \"-\" 000 - \"-\" \"-\"$"));
}

/* Quotes, spaces where they separate, and line ends are the way to forge lines. */
static void
hostile_values_cannot_leave_their_place(void)
{
    struct access_record record = sample();

    record.user = SLICE("a b] \"x\"");
    record.target = SLICE("/\" 200 1\n1.1.1.1 - -");
    record.user_agent = SLICE("\x1b[2J\\\"");
    CU_ASSERT(matches(format_line("combined", &record),
                      "^192\\.0\\.2\\.7 - a\\\\x20b]\\\\x20\\\\x22x\\\\x22 \\[[^]]*\\] "
                      "\"GET /\\\\x22 200 1\\\\x0A1\\.1\\.1\\.1 - - HTTP/1\\.1\" 200 1024 "
                      "\"[^\"]*\" \"\\\\x1B\\[2J\\\\x5C\\\\x22\"$"));
}

/* As nginx and Apache write it. */
static void
a_request_that_could_not_be_read_has_no_line(void)
{
    struct access_record record = sample();

    record.method = record.target = SLICE("-");
    record.status = 400;
    CU_ASSERT(matches(format_line("common", &record), "\\] \"-\" 400 1024$"));
}

static void
squid_is_what_squid_writes(void)
{
    struct fields fields = { 0 };
    struct access_record record = sample();

    fields_add(&fields, &arena, FIELD_CONTENT_TYPE, SLICE("text/html; charset=utf-8"));
    record.response = &fields;
    CU_ASSERT_STRING_EQUAL(format_line("squid", &record),
                           "1795295250.123     12 192.0.2.7 TCP_MISS/200 1300 GET "
                           "http://www.example.com/a/b?c=d - HIER_DIRECT/198.51.100.3 text/html");
    record.method = SLICE("CONNECT");
    record.target = SLICE("www.example.com:443");
    record.cache = "TCP_TUNNEL";
    record.user = SLICE("al ice");
    record.duration_us = 1234567890;
    record.response = NULL;
    CU_ASSERT_STRING_EQUAL(format_line("squid", &record),
                           "1795295250.123 1234567 192.0.2.7 TCP_TUNNEL/200 1300 CONNECT "
                           "www.example.com:443 al\\x20ice HIER_DIRECT/198.51.100.3 -");
    record = (struct access_record){ .client = record.client, .status = 403, .cache = "TCP_DENIED",
                                     .method = SLICE("GET"), .target = SLICE("http://x/a b\"") };
    CU_ASSERT_STRING_EQUAL(format_line("squid", &record),
                           "0.000      0 192.0.2.7 TCP_DENIED/403 0 GET http://x/a%20b%22 - "
                           "HIER_NONE/- -");
}

static void
json_leaves_out_what_is_not_known(void)
{
    struct access_record record = sample();
    const char *text = format_line("json", &record);

    CU_ASSERT(is_json(text));
    CU_ASSERT(matches(text, "^\\{\"time_iso\":\"2026-11-21T21:07:30.123Z\","
                            "\"id\":\"000000001234abcd\","));
    CU_ASSERT(matches(text, "\"status\":200,\"end\":\"done\",\"bytes_out\":1024,"));
    CU_ASSERT(matches(text, "\"connect_us\":250,\"first_byte_us\":9999,"));
    CU_ASSERT(matches(text, "\"reused\":false"));
    CU_ASSERT(strstr(text, "dns_us") == NULL && strstr(text, "site") == NULL);
    record = (struct access_record){ .wall_ms = 1 };
    CU_ASSERT(is_json(format_line("json", &record)));
}

/* The seed is fixed: what fails once fails again. */
static unsigned
next_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 32);
}

static void
json_is_valid_whatever_the_bytes(void)
{
    static char bytes[3000];
    struct err err;
    struct log_format *format = log_format_new(&arena, "json", &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(format);
    for (int round = 0; round < 1000; round++) {
        struct access_record record = sample();
        bool is_cut = false;
        size_t written;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)next_random();
        record.target = slice_make(bytes, next_random() % sizeof(bytes));
        record.user_agent = slice_make(bytes, next_random() % 200);
        record.host = slice_make(bytes + 1000, next_random() % 50);
        written = log_format_write(format, &record, line, 3000 + next_random() % 40000, &is_cut);
        line[written] = '\0';
        CU_ASSERT(written > 0 && strlen(line) == written && is_json(line));
    }
}

/* Fields of 8 KiB that need six bytes for one do not all fit into a line. */
static void
lines_too_long_are_cut_but_stay_whole(void)
{
    static char bytes[ESCAPE_VALUE_MAX];
    struct err err;
    struct log_format *format = log_format_new(&arena, "json", &err);
    struct access_record record = sample();
    size_t least = 1, written;
    bool is_cut = false;
    char *out;

    CU_ASSERT_PTR_NOT_NULL_FATAL(format);
    memset(bytes, 1, sizeof(bytes));
    record.method = record.target = record.user_agent = record.user = record.rule =
        slice_make(bytes, sizeof(bytes));
    written = log_format_write(format, &record, line, LOG_LINE_MAX, &is_cut);
    line[written] = '\0';
    CU_ASSERT(is_cut && is_json(line));
    CU_ASSERT_STRING_EQUAL(line + written - 1, "}");
    while (log_format_write(format, &record, line, least, &is_cut) == 0)
        least++;
    for (size_t room = least; room < least + 200; room++) {
        out = malloc(room);
        written = log_format_write(format, &record, out, room, &is_cut);
        CU_ASSERT(written <= room && written > 0);
        memcpy(line, out, written);
        line[written] = '\0';
        CU_ASSERT(is_json(line));
        free(out);
    }
}

static void
operators_write_their_own(void)
{
    struct access_record record = sample();
    struct fields request = { 0 };

    fields_add_name(&request, &arena, SLICE("X-Thing"), SLICE("one two"));
    record.request = &request;
    CU_ASSERT_STRING_EQUAL(format_line("100%% %{path}\t%{req.x-thing} \"%{req.X-Thing}\" "
                                       "%{resp.Age}", &record),
                           "100% /a/b\tone\\x20two \"one two\" -");
    CU_ASSERT_STRING_EQUAL(
        format_line("%{duration_ms} %{duration_us} %{dns_ms} %{connect_us} %{first_byte_ms}",
                    &record),
        "12 12345 - 250 9");
    CU_ASSERT_STRING_EQUAL(format_line("%{client_port}%{id}%{time_epoch_ms}", &record),
                           "50123000000001234abcd1795295250123");
    record.target = SLICE("http://example.com:81?q");
    CU_ASSERT_STRING_EQUAL(format_line("%{path}", &record), "/");
    record.target = SLICE("http://example.com/x?q");
    CU_ASSERT_STRING_EQUAL(format_line("%{path}", &record), "/x");
    for (size_t i = 0; log_format_name(i) != NULL; i++) {
        char text[80];

        snprintf(text, sizeof(text), "%%{%s}", log_format_name(i));
        CU_ASSERT(strlen(format_line(text, &record)) > 0);
    }
}

static bool
is_refused(const char *text, const char *why)
{
    struct err err = { "" };

    return log_format_new(&arena, text, &err) == NULL && strstr(err.text, why) != NULL;
}

static void
mistakes_are_explained(void)
{
    CU_ASSERT(is_refused("%{statu}", "unknown name %{statu}; did you mean \"status\"?"));
    CU_ASSERT(is_refused("combind", "did you mean \"combined\"?"));
    CU_ASSERT(is_refused("%{status", "write %{name}"));
    CU_ASSERT(is_refused("50%", "write %{name}"));
    CU_ASSERT(is_refused("%{status}\n", "must stay one line"));
    CU_ASSERT(is_refused("%{req.}", "name of a header field"));
    CU_ASSERT(is_refused("%{req.Authorization}", "credentials"));
    CU_ASSERT(is_refused("%{resp.Set-Cookie}", "credentials"));
}

void
suite_log_format(void)
{
    CU_pSuite s = CU_add_suite("log_format", set_up, tear_down);

    CU_add_test(s, "combined is what analysers expect", combined_is_what_analysers_expect);
    CU_add_test(s, "hostile values cannot leave their place",
                hostile_values_cannot_leave_their_place);
    CU_add_test(s, "a request that could not be read has no line",
                a_request_that_could_not_be_read_has_no_line);
    CU_add_test(s, "squid is what Squid writes", squid_is_what_squid_writes);
    CU_add_test(s, "json leaves out what is not known", json_leaves_out_what_is_not_known);
    CU_add_test(s, "json is valid whatever the bytes", json_is_valid_whatever_the_bytes);
    CU_add_test(s, "lines too long are cut but stay whole", lines_too_long_are_cut_but_stay_whole);
    CU_add_test(s, "operators write their own", operators_write_their_own);
    CU_add_test(s, "mistakes are explained", mistakes_are_explained);
}
