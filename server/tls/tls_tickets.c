/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_tickets.c - a ring of keys with a version number: who sees another number
 * than that of his copy takes the lock and copies again.
 *
 * Our own keys are one object of the process, so that tickets stay good over
 * reloads; they are lost when it ends.
 */
#include "config.h"

#include "server/tls/tls_tickets.h"

#include "server/base/clock.h"
#include "server/opener.h"
#include "server/registry.h"
#include "server/tls/reread.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_MS (3600u * 1000)

struct ticket_keys {
    struct registered registered; /* identity: the file, or empty */
    struct reread reread;         /* of the file */
    char *path;                   /* NULL: our own */
    _Atomic uint64_t version;
    _Atomic uint64_t due_ms; /* when another of our own is to take over; a file's: never */
    pthread_mutex_t lock;    /* of what follows */
    uint32_t keep_ms;
    unsigned count;
    struct ticket_key keys[TICKET_KEYS_MAX];
    uint64_t made_ms[TICKET_KEYS_MAX];
};

/* ---- keys of our own */

/* The lock is held. */
static void
add_own(struct ticket_keys *keys, uint64_t now_ms)
{
    unsigned count = keys->count < TICKET_KEYS_MAX ? keys->count : TICKET_KEYS_MAX - 1;

    while (count > 0 && now_ms - keys->made_ms[count - 1] > (uint64_t)keys->keep_ms + TURN_MS)
        count--;
    memmove(keys->keys + 1, keys->keys, count * sizeof(*keys->keys));
    memmove(keys->made_ms + 1, keys->made_ms, count * sizeof(*keys->made_ms));
    if (RAND_priv_bytes((unsigned char *)&keys->keys[0], sizeof(keys->keys[0])) == 1) {
        keys->made_ms[0] = now_ms;
        keys->count = count + 1;
    } else if (count > 0) { /* better the old one than none that can be known */
        keys->keys[0] = keys->keys[1];
        keys->made_ms[0] = keys->made_ms[1];
    }
    OPENSSL_cleanse(keys->keys + keys->count,
                    (TICKET_KEYS_MAX - keys->count) * sizeof(*keys->keys));
    atomic_store(&keys->due_ms, now_ms + TURN_MS);
    atomic_fetch_add(&keys->version, 1);
}

static void
rotate_if_due(struct ticket_keys *keys, uint64_t now_ms)
{
    pthread_mutex_lock(&keys->lock);
    if (now_ms >= atomic_load(&keys->due_ms))
        add_own(keys, now_ms);
    pthread_mutex_unlock(&keys->lock);
}

void
ticket_keys_rotate(struct ticket_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    add_own(keys, clock_monotonic_ms());
    pthread_mutex_unlock(&keys->lock);
}

/* ---- keys in a file */

/* Reads it whole. Returns the number of keys, or -1. */
static int
read_file(const char *path, struct ticket_key *keys, struct err *err)
{
    size_t room = TICKET_KEYS_MAX * sizeof(*keys), bytes = 0;
    int fd = opener_open(path, err);
    ssize_t got = 0;
    char more;

    if (fd < 0)
        return -1;
    while (bytes < room && (got = read(fd, (char *)keys + bytes, room - bytes)) > 0)
        bytes += (size_t)got;
    if (got >= 0 && bytes == room)
        got = read(fd, &more, 1);
    close(fd);
    if (got < 0)
        return err_errno(err, "%s: cannot read the keys of tickets", path);
    if (got > 0 || bytes == 0 || bytes % TICKET_KEY_BYTES != 0)
        return err_set(err, "%s: holds %s%zu bytes: 80 bytes for each of 1 to %d keys of tickets "
                            "would be accepted", path, got > 0 ? "more than " : "", bytes,
                       TICKET_KEYS_MAX);
    return (int)(bytes / TICKET_KEY_BYTES);
}

int
ticket_keys_reload(struct ticket_keys *keys, struct err *err)
{
    struct ticket_key fresh[TICKET_KEYS_MAX];
    int count = read_file(keys->path, fresh, err);
    int result = count < 0 ? -1 : 0;

    pthread_mutex_lock(&keys->lock);
    if (count > 0 && ((unsigned)count != keys->count ||
                      memcmp(fresh, keys->keys, (size_t)count * sizeof(*fresh)) != 0)) {
        OPENSSL_cleanse(keys->keys, sizeof(keys->keys));
        memcpy(keys->keys, fresh, (size_t)count * sizeof(*fresh));
        keys->count = (unsigned)count;
        atomic_fetch_add(&keys->version, 1);
        result = 1;
    }
    pthread_mutex_unlock(&keys->lock);
    OPENSSL_cleanse(fresh, sizeof(fresh));
    return result;
}

/* ---- as objects of the registry */

static void
free_keys(struct registered *object)
{
    struct ticket_keys *keys = container_of(object, struct ticket_keys, registered);

    reread_drop(&keys->reread);
    pthread_mutex_destroy(&keys->lock);
    OPENSSL_cleanse(keys->keys, sizeof(keys->keys));
    free(keys->path);
    free(keys);
}

static int
reload(struct reread *reread, struct err *err)
{
    return ticket_keys_reload(container_of(reread, struct ticket_keys, reread), err);
}

static struct registered *
make_keys(const void *conf, struct err *err)
{
    const char *path = conf;
    struct ticket_keys *keys = calloc(1, sizeof(*keys));

    if (keys == NULL || (path != NULL && (keys->path = strdup(path)) == NULL)) {
        free(keys);
        err_set(err, "out of memory for the keys of tickets");
        return NULL;
    }
    pthread_mutex_init(&keys->lock, NULL);
    list_init(&keys->reread.link);
    keys->reread.paths[0] = keys->path;
    keys->reread.reload = reload;
    if (path != NULL)
        reread_add(&keys->reread);
    return &keys->registered;
}

static const struct registry_kind keys_kind = {
    .name = "ticket keys",
    .make = make_keys,
    .free = free_keys,
};

struct ticket_keys *
ticket_keys_adopt(const char *path, uint32_t session_ms, struct err *err)
{
    struct registered *object = registry_adopt(&keys_kind, path != NULL ? path : "", path, err);
    struct ticket_keys *keys = container_of(object, struct ticket_keys, registered);

    if (object == NULL)
        return NULL;
    if (keys->path == NULL) {
        pthread_mutex_lock(&keys->lock);
        if (session_ms > keys->keep_ms)
            keys->keep_ms = session_ms;
        pthread_mutex_unlock(&keys->lock);
        rotate_if_due(keys, clock_monotonic_ms());
        return keys;
    }
    atomic_store(&keys->due_ms, UINT64_MAX);
    if (ticket_keys_reload(keys, err) >= 0)
        return keys;
    registered_unref(object);
    return NULL;
}

struct ticket_keys *
ticket_keys_ref(struct ticket_keys *keys)
{
    registered_ref(&keys->registered);
    return keys;
}

void
ticket_keys_unref(struct ticket_keys *keys)
{
    if (keys != NULL)
        registered_unref(&keys->registered);
}

/* ---- a thread's copy */

void
ticket_view_init(struct ticket_view *view, struct ticket_keys *source)
{
    view->source = source != NULL ? ticket_keys_ref(source) : NULL;
    view->version = 0;
    view->count = 0;
}

void
ticket_view_fini(struct ticket_view *view)
{
    ticket_keys_unref(view->source);
    view->source = NULL;
    OPENSSL_cleanse(view->keys, sizeof(view->keys));
}

static void
follow(struct ticket_view *view)
{
    struct ticket_keys *keys = view->source;
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms >= atomic_load_explicit(&keys->due_ms, memory_order_relaxed))
        rotate_if_due(keys, now_ms);
    if (atomic_load_explicit(&keys->version, memory_order_acquire) == view->version)
        return;
    pthread_mutex_lock(&keys->lock);
    OPENSSL_cleanse(view->keys, sizeof(view->keys));
    memcpy(view->keys, keys->keys, keys->count * sizeof(*keys->keys));
    view->count = keys->count;
    view->version = atomic_load(&keys->version);
    pthread_mutex_unlock(&keys->lock);
}

static bool
use_key(const struct ticket_key *key, const EVP_CIPHER *cipher, const unsigned char *iv,
        EVP_CIPHER_CTX *context, EVP_MAC_CTX *mac, bool is_new)
{
    OSSL_PARAM settings[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->hmac,
                                          sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex2(context, cipher, key->aes, iv, is_new, NULL) == 1 &&
           EVP_MAC_CTX_set_params(mac, settings) == 1;
}

int
ticket_view_answer(struct ticket_view *view, const EVP_CIPHER *cipher, unsigned char *name,
                   unsigned char *iv, EVP_CIPHER_CTX *context, EVP_MAC_CTX *mac, bool is_new)
{
    if (view->source == NULL)
        return 0;
    follow(view);
    if (is_new) {
        if (view->count == 0)
            return 0;
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher)) != 1)
            return -1;
        memcpy(name, view->keys[0].name, sizeof(view->keys[0].name));
        return use_key(&view->keys[0], cipher, iv, context, mac, true) ? 1 : -1;
    }
    for (unsigned i = 0; i < view->count; i++) {
        if (memcmp(name, view->keys[i].name, sizeof(view->keys[i].name)) != 0)
            continue;
        if (!use_key(&view->keys[i], cipher, iv, context, mac, false))
            return -1;
        return i == 0 ? 1 : 2; /* 2: give it one by the new key */
    }
    return 0;
}
