/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls_server.c - handshakes and records between our side and OpenSSL's client,
 * over pairs of sockets, with certificates made for the occasion.
 *
 *     SSL (client) ===== [tls_accept | conn + tls_session] (server)
 */
#include "config.h"

#include "server/tls/tls_server.h"

#include "modes/mode.h"
#include "server/base/clock.h"
#include "server/certificates/certificates.h"
#include "server/generation.h"
#include "server/host_map.h"
#include "server/snapshot.h"
#include "server/tls/client_trust.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_session.h"
#include "server/tls/tls_thread.h"
#include "server/worker.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define WORKERS 2
#define SITES 5
#define DAY_S (24 * 3600)
#define MIB (1024u * 1024)

/* ---- certificates */

struct identity {
    X509 *x509;
    EVP_PKEY *key;
};

static struct {
    struct identity ca, other_ca;
    char dir[64];
    SSL_CTX *client;
} world;

static struct worker workers[WORKERS];
static struct counters counters;
static struct snapshot *snapshot;
static struct listener_conf listener;
static struct site_conf sites[SITES];
static void *site_items[SITES];
static struct certificate_conf certificates[SITES + 2];
static void *certificate_items[SITES + 2];
static struct certificate_set *sets[SITES + 1];
static struct mode_ops http_mode, port_mode;

static void
no_request(struct exchange *ex)
{
    (void)ex;
}

static void
add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    CU_ASSERT_PTR_NOT_NULL_FATAL(extension);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by issuer, or by itself; good from from_s to to_s, counted from now. */
static struct identity
make_identity(const char *name, const char *kind, const struct identity *issuer, long serial,
              long from_s, long to_s)
{
    struct identity made = { .x509 = X509_new() };
    char names[128];

    made.key = strcmp(kind, "RSA") == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509_set_version(made.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), serial);
    X509_gmtime_adj(X509_getm_notBefore(made.x509), from_s);
    X509_gmtime_adj(X509_getm_notAfter(made.x509), to_s);
    X509_set_pubkey(made.x509, made.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.x509), "O", MBSTRING_ASC,
                               (const unsigned char *)"Test, Inc.", -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    if (issuer == NULL) {
        X509_set_issuer_name(made.x509, X509_get_subject_name(made.x509));
        add_extension(made.x509, made.x509, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(made.x509, made.x509, NID_key_usage, "keyCertSign,cRLSign");
    } else {
        X509_set_issuer_name(made.x509, X509_get_subject_name(issuer->x509));
        snprintf(names, sizeof(names), "DNS:%s", name);
        add_extension(made.x509, issuer->x509, NID_subject_alt_name, names);
    }
    CU_ASSERT_FATAL(X509_sign(made.x509, issuer != NULL ? issuer->key : made.key, EVP_sha256()) >
                    0);
    return made;
}

static void
free_identity(struct identity *identity)
{
    X509_free(identity->x509);
    EVP_PKEY_free(identity->key);
    *identity = (struct identity){ 0 };
}

static const char *
path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", world.dir, name);
    return path;
}

static void
write_identity(const char *name, const struct identity *identity, bool with_key)
{
    FILE *file = fopen(path_of(name), "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    PEM_write_X509(file, identity->x509);
    if (with_key)
        PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

/* A list of what ca has revoked: one serial number, or none (0). */
static void
write_crl(const char *name, long revoked)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *later = X509_gmtime_adj(NULL, DAY_S);
    FILE *file = fopen(path_of(name), "w");

    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(world.ca.x509));
    X509_CRL_set1_lastUpdate(crl, now);
    X509_CRL_set1_nextUpdate(crl, later);
    if (revoked != 0) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();

        ASN1_INTEGER_set(serial, revoked);
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, now);
        X509_CRL_add0_revoked(crl, entry);
        ASN1_INTEGER_free(serial);
    }
    X509_CRL_sign(crl, world.ca.key, EVP_sha256());
    PEM_write_X509_CRL(file, crl);
    fclose(file);
    X509_CRL_free(crl);
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
}

/* ---- the stage: two workers, one listener, sites a.test, b.test, private.test ... */

static void
make_site(unsigned i, const char *name, const char *kind)
{
    struct identity identity = make_identity(name, kind, &world.ca, 100 + i, -60, DAY_S);

    write_identity(name, &identity, true);
    free_identity(&identity);
    certificates[i] = (struct certificate_conf){ .place = { "test.conf", 1 },
                                                 .chain = strdup(path_of(name)) };
    certificate_items[i] = &certificates[i];
    sites[i] = (struct site_conf){ .name = name,
                                   .place = { "test.conf", 1 },
                                   .certificates = { &certificate_items[i], 1 } };
    site_items[i] = &sites[i];
    host_map_add(listener.sites, slice_of(name), &sites[i]);
}

static void
adopt_set(struct certificate_set **where, const struct config_list *list)
{
    struct err err;

    *where = certificate_set_adopt(list, false, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(*where);
}

static void
start_worker(struct worker *worker, unsigned id)
{
    memset(worker, 0, sizeof(*worker));
    worker->id = id;
    worker->counters = &counters;
    worker->loop = loop_new(NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->loop);
    CU_ASSERT_EQUAL_FATAL(generation_publish(worker, snapshot), 0);
}

static void
make_world(void)
{
    strcpy(world.dir, "/tmp/bascule-tls-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(world.dir));
    world.ca = make_identity("Test CA", "EC", NULL, 1, -60, DAY_S);
    world.other_ca = make_identity("Other CA", "EC", NULL, 2, -60, DAY_S);
    write_identity("ca.pem", &world.ca, false);
    write_crl("crl.pem", 0);
    world.client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(world.client, SSL_SESS_CACHE_CLIENT |
                                                     SSL_SESS_CACHE_NO_INTERNAL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(world.client), world.ca.x509);
}

static void
make_conf(void)
{
    static struct identity both[2];

    snapshot = arena_new_object(NULL, MIB, sizeof(*snapshot), offsetof(struct snapshot, arena));
    atomic_init(&snapshot->references, 1);
    http_mode = (struct mode_ops){ .name = "reverse", .on_request = no_request };
    port_mode = (struct mode_ops){ .name = "port" };
    listener = (struct listener_conf){ .name = "test",
                                       .mode = &http_mode,
                                       .sites = host_map_new(&snapshot->arena, SITES) };
    listener.tls = (struct tls_conf){ .place = { "test.conf", 1 },
                                      .preset = TLS_INTERMEDIATE,
                                      .http2 = true,
                                      .handshake_ms = 10000,
                                      .max_handshakes = 100,
                                      .tickets = true,
                                      .session_ms = 3600 * 1000,
                                      .session_cache = 100 };
    make_site(0, "a.test", "EC");
    make_site(1, "b.test", "EC");
    make_site(2, "private.test", "EC");
    make_site(3, "*.wild.test", "EC");
    make_site(4, "both.test", "EC");
    both[0] = make_identity("both.test", "RSA", &world.ca, 110, -60, DAY_S);
    both[1] = make_identity("fallback.test", "EC", &world.ca, 111, -60, DAY_S);
    write_identity("rsa.pem", &both[0], true);
    write_identity("fallback.pem", &both[1], true);
    certificates[SITES] = (struct certificate_conf){ .chain = strdup(path_of("rsa.pem")) };
    certificate_items[SITES] = &certificates[SITES];
    sites[4].certificates.count = 2; /* they are side by side */
    certificates[SITES + 1] = (struct certificate_conf){ .chain = strdup(path_of("fallback.pem")) };
    certificate_items[SITES + 1] = &certificates[SITES + 1];
    listener.tls.certificates = (struct config_list){ &certificate_items[SITES + 1], 1 };
    snapshot->conf.sites = (struct config_list){ site_items, SITES };
    for (unsigned i = 0; i < SITES; i++) {
        adopt_set(&sets[i], &sites[i].certificates);
        sites[i].set = sets[i];
    }
    adopt_set(&sets[SITES], &listener.tls.certificates);
    listener.tls.set = sets[SITES];
    free_identity(&both[0]);
    free_identity(&both[1]);
}

/* After a test has changed what it wants in listener and sites. */
static void
serve(void)
{
    struct err err;

    if (tls_server_new(&listener, &snapshot->conf, &snapshot->arena, &err) < 0)
        CU_FAIL_FATAL(err.text);
    for (unsigned i = 0; i < WORKERS; i++)
        start_worker(&workers[i], i);
}

static void
set_up(void)
{
    static struct slice nowhere = SLICE_INIT("127.0.0.1:1");
    const struct resolver_conf resolver = { .servers = { &nowhere, 1 },
                                            .hosts_file = "/dev/null",
                                            .resolv_conf = "/dev/null",
                                            .timeout_ms = 100,
                                            .tries = 1,
                                            .limit_ms = 100,
                                            .max_entries = 10,
                                            .max_lookups = 10 };
    struct err err;

    signal(SIGPIPE, SIG_IGN); /* the client writes to sockets that we closed */
    memset(&counters, 0, sizeof(counters));
    make_world();
    make_conf();
    if (certificates_start(&resolver, &err) < 0)
        CU_FAIL_FATAL(err.text);
}

static void
remove_files(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void
tear_down(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        for (int turns = 0; turns < 3; turns++)
            loop_turn(workers[i].loop, 0);
        (void)generation_publish(&workers[i], NULL);
        tls_server_thread_fini(&workers[i]);
        loop_free_all(workers[i].loop);
    }
    CU_ASSERT_EQUAL(counters.tls_handshakes_open, 0);
    CU_ASSERT_EQUAL(counters.tls_handshakes_waiting, 0);
    snapshot_unref(snapshot);
    for (unsigned i = 0; i <= SITES; i++)
        certificate_set_unref(sets[i]);
    for (unsigned i = 0; i < SITES + 2; i++)
        free((char *)certificates[i].chain);
    certificates_stop();
    SSL_CTX_free(world.client);
    free_identity(&world.ca);
    free_identity(&world.other_ca);
    remove_files();
    ERR_clear_error();
}

/* ---- one connection, both ends */

struct pair {
    struct worker *worker;
    struct tls_accept *accept;
    struct accepted accepted; /* fd -1: it failed */
    bool is_accepted;         /* or failed */
    struct conn conn;
    bool is_open;             /* conn is */
    unsigned events;
    SSL *ssl;
    int fd; /* the client's */
    SSL_SESSION *session;
};

static void
on_accepted(void *arg, const struct accepted *accepted)
{
    struct pair *pair = arg;

    CU_ASSERT_FALSE(pair->is_accepted);
    pair->is_accepted = true;
    pair->accepted = *accepted;
    pair->accept = NULL;
}

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    struct pair *pair = SSL_get_app_data(ssl);

    SSL_SESSION_free(pair->session);
    pair->session = session;
    return 1;
}

/* A client that asks for name (NULL: none), not connected yet. */
static void
begin(struct pair *pair, unsigned worker, const char *name)
{
    int fds[2];

    *pair = (struct pair){ .worker = &workers[worker] };
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    pair->fd = fds[0];
    pair->accepted.fd = fds[1];
    ip_parse(SLICE("192.0.2.7"), &pair->accepted.peer);
    SSL_CTX_sess_set_new_cb(world.client, on_session);
    pair->ssl = SSL_new(world.client);
    SSL_set_app_data(pair->ssl, pair);
    SSL_set_fd(pair->ssl, pair->fd);
    if (name != NULL)
        SSL_set_tlsext_host_name(pair->ssl, name);
    SSL_set_connect_state(pair->ssl);
}

static void
start(struct pair *pair)
{
    struct accepted accepted = pair->accepted;

    pair->accept = tls_accept_start(pair->worker, &listener, &accepted, on_accepted, pair);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair->accept);
}

static void
on_ready(struct conn *conn)
{
    container_of(conn, struct pair, conn)->events++;
}

static void
open_conn(struct pair *pair)
{
    CU_ASSERT_EQUAL_FATAL(conn_open(&pair->conn, pair->worker->loop, pair->accepted.fd, on_ready,
                                    NULL), 0);
    tls_attach(&pair->conn, pair->accepted.tls);
    pair->is_open = true;
}

/* Both sides go on until both are done. False: one of them failed. */
static bool
shake(struct pair *pair)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    int result = 0;

    if (pair->accept == NULL)
        start(pair);
    while ((!pair->is_accepted || result != 1) && clock_monotonic_ms() < stop) {
        if (result != 1) {
            ERR_clear_error();
            result = SSL_connect(pair->ssl);
            if (result != 1 && SSL_get_error(pair->ssl, result) != SSL_ERROR_WANT_READ &&
                pair->is_accepted)
                break;
        }
        loop_turn(pair->worker->loop, 1);
    }
    CU_ASSERT_TRUE_FATAL(pair->is_accepted);
    if (pair->accepted.fd >= 0)
        open_conn(pair);
    return result == 1 && pair->accepted.fd >= 0;
}

static void
end(struct pair *pair)
{
    if (pair->accept != NULL)
        tls_accept_cancel(pair->accept);
    if (pair->is_open)
        conn_close(&pair->conn);
    loop_turn(pair->worker->loop, 0);
    SSL_set_shutdown(pair->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(pair->ssl);
    close(pair->fd);
    SSL_SESSION_free(pair->session);
}

static bool
connect_to(struct pair *pair, unsigned worker, const char *name)
{
    begin(pair, worker, name);
    return shake(pair);
}

/* What the client's certificate says the server is called. */
static bool
is_shown(const struct pair *pair, const char *name)
{
    X509 *x509 = SSL_get0_peer_certificate(pair->ssl);

    return x509 != NULL && X509_check_host(x509, name, 0, 0, NULL) == 1 &&
           SSL_get_verify_result(pair->ssl) == X509_V_OK;
}

static const struct tls_facts *
facts_of(const struct pair *pair)
{
    return tls_session_facts(pair->accepted.tls);
}

/* Why the client says that it failed: the alert's reason code, or 0. */
static int
alert_of(struct pair *pair)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    char byte;

    while (ERR_peek_last_error() == 0 && clock_monotonic_ms() < stop &&
           SSL_get_error(pair->ssl, SSL_read(pair->ssl, &byte, 1)) == SSL_ERROR_WANT_READ)
        ;
    return ERR_GET_REASON(ERR_peek_last_error());
}

/* One line each way, so that tickets arrive. */
static void
talk(struct pair *pair)
{
    struct iovec answer = { (void *)"pong", 4 };
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    char text[16];
    ssize_t got = 0;

    CU_ASSERT_EQUAL(SSL_write(pair->ssl, "ping", 4), 4);
    while ((got = conn_recv(&pair->conn, text, sizeof(text))) == CONN_WAIT &&
           clock_monotonic_ms() < stop)
        loop_turn(pair->worker->loop, 1);
    CU_ASSERT_EQUAL(got, 4);
    CU_ASSERT_EQUAL(conn_send(&pair->conn, &answer, 1, false), 4);
    CU_ASSERT_EQUAL(SSL_read(pair->ssl, text, sizeof(text)), 4);
}

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

/* ---- resumption */

/* A copy, as OpenSSL uses each only once. */
static void
set_session(struct pair *pair, SSL_SESSION *session)
{
    SSL_SESSION *copy = SSL_SESSION_dup(session);

    SSL_set_session(pair->ssl, copy);
    SSL_SESSION_free(copy);
}

static bool
resume(struct pair *pair, unsigned worker, const char *name, SSL_SESSION *session)
{
    begin(pair, worker, name);
    set_session(pair, session);
    SSL_set_max_proto_version(pair->ssl, SSL_SESSION_get_protocol_version(session));
    if (!shake(pair))
        return false;
    CU_ASSERT_EQUAL(facts_of(pair)->is_resumed, SSL_session_reused(pair->ssl));
    return facts_of(pair)->is_resumed;
}

static SSL_SESSION *
session_for(const char *name, int version)
{
    SSL_SESSION *session;
    struct pair pair;

    begin(&pair, 0, name);
    SSL_set_max_proto_version(pair.ssl, version);
    CU_ASSERT_TRUE_FATAL(shake(&pair));
    talk(&pair);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair.session);
    session = pair.session;
    SSL_SESSION_up_ref(session);
    end(&pair);
    return session;
}

/* RFC 8446 section 4.6.1, RFC 5077: keys are shared by all threads. */
static void
resumes_on_another_thread(void)
{
    struct pair pair;

    set_up();
    serve();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *session = session_for("a.test", version);

        CU_ASSERT_TRUE(resume(&pair, 1, "a.test", session));
        talk(&pair);
        end(&pair);
        SSL_SESSION_free(session);
    }
    CU_ASSERT_EQUAL(counters.tls_handshakes_resumed, 2);
    tear_down();
}

static void
resumes_across_a_change_of_keys(void)
{
    struct ticket_keys *keys;
    SSL_SESSION *session;
    struct pair pair;
    struct err err;

    set_up();
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    keys = ticket_keys_adopt(NULL, 0, &err);
    ticket_keys_rotate(keys);
    ticket_keys_rotate(keys);
    CU_ASSERT_TRUE(resume(&pair, 1, "a.test", session));
    end(&pair);
    ticket_keys_unref(keys);
    SSL_SESSION_free(session);
    tear_down();
}

static void
write_ticket_keys(const char *path, char first, unsigned count)
{
    FILE *file = fopen(path, "w");

    for (unsigned i = 0; i < count; i++)
        for (int n = 0; n < TICKET_KEY_BYTES; n++)
            fputc(first + (int)i, file);
    fclose(file);
}

static void
reads_ticket_keys_from_a_file(void)
{
    const char *path = NULL;
    struct ticket_keys *keys;
    SSL_SESSION *session;
    struct pair pair;
    struct err err;

    set_up();
    path = strdup(path_of("keys"));
    listener.tls.ticket_keys = path;
    write_ticket_keys(path, 'a', 1);
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    keys = ticket_keys_adopt(path, 0, &err);
    write_ticket_keys(path, 'Z', 2); /* Z is new, [ is, a is not known any more */
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), 1);
    CU_ASSERT_FALSE(resume(&pair, 0, "a.test", session));
    end(&pair);
    write_ticket_keys(path, '`', 2); /* then comes a */
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), 1);
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), 0);
    CU_ASSERT_TRUE(resume(&pair, 0, "a.test", session));
    end(&pair);
    CU_ASSERT_EQUAL(truncate(path, 81), 0);
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "keys: holds 81 bytes"));
    CU_ASSERT_TRUE(resume(&pair, 1, "a.test", session));
    end(&pair);
    ticket_keys_unref(keys);
    SSL_SESSION_free(session);
    tear_down();
    free((char *)path);
}

/* RFC 5246 section 7.3: the cache of those who know no tickets. */
static void
remembers_sessions_without_tickets(void)
{
    SSL_SESSION *session;
    struct pair pair;

    set_up();
    serve();
    SSL_CTX_set_options(world.client, SSL_OP_NO_TICKET);
    session = session_for("a.test", TLS1_2_VERSION);
    CU_ASSERT_TRUE(resume(&pair, 0, "a.test", session));
    end(&pair);
    SSL_SESSION_free(session);
    tear_down();
}

static void
never_resumes_for_another_site(void)
{
    SSL_SESSION *session;
    struct pair pair;

    set_up();
    serve();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        session = session_for("a.test", version);
        CU_ASSERT_FALSE(resume(&pair, 0, "b.test", session));
        CU_ASSERT_TRUE(is_shown(&pair, "b.test"));
        end(&pair);
        SSL_SESSION_free(session);
    }
    tear_down();
}

/* ---- certificates of clients */

static void
demand(struct client_certificate_conf *client, enum client_certificate_mode mode, bool with_crl)
{
    *client = (struct client_certificate_conf){ .place = { "test.conf", 1 },
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
    CU_ASSERT_EQUAL(client_trust_reload(sites[2].client.trust, &err), 1);
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

/* ---- records */

static char
pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static void
shrink_buffers(const struct pair *pair, int bytes)
{
    setsockopt(pair->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    setsockopt(pair->conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Sends in pieces of all sizes, as far as the socket takes them. */
static size_t
send_some_pattern(struct pair *pair, size_t at, size_t total)
{
    static char data[200000];
    size_t here = total - at < sizeof(data) ? total - at : sizeof(data);
    struct iovec iov[3];
    ssize_t sent;

    for (size_t i = 0; i < here; i++)
        data[i] = pattern(at + i);
    iov[0] = (struct iovec){ data, here / 100 };
    iov[1] = (struct iovec){ data + here / 100, here / 3 };
    iov[2] = (struct iovec){ data + here / 100 + here / 3, here - here / 100 - here / 3 };
    sent = conn_send(&pair->conn, iov, 3, false);
    CU_ASSERT_TRUE_FATAL(sent > 0 || sent == CONN_WAIT);
    return sent > 0 ? (size_t)sent : 0;
}

static void
carries_much_to_a_client_that_takes_little(void)
{
    size_t total = 3 * MIB + 17, sent = 0, got = 0, bytes, waits = 0;
    char data[5000];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    shrink_buffers(&pair, 8192);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         got < total && clock_monotonic_ms() < stop;) {
        if (sent < total) {
            bytes = send_some_pattern(&pair, sent, total);
            sent += bytes;
            waits += !pair.conn.may_write;
        }
        while (SSL_read_ex(pair.ssl, data, sizeof(data), &bytes) == 1) {
            for (size_t i = 0; i < bytes; i++)
                if (data[i] != pattern(got + i))
                    CU_FAIL_FATAL("bytes changed");
            got += bytes;
        }
        loop_turn(pair.worker->loop, 0);
        if (sent >= total && got < total)
            loop_turn(pair.worker->loop, 1);
    }
    CU_ASSERT_EQUAL(sent, total);
    CU_ASSERT_EQUAL(pair.conn.sent_bytes, total);
    CU_ASSERT_TRUE(waits > 0);
    end(&pair);
    tear_down();
}

/* Whatever is read at a time, and however it arrives. */
static void
carries_much_from_a_client(size_t read_bytes)
{
    size_t total = MIB + 3, sent = 0, got = 0, bytes;
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    char out[30000], *in = malloc(read_bytes);
    struct pair pair;
    ssize_t n;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_set_mode(pair.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    shrink_buffers(&pair, 40000);
    while (got < total && clock_monotonic_ms() < stop) {
        size_t here = total - sent < sizeof(out) ? total - sent : sizeof(out);

        for (size_t i = 0; i < here; i++)
            out[i] = pattern(sent + i);
        if (here > 0 && SSL_write_ex(pair.ssl, out, here, &bytes) == 1)
            sent += bytes;
        while ((n = conn_recv(&pair.conn, in, read_bytes)) > 0) {
            for (ssize_t i = 0; i < n; i++)
                if (in[i] != pattern(got + (size_t)i))
                    CU_FAIL_FATAL("bytes changed");
            got += (size_t)n;
        }
        CU_ASSERT_EQUAL(n, CONN_WAIT);
        CU_ASSERT_FALSE(tls_has_pending(pair.accepted.tls));
        loop_turn(pair.worker->loop, sent < total ? 0 : 1);
    }
    CU_ASSERT_EQUAL(got, total);
    free(in);
    end(&pair);
    tear_down();
}

static void
carries_much_in_small_reads(void)
{
    carries_much_from_a_client(700);
}

static void
carries_much_in_large_reads(void)
{
    carries_much_from_a_client(256 * 1024);
}

/* Events are told once: what is left in the session is told by may_read. */
static void
forgets_nothing_that_was_left_unread(void)
{
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "first record", 12);
    SSL_write(pair.ssl, "second", 6);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 5), 5);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_TRUE(tls_has_pending(pair.accepted.tls));
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 7), 7);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 6);
    CU_ASSERT_FALSE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), CONN_WAIT);
    end(&pair);
    tear_down();
}

/* One recv() for many records: they come in one piece. */
static void
reads_many_records_at_once(void)
{
    char data[1000];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    for (int i = 0; i < 50; i++)
        SSL_write(pair.ssl, "0123456789", 10);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, sizeof(data)), 500);
    end(&pair);
    tear_down();
}

/* RFC 8446 section 6.1. */
static void
tells_an_end_from_a_cut(void)
{
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "last words", 10);
    SSL_shutdown(pair.ssl);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 10);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 0);
    CU_ASSERT_TRUE(pair.conn.saw_end);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "cut he", 6);
    shutdown(pair.fd, SHUT_WR);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 6);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), CONN_FAILED);
    CU_ASSERT_EQUAL(pair.conn.error, EPROTO);
    end(&pair);
    tear_down();
}

/* The end came along with the last bytes, and no event will tell of it. */
static void
does_not_miss_an_end_behind_bytes(void)
{
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "over", 4);
    SSL_shutdown(pair.ssl); /* a record, but no FIN */
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 4);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 0);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "and", 3);
    CU_ASSERT_EQUAL(write(pair.fd, "\x17\x03\x03\0\x14this is not a record", 25), 25);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 3);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), CONN_FAILED);
    ERR_clear_error(); /* the server's */
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    end(&pair);
    tear_down();
}

/* Half-close: we send no more, and still read. */
static void
says_its_end_and_reads_on(void)
{
    struct iovec words = { (void *)"bye", 3 };
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    CU_ASSERT_EQUAL(conn_send(&pair.conn, &words, 1, false), 3);
    CU_ASSERT_EQUAL(conn_shutdown(&pair.conn), 0);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 3);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 0);
    CU_ASSERT_EQUAL(SSL_get_error(pair.ssl, 0), SSL_ERROR_ZERO_RETURN);
    CU_ASSERT_EQUAL(SSL_write(pair.ssl, "not yet", 7), 7);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 7);
    end(&pair);
    tear_down();
}

static void
closing_is_an_end_and_aborting_is_not(void)
{
    char data[10];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    conn_close(&pair.conn);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 10), 0);
    CU_ASSERT_EQUAL(SSL_get_error(pair.ssl, 0), SSL_ERROR_ZERO_RETURN);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    conn_abort(&pair.conn);
    ERR_clear_error();
    CU_ASSERT_NOT_EQUAL(SSL_get_error(pair.ssl, SSL_read(pair.ssl, data, 10)),
                        SSL_ERROR_ZERO_RETURN);
    end(&pair);
    tear_down();
}

/* A session goes with its descriptor, and with what was read too early. */
static void
travels_with_the_descriptor(void)
{
    struct tls_session *session;
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "one", 3);
    SSL_write(pair.ssl, "two", 3);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 3), 3);
    session = tls_detach(&pair.conn);
    CU_ASSERT_PTR_EQUAL(session, pair.accepted.tls);
    CU_ASSERT_PTR_NULL(tls_of(&pair.conn));
    pair.accepted.fd = conn_detach(&pair.conn);
    open_conn(&pair);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 3);
    CU_ASSERT_EQUAL(memcmp(data, "two", 3), 0);
    end(&pair);
    tear_down();
}

/* RFC 8446 section 4.6.3 sets no limit; OpenSSL would go on as long as they come. */
static void
takes_no_endless_row_of_new_keys(void)
{
    struct pair pair;
    char data[100], *updates;
    ssize_t got = CONN_WAIT;
    long bytes;
    BIO *bio;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    bio = BIO_new(BIO_s_mem());
    BIO_up_ref(bio);
    SSL_set0_wbio(pair.ssl, bio);
    for (unsigned i = 0; i < 5000; i++) {
        SSL_key_update(pair.ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(pair.ssl);
    }
    bytes = BIO_get_mem_data(bio, &updates);
    CU_ASSERT_EQUAL(write(pair.fd, updates, (size_t)bytes), bytes);
    for (unsigned i = 0; i < 10 && got == CONN_WAIT; i++) {
        loop_turn(pair.worker->loop, 1);
        got = conn_recv(&pair.conn, data, sizeof(data));
    }
    CU_ASSERT_EQUAL(got, CONN_FAILED);
    CU_ASSERT_EQUAL(pair.conn.error, EPROTO);
    BIO_free(bio);
    end(&pair);
    tear_down();
}

/* ---- early data (RFC 8446 section 2.3) */

static bool
connect_early(struct pair *pair, unsigned worker, SSL_SESSION *session)
{
    size_t done;

    begin(pair, worker, "a.test");
    set_session(pair, session);
    CU_ASSERT_EQUAL(SSL_write_early_data(pair->ssl, "GET /early", 10, &done), 1);
    start(pair);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         !pair->is_accepted && clock_monotonic_ms() < stop;) {
        loop_turn(pair->worker->loop, 1);
        if (!pair->is_accepted && SSL_in_init(pair->ssl))
            SSL_connect(pair->ssl);
    }
    CU_ASSERT_TRUE_FATAL(pair->accepted.fd >= 0);
    open_conn(pair);
    return tls_session_is_early(pair->accepted.tls);
}

static void
takes_early_data_before_the_handshake_ends(void)
{
    struct iovec answer = { (void *)"early answer", 12 };
    SSL_SESSION *session;
    struct pair pair;
    char data[100];
    ssize_t got;

    set_up();
    listener.tls.early_data = true;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    CU_ASSERT_TRUE(SSL_SESSION_get_max_early_data(session) > 0);
    CU_ASSERT_TRUE(connect_early(&pair, 1, session));
    CU_ASSERT_TRUE(facts_of(&pair)->is_resumed);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 10);
    CU_ASSERT_EQUAL(memcmp(data, "GET /early", 10), 0);
    CU_ASSERT_TRUE(tls_session_is_early(pair.accepted.tls));
    CU_ASSERT_EQUAL(conn_send(&pair.conn, &answer, 1, false), 12);
    CU_ASSERT_EQUAL(SSL_connect(pair.ssl), 1);
    CU_ASSERT_EQUAL(SSL_get_early_data_status(pair.ssl), SSL_EARLY_DATA_ACCEPTED);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 12);
    CU_ASSERT_EQUAL(SSL_write(pair.ssl, "late", 4), 4);
    loop_turn(pair.worker->loop, 1);
    while ((got = conn_recv(&pair.conn, data, 100)) == CONN_WAIT)
        loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(got, 4);
    CU_ASSERT_FALSE(tls_session_is_early(pair.accepted.tls));
    CU_ASSERT_EQUAL(conn_send(&pair.conn, &answer, 1, false), 12);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 12);
    end(&pair);
    SSL_SESSION_free(session);
    tear_down();
}

/* RFC 8446 section 8.2: the same flight, sent again by somebody else. */
static void
takes_early_data_once(void)
{
    char flight[8192];
    SSL_SESSION *session;
    struct pair pair;
    ssize_t bytes;
    size_t done;

    set_up();
    listener.tls.early_data = true;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    begin(&pair, 0, "a.test");
    set_session(&pair, session);
    CU_ASSERT_EQUAL(SSL_write_early_data(pair.ssl, "PAY /bill", 9, &done), 1);
    bytes = recv(pair.accepted.fd, flight, sizeof(flight), MSG_PEEK);
    CU_ASSERT_TRUE_FATAL(bytes > 100);
    start(&pair);
    for (int i = 0; i < 100 && !pair.is_accepted; i++)
        loop_turn(pair.worker->loop, 1);
    CU_ASSERT_TRUE_FATAL(pair.is_accepted && pair.accepted.fd >= 0);
    CU_ASSERT_TRUE(tls_session_is_early(pair.accepted.tls));
    open_conn(&pair);
    end(&pair);
    begin(&pair, 1, "a.test");
    CU_ASSERT_EQUAL(write(pair.fd, flight, (size_t)bytes), bytes);
    start(&pair);
    for (int i = 0; i < 20; i++)
        loop_turn(pair.worker->loop, 1);
    CU_ASSERT_FALSE(pair.is_accepted); /* it waits for the rest of the handshake */
    end(&pair);
    SSL_SESSION_free(session);
    tear_down();
}

/* There nobody can tell what may be done twice. */
static void
takes_no_early_data_where_bytes_are_forwarded(void)
{
    SSL_SESSION *session;

    set_up();
    listener.mode = &port_mode;
    listener.tls.early_data = true;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    CU_ASSERT_EQUAL(SSL_SESSION_get_max_early_data(session), 0);
    SSL_SESSION_free(session);
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
    ADD(resumes_on_another_thread);
    ADD(resumes_across_a_change_of_keys);
    ADD(reads_ticket_keys_from_a_file);
    ADD(remembers_sessions_without_tickets);
    ADD(never_resumes_for_another_site);
    ADD(tells_who_the_client_is);
    ADD(refuses_clients_without_a_good_certificate);
    ADD(refuses_who_is_revoked_from_then_on);
    ADD(never_resumes_where_more_is_demanded);
    ADD(names_the_file_that_is_no_good);
    ADD(gives_up_on_the_silent);
    ADD(lets_handshakes_wait_for_others);
    ADD(takes_the_place_of_a_handshake_that_stalls);
    ADD(waits_for_certificates_and_may_be_cancelled);
    ADD(refuses_when_its_certificate_is_no_good);
    ADD(refuses_what_is_not_tls);
    ADD(begins_with_what_was_read_already);
    ADD(carries_much_to_a_client_that_takes_little);
    ADD(carries_much_in_small_reads);
    ADD(carries_much_in_large_reads);
    ADD(forgets_nothing_that_was_left_unread);
    ADD(reads_many_records_at_once);
    ADD(tells_an_end_from_a_cut);
    ADD(does_not_miss_an_end_behind_bytes);
    ADD(says_its_end_and_reads_on);
    ADD(closing_is_an_end_and_aborting_is_not);
    ADD(travels_with_the_descriptor);
    ADD(takes_no_endless_row_of_new_keys);
    ADD(takes_early_data_before_the_handshake_ends);
    ADD(takes_early_data_once);
    ADD(takes_no_early_data_where_bytes_are_forwarded);
#undef ADD
}
