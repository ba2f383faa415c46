/* SPDX-License-Identifier: BSD-2-Clause */
/* early_guard.c - two tables of what was seen, one filling and one full of what was
 * seen before; they change places every window.
 */
#include "config.h"

#include "server/tls/early_guard.h"

#include "server/base/clock.h"
#include "server/base/hash.h"

#include <pthread.h>
#include <string.h>

/* OpenSSL allows an age to be 1 s more and 10 s less than it is. */
#define WINDOW_MS 12000u
#define SLOTS 65536u /* open addressing, at most half full */

struct seen {
    unsigned count;
    uint64_t slots[SLOTS]; /* 0: free */
};

static struct {
    pthread_mutex_t lock; /* of all */
    struct hash_key key;
    uint64_t start_ms; /* nothing is known of what came before; 0: not started */
    uint64_t turn_ms;  /* when the tables change places */
    unsigned now;
    struct seen tables[2];
} guard = { .lock = PTHREAD_MUTEX_INITIALIZER };

void
early_guard_start(void)
{
    pthread_mutex_lock(&guard.lock);
    if (guard.start_ms == 0) {
        hash_key_random(&guard.key);
        guard.start_ms = clock_monotonic_ms();
        guard.turn_ms = guard.start_ms + WINDOW_MS;
    }
    pthread_mutex_unlock(&guard.lock);
}

static void
turn(uint64_t now_ms)
{
    if (now_ms < guard.turn_ms)
        return;
    if (now_ms - guard.turn_ms >= WINDOW_MS) /* the older one is too old as well */
        memset(&guard.tables[guard.now], 0, sizeof(guard.tables[0]));
    guard.now ^= 1;
    memset(&guard.tables[guard.now], 0, sizeof(guard.tables[0]));
    guard.turn_ms = now_ms + WINDOW_MS;
}

/* Where it is, or would be. */
static uint64_t *
slot_of(struct seen *seen, uint64_t hash)
{
    size_t i = hash % SLOTS;

    while (seen->slots[i] != 0 && seen->slots[i] != hash)
        i = (i + 1) % SLOTS;
    return &seen->slots[i];
}

static bool
is_new(uint64_t hash)
{
    struct seen *now = &guard.tables[guard.now];
    uint64_t *slot = slot_of(now, hash);

    if (*slot != 0 || *slot_of(&guard.tables[guard.now ^ 1], hash) != 0 || now->count >= SLOTS / 2)
        return false;
    *slot = hash;
    now->count++;
    return true;
}

int
early_guard_allow(SSL *ssl, void *arg)
{
    uint64_t now_ms = clock_monotonic_ms(), hash;
    unsigned char random[SSL3_RANDOM_SIZE];
    size_t bytes = SSL_get_client_random(ssl, random, sizeof(random));
    bool is_allowed;

    pthread_mutex_lock(&guard.lock);
    turn(now_ms);
    hash = hash_bytes(slice_make((char *)random, bytes), &guard.key) | 1;
    is_allowed = is_new(hash) && (arg == NULL || now_ms - guard.start_ms >= WINDOW_MS);
    pthread_mutex_unlock(&guard.lock);
    return is_allowed;
}
