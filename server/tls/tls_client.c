/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_client.c - handshakes by OpenSSL, on our own event loop.
 *
 * OpenSSL reads and writes the descriptor itself.
 */
#include "config.h"

#include "server/tls/tls_client.h"

#include "server/net/address.h"
#include "server/tls/tls_openssl.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#define HOST_BYTES_MAX 255

struct tls_context {
    SSL_CTX *openssl;
    uint64_t id;
};

/* ---- context */

static void
free_context(void *context)
{
    SSL_CTX_free(context);
}

static int
trust(SSL_CTX *context, const char *ca_file, struct err *err)
{
    if (ca_file == NULL)
        return SSL_CTX_set_default_verify_paths(context) == 1
                   ? 0
                   : err_set(err, "the system's CA certificates cannot be loaded");
    if (SSL_CTX_load_verify_locations(context, ca_file, NULL) == 1)
        return 0;
    return err_set(err, "%s: cannot load CA certificates: %s", ca_file,
                   ERR_reason_error_string(ERR_peek_last_error()));
}

static SSL_CTX *
new_openssl(const char *ca_file, struct err *err)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX *openssl = SSL_CTX_new(TLS_client_method());

    if (openssl == NULL) {
        err_set(err, "TLS: out of memory");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(openssl, TLS1_2_VERSION);
    SSL_CTX_set_options(openssl, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(openssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(openssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_protos(openssl, alpn, sizeof(alpn) - 1);
    if (trust(openssl, ca_file, err) == 0)
        return openssl;
    SSL_CTX_free(openssl);
    return NULL;
}

struct tls_context *
tls_context_new(struct arena *arena, const char *ca_file, struct err *err)
{
    static _Atomic uint64_t last_id;
    struct tls_context *context = arena_zalloc(arena, sizeof(*context));
    SSL_CTX *openssl = new_openssl(ca_file, err);

    if (openssl == NULL)
        return NULL;
    if (arena_defer(arena, free_context, openssl) < 0 || context == NULL) {
        err_set(err, "TLS: out of memory");
        return NULL;
    }
    context->openssl = openssl;
    context->id = ++last_id;
    return context;
}

uint64_t
tls_context_id(const struct tls_context *context)
{
    return context->id;
}

/* ---- handshake */

struct tls_handshake {
    struct conn conn;
    SSL *ssl;
    tls_done_fn *on_done;
    void *arg;
    struct task task;
};

static void
release(void *object)
{
    free(object);
}

static void
done(struct tls_handshake *handshake, const struct tls_result *result)
{
    int fd = -1;

    if (result->session != NULL) {
        fd = conn_detach(&handshake->conn);
    } else {
        SSL_free(handshake->ssl);
        conn_close(&handshake->conn);
    }
    task_cancel(&handshake->task);
    conn_free_later(&handshake->conn, release, handshake);
    handshake->on_done(handshake->arg, fd, result);
}

static void
fail(struct tls_handshake *handshake, const char *proxy_error, const char *detail)
{
    struct tls_result result = { .proxy_error = proxy_error, .detail = detail };

    done(handshake, &result);
}

static void
fail_by_library(struct tls_handshake *handshake)
{
    long verdict = SSL_get_verify_result(handshake->ssl);
    const char *reason;

    if (verdict != X509_V_OK) {
        fail(handshake, "tls_certificate_error", X509_verify_cert_error_string(verdict));
        return;
    }
    reason = ERR_reason_error_string(ERR_peek_last_error());
    fail(handshake, "tls_protocol_error", reason != NULL ? reason : "connection closed");
}

static void
step(struct tls_handshake *handshake)
{
    struct tls_result result = { 0 };
    int got;

    ERR_clear_error();
    got = SSL_connect(handshake->ssl);
    if (got == 1) {
        result.session = tls_session_new(handshake->ssl);
        if (result.session == NULL)
            fail(handshake, "proxy_internal_error", "out of memory");
        else
            done(handshake, &result);
        return;
    }
    switch (SSL_get_error(handshake->ssl, got)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return;
    default:
        fail_by_library(handshake);
        return;
    }
}

static void
on_ready(struct conn *conn)
{
    step(container_of(conn, struct tls_handshake, conn));
}

static void
on_task(struct task *task)
{
    step(container_of(task, struct tls_handshake, task));
}

static void
on_timeout(struct timer *timer)
{
    struct tls_result result = { .proxy_error = "connection_timeout",
                                 .detail = "the TLS handshake took too long",
                                 .is_timeout = true };

    done(container_of(timer, struct tls_handshake, conn.timer), &result);
}

/* Name for SNI and for the certificate; SNI knows no addresses (RFC 6066 section 3). */
static bool
expect_host(SSL *ssl, struct slice host)
{
    char name[HOST_BYTES_MAX + 1];
    struct ip ip;

    if (host.bytes == 0 || host.bytes > HOST_BYTES_MAX)
        return false;
    memcpy(name, host.data, host.bytes);
    name[host.bytes] = '\0';
    if (ip_parse(host, &ip))
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), ip.bytes, ip.family == 4 ? 4 : 16);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) && SSL_set1_host(ssl, name);
}

struct tls_handshake *
tls_handshake_start(struct loop *loop, int fd, struct tls_context *context, struct slice host,
                    uint32_t timeout_ms, tls_done_fn *on_done, void *arg)
{
    struct tls_handshake *handshake = calloc(1, sizeof(*handshake));

    if (handshake == NULL || (handshake->ssl = SSL_new(context->openssl)) == NULL ||
        !expect_host(handshake->ssl, host) || SSL_set_fd(handshake->ssl, fd) != 1 ||
        conn_open(&handshake->conn, loop, fd, on_ready, on_timeout) < 0) {
        if (handshake != NULL)
            SSL_free(handshake->ssl);
        free(handshake);
        close(fd);
        return NULL;
    }
    handshake->on_done = on_done;
    handshake->arg = arg;
    task_init(&handshake->task, on_task);
    timer_arm(loop, &handshake->conn.timer, timeout_ms);
    loop_ready(loop, &handshake->task);
    return handshake;
}

void
tls_handshake_cancel(struct tls_handshake *handshake)
{
    SSL_free(handshake->ssl);
    task_cancel(&handshake->task);
    conn_close(&handshake->conn);
    conn_free_later(&handshake->conn, release, handshake);
}
