/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_run.h - bytes that wait, in blocks of a worker's pool. */
#ifndef BASCULE_H2_RUN_H
#define BASCULE_H2_RUN_H

#include <sys/uio.h>

#include "server/base/arena.h"

struct h2_block;

/* Zeroed: empty. Empty runs hold no memory. */
struct h2_run {
    struct h2_block *first, *last;
};

/* Copies bytes behind the others. False when memory is short: some of them may
 * be there then. */
MUST_USE bool h2_run_append(struct block_pool *pool, struct h2_run *run, const char *data,
                            size_t bytes);

/* A few contiguous bytes behind the others, to be filled in; NULL when memory is
 * short. Good until they are dropped. */
char *h2_run_reserve(struct block_pool *pool, struct h2_run *run, size_t bytes);

/* The first pieces, at most room of them. Returns how many; *bytes is their sum. */
unsigned h2_run_gather(const struct h2_run *run, struct iovec *iov, unsigned room, size_t *bytes);

/* Drops the first bytes, of which there must be so many. */
void h2_run_drop(struct block_pool *pool, struct h2_run *run, size_t bytes);
void h2_run_clear(struct block_pool *pool, struct h2_run *run);

#endif
