/* SPDX-License-Identifier: BSD-2-Clause */
/* test_client_hello.c - real messages, made by OpenSSL, and ones with mistakes. */
#include "config.h"

#include "server/tls/client_hello.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define BYTES_MAX (2 * CLIENT_HELLO_READ_MAX)

/* ---- the message, whole and as it comes */

/* In memory of exactly this size, so that a sanitizer sees every overrun. */
static enum client_hello_result
parse(const char *data, size_t bytes, struct client_hello *hello)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    enum client_hello_result result;

    if (bytes > 0)
        memcpy(copy, data, bytes);
    result = client_hello_parse(slice_make(copy, bytes), hello);
    free(copy);
    return result;
}

static enum client_hello_result
result_of(const char *data, size_t bytes)
{
    struct client_hello hello;

    return parse(data, bytes, &hello);
}

/* The first flight of a client; its length. */
static size_t
record_flight(char out[BYTES_MAX], const char *name, int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *wire = BIO_new(BIO_s_mem());
    char *data;
    long bytes;

    SSL_set_min_proto_version(ssl, version);
    SSL_set_max_proto_version(ssl, version);
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\2h2\10http/1.1", 12);
    if (name != NULL)
        SSL_set_tlsext_host_name(ssl, name);
    SSL_set_bio(ssl, in, wire);
    SSL_connect(ssl);
    bytes = BIO_get_mem_data(wire, &data);
    CU_ASSERT_FATAL(bytes > 0 && bytes <= BYTES_MAX);
    memcpy(out, data, (size_t)bytes);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return (size_t)bytes;
}

static void
expect_name(const char *data, size_t bytes, const char *name)
{
    struct client_hello hello;

    CU_ASSERT_EQUAL_FATAL(parse(data, bytes, &hello), CLIENT_HELLO_OK);
    CU_ASSERT_TRUE(slice_equal(hello.server_name, slice_of(name)));
}

/* ---- a message by hand */

static char message[BYTES_MAX];
static size_t message_bytes;

static void
put(const void *data, size_t bytes)
{
    memcpy(message + message_bytes, data, bytes);
    message_bytes += bytes;
}

static void
put_number(size_t value, size_t bytes)
{
    while (bytes-- > 0)
        message[message_bytes++] = (char)(value >> 8 * bytes);
}

/* Everything before the extensions: record and message header are filled in by
 * finish(). */
static void
begin(void)
{
    static const char random[32] = "thirty-two bytes of randomness..";

    message_bytes = 9;
    put_number(0x0303, 2);
    put(random, 32);
    put_number(0, 1);
    put_number(2, 2);
    put_number(0x1301, 2);
    put_number(1, 1);
    put_number(0, 1);
}

static void
put_extensions(const void *data, size_t bytes)
{
    put_number(bytes, 2);
    put(data, bytes);
}

static void
finish(void)
{
    size_t end = message_bytes;

    message_bytes = 0;
    put("\x16\x03\x01", 3);
    put_number(end - 5, 2);
    put_number(1, 1);
    put_number(end - 9, 3);
    message_bytes = end;
}

static enum client_hello_result
result_with(const void *extensions, size_t bytes)
{
    begin();
    put_extensions(extensions, bytes);
    finish();
    return result_of(message, message_bytes);
}

/* The server_name extension for a name, in out; its length. */
static size_t
name_extension(char *out, const char *name)
{
    size_t bytes = strlen(name);
    size_t numbers[] = { 0, bytes + 5, bytes + 3 };
    size_t at = 0;

    for (size_t i = 0; i < 3; i++) {
        out[at++] = (char)(numbers[i] >> 8);
        out[at++] = (char)numbers[i];
    }
    out[at++] = 0;
    out[at++] = (char)(bytes >> 8);
    out[at++] = (char)bytes;
    memcpy(out + at, name, bytes);
    return at + bytes;
}

static void
expect_name_of(const char *name, const char *found)
{
    char extension[1024];
    size_t bytes = name_extension(extension, name);

    begin();
    put_extensions(extension, bytes);
    finish();
    expect_name(message, message_bytes, found);
}

/* ---- real ones */

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void
finds_the_name_in_what_openssl_sends(void)
{
    char flight[BYTES_MAX];

    for (size_t i = 0; i < 2; i++) {
        expect_name(flight, record_flight(flight, "www.Example.com", versions[i]),
                    "www.example.com");
        expect_name(flight, record_flight(flight, NULL, versions[i]), "");
    }
}

static void
wants_more_until_the_last_byte_is_there(void)
{
    char flight[BYTES_MAX];

    for (size_t i = 0; i < 2; i++) {
        size_t bytes = record_flight(flight, "www.example.com", versions[i]);

        for (size_t n = 0; n < bytes; n++)
            CU_ASSERT_EQUAL(result_of(flight, n), CLIENT_HELLO_MORE);
        expect_name(flight, bytes, "www.example.com");
    }
}

/* RFC 8446 section 4.2.10: early data comes behind it at once. */
static void
looks_at_no_record_behind_it(void)
{
    char flight[BYTES_MAX];
    size_t bytes = record_flight(flight, "www.example.com", TLS1_3_VERSION);

    memcpy(flight + bytes, "\x17\x03\x03\xff\xff", 5);
    expect_name(flight, bytes + 5, "www.example.com");
}

/* RFC 8446 section 5.1: a message may be spread over several records. */
static void
puts_together_what_is_spread_over_records(void)
{
    static const size_t sizes[] = { 1, 2, 3, 5, 17, 64, 200 };
    char flight[BYTES_MAX], spread[BYTES_MAX];
    size_t bytes = record_flight(flight, "www.example.com", TLS1_3_VERSION);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t out = 0;

        for (size_t at = 5; at < bytes; at += sizes[i]) {
            size_t n = bytes - at < sizes[i] ? bytes - at : sizes[i];

            memcpy(spread + out, "\x16\x03\x01\x00", 4);
            spread[out + 4] = (char)n;
            memcpy(spread + out + 5, flight + at, n);
            out += 5 + n;
        }
        for (size_t n = 0; n < out; n++)
            CU_ASSERT_EQUAL(result_of(spread, n), CLIENT_HELLO_MORE);
        expect_name(spread, out, "www.example.com");
    }
}

/* RFC 5246 section 7.4.1.2: "extensions" may be absent. */
static void
takes_a_message_without_extensions(void)
{
    begin();
    finish();
    expect_name(message, message_bytes, "");
}

/* ---- names */

/* RFC 6066 section 3: a DNS name, without a dot at its end, and no address. */
static void
what_is_no_host_name_is_as_good_as_none(void)
{
    char longest[254], longer[255];

    expect_name_of("a.example", "a.example");
    expect_name_of("XN--BCHER-KVA.example", "xn--bcher-kva.example");
    expect_name_of("a.example.", "a.example");
    expect_name_of("a.example..", "");
    expect_name_of("a..example", "");
    expect_name_of("a b.example", "");
    expect_name_of("::1", "");
    expect_name_of("b\xc3\xbc" "cher.example", "");
    expect_name_of("a.example.", "a.example");
    expect_name_of("a.example..", "");
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 60; i < 253; i += 61)
        longest[i] = '.';
    longest[253] = '\0';
    expect_name_of(longest, longest);
    memcpy(longer, longest, 253);
    memcpy(longer + 253, "b", 2);
    expect_name_of(longer, "");
}

static void
a_name_with_a_nul_is_no_host_name(void)
{
    static const char extension[] = "\0\0\0\x0e\0\x0c\0\0\x09good\0.bad";

    begin();
    put_extensions(extension, sizeof(extension) - 1);
    finish();
    expect_name(message, message_bytes, "");
}

/* RFC 8446 section 4.2, RFC 6066 section 3. */
static void
refuses_two_names(void)
{
    char extensions[256];
    size_t one = name_extension(extensions, "a.example");
    size_t two = one + name_extension(extensions + one, "b.example");

    CU_ASSERT_EQUAL(result_with(extensions, one), CLIENT_HELLO_OK);
    CU_ASSERT_EQUAL(result_with(extensions, two), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_with("\0\0\0\x0a\0\x08\0\0\1a\0\0\1b", 14), CLIENT_HELLO_BAD);
}

static void
refuses_names_with_wrong_lengths(void)
{
    CU_ASSERT_EQUAL(result_with("\0\0\0\6\0\4\0\0\1a", 10), CLIENT_HELLO_OK);
    CU_ASSERT_EQUAL(result_with("\0\0\0\6\0\4\0\0\2a", 10), CLIENT_HELLO_BAD); /* name */
    CU_ASSERT_EQUAL(result_with("\0\0\0\6\0\4\0\0\0a", 10), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_with("\0\0\0\6\0\5\0\0\1a", 10), CLIENT_HELLO_BAD); /* list */
    CU_ASSERT_EQUAL(result_with("\0\0\0\6\0\3\0\0\1a", 10), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_with("\0\0\0\7\0\4\0\0\1a", 10), CLIENT_HELLO_BAD); /* extension */
    CU_ASSERT_EQUAL(result_with("\0\0\0\5\0\4\0\0\1a", 10), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_with("\0\0\0\6\0\4\1\0\1a", 10), CLIENT_HELLO_BAD); /* type */
    CU_ASSERT_EQUAL(result_with("\0\0\0\0", 4), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_with("\0\0\0", 3), CLIENT_HELLO_BAD);
}

/* ---- mistakes */

static void
refuses_what_is_not_tls(void)
{
    static const char *const others[] = {
        "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x80\x2e\x01\x03\x01", "\x15\x03\x01\x00\x02",
        "\x16\x02\x00",           "\x17\x03\x03",
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        CU_ASSERT_EQUAL(result_of(others[i], strlen(others[i])), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_of("G", 1), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_of("\x16\x03\x01\x00\x00", 5), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_of("\x16\x03\x01\x40\x01", 5), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_of("\x16\x03\x01\x00\x04\x02", 6), CLIENT_HELLO_BAD);
}

static void
refuses_one_that_is_too_long_before_it_has_come(void)
{
    CU_ASSERT_EQUAL(result_of("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", 9), CLIENT_HELLO_MORE);
    CU_ASSERT_EQUAL(result_of("\x16\x03\x01\x40\x00\x01\x00\x3f\xfd", 9), CLIENT_HELLO_BAD);
    CU_ASSERT_EQUAL(result_of("\x16\x03\x01\x40\x00\x01\x01\x00\x00", 9), CLIENT_HELLO_BAD);
}

/* Nothing else may share a record with it, as the keys change behind it. */
static void
refuses_what_follows_in_its_record(void)
{
    begin();
    finish();
    message[4]++; /* the record's length */
    message[message_bytes] = 0;
    CU_ASSERT_EQUAL(result_of(message, message_bytes + 1), CLIENT_HELLO_BAD);
}

static void
refuses_every_wrong_length(void)
{
    char session[33] = { 32 };

    begin();
    message[9] = 2; /* version */
    finish();
    CU_ASSERT_EQUAL(result_of(message, message_bytes), CLIENT_HELLO_BAD);

    begin();
    message_bytes -= 7;
    put_number(33, 1);
    put(session, 33);
    finish();
    CU_ASSERT_EQUAL(result_of(message, message_bytes), CLIENT_HELLO_BAD);

    for (size_t suites = 0; suites < 4; suites++) {
        if (suites == 2)
            continue;
        begin();
        message_bytes -= 6;
        put_number(suites, 2);
        put(session, suites);
        put_number(1, 1);
        put_number(0, 1);
        finish();
        CU_ASSERT_EQUAL(result_of(message, message_bytes), CLIENT_HELLO_BAD);
    }
    begin();
    message_bytes -= 2;
    put_number(0, 1); /* no compression, not even none */
    finish();
    CU_ASSERT_EQUAL(result_of(message, message_bytes), CLIENT_HELLO_BAD);

    begin();
    put_number(1, 2); /* extensions that are not there */
    finish();
    CU_ASSERT_EQUAL(result_of(message, message_bytes), CLIENT_HELLO_BAD);

    begin();
    put_extensions("", 0);
    put_number(0, 1); /* and something behind them */
    finish();
    CU_ASSERT_EQUAL(result_of(message, message_bytes), CLIENT_HELLO_BAD);
}

/* Any byte of a real one may be wrong: whatever is said of it, it is said. */
static void
survives_every_wrong_byte(void)
{
    char flight[BYTES_MAX];
    size_t bytes = record_flight(flight, "www.example.com", TLS1_3_VERSION);
    struct client_hello hello;

    for (size_t at = 0; at < bytes; at++) {
        char right = flight[at];

        for (int wrong = 0; wrong < 256; wrong += 15) {
            flight[at] = (char)wrong;
            if (parse(flight, bytes, &hello) == CLIENT_HELLO_OK)
                CU_ASSERT_TRUE(hello.server_name.bytes <= sizeof(hello.name));
        }
        flight[at] = right;
    }
}

void
suite_client_hello(void)
{
    CU_pSuite s = CU_add_suite("client_hello", NULL, NULL);

    CU_add_test(s, "finds the name in what OpenSSL sends", finds_the_name_in_what_openssl_sends);
    CU_add_test(s, "wants more until the last byte is there",
                wants_more_until_the_last_byte_is_there);
    CU_add_test(s, "looks at no record behind it", looks_at_no_record_behind_it);
    CU_add_test(s, "puts together what is spread over records",
                puts_together_what_is_spread_over_records);
    CU_add_test(s, "takes a message without extensions", takes_a_message_without_extensions);
    CU_add_test(s, "what is no host name is as good as none",
                what_is_no_host_name_is_as_good_as_none);
    CU_add_test(s, "a name with a NUL is no host name", a_name_with_a_nul_is_no_host_name);
    CU_add_test(s, "refuses two names", refuses_two_names);
    CU_add_test(s, "refuses names with wrong lengths", refuses_names_with_wrong_lengths);
    CU_add_test(s, "refuses what is not TLS", refuses_what_is_not_tls);
    CU_add_test(s, "refuses one that is too long before it has come",
                refuses_one_that_is_too_long_before_it_has_come);
    CU_add_test(s, "refuses what follows in its record", refuses_what_follows_in_its_record);
    CU_add_test(s, "refuses every wrong length", refuses_every_wrong_length);
    CU_add_test(s, "survives every wrong byte", survives_every_wrong_byte);
}
