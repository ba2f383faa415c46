/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_fixture.h - certificates and keys made while a test runs. */
#ifndef BASCULE_CERTIFICATE_FIXTURE_H
#define BASCULE_CERTIFICATE_FIXTURE_H

#include "server/base/must.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEST_DAY_S (24 * 3600)

struct test_certificate {
    X509 *x509;
    EVP_PKEY *key;
};

/* What one is to be like; zero is a P-256 leaf that signs itself for a month. */
struct test_draft {
    const char *name;     /* CN */
    const char *curve;    /* NULL: P-256 */
    unsigned rsa_bits;    /* instead */
    bool is_ed25519;      /* instead */
    const struct test_certificate *issuer;
    bool is_ca;
    bool must_staple;
    bool signs_ocsp;
    const char *alt_names; /* as in "DNS:localhost" */
    const char *ocsp;      /* URL */
    long begin_s, end_s;   /* from now; 0 and 0: a day ago, in a month */
};

static inline EVP_PKEY *
test_key(const struct test_draft *draft)
{
    if (draft->rsa_bits > 0)
        return EVP_RSA_gen(draft->rsa_bits);
    if (draft->is_ed25519)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return EVP_EC_gen(draft->curve != NULL ? draft->curve : "P-256");
}

static inline void
test_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline struct test_certificate
test_certificate_make(const struct test_draft *draft)
{
    static long serial;
    struct test_certificate made = { X509_new(), test_key(draft) };
    X509 *x509 = made.x509;
    X509 *issuer = draft->issuer != NULL ? draft->issuer->x509 : x509;
    EVP_PKEY *issuer_key = draft->issuer != NULL ? draft->issuer->key : made.key;
    bool has_time = draft->begin_s != 0 || draft->end_s != 0;
    bool is_ed25519 = EVP_PKEY_get_base_id(issuer_key) == EVP_PKEY_ED25519;
    char text[200];

    must(made.key != NULL);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), has_time ? draft->begin_s : -TEST_DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(x509), has_time ? draft->end_s : 30 * TEST_DAY_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                               (const unsigned char *)draft->name, -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(issuer));
    X509_set_pubkey(x509, made.key);
    test_extension(x509, issuer, NID_basic_constraints,
                   draft->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    test_extension(x509, issuer, NID_subject_key_identifier, "hash");
    if (draft->issuer != NULL)
        test_extension(x509, issuer, NID_authority_key_identifier, "keyid");
    if (draft->alt_names != NULL)
        test_extension(x509, issuer, NID_subject_alt_name, draft->alt_names);
    if (draft->must_staple)
        test_extension(x509, issuer, NID_tlsfeature, "status_request");
    if (draft->signs_ocsp)
        test_extension(x509, issuer, NID_ext_key_usage, "OCSPSigning");
    if (draft->ocsp != NULL) {
        snprintf(text, sizeof(text), "OCSP;URI:%s", draft->ocsp);
        test_extension(x509, issuer, NID_info_access, text);
    }
    must(X509_sign(x509, issuer_key, is_ed25519 ? NULL : EVP_sha256()) > 0);
    return made;
}

static inline void
test_certificate_free(struct test_certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
}

/* Puts it into the file, or behind what is there. */
static inline void
test_write_certificate(const char *path, const struct test_certificate *certificate, bool append)
{
    FILE *file = fopen(path, append ? "a" : "w");

    must(file != NULL);
    PEM_write_X509(file, certificate->x509);
    fclose(file);
}

/* passphrase may be NULL. */
static inline void
test_write_key(const char *path, const struct test_certificate *certificate, const char *passphrase,
               bool append)
{
    FILE *file = fopen(path, append ? "a" : "w");

    must(file != NULL);
    PEM_write_PKCS8PrivateKey(file, certificate->key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                              passphrase, passphrase != NULL ? (int)strlen(passphrase) : 0, NULL,
                              NULL);
    fclose(file);
}

#endif
