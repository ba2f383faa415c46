/* SPDX-License-Identifier: BSD-2-Clause */
/* client_trust.c - the certificates of authorities and their lists of revoked ones,
 * from PEM to DER (once) to X509_STORE (by each thread that needs it).
 */
#include "config.h"

#include "server/tls/client_trust.h"

#include "server/base/hash.h"
#include "server/opener.h"
#include "server/registry.h"
#include "server/tls/reread.h"
#include "server/tls/tls_thread.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* More are not named to clients: they then show what they have. */
#define NAMES_MAX 64

/* One certificate or list of revoked ones. */
struct vouch {
    struct vouch *next;
    bool is_crl;
    size_t bytes;
    unsigned char der[];
};

struct client_trust {
    struct registered registered; /* identity: the files */
    struct reread reread;
    char *ca, *crl;               /* crl: NULL: none */
    _Atomic uint64_t version;
    pthread_mutex_t lock; /* of what follows */
    struct vouch *vouches;
    uint64_t digest; /* of vouches */
};

/* ---- from files */

static void
free_vouches(struct vouch *vouch)
{
    while (vouch != NULL) {
        struct vouch *next = vouch->next;

        free(vouch);
        vouch = next;
    }
}

/* A copy of what i2d made, which is freed. */
static struct vouch *
vouch_of(unsigned char *der, int bytes, bool is_crl)
{
    struct vouch *vouch = bytes > 0 ? malloc(sizeof(*vouch) + (size_t)bytes) : NULL;

    if (vouch != NULL) {
        *vouch = (struct vouch){ .is_crl = is_crl, .bytes = (size_t)bytes };
        memcpy(vouch->der, der, (size_t)bytes);
    }
    OPENSSL_free(der);
    return vouch;
}

static struct vouch *
read_one(const X509_INFO *info, bool wants_crl)
{
    unsigned char *der = NULL;

    if (wants_crl)
        return info->crl != NULL ? vouch_of(der, i2d_X509_CRL(info->crl, &der), true) : NULL;
    return info->x509 != NULL ? vouch_of(der, i2d_X509(info->x509, &der), false) : NULL;
}

/* Adds all certificates, or all lists, of a file. */
static int
read_file(const char *path, bool wants_crl, struct vouch **vouches, struct err *err)
{
    const char *what = wants_crl ? "list of revoked certificates" : "certificate";
    int fd = opener_open(path, err);
    BIO *bio = fd >= 0 ? BIO_new_fd(fd, BIO_CLOSE) : NULL;
    STACK_OF(X509_INFO) *all;
    unsigned found = 0;

    if (fd < 0)
        return -1;
    if (bio == NULL) {
        close(fd);
        return err_set(err, "%s: out of memory", path);
    }
    all = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
    BIO_free(bio);
    for (int i = 0; all != NULL && i < sk_X509_INFO_num(all); i++) {
        struct vouch *vouch = read_one(sk_X509_INFO_value(all, i), wants_crl);

        if (vouch == NULL)
            continue;
        vouch->next = *vouches;
        *vouches = vouch;
        found++;
    }
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    ERR_clear_error();
    if (all == NULL || found == 0)
        return err_set(err, "%s: holds no %s in PEM that can be read", path, what);
    return 0;
}

static uint64_t
digest_of(const struct vouch *vouch)
{
    struct hash_key key = { { 0, 0 } }; /* nodes that share tickets must agree */

    for (; vouch != NULL; vouch = vouch->next)
        key.half[0] = hash_bytes(slice_make((const char *)vouch->der, vouch->bytes), &key);
    return key.half[0];
}

int
client_trust_reload(struct client_trust *trust, struct err *err)
{
    struct vouch *fresh = NULL;
    uint64_t digest;
    int result = 0;

    if (read_file(trust->ca, false, &fresh, err) < 0 ||
        (trust->crl != NULL && read_file(trust->crl, true, &fresh, err) < 0)) {
        free_vouches(fresh);
        return -1;
    }
    digest = digest_of(fresh);
    pthread_mutex_lock(&trust->lock);
    if (trust->vouches == NULL || digest != trust->digest) {
        struct vouch *old = trust->vouches;

        trust->vouches = fresh;
        trust->digest = digest;
        atomic_fetch_add(&trust->version, 1);
        fresh = old;
        result = 1;
    }
    pthread_mutex_unlock(&trust->lock);
    free_vouches(fresh);
    return result;
}

/* ---- as objects of the registry */

static void
free_trust(struct registered *object)
{
    struct client_trust *trust = container_of(object, struct client_trust, registered);

    reread_drop(&trust->reread);
    pthread_mutex_destroy(&trust->lock);
    free_vouches(trust->vouches);
    free(trust->ca);
    free(trust->crl);
    free(trust);
}

static int
reload(struct reread *reread, struct err *err)
{
    return client_trust_reload(container_of(reread, struct client_trust, reread), err);
}

static struct registered *
make_trust(const void *arg, struct err *err)
{
    const struct client_certificate_conf *conf = arg;
    struct client_trust *trust = calloc(1, sizeof(*trust));

    if (trust != NULL) {
        pthread_mutex_init(&trust->lock, NULL);
        list_init(&trust->reread.link);
        trust->ca = strdup(conf->ca);
        trust->crl = conf->crl != NULL ? strdup(conf->crl) : NULL;
        if (trust->ca != NULL && (conf->crl == NULL) == (trust->crl == NULL)) {
            trust->reread.paths[0] = trust->ca;
            trust->reread.paths[1] = trust->crl;
            trust->reread.reload = reload;
            reread_add(&trust->reread);
            return &trust->registered;
        }
        free_trust(&trust->registered);
    }
    err_set(err, "out of memory for who may vouch for clients");
    return NULL;
}

static const struct registry_kind trust_kind = {
    .name = "client trust",
    .make = make_trust,
    .free = free_trust,
};

int
client_trust_adopt(struct client_certificate_conf *conf, struct err *err)
{
    struct registered *object;
    char *identity;

    if (asprintf(&identity, "%s\n%s", conf->ca, conf->crl != NULL ? conf->crl : "") < 0)
        return err_set(err, "out of memory");
    object = registry_adopt(&trust_kind, identity, conf, err);
    free(identity);
    if (object == NULL)
        return -1;
    conf->trust = container_of(object, struct client_trust, registered);
    if (client_trust_reload(conf->trust, err) >= 0)
        return 0;
    registered_unref(object);
    conf->trust = NULL;
    return -1;
}

void
client_trust_unref(struct client_trust *trust)
{
    if (trust != NULL)
        registered_unref(&trust->registered);
}

/* ---- what a thread makes of it */

struct thread_trust {
    struct list link; /* tls_thread.trusts */
    struct client_trust *trust; /* a reference */
    uint64_t version, digest;
    X509_STORE *store;
    STACK_OF(X509_NAME) *names;
};

static bool
add_certificate(struct thread_trust *own, OSSL_LIB_CTX *library, const struct vouch *vouch)
{
    const unsigned char *at = vouch->der;
    X509 *x509 = X509_new_ex(library, NULL);
    X509_NAME *name = NULL;
    bool is_good = x509 != NULL && d2i_X509(&x509, &at, (long)vouch->bytes) != NULL &&
                   X509_STORE_add_cert(own->store, x509) == 1;

    if (is_good && sk_X509_NAME_num(own->names) < NAMES_MAX &&
        (name = X509_NAME_dup(X509_get_subject_name(x509))) != NULL)
        is_good = sk_X509_NAME_push(own->names, name) > 0;
    X509_free(x509);
    return is_good;
}

static bool
add_crl(struct thread_trust *own, OSSL_LIB_CTX *library, const struct vouch *vouch)
{
    const unsigned char *at = vouch->der;
    X509_CRL *crl = X509_CRL_new_ex(library, NULL);
    bool is_good = crl != NULL && d2i_X509_CRL(&crl, &at, (long)vouch->bytes) != NULL &&
                   X509_STORE_add_crl(own->store, crl) == 1;

    X509_CRL_free(crl);
    return is_good;
}

static void
forget(struct thread_trust *own)
{
    X509_STORE_free(own->store);
    sk_X509_NAME_pop_free(own->names, X509_NAME_free);
    own->store = NULL;
    own->names = NULL;
}

/* Whoever is in the file is trusted, be it a root or not. */
static bool
build(struct thread_trust *own, OSSL_LIB_CTX *library)
{
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    bool is_good = true;

    forget(own);
    own->store = X509_STORE_new();
    own->names = sk_X509_NAME_new_null();
    if (own->store == NULL || own->names == NULL)
        return false;
    if (own->trust->crl != NULL)
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    X509_STORE_set_flags(own->store, flags);
    pthread_mutex_lock(&own->trust->lock);
    for (struct vouch *vouch = own->trust->vouches; vouch != NULL && is_good; vouch = vouch->next)
        is_good = vouch->is_crl ? add_crl(own, library, vouch)
                                : add_certificate(own, library, vouch);
    own->version = atomic_load(&own->trust->version);
    own->digest = own->trust->digest;
    pthread_mutex_unlock(&own->trust->lock);
    return is_good;
}

static void
free_own(struct thread_trust *own)
{
    list_remove(&own->link);
    forget(own);
    client_trust_unref(own->trust);
    free(own);
}

static struct thread_trust *
own_of(struct tls_thread *thread, struct client_trust *trust)
{
    struct thread_trust *own;

    list_each(link, &thread->trusts) {
        own = container_of(link, struct thread_trust, link);
        if (own->trust == trust)
            return own;
    }
    own = calloc(1, sizeof(*own));
    if (own == NULL)
        return NULL;
    registered_ref(&trust->registered);
    own->trust = trust;
    list_push_front(&thread->trusts, &own->link);
    return own;
}

void
client_trust_fini(struct tls_thread *thread)
{
    list_each(link, &thread->trusts)
        free_own(container_of(link, struct thread_trust, link));
}

/* Those that no configuration names any more: the thread's reference is the last. */
void
client_trust_sweep(struct tls_thread *thread)
{
    list_each(link, &thread->trusts) {
        struct thread_trust *own = container_of(link, struct thread_trust, link);

        if (atomic_load(&own->trust->registered.references) == 1)
            free_own(own);
    }
}

bool
client_trust_demand(struct tls_thread *thread, SSL *ssl,
                    const struct client_certificate_conf *conf, uint64_t *binding)
{
    int mode = SSL_VERIFY_PEER;
    struct thread_trust *own = own_of(thread, conf->trust);

    if (own == NULL)
        return false;
    if (own->store == NULL ||
        own->version != atomic_load_explicit(&conf->trust->version, memory_order_acquire)) {
        if (!build(own, thread->library)) {
            forget(own);
            return false;
        }
    }
    if (conf->mode == CLIENT_CERTIFICATE_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_set_verify(ssl, mode, NULL);
    SSL_set_verify_depth(ssl, (int)conf->depth - 1); /* OpenSSL counts those in between */
    SSL_set_client_CA_list(ssl, SSL_dup_CA_list(own->names));
    *binding = (own->digest * 31 + (uint64_t)conf->depth) * 4 + (uint64_t)conf->mode;
    return SSL_set1_verify_cert_store(ssl, own->store) == 1;
}
