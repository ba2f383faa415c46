/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_server.h - TLS towards clients: handshakes on the worker's loop.
 *
 *   accepted --> ClientHello --> (certificates are loaded) --> handshake --> accepted, with session
 *
 * A listener's profile (preset, ALPN, tickets ...) becomes one SSL_CTX on each
 * worker thread, each thread with a library context of its own, so that nothing
 * is shared and locked. Which certificates to show, and what to demand of the
 * client, is decided by the name in its ClientHello.
 */
#ifndef BASCULE_TLS_SERVER_H
#define BASCULE_TLS_SERVER_H

#include "server/base/arena.h"
#include "server/base/err.h"

struct accepted;
struct conf;
struct listener_conf;
struct tls_accept;
struct tls_server;
struct worker;

/* Makes what the listener's threads share; listener->tls.server leads to it. Files
 * that are named must be readable and right. Ends with arena. 0, or -1 with err. */
int tls_server_new(struct listener_conf *listener, const struct conf *conf, struct arena *arena,
                   struct err *err);

/* Ends a handshake: accepted is as it was given, with the session in
 * accepted->tls, or with fd -1 when it failed (closed, counted and logged then). */
typedef void tls_accepted_fn(void *arg, const struct accepted *accepted);

/* Shakes hands on accepted->fd, which it takes; the rest is copied. on_accepted
 * is called once, never from here. Holds the worker's generation meanwhile, for
 * listener. NULL, with fd closed, when memory is short. */
struct tls_accept *tls_accept_start(struct worker *worker, struct listener_conf *listener,
                                    const struct accepted *accepted, tls_accepted_fn *on_accepted,
                                    void *arg) MUST_USE;

/* Closes the connection; on_accepted will not be called. */
void tls_accept_cancel(struct tls_accept *accept);

/* What the thread keeps: contexts, parsed certificates. When the thread ends. */
void tls_server_thread_fini(struct worker *worker);

#endif
