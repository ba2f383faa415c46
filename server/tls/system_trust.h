/* SPDX-License-Identifier: BSD-2-Clause */
/* system_trust.h - the authorities that this machine trusts, read once for all who ask.
 *
 * Reading them takes longer than all the rest of a small configuration, and each copy
 * takes a megabyte. They are read again once the file that holds them has changed.
 */
#ifndef BASCULE_SYSTEM_TRUST_H
#define BASCULE_SYSTEM_TRUST_H

#include <openssl/types.h>
#include <stdint.h>

/* Lends the store of OpenSSL's default file and folder (SSL_CERT_FILE and SSL_CERT_DIR name
 * others), with a reference for the caller: X509_STORE_free() gives it back. *version gets a
 * number that is another one after each reading. NULL when memory is short. Any thread. */
X509_STORE *system_trust_ref(uint64_t *version);

#endif
