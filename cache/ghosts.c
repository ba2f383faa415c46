/* SPDX-License-Identifier: BSD-2-Clause */
/* ghosts.c - a few fingerprints per set: one line of the processor's cache. */
#include "config.h"

#include "cache/ghosts.h"

#include <stdlib.h>
#include <string.h>

static uint32_t
fingerprint(uint64_t hash)
{
    return (uint32_t)(hash >> 26) | 1; /* 0 is nobody's */
}

/* Larger when there are more objects than it holds. What it knew is forgotten:
 * that happens as often as the tier doubles. */
static void
fit(struct ghosts *ghosts, size_t objects)
{
    size_t count = ghosts->sets != NULL ? ghosts->mask + 1 : 4;

    if (ghosts->sets != NULL && count * GHOST_WAYS >= objects)
        return;
    while (count * GHOST_WAYS < objects)
        count *= 2;
    free(ghosts->sets);
    ghosts->sets = calloc(count, sizeof(*ghosts->sets));
    ghosts->mask = count - 1;
}

void
ghosts_add(struct ghosts *ghosts, uint64_t hash, size_t objects)
{
    uint32_t *set;

    fit(ghosts, objects);
    if (ghosts->sets == NULL)
        return;
    set = ghosts->sets[hash & ghosts->mask];
    memmove(set + 1, set, (GHOST_WAYS - 1) * sizeof(*set));
    set[0] = fingerprint(hash);
}

bool
ghosts_take(struct ghosts *ghosts, uint64_t hash)
{
    uint32_t *set = ghosts->sets != NULL ? ghosts->sets[hash & ghosts->mask] : NULL;
    uint32_t wanted = fingerprint(hash);

    for (unsigned i = 0; set != NULL && i < GHOST_WAYS; i++) {
        if (set[i] != wanted)
            continue;
        memmove(set + i, set + i + 1, (GHOST_WAYS - 1 - i) * sizeof(*set));
        set[GHOST_WAYS - 1] = 0;
        return true;
    }
    return false;
}

void
ghosts_fini(struct ghosts *ghosts)
{
    free(ghosts->sets);
    ghosts->sets = NULL;
}
