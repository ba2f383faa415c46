/* SPDX-License-Identifier: BSD-2-Clause */
/* account_file.c - an object of the registry that reads its files again when they
 * change. */
#include "config.h"

#include "server/users/account_file.h"

#include "server/file_read.h"
#include "server/registry.h"
#include "server/tls/reread.h"
#include "server/users/account_table.h"
#include "server/users/secrets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (64u << 20)

struct account_file {
    struct registered registered; /* identity: all of source */
    struct reread reread;
    struct account_source source; /* its strings are allocated */
    _Atomic uint64_t version;
    pthread_mutex_t reading; /* so that what is older never takes the place of what is newer */
    pthread_mutex_t lock; /* of what follows */
    struct account_table *table;
    uint64_t digest; /* of the bytes that it was made of */
};

/* ---- from files */

/* A path of NULL is an empty file. */
static int
read_text(const char *path, struct slice *text, struct err *err)
{
    *text = slice_make(NULL, 0);
    return path != NULL ? file_read(path, FILE_BYTES_MAX, text, err) : 0;
}

static uint64_t
digest_of(struct slice users, struct slice groups)
{
    struct hash_key key = users_secrets.tables;

    key.half[0] ^= hash_bytes(users, &key);
    return hash_bytes(groups, &key);
}

/* Takes table; frees the one that was there. */
static void
put_table(struct account_file *file, struct account_table *table, uint64_t digest)
{
    struct account_table *old;

    pthread_mutex_lock(&file->lock);
    old = file->table;
    file->table = table;
    file->digest = digest;
    atomic_store(&file->version, account_table_version(table));
    pthread_mutex_unlock(&file->lock);
    account_table_give(old);
}

static bool
is_same(struct account_file *file, uint64_t digest)
{
    bool same;

    pthread_mutex_lock(&file->lock);
    same = file->table != NULL && file->digest == digest;
    pthread_mutex_unlock(&file->lock);
    return same;
}

static int
read_again(struct account_file *file, struct err *err)
{
    const struct account_source *source = &file->source;
    struct slice users, groups = { NULL, 0 };
    struct account_table *table = NULL;
    uint64_t digest;
    int result = -1;

    if (read_text(source->file, &users, err) == 0 &&
        read_text(source->groups, &groups, err) == 0) {
        digest = digest_of(users, groups);
        if (is_same(file, digest))
            result = 0;
        else if ((table = account_table_new(source, users, groups, err)) != NULL)
            result = 1;
        if (table != NULL)
            put_table(file, table, digest);
    }
    file_text_free(&users);
    file_text_free(&groups);
    return result;
}

int
account_file_reload(struct account_file *file, struct err *err)
{
    int result;

    pthread_mutex_lock(&file->reading);
    result = read_again(file, err);
    pthread_mutex_unlock(&file->reading);
    return result;
}

/* ---- as objects of the registry */

static void
free_file(struct registered *object)
{
    struct account_file *file = container_of(object, struct account_file, registered);

    reread_drop(&file->reread);
    pthread_mutex_destroy(&file->reading);
    pthread_mutex_destroy(&file->lock);
    account_table_give(file->table);
    free((char *)file->source.file);
    free((char *)file->source.groups);
    free((char *)file->source.realm);
    free(file);
}

static int
reload(struct reread *reread, struct err *err)
{
    return account_file_reload(container_of(reread, struct account_file, reread), err);
}

/* A copy, in place; false when memory is short. */
static bool
own(const char **text)
{
    const char *lent = *text;

    *text = lent != NULL ? strdup(lent) : NULL;
    return lent == NULL || *text != NULL;
}

static struct registered *
make_file(const void *arg, struct err *err)
{
    struct account_file *file = calloc(1, sizeof(*file));
    bool is_whole;

    if (file == NULL) {
        err_set(err, "out of memory for files of users");
        return NULL;
    }
    file->source = *(const struct account_source *)arg;
    pthread_mutex_init(&file->reading, NULL);
    pthread_mutex_init(&file->lock, NULL);
    list_init(&file->reread.link);
    is_whole = own(&file->source.file);
    is_whole = own(&file->source.groups) && is_whole;
    is_whole = own(&file->source.realm) && is_whole;
    if (!is_whole) {
        free_file(&file->registered);
        err_set(err, "out of memory for files of users");
        return NULL;
    }
    file->reread.paths[0] = file->source.file;
    file->reread.paths[1] = file->source.groups;
    file->reread.reload = reload;
    reread_add(&file->reread);
    return &file->registered;
}

static const struct registry_kind file_kind = {
    .name = "users file",
    .make = make_file,
    .free = free_file,
};

struct account_file *
account_file_adopt(const struct account_source *source, struct err *err)
{
    struct registered *object;
    struct account_file *file;
    char *identity;

    if (asprintf(&identity, "%s %d\n%s\n%s\n%s", source->kind, source->variant, source->file,
                 source->groups != NULL ? source->groups : "",
                 source->realm != NULL ? source->realm : "") < 0) {
        err_set(err, "out of memory");
        return NULL;
    }
    object = registry_adopt(&file_kind, identity, source, err);
    free(identity);
    if (object == NULL)
        return NULL;
    file = container_of(object, struct account_file, registered);
    if (account_file_reload(file, err) >= 0)
        return file;
    registered_unref(object);
    return NULL;
}

void
account_file_unref(struct account_file *file)
{
    if (file != NULL)
        registered_unref(&file->registered);
}

uint64_t
account_file_version(const struct account_file *file)
{
    return atomic_load_explicit(&file->version, memory_order_acquire);
}

const struct account_table *
account_file_take(struct account_file *file)
{
    struct account_table *table;

    pthread_mutex_lock(&file->lock);
    table = account_table_ref(file->table);
    pthread_mutex_unlock(&file->lock);
    return table;
}
