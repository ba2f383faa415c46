/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_resumption.h - sessions that servers let us resume, so that the next
 * handshake with one of them costs no signature and no certificate.
 *
 * A thread remembers what it was given last under each key, up to a fixed
 * number of keys; the one not used for longest makes room. The key names all
 * that the server was verified by, so a session never serves for another name
 * or another's trust. No locks: a connection never leaves its thread.
 */
#ifndef BASCULE_TLS_RESUMPTION_H
#define BASCULE_TLS_RESUMPTION_H

#include <openssl/ssl.h>

#include "server/base/slice.h"

/* At most so many keys for each thread; a session is a few kilobytes. */
#define TLS_RESUMPTION_MAX 1024

/* For contexts of clients, once. */
void tls_resumption_enable(SSL_CTX *context);

/* Before the handshake: resumes what is remembered under key, and remembers what
 * the server will give us, now and later on. Copies key. */
void tls_resumption_start(SSL *ssl, struct slice key);

/* Something about it is wrong: the next handshake is a full one. */
void tls_resumption_forget(const SSL *ssl);

/* Forgets all that the calling thread remembers. */
void tls_resumption_fini(void);

#endif
