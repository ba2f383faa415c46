/* SPDX-License-Identifier: BSD-2-Clause */
/* cached.h - an exchange's dealings with the cache: what the steps share.
 *
 *     look_up.c       is there an answer already? who fetches it otherwise?
 *     finding.c       an object in memory or on disk
 *     slices.c        content that is kept in slices
 *     cache_answer.c  a response made of a stored object, or of one that grows
 *     fetch.c         an exchange without a client, which fills an object
 *     keep.c          from a response to an object; what others make out of date
 *     purge_request.c the method PURGE
 *     cache_count.c   what became of it, in numbers
 */
#ifndef BASCULE_CACHED_H
#define BASCULE_CACHED_H

#include "cache/cache_status.h"
#include "cache/object_source.h"
#include "cache/store.h"
#include "modes/mode.h"
#include "server/http/exchange.h"

struct fetch;
struct finding;
struct slices;
struct purge_request;
struct tee;

enum cached_state {
    CACHED_BEGIN,
    CACHED_PRIMARY, /* the disk is asked for what is under the URL */
    CACHED_VARIANT, /* ... and for the variant */
    CACHED_READING, /* a fill is read */
    CACHED_SLICES,  /* the first slice is awaited */
    CACHED_ALONE,   /* the exchange goes upstream itself */
    CACHED_PURGE,   /* the exchange purges */
    CACHED_DONE,    /* answered */
};

/* In the exchange's arena; NULL while the exchange has nothing to do with a cache. */
struct cached {
    struct exchange *ex;
    const struct cache_conf *conf;
    struct store *store;
    struct directives directives; /* of the request */
    struct key_parts parts;       /* what the key is made of */
    struct slice key;             /* of the URL: the primary object's */
    struct slice place;           /* the response's: key, or a variant's */
    uint64_t hash, place_hash;    /* of both */
    struct slice vary;            /* names of the variants' fields; empty: there are none */
    uint64_t generation;          /* of the primary object that has variants */
    uint64_t seq;                 /* ALONE: of purges, when it began to ask upstream */
    int64_t request_s;            /* ... and when that was */
    struct object *object;        /* found at place; counted. NULL: nothing */
    struct finding *finding;      /* under way on disk */
    struct purge_request *purge;  /* under way */
    struct fill_reader reader;
    struct object_source content;
    struct slices *slices;        /* whose content is the answer's; NULL: not in slices */
    struct fetch *fetch;          /* that was started for it, while that goes on */
    struct fields cookies;        /* that came with an answer which is stored without them */
    struct tee *tee;              /* a copy of the response on its way into the store */
    struct cache_outcome outcome; /* for Cache-Status, log and explain */
    enum staleness staleness;     /* of object */
    uint8_t state;                /* enum cached_state */
    uint8_t tries;                /* fills that failed, or turned out to be another variant's */
    bool is_soft_purged;          /* object is */
    bool is_stale;                /* a stale answer was given */
    bool wants_range;
    bool goes_alone;              /* what was fetched for it is of no use */
    bool has_content;             /* content is initialised */
    bool is_counted;
    bool is_told;                 /* the client, by Cache-Status */
};

/* The wall clock, in seconds. */
static inline int64_t
cached_now(const struct exchange *ex)
{
    return (int64_t)(loop_wall_ms(ex->worker->loop) / 1000);
}

#endif
