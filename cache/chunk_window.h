/* SPDX-License-Identifier: BSD-2-Clause */
/* chunk_window.h - which chunks of growing content are in memory, and where its
 * readers are.
 *
 *     0 ... first ............ end
 *     '-----''---------------''----
 *     behind   chunks here     ahead: has had all there is
 *
 * Content is cut into chunks of CHUNK_BYTES, numbered from 0. A reader is at
 * the chunk that it reads or reads next. Counting readers by chunk tells what
 * nobody needs any more without asking all of them.
 *
 * No locks: the fill's guards it.
 */
#ifndef BASCULE_CACHE_CHUNK_WINDOW_H
#define BASCULE_CACHE_CHUNK_WINDOW_H

#include "cache/disk.h"

struct chunk_place {
    struct chunk *chunk; /* counted */
    uint32_t readers;
};

struct chunk_window {
    struct chunk_place *ring; /* by number modulo room */
    uint64_t room;            /* a power of two; 0: none yet */
    uint64_t first, end;
    uint32_t behind, ahead;   /* readers before first, and at end */
};

/* An empty window is all zeroes. Gives all chunks back. */
void chunk_window_fini(struct chunk_window *window);

/* Takes the next chunk. False when memory is short: then it is still the caller's. */
bool chunk_window_push(struct chunk_window *window, struct chunk *chunk) MUST_USE;

/* The chunk of this number, not counted; NULL: it is gone, or not there yet. */
struct chunk *chunk_window_at(const struct chunk_window *window, uint64_t number);

/* Lets go of the first chunk. */
void chunk_window_drop(struct chunk_window *window);

/* A reader comes, at 0; goes from one chunk to another; leaves. */
void chunk_window_enter(struct chunk_window *window);
void chunk_window_move(struct chunk_window *window, uint64_t from, uint64_t to);
void chunk_window_leave(struct chunk_window *window, uint64_t at);

static inline uint64_t
chunk_window_count(const struct chunk_window *window)
{
    return window->end - window->first;
}

/* Whether every reader has had the first chunk. */
bool chunk_window_is_first_read(const struct chunk_window *window);

/* Whether a reader is among the last so many chunks, or has had all. */
bool chunk_window_is_near(const struct chunk_window *window, uint64_t chunks);

#endif
