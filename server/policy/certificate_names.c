/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_names.c - common names and alternative names (RFC 5280 section 4.2.1.6). */
#include "config.h"

#include "server/policy/certificate_names.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "server/net/address.h"
#include "server/tls/tls_openssl.h"

#define NAMES_MAX 64 /* of each kind */

static void
add(struct certificate_names *names, struct arena *arena, struct slice name)
{
    struct slice copy = arena_copy(arena, name);

    if (copy.bytes > 0)
        names->names[names->count++] = copy;
}

static void
add_common_names(struct certificate_names *names, struct arena *arena, const X509_NAME *subject)
{
    int at = -1;

    for (int i = 0; i < NAMES_MAX; i++) {
        unsigned char *text = NULL;
        int bytes;

        at = X509_NAME_get_index_by_NID(subject, NID_commonName, at);
        if (at < 0)
            return;
        bytes = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(
                                               X509_NAME_get_entry(subject, at)));
        if (bytes > 0)
            add(names, arena, slice_make((char *)text, (size_t)bytes));
        OPENSSL_free(text);
    }
}

static void
add_address(struct certificate_names *names, struct arena *arena, const ASN1_STRING *octets)
{
    int bytes = ASN1_STRING_length(octets);
    struct ip ip = { .family = bytes == 4 ? 4 : 6 };
    char text[IP_TEXT_BYTES];

    if (bytes != 4 && bytes != 16)
        return;
    memcpy(ip.bytes, ASN1_STRING_get0_data(octets), (size_t)bytes);
    add(names, arena, slice_make(text, ip_text(&ip, text)));
}

static void
add_alternative(struct certificate_names *names, struct arena *arena, const GENERAL_NAME *name)
{
    const ASN1_STRING *text;
    int type;
    const void *value = GENERAL_NAME_get0_value(name, &type);

    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI) {
        text = value;
        add(names, arena, slice_make((const char *)ASN1_STRING_get0_data(text),
                                     (size_t)ASN1_STRING_length(text)));
    } else if (type == GEN_IPADD) {
        add_address(names, arena, value);
    }
}

static void
add_alternatives(struct certificate_names *names, struct arena *arena, const X509 *certificate)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = all != NULL ? sk_GENERAL_NAME_num(all) : 0;

    for (int i = 0; i < count && i < NAMES_MAX; i++)
        add_alternative(names, arena, sk_GENERAL_NAME_value(all, i));
    GENERAL_NAMES_free(all);
}

/* RFC 4514, whose predecessor RFC 2253 it is to OpenSSL; UTF-8 as it is. */
static struct slice
name_text(const X509_NAME *name, struct arena *arena)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct slice text = { NULL, 0 };
    char *data;
    long bytes;

    if (bio == NULL)
        return text;
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    bytes = BIO_get_mem_data(bio, &data);
    text = arena_copy(arena, slice_make(data, bytes > 0 ? (size_t)bytes : 0));
    BIO_free(bio);
    return text;
}

const struct certificate_names *
certificate_names_read(const X509 *certificate, struct arena *arena)
{
    struct certificate_names *names = arena_zalloc(arena, sizeof(*names));

    if (names == NULL)
        return NULL;
    names->names = arena_alloc(arena, (size_t)2 * NAMES_MAX * sizeof(*names->names));
    if (names->names == NULL)
        return NULL;
    add_common_names(names, arena, X509_get_subject_name(certificate));
    add_alternatives(names, arena, certificate);
    names->issuer = name_text(X509_get_issuer_name(certificate), arena);
    ERR_clear_error();
    return arena_is_spent(arena) ? NULL : names;
}

const struct certificate_names *
certificate_names_of(const struct tls_session *session, struct arena *arena)
{
    const X509 *certificate = NULL;

    if (session != NULL && tls_session_facts(session)->has_client_certificate)
        certificate = SSL_get0_peer_certificate(tls_session_ssl(session));
    return certificate != NULL ? certificate_names_read(certificate, arena) : NULL;
}
