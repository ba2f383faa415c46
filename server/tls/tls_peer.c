/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_peer.c - what a client's certificate says, as text.
 *
 * Made only when somebody asks: most requests of most clients need none of it.
 */
#include "config.h"

#include "server/tls/tls_session.h"

#include "server/base/hex.h"
#include "server/tls/tls_openssl.h"
#include "server/users/user.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define NAMES_MAX 64
#define NAMES_BYTES_MAX 4096
#define UNITS_MAX 32

/* What was printed so far, as a copy in arena; empties bio. */
static struct slice
take_text(BIO *bio, struct arena *arena)
{
    struct slice text;
    char *data;
    long bytes = BIO_get_mem_data(bio, &data);

    text = arena_copy(arena, slice_make(data, bytes > 0 ? (size_t)bytes : 0));
    (void)BIO_reset(bio);
    return text;
}

/* RFC 4514, whose predecessor RFC 2253 it is to OpenSSL; UTF-8 as it is. */
static struct slice
name_text(BIO *bio, const X509_NAME *name, struct arena *arena)
{
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    return take_text(bio, arena);
}

static struct slice
serial_text(const X509 *certificate, struct arena *arena)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    struct slice text = arena_copy(arena, slice_of(hex));

    OPENSSL_free(hex);
    BN_free(number);
    return text;
}

static struct slice
fingerprint_text(const X509 *certificate, struct arena *arena)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE];
    unsigned bytes = 0;

    if (X509_digest(certificate, EVP_sha256(), digest, &bytes) != 1)
        return slice_make(NULL, 0);
    hex_encode(digest, bytes, text);
    return arena_copy(arena, slice_make(text, 2 * (size_t)bytes));
}

/* "DNS:a, email:b", as OpenSSL prints them; a bounded number of them. */
static struct slice
names_text(BIO *bio, const X509 *certificate, struct arena *arena)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;

    for (int i = 0; i < count && i < NAMES_MAX && BIO_pending(bio) < NAMES_BYTES_MAX; i++) {
        if (i > 0)
            BIO_puts(bio, ", ");
        GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(names, i));
    }
    GENERAL_NAMES_free(names);
    return take_text(bio, arena);
}

static int64_t
seconds(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct slice
der_of(const X509 *certificate, struct arena *arena)
{
    unsigned char *der = NULL;
    int bytes = i2d_X509(certificate, &der);
    struct slice copy = arena_copy(arena, slice_make((char *)der, bytes > 0 ? (size_t)bytes : 0));

    OPENSSL_free(der);
    return copy;
}

bool
tls_session_client(const struct tls_session *session, struct arena *arena,
                   struct client_certificate *certificate)
{
    X509 *x509 = tls_session_facts(session)->has_client_certificate
                     ? SSL_get0_peer_certificate(tls_session_ssl(session))
                     : NULL;
    BIO *bio = x509 != NULL ? BIO_new(BIO_s_mem()) : NULL;

    if (bio == NULL)
        return false;
    certificate->subject = name_text(bio, X509_get_subject_name(x509), arena);
    certificate->issuer = name_text(bio, X509_get_issuer_name(x509), arena);
    certificate->serial = serial_text(x509, arena);
    certificate->fingerprint = fingerprint_text(x509, arena);
    certificate->names = names_text(bio, x509, arena);
    certificate->der = der_of(x509, arena);
    certificate->not_before_s = seconds(X509_get0_notBefore(x509));
    certificate->not_after_s = seconds(X509_get0_notAfter(x509));
    BIO_free(bio);
    ERR_clear_error();
    return true;
}

/* ---- whom it names */

/* Text with a NUL inside is no name: somebody wants it to be read differently. */
static struct slice
string_text(const ASN1_STRING *string, struct arena *arena)
{
    unsigned char *utf8 = NULL;
    int bytes = string != NULL ? ASN1_STRING_to_UTF8(&utf8, string) : -1;
    struct slice text = slice_make((char *)utf8, bytes > 0 ? (size_t)bytes : 0);

    text = user_name_is_good(text) ? arena_copy(arena, text) : slice_make(NULL, 0);
    OPENSSL_free(utf8);
    return text;
}

static const ASN1_STRING *
entry_at(const X509_NAME *subject, int i)
{
    return X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
}

static bool
find_units(const X509_NAME *subject, struct arena *arena, struct client_names *names)
{
    names->units = arena_alloc(arena, UNITS_MAX * sizeof(*names->units));
    if (names->units == NULL)
        return false;
    for (int i = -1; names->unit_count < UNITS_MAX;) {
        struct slice unit;

        i = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, i);
        if (i < 0)
            break;
        unit = string_text(entry_at(subject, i), arena);
        if (unit.bytes > 0)
            names->units[names->unit_count++] = unit;
    }
    return true;
}

static void
find_common_name(const X509_NAME *subject, struct arena *arena, struct client_names *names)
{
    int last = -1, i;

    while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0)
        last = i;
    if (last >= 0)
        names->common_name = string_text(entry_at(subject, last), arena);
}

static void
find_alternatives(const X509 *certificate, struct arena *arena, struct client_names *names)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = all != NULL ? sk_GENERAL_NAME_num(all) : 0;

    for (int i = 0; i < count && i < NAMES_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        struct slice *found = name->type == GEN_EMAIL ? &names->email
                              : name->type == GEN_DNS ? &names->dns : NULL;

        if (found != NULL && found->data == NULL)
            *found = string_text(name->d.ia5, arena);
    }
    GENERAL_NAMES_free(all);
}

bool
tls_session_client_names(const struct tls_session *session, struct arena *arena,
                         struct client_names *names)
{
    const X509 *x509 = tls_session_facts(session)->has_client_certificate
                           ? SSL_get0_peer_certificate(tls_session_ssl(session))
                           : NULL;
    const X509_NAME *subject;

    *names = (struct client_names){ 0 };
    if (x509 == NULL)
        return false;
    subject = X509_get_subject_name(x509);
    find_common_name(subject, arena, names);
    find_alternatives(x509, arena, names);
    if (!find_units(subject, arena, names))
        return false;
    ERR_clear_error();
    return !arena_is_spent(arena);
}
