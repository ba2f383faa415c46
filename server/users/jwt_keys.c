/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_keys.c - a pointer to the newest set under a lock, held for as long as it takes to
 * count a reference: little beside the verification that follows.
 */
#include "config.h"

#include "server/users/jwt_keys.h"

#include "server/file_read.h"
#include "server/registry.h"
#include "server/tls/reread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define FETCH_MS 60000u  /* a fetch that takes longer is taken to be lost */
#define WAITERS_MAX 1024u

struct jwt_keys_waiter {
    struct mail mail;
    struct list link;    /* jwt_keys.waiters, until it is answered */
    struct jwt_keys *keys;
    struct worker *worker;
    struct exchange *ex; /* NULL: it has ended. The worker's */
    bool is_done;        /* the worker's */
};

struct jwt_keys {
    struct registered registered; /* identity: "file PATH" or "url URL" */
    struct reread reread;         /* of the file */
    char *file, *url;             /* one is NULL */
    pthread_mutex_t lock;         /* of what follows; nobody waits while holding it */
    struct jwks *jwks;
    struct list waiters;
    unsigned waiter_count;
    uint64_t begun_ms;  /* of the last fetch; 0: there was none */
    bool is_fetching, is_polled, is_wanted;
    bool is_failed;     /* the last fetch did */
};

/* ---- the set */

/* Takes jwks. 1: it is new; 0: there was an equal one. */
static int
put(struct jwt_keys *keys, struct jwks *jwks)
{
    struct jwks *old;

    pthread_mutex_lock(&keys->lock);
    old = keys->jwks;
    if (old != NULL && jwks_equal(old, jwks)) {
        pthread_mutex_unlock(&keys->lock);
        jwks_unref(jwks);
        return 0;
    }
    keys->jwks = jwks;
    pthread_mutex_unlock(&keys->lock);
    jwks_unref(old);
    return 1;
}

struct jwks *
jwt_keys_take(struct jwt_keys *keys)
{
    struct jwks *jwks;

    pthread_mutex_lock(&keys->lock);
    jwks = keys->jwks != NULL ? jwks_ref(keys->jwks) : NULL;
    pthread_mutex_unlock(&keys->lock);
    return jwks;
}

/* ---- from a file */

static struct jwks *
read_jwks(const char *path, struct err *err)
{
    struct jwks *jwks;
    struct slice text;

    if (file_read(path, JWKS_BYTES_MAX, &text, err) < 0)
        return NULL;
    jwks = jwks_parse(text, err);
    if (jwks == NULL)
        err_prefix(err, "%s: ", path);
    file_text_free(&text);
    return jwks;
}

static int
reload(struct reread *reread, struct err *err)
{
    struct jwt_keys *keys = container_of(reread, struct jwt_keys, reread);
    struct jwks *jwks = read_jwks(keys->file, err);

    return jwks != NULL ? put(keys, jwks) : -1;
}

/* ---- as objects of the registry */

struct key_source {
    const char *file, *url;
};

static void
free_keys(struct registered *object)
{
    struct jwt_keys *keys = container_of(object, struct jwt_keys, registered);

    reread_drop(&keys->reread);
    must(list_is_empty(&keys->waiters));
    pthread_mutex_destroy(&keys->lock);
    jwks_unref(keys->jwks);
    free(keys->file);
    free(keys->url);
    free(keys);
}

static struct registered *
make_keys(const void *arg, struct err *err)
{
    const struct key_source *source = arg;
    struct jwt_keys *keys = calloc(1, sizeof(*keys));
    char *copy = strdup(source->file != NULL ? source->file : source->url);

    if (keys == NULL || copy == NULL) {
        free(keys);
        free(copy);
        err_set(err, "out of memory for the keys of tokens");
        return NULL;
    }
    pthread_mutex_init(&keys->lock, NULL);
    list_init(&keys->waiters);
    list_init(&keys->reread.link);
    if (source->file == NULL) {
        keys->url = copy;
        return &keys->registered;
    }
    keys->file = copy;
    keys->reread.paths[0] = copy;
    keys->reread.reload = reload;
    reread_add(&keys->reread);
    return &keys->registered;
}

static const struct registry_kind keys_kind = {
    .name = "token keys",
    .make = make_keys,
    .free = free_keys,
};

struct jwt_keys *
jwt_keys_adopt(const char *file, const char *url, struct err *err)
{
    const struct key_source source = { file, url };
    struct registered *object;
    struct jwt_keys *keys;
    char *identity;

    must((file == NULL) != (url == NULL));
    if (asprintf(&identity, "%s %s", file != NULL ? "file" : "url",
                 file != NULL ? file : url) < 0) {
        err_set(err, "out of memory for the keys of tokens");
        return NULL;
    }
    object = registry_adopt(&keys_kind, identity, &source, err);
    free(identity);
    if (object == NULL)
        return NULL;
    keys = container_of(object, struct jwt_keys, registered);
    if (file == NULL || reload(&keys->reread, err) >= 0)
        return keys;
    registered_unref(object);
    return NULL;
}

struct jwt_keys *
jwt_keys_ref(struct jwt_keys *keys)
{
    (void)registered_ref(&keys->registered);
    return keys;
}

void
jwt_keys_unref(struct jwt_keys *keys)
{
    if (keys != NULL)
        registered_unref(&keys->registered);
}

/* ---- fetching */

const char *
jwt_keys_url(const struct jwt_keys *keys)
{
    return keys->url;
}

/* Under the lock: whether the last fetch began that long ago, and is over or lost. */
static bool
is_due(const struct jwt_keys *keys, uint32_t after_ms, uint64_t now_ms)
{
    /* Threads look at their clocks at different times. */
    uint64_t age_ms = now_ms > keys->begun_ms ? now_ms - keys->begun_ms : 0;

    if (keys->url == NULL)
        return false;
    return keys->begun_ms == 0 || age_ms >= (keys->is_fetching ? FETCH_MS : after_ms);
}

bool
jwt_keys_begin_fetch(struct jwt_keys *keys, const struct jwt_keys_pace *pace, uint64_t now_ms)
{
    bool begins;

    pthread_mutex_lock(&keys->lock);
    keys->is_polled = true;
    begins = is_due(keys, keys->is_wanted || keys->is_failed ? pace->retry_ms : pace->refresh_ms,
                    now_ms);
    if (begins) {
        keys->is_fetching = true;
        keys->is_wanted = false;
        keys->begun_ms = now_ms;
    }
    pthread_mutex_unlock(&keys->lock);
    return begins;
}

static void
on_answer(struct mail *mail)
{
    struct jwt_keys_waiter *waiter = container_of(mail, struct jwt_keys_waiter, mail);

    waiter->worker->errands--;
    waiter->is_done = true;
    if (waiter->ex != NULL)
        waiter->ex->road->on_resume(waiter->ex);
    else
        free(waiter);
}

static void
end_fetch(struct jwt_keys *keys, bool is_good)
{
    pthread_mutex_lock(&keys->lock);
    keys->is_fetching = false;
    keys->is_failed = !is_good;
    list_each(link, &keys->waiters) {
        struct jwt_keys_waiter *waiter = container_of(link, struct jwt_keys_waiter, link);

        list_remove(link);
        keys->waiter_count--;
        loop_post(waiter->worker->loop, &waiter->mail);
    }
    pthread_mutex_unlock(&keys->lock);
}

int
jwt_keys_replace(struct jwt_keys *keys, struct slice json, struct err *err)
{
    struct jwks *jwks = jwks_parse(json, err);
    int result = jwks != NULL ? put(keys, jwks) : -1;

    end_fetch(keys, result >= 0);
    return result;
}

void
jwt_keys_fail(struct jwt_keys *keys)
{
    end_fetch(keys, false);
}

/* ---- waiting */

/* Under the lock. What was fetched a moment ago is as good as it gets. */
static bool
can_wait(const struct jwt_keys *keys, const struct jwt_keys_pace *pace, uint64_t now_ms)
{
    return keys->is_polled && keys->waiter_count < WAITERS_MAX &&
           (keys->is_fetching || is_due(keys, pace->retry_ms, now_ms));
}

struct jwt_keys_waiter *
jwt_keys_wait(struct jwt_keys *keys, const struct jwt_keys_pace *pace, struct exchange *ex,
              uint64_t now_ms)
{
    struct jwt_keys_waiter *waiter = calloc(1, sizeof(*waiter));
    bool waits;

    if (waiter == NULL)
        return NULL;
    *waiter = (struct jwt_keys_waiter){ .mail.deliver = on_answer, .keys = keys,
                                        .worker = ex->worker, .ex = ex };
    pthread_mutex_lock(&keys->lock);
    waits = can_wait(keys, pace, now_ms);
    if (waits) {
        keys->is_wanted = !keys->is_fetching;
        list_push_back(&keys->waiters, &waiter->link);
        keys->waiter_count++;
        ex->worker->errands++;
    }
    pthread_mutex_unlock(&keys->lock);
    if (waits)
        return waiter;
    free(waiter);
    return NULL;
}

bool
jwt_keys_waited(struct jwt_keys_waiter *waiter)
{
    if (!waiter->is_done)
        return false;
    free(waiter);
    return true;
}

void
jwt_keys_cancel(struct jwt_keys_waiter *waiter)
{
    bool is_posted;

    if (jwt_keys_waited(waiter))
        return;
    pthread_mutex_lock(&waiter->keys->lock);
    is_posted = !list_is_linked(&waiter->link);
    if (!is_posted) {
        list_remove(&waiter->link);
        waiter->keys->waiter_count--;
    }
    pthread_mutex_unlock(&waiter->keys->lock);
    if (is_posted) {
        waiter->ex = NULL; /* on_answer() frees it */
        return;
    }
    waiter->worker->errands--;
    free(waiter);
}
