/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_failure.h - why a handshake failed, in words that an operator understands. */
#ifndef BASCULE_TLS_FAILURE_H
#define BASCULE_TLS_FAILURE_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* All return static words that follow the name of the peer: "client 192.0.2.1: TLS: ". */

/* Why a peer's certificate is refused; verdict is not X509_V_OK. */
const char *tls_failure_of_verdict(long verdict);

/* What the last of OpenSSL's queue of errors means. */
const char *tls_failure_of_error(void);

/* Of a client whose handshake has failed: either of them. */
const char *tls_failure_of_client(const SSL *ssl);

/* Whether it failed because the client speaks HTTP without TLS: then an answer
 * without TLS is what it understands. */
bool tls_failure_is_http(void);

#endif
