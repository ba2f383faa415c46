/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.h - memory that is released all at once, within a byte budget.
 *
 * An arena belongs to one thread. When its budget is spent (or memory is
 * short) arena_alloc() returns NULL and the arena remembers, so builders may
 * go on and one arena_is_spent() at the end decides.
 */
#ifndef BASCULE_ARENA_H
#define BASCULE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/list.h"
#include "server/base/must.h"
#include "server/base/slice.h"

#define BLOCK_BYTES 4096u

/* A worker's free blocks of equal size, from which arenas of that thread are
 * made. They come in slabs straight from the kernel, apart from the heap: what
 * a busy moment took goes back whole afterwards, whatever else was allocated
 * in between and stays. */
struct block_pool {
    struct list slabs;    /* with free blocks */
    unsigned free_count;  /* blocks, in all slabs */
    unsigned max_free;    /* beyond this, slabs that are all free go back */
};

void block_pool_init(struct block_pool *pool, unsigned max_free);

/* Every block must be back. */
void block_pool_fini(struct block_pool *pool);

/* One block for other uses than an arena, not zeroed; NULL when memory is short.
 * Give it back to the same pool. */
void *block_take(struct block_pool *pool);
void block_give(struct block_pool *pool, void *block);

struct arena_block {
    struct arena_block *next;
    size_t is_pooled; /* BLOCK_BYTES, from the pool; otherwise from the heap */
};

struct arena_defer;

struct arena {
    char *next, *end; /* room left in the newest block */
    struct arena_block *blocks;
    struct arena_defer *defers;
    struct block_pool *pool;
    size_t left_bytes; /* of the budget */
    bool is_spent;
};

/* Makes an empty arena that may hand out budget_bytes in all. Borrows pool,
 * which may be NULL: then blocks come from the heap. */
void arena_init(struct arena *arena, struct block_pool *pool, size_t budget_bytes);

/* Calls what was deferred, last first, and releases all memory. */
void arena_fini(struct arena *arena);

/* A zeroed object in a new arena that holds it: object_bytes long, with the
 * arena itself copied to arena_offset within it. Frees with
 * arena_free_object(). NULL when memory is short. */
void *arena_new_object(struct block_pool *pool, size_t budget_bytes, size_t object_bytes,
                       size_t arena_offset);
void arena_free_object(void *object, size_t arena_offset);

/* Slow path of arena_alloc(). */
void *arena_alloc_block(struct arena *arena, size_t bytes);

/* Memory of this size, aligned for any object up to 8 bytes wide, not zeroed.
 * NULL when the budget is spent. */
static inline void *
arena_alloc(struct arena *arena, size_t bytes)
{
#ifndef BASCULE_ASAN
    size_t rounded = (bytes + 7) & ~(size_t)7;

    if (likely(rounded >= bytes && rounded <= (size_t)(arena->end - arena->next))) {
        void *p = arena->next;

        arena->next += rounded;
        return p;
    }
#endif
    return arena_alloc_block(arena, bytes);
}

/* The same, zeroed. */
void *arena_zalloc(struct arena *arena, size_t bytes);

/* A copy of s, with a NUL behind it that does not count. Empty when the
 * budget is spent. */
struct slice arena_copy(struct arena *arena, struct slice s);

/* A NUL-terminated copy of text, or NULL. */
char *arena_strdup(struct arena *arena, const char *text);

/* Parts one after the other: what arena_printf() does for text alone, at a tenth of the
 * cost. Empty when the budget is spent. */
struct slice arena_join(struct arena *arena, const struct slice *parts, size_t count);

/* Formats into the arena. Empty when the budget is spent. */
struct slice arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Ties what memory alone cannot release to the arena: release(object) is
 * called by arena_fini(). When the budget is spent, calls it at once and
 * returns -1. */
int arena_defer(struct arena *arena, void (*release)(void *), void *object);

static inline bool
arena_is_spent(const struct arena *arena)
{
    return arena->is_spent;
}

#endif
