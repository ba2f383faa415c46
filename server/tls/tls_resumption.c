/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_resumption.c - a small hash table with an order of use.
 *
 * With TLS 1.3 sessions come any time after the handshake, so each SSL carries
 * its key with it for as long as it lives.
 */
#include "config.h"

#include "server/tls/tls_resumption.h"

#include "server/base/hash.h"
#include "server/base/list.h"
#include "server/base/must.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define BUCKETS 256u
#define LIFE_S 3600 /* what was verified then is taken for granted for so long */

struct entry {
    struct entry *next; /* of its bucket */
    struct list use;    /* most recently used first */
    SSL_SESSION *session;
    uint64_t hash;
    size_t key_bytes;
    char key[];
};

struct table {
    struct hash_key key;
    struct list uses;
    unsigned count;
    struct entry *buckets[BUCKETS];
};

/* Of the thread; made when it is first needed. */
static _Thread_local struct table *own_table;

/* What hangs on an SSL. */
struct label {
    size_t bytes;
    char key[];
};

static int label_index = -1;

static struct table *
table_of_thread(void)
{
    if (own_table == NULL) {
        own_table = calloc(1, sizeof(*own_table));
        if (own_table == NULL)
            return NULL;
        list_init(&own_table->uses);
        hash_key_random(&own_table->key);
    }
    return own_table;
}

/* Where the entry hangs, or would hang. */
static struct entry **
find(struct table *table, struct slice key, uint64_t hash)
{
    struct entry **at = &table->buckets[hash % BUCKETS];

    while (*at != NULL && ((*at)->hash != hash ||
                           !slice_equal(slice_make((*at)->key, (*at)->key_bytes), key)))
        at = &(*at)->next;
    return at;
}

static void
discard(struct table *table, struct entry **at)
{
    struct entry *entry = *at;

    *at = entry->next;
    list_remove(&entry->use);
    SSL_SESSION_free(entry->session);
    free(entry);
    table->count--;
}

static void
discard_oldest(struct table *table)
{
    struct entry *entry = container_of(table->uses.prev, struct entry, use);

    discard(table, find(table, slice_make(entry->key, entry->key_bytes), entry->hash));
}

static struct entry *
add(struct table *table, struct entry **at, struct slice key, uint64_t hash)
{
    struct entry *entry = malloc(sizeof(*entry) + key.bytes);

    if (entry == NULL)
        return NULL;
    *entry = (struct entry){ .hash = hash, .key_bytes = key.bytes };
    memcpy(entry->key, key.data, key.bytes);
    list_init(&entry->use);
    *at = entry;
    table->count++;
    return entry;
}

/* Takes session when it returns true. */
static bool
remember(struct slice key, SSL_SESSION *session)
{
    struct table *table = table_of_thread();
    struct entry **at, *entry;
    uint64_t hash;

    if (table == NULL)
        return false;
    hash = hash_bytes(key, &table->key);
    if (*find(table, key, hash) == NULL && table->count >= TLS_RESUMPTION_MAX)
        discard_oldest(table);
    at = find(table, key, hash); /* again: the oldest may have been its neighbour */
    entry = *at != NULL ? *at : add(table, at, key, hash);
    if (entry == NULL)
        return false;
    SSL_SESSION_free(entry->session);
    entry->session = session;
    list_remove(&entry->use);
    list_push_front(&table->uses, &entry->use);
    return true;
}

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct label *label = SSL_get_ex_data(ssl, label_index);

    return label != NULL && SSL_SESSION_is_resumable(session) &&
           remember(slice_make(label->key, label->bytes), session);
}

static void
free_label(void *parent, void *label, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    free(label);
}

static void
make_index(void)
{
    label_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_label);
}

void
tls_resumption_enable(SSL_CTX *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_index);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_timeout(context, LIFE_S);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
}

static bool
is_good(const SSL_SESSION *session)
{
    return SSL_SESSION_is_resumable(session) &&
           time(NULL) - SSL_SESSION_get_time(session) < LIFE_S;
}

static void
resume(SSL *ssl, struct slice key)
{
    struct table *table = table_of_thread();
    struct entry **at;

    if (table == NULL)
        return;
    at = find(table, key, hash_bytes(key, &table->key));
    if (*at == NULL)
        return;
    if (!is_good((*at)->session)) {
        discard(table, at);
        return;
    }
    SSL_set_session(ssl, (*at)->session);
    list_remove(&(*at)->use);
    list_push_front(&table->uses, &(*at)->use);
}

void
tls_resumption_start(SSL *ssl, struct slice key)
{
    struct label *label = malloc(sizeof(*label) + key.bytes);

    if (label == NULL)
        return;
    label->bytes = key.bytes;
    memcpy(label->key, key.data, key.bytes);
    if (SSL_set_ex_data(ssl, label_index, label) != 1) {
        free(label);
        return;
    }
    resume(ssl, key);
}

void
tls_resumption_forget(const SSL *ssl)
{
    const struct label *label = SSL_get_ex_data(ssl, label_index);
    struct entry **at;
    struct slice key;

    if (label == NULL || own_table == NULL)
        return;
    key = slice_make(label->key, label->bytes);
    at = find(own_table, key, hash_bytes(key, &own_table->key));
    if (*at != NULL)
        discard(own_table, at);
}

void
tls_resumption_fini(void)
{
    while (own_table != NULL && !list_is_empty(&own_table->uses))
        discard_oldest(own_table);
    free(own_table);
    own_table = NULL;
}
