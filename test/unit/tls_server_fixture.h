/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_server_fixture.h - our side of TLS and OpenSSL's client, over pairs of sockets,
 * with certificates made for the occasion.
 *
 *     SSL (client) ===== [tls_accept | conn + tls_session] (server)
 */
#ifndef BASCULE_TEST_TLS_SERVER_FIXTURE_H
#define BASCULE_TEST_TLS_SERVER_FIXTURE_H

#include "modes/mode.h"
#include "server/base/clock.h"
#include "server/certificates/certificates.h"
#include "server/generation.h"
#include "server/host_map.h"
#include "server/snapshot.h"
#include "server/tls/client_trust.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_server.h"
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

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define PATIENCE_MS 60000
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
    certificates[i] = (struct certificate_conf){ .place = { .file = "test.conf", .line = 1 },
                                                 .chain = strdup(path_of(name)) };
    certificate_items[i] = &certificates[i];
    sites[i] = (struct site_conf){ .name = name,
                                   .place = { .file = "test.conf", .line = 1 },
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
    listener.tls = (struct tls_conf){ .place = { .file = "test.conf", .line = 1 },
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

#endif
