/* SPDX-License-Identifier: BSD-2-Clause */
/* ghosts.h - who left the small queue lately, as fingerprints.
 *
 * Sets of a few, newest first; a new one pushes out the oldest of its set. There
 * is room for at least as many as there are objects. A wrong answer, for two
 * hashes alike, only puts an object into the better queue.
 */
#ifndef BASCULE_CACHE_GHOSTS_H
#define BASCULE_CACHE_GHOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GHOST_WAYS 8u

/* All zero: none yet. */
struct ghosts {
    uint32_t (*sets)[GHOST_WAYS]; /* NULL: none, or memory was short */
    size_t mask;
};

/* Remembers hash, among as many as there are objects. */
void ghosts_add(struct ghosts *ghosts, uint64_t hash, size_t objects);

/* Whether it is there; then it is taken out. */
bool ghosts_take(struct ghosts *ghosts, uint64_t hash);

void ghosts_fini(struct ghosts *ghosts);

#endif
