/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012) with one compression and three finalisation rounds: what hash
 * tables need, at half the price of SipHash-2-4.
 */
#include "config.h"

#include "server/base/hash.h"

#include <errno.h>
#include <sys/random.h>

#include "server/base/must.h"
#include "server/base/sip.h"

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

/* Always inlined, so that is_nocase costs nothing. */
static inline __attribute__((always_inline)) uint64_t
hash(struct slice s, const struct hash_key *key, bool is_nocase)
{
    struct sip state = sip_begin(key);
    uint64_t word;
    const char *p = s.data;
    size_t left = s.bytes;

    for (; left >= sizeof(word); p += sizeof(word), left -= sizeof(word)) {
        word = sip_load(p);
        sip_absorb(&state, is_nocase ? lower(word) : word);
    }
    word = sip_load_tail(p + left, left, s.bytes);
    if (is_nocase)
        word = lower(word);
    sip_absorb(&state, word | (uint64_t)s.bytes << 56);
    sip_end(&state);
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
