/* SPDX-License-Identifier: BSD-2-Clause */
/* early_guard.h - early data is taken once (RFC 8446 section 8.2).
 *
 * OpenSSL takes early data only while the ticket's age is what the client says, give
 * or take ten seconds. So what was seen within that time is remembered, for all
 * threads, and what comes again, or when there is no room left to remember it, is
 * not taken: the client sends it again after the handshake. Other nodes that share
 * ticket keys know nothing of it: there, each of them may take it once.
 */
#ifndef BASCULE_EARLY_GUARD_H
#define BASCULE_EARLY_GUARD_H

#include <openssl/ssl.h>

/* From now on it is known what was seen. */
void early_guard_start(void);

/* For SSL_CTX_set_allow_early_data_cb(); arg is not NULL when tickets may be older
 * than this process: then nothing is taken until all that was seen before its
 * start is too old. */
int early_guard_allow(SSL *ssl, void *arg);

#endif
