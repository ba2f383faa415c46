/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_openssl.h - what the files of this folder share about OpenSSL's objects.
 *
 * A session stands between an SSL and its socket.
 */
#ifndef BASCULE_TLS_OPENSSL_H
#define BASCULE_TLS_OPENSSL_H

#include "server/tls/tls_session.h"
#include "server/tls/tls_wire.h"

struct tls_session {
    SSL *ssl;
    struct tls_wire wire;
    struct tls_facts facts;
    char *name; /* of facts.server_name */

    size_t owed_plain; /* offered by the writer, encrypted, and not told to it yet */
    uint64_t sent_ms;  /* when something was sent last */
    uint32_t burst_bytes; /* since it began after a pause */
    bool by_kernel;    /* OpenSSL has the descriptor */
    bool is_slow;      /* the socket did not take all the last time */

    bool took_early; /* and the handshake had to be finished after that */
    bool is_early;   /* SSL_read_early_data() has not said that it was all */
    char *early;     /* what came with the handshake and was not read yet */
    size_t early_at, early_end;
};

/* A session over an SSL whose handshake is done, on the descriptor that it was
 * given by SSL_set_fd(). Takes ssl; NULL when memory is short, ssl still the
 * caller's then. */
struct tls_session *tls_session_new(SSL *ssl);

/* The same before the handshake, on fd, which stays the caller's. The state of ssl
 * says which side we are. in: bytes of the peer's that were read already; copied.
 * by_kernel: OpenSSL is given the descriptor, so that it can use kTLS. */
struct tls_session *tls_session_begin(SSL *ssl, int fd, struct slice in, bool by_kernel);

enum tls_step {
    TLS_DONE,      /* the facts are known; a connection may take the session */
    TLS_WAIT,      /* for the peer: go on when the descriptor is ready */
    TLS_SUSPENDED, /* the ClientHello callback asked for time */
    TLS_ENDED,     /* the peer ended or reset the connection: errno, or 0 */
    TLS_FAILED,    /* OpenSSL's queue of errors says why; the peer has been told */
};

/* Goes on with the handshake. takes_early: on the server's side, it is done as
 * soon as there is early data, too. */
enum tls_step tls_session_shake(struct tls_session *session, bool takes_early);

/* For those who shake hands: to be completed by them before the session is given on. */
struct tls_facts *tls_session_learn(struct tls_session *session);

/* Copies the name in lower case; facts.server_name. False when memory is short. */
bool tls_session_set_name(struct tls_session *session, struct slice name);

SSL *tls_session_ssl(const struct tls_session *session);

/* Frees the buffers that the calling thread's sessions share. */
void tls_session_thread_fini(void);

#endif
