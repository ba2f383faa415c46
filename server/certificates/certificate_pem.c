/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_pem.c - what is in PEM files: certificates, and a private key.
 *
 * Other blocks in a file are passed over, so that certificates and key may share
 * one. What was read of a key is wiped.
 */
#include "config.h"

#include "server/certificates/certificate_pem.h"

#include "server/certificates/passphrase.h"
#include "server/opener.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20)

/* ---- files */

void
pem_text_fini(struct pem_text *text)
{
    if (text->data != NULL)
        OPENSSL_cleanse(text->data, text->bytes);
    free(text->data);
    text->data = NULL;
}

static int
read_all(int fd, struct pem_text *text, size_t size)
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

int
pem_text_read(const char *path, struct pem_text *text, struct err *err)
{
    int fd = opener_open(path, err), result;
    struct stat st;

    *text = (struct pem_text){ NULL, 0 };
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
        pem_text_fini(text);
    return result;
}

int
pem_text_keep(struct pem_text *to, const unsigned char *data, size_t bytes)
{
    *to = (struct pem_text){ malloc(bytes), bytes };
    if (to->data == NULL)
        return -1;
    memcpy(to->data, data, bytes);
    return 0;
}

static BIO *
text_bio(const struct pem_text *text)
{
    return BIO_new_mem_buf(text->data, (int)text->bytes);
}

/* ---- certificates */

void
pem_pile_fini(struct pem_pile *pile)
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

static bool
is_certificate(const char *label)
{
    return strcmp(label, PEM_STRING_X509) == 0 || strcmp(label, PEM_STRING_X509_OLD) == 0;
}

/* Takes one PEM block. 1, 0: there is no other, or -1 with err. */
static int
read_block(BIO *bio, struct pem_pile *pile, const char *path, struct err *err)
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

        if (pile->count < PEM_PILE_MAX)
            certificate = parse_certificate(der, pile->count == 0);
        if (certificate != NULL)
            pile->items[pile->count++] = certificate;
        else if (pile->count == PEM_PILE_MAX)
            result = err_set(err, "%s: has more than %d certificates", path, PEM_PILE_MAX);
        else
            result = err_set(err, "%s: certificate %u in it is damaged", path, pile->count + 1);
    }
    OPENSSL_clear_free(data, (size_t)bytes); /* it may have been a key */
    OPENSSL_free(label);
    OPENSSL_free(header);
    return result;
}

int
pem_pile_read(const struct pem_text *text, struct pem_pile *pile, const char *path, struct err *err)
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
        pem_pile_fini(pile);
    return result;
}

/* ---- keys */

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

/* The first PEM block that is such a key; der is what it holds. */
static EVP_PKEY *
read_plain_key(const struct pem_text *text, struct pem_text *der)
{
    BIO *bio = text_bio(text);
    char *label = NULL, *header = NULL;
    unsigned char *data = NULL;
    EVP_PKEY *key = NULL;
    long bytes;

    while (key == NULL && bio != NULL && PEM_read_bio(bio, &label, &header, &data, &bytes) == 1) {
        if (strcmp(label, PEM_STRING_PKCS8INF) == 0)
            key = parse_plain_key(slice_make((char *)data, (size_t)bytes));
        if (key != NULL && pem_text_keep(der, data, (size_t)bytes) < 0) {
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
encode_key(EVP_PKEY *key, struct pem_text *der)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *data = NULL;
    int bytes = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &data) : 0;
    int result = bytes > 0 ? pem_text_keep(der, data, (size_t)bytes) : -1;

    PKCS8_PRIV_KEY_INFO_free(info);
    if (bytes > 0)
        OPENSSL_clear_free(data, (size_t)bytes);
    return result;
}

EVP_PKEY *
pem_key_read(const struct pem_text *text, struct pem_text *der, const char *path,
             const char *command, struct err *err)
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
