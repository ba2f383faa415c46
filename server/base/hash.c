/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012) with one compression and three finalisation rounds: what hash
 * tables need, at half the price of SipHash-2-4.
 */
#include "config.h"

#include "server/base/hash.h"

#include <endian.h>
#include <errno.h>
#include <sys/random.h>

#include "server/base/must.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

void
hash_key_random(struct hash_key *key)
{
    ssize_t got;

    /* 16 bytes are never cut short; a signal can only interrupt the wait for
     * the pool's first seed, soon after boot (getrandom(2)). */
    do {
        got = getrandom(key, sizeof(*key), 0);
    } while (got < 0 && errno == EINTR);
    must(got == (ssize_t)sizeof(*key));
}

static inline uint64_t
rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void
stir(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static inline void
absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    stir(s);
    s->v0 ^= word;
}

/* Eight letters at once: a byte of 'A'..'Z' gets bit 5. Bytes above 0x7f are
 * left alone; no sum carries into its neighbour because it adds to 7 bits. */
static inline uint64_t
lower(uint64_t word)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t low = word & each * 0x7f;
    uint64_t from_a = low + each * (0x80 - 'A');
    uint64_t past_z = low + each * (0x80 - 'Z' - 1);
    uint64_t upper = from_a & ~past_z & ~word & each * 0x80;

    return word | upper >> 2;
}

static inline uint64_t
load(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/* The last left bytes, fewer than 8, before end, of total. Where the string is
 * long enough, eight bytes that end there are loaded and shifted. */
static inline uint64_t
load_tail(const char *end, size_t left, size_t total)
{
    uint64_t word = 0;

    if (left == 0)
        return 0;
    if (total >= sizeof(word))
        return load(end - sizeof(word)) >> (64 - 8 * left);
    for (size_t i = 1; i <= left; i++)
        word = word << 8 | (unsigned char)end[-(ptrdiff_t)i];
    return word;
}

/* Always inlined, so that is_nocase costs nothing. */
static inline __attribute__((always_inline)) uint64_t
hash(struct slice s, const struct hash_key *key, bool is_nocase)
{
    uint64_t k0 = key->half[0], k1 = key->half[1], word;
    struct state state = {
        .v0 = k0 ^ 0x736f6d6570736575u,
        .v1 = k1 ^ 0x646f72616e646f6du,
        .v2 = k0 ^ 0x6c7967656e657261u,
        .v3 = k1 ^ 0x7465646279746573u,
    };
    const char *p = s.data;
    size_t left = s.bytes;

    for (; left >= sizeof(word); p += sizeof(word), left -= sizeof(word)) {
        word = load(p);
        absorb(&state, is_nocase ? lower(word) : word);
    }
    word = load_tail(p + left, left, s.bytes);
    if (is_nocase)
        word = lower(word);
    absorb(&state, word | (uint64_t)s.bytes << 56);
    state.v2 ^= 0xff;
    stir(&state);
    stir(&state);
    stir(&state);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

uint64_t
hash_bytes(struct slice s, const struct hash_key *key)
{
    return hash(s, key, false);
}

uint64_t
hash_bytes_nocase(struct slice s, const struct hash_key *key)
{
    return hash(s, key, true);
}
