/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_session.c - records by OpenSSL, as a connection's transport.
 *
 * A read is drained only when it says WANT_READ, since a record may hold more
 * than was asked for. The end of the stream counts only after the peer's
 * close_notify: without it somebody else may have cut the message short.
 */
#include "config.h"

#include "server/tls/tls_session.h"

#include "server/tls/tls_openssl.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#define RECORD_BYTES 16384

struct tls_session {
    SSL *ssl;
    struct tls_facts facts;
};

static SSL *
ssl_of(const struct conn *conn)
{
    const struct tls_session *session = conn->transport_state;

    return session->ssl;
}

struct tls_session *
tls_session_new(SSL *ssl)
{
    struct tls_session *session = calloc(1, sizeof(*session));
    const unsigned char *alpn;
    unsigned bytes;

    if (session == NULL)
        return NULL;
    session->ssl = ssl;
    SSL_get0_alpn_selected(ssl, &alpn, &bytes);
    session->facts = (struct tls_facts){
        .version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .alpn = bytes == 2 ? ALPN_H2 : bytes > 0 ? ALPN_HTTP1 : ALPN_NONE,
        .is_resumed = SSL_session_reused(ssl) != 0,
    };
    return session;
}

const struct tls_facts *
tls_session_facts(const struct tls_session *session)
{
    return &session->facts;
}

void
tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}

/* ---- transport */

static ssize_t
failed(struct conn *conn)
{
    conn->error = errno != 0 ? errno : EPROTO;
    return CONN_FAILED;
}

static ssize_t
tls_recv(struct conn *conn, void *data, size_t bytes)
{
    SSL *ssl = ssl_of(conn);
    size_t got = 0;

    ERR_clear_error();
    errno = 0;
    if (SSL_read_ex(ssl, data, bytes, &got) == 1)
        return (ssize_t)got;
    switch (SSL_get_error(ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        conn->may_read = false;
        return CONN_WAIT;
    case SSL_ERROR_WANT_WRITE: /* of its own: reading goes on when there is room */
        conn->may_write = false;
        return CONN_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return failed(conn);
    }
}

/* Small pieces share a record: each costs a header, a tag and a packet. */
static size_t
gather(char *record, const struct iovec *iov, int count)
{
    size_t bytes = 0;

    for (int i = 0; i < count && bytes < RECORD_BYTES; i++) {
        size_t here = iov[i].iov_len;

        if (here > RECORD_BYTES - bytes)
            here = RECORD_BYTES - bytes;
        memcpy(record + bytes, iov[i].iov_base, here);
        bytes += here;
    }
    return bytes;
}

static ssize_t
write_record(struct conn *conn, const void *data, size_t bytes)
{
    SSL *ssl = ssl_of(conn);
    size_t sent = 0;

    ERR_clear_error();
    errno = 0;
    if (SSL_write_ex(ssl, data, bytes, &sent) == 1)
        return (ssize_t)sent;
    switch (SSL_get_error(ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
        conn->may_write = false;
        return CONN_WAIT;
    case SSL_ERROR_WANT_READ:
        conn->may_read = false;
        return CONN_WAIT;
    default:
        return failed(conn);
    }
}

static ssize_t
tls_send(struct conn *conn, const struct iovec *iov, int count, bool more)
{
    char record[RECORD_BYTES];

    (void)more;
    if (iov->iov_len >= RECORD_BYTES || count == 1)
        return write_record(conn, iov->iov_base, iov->iov_len);
    return write_record(conn, record, gather(record, iov, count));
}

static int
tls_shutdown(struct conn *conn)
{
    SSL_shutdown(ssl_of(conn));
    return 0;
}

static void
tls_close(struct conn *conn)
{
    SSL *ssl = ssl_of(conn);

    if (conn->error == 0 && !conn->is_shut && !SSL_in_init(ssl))
        SSL_shutdown(ssl);
    ERR_clear_error();
    tls_session_free(conn->transport_state);
    conn->transport_state = NULL;
}

static const struct transport tls_transport = {
    .name = "tls",
    .recv = tls_recv,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .close = tls_close,
};

void
tls_attach(struct conn *conn, struct tls_session *session)
{
    if (session == NULL)
        return;
    conn->transport = &tls_transport;
    conn->transport_state = session;
}

struct tls_session *
tls_of(const struct conn *conn)
{
    return conn->transport == &tls_transport ? conn->transport_state : NULL;
}

struct tls_session *
tls_detach(struct conn *conn)
{
    struct tls_session *session = tls_of(conn);

    conn->transport = &plain_transport;
    conn->transport_state = NULL;
    return session;
}

bool
tls_has_pending(const struct tls_session *session)
{
    return SSL_has_pending(session->ssl) != 0;
}

bool
tls_session_is_early(const struct tls_session *session)
{
    (void)session;
    return false;
}

bool
tls_session_client(const struct tls_session *session, struct arena *arena,
                   struct client_certificate *certificate)
{
    (void)session;
    (void)arena;
    *certificate = (struct client_certificate){ .not_before_s = 0 };
    return false;
}
