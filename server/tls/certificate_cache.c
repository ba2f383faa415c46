/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_cache.c - a hash table by the bundles' numbers, and a list in the
 * order of their use.
 *
 * Chain certificates are found by what is in them and counted by OpenSSL: who
 * holds the last reference besides the table's own lets go of it.
 */
#include "config.h"

#include "server/tls/certificate_cache.h"

#include "server/base/hash.h"

#include <openssl/err.h>
#include <stdlib.h>

#define BUCKETS 1024u

/* A certificate that is in chains. */
struct link_certificate {
    struct link_certificate *next;
    uint64_t hash;
    X509 *x509;
    unsigned chains;
    size_t bytes;
    char der[];
};

struct certificate_cache {
    OSSL_LIB_CTX *library;
    struct hash_key key;
    struct list used;
    unsigned count;
    struct shown *buckets[BUCKETS];
    struct link_certificate *links[BUCKETS];
};

struct certificate_cache *
certificate_cache_new(OSSL_LIB_CTX *library)
{
    struct certificate_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    cache->library = library;
    hash_key_random(&cache->key);
    list_init(&cache->used);
    return cache;
}

/* ---- certificates of authorities, shared by chains */

static X509 *
parse(struct certificate_cache *cache, struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data;
    X509 *x509 = X509_new_ex(cache->library, NULL);

    if (x509 != NULL && d2i_X509(&x509, &at, (long)der.bytes) != NULL)
        return x509;
    X509_free(x509);
    return NULL;
}

static X509 *
take_link(struct certificate_cache *cache, struct slice der)
{
    uint64_t hash = hash_bytes(der, &cache->key);
    struct link_certificate **bucket = &cache->links[hash % BUCKETS], *link;

    for (link = *bucket; link != NULL; link = link->next) {
        if (link->hash == hash && slice_equal(slice_make(link->der, link->bytes), der)) {
            link->chains++;
            return link->x509;
        }
    }
    link = malloc(sizeof(*link) + der.bytes);
    if (link == NULL)
        return NULL;
    link->x509 = parse(cache, der);
    if (link->x509 == NULL) {
        free(link);
        return NULL;
    }
    link->hash = hash;
    link->chains = 1;
    link->bytes = der.bytes;
    memcpy(link->der, der.data, der.bytes);
    link->next = *bucket;
    *bucket = link;
    return link->x509;
}

static void
give_link(struct certificate_cache *cache, struct slice der)
{
    uint64_t hash = hash_bytes(der, &cache->key);
    struct link_certificate **at = &cache->links[hash % BUCKETS];

    for (; *at != NULL; at = &(*at)->next) {
        struct link_certificate *link = *at;

        if (link->hash != hash || !slice_equal(slice_make(link->der, link->bytes), der))
            continue;
        if (--link->chains == 0) {
            *at = link->next;
            X509_free(link->x509);
            free(link);
        }
        return;
    }
}

/* ---- bundles */

static void
free_chain(struct certificate_cache *cache, const struct certificate *certificate,
           STACK_OF(X509) *chain)
{
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++)
        give_link(cache, certificate->chain[i]);
    sk_X509_free(chain);
}

static void
free_shown(struct certificate_cache *cache, struct shown *shown)
{
    for (unsigned i = 0; i < shown->bundle->count; i++) {
        X509_free(shown->leaves[i]);
        EVP_PKEY_free(shown->keys[i]);
        free_chain(cache, &shown->bundle->certificates[i], shown->chains[i]);
    }
    bundle_unref(shown->bundle);
    free(shown);
}

static void
drop(struct certificate_cache *cache, struct shown *shown)
{
    struct shown **at = &cache->buckets[shown->bundle->id % BUCKETS];

    while (*at != shown)
        at = &(*at)->next;
    *at = shown->next;
    list_remove(&shown->link);
    cache->count--;
    free_shown(cache, shown);
}

void
certificate_cache_free(struct certificate_cache *cache)
{
    if (cache == NULL)
        return;
    list_each(link, &cache->used)
        drop(cache, container_of(link, struct shown, link));
    free(cache);
}

struct shown *
certificate_cache_find(struct certificate_cache *cache, uint64_t id)
{
    struct shown *shown = cache->buckets[id % BUCKETS];

    while (shown != NULL && shown->bundle->id != id)
        shown = shown->next;
    if (shown != NULL && cache->used.next != &shown->link) {
        list_remove(&shown->link);
        list_push_front(&cache->used, &shown->link);
    }
    return shown;
}

static bool
make_one(struct certificate_cache *cache, struct shown *shown, unsigned i)
{
    const struct certificate *certificate = &shown->bundle->certificates[i];
    const unsigned char *at = (const unsigned char *)certificate->key.data;

    shown->leaves[i] = parse(cache, certificate->leaf);
    shown->keys[i] =
        d2i_AutoPrivateKey_ex(NULL, &at, (long)certificate->key.bytes, cache->library, NULL);
    shown->chains[i] = sk_X509_new_reserve(NULL, (int)certificate->chain_count);
    if (shown->leaves[i] == NULL || shown->keys[i] == NULL || shown->chains[i] == NULL)
        return false;
    for (size_t n = 0; n < certificate->chain_count; n++) {
        X509 *link = take_link(cache, certificate->chain[n]);

        if (link == NULL)
            return false;
        sk_X509_push(shown->chains[i], link); /* there is room */
    }
    return true;
}

struct shown *
certificate_cache_add(struct certificate_cache *cache, struct bundle *bundle)
{
    struct shown *shown = calloc(1, sizeof(*shown));
    bool is_good = shown != NULL;

    if (shown == NULL) {
        bundle_unref(bundle);
        return NULL;
    }
    shown->bundle = bundle;
    for (unsigned i = 0; i < bundle->count && is_good; i++)
        is_good = make_one(cache, shown, i);
    if (!is_good) {
        free_shown(cache, shown);
        return NULL;
    }
    if (cache->count >= CERTIFICATE_CACHE_MAX)
        drop(cache, container_of(cache->used.prev, struct shown, link));
    shown->next = cache->buckets[bundle->id % BUCKETS];
    cache->buckets[bundle->id % BUCKETS] = shown;
    list_push_front(&cache->used, &shown->link);
    cache->count++;
    return shown;
}

bool
shown_use(const struct shown *shown, SSL *ssl)
{
    /* Of two of one kind the first is shown: the second would replace it. */
    for (unsigned i = shown->bundle->count; i-- > 0;) {
        if (SSL_use_cert_and_key(ssl, shown->leaves[i], shown->keys[i], shown->chains[i], 1) != 1)
            return false;
    }
    return shown->bundle->count > 0;
}

int
shown_index(const struct shown *shown, SSL *ssl)
{
    const X509 *chosen = SSL_get_certificate(ssl);

    for (unsigned i = 0; i < shown->bundle->count; i++)
        if (shown->leaves[i] == chosen)
            return (int)i;
    return -1;
}
