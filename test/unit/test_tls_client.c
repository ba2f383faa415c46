/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls_client.c - handshakes with origins, good and bad ones
 * (server/tls/tls_client.h).
 *
 * The origin is OpenSSL at the other end of a socket pair, in turn with our
 * loop; its certificates are made on the spot.
 */
#include "config.h"

#include "server/tls/tls_client.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/must.h"
#include "server/schema.h"
#include "server/tls/tls_resumption.h"

#define DAY_S (24 * 3600L)

static struct loop *loop;
static struct arena arena;
static char ca_file[256], client_file[256];
static EVP_PKEY *key; /* of all: who signs what is told by names alone */
static X509 *ca;

/* ---- certificates */

static void
add_extension(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    must(extension != NULL);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by the CA, or by itself when issuer is NULL. */
static X509 *
make_certificate(const char *name, const char *alt_name, const X509 *issuer, EVP_PKEY *of,
                 EVP_PKEY *signer, long from_s, long until_s)
{
    static long serial;
    X509 *x509 = X509_new();

    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), from_s);
    X509_gmtime_adj(X509_getm_notAfter(x509), until_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, issuer != NULL ? X509_get_subject_name(issuer)
                                              : X509_get_subject_name(x509));
    X509_set_pubkey(x509, of);
    add_extension(x509, NID_basic_constraints, alt_name == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (alt_name != NULL)
        add_extension(x509, NID_subject_alt_name, alt_name);
    must(X509_sign(x509, signer, EVP_sha256()) != 0);
    return x509;
}

static X509 *
good_certificate(void)
{
    return make_certificate("origin", "DNS:origin.test,IP:192.0.2.7", ca, key, key, -DAY_S,
                            DAY_S);
}

static void
write_pem(char *path, size_t room, X509 *x509, EVP_PKEY *private_key)
{
    const char *base = getenv("TMPDIR");
    FILE *file;

    snprintf(path, room, "%s/bascule-test-XXXXXX", base != NULL ? base : "/tmp");
    file = fdopen(mkstemp(path), "w");
    must(file != NULL);
    PEM_write_X509(file, x509);
    if (private_key != NULL)
        PEM_write_PrivateKey(file, private_key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static int
begin(void)
{
    X509 *client;
    struct err err;

    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to who has hung up */
    loop = loop_new(&err);
    arena_init(&arena, NULL, 1u << 20);
    key = EVP_EC_gen("P-256");
    ca = make_certificate("Test CA", NULL, NULL, key, key, -DAY_S, DAY_S);
    client = make_certificate("client", "DNS:client.test", ca, key, key, -DAY_S, DAY_S);
    write_pem(ca_file, sizeof(ca_file), ca, NULL);
    write_pem(client_file, sizeof(client_file), client, key);
    X509_free(client);
    return loop != NULL ? 0 : -1;
}

static int
end(void)
{
    tls_resumption_fini();
    unlink(ca_file);
    unlink(client_file);
    X509_free(ca);
    EVP_PKEY_free(key);
    arena_fini(&arena);
    loop_free_all(loop);
    return 0;
}

/* ---- the origin */

struct origin {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
    const char *alpn; /* in the form of the wire; NULL: none */
};

static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *bytes, const unsigned char *in,
            unsigned in_bytes, void *arg)
{
    const struct origin *origin = arg;
    unsigned char *chosen;
    int rc = SSL_select_next_proto(&chosen, bytes, (const unsigned char *)origin->alpn,
                                   (unsigned)strlen(origin->alpn), in, in_bytes);

    (void)ssl;
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* Takes x509. */
static void
origin_init(struct origin *origin, X509 *x509, const char *alpn)
{
    *origin = (struct origin){ .context = SSL_CTX_new(TLS_server_method()), .fd = -1,
                               .alpn = alpn };
    CU_ASSERT_EQUAL(SSL_CTX_use_certificate(origin->context, x509), 1);
    CU_ASSERT_EQUAL(SSL_CTX_use_PrivateKey(origin->context, key), 1);
    SSL_CTX_set_session_id_context(origin->context, (const unsigned char *)"t", 1);
    if (alpn != NULL)
        SSL_CTX_set_alpn_select_cb(origin->context, choose_alpn, origin);
    X509_free(x509);
}

static void
origin_hang_up(struct origin *origin)
{
    SSL_free(origin->ssl);
    origin->ssl = NULL;
    if (origin->fd >= 0)
        close(origin->fd);
    origin->fd = -1;
}

static void
origin_fini(struct origin *origin)
{
    origin_hang_up(origin);
    SSL_CTX_free(origin->context);
}

/* ---- a handshake */

struct outcome {
    bool is_done;
    struct conn conn; /* with the session, when it succeeded */
    bool has_conn;
    char proxy_error[64], detail[128];
    bool is_timeout;
};

static void
nothing(struct conn *conn)
{
    (void)conn;
}

static void
on_done(void *arg, int fd, const struct tls_result *result)
{
    struct outcome *outcome = arg;

    outcome->is_done = true;
    outcome->is_timeout = result->is_timeout;
    if (result->session == NULL) {
        CU_ASSERT_EQUAL(fd, -1);
        snprintf(outcome->proxy_error, sizeof(outcome->proxy_error), "%s", result->proxy_error);
        snprintf(outcome->detail, sizeof(outcome->detail), "%s", result->detail);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(conn_open(&outcome->conn, loop, fd, nothing, NULL), 0);
    tls_attach(&outcome->conn, result->session);
    outcome->has_conn = true;
}

static void
shake_hands(struct origin *origin, const struct tls_target *target, struct outcome *outcome)
{
    struct tls_handshake *handshake;
    int fds[2];

    *outcome = (struct outcome){ 0 };
    origin_hang_up(origin);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    origin->fd = fds[1];
    origin->ssl = SSL_new(origin->context);
    SSL_set_fd(origin->ssl, origin->fd);
    handshake = tls_handshake_start(loop, fds[0], target, 5000, on_done, outcome);
    CU_ASSERT_PTR_NOT_NULL_FATAL(handshake);
    for (int i = 0; i < 50 && (!outcome->is_done || SSL_in_init(origin->ssl)); i++) {
        loop_turn(loop, 0);
        SSL_accept(origin->ssl);
    }
    CU_ASSERT_TRUE(outcome->is_done);
}

static void
leave(struct outcome *outcome)
{
    if (outcome->has_conn)
        conn_close(&outcome->conn);
    outcome->has_conn = false;
    loop_turn(loop, 0);
}

static struct tls_context *
trusting(const char *file)
{
    struct err err = { "" };
    struct tls_context *context = tls_context_new(&arena, file, &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(context);
    return context;
}

static void
expect_failure(X509 *x509, struct slice host, const char *proxy_error, const char *detail)
{
    struct tls_target target = { .context = trusting(ca_file), .host = host };
    struct outcome outcome;
    struct origin origin;

    origin_init(&origin, x509, NULL);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_FALSE(outcome.has_conn);
    CU_ASSERT_STRING_EQUAL(outcome.proxy_error, proxy_error);
    CU_ASSERT_STRING_EQUAL(outcome.detail, detail);
    leave(&outcome);
    origin_fini(&origin);
}

static void
expect_success(X509 *x509, struct slice host)
{
    struct tls_target target = { .context = trusting(ca_file), .host = host };
    struct outcome outcome;
    struct origin origin;

    origin_init(&origin, x509, NULL);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_TRUE(outcome.has_conn);
    leave(&outcome);
    origin_fini(&origin);
}

/* ---- verification: RFC 9110 section 4.3.4, RFC 6125 */

static void
takes_a_good_certificate(void)
{
    expect_success(good_certificate(), SLICE("origin.test"));
}

static void
takes_a_certificate_for_an_address(void)
{
    expect_success(good_certificate(), SLICE("192.0.2.7"));
}

static void
refuses_a_wrong_name(void)
{
    expect_failure(good_certificate(), SLICE("other.test"), "tls_certificate_error",
                   "its certificate is for another name");
    expect_failure(good_certificate(), SLICE("192.0.2.8"), "tls_certificate_error",
                   "its certificate is for another address");
}

static void
refuses_an_expired_certificate(void)
{
    expect_failure(make_certificate("origin", "DNS:origin.test", ca, key, key, -2 * DAY_S, -DAY_S),
                   SLICE("origin.test"), "tls_certificate_error", "its certificate has expired");
}

static void
refuses_a_self_signed_certificate(void)
{
    expect_failure(make_certificate("origin", "DNS:origin.test", NULL, key, key, -DAY_S, DAY_S),
                   SLICE("origin.test"), "tls_certificate_error",
                   "its certificate is of another authority: its own");
}

static void
refuses_an_unknown_issuer(void)
{
    X509 *stranger = make_certificate("Stranger", NULL, NULL, key, key, -DAY_S, DAY_S);

    expect_failure(make_certificate("origin", "DNS:origin.test", stranger, key, key, -DAY_S,
                                    DAY_S),
                   SLICE("origin.test"), "tls_certificate_error",
                   "its certificate is of another authority, or its chain has a gap");
    X509_free(stranger);
}

/* A chain of the right names with a signature of the wrong key. */
static void
refuses_a_forged_signature(void)
{
    EVP_PKEY *other = EVP_EC_gen("P-256");

    expect_failure(make_certificate("origin", "DNS:origin.test", ca, key, other, -DAY_S, DAY_S),
                   SLICE("origin.test"), "tls_certificate_error",
                   "its certificate is forged: the signature is wrong");
    EVP_PKEY_free(other);
}

/* ---- the system's authorities */

static void
trusts_the_system_and_reads_it_once(void)
{
    struct tls_target target = { .host = SLICE_INIT("origin.test") };
    const struct tls_context *first, *again, *changed;
    struct outcome outcome;
    struct origin origin;
    char file[256];

    write_pem(file, sizeof(file), ca, NULL);
    setenv("SSL_CERT_FILE", file, 1);
    first = trusting(NULL);
    again = trusting(NULL);
    CU_ASSERT_PTR_EQUAL(SSL_CTX_get_cert_store(again->openssl),
                        SSL_CTX_get_cert_store(first->openssl));
    CU_ASSERT_EQUAL(tls_context_id(again), tls_context_id(first));

    target.context = again;
    origin_init(&origin, good_certificate(), NULL);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_TRUE(outcome.has_conn);
    leave(&outcome);
    origin_fini(&origin);

    must(truncate(file, 0) == 0);
    changed = trusting(NULL);
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    unlink(file);
    CU_ASSERT_NOT_EQUAL(tls_context_id(changed), tls_context_id(first));
    target.context = changed;
    origin_init(&origin, good_certificate(), NULL);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_FALSE(outcome.has_conn);
    leave(&outcome);
    origin_fini(&origin);
}

/* ---- groups */

static struct tls_context *
of_group(int protocol, bool verify, const char *name, const char *client)
{
    struct group_conf group = { .name = "test", .protocol = protocol };
    struct tls_context *context;
    struct err err = { "" };

    group.tls = (struct upstream_tls_conf){ .place = { "test", 1 }, .verify = verify,
                                            .ca = ca_file, .name = name,
                                            .client = { .chain = client } };
    context = tls_context_of_group(&arena, &group, NULL, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(context);
    return context;
}

static void
verifies_the_configured_name(void)
{
    struct tls_target target = { .context = of_group(UPSTREAM_AUTO, true, "origin.test", NULL),
                                 .host = SLICE_INIT("10.0.0.1") };
    struct outcome outcome;
    struct origin origin;

    origin_init(&origin, good_certificate(), NULL);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_TRUE(outcome.has_conn);
    CU_ASSERT_STRING_EQUAL(SSL_get_servername(origin.ssl, TLSEXT_NAMETYPE_host_name),
                           "origin.test");
    leave(&outcome);
    origin_fini(&origin);
}

static void
takes_anything_when_told_so(void)
{
    struct tls_target target = { .context = of_group(UPSTREAM_AUTO, false, NULL, NULL) };
    struct outcome outcome;
    struct origin origin;

    origin_init(&origin, make_certificate("x", "DNS:x", NULL, key, key, -2 * DAY_S, -DAY_S),
                NULL);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_TRUE(outcome.has_conn);
    leave(&outcome);
    origin_fini(&origin);
}

static enum alpn
agree(int protocol, bool is_h1_only, const char *offer, struct outcome *outcome)
{
    struct tls_target target = { .context = of_group(protocol, true, NULL, NULL),
                                 .host = SLICE_INIT("origin.test"), .is_h1_only = is_h1_only };
    struct origin origin;
    enum alpn alpn = ALPN_NONE;

    origin_init(&origin, good_certificate(), offer);
    shake_hands(&origin, &target, outcome);
    if (outcome->has_conn)
        alpn = tls_session_facts(tls_of(&outcome->conn))->alpn;
    leave(outcome);
    origin_fini(&origin);
    return alpn;
}

/* RFC 7301. */
static void
agrees_on_the_protocol_of_the_group(void)
{
    static const char both[] = "\x02h2\x08http/1.1", old[] = "\x08http/1.1";
    struct outcome outcome;

    CU_ASSERT_EQUAL(agree(UPSTREAM_AUTO, false, both, &outcome), ALPN_H2);
    CU_ASSERT_EQUAL(agree(UPSTREAM_AUTO, false, old, &outcome), ALPN_HTTP1);
    CU_ASSERT_EQUAL(agree(UPSTREAM_AUTO, true, both, &outcome), ALPN_HTTP1);
    CU_ASSERT_EQUAL(agree(UPSTREAM_H1, false, both, &outcome), ALPN_HTTP1);
    CU_ASSERT_EQUAL(agree(UPSTREAM_H2, false, both, &outcome), ALPN_H2);
    CU_ASSERT_EQUAL(agree(UPSTREAM_H2, false, old, &outcome), ALPN_NONE);
    CU_ASSERT_STRING_EQUAL(outcome.proxy_error, "tls_protocol_error");
    CU_ASSERT_STRING_EQUAL(outcome.detail, "it does not speak HTTP/2");
}

/* ---- certificates of ours */

static int
any_client(int is_good, X509_STORE_CTX *store)
{
    (void)is_good;
    (void)store;
    return 1;
}

/* With TLS 1.2 the server says so within the handshake, later on with TLS 1.3
 * (RFC 8446 section 4.4.2.4). */
static void
tells_that_a_certificate_is_wanted(void)
{
    struct tls_target target = { .context = of_group(UPSTREAM_AUTO, true, NULL, NULL),
                                 .host = SLICE_INIT("origin.test") };
    struct tls_failure failure = { 0 };
    struct outcome outcome;
    struct origin origin;
    char byte;

    origin_init(&origin, good_certificate(), NULL);
    SSL_CTX_set_verify(origin.context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       any_client);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_TRUE_FATAL(outcome.has_conn);
    CU_ASSERT_EQUAL(conn_recv(&outcome.conn, &byte, 1), CONN_FAILED);
    CU_ASSERT_TRUE(tls_client_explain(&outcome.conn, &failure));
    CU_ASSERT_STRING_EQUAL(failure.proxy_error, "tls_alert_received");
    CU_ASSERT_STRING_EQUAL(failure.detail, "TLS alert 116: certificate required");
    leave(&outcome);
    SSL_CTX_set_max_proto_version(origin.context, TLS1_2_VERSION);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_FALSE(outcome.has_conn);
    CU_ASSERT_STRING_EQUAL(outcome.proxy_error, "tls_alert_received");
    CU_ASSERT_STRING_EQUAL(outcome.detail, "TLS alert 40: handshake failure");
    leave(&outcome);
    origin_fini(&origin);
}

static void
shows_the_certificate_of_the_group(void)
{
    struct tls_target target = { .context = of_group(UPSTREAM_AUTO, true, NULL, client_file),
                                 .host = SLICE_INIT("origin.test") };
    struct outcome outcome;
    struct origin origin;
    X509 *shown;

    origin_init(&origin, good_certificate(), NULL);
    SSL_CTX_set_verify(origin.context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       any_client);
    shake_hands(&origin, &target, &outcome);
    CU_ASSERT_TRUE(outcome.has_conn);
    shown = SSL_get1_peer_certificate(origin.ssl);
    CU_ASSERT_PTR_NOT_NULL(shown);
    CU_ASSERT_EQUAL(X509_check_host(shown, "client.test", 0, 0, NULL), 1);
    X509_free(shown);
    leave(&outcome);
    origin_fini(&origin);
}

static void
names_the_file_that_cannot_be_read(void)
{
    struct group_conf group = { .name = "test" };
    struct err err = { "" };

    group.tls = (struct upstream_tls_conf){ .place = { "test", 1 }, .verify = true,
                                            .ca = "/nonexistent/ca.pem" };
    CU_ASSERT_PTR_NULL(tls_context_of_group(&arena, &group, NULL, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/ca.pem"));
    group.tls.ca = ca_file;
    group.tls.client.chain = "/nonexistent/client.pem";
    CU_ASSERT_PTR_NULL(tls_context_of_group(&arena, &group, NULL, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/client.pem"));
}

/* ---- resumption */

/* Also takes the tickets that TLS 1.3 sends after the handshake. */
static bool
is_resumed(struct origin *origin, const struct tls_target *target)
{
    struct outcome outcome;
    bool is_resumed;
    char byte;

    shake_hands(origin, target, &outcome);
    CU_ASSERT_TRUE_FATAL(outcome.has_conn);
    is_resumed = tls_session_facts(tls_of(&outcome.conn))->is_resumed;
    CU_ASSERT_EQUAL(conn_recv(&outcome.conn, &byte, 1), CONN_WAIT);
    leave(&outcome);
    return is_resumed;
}

static void
resumes_sessions(void)
{
    struct tls_target target = { .context = trusting(ca_file), .host = SLICE_INIT("origin.test"),
                                 .where = SLICE_INIT("a:443") };
    struct origin origin;

    origin_init(&origin, good_certificate(), NULL);
    CU_ASSERT_FALSE(is_resumed(&origin, &target));
    CU_ASSERT_TRUE(is_resumed(&origin, &target));
    CU_ASSERT_TRUE(is_resumed(&origin, &target));
    tls_resumption_fini();
    SSL_CTX_set_max_proto_version(origin.context, TLS1_2_VERSION);
    CU_ASSERT_FALSE(is_resumed(&origin, &target));
    CU_ASSERT_TRUE(is_resumed(&origin, &target));
    tls_resumption_fini();
    origin_fini(&origin);
}

static void
resumes_nothing_of_others(void)
{
    struct tls_target target = { .context = trusting(ca_file), .host = SLICE_INIT("origin.test"),
                                 .where = SLICE_INIT("a:443") };
    struct tls_target other;
    struct origin origin;

    origin_init(&origin, good_certificate(), NULL);
    CU_ASSERT_FALSE(is_resumed(&origin, &target));
    other = target;
    other.where = SLICE("b:443");
    CU_ASSERT_FALSE(is_resumed(&origin, &other));
    other = target;
    other.host = SLICE("192.0.2.7");
    CU_ASSERT_FALSE(is_resumed(&origin, &other));
    other = target;
    other.context = of_group(UPSTREAM_AUTO, false, NULL, NULL);
    CU_ASSERT_FALSE(is_resumed(&origin, &other));
    other.context = of_group(UPSTREAM_AUTO, true, NULL, NULL); /* as if by a reload */
    CU_ASSERT_TRUE(is_resumed(&origin, &other));
    tls_resumption_fini();
    origin_fini(&origin);
}

static void
remembers_a_bounded_number(void)
{
    struct tls_target first = { .context = trusting(ca_file), .host = SLICE_INIT("origin.test"),
                                .where = SLICE_INIT("first") };
    struct tls_target second = first, other = first;
    struct origin origin;
    char where[16];

    second.where = SLICE("second");
    origin_init(&origin, good_certificate(), NULL);
    CU_ASSERT_FALSE(is_resumed(&origin, &first));
    CU_ASSERT_FALSE(is_resumed(&origin, &second));
    CU_ASSERT_TRUE(is_resumed(&origin, &first)); /* which the second is older than now */
    for (int i = 0; i < TLS_RESUMPTION_MAX - 1; i++) {
        snprintf(where, sizeof(where), "%d", i);
        other.where = slice_of(where);
        CU_ASSERT_FALSE(is_resumed(&origin, &other));
    }
    CU_ASSERT_TRUE(is_resumed(&origin, &first));
    CU_ASSERT_FALSE(is_resumed(&origin, &second));
    tls_resumption_fini();
    origin_fini(&origin);
}

/* ---- */

static void
gives_up_in_time(void)
{
    struct tls_target target = { .context = trusting(ca_file), .host = SLICE_INIT("origin.test") };
    struct outcome outcome = { 0 };
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tls_handshake_start(loop, fds[0], &target, 20, on_done, &outcome));
    for (int i = 0; i < 100 && !outcome.is_done; i++)
        loop_turn(loop, 10);
    CU_ASSERT_TRUE(outcome.is_timeout);
    CU_ASSERT_STRING_EQUAL(outcome.proxy_error, "connection_timeout");
    close(fds[1]);
    loop_turn(loop, 0);
}

static void
tells_what_is_not_tls(void)
{
    struct tls_target target = { .context = trusting(ca_file), .host = SLICE_INIT("origin.test") };
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct outcome outcome = { 0 };
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tls_handshake_start(loop, fds[0], &target, 5000, on_done,
                                                     &outcome));
    CU_ASSERT_EQUAL(write(fds[1], answer, sizeof(answer) - 1), sizeof(answer) - 1);
    for (int i = 0; i < 100 && !outcome.is_done; i++)
        loop_turn(loop, 10);
    CU_ASSERT_STRING_EQUAL(outcome.proxy_error, "tls_protocol_error");
    CU_ASSERT_STRING_EQUAL(outcome.detail, "it does not speak TLS");
    close(fds[1]);
    loop_turn(loop, 0);
}

void
suite_tls_client(void)
{
    CU_pSuite suite = CU_add_suite("tls_client", begin, end);

    CU_add_test(suite, "takes a good certificate", takes_a_good_certificate);
    CU_add_test(suite, "takes a certificate for an address", takes_a_certificate_for_an_address);
    CU_add_test(suite, "refuses a wrong name", refuses_a_wrong_name);
    CU_add_test(suite, "refuses an expired certificate", refuses_an_expired_certificate);
    CU_add_test(suite, "refuses a self-signed certificate", refuses_a_self_signed_certificate);
    CU_add_test(suite, "refuses an unknown issuer", refuses_an_unknown_issuer);
    CU_add_test(suite, "refuses a forged signature", refuses_a_forged_signature);
    CU_add_test(suite, "trusts the system's authorities, read once until they change",
                trusts_the_system_and_reads_it_once);
    CU_add_test(suite, "verifies the configured name", verifies_the_configured_name);
    CU_add_test(suite, "takes anything when told so", takes_anything_when_told_so);
    CU_add_test(suite, "agrees on the protocol of the group", agrees_on_the_protocol_of_the_group);
    CU_add_test(suite, "tells that a certificate is wanted", tells_that_a_certificate_is_wanted);
    CU_add_test(suite, "shows the certificate of the group", shows_the_certificate_of_the_group);
    CU_add_test(suite, "names the file that cannot be read", names_the_file_that_cannot_be_read);
    CU_add_test(suite, "resumes sessions", resumes_sessions);
    CU_add_test(suite, "resumes nothing of others", resumes_nothing_of_others);
    CU_add_test(suite, "remembers a bounded number", remembers_a_bounded_number);
    CU_add_test(suite, "gives up in time", gives_up_in_time);
    CU_add_test(suite, "tells what is not TLS", tells_what_is_not_tls);
}
