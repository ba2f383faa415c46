/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.c - bump allocation in blocks.
 *
 * The budget is charged by block, when one is taken, which keeps the fast path
 * to a comparison and an addition. A request larger than a block gets one of
 * its own, linked behind the newest so that its rest stays in use. Under
 * AddressSanitizer every allocation is its own malloc, so that overruns show.
 */
#include "config.h"

#include "server/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct arena_defer {
    struct arena_defer *next;
    void (*release)(void *);
    void *object;
};

/* ---- blocks */

#define SLAB_BYTES (256u * 1024)
#define SLAB_BLOCKS (SLAB_BYTES / BLOCK_BYTES - 1) /* the first holds the slab itself */

/* Aligned to its size, so that a block leads to it. */
struct slab {
    struct list link; /* pool->slabs while it has free blocks */
    struct arena_block *free;
    unsigned free_count;
    unsigned fresh; /* blocks that were never handed out: their pages are untouched */
};

void
block_pool_init(struct block_pool *pool, unsigned max_free)
{
    *pool = (struct block_pool){ .max_free = max_free };
    list_init(&pool->slabs);
}

static void
free_slab(struct block_pool *pool, struct slab *slab)
{
    list_remove(&slab->link);
    pool->free_count -= slab->free_count;
    munmap(slab, SLAB_BYTES);
}

void
block_pool_fini(struct block_pool *pool)
{
    list_each(link, &pool->slabs) {
        struct slab *slab = container_of(link, struct slab, link);

        must(slab->free_count == SLAB_BLOCKS);
        free_slab(pool, slab);
    }
    must(pool->free_count == 0);
}

/* Maps twice as much as is needed and gives back what is not aligned. */
static struct slab *
map_slab(void)
{
    char *at = mmap(NULL, 2 * SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
    size_t before;

    if (at == MAP_FAILED)
        return NULL;
    before = (SLAB_BYTES - ((uintptr_t)at & (SLAB_BYTES - 1))) & (SLAB_BYTES - 1);
    if (before > 0)
        munmap(at, before);
    munmap(at + before + SLAB_BYTES, SLAB_BYTES - before);
    return (struct slab *)(void *)(at + before);
}

static bool
add_slab(struct block_pool *pool)
{
    struct slab *slab = map_slab();

    if (slab == NULL)
        return false;
    slab->fresh = slab->free_count = SLAB_BLOCKS;
    slab->free = NULL;
    list_init(&slab->link);
    list_push_front(&pool->slabs, &slab->link);
    pool->free_count += SLAB_BLOCKS;
    return true;
}

static struct arena_block *
take_block(struct block_pool *pool)
{
    struct arena_block *block;
    struct slab *slab;

    if (pool == NULL) {
        block = malloc(BLOCK_BYTES);
        if (block != NULL)
            block->is_pooled = 1;
        return block;
    }
    if (list_is_empty(&pool->slabs) && !add_slab(pool))
        return NULL;
    slab = container_of(pool->slabs.next, struct slab, link);
    block = slab->free;
    if (block != NULL)
        slab->free = block->next;
    else
        block = (struct arena_block *)(void *)((char *)slab + BLOCK_BYTES * slab->fresh--);
    slab->free_count--;
    pool->free_count--;
    if (slab->free_count == 0)
        list_remove(&slab->link);
    block->is_pooled = 1;
    return block;
}

static void
give_block(struct block_pool *pool, struct arena_block *block)
{
    struct slab *slab;

    if (!block->is_pooled || pool == NULL) {
        free(block);
        return;
    }
    slab = (struct slab *)(void *)((uintptr_t)block & ~(uintptr_t)(SLAB_BYTES - 1));
    block->next = slab->free;
    slab->free = block;
    pool->free_count++;
    /* One that was full goes to the end: the slabs in front fill up first, and
     * those behind get the chance to become all free. */
    if (slab->free_count++ == 0)
        list_push_back(&pool->slabs, &slab->link);
    if (slab->free_count == SLAB_BLOCKS && pool->free_count > pool->max_free)
        free_slab(pool, slab);
}

void *
block_take(struct block_pool *pool)
{
    return take_block(pool);
}

void
block_give(struct block_pool *pool, void *memory)
{
    struct arena_block *block = memory;

    block->is_pooled = 1; /* it was overwritten */
    give_block(pool, block);
}

/* ---- arenas */

void
arena_init(struct arena *arena, struct block_pool *pool, size_t budget_bytes)
{
    *arena = (struct arena){ .pool = pool, .left_bytes = budget_bytes };
}

void
arena_fini(struct arena *arena)
{
    struct arena_block *block;
    struct block_pool *pool = arena->pool;

    while (arena->defers != NULL) {
        struct arena_defer *defer = arena->defers;

        arena->defers = defer->next;
        defer->release(defer->object);
    }
    /* The arena may live in one of its own blocks: touch it no more. */
    block = arena->blocks;
    arena->blocks = NULL;
    arena->next = arena->end = NULL;
    while (block != NULL) {
        struct arena_block *next = block->next;

        give_block(pool, block);
        block = next;
    }
}

void *
arena_new_object(struct block_pool *pool, size_t budget_bytes, size_t object_bytes,
                 size_t arena_offset)
{
    struct arena arena;
    char *object;

    arena_init(&arena, pool, budget_bytes);
    object = arena_zalloc(&arena, object_bytes);
    if (object == NULL) {
        arena_fini(&arena);
        return NULL;
    }
    memcpy(object + arena_offset, &arena, sizeof(arena));
    return object;
}

void
arena_free_object(void *object, size_t arena_offset)
{
    arena_fini((struct arena *)(void *)((char *)object + arena_offset));
}

static void *
spend(struct arena *arena)
{
    arena->is_spent = true;
    return NULL;
}

void *
arena_alloc_block(struct arena *arena, size_t bytes)
{
    size_t rounded = (bytes + 7) & ~(size_t)7;
    bool is_large = rounded > BLOCK_BYTES * 3 / 4;
    size_t charge = is_large ? rounded + sizeof(struct arena_block) : BLOCK_BYTES;
    struct arena_block *block;

#ifdef BASCULE_ASAN
    is_large = true;
    charge = bytes + sizeof(struct arena_block);
    rounded = bytes;
#endif
    if (rounded < bytes || charge < rounded || charge > arena->left_bytes)
        return spend(arena);
    if (is_large) {
        block = malloc(charge);
        if (block == NULL)
            return spend(arena);
        block->is_pooled = 0;
    } else {
        block = take_block(arena->pool);
        if (block == NULL)
            return spend(arena);
    }
    arena->left_bytes -= charge;
    if (is_large && arena->blocks != NULL) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
        return block + 1;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    if (is_large)
        return block + 1;
    arena->next = (char *)(block + 1) + rounded;
    arena->end = (char *)block + BLOCK_BYTES;
    return block + 1;
}

void *
arena_zalloc(struct arena *arena, size_t bytes)
{
    void *p = arena_alloc(arena, bytes);

    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

struct slice
arena_copy(struct arena *arena, struct slice s)
{
    char *copy = arena_alloc(arena, s.bytes + 1);

    if (copy == NULL)
        return (struct slice){ "", 0 };
    if (s.bytes > 0)
        memcpy(copy, s.data, s.bytes);
    copy[s.bytes] = '\0';
    return (struct slice){ copy, s.bytes };
}

char *
arena_strdup(struct arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = arena_alloc(arena, bytes);

    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

struct slice
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    char first[256]; /* most fit, and need not be formatted twice */
    char *text;
    int bytes;

    va_start(args, format);
    va_copy(again, args);
    bytes = vsnprintf(first, sizeof(first), format, args);
    va_end(args);
    text = bytes < 0 ? NULL : arena_alloc(arena, (size_t)bytes + 1);
    if (text != NULL && (size_t)bytes < sizeof(first))
        memcpy(text, first, (size_t)bytes + 1);
    else if (text != NULL)
        vsnprintf(text, (size_t)bytes + 1, format, again);
    va_end(again);
    return text != NULL ? slice_make(text, (size_t)bytes) : slice_make("", 0);
}

struct slice
arena_join(struct arena *arena, const struct slice *parts, size_t count)
{
    size_t bytes = 0;
    char *text, *at;

    for (size_t i = 0; i < count; i++)
        bytes += parts[i].bytes;
    text = at = arena_alloc(arena, bytes + 1);
    if (text == NULL)
        return slice_make("", 0);
    for (size_t i = 0; i < count; i++)
        if (parts[i].bytes > 0)
            at = mempcpy(at, parts[i].data, parts[i].bytes);
    *at = '\0';
    return slice_make(text, bytes);
}

int
arena_defer(struct arena *arena, void (*release)(void *), void *object)
{
    struct arena_defer *defer = arena_alloc(arena, sizeof(*defer));

    if (defer == NULL) {
        release(object);
        return -1;
    }
    *defer = (struct arena_defer){ arena->defers, release, object };
    arena->defers = defer;
    return 0;
}
