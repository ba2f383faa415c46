/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_client.h - TLS towards origins: verified, with the name that was asked for.
 *
 * A handshake turns a connected descriptor into a session, which a connection
 * then carries its bytes through. What the server lets us resume is remembered
 * by the thread (tls_resumption.h).
 */
#ifndef BASCULE_TLS_CLIENT_H
#define BASCULE_TLS_CLIENT_H

#include "server/net/conn.h"
#include "server/tls/tls_context.h"
#include "server/tls/tls_session.h"

struct tls_handshake;

/* Whom to shake hands with. */
struct tls_target {
    const struct tls_context *context;
    struct slice host;  /* a name or an IP literal, which the certificate must be for unless the
                           context has another name; empty: none, for contexts that do not verify */
    struct slice where; /* which server of that name: sessions are resumed where they came from */
    bool is_h1_only;    /* HTTP/2 is not offered, whatever the context says */
};

/* Why TLS came to nothing, in the words of RFC 9209 section 2.3 and of people. */
struct tls_failure {
    const char *proxy_error; /* static */
    char detail[128];
};

struct tls_result {
    struct tls_session *session; /* the receiver's; NULL: it failed */
    const char *proxy_error;     /* static */
    const char *detail;          /* good until on_done returns */
    bool is_timeout;
};

typedef void tls_done_fn(void *arg, int fd, const struct tls_result *result);

/* Shakes hands on fd, which it takes; borrows the context, copies the rest.
 * on_done is called once, never from here; fd is then the receiver's, watched by
 * no loop, or -1 when it failed. timeout_ms is for all of it. NULL, with fd
 * closed, when memory is short or the host is no name. */
struct tls_handshake *tls_handshake_start(struct loop *loop, int fd,
                                          const struct tls_target *target, uint32_t timeout_ms,
                                          tls_done_fn *on_done, void *arg) MUST_USE;

/* Closes the connection; on_done will not be called. */
void tls_handshake_cancel(struct tls_handshake *handshake);

/* To be asked right after a read from conn has failed: whether the server said by
 * an alert why, or broke the protocol. With TLS 1.3 it may refuse our certificate
 * when for us the handshake is over. */
bool tls_client_explain(const struct conn *conn, struct tls_failure *failure);

#endif
