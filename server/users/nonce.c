/* SPDX-License-Identifier: BSD-2-Clause */
/* nonce.c - signed times, and a window of the numbers used with each.
 *
 * Requests on several connections overtake each other, so numbers may come late, by less
 * than the window is wide.
 */
#include "config.h"

#include "server/users/nonce.h"

#include "server/base/hex.h"
#include "server/users/secrets.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdatomic.h>

#define MAC_BYTES 16u
#define WINDOW 256u  /* counts */
#define SHARDS 16u
#define SETS 256u    /* of a shard */
#define PLACES 4u    /* of a set */

/* As signed: what is before the signature. */
struct claim {
    uint64_t made_ms, serial;
};

struct raw {
    struct claim claim;
    unsigned char mac[MAC_BYTES];
};

struct usage {
    struct claim claim; /* serial 0: free */
    uint64_t used;      /* when it was used last, in uses of the shard */
    uint32_t highest;   /* count so far */
    uint64_t seen[WINDOW / 64]; /* bit count % WINDOW of those up to it */
};

struct shard {
    pthread_mutex_t lock;
    uint64_t uses;
    uint64_t floor_ms[SETS]; /* the newest that was pushed out of each set */
    struct usage sets[SETS][PLACES];
};

static struct shard shards[SHARDS] = {
    [0 ... SHARDS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

/* ---- signatures */

static bool
sign(const struct claim *claim, struct slice scope, unsigned char mac[MAC_BYTES])
{
    unsigned char data[sizeof(*claim) + 256], hash[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;

    if (scope.bytes > sizeof(data) - sizeof(*claim))
        return false;
    memcpy(data, claim, sizeof(*claim));
    memcpy(data + sizeof(*claim), scope.data, scope.bytes);
    if (HMAC(EVP_sha256(), users_secrets.nonce, SECRET_BYTES, data, sizeof(*claim) + scope.bytes,
             hash, &bytes) == NULL)
        return false;
    memcpy(mac, hash, MAC_BYTES);
    return true;
}

bool
nonce_make(char *text, struct slice scope, uint64_t now_ms)
{
    static _Atomic uint64_t serial;
    struct raw raw = { .claim = { now_ms, atomic_fetch_add(&serial, 1) + 1 } };

    _Static_assert(2 * sizeof(raw) == NONCE_BYTES, "it has no holes");
    if (!sign(&raw.claim, scope, raw.mac))
        return false;
    hex_encode((const unsigned char *)&raw, sizeof(raw), text);
    return true;
}

bool
nonce_is_good(struct slice text, struct slice scope, uint64_t now_ms, uint32_t life_ms)
{
    unsigned char mac[MAC_BYTES];
    struct raw raw;

    return hex_decode(text, (unsigned char *)&raw, sizeof(raw)) &&
           sign(&raw.claim, scope, mac) && CRYPTO_memcmp(mac, raw.mac, MAC_BYTES) == 0 &&
           raw.claim.made_ms <= now_ms && now_ms - raw.claim.made_ms < life_ms;
}

/* ---- counts, under the shard's lock */

static bool
use_count(struct usage *place, uint32_t count)
{
    uint64_t bit = UINT64_C(1) << (count % 64);
    uint64_t *word = &place->seen[count % WINDOW / 64];

    if (count > place->highest) {
        if (count - place->highest >= WINDOW)
            memset(place->seen, 0, sizeof(place->seen));
        else
            for (uint32_t i = place->highest + 1; i <= count; i++)
                place->seen[i % WINDOW / 64] &= ~(UINT64_C(1) << (i % 64));
        place->highest = count;
    } else if (place->highest - count >= WINDOW) {
        return false;
    }
    if (*word & bit)
        return false;
    *word |= bit;
    return true;
}

/* A place for one that is not in the table: that of who was used longest ago. */
static struct usage *
make_place(struct shard *shard, unsigned set, const struct claim *claim)
{
    struct usage *places = shard->sets[set], *place = places;

    if (claim->made_ms <= shard->floor_ms[set])
        return NULL; /* it may have been pushed out, and its counts with it */
    for (unsigned i = 1; i < PLACES && place->claim.serial != 0; i++)
        if (places[i].used < place->used)
            place = &places[i];
    if (place->claim.made_ms > shard->floor_ms[set])
        shard->floor_ms[set] = place->claim.made_ms;
    if (claim->made_ms <= shard->floor_ms[set])
        return NULL;
    *place = (struct usage){ .claim = *claim };
    return place;
}

static struct usage *
place_of(struct shard *shard, unsigned set, const struct claim *claim)
{
    struct usage *places = shard->sets[set];

    for (unsigned i = 0; i < PLACES; i++)
        if (places[i].claim.serial == claim->serial)
            return &places[i];
    return make_place(shard, set, claim);
}

bool
nonce_use(struct slice text, uint32_t count)
{
    struct shard *shard;
    struct usage *place;
    struct raw raw;
    bool is_new = false;

    if (!hex_decode(text, (unsigned char *)&raw, sizeof(raw)) || raw.claim.serial == 0)
        return false;
    shard = &shards[raw.claim.serial % SHARDS];
    pthread_mutex_lock(&shard->lock);
    place = place_of(shard, raw.claim.serial / SHARDS % SETS, &raw.claim);
    if (place != NULL) {
        place->used = ++shard->uses;
        is_new = use_count(place, count);
    }
    pthread_mutex_unlock(&shard->lock);
    return is_new;
}

void
nonces_clear(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&shards[i].lock);
        memset(shards[i].sets, 0, sizeof(shards[i].sets));
        memset(shards[i].floor_ms, 0, sizeof(shards[i].floor_ms));
        pthread_mutex_unlock(&shards[i].lock);
    }
}
