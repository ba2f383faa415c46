/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_client.c - handshakes by OpenSSL, on our own event loop.
 *
 * OpenSSL reads and writes the descriptor itself.
 */
#include "config.h"

#include "server/tls/tls_client.h"

#include "server/net/address.h"
#include "server/tls/tls_failure.h"
#include "server/tls/tls_openssl.h"
#include "server/tls/tls_resumption.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOST_BYTES_MAX 255
#define KEY_BYTES_MAX 1200

struct tls_handshake {
    struct conn conn;
    SSL *ssl;
    const struct tls_context *context;
    tls_done_fn *on_done;
    void *arg;
    struct task task;
    bool is_h1_only;
};

/* ---- the end */

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

    tls_resumption_forget(handshake->ssl);
    done(handshake, &result);
}

/* ---- why it failed */

/* Names of RFC 8446 section 6.2 and of RFC 7301; of some the library knows no name. */
static const char *
alert_name(unsigned alert)
{
    switch (alert) {
    case 109:
        return "missing extension";
    case 116:
        return "certificate required";
    case 120:
        return "no application protocol";
    default:
        return SSL_alert_desc_string_long((int)alert);
    }
}

/* The library's code for an alert of the peer is a fixed number and the alert's. */
static bool
explain_alert(unsigned long error, struct tls_failure *failure)
{
    int reason = ERR_GET_REASON(error);
    unsigned alert;

    if (ERR_GET_LIB(error) != ERR_LIB_SSL || reason < SSL_AD_REASON_OFFSET ||
        reason > SSL_AD_REASON_OFFSET + UINT8_MAX)
        return false;
    alert = (unsigned)(reason - SSL_AD_REASON_OFFSET);
    failure->proxy_error = "tls_alert_received";
    snprintf(failure->detail, sizeof(failure->detail), "TLS alert %u: %s", alert,
             alert_name(alert));
    return true;
}

static void
explain_library(struct tls_failure *failure)
{
    if (explain_alert(ERR_peek_last_error(), failure))
        return;
    failure->proxy_error = "tls_protocol_error";
    snprintf(failure->detail, sizeof(failure->detail), "%s", tls_failure_of_error());
}

static void
fail_by_library(struct tls_handshake *handshake)
{
    long verdict = SSL_get_verify_result(handshake->ssl);
    struct tls_failure failure;

    if (handshake->context->verify && verdict != X509_V_OK) {
        fail(handshake, "tls_certificate_error", tls_failure_of_verdict(verdict));
        return;
    }
    explain_library(&failure);
    fail(handshake, failure.proxy_error, failure.detail);
}

bool
tls_client_explain(const struct conn *conn, struct tls_failure *failure)
{
    unsigned long error = ERR_peek_last_error();

    if (tls_of(conn) == NULL || error == 0 ||
        ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return false;
    explain_library(failure);
    return true;
}

/* ---- steps */

/* What was agreed on is what was offered, and of use. */
static bool
speaks_our_protocol(const struct tls_handshake *handshake)
{
    const unsigned char *alpn;
    unsigned bytes;
    bool is_h2;

    SSL_get0_alpn_selected(handshake->ssl, &alpn, &bytes);
    is_h2 = bytes == 2 && memcmp(alpn, "h2", 2) == 0;
    return handshake->is_h1_only ? !is_h2 : is_h2 || !handshake->context->needs_h2;
}

static void
succeed(struct tls_handshake *handshake)
{
    struct tls_result result = { 0 };

    if (!speaks_our_protocol(handshake)) {
        fail(handshake, "tls_protocol_error",
             handshake->is_h1_only ? "it insists on HTTP/2" : "it does not speak HTTP/2");
        return;
    }
    result.session = tls_session_new(handshake->ssl);
    if (result.session == NULL)
        fail(handshake, "proxy_internal_error", "out of memory");
    else
        done(handshake, &result);
}

static void
step(struct tls_handshake *handshake)
{
    int got;

    ERR_clear_error();
    got = SSL_connect(handshake->ssl);
    if (got == 1) {
        succeed(handshake);
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

/* ---- the beginning */

static struct slice
name_of(const struct tls_target *target)
{
    return target->context->name != NULL ? slice_of(target->context->name) : target->host;
}

/* Name for SNI and for the certificate; SNI knows no addresses (RFC 6066 section 3). */
static bool
expect_host(SSL *ssl, const struct tls_target *target)
{
    struct slice host = name_of(target);
    char name[HOST_BYTES_MAX + 1];
    struct ip ip;

    if (host.bytes == 0)
        return !target->context->verify;
    if (host.bytes > HOST_BYTES_MAX)
        return false;
    memcpy(name, host.data, host.bytes);
    name[host.bytes] = '\0';
    if (ip_parse(host, &ip))
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), ip.bytes, ip.family == 4 ? 4 : 16);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) && SSL_set1_host(ssl, name);
}

/* Whatever the server was verified by is in the key. */
static void
resume(SSL *ssl, const struct tls_target *target)
{
    struct slice name = name_of(target);
    char key[KEY_BYTES_MAX];
    int bytes = snprintf(key, sizeof(key), "%016" PRIx64 " %.*s %.*s",
                         tls_context_id(target->context), SLICE_ARG(name),
                         SLICE_ARG(target->where));

    if (bytes > 0 && (size_t)bytes < sizeof(key) && target->where.bytes > 0)
        tls_resumption_start(ssl, slice_make(key, (size_t)bytes));
}

static SSL *
new_ssl(int fd, const struct tls_target *target)
{
    static const unsigned char h1[] = "\x08http/1.1";
    SSL *ssl = SSL_new(target->context->openssl);

    if (ssl == NULL)
        return NULL;
    if (!expect_host(ssl, target) || SSL_set_fd(ssl, fd) != 1 ||
        (target->is_h1_only && SSL_set_alpn_protos(ssl, h1, sizeof(h1) - 1) != 0)) {
        SSL_free(ssl);
        return NULL;
    }
    resume(ssl, target);
    return ssl;
}

struct tls_handshake *
tls_handshake_start(struct loop *loop, int fd, const struct tls_target *target,
                    uint32_t timeout_ms, tls_done_fn *on_done, void *arg)
{
    struct tls_handshake *handshake = calloc(1, sizeof(*handshake));

    if (handshake == NULL || (handshake->ssl = new_ssl(fd, target)) == NULL ||
        conn_open(&handshake->conn, loop, fd, on_ready, on_timeout) < 0) {
        if (handshake != NULL)
            SSL_free(handshake->ssl);
        free(handshake);
        close(fd);
        return NULL;
    }
    handshake->context = target->context;
    handshake->is_h1_only = target->is_h1_only;
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
