/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_load.c - checks what is in PEM files, keeps it as DER.
 *
 *   file --> PEM blocks --> leaf + those that vouch for it, in order
 *   file --> private key --> of the leaf? strong enough? --> PKCS #8
 *
 * What would be no good to clients is refused here, where it can be said: a
 * worker thread only takes it over. That a certificate has expired is no reason:
 * many clients rather have it than none.
 */
#include "config.h"

#include "server/certificates/certificate_load.h"

#include "server/base/must.h"
#include "server/certificates/certificate_pem.h"
#include "server/certificates/local_ca.h"
#include "server/certificates/shared_der.h"
#include "server/opener.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RSA_BITS_MIN 2048
#define SIGNATURE_BITS_MIN 80 /* SHA-1 and MD5 have less */
#define NAME_BYTES 256

/* ---- what is good enough */

static const char *
subject_text(const X509 *certificate, char text[NAME_BYTES])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int bytes = 0;

    if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                                          XN_FLAG_RFC2253) >= 0)
        bytes = BIO_read(bio, text, NAME_BYTES - 1);
    text[bytes > 0 ? bytes : 0] = '\0';
    BIO_free(bio);
    return text[0] != '\0' ? text : "without a name";
}

static const struct curve {
    const char *name;
} good_curves[] = { { "prime256v1" }, { "secp384r1" }, { "secp521r1" } };

static bool
is_good_curve(EVP_PKEY *key, char name[64])
{
    size_t bytes;

    if (EVP_PKEY_get_group_name(key, name, 64, &bytes) != 1)
        strcpy(name, "of its own");
    for (size_t i = 0; i < ARRAY_COUNT(good_curves); i++)
        if (strcmp(name, good_curves[i].name) == 0)
            return true;
    return false;
}

static int
judge_key(EVP_PKEY *key, enum key_kind *kind, struct err *err)
{
    char curve[64];

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        *kind = KEY_RSA;
        if (EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
            return err_set(err, "its RSA key has %d bits: %d or more would be accepted",
                           EVP_PKEY_get_bits(key), RSA_BITS_MIN);
        return 0;
    case EVP_PKEY_EC:
        *kind = KEY_ECDSA;
        if (!is_good_curve(key, curve))
            return err_set(err, "its key is on the curve %s: P-256, P-384 and P-521 would be "
                                "accepted", curve);
        return 0;
    case EVP_PKEY_ED25519:
        *kind = KEY_ED25519;
        return 0;
    default:
        return err_set(err, "its key is of a kind that TLS does not use: RSA, ECDSA and Ed25519 "
                            "would be accepted");
    }
}

/* ---- a chain: each certificate was issued by the next */

static bool
is_self_issued(X509 *certificate)
{
    return X509_NAME_cmp(X509_get_subject_name(certificate),
                         X509_get_issuer_name(certificate)) == 0;
}

static bool
has_issued(X509 *issuer, X509 *certificate)
{
    return X509_check_issued(issuer, certificate) == X509_V_OK;
}

/* Another certificate of an authority in the chain, signed by somebody else, is
 * often shipped with it. */
static bool
is_alternative(X509 *certificate, const struct pem_pile *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (X509_NAME_cmp(X509_get_subject_name(certificate),
                          X509_get_subject_name(chain->items[i])) == 0)
            return true;
    return is_self_issued(certificate);
}

static X509 *
take_issuer(struct pem_pile *pile, X509 *certificate)
{
    for (unsigned i = 0; i < pile->count; i++) {
        X509 *issuer = pile->items[i];

        if (!has_issued(issuer, certificate))
            continue;
        memmove(pile->items + i, pile->items + i + 1,
                (pile->count - i - 1) * sizeof(pile->items[0]));
        pile->count--;
        return issuer;
    }
    return NULL;
}

/* Puts those behind the first in the order of who vouches for whom. One that has no
 * place there is a mistake: clients would miss the right one. */
static int
put_in_order(struct pem_pile *pile, const char *path, struct err *err)
{
    struct pem_pile chain = { .items = { pile->items[0] }, .count = 1 };
    char stray[NAME_BYTES], last[NAME_BYTES];
    int result = 0;

    memmove(pile->items, pile->items + 1, --pile->count * sizeof(pile->items[0]));
    while (!is_self_issued(chain.items[chain.count - 1])) {
        X509 *issuer = take_issuer(pile, chain.items[chain.count - 1]);

        if (issuer == NULL)
            break;
        chain.items[chain.count++] = issuer;
    }
    for (unsigned i = 0; i < pile->count && result == 0; i++)
        if (!is_alternative(pile->items[i], &chain))
            result = err_set(err, "%s: the certificate \"%s\" in it did not issue \"%s\"", path,
                             subject_text(pile->items[i], stray),
                             subject_text(chain.items[chain.count - 1], last));
    pem_pile_fini(pile);
    *pile = chain;
    return result;
}

/* ---- one certificate with its key */

struct parsed {
    struct certificate facts; /* its slices are not filled */
    struct pem_pile chain;        /* the leaf first */
    struct pem_text leaf, key;    /* DER */
};

static void
parsed_fini(struct parsed *parsed)
{
    pem_pile_fini(&parsed->chain);
    pem_text_fini(&parsed->leaf);
    pem_text_fini(&parsed->key);
}

static int64_t
asn1_time_s(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* RFC 7633: the extension lists TLS extensions; 5 is status_request. */
static bool
must_staple(X509 *certificate)
{
    TLS_FEATURE *features = X509_get_ext_d2i(certificate, NID_tlsfeature, NULL, NULL);
    bool is_listed = false;

    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
        is_listed |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == 5;
    TLS_FEATURE_free(features);
    return is_listed;
}

static int
keep_leaf(struct parsed *parsed, X509 *leaf)
{
    unsigned char *der = NULL;
    int bytes = i2d_X509(leaf, &der), result;

    if (bytes <= 0)
        return -1;
    result = pem_text_keep(&parsed->leaf, der, (size_t)bytes);
    OPENSSL_free(der);
    if (result < 0)
        return -1;
    SHA256((unsigned char *)parsed->leaf.data, parsed->leaf.bytes, parsed->facts.fingerprint);
    parsed->facts.not_before_s = asn1_time_s(X509_get0_notBefore(leaf));
    parsed->facts.not_after_s = asn1_time_s(X509_get0_notAfter(leaf));
    parsed->facts.must_staple = must_staple(leaf);
    return 0;
}

/* SHA-1 can be forged; what signs itself proves nothing by its signature. */
static int
judge_signature(X509 *leaf, const char *path, struct err *err)
{
    int bits = 0;

    if (is_self_issued(leaf) || X509_get_signature_info(leaf, NULL, NULL, &bits, NULL) != 1 ||
        bits >= SIGNATURE_BITS_MIN)
        return 0;
    return err_set(err, "%s: its certificate is signed with a digest that can be forged", path);
}

static int
judge(struct parsed *parsed, EVP_PKEY *key, const char *chain_path, const char *key_path,
      struct err *err)
{
    X509 *leaf = parsed->chain.items[0];
    char name[NAME_BYTES];
    int matches = X509_check_private_key(leaf, key);

    ERR_clear_error();
    if (matches != 1 && parsed->chain.count > 1 &&
        X509_check_private_key(parsed->chain.items[parsed->chain.count - 1], key) == 1)
        return err_set(err, "%s: begins with \"%s\", but its key is that of the last certificate: "
                            "put that one first", chain_path, subject_text(leaf, name));
    ERR_clear_error();
    if (matches != 1)
        return err_set(err, "%s: the key is not that of \"%s\" in %s", key_path,
                       subject_text(leaf, name), chain_path);
    if (judge_key(key, &parsed->facts.kind, err) < 0)
        return err_prefix(err, "%s: ", key_path);
    if (judge_signature(leaf, chain_path, err) < 0 ||
        put_in_order(&parsed->chain, chain_path, err) < 0)
        return -1;
    if (keep_leaf(parsed, parsed->chain.items[0]) < 0)
        return err_set(err, "out of memory");
    return 0;
}

static int
parse_texts(struct parsed *parsed, const struct certificate_conf *conf,
            const struct pem_text *chain, const struct pem_text *key, struct err *err)
{
    const char *key_path = conf->key != NULL ? conf->key : conf->chain;
    EVP_PKEY *pkey;
    int result;

    if (pem_pile_read(chain, &parsed->chain, conf->chain, err) < 0)
        return -1;
    pkey = pem_key_read(key, &parsed->key, key_path, conf->key_command, err);
    if (pkey == NULL)
        return -1;
    result = judge(parsed, pkey, conf->chain, key_path, err);
    EVP_PKEY_free(pkey);
    return result;
}

static int
parse(struct parsed *parsed, const struct certificate_conf *conf, struct err *err)
{
    struct pem_text chain, key = { NULL, 0 };
    int result;

    if (pem_text_read(conf->chain, &chain, err) < 0)
        return -1;
    result = conf->key != NULL ? pem_text_read(conf->key, &key, err) : 0;
    if (result == 0)
        result = parse_texts(parsed, conf, &chain, conf->key != NULL ? &key : &chain, err);
    pem_text_fini(&chain);
    pem_text_fini(&key);
    return result;
}

/* ---- the bundle: one block of memory, but for what is shared */

static void
clear(struct bundle *bundle)
{
    for (unsigned i = 0; i < bundle->count; i++) {
        struct certificate *certificate = &bundle->certificates[i];

        OPENSSL_cleanse((char *)certificate->key.data, certificate->key.bytes);
        for (size_t j = 0; j < certificate->chain_count; j++)
            shared_der_give(certificate->chain[j]);
        shared_der_give(certificate->issuer);
    }
    free(bundle);
}

static size_t
block_bytes(const struct parsed *parsed, unsigned count)
{
    size_t bytes = sizeof(struct bundle) + count * sizeof(struct certificate);

    for (unsigned i = 0; i < count; i++)
        bytes += parsed[i].chain.count * sizeof(struct slice) + parsed[i].leaf.bytes +
                 parsed[i].key.bytes;
    return bytes;
}

static struct slice
share(X509 *certificate)
{
    struct slice shared = { NULL, 0 };
    unsigned char *der = NULL;
    int bytes = i2d_X509(certificate, &der);

    if (bytes > 0)
        shared = shared_der_take(slice_make((char *)der, (size_t)bytes));
    OPENSSL_free(der);
    return shared;
}

/* Clients have the root, or do not trust it; but it may be who is asked about the
 * leaf by OCSP. */
static int
pack_chain(struct certificate *certificate, const struct pem_pile *chain)
{
    unsigned last = chain->count;

    if (last > 1 && is_self_issued(chain->items[last - 1]))
        last--;
    if (chain->count > 1) {
        certificate->issuer = share(chain->items[1]);
        if (certificate->issuer.data == NULL)
            return -1;
    }
    for (unsigned i = 1; i < last; i++) {
        struct slice shared = share(chain->items[i]);

        if (shared.data == NULL)
            return -1;
        certificate->chain[certificate->chain_count++] = shared;
    }
    return 0;
}

static char *
pack_text(struct slice *to, const struct pem_text *text, char *at)
{
    memcpy(at, text->data, text->bytes);
    *to = slice_make(at, text->bytes);
    return at + text->bytes;
}

static struct bundle *
pack(const struct parsed *parsed, unsigned count)
{
    static _Atomic uint64_t last_id;
    struct bundle *bundle = calloc(1, block_bytes(parsed, count));
    struct slice *slices;
    char *at;

    if (bundle == NULL)
        return NULL;
    atomic_init(&bundle->references, 1);
    bundle->id = atomic_fetch_add(&last_id, 1) + 1;
    bundle->bytes = block_bytes(parsed, count);
    slices = (struct slice *)(void *)&bundle->certificates[count];
    for (unsigned i = 0; i < count; i++) {
        bundle->certificates[i] = parsed[i].facts;
        bundle->certificates[i].chain = slices;
        slices += parsed[i].chain.count;
    }
    at = (char *)slices;
    for (unsigned i = 0; i < count; i++) {
        at = pack_text(&bundle->certificates[i].leaf, &parsed[i].leaf, at);
        at = pack_text(&bundle->certificates[i].key, &parsed[i].key, at);
        bundle->count++;
        if (pack_chain(&bundle->certificates[i], &parsed[i].chain) < 0) {
            clear(bundle);
            return NULL;
        }
    }
    return bundle;
}

/* ---- public */

/* Clients are shown one of each kind. */
static int
check_kinds(const struct parsed *parsed, const struct certificate_conf *certificates,
            unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (parsed[i].facts.kind == parsed[j].facts.kind)
                return err_set(err, "%s and %s have keys of the same kind: one of each kind would "
                                    "be accepted", certificates[j].chain, certificates[i].chain);
    return 0;
}

struct bundle *
bundle_read(const struct certificate_conf *certificates, unsigned count, struct err *err)
{
    struct parsed parsed[BUNDLE_CERTIFICATES_MAX] = { 0 };
    struct bundle *bundle = NULL;
    int result = 0;

    must(count > 0 && count <= BUNDLE_CERTIFICATES_MAX);
    for (unsigned i = 0; i < count && result == 0; i++)
        result = parse(&parsed[i], &certificates[i], err);
    if (result == 0 && check_kinds(parsed, certificates, count, err) == 0) {
        bundle = pack(parsed, count);
        if (bundle == NULL)
            err_set(err, "out of memory");
    }
    for (unsigned i = 0; i < count; i++)
        parsed_fini(&parsed[i]);
    return bundle;
}

struct bundle *
bundle_load(const struct config_list *certificates, struct err *err)
{
    struct certificate_conf files[BUNDLE_CERTIFICATES_MAX];
    unsigned count = (unsigned)certificates->count;

    must(count > 0 && count <= BUNDLE_CERTIFICATES_MAX);
    for (unsigned i = 0; i < count; i++) {
        files[i] = *(const struct certificate_conf *)certificates->items[i];
        files[i].chain = local_ca_path(files[i].chain);
    }
    return bundle_read(files, count, err);
}

int
certificate_read_end(const char *path, int64_t *not_after_s, struct err *err)
{
    struct pem_pile pile;
    struct pem_text text;
    int result;

    if (pem_text_read(path, &text, err) < 0)
        return -1;
    result = pem_pile_read(&text, &pile, path, err);
    if (result == 0) {
        *not_after_s = asn1_time_s(X509_get0_notAfter(pile.items[0]));
        pem_pile_fini(&pile);
    }
    pem_text_fini(&text);
    return result;
}

struct bundle *
bundle_ref(struct bundle *bundle)
{
    atomic_fetch_add_explicit(&bundle->references, 1, memory_order_relaxed);
    return bundle;
}

void
bundle_unref(struct bundle *bundle)
{
    if (bundle != NULL &&
        atomic_fetch_sub_explicit(&bundle->references, 1, memory_order_acq_rel) == 1)
        clear(bundle);
}

static bool
is_same(const struct certificate *a, const struct certificate *b)
{
    if (!slice_equal(a->leaf, b->leaf) || !slice_equal(a->key, b->key) ||
        !slice_equal(a->issuer, b->issuer) || a->chain_count != b->chain_count)
        return false;
    for (size_t i = 0; i < a->chain_count; i++)
        if (a->chain[i].data != b->chain[i].data) /* there is one copy of each */
            return false;
    return true;
}

bool
bundle_equal(const struct bundle *a, const struct bundle *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (!is_same(&a->certificates[i], &b->certificates[i]))
            return false;
    return true;
}
