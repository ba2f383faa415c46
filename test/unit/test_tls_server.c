/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls_server.c - handshakes with clients: what is shown and agreed on, and who waits
 * how long.
 */
#include "config.h"

#include "test/unit/tls_server_fixture.h"

/* ---- names */

/* RFC 6066 section 3. */
static void
shows_the_certificate_of_the_name(void)
{
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "A.Test"));
    CU_ASSERT_TRUE(is_shown(&pair, "a.test"));
    CU_ASSERT_TRUE(slice_equal(facts_of(&pair)->server_name, SLICE("a.test")));
    CU_ASSERT_EQUAL(facts_of(&pair)->set_id, certificate_set_id(sets[0]));
    CU_ASSERT_STRING_EQUAL(facts_of(&pair)->version, "TLSv1.3");
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "b.test"));
    CU_ASSERT_TRUE(is_shown(&pair, "b.test"));
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "x.wild.test"));
    CU_ASSERT_TRUE(is_shown(&pair, "x.wild.test"));
    end(&pair);
    CU_ASSERT_EQUAL(counters.tls_handshakes, 3);
    tear_down();
}

static void
shows_the_listeners_certificate_to_others(void)
{
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "stranger.test"));
    CU_ASSERT_TRUE(is_shown(&pair, "fallback.test"));
    CU_ASSERT_EQUAL(facts_of(&pair)->set_id, certificate_set_id(sets[SITES]));
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, NULL));
    CU_ASSERT_TRUE(is_shown(&pair, "fallback.test"));
    CU_ASSERT_EQUAL(facts_of(&pair)->server_name.bytes, 0);
    end(&pair);
    tear_down();
}

/* RFC 6066 section 3: the unrecognized_name alert. */
static void
refuses_unknown_names_where_told_to(void)
{
    struct pair pair;

    set_up();
    listener.tls.unknown_name = TLS_UNKNOWN_REFUSE;
    serve();
    CU_ASSERT_FALSE(connect_to(&pair, 0, "stranger.test"));
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_TLSV1_UNRECOGNIZED_NAME);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    end(&pair);
    CU_ASSERT_EQUAL(counters.tls_handshake_failures, 1);
    tear_down();
}

/* RFC 8446 section 4.2.3: certificates as the client's signature_algorithms allow. */
static void
shows_rsa_to_those_who_know_nothing_else(void)
{
    struct pair pair;

    set_up();
    serve();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        begin(&pair, 0, "both.test");
        SSL_set_max_proto_version(pair.ssl, version);
        CU_ASSERT_TRUE(shake(&pair));
        CU_ASSERT_EQUAL(EVP_PKEY_id(X509_get0_pubkey(SSL_get0_peer_certificate(pair.ssl))),
                        EVP_PKEY_EC);
        end(&pair);
        begin(&pair, 0, "both.test");
        SSL_set_max_proto_version(pair.ssl, version);
        SSL_set1_sigalgs_list(pair.ssl, "RSA-PSS+SHA256:RSA+SHA256");
        CU_ASSERT_TRUE(shake(&pair));
        CU_ASSERT_EQUAL(EVP_PKEY_id(X509_get0_pubkey(SSL_get0_peer_certificate(pair.ssl))),
                        EVP_PKEY_RSA);
        end(&pair);
    }
    tear_down();
}

/* ---- protocols */

static bool
connect_alpn(struct pair *pair, const char *protocols)
{
    begin(pair, 0, "a.test");
    SSL_set_alpn_protos(pair->ssl, (const unsigned char *)protocols,
                        (unsigned)strlen(protocols));
    return shake(pair);
}

/* RFC 7301 section 3.2. */
static void
agrees_on_a_protocol_or_refuses(void)
{
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_alpn(&pair, "\x08http/1.1\x02h2"));
    CU_ASSERT_EQUAL(facts_of(&pair)->alpn, ALPN_H2);
    end(&pair);
    CU_ASSERT_TRUE(connect_alpn(&pair, "\x03xyz\x08http/1.1"));
    CU_ASSERT_EQUAL(facts_of(&pair)->alpn, ALPN_HTTP1);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    CU_ASSERT_EQUAL(facts_of(&pair)->alpn, ALPN_NONE);
    end(&pair);
    CU_ASSERT_FALSE(connect_alpn(&pair, "\x03xyz"));
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    end(&pair);
    tear_down();
}

static void
offers_no_protocol_where_bytes_are_forwarded(void)
{
    struct pair pair;

    set_up();
    listener.mode = &port_mode;
    serve();
    CU_ASSERT_TRUE(connect_alpn(&pair, "\x03xyz\x02h2"));
    CU_ASSERT_EQUAL(facts_of(&pair)->alpn, ALPN_NONE);
    end(&pair);
    tear_down();
}

static void
modern_is_tls_1_3_only(void)
{
    struct pair pair;

    set_up();
    listener.tls.preset = TLS_MODERN;
    serve();
    begin(&pair, 0, "a.test");
    SSL_set_max_proto_version(pair.ssl, TLS1_2_VERSION);
    CU_ASSERT_FALSE(shake(&pair));
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    end(&pair);
    tear_down();
}

/* ---- time and turns */

static void
gives_up_on_the_silent(void)
{
    struct pair pair;

    set_up();
    listener.tls.handshake_ms = 30;
    serve();
    begin(&pair, 0, "a.test");
    start(&pair);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         !pair.is_accepted && clock_monotonic_ms() < stop;)
        loop_turn(pair.worker->loop, 10);
    CU_ASSERT_TRUE(pair.is_accepted);
    CU_ASSERT_EQUAL(pair.accepted.fd, -1);
    CU_ASSERT_EQUAL(counters.tls_handshake_failures, 1);
    CU_ASSERT_EQUAL(counters.client_timeouts, 1);
    end(&pair);
    tear_down();
}

/* Those beyond the limit wait for it, in their order. */
static void
lets_handshakes_wait_for_others(void)
{
    struct pair slow, pairs[3];
    unsigned i;

    set_up();
    listener.tls.max_handshakes = 1;
    listener.tls.handshake_ms = 600000;
    serve();
    begin(&slow, 0, "a.test");
    start(&slow);
    SSL_connect(slow.ssl); /* its ClientHello, and then nothing */
    loop_turn(workers[0].loop, 1);
    loop_turn(workers[0].loop, 1);
    for (i = 0; i < 3; i++) {
        begin(&pairs[i], 0, "b.test");
        start(&pairs[i]);
        SSL_connect(pairs[i].ssl);
        loop_turn(workers[0].loop, 1);
    }
    CU_ASSERT_EQUAL(counters.tls_handshakes_open, 1);
    CU_ASSERT_EQUAL(counters.tls_handshakes_waiting, 3);
    CU_ASSERT_TRUE(shake(&slow));
    CU_ASSERT_EQUAL(counters.tls_handshakes_waiting, 2);
    for (i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(shake(&pairs[i]));
        end(&pairs[i]);
    }
    end(&slow);
    tear_down();
}

/* Who stalls on purpose holds up others for a part of its time only. */
static void
takes_the_place_of_a_handshake_that_stalls(void)
{
    struct pair stalled, waiting;

    set_up();
    listener.tls.max_handshakes = 1;
    listener.tls.handshake_ms = 60000;
    serve();
    begin(&stalled, 0, "a.test");
    start(&stalled);
    SSL_connect(stalled.ssl);
    loop_turn(workers[0].loop, 1);
    loop_turn(workers[0].loop, 1);
    begin(&waiting, 0, "b.test");
    start(&waiting);
    listener.tls.handshake_ms = 500; /* of which a part is over soon */
    CU_ASSERT_TRUE(shake(&waiting));
    CU_ASSERT_FALSE(stalled.is_accepted);
    CU_ASSERT_TRUE(shake(&stalled)); /* it has lost nothing but its place */
    CU_ASSERT_EQUAL(counters.tls_handshakes_open, 0);
    end(&waiting);
    end(&stalled);
    tear_down();
}

/* The site's certificate is loaded when it is first asked for. */
static void
waits_for_certificates_and_may_be_cancelled(void)
{
    struct pair pair;

    set_up();
    serve();
    begin(&pair, 0, "a.test");
    start(&pair);
    SSL_connect(pair.ssl);
    loop_turn(workers[0].loop, 1);
    tls_accept_cancel(pair.accept);
    pair.accept = NULL;
    CU_ASSERT_EQUAL(counters.tls_handshakes_open, 0);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    end(&pair);
    tear_down();
}

static void
refuses_when_its_certificate_is_no_good(void)
{
    struct pair pair;

    set_up();
    CU_ASSERT_EQUAL(truncate(path_of("a.test"), 100), 0);
    serve();
    CU_ASSERT_FALSE(connect_to(&pair, 0, "a.test"));
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "b.test"));
    end(&pair);
    tear_down();
}

static void
refuses_what_is_not_tls(void)
{
    struct pair pair;

    set_up();
    serve();
    begin(&pair, 0, NULL);
    start(&pair);
    CU_ASSERT_EQUAL(write(pair.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         !pair.is_accepted && clock_monotonic_ms() < stop;)
        loop_turn(pair.worker->loop, 10);
    CU_ASSERT_TRUE(pair.is_accepted);
    CU_ASSERT_EQUAL(pair.accepted.fd, -1);
    end(&pair);
    tear_down();
}

/* What an acceptor has read already comes first. */
static void
begins_with_what_was_read_already(void)
{
    static char hello[16384];
    struct pair pair;
    ssize_t got;

    set_up();
    serve();
    begin(&pair, 0, "a.test");
    SSL_connect(pair.ssl);
    got = read(pair.accepted.fd, hello, sizeof(hello));
    CU_ASSERT_TRUE(got > 100);
    pair.accepted.head = slice_make(hello, (size_t)got);
    CU_ASSERT_TRUE(shake(&pair));
    CU_ASSERT_EQUAL(pair.accepted.head.bytes, 0);
    CU_ASSERT_TRUE(is_shown(&pair, "a.test"));
    talk(&pair);
    end(&pair);
    tear_down();
}

void
suite_tls_server(void)
{
    CU_pSuite s = CU_add_suite("tls_server", NULL, NULL);

#define ADD(function) CU_add_test(s, #function, function)
    ADD(shows_the_certificate_of_the_name);
    ADD(shows_the_listeners_certificate_to_others);
    ADD(refuses_unknown_names_where_told_to);
    ADD(shows_rsa_to_those_who_know_nothing_else);
    ADD(agrees_on_a_protocol_or_refuses);
    ADD(offers_no_protocol_where_bytes_are_forwarded);
    ADD(modern_is_tls_1_3_only);
    ADD(gives_up_on_the_silent);
    ADD(lets_handshakes_wait_for_others);
    ADD(takes_the_place_of_a_handshake_that_stalls);
    ADD(waits_for_certificates_and_may_be_cancelled);
    ADD(refuses_when_its_certificate_is_no_good);
    ADD(refuses_what_is_not_tls);
    ADD(begins_with_what_was_read_already);
#undef ADD
}
