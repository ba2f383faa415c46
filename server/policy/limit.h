/* SPDX-License-Identifier: BSD-2-Clause */
/* limit.h - how much one may have of something: tables of counters by key.
 *
 *     limits = ( { name = "logins"; key = "client"; rate = "10/1m"; burst = 10; } );
 *
 * Three kinds in one table: a rate (the generic cell rate algorithm: one number
 * per key, no timers), a number of things at a time, and a quota of bytes in a
 * period. A table lives in the registry, is bounded (max_keys) and shared by all
 * threads (limit_table.h): 16 bytes a key for rates, 5 more with concurrency, 21
 * more with a quota. IPv6 clients count by their /64. When a table is full, the key
 * that has been quiet longest goes; one that is being limited stays before one that
 * is not.
 *
 * A reload that changes rate, burst, concurrency or quota keeps what was counted; one
 * that changes key, max_keys or which of the three kinds there are begins anew.
 */
#ifndef BASCULE_LIMIT_H
#define BASCULE_LIMIT_H

#include "server/config/option.h"
#include "server/policy/facts.h"

struct conf;
struct limit;

#define LIMIT_PARTS_MAX 8

/* Of a key: where in the facts it is. */
struct limit_part {
    uint8_t kind;      /* private */
    uint16_t field_id; /* of a header: enum field_id */
    struct slice name; /* of a header or cookie */
};

struct limit_conf {
    struct place place;
    const char *name;
    struct strings key;      /* parts: "client", "user", "host", "listener", "path", "method",
                                "sni", "header:NAME", "cookie:NAME"; a combination by itself */
    int64_t requests;        /* of rate = "REQUESTS/TIME" */
    uint32_t period_ms;
    int64_t burst;           /* at once, before the rate holds; 0: as many as requests */
    int64_t concurrency;     /* at a time; 0: any */
    uint64_t quota_bytes;    /* of quota = "BYTES/TIME": content both ways */
    uint32_t quota_ms;
    int64_t max_keys;
    int64_t ipv4_bits, ipv6_bits; /* of a client's address that count: 32 and 64 */
    struct limit_part parts[LIMIT_PARTS_MAX]; /* key, compiled by limit_conf_finish() */
    unsigned part_count;
    bool is_used;            /* by a filter, which says so in its finish hook */
    struct limit *limit;     /* in the registry */
};

extern const struct option limit_options[];

/* Checks what is configured and compiles the key. 0, or -1 with err. */
int limit_conf_finish(struct limit_conf *conf, struct err *err);

/* Finds the table of each limit or makes it; all or none. */
int limits_adopt(struct conf *conf, struct err *err);
void limits_release(struct conf *conf);

/* What conf says counts from now on: once nothing can fail any more. */
void limits_apply(const struct conf *conf);

/* The same for one that has no block of its own in the configuration: conf->limit is counted,
 * and given back with limit_unref(). What its keys are is its owner's affair. */
int limit_adopt(struct limit_conf *conf, struct err *err);

/* What it says about the key, after the call. Times in milliseconds from now. */
struct limit_state {
    bool is_over;
    int64_t limit, remaining; /* requests of the burst; without a rate bytes of the quota, or
                                 else how many at a time */
    uint64_t retry_ms;        /* with is_over: when one would be let through; of how many at a
                                 time nobody knows: a second */
    uint64_t reset_ms;        /* until all of it is there again */
};

/* A number for the key of these facts: keyed, so that nobody can choose it. False: a part
 * of the key is not there (no user): it is not limited. */
bool limit_key(const struct limit_conf *conf, const struct facts *facts, uint64_t *key);

/* Takes one. True: let through, and counted; false: over the rate, the quota or how many at
 * a time, and not counted. now_ms by CLOCK_MONOTONIC (loop_now_ms()). state may be NULL. */
bool limit_take(struct limit *limit, uint64_t key, uint64_t now_ms, struct limit_state *state);

/* The same without taking, or remembering that the key was seen: for explain. */
bool limit_look(const struct limit *limit, uint64_t key, uint64_t now_ms,
                struct limit_state *state);

/* One more at a time, after limit_take() let it through; false: there are too many, or the
 * table is full of those that have not left. Whoever was let in leaves, once, from any thread;
 * keep the limit with limit_ref() until then: the snapshot may end before. Limits without
 * concurrency: always true, and leaving does nothing. */
bool limit_enter(struct limit *limit, uint64_t key);
void limit_leave(struct limit *limit, uint64_t key);

/* Bytes for a quota: of what has passed; the next limit_take() is over when they are spent. */
void limit_spend(struct limit *limit, uint64_t key, uint64_t bytes, uint64_t now_ms);

struct limit *limit_ref(struct limit *limit);
void limit_unref(struct limit *limit);

struct limit_facts {
    uint64_t keys;    /* remembered now; of some nothing counts any more */
    uint64_t taken, refused;
    uint64_t evicted; /* keys forgotten, for others, of which something still counted */
};

void limit_facts(const struct limit *limit, struct limit_facts *facts);

#endif
