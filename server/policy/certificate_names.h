/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_names.h - the names in a client's certificate, one by one.
 *
 * Taken from the certificate itself, never from a text that joins them: a name with
 * a comma in it must not pass for two.
 */
#ifndef BASCULE_CERTIFICATE_NAMES_H
#define BASCULE_CERTIFICATE_NAMES_H

#include <openssl/x509.h>

#include "server/base/arena.h"

struct tls_session;

struct certificate_names {
    struct slice *names; /* common names of the subject, then alternative names as text */
    size_t count;
    struct slice issuer; /* RFC 4514 */
};

/* Of the client's verified certificate; NULL: there is none, or the arena is spent. */
const struct certificate_names *certificate_names_of(const struct tls_session *session,
                                           struct arena *arena);

/* Of a certificate; NULL when the arena is spent. */
const struct certificate_names *certificate_names_read(const X509 *certificate,
                                                       struct arena *arena);

#endif
