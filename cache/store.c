/* SPDX-License-Identifier: BSD-2-Clause */
/* store.c - two tiers and the purges over both.
 *
 * A folder has a secret of its own (the file "key"), by which keys and tags are
 * hashed: hashes on disk mean something only with it.
 */
#include "config.h"

#include "cache/store.h"

#include "cache/cache_conf.h"
#include "server/base/hash.h"
#include "server/base/log.h"
#include "server/base/thread.h"
#include "server/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSED_SLOTS 4096u
#define PASSED_S 10 /* how long it is remembered that an answer could not be shared */

struct store {
    struct registered registered; /* first */
    char *name;
    struct hash_key key;
    struct memory *memory;
    struct disk *disk;
    struct purges *purges;
    struct fills *fills;
    _Atomic uint64_t next_seq;
    _Atomic uint64_t filling_bytes, filling_max; /* of content that is being fetched */
    _Atomic uint64_t passed[PASSED_SLOTS]; /* hash's upper half, and until when (seconds) */
};

/* ---- the folder and its secret */

static int
make_folder(const char *path, struct err *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return err_set(err, "cannot make the folder \"%s\": %s", path, strerror(errno));
}

static int
write_key(int folder, const struct hash_key *key)
{
    int fd = openat(folder, "key.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_written;

    if (fd < 0)
        return -1;
    is_written = write(fd, key, sizeof(*key)) == (ssize_t)sizeof(*key) && fsync(fd) == 0;
    close(fd);
    if (!is_written || renameat(folder, "key.new", folder, "key") < 0)
        return -1;
    return fsync(folder);
}

static int
read_key(int folder, struct hash_key *key)
{
    int fd = openat(folder, "key", O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return -1;
    got = read(fd, key, sizeof(*key));
    close(fd);
    if (got == (ssize_t)sizeof(*key))
        return 0;
    errno = ENOENT; /* half a key is none */
    return -1;
}

static int
take_key(const char *path, struct hash_key *key, struct err *err)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result;

    if (folder < 0)
        return err_set(err, "cannot open the folder \"%s\": %s", path, strerror(errno));
    result = read_key(folder, key);
    if (result < 0 && errno == ENOENT) {
        hash_key_random(key);
        result = write_key(folder, key);
    }
    if (result < 0)
        err_set(err, "cannot keep a key in the folder \"%s\": %s", path, strerror(errno));
    close(folder);
    return result;
}

/* ---- opening and closing */

/* Its content could not be written after all, turned out to be damaged, or is in a
 * segment that was reclaimed: who reads it may do so to the end, but who begins had
 * better take the copy that was written since, or none. */
static bool
is_lost(const struct object *object)
{
    struct disk_body *body;

    if (atomic_load_explicit(&object->is_gone, memory_order_relaxed))
        return true;
    if (object->body != NULL)
        return false;
    body = atomic_load_explicit(&object->on_disk, memory_order_acquire);
    return body != NULL && (disk_body_is_lost(body) || !disk_body_is_current(body));
}

static void
on_lost(void *store, uint64_t hash)
{
    memory_prune(((struct store *)store)->memory, hash, is_lost);
}

static bool
is_hot(void *store, uint64_t hash)
{
    return memory_has(((struct store *)store)->memory, hash);
}

static struct disk_conf
disk_conf(struct store *store, const struct store_conf *conf)
{
    return (struct disk_conf){
        .path = conf->path,
        .max_bytes = conf->disk_bytes,
        .min_free_bytes = conf->min_free_bytes,
        .segment_bytes = conf->segment_bytes,
        .queue_bytes = conf->queue_bytes,
        .threads = (unsigned)conf->threads,
        .verify = (enum disk_verify)conf->verify,
        .is_hot = is_hot,
        .on_lost = on_lost,
        .arg = store,
    };
}

static void
close_all(struct store *store)
{
    if (store->disk != NULL)
        disk_close(store->disk);
    if (store->purges != NULL)
        purges_close(store->purges);
    memory_free(store->memory);
    if (store->fills != NULL)
        fills_free(store->fills);
    free(store->name);
    free(store);
}

static int
open_purges(struct store *store, const char *path, const struct store_conf *conf, struct err *err)
{
    store->purges = purges_open(path, &store->key, &store->next_seq, (unsigned)conf->tags,
                                (unsigned)conf->prefixes, err);
    return store->purges != NULL ? 0 : -1;
}

static int
open_memory_only(struct store *store, const struct store_conf *conf, struct err *err)
{
    hash_key_random(&store->key);
    return open_purges(store, NULL, conf, err);
}

/* -1 with errno, too; nothing is open then. */
static int
open_folder(struct store *store, const struct store_conf *conf, struct err *err)
{
    struct disk_conf disk = disk_conf(store, conf);
    int error;

    if (make_folder(conf->path, err) < 0 || take_key(conf->path, &store->key, err) < 0 ||
        open_purges(store, conf->path, conf, err) < 0)
        return -1;
    store->disk = disk_open(&disk, &store->key, store->purges, &store->next_seq, err);
    if (store->disk != NULL)
        return 0;
    error = errno;
    purges_close(store->purges);
    store->purges = NULL;
    errno = error;
    return -1;
}

/* A disk that is broken or full is no reason not to serve. */
static bool
is_disk_failure(int error)
{
    return error == EIO || error == EROFS || error == ENOSPC || error == EDQUOT ||
           error == ENXIO || error == EUCLEAN;
}

static int
open_tiers(struct store *store, const struct store_conf *conf, struct err *err)
{
    store->memory = memory_new(conf->memory_bytes);
    store->fills = fills_new();
    if (store->name == NULL || store->memory == NULL || store->fills == NULL)
        return err_set(err, "out of memory");
    if (conf->path == NULL)
        return open_memory_only(store, conf, err);
    if (open_folder(store, conf, err) == 0)
        return 0;
    if (!is_disk_failure(errno))
        return -1; /* the operator can mend it, and should */
    log_error("store \"%s\": %s: it keeps things in memory only until Bascule is started again",
              store->name, err->text);
    return open_memory_only(store, conf, err);
}

/* Its tiers come later: opening them takes as long as the disk likes, and a worker may
 * need the registry. */
static struct registered *
make(const void *arg, struct err *err)
{
    const struct store_conf *conf = arg;
    struct store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    store->name = strdup(conf->name);
    atomic_init(&store->next_seq, 1);
    return &store->registered;
}

/* Stores that are closing: what waits is written, which takes its time, and
 * whoever gives up the last reference may be a worker. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
} closing = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static void *
close_behind(void *store)
{
    close_all(store);
    pthread_mutex_lock(&closing.lock);
    closing.count--;
    pthread_cond_broadcast(&closing.changed);
    pthread_mutex_unlock(&closing.lock);
    return NULL;
}

static void
let_go(struct registered *object)
{
    pthread_t thread;

    pthread_mutex_lock(&closing.lock);
    closing.count++;
    pthread_mutex_unlock(&closing.lock);
    if (thread_start(&thread, "bascule-close", close_behind, object) == 0)
        pthread_detach(thread);
    else
        close_behind(object);
}

void
stores_wait_closed(void)
{
    pthread_mutex_lock(&closing.lock);
    while (closing.count > 0)
        pthread_cond_wait(&closing.changed, &closing.lock);
    pthread_mutex_unlock(&closing.lock);
}

static const struct registry_kind kind = { .name = "store", .make = make, .free = let_go };

/* ---- adopting */

struct store *
store_adopt(const struct store_conf *conf, struct err *err)
{
    char identity[4400];
    struct registered *object;
    struct store *store;

    if (snprintf(identity, sizeof(identity), "%s %s", conf->name,
                 conf->path != NULL ? conf->path : "") >= (int)sizeof(identity)) {
        err_set(err, "its name and path are too long");
        return NULL;
    }
    stores_wait_closed(); /* the folder may be locked by the one that was there before */
    object = registry_adopt(&kind, identity, conf, err);
    if (object == NULL)
        return NULL;
    store = container_of(object, struct store, registered);
    if (store->purges != NULL || open_tiers(store, conf, err) == 0)
        return store;
    store_unref(store);
    return NULL;
}

void
store_set_conf(struct store *store, const struct store_conf *conf)
{
    struct disk_conf disk = disk_conf(store, conf);

    memory_resize(store->memory, conf->memory_bytes);
    atomic_store(&store->filling_max, conf->memory_bytes / 4);
    purges_set_limits(store->purges, (unsigned)conf->tags, (unsigned)conf->prefixes);
    if (store->disk != NULL)
        disk_set_conf(store->disk, &disk);
}

struct store *
store_ref(struct store *store)
{
    registered_ref(&store->registered);
    return store;
}

void
store_unref(struct store *store)
{
    if (store != NULL)
        registered_unref(&store->registered);
}

/* ---- parts */

const char *
store_name(const struct store *store)
{
    return store->name;
}

struct disk *
store_disk(struct store *store)
{
    return store->disk;
}

struct purges *
store_purges(struct store *store)
{
    return store->purges;
}

struct fills *
store_fills(struct store *store)
{
    return store->fills;
}

struct memory *
store_memory(struct store *store)
{
    return store->memory;
}


const struct hash_key *
store_key(const struct store *store)
{
    return &store->key;
}

uint64_t
store_hash(const struct store *store, struct slice key)
{
    return hash_bytes(key, &store->key);
}

uint64_t
store_seq(struct store *store)
{
    return atomic_load_explicit(&store->next_seq, memory_order_acquire);
}

uint64_t
store_new_generation(struct store *store)
{
    struct hash_key random;

    (void)store;
    hash_key_random(&random);
    return random.half[0];
}

/* ---- finding */

enum purge_verdict
store_judge(struct store *store, struct object *object)
{
    enum purge_verdict verdict = purges_judge(store->purges, object);

    if (verdict == PURGE_HARD) {
        memory_remove(store->memory, object);
        if (store->disk != NULL)
            disk_forget(store->disk, object->hash, object->key);
    }
    return verdict;
}

struct object *
store_find(struct store *store, uint64_t hash, struct slice key)
{
    struct object *object = memory_find(store->memory, hash, key);

    if (object == NULL || likely(!is_lost(object)))
        return object;
    memory_remove(store->memory, object);
    object_unref(object);
    return NULL;
}

bool
store_ask(struct store *store, struct disk_query *query)
{
    return store->disk != NULL && disk_may_have(store->disk, query->hash) &&
           disk_find(store->disk, query);
}

/* What was forgotten or reclaimed while the answer was on its way must not stay. Who
 * forgets does so on disk first, so that one of the two sees the other. */
void
store_found(struct store *store, struct object *object)
{
    (void)memory_add(store->memory, object);
    if (is_lost(object) || !disk_may_have(store->disk, object->hash))
        memory_remove(store->memory, object);
}

bool
store_may_have(const struct store *store, uint64_t hash)
{
    return store->disk != NULL && disk_may_have(store->disk, hash);
}

void
store_set_quota(struct store *store, struct slice site, uint64_t max_bytes)
{
    if (store->disk != NULL)
        disk_set_quota(store->disk, object_site_id(site), max_bytes);
}

/* ---- memory for what is being fetched */

bool
store_reserve(struct store *store, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(&store->filling_bytes, bytes);

    if (before == 0 || before + bytes <= atomic_load(&store->filling_max))
        return true;
    atomic_fetch_sub(&store->filling_bytes, bytes);
    return false;
}

void
store_unreserve(struct store *store, uint64_t bytes)
{
    atomic_fetch_sub(&store->filling_bytes, bytes);
}

/* ---- what is no use to wait for */

void
store_pass(struct store *store, uint64_t hash, int64_t now_s)
{
    uint64_t slot = (hash & 0xffffffff00000000u) | (uint32_t)(now_s + PASSED_S);

    atomic_store_explicit(&store->passed[hash % PASSED_SLOTS], slot, memory_order_relaxed);
}

bool
store_is_passed(const struct store *store, uint64_t hash, int64_t now_s)
{
    uint64_t slot = atomic_load_explicit(&store->passed[hash % PASSED_SLOTS],
                                         memory_order_relaxed);

    return slot >> 32 == hash >> 32 && (uint32_t)now_s < (uint32_t)slot;
}

/* ---- storing */

void
store_put(struct store *store, struct object *object)
{
    (void)memory_put(store->memory, object);
    if (store->disk != NULL)
        (void)disk_put(store->disk, object); /* counted there when it is not taken */
}

void
store_forget(struct store *store, uint64_t hash, struct slice key)
{
    fill_forget(store->fills, hash, key);
    if (store->disk != NULL) /* before memory: see store_found() */
        disk_forget(store->disk, hash, key);
    memory_forget(store->memory, hash, key);
}
