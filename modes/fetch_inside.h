/* SPDX-License-Identifier: BSD-2-Clause */
/* fetch_inside.h - what a fetch is made of, for fetch.c and fetch_deliver.c. */
#ifndef BASCULE_FETCH_INSIDE_H
#define BASCULE_FETCH_INSIDE_H

#include "cache/cache_conf.h"
#include "cache/part.h"
#include "modes/fetch.h"
#include "modes/solo.h"

struct fetch {
    struct solo solo;         /* which does the fetching */
    struct cached cached;     /* a copy of the asking exchange's: keys, configuration */
    struct cache_conf conf;   /* cached's: as rules made it */
    struct cached *asker;     /* that of the asking exchange; NULL: gone, or fetched behind */
    struct fill *fill;
    enum fetch_kind kind;
    struct object *validate;  /* counted; NULL: nothing is validated */
    struct object *of;        /* counted: the part, or the head of slices; NULL */
    uint64_t slice;           /* its number */
    struct part_source rest;  /* FETCH_REST: the content with what was there */
    const struct decision *told_decision; /* the last that the asking exchange was told of */
    uint64_t seq;
    uint64_t reserved_bytes;  /* of the store's room for what is being fetched */
    int64_t request_s;
};

/* A fill for what it fetches next, at its place; of a slice: at that slice's.
 * False: memory is short, or there is one already. */
bool fetch_make_fill(struct fetch *fetch, bool outlives_readers);

/* Ends a fill: what is whole goes into the store. */
void fetch_store(struct store *store, struct fill *fill);

/* For the log line of the exchange that asked: who it was that answered, and what filters did
 * about it. */
void fetch_tell_asker(struct fetch *fetch);

/* The fetch of an exchange without a client that is one. */
static inline struct fetch *
fetch_of(const struct exchange *ex)
{
    return container_of(ex->solo, struct fetch, solo);
}

/* The step that takes the place of delivery: the response goes into the fill. */
enum step fetch_deliver(struct exchange *ex);

#endif
