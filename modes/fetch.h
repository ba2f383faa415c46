/* SPDX-License-Identifier: BSD-2-Clause */
/* fetch.h - an exchange without a client (solo.h) that fills an object of the cache.
 *
 * It begins on the road where the request it stands for would have gone
 * upstream, and ends in a fill (cache/fill.h) instead of a connection. Nobody
 * leads it: it ends when the content does, or when no reader is left.
 */
#ifndef BASCULE_FETCH_H
#define BASCULE_FETCH_H

#include "modes/cached.h"

struct fetch;

enum fetch_kind {
    FETCH_WHOLE,  /* all of the content */
    FETCH_REST,   /* what a stored part lacks, to make it the whole */
    FETCH_SLICES, /* a slice, and by that what is to be known of all of them */
    FETCH_SLICE,  /* a slice behind a head that is stored */
};

struct fetch_order {
    enum fetch_kind kind;
    struct object *validate;    /* WHOLE, SLICES: a stored object that may still be good; NULL */
    struct object *of;          /* REST: the part; SLICE: the head */
    uint64_t slice;             /* its number */
    struct fill_reader *reader; /* the first to read; NULL: nobody waits for it */
};

/* Starts fetching for ex what belongs at its cached->place, or the slice. False:
 * memory is short, or somebody else has begun in this moment. */
bool fetch_start(struct exchange *ex, const struct fetch_order *order);

/* The asking exchange is over, or goes its own way. */
void fetch_forget_asker(struct cached *cached);

#endif
