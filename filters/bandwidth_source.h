/* SPDX-License-Identifier: BSD-2-Clause */
/* bandwidth_source.h - content that takes its fair part of a rate. */
#ifndef BASCULE_BANDWIDTH_SOURCE_H
#define BASCULE_BANDWIDTH_SOURCE_H

#include "server/http/body.h"
#include "server/policy/fair_share.h"

/* What is the same for all content of a filter. */
struct bandwidth_terms {
    struct fair_rate rate;
    uint64_t quick_bytes; /* of the beginning of each content: before others */
    uint32_t weight;
};

/* Zeroed before. All private. */
struct bandwidth_source {
    struct source source;
    struct fair_flow flow;
    struct timer timer; /* armed: it is not its turn */
    struct loop *loop;
    const struct bandwidth_terms *terms;
    uint64_t credit;    /* bytes that may pass */
    uint64_t passed, left; /* left: LENGTH_UNKNOWN, or what is to come, as far as is known */
    bool has_waited;
    bool is_over;
};

/* A source over inner of length bytes, as whose flow a place in share is taken: until
 * bandwidth_source_end(), which is called once. Keeps the forms of inner and shortens its
 * pieces. *is_crowded: the table of keys is full. */
struct source *bandwidth_source_begin(struct bandwidth_source *source, struct loop *loop,
                                      struct source *inner, uint64_t length,
                                      const struct bandwidth_terms *terms,
                                      struct fair_share *share, uint64_t key, bool *is_crowded);
void bandwidth_source_end(struct bandwidth_source *source);

#endif
