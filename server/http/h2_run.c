/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_run.c - a queue of blocks. */
#include "config.h"

#include "server/http/h2_run.h"

#include "server/base/must.h"

struct h2_block {
    struct h2_block *next;
    uint32_t at, end; /* of data in use */
    char data[BLOCK_BYTES - 16];
};

_Static_assert(sizeof(struct h2_block) == BLOCK_BYTES, "a block of the pool");

static struct h2_block *
add_block(struct block_pool *pool, struct h2_run *run)
{
    struct h2_block *block = block_take(pool);

    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->at = block->end = 0;
    if (run->first == NULL)
        run->first = block;
    else
        run->last->next = block;
    run->last = block;
    return block;
}

/* The last block if it has room for so many bytes, or a new one. */
static struct h2_block *
block_with(struct block_pool *pool, struct h2_run *run, size_t bytes)
{
    if (run->first != NULL && sizeof(run->last->data) - run->last->end >= bytes)
        return run->last;
    return add_block(pool, run);
}

bool
h2_run_append(struct block_pool *pool, struct h2_run *run, const char *data, size_t bytes)
{
    while (bytes > 0) {
        struct h2_block *block = block_with(pool, run, 1);
        size_t here;

        if (block == NULL)
            return false;
        here = sizeof(block->data) - block->end;
        if (here > bytes)
            here = bytes;
        memcpy(block->data + block->end, data, here);
        block->end += (uint32_t)here;
        data += here;
        bytes -= here;
    }
    return true;
}

char *
h2_run_reserve(struct block_pool *pool, struct h2_run *run, size_t bytes)
{
    struct h2_block *block = block_with(pool, run, bytes);

    if (block == NULL)
        return NULL;
    block->end += (uint32_t)bytes;
    return block->data + block->end - bytes;
}

unsigned
h2_run_gather(const struct h2_run *run, struct iovec *iov, unsigned room, size_t *bytes)
{
    unsigned count = 0;

    *bytes = 0;
    for (struct h2_block *block = run->first; block != NULL && count < room; block = block->next) {
        iov[count].iov_base = block->data + block->at;
        iov[count].iov_len = block->end - block->at;
        *bytes += iov[count++].iov_len;
    }
    return count;
}

void
h2_run_drop(struct block_pool *pool, struct h2_run *run, size_t bytes)
{
    while (bytes > 0) {
        struct h2_block *block = run->first;
        size_t here;

        must(block != NULL);
        here = block->end - block->at;
        if (bytes < here) {
            block->at += (uint32_t)bytes;
            return;
        }
        bytes -= here;
        run->first = block->next;
        block_give(pool, block);
    }
}

void
h2_run_clear(struct block_pool *pool, struct h2_run *run)
{
    while (run->first != NULL) {
        struct h2_block *block = run->first;

        run->first = block->next;
        block_give(pool, block);
    }
}
