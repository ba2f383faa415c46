/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_session.c - the life of a session, from its first byte to what is known of it. */
#include "config.h"

#include "server/tls/tls_session.h"

#include "server/tls/tls_openssl.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

void
tls_session_thread_fini(void)
{
    tls_desk_free();
}

/* ---- life */

static struct tls_session *
make(SSL *ssl, int fd, bool by_kernel)
{
    struct tls_session *session = tls_desk_have() ? calloc(1, sizeof(*session)) : NULL;

    if (session == NULL)
        return NULL;
    session->ssl = ssl;
    session->wire.fd = fd;
    session->by_kernel = by_kernel;
    if (by_kernel ? SSL_set_fd(ssl, fd) == 1 : tls_wire_join(&session->wire, ssl))
        return session;
    free(session);
    return NULL;
}

struct tls_session *
tls_session_new(SSL *ssl)
{
    struct tls_session *session = make(ssl, SSL_get_fd(ssl), false);

    if (session != NULL)
        tls_session_learn(session);
    return session;
}

struct tls_session *
tls_session_begin(SSL *ssl, int fd, struct slice in, bool by_kernel)
{
    struct tls_session *session;
    char *own = NULL;

    if (in.bytes > 0 && (own = malloc(in.bytes)) == NULL)
        return NULL;
    session = make(ssl, fd, by_kernel && in.bytes == 0);
    if (session == NULL) {
        free(own);
        return NULL;
    }
    if (in.bytes > 0)
        memcpy(own, in.data, in.bytes);
    session->wire.in = session->wire.in_own = own;
    session->wire.in_bytes = in.bytes;
    return session;
}

void
tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    /* Who hangs up without a word may come back all the same: otherwise OpenSSL
     * would forget the session. */
    SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(session->ssl);
    tls_wire_fini(&session->wire);
    free(session->early);
    free(session->name);
    free(session);
}

SSL *
tls_session_ssl(const struct tls_session *session)
{
    return session->ssl;
}

const struct tls_facts *
tls_session_facts(const struct tls_session *session)
{
    return &session->facts;
}

bool
tls_session_is_early(const struct tls_session *session)
{
    return session->took_early && !SSL_is_init_finished(session->ssl);
}

bool
tls_session_set_name(struct tls_session *session, struct slice name)
{
    char *copy = malloc(name.bytes + 1);

    if (copy == NULL)
        return false;
    for (size_t i = 0; i < name.bytes; i++)
        copy[i] = ascii_lower(name.data[i]);
    copy[name.bytes] = '\0';
    free(session->name);
    session->name = copy;
    session->facts.server_name = slice_make(copy, name.bytes);
    return true;
}

struct tls_facts *
tls_session_learn(struct tls_session *session)
{
    struct tls_facts *facts = &session->facts;
    const unsigned char *alpn;
    unsigned bytes;

    SSL_get0_alpn_selected(session->ssl, &alpn, &bytes);
    facts->version = SSL_get_version(session->ssl);
    facts->cipher = SSL_get_cipher_name(session->ssl);
    facts->alpn = bytes == 2 ? ALPN_H2 : bytes > 0 ? ALPN_HTTP1 : ALPN_NONE;
    facts->is_resumed = SSL_session_reused(session->ssl) != 0;
    return facts;
}

/* ---- handshake */

static int
read_early(struct tls_session *session)
{
    size_t got = 0;

    switch (SSL_read_early_data(session->ssl, tls_desk->record, TLS_RECORD_BYTES, &got)) {
    case SSL_READ_EARLY_DATA_SUCCESS:
        session->is_early = session->took_early = true;
        session->early = malloc(got + 1);
        if (session->early == NULL) {
            session->wire.error = ENOMEM;
            return -1;
        }
        memcpy(session->early, tls_desk->record, got);
        session->early_end = got;
        return 1;
    case SSL_READ_EARLY_DATA_FINISH:
        session->is_early = false;
        return SSL_do_handshake(session->ssl);
    default:
        session->is_early = true;
        return -1;
    }
}

/* With TLS 1.3 the server's last words are a ticket: it has time until there is an
 * answer to go with. */
static bool
is_ticket_alone(const struct tls_session *session)
{
    return tls_desk->out_bytes > 0 && tls_desk->out_bytes <= TLS_RECORD_BYTES &&
           tls_wire_owed(&session->wire) == 0 && SSL_is_server(session->ssl) &&
           SSL_version(session->ssl) == TLS1_3_VERSION && SSL_is_init_finished(session->ssl);
}

/* The handshake is done. False: the connection broke. */
static bool
finish(struct tls_session *session)
{
    struct tls_wire *wire = &session->wire;

    tls_wire_keep_input(wire);
    if (is_ticket_alone(session)) {
        wire->is_patient = tls_wire_owe(wire, tls_desk->out, tls_desk->out_bytes);
        tls_desk->out_bytes = 0;
    } else {
        (void)tls_wire_flush(wire);
    }
    tls_session_learn(session);
    return wire->error == 0;
}

/* It is not done, for what SSL_get_error() says. */
static enum tls_step
suspend(struct tls_session *session, int why)
{
    struct tls_wire *wire = &session->wire;

    tls_wire_keep_input(wire);
    if (!tls_wire_flush(wire))
        why = SSL_ERROR_SYSCALL;
    switch (why) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WAIT;
    case SSL_ERROR_WANT_CLIENT_HELLO_CB:
        return TLS_SUSPENDED;
    case SSL_ERROR_SSL:
        if (!wire->saw_end)
            return TLS_FAILED;
        wire->error = 0;
        /* fall through */
    default:
        errno = wire->error;
        return TLS_ENDED;
    }
}

enum tls_step
tls_session_shake(struct tls_session *session, bool takes_early)
{
    bool is_early = session->is_early || (takes_early && SSL_in_before(session->ssl));
    int result;

    tls_desk_begin(0, true); /* the end may have come with these bytes, and is told only once */
    result = is_early ? read_early(session) : SSL_do_handshake(session->ssl);
    if (result != 1)
        return suspend(session, SSL_get_error(session->ssl, result));
    if (finish(session))
        return TLS_DONE;
    errno = session->wire.error;
    return TLS_ENDED;
}
