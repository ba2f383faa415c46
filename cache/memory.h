/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.h - the memory tier: hot objects, found without waiting for anybody.
 *
 * A table in shards, each with a lock that is held for a few dozen
 * nanoseconds, and with queues of its own by which objects are admitted and
 * evicted: S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023), because a scan passes through its small queue without
 * touching what is hot, and a hit changes no list. README.md compares it.
 */
#ifndef BASCULE_CACHE_MEMORY_H
#define BASCULE_CACHE_MEMORY_H

#include "cache/object.h"

struct memory;

/* NULL when memory is short. */
struct memory *memory_new(uint64_t max_bytes);
void memory_free(struct memory *memory);

/* Another limit, at once: evicts if it has to. */
void memory_resize(struct memory *memory, uint64_t max_bytes);

/* The object under key, with one more reference; NULL when it is not here. */
struct object *memory_find(struct memory *memory, uint64_t hash, struct slice key);

/* Whether an object with this hash is here; not counted as a use. For the disk
 * tier, to which what is found here all the time looks as if nobody wanted it. */
bool memory_has(struct memory *memory, uint64_t hash);

/* Puts object under its key in place of what is there; counts a reference.
 * False when it is longer than the tier takes, a sixteenth of it (what was
 * there goes even so, being older), or is_gone. What it replaces it is wanted as
 * much as: it takes its place in the queue. */
bool memory_put(struct memory *memory, struct object *object);

/* The same only if nothing is there, or something of a lower seq: what a read from disk
 * brings. */
bool memory_add(struct memory *memory, struct object *object);

/* Forgets what is under key, and marks it is_gone. True when there was something. */
bool memory_forget(struct memory *memory, uint64_t hash, struct slice key);

/* Forgets this very object, if it is here still. */
void memory_remove(struct memory *memory, struct object *object);

/* Forgets objects with this hash that are of no use any more. */
void memory_prune(struct memory *memory, uint64_t hash,
                  bool (*is_useless)(const struct object *object));

/* Calls each for every object, a few hundred at a time under a lock: for
 * commands. each must be quick and not call back. What is put meanwhile may make
 * it come to an object twice, but never pass over one that stays. False ends it. */
void memory_each(struct memory *memory, bool (*each)(const struct object *, void *), void *arg);

struct memory_facts {
    uint64_t objects, bytes, max_bytes, evicted, refused;
};
void memory_facts(struct memory *memory, struct memory_facts *facts);
uint64_t memory_site_bytes(struct memory *memory, uint32_t site);

#endif
