/* SPDX-License-Identifier: BSD-2-Clause */
/* system_trust.c - one store, and the stamp of the file it was read from.
 *
 * Only the file is looked at: OpenSSL itself looks into the folder whenever it misses an
 * authority. The store lives until the process ends, shared by configurations old and new.
 */
#include "config.h"

#include "server/tls/system_trust.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

/* What changes with a file's content; all zero where there is none. */
struct stamp {
    dev_t device;
    ino_t file;
    off_t bytes;
    struct timespec changed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static X509_STORE *held;
static struct stamp held_stamp;
static uint64_t held_version;

static struct stamp
look(void)
{
    const char *path = getenv(X509_get_default_cert_file_env());
    struct stat file;

    if (stat(path != NULL ? path : X509_get_default_cert_file(), &file) < 0)
        return (struct stamp){ 0 };
    return (struct stamp){ .device = file.st_dev, .file = file.st_ino, .bytes = file.st_size,
                           .changed = file.st_mtim };
}

static bool
same(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->file == b->file && a->bytes == b->bytes &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Looked at first: what changes while we read is read again the next time. */
static void
read_again(const struct stamp *stamp)
{
    X509_STORE *store = X509_STORE_new();

    if (store != NULL && X509_STORE_set_default_paths(store) != 1) {
        X509_STORE_free(store);
        store = NULL;
    }
    X509_STORE_free(held);
    held = store;
    held_stamp = *stamp;
    held_version++;
}

X509_STORE *
system_trust_ref(uint64_t *version)
{
    struct stamp now = look();
    X509_STORE *store;

    pthread_mutex_lock(&lock);
    if (held == NULL || !same(&now, &held_stamp))
        read_again(&now);
    store = held;
    if (store != NULL)
        X509_STORE_up_ref(store);
    *version = held_version;
    pthread_mutex_unlock(&lock);
    return store;
}
