/* SPDX-License-Identifier: BSD-2-Clause */
/* index.h - where on disk the object of a key hash begins: 16 bytes each.
 *
 * An entry is the whole hash and a place. Entries lie in 1024 shards, each a
 * table with open addressing whose entries are in the order of their hashes,
 * so that making it larger is one pass over memory. Shards grow by a fifth when
 * they are nine tenths full: 17.8 to 22.2 bytes per object, at any time, since only
 * one shard in a thousand is there twice at a time.
 *
 * Any thread; the lock of a shard is held for a few hundred nanoseconds, and
 * while it grows for some ten microseconds (ten million objects: ten thousand
 * entries each).
 */
#ifndef BASCULE_CACHE_INDEX_H
#define BASCULE_CACHE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index;

#define INDEX_SLOTS 65536u  /* segments: 1 .. INDEX_SLOTS - 1 */
#define INDEX_SITES 4096u

struct place {
    uint16_t slot;          /* the segment's, never 0 */
    uint16_t site;          /* a number below INDEX_SITES */
    uint32_t unit;          /* where the record begins, in RECORD_UNIT; 25 bits */
    uint8_t size_class;     /* of the whole object (record.h) */
    bool is_long;           /* its content is in extents */
    bool is_read;           /* since it was written */
    bool is_mark;           /* while loading: it was forgotten here; never found */
};

enum index_put { INDEX_ADDED, INDEX_REPLACED, INDEX_REFUSED };

struct index *index_new(void); /* NULL when memory is short */
void index_free(struct index *index); /* NULL is fine */

/* The place of hash. False: it has none. */
bool index_find(struct index *index, uint64_t hash, struct place *place);

/* Sets the place of hash. REPLACED: *old is what it was; REFUSED: memory is short. */
enum index_put index_put(struct index *index, uint64_t hash, const struct place *place,
                         struct place *old);

/* The same, but REFUSED as well when is_newer(old, arg) says that what is there is newer
 * than what comes; it is called under the shard's lock. */
enum index_put index_put_unless(struct index *index, uint64_t hash, const struct place *place,
                                bool (*is_newer)(const struct place *old, void *arg), void *arg,
                                struct place *old);

/* Removes hash; with at only if that is still its place. True: *old is what it was. */
bool index_remove(struct index *index, uint64_t hash, const struct place *at, struct place *old);

/* Notes that hash was read. */
void index_touch(struct index *index, uint64_t hash);

/* Removes all marks. */
void index_drop_marks(struct index *index);

/* Whether both name the same record. */
static inline bool
place_equal(const struct place *a, const struct place *b)
{
    return a->slot == b->slot && a->unit == b->unit;
}

uint64_t index_count(struct index *index);
uint64_t index_memory(const struct index *index); /* bytes */

#endif
