/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log_privacy.c - what logs do not tell of the people behind requests. */
#include "config.h"

#include "server/log/log_privacy.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/log/access_log.h"
#include "server/log/log_format.h"
#include "server/log/log_thread.h"

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
sample(const char *client)
{
    struct access_record record = {
        .wall_ms = 1795295250123,
        .status = 200,
        .method = SLICE("GET"),
        .target = SLICE("http://www.example.com/a?secret=1"),
        .host = SLICE("www.example.com"),
        .scheme = SLICE("http"),
        .version = SLICE("HTTP/1.1"),
        .referer = SLICE("http://search.example/?q=illness#top"),
        .user = SLICE("ann"),
        .client_subject = SLICE("CN=ann"),
        .client_serial = SLICE("1234"),
        .client_fingerprint = SLICE("abcd"),
    };

    CU_ASSERT_TRUE_FATAL(ip_parse(slice_of(client), &record.client));
    record.client.port = 50123;
    return record;
}

static struct log_privacy
adopted(enum log_clients clients, enum log_users users, bool has_queries)
{
    struct log_privacy privacy = { .clients = clients, .users = users,
                                   .has_queries = has_queries };
    struct err err;

    CU_ASSERT_EQUAL_FATAL(log_privacy_adopt(&privacy, &err), 0);
    return privacy;
}

/* The line of a record in this format, concealed. */
static const char *
concealed(const struct log_privacy *privacy, const char *format_text,
          struct access_record record)
{
    struct err err = { "" };
    struct log_format *format = log_format_new(&arena, format_text, &err);
    struct log_concealed texts;
    bool is_cut = false;
    size_t bytes;

    CU_ASSERT_PTR_NOT_NULL_FATAL(format);
    log_privacy_apply(privacy, &record, &texts);
    bytes = log_format_write(format, &record, line, LOG_LINE_MAX, &is_cut);
    line[bytes] = '\0';
    return line;
}

static bool
has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static const char *const formats[] = {
    "common", "combined", "squid", "json", "%{client_ip} %{client_port} %{request} %{user}",
};

static void
truncated_clients_are_networks(void)
{
    const struct log_privacy privacy = adopted(LOG_CLIENTS_TRUNCATED, LOG_USERS_FULL, true);

    CU_ASSERT_STRING_EQUAL(concealed(&privacy, "%{client_ip} %{client_port}",
                                     sample("192.0.2.77")), "192.0.2.0 -");
    CU_ASSERT_STRING_EQUAL(concealed(&privacy, "%{client_ip} %{client_port}",
                                     sample("2001:db8:1:2:3:4:5:6")), "2001:db8:1:: -");
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        CU_ASSERT_FALSE(has(concealed(&privacy, formats[i], sample("192.0.2.77")), "192.0.2.77"));
        CU_ASSERT_FALSE(has(line, "50123"));
    }
}

static void
pseudonyms_are_the_same_for_the_same_client(void)
{
    const struct log_privacy privacy = adopted(LOG_CLIENTS_PSEUDONYMS, LOG_USERS_FULL, true);
    char first[64], again[64], other[64], six[64];

    snprintf(first, sizeof(first), "%s", concealed(&privacy, "%{client_ip}", sample("192.0.2.7")));
    snprintf(again, sizeof(again), "%s", concealed(&privacy, "%{client_ip}", sample("192.0.2.7")));
    snprintf(other, sizeof(other), "%s", concealed(&privacy, "%{client_ip}", sample("192.0.2.8")));
    snprintf(six, sizeof(six), "%s", concealed(&privacy, "%{client_ip}", sample("2001:db8::7")));
    CU_ASSERT_STRING_EQUAL(first, again);
    CU_ASSERT_STRING_NOT_EQUAL(first, other);
    CU_ASSERT_STRING_NOT_EQUAL(first, six);
    CU_ASSERT_EQUAL(strlen(first), LOG_PSEUDONYM_BYTES);
    CU_ASSERT_EQUAL(first[0], 'c');
    CU_ASSERT_EQUAL(strspn(first + 1, "0123456789abcdef"), 16);
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        CU_ASSERT_FALSE(has(concealed(&privacy, formats[i], sample("192.0.2.7")), "192.0.2.7"));
        CU_ASSERT_TRUE(has(line, first));
        CU_ASSERT_FALSE(has(line, "50123"));
    }
}

static void
users_have_pseudonyms_or_nothing(void)
{
    struct log_privacy privacy = adopted(LOG_CLIENTS_FULL, LOG_USERS_PSEUDONYMS, true);
    static const char all[] = "%{user} %{client_cert_subject} %{client_cert_serial} "
                              "%{client_cert_fingerprint}";
    struct access_record nobody = sample("192.0.2.7");

    concealed(&privacy, all, sample("192.0.2.7"));
    CU_ASSERT_EQUAL(line[0], 'u');
    CU_ASSERT_EQUAL(strspn(line + 1, "0123456789abcdef"), 16);
    CU_ASSERT_STRING_EQUAL(line + 2 * LOG_PSEUDONYM_BYTES + 1, " - -");
    nobody.user = slice_make(NULL, 0);
    CU_ASSERT_STRING_EQUAL(concealed(&privacy, "%{user}", nobody), "-");
    privacy.users = LOG_USERS_OFF;
    CU_ASSERT_STRING_EQUAL(concealed(&privacy, all, sample("192.0.2.7")), "- - - -");
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++)
        CU_ASSERT_FALSE(has(concealed(&privacy, formats[i], sample("192.0.2.7")), "ann"));
}

/* A user called "abcd" and the client 97.98.99.100 are not the same. */
static void
users_and_clients_have_nothing_in_common(void)
{
    const struct log_privacy privacy =
        adopted(LOG_CLIENTS_PSEUDONYMS, LOG_USERS_PSEUDONYMS, true);
    struct access_record record = sample("97.98.99.100");

    record.user = SLICE("abcd");
    concealed(&privacy, "%{client_ip} %{user}", record);
    CU_ASSERT_NOT_EQUAL(memcmp(line + 1, line + LOG_PSEUDONYM_BYTES + 2, 16), 0);
}

static void
query_strings_are_dropped(void)
{
    const struct log_privacy privacy = adopted(LOG_CLIENTS_FULL, LOG_USERS_FULL, false);

    CU_ASSERT_STRING_EQUAL(concealed(&privacy, "%{target} %{referer}", sample("192.0.2.7")),
                           "http://www.example.com/a http://search.example/");
    for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
        CU_ASSERT_FALSE(has(concealed(&privacy, formats[i], sample("192.0.2.7")), "secret"));
        CU_ASSERT_FALSE(has(line, "illness"));
        CU_ASSERT_FALSE(has(line, "top"));
    }
}

static bool
is_refused(const struct log_privacy *privacy, const char *text, const char *words)
{
    struct err err = { "" };
    struct log_format *format = log_format_new(&arena, text, &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(format);
    return log_format_check_privacy(format, privacy, &err) < 0 && has(err.text, words);
}

/* What a format shows besides must not tell what is concealed. */
static void
formats_that_would_undo_it_are_refused(void)
{
    struct log_privacy privacy = { .clients = LOG_CLIENTS_TRUNCATED, .has_queries = true };
    struct err err;

    CU_ASSERT_TRUE(is_refused(&privacy, "%{status} %{req.X-Forwarded-For}",
                              "X-Forwarded-For would undo clients = \"truncated\""));
    CU_ASSERT_FALSE(is_refused(&privacy, "%{req.Referer}", ""));
    privacy = (struct log_privacy){ .has_queries = false };
    CU_ASSERT_TRUE(is_refused(&privacy, "%{req.referer}", "queries = false"));
    CU_ASSERT_TRUE(is_refused(&privacy, "%{resp.location}", "queries = false"));
    CU_ASSERT_FALSE(is_refused(&privacy, "%{req.x-forwarded-for}", ""));
    privacy = (struct log_privacy){ .users = LOG_USERS_OFF, .has_queries = true };
    CU_ASSERT_TRUE(is_refused(&privacy, "%{req.x-remote-user}", "users = \"off\""));
    privacy = (struct log_privacy){ .has_queries = true };
    CU_ASSERT_EQUAL(log_format_check_privacy(log_format_new(&arena, "%{req.referer}", &err),
                                             &privacy, &err), 0);
}

static void
error_lines_tell_no_more(void)
{
    struct log_privacy privacy = adopted(LOG_CLIENTS_PSEUDONYMS, LOG_USERS_FULL, true);
    const struct access_record record = sample("192.0.2.7");
    char text[IP_TEXT_BYTES];

    CU_ASSERT_EQUAL(log_privacy_client_text(&privacy, &record.client, text),
                    LOG_PSEUDONYM_BYTES);
    CU_ASSERT_STRING_EQUAL(text, concealed(&privacy, "%{client_ip}", record));
    privacy.clients = LOG_CLIENTS_TRUNCATED;
    text[log_privacy_client_text(&privacy, &record.client, text)] = '\0';
    CU_ASSERT_STRING_EQUAL(text, "192.0.2.0");
    text[log_privacy_client_text(NULL, &record.client, text)] = '\0';
    CU_ASSERT_STRING_EQUAL(text, "192.0.2.7");
}

static int
adopt_key(const char *path, const char *bytes, struct log_privacy *privacy, struct err *err)
{
    FILE *file = fopen(path, "w");

    fputs(bytes, file);
    fclose(file);
    *privacy = (struct log_privacy){ .clients = LOG_CLIENTS_PSEUDONYMS, .has_queries = true,
                                     .key_path = path };
    return log_privacy_adopt(privacy, err);
}

static void
a_key_file_makes_pseudonyms_last(void)
{
    char path[] = "/tmp/bascule-key-XXXXXX", first[64];
    int fd = mkstemp(path);
    struct log_privacy privacy;
    struct err err;

    close(fd);
    CU_ASSERT_EQUAL(adopt_key(path, "0123456789abcdef", &privacy, &err), 0);
    snprintf(first, sizeof(first), "%s", concealed(&privacy, "%{client_ip}", sample("192.0.2.7")));
    CU_ASSERT_EQUAL(adopt_key(path, "0123456789abcdef\n", &privacy, &err), 0);
    CU_ASSERT_STRING_EQUAL(concealed(&privacy, "%{client_ip}", sample("192.0.2.7")), first);
    CU_ASSERT_EQUAL(adopt_key(path, "0123456789abcdeX", &privacy, &err), 0);
    CU_ASSERT_STRING_NOT_EQUAL(concealed(&privacy, "%{client_ip}", sample("192.0.2.7")), first);
    CU_ASSERT_EQUAL(adopt_key(path, "short", &privacy, &err), -1);
    CU_ASSERT_TRUE(has(err.text, "less than a key has"));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(log_privacy_adopt(&privacy, &err), -1);
    CU_ASSERT_TRUE(has(err.text, path));
}

void
suite_log_privacy(void)
{
    CU_pSuite s = CU_add_suite("log_privacy", set_up, tear_down);

    CU_add_test(s, "truncated clients are networks", truncated_clients_are_networks);
    CU_add_test(s, "pseudonyms are the same for the same client",
                pseudonyms_are_the_same_for_the_same_client);
    CU_add_test(s, "users have pseudonyms or nothing", users_have_pseudonyms_or_nothing);
    CU_add_test(s, "users and clients have nothing in common",
                users_and_clients_have_nothing_in_common);
    CU_add_test(s, "query strings are dropped", query_strings_are_dropped);
    CU_add_test(s, "formats that would undo it are refused",
                formats_that_would_undo_it_are_refused);
    CU_add_test(s, "error lines tell no more", error_lines_tell_no_more);
    CU_add_test(s, "a key file makes pseudonyms last", a_key_file_makes_pseudonyms_last);
}
