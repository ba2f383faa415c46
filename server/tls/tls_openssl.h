/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_openssl.h - what the files of this folder share about OpenSSL's objects. */
#ifndef BASCULE_TLS_OPENSSL_H
#define BASCULE_TLS_OPENSSL_H

#include <openssl/ssl.h>

#include "server/tls/tls_session.h"

/* A session over an SSL whose handshake is done. Takes ssl; NULL when memory is
 * short, ssl still the caller's then. */
struct tls_session *tls_session_new(SSL *ssl);

#endif
