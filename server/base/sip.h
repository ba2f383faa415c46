/* SPDX-License-Identifier: BSD-2-Clause */
/* sip.h - the rounds of SipHash-1-3, for hash.c and those who hash something piece
 * by piece and want a result after each: the state is copied and ended, and the
 * original goes on.
 */
#ifndef BASCULE_SIP_H
#define BASCULE_SIP_H

#include <endian.h>

#include "server/base/hash.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline struct sip
sip_begin(const struct hash_key *key)
{
    return (struct sip){
        .v0 = key->half[0] ^ 0x736f6d6570736575u,
        .v1 = key->half[1] ^ 0x646f72616e646f6du,
        .v2 = key->half[0] ^ 0x6c7967656e657261u,
        .v3 = key->half[1] ^ 0x7465646279746573u,
    };
}

static inline uint64_t
sip_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void
sip_stir(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = sip_rotate(s->v1, 13) ^ s->v0;
    s->v3 = sip_rotate(s->v3, 16) ^ s->v2;
    s->v0 = sip_rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = sip_rotate(s->v1, 17) ^ s->v2;
    s->v3 = sip_rotate(s->v3, 21) ^ s->v0;
    s->v2 = sip_rotate(s->v2, 32);
}

static inline void
sip_absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_stir(s);
    s->v0 ^= word;
}

/* The hash is v0 ^ v1 ^ v2 ^ v3 afterwards. */
static inline void
sip_end(struct sip *s)
{
    s->v2 ^= 0xff;
    sip_stir(s);
    sip_stir(s);
    sip_stir(s);
}

static inline uint64_t
sip_load(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/* The last left bytes, fewer than 8, before end, where total bytes before end may be
 * read: if these are enough, eight are loaded and shifted. */
static inline uint64_t
sip_load_tail(const char *end, size_t left, size_t total)
{
    uint64_t word = 0;

    if (left == 0)
        return 0;
    if (total >= sizeof(word))
        return sip_load(end - sizeof(word)) >> (64 - 8 * left);
    for (size_t i = 1; i <= left; i++)
        word = word << 8 | (unsigned char)end[-(ptrdiff_t)i];
    return word;
}

/* A piece of something, with its length in front, so that where pieces begin and end
 * counts. total bytes before its end may be read. */
static inline void
sip_absorb_piece(struct sip *s, struct slice piece, size_t total)
{
    const char *end = piece.data + piece.bytes;
    const char *p = piece.data;

    sip_absorb(s, piece.bytes);
    for (; (size_t)(end - p) >= sizeof(uint64_t); p += sizeof(uint64_t))
        sip_absorb(s, sip_load(p));
    if (p < end)
        sip_absorb(s, sip_load_tail(end, (size_t)(end - p), total));
}

#endif
