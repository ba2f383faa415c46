/* SPDX-License-Identifier: BSD-2-Clause */
/* fingerprint_set.h - millions of strings, of each only a keyed hash of 72 bits.
 *
 * 10 to 16 bytes each once there are thousands. Asking for a string that is not in
 * it is right but for n strings in 2^72: with five million that is 2^-49, and a
 * hundred questions together are still under 2^-42. The key is random, so nobody
 * can look for strings that are mistaken.
 */
#ifndef BASCULE_FINGERPRINT_SET_H
#define BASCULE_FINGERPRINT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/sip.h"

struct fingerprint {
    uint64_t mark; /* never 0 */
    uint8_t part;
};

/* Embedded; zeroed it is empty. Private. */
struct fingerprint_set {
    uint64_t *slots; /* NULL: none */
    size_t homes;    /* in each part: the slots where a mark may begin to look */
    size_t stride;   /* slots from one part to the next */
    size_t count;
};

void fingerprint_set_fini(struct fingerprint_set *set);

/* 1: it is new; 0: it was there; -1: memory is short. */
int fingerprint_set_add(struct fingerprint_set *set, struct fingerprint fingerprint);

size_t fingerprint_set_bytes(const struct fingerprint_set *set);

/* Of all that was absorbed so far; what goes on afterwards is a copy. */
static inline struct fingerprint
fingerprint_of(struct sip sip)
{
    uint64_t mark;

    sip_end(&sip);
    mark = sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
    return (struct fingerprint){ .mark = mark != 0 ? mark : 1, .part = (uint8_t)(sip.v0 ^ sip.v2) };
}

/* Where the fingerprint would be, or after that: to be fetched ahead. Not of an
 * empty set. */
static inline const uint64_t *
fingerprint_set_home(const struct fingerprint_set *set, struct fingerprint fingerprint)
{
    return set->slots + fingerprint.part * set->stride +
           (size_t)((unsigned __int128)fingerprint.mark * set->homes >> 64);
}

/* Whether mark is there, from its home on. An empty slot, 0, is above all marks here. */
static inline bool
fingerprint_is_at(const uint64_t *home, uint64_t mark)
{
    while (*home - 1 < mark - 1)
        home++;
    return *home == mark;
}

/* False: it is not there, as a few slots tell without a branch. */
static inline bool
fingerprint_may_be_at(const uint64_t *home, uint64_t mark)
{
    return (home[0] == mark) | (home[1] == mark) | (home[2] == mark) | (home[3] - 1 < mark);
}

static inline bool
fingerprint_set_has(const struct fingerprint_set *set, struct fingerprint fingerprint)
{
    return set->count > 0 &&
           fingerprint_is_at(fingerprint_set_home(set, fingerprint), fingerprint.mark);
}

#endif
