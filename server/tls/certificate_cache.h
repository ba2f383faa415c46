/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_cache.h - certificates as OpenSSL wants them, made by a thread for
 * itself.
 *
 * Bundles are DER and shared by all threads; OpenSSL's objects are large and
 * full of locks. So each thread keeps those of the bundles it used last, in its
 * own library context. Certificates of authorities, which are in many chains,
 * are kept once.
 */
#ifndef BASCULE_CERTIFICATE_CACHE_H
#define BASCULE_CERTIFICATE_CACHE_H

#include <openssl/ssl.h>

#include "server/certificates/certificates.h"

/* At most so many bundles on each thread: some ten kilobytes each. */
#define CERTIFICATE_CACHE_MAX 512

struct certificate_cache;

/* A bundle, ready to be shown. */
struct shown {
    struct list link; /* the one used last is first */
    struct shown *next; /* of its bucket */
    struct bundle *bundle;
    X509 *leaves[BUNDLE_CERTIFICATES_MAX];
    EVP_PKEY *keys[BUNDLE_CERTIFICATES_MAX];
    STACK_OF(X509) *chains[BUNDLE_CERTIFICATES_MAX];
};

/* Borrows library. NULL when memory is short. */
struct certificate_cache *certificate_cache_new(OSSL_LIB_CTX *library);
void certificate_cache_free(struct certificate_cache *cache);

/* What was made of the bundle of this id; NULL: nothing, or it is gone again. Good
 * until the next addition. */
struct shown *certificate_cache_find(struct certificate_cache *cache, uint64_t id);

/* Makes OpenSSL's objects of a bundle that is not in the cache yet. Takes bundle.
 * NULL when it is of no use to OpenSSL, or memory is short. */
struct shown *certificate_cache_add(struct certificate_cache *cache, struct bundle *bundle);

/* Lets ssl choose among the certificates. */
bool shown_use(const struct shown *shown, SSL *ssl);

/* Which of them ssl has chosen, or -1. */
int shown_index(const struct shown *shown, SSL *ssl);

#endif
