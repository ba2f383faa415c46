/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_pem.h - reads PEM files, as OpenSSL's objects.
 *
 * Whether what they hold is any good is for others to judge.
 */
#ifndef BASCULE_CERTIFICATE_PEM_H
#define BASCULE_CERTIFICATE_PEM_H

#include "server/base/err.h"
#include "server/base/slice.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* The bytes of a file, or DER; they may be secret. */
struct pem_text {
    char *data;
    size_t bytes;
};

/* Reads a whole file, as the supervisor if need be. 0, or -1 with err, which names
 * the file; text is empty then. */
int pem_text_read(const char *path, struct pem_text *text, struct err *err) MUST_USE;

/* A copy. 0, or -1 when memory is short. */
int pem_text_keep(struct pem_text *to, const unsigned char *data, size_t bytes) MUST_USE;

/* Wipes and frees it; twice is fine. */
void pem_text_fini(struct pem_text *text);

/* The certificates in a file, in its order. */
#define PEM_PILE_MAX 16

struct pem_pile {
    X509 *items[PEM_PILE_MAX];
    unsigned count;
};

/* At least one. 0, or -1 with err, which names path; the pile is empty then. */
int pem_pile_read(const struct pem_text *text, struct pem_pile *pile, const char *path,
                  struct err *err) MUST_USE;
void pem_pile_fini(struct pem_pile *pile);

/* The private key in text, the caller's; der becomes its PKCS #8. For one that is
 * encrypted command is asked (passphrase.h), unless it is NULL. NULL with err, which
 * names path. */
EVP_PKEY *pem_key_read(const struct pem_text *text, struct pem_text *der, const char *path,
                       const char *command, struct err *err) MUST_USE;

#endif
