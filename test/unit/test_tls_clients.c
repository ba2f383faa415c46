/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls_clients.c - certificates of clients: who is let in, and what is known of him. */
#include "config.h"

#include "test/unit/tls_server_fixture.h"

static void
demand(struct client_certificate_conf *client, enum client_certificate_mode mode, bool with_crl)
{
    *client = (struct client_certificate_conf){ .place = { .file = "test.conf", .line = 1 },
                                                .mode = mode,
                                                .ca = strdup(path_of("ca.pem")),
                                                .crl = with_crl ? strdup(path_of("crl.pem")) : NULL,
                                                .depth = 2 };
}

static void
forget_demand(struct client_certificate_conf *client)
{
    free((char *)client->ca);
    free((char *)client->crl);
}

static void
show(struct pair *pair, const struct identity *identity)
{
    SSL_use_cert_and_key(pair->ssl, identity->x509, identity->key, NULL, 1);
}

/* What the server makes of it: with TLS 1.3 the client may think that all is well. */
static bool
is_let_in(struct pair *pair, const char *name, const struct identity *identity)
{
    begin(pair, 0, name);
    if (identity != NULL)
        show(pair, identity);
    (void)shake(pair);
    return pair->accepted.fd >= 0;
}

static void
tells_who_the_client_is(void)
{
    struct identity alice;
    struct client_certificate certificate;
    struct arena arena;
    struct pair pair;

    set_up();
    alice = make_identity("alice", "EC", &world.ca, 0xbeef, -60, DAY_S);
    demand(&sites[2].client, CLIENT_CERTIFICATE_OPTIONAL, false);
    serve();
    arena_init(&arena, NULL, MIB);
    CU_ASSERT_TRUE(is_let_in(&pair, "private.test", &alice));
    CU_ASSERT_TRUE(facts_of(&pair)->has_client_certificate);
    CU_ASSERT_EQUAL(facts_of(&pair)->client_demands, tls_demands_id(&sites[2].client));
    CU_ASSERT_TRUE(tls_session_client(pair.accepted.tls, &arena, &certificate));
    CU_ASSERT_TRUE(slice_equal(certificate.subject, SLICE("CN=alice,O=Test\\, Inc.")));
    CU_ASSERT_TRUE(slice_equal(certificate.issuer, SLICE("CN=Test CA,O=Test\\, Inc.")));
    CU_ASSERT_TRUE(slice_equal(certificate.serial, SLICE("BEEF")));
    CU_ASSERT_TRUE(slice_equal(certificate.names, SLICE("DNS:alice")));
    CU_ASSERT_EQUAL(certificate.fingerprint.bytes, 64);
    CU_ASSERT_TRUE(certificate.der.bytes > 200);
    CU_ASSERT_TRUE(certificate.not_after_s - certificate.not_before_s == DAY_S + 60);
    end(&pair);
    CU_ASSERT_TRUE(is_let_in(&pair, "private.test", NULL));
    CU_ASSERT_FALSE(facts_of(&pair)->has_client_certificate);
    CU_ASSERT_FALSE(tls_session_client(pair.accepted.tls, &arena, &certificate));
    end(&pair);
    CU_ASSERT_TRUE(is_let_in(&pair, "a.test", &alice));
    CU_ASSERT_EQUAL(facts_of(&pair)->client_demands, 0);
    CU_ASSERT_FALSE(facts_of(&pair)->has_client_certificate);
    end(&pair);
    arena_fini(&arena);
    free_identity(&alice);
    forget_demand(&sites[2].client);
    tear_down();
}

static void
refuses_clients_without_a_good_certificate(void)
{
    struct identity expired, stranger, good;
    struct pair pair;

    set_up();
    expired = make_identity("late", "EC", &world.ca, 7, -2 * DAY_S, -DAY_S);
    stranger = make_identity("stranger", "EC", &world.other_ca, 8, -60, DAY_S);
    good = make_identity("good", "RSA", &world.ca, 9, -60, DAY_S);
    demand(&sites[2].client, CLIENT_CERTIFICATE_REQUIRED, true);
    serve();
    CU_ASSERT_FALSE(is_let_in(&pair, "private.test", NULL));
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED);
    end(&pair);
    CU_ASSERT_FALSE(is_let_in(&pair, "private.test", &expired));
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
    end(&pair);
    CU_ASSERT_FALSE(is_let_in(&pair, "private.test", &stranger));
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_TLSV1_ALERT_UNKNOWN_CA);
    end(&pair);
    CU_ASSERT_TRUE(is_let_in(&pair, "private.test", &good));
    CU_ASSERT_TRUE(facts_of(&pair)->has_client_certificate);
    end(&pair);
    CU_ASSERT_EQUAL(counters.tls_handshake_failures, 3);
    free_identity(&expired);
    free_identity(&stranger);
    free_identity(&good);
    forget_demand(&sites[2].client);
    tear_down();
}

/* Who was let in before is not any more, be it by a resumed session. */
static void
refuses_who_is_revoked_from_then_on(void)
{
    struct identity mallory;
    SSL_SESSION *session;
    struct pair pair;
    struct err err;

    set_up();
    mallory = make_identity("mallory", "EC", &world.ca, 66, -60, DAY_S);
    demand(&sites[2].client, CLIENT_CERTIFICATE_REQUIRED, true);
    serve();
    CU_ASSERT_TRUE(is_let_in(&pair, "private.test", &mallory));
    talk(&pair);
    session = pair.session;
    SSL_SESSION_up_ref(session);
    end(&pair);
    CU_ASSERT_TRUE(resume(&pair, 0, "private.test", session));
    CU_ASSERT_TRUE(facts_of(&pair)->has_client_certificate);
    end(&pair);
    write_crl("crl.pem", 66);
    CU_ASSERT(client_trust_reload(sites[2].client.trust, &err) >= 0); /* 0: it was, just now */
    begin(&pair, 0, "private.test");
    set_session(&pair, session);
    show(&pair, &mallory);
    (void)shake(&pair);
    CU_ASSERT_EQUAL(pair.accepted.fd, -1);
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED);
    end(&pair);
    SSL_SESSION_free(session);
    free_identity(&mallory);
    forget_demand(&sites[2].client);
    tear_down();
}

static void
never_resumes_where_more_is_demanded(void)
{
    SSL_SESSION *session;
    struct pair pair;

    set_up();
    demand(&sites[2].client, CLIENT_CERTIFICATE_REQUIRED, false);
    sites[2].certificates = sites[0].certificates; /* all else is equal */
    sites[2].set = sites[0].set;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    CU_ASSERT_FALSE(resume(&pair, 0, "private.test", session));
    CU_ASSERT_EQUAL(pair.accepted.fd, -1);
    end(&pair);
    SSL_SESSION_free(session);
    forget_demand(&sites[2].client);
    tear_down();
}

static void
names_the_file_that_is_no_good(void)
{
    struct err err;

    set_up();
    demand(&sites[2].client, CLIENT_CERTIFICATE_REQUIRED, true);
    CU_ASSERT_EQUAL(truncate(path_of("crl.pem"), 20), 0);
    CU_ASSERT_EQUAL(tls_server_new(&listener, &snapshot->conf, &snapshot->arena, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/crl.pem: holds no list of revoked certificates"));
    write_crl("crl.pem", 0);
    CU_ASSERT_EQUAL(unlink(path_of("ca.pem")), 0);
    CU_ASSERT_EQUAL(tls_server_new(&listener, &snapshot->conf, &snapshot->arena, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/ca.pem"));
    write_identity("ca.pem", &world.ca, false);
    serve();
    forget_demand(&sites[2].client);
    tear_down();
}

void
suite_tls_clients(void)
{
    CU_pSuite s = CU_add_suite("tls_clients", NULL, NULL);

#define ADD(function) CU_add_test(s, #function, function)
    ADD(tells_who_the_client_is);
    ADD(refuses_clients_without_a_good_certificate);
    ADD(refuses_who_is_revoked_from_then_on);
    ADD(never_resumes_where_more_is_demanded);
    ADD(names_the_file_that_is_no_good);
#undef ADD
}
