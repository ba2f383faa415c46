/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_failure.h - why a handshake failed, in words that an operator understands. */
#ifndef BASCULE_TLS_FAILURE_H
#define BASCULE_TLS_FAILURE_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* Of a client whose handshake failed with what is in OpenSSL's queue of errors. Static
 * words that follow "client 192.0.2.1: TLS: ". */
const char *tls_failure_of_client(const SSL *ssl);

/* Whether it failed because the client speaks HTTP without TLS: then an answer
 * without TLS is what it understands. */
bool tls_failure_is_http(void);

#endif
