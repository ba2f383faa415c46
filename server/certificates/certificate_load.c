/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_load.c - reads PEM files, checks what is in them, keeps it as DER.
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
#include "server/certificates/local_ca.h"
#include "server/certificates/passphrase.h"
#include "server/certificates/shared_der.h"
#include "server/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20)
#define CHAIN_MAX 16 /* certificates in a file */
#define RSA_BITS_MIN 2048
#define SIGNATURE_BITS_MIN 80 /* SHA-1 and MD5 have less */
#define NAME_BYTES 256

/* ---- files */

void
file_state_take(struct file_state *stamp, const char *path)
{
    struct stat st;
    int result = stat(path, &st);

    memset(stamp, 0, sizeof(*stamp));
    if (result < 0 && errno == EACCES) {
        int fd = opener_open(path, NULL);

        if (fd >= 0) {
            result = fstat(fd, &st);
            close(fd);
        }
    }
    if (result < 0)
        return;
    stamp->device = st.st_dev;
    stamp->inode = st.st_ino;
    stamp->bytes = (uint64_t)st.st_size;
    stamp->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    stamp->changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
}

/* The bytes of a file, which may be secret. */
struct text {
    char *data;
    size_t bytes;
};

static void
text_fini(struct text *text)
{
    if (text->data != NULL)
        OPENSSL_cleanse(text->data, text->bytes);
    free(text->data);
    text->data = NULL;
}

static int
read_all(int fd, struct text *text, size_t size)
{
    text->bytes = 0;
    text->data = malloc(size > 0 ? size : 1);
    while (text->data != NULL && text->bytes < size) {
        ssize_t got = read(fd, text->data + text->bytes, size - text->bytes);

        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            text->bytes += (size_t)got;
    }
    return text->data != NULL ? 0 : -1;
}

static int
read_file(const char *path, struct text *text, struct err *err)
{
    int fd = opener_open(path, err), result;
    struct stat st;

    *text = (struct text){ NULL, 0 };
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        result = err_errno(err, "%s", path);
    else if (st.st_size > (off_t)FILE_BYTES_MAX)
        result = err_set(err, "%s: has %lld bytes: too large for certificates and keys", path,
                         (long long)st.st_size);
    else if (read_all(fd, text, (size_t)st.st_size) < 0)
        result = err_errno(err, "%s", path);
    else
        result = 0;
    close(fd);
    if (result < 0)
        text_fini(text);
    return result;
}

static BIO *
text_bio(const struct text *text)
{
    return BIO_new_mem_buf(text->data, (int)text->bytes);
}

/* ---- what is in a file of certificates */

struct pile {
    X509 *items[CHAIN_MAX];
    unsigned count;
};

static void
pile_fini(struct pile *pile)
{
    for (unsigned i = 0; i < pile->count; i++)
        X509_free(pile->items[i]);
    pile->count = 0;
}

/* Most certificates of one machine have the same few authorities behind them, and
 * OpenSSL takes 0.1 ms to parse one: the last of them are kept. */
#define RECENT_MAX 8

static struct {
    pthread_mutex_t lock; /* guards the rest */
    struct recent {
        X509 *certificate;
        struct slice der;
    } items[RECENT_MAX];
    unsigned next;
} recent = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Under the lock. */
static X509 *
find_recent(struct slice der)
{
    for (unsigned i = 0; i < RECENT_MAX; i++)
        if (recent.items[i].certificate != NULL && slice_equal(recent.items[i].der, der) &&
            X509_up_ref(recent.items[i].certificate))
            return recent.items[i].certificate;
    return NULL;
}

/* Under the lock. */
static void
keep_recent(struct slice der, X509 *certificate)
{
    struct recent *place = &recent.items[recent.next++ % RECENT_MAX];
    char *copy = malloc(der.bytes);

    if (copy == NULL || !X509_up_ref(certificate)) {
        free(copy);
        return;
    }
    X509_free(place->certificate);
    free((char *)place->der.data);
    memcpy(copy, der.data, der.bytes);
    *place = (struct recent){ certificate, slice_make(copy, der.bytes) };
}

static X509 *
parse_certificate(struct slice der, bool is_leaf)
{
    const unsigned char *at = (const unsigned char *)der.data;
    X509 *certificate;

    if (is_leaf)
        return d2i_X509(NULL, &at, (long)der.bytes);
    pthread_mutex_lock(&recent.lock);
    certificate = find_recent(der);
    if (certificate == NULL) {
        certificate = d2i_X509(NULL, &at, (long)der.bytes);
        if (certificate != NULL)
            keep_recent(der, certificate);
    }
    pthread_mutex_unlock(&recent.lock);
    return certificate;
}

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

static bool
is_certificate(const char *label)
{
    return strcmp(label, PEM_STRING_X509) == 0 || strcmp(label, PEM_STRING_X509_OLD) == 0;
}

/* Takes one PEM block. 1, 0: there is no other, or -1 with err. */
static int
read_block(BIO *bio, struct pile *pile, const char *path, struct err *err)
{
    char *label = NULL, *header = NULL;
    unsigned char *data = NULL;
    long bytes = 0;
    int result = 1;

    if (PEM_read_bio(bio, &label, &header, &data, &bytes) != 1) {
        bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

        ERR_clear_error();
        return is_end ? 0 : err_set(err, "%s: is cut off or damaged", path);
    }
    if (is_certificate(label)) {
        struct slice der = slice_make((char *)data, (size_t)bytes);
        X509 *certificate = NULL;

        if (pile->count < CHAIN_MAX)
            certificate = parse_certificate(der, pile->count == 0);
        if (certificate != NULL)
            pile->items[pile->count++] = certificate;
        else if (pile->count == CHAIN_MAX)
            result = err_set(err, "%s: has more than %d certificates", path, CHAIN_MAX);
        else
            result = err_set(err, "%s: certificate %u in it is damaged", path, pile->count + 1);
    }
    OPENSSL_clear_free(data, (size_t)bytes); /* it may have been a key */
    OPENSSL_free(label);
    OPENSSL_free(header);
    return result;
}

static int
read_pile(const struct text *text, struct pile *pile, const char *path, struct err *err)
{
    BIO *bio = text_bio(text);
    int result = bio != NULL ? 1 : err_set(err, "out of memory");

    pile->count = 0;
    while (result > 0)
        result = read_block(bio, pile, path, err);
    BIO_free(bio);
    if (result == 0 && pile->count == 0)
        result = err_set(err, "%s: has no certificate (PEM) in it", path);
    if (result < 0)
        pile_fini(pile);
    return result;
}

/* ---- keys */

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

/* Who is asked when a key turns out to be encrypted. */
struct asker {
    const char *command; /* NULL: nobody */
    bool was_asked;
    struct err err; /* why there was no answer */
};

static int
on_passphrase(char *to, int room, int is_writing, void *arg)
{
    struct asker *asker = arg;
    char text[PASSPHRASE_MAX];
    int bytes;

    (void)is_writing;
    asker->was_asked = true;
    if (asker->command == NULL)
        return err_set(&asker->err, "its key is encrypted: key_command has to say its passphrase");
    bytes = passphrase_ask(asker->command, text, &asker->err);
    if (bytes > room)
        bytes = err_set(&asker->err, "the passphrase is longer than %d bytes", room);
    if (bytes >= 0)
        memcpy(to, text, (size_t)bytes);
    OPENSSL_cleanse(text, sizeof(text));
    return bytes;
}

/* A key in PKCS #8 that is not encrypted, as most are: it says of which kind it is,
 * where OpenSSL would try all. NULL: it is something else. */
static EVP_PKEY *
parse_plain_key(struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.bytes);
    const ASN1_OBJECT *algorithm = NULL;
    EVP_PKEY *key = NULL;

    at = (const unsigned char *)der.data;
    if (info != NULL && PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) == 1)
        key = d2i_PrivateKey(EVP_PKEY_type(OBJ_obj2nid(algorithm)), NULL, &at, (long)der.bytes);
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static int
keep(struct text *to, const unsigned char *data, size_t bytes)
{
    *to = (struct text){ malloc(bytes), bytes };
    if (to->data == NULL)
        return -1;
    memcpy(to->data, data, bytes);
    return 0;
}

/* The first PEM block that is such a key; der is what it holds. */
static EVP_PKEY *
read_plain_key(const struct text *text, struct text *der)
{
    BIO *bio = text_bio(text);
    char *label = NULL, *header = NULL;
    unsigned char *data = NULL;
    EVP_PKEY *key = NULL;
    long bytes;

    while (key == NULL && bio != NULL && PEM_read_bio(bio, &label, &header, &data, &bytes) == 1) {
        if (strcmp(label, PEM_STRING_PKCS8INF) == 0)
            key = parse_plain_key(slice_make((char *)data, (size_t)bytes));
        if (key != NULL && keep(der, data, (size_t)bytes) < 0) {
            EVP_PKEY_free(key);
            key = NULL;
        }
        OPENSSL_clear_free(data, (size_t)bytes);
        OPENSSL_free(label);
        OPENSSL_free(header);
    }
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static int
encode_key(EVP_PKEY *key, struct text *der)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *data = NULL;
    int bytes = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &data) : 0;
    int result = bytes > 0 ? keep(der, data, (size_t)bytes) : -1;

    PKCS8_PRIV_KEY_INFO_free(info);
    if (bytes > 0)
        OPENSSL_clear_free(data, (size_t)bytes);
    return result;
}

/* der becomes its PKCS #8. */
static EVP_PKEY *
read_key(const struct text *text, struct text *der, const char *path, const char *command,
         struct err *err)
{
    struct asker asker = { .command = command };
    EVP_PKEY *key = read_plain_key(text, der);
    BIO *bio = key == NULL ? text_bio(text) : NULL;

    if (bio != NULL)
        key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &asker);
    BIO_free(bio);
    ERR_clear_error();
    if (key != NULL && (der->data != NULL || encode_key(key, der) == 0))
        return key;
    if (key != NULL)
        err_set(err, "out of memory");
    else if (asker.err.text[0] != '\0')
        err_set(err, "%s: %s", path, asker.err.text);
    else if (asker.was_asked)
        err_set(err, "%s: the passphrase from key_command does not fit", path);
    else
        err_set(err, "%s: has no private key (PEM) in it, or it is damaged", path);
    EVP_PKEY_free(key);
    return NULL;
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
is_alternative(X509 *certificate, const struct pile *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (X509_NAME_cmp(X509_get_subject_name(certificate),
                          X509_get_subject_name(chain->items[i])) == 0)
            return true;
    return is_self_issued(certificate);
}

static X509 *
take_issuer(struct pile *pile, X509 *certificate)
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
put_in_order(struct pile *pile, const char *path, struct err *err)
{
    struct pile chain = { .items = { pile->items[0] }, .count = 1 };
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
    pile_fini(pile);
    *pile = chain;
    return result;
}

/* ---- one certificate with its key */

struct parsed {
    struct certificate facts; /* its slices are not filled */
    struct pile chain;        /* the leaf first */
    struct text leaf, key;    /* DER */
};

static void
parsed_fini(struct parsed *parsed)
{
    pile_fini(&parsed->chain);
    text_fini(&parsed->leaf);
    text_fini(&parsed->key);
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
    result = keep(&parsed->leaf, der, (size_t)bytes);
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
parse_texts(struct parsed *parsed, const struct certificate_conf *conf, const struct text *chain,
            const struct text *key, struct err *err)
{
    const char *key_path = conf->key != NULL ? conf->key : conf->chain;
    EVP_PKEY *pkey;
    int result;

    if (read_pile(chain, &parsed->chain, conf->chain, err) < 0)
        return -1;
    pkey = read_key(key, &parsed->key, key_path, conf->key_command, err);
    if (pkey == NULL)
        return -1;
    result = judge(parsed, pkey, conf->chain, key_path, err);
    EVP_PKEY_free(pkey);
    return result;
}

static int
parse(struct parsed *parsed, const struct certificate_conf *conf, struct err *err)
{
    struct text chain, key = { NULL, 0 };
    int result;

    if (read_file(conf->chain, &chain, err) < 0)
        return -1;
    result = conf->key != NULL ? read_file(conf->key, &key, err) : 0;
    if (result == 0)
        result = parse_texts(parsed, conf, &chain, conf->key != NULL ? &key : &chain, err);
    text_fini(&chain);
    text_fini(&key);
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
pack_chain(struct certificate *certificate, const struct pile *chain)
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
pack_text(struct slice *to, const struct text *text, char *at)
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
    struct pile pile;
    struct text text;
    int result;

    if (read_file(path, &text, err) < 0)
        return -1;
    result = read_pile(&text, &pile, path, err);
    if (result == 0) {
        *not_after_s = asn1_time_s(X509_get0_notAfter(pile.items[0]));
        pile_fini(&pile);
    }
    text_fini(&text);
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
