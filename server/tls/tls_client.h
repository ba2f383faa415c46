/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_client.h - TLS towards origins: verified, with the name that was asked for.
 *
 * A context says whom to trust and is shared by all threads; a handshake turns
 * a connected descriptor into a session, which a connection then carries its
 * bytes through (tls_transport).
 */
#ifndef BASCULE_TLS_CLIENT_H
#define BASCULE_TLS_CLIENT_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/net/conn.h"
#include "server/tls/tls_session.h"

struct tls_context;
struct tls_handshake;

/* Trusts the certificates in ca_file (PEM), or the system's when it is NULL.
 * TLS 1.2 and later. Ends with arena. NULL with err. */
struct tls_context *tls_context_new(struct arena *arena, const char *ca_file, struct err *err);

/* A number that no other context of this process has or ever had: connections
 * that were verified by one are not for those who trust another. */
uint64_t tls_context_id(const struct tls_context *context);

struct tls_result {
    struct tls_session *session; /* the receiver's; NULL: it failed */
    const char *proxy_error;     /* of RFC 9209 section 2.3; static */
    const char *detail;          /* static words */
    bool is_timeout;
};

typedef void tls_done_fn(void *arg, int fd, const struct tls_result *result);

/* Shakes hands on fd with host (a name or an IP literal), which the peer's
 * certificate must be for. Takes fd, borrows context, copies host. on_done is
 * called once, never from here; fd is then the receiver's, watched by no loop,
 * or -1 when it failed. timeout_ms is for all of it. NULL, with fd closed, when
 * memory is short. */
struct tls_handshake *tls_handshake_start(struct loop *loop, int fd, struct tls_context *context,
                                          struct slice host, uint32_t timeout_ms,
                                          tls_done_fn *on_done, void *arg) MUST_USE;

/* Closes the connection; on_done will not be called. */
void tls_handshake_cancel(struct tls_handshake *handshake);

#endif
