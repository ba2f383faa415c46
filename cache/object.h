/* SPDX-License-Identifier: BSD-2-Clause */
/* object.h - a stored response in memory: its head, and perhaps its content.
 *
 * An object never changes once others can see it; freshening it by a 304 makes
 * a new one that shares the content on disk. It is counted by reference and
 * may be used by any thread. Head and content lie in one piece of memory:
 *
 *     struct object | fields | tags | key | names and values | content
 *
 * Its kinds, all found by key (cache_key.h, vary.h):
 *
 *     RESPONSE   a whole response
 *     PARTIAL    one range of it (a 206)
 *     VARIANTS   no response, but the names of what the responses vary by; each
 *                is under a key of its own, made of this object's generation
 *     SLICES     the head of a response whose content is in slices: objects
 *                under keys made of this one's generation and their number
 *
 * With the primary object (RESPONSE, VARIANTS, SLICES) all that hangs on its
 * generation is out of reach.
 */
#ifndef BASCULE_CACHE_OBJECT_H
#define BASCULE_CACHE_OBJECT_H

#include <stdatomic.h>

#include "cache/freshness.h"
#include "server/base/list.h"
#include "server/http/message.h"

struct disk_body;

enum object_kind { OBJECT_RESPONSE, OBJECT_PARTIAL, OBJECT_VARIANTS, OBJECT_SLICES, OBJECT_KINDS };

#define OBJECT_TAGS_MAX 128 /* tags of one object: Cache-Tag and our own */
#define OBJECT_HEAD_MAX (256u * 1024) /* key, fields and tags, packed */

/* What an object is made from; all borrowed. */
struct object_head {
    enum object_kind kind;
    uint16_t status;
    uint32_t site;            /* whose quota it counts for: object_site_id() */
    uint64_t hash;            /* of key, by the store's own secret */
    uint64_t seq;             /* when its fetch began, among the store's purges */
    uint64_t generation;      /* of its primary */
    struct slice key;
    struct lifetime life;
    const struct fields *fields; /* as stored: no hop-by-hop, no Age, no Cache-Status of ours */
    struct slice vary;        /* VARIANTS: names as vary_names() writes them */
    struct slice url;         /* the public URL: for `cache get` and purges by prefix */
    const uint64_t *tags;     /* purge_tag() of URL, site and Cache-Tag */
    unsigned tag_count;
    uint64_t first_byte;      /* PARTIAL, a slice: where its content is in the whole */
    uint64_t whole_bytes;     /* PARTIAL, SLICES: of all content; LENGTH_UNKNOWN if nobody said */
    uint32_t slice_bytes;     /* SLICES */
};

/* The memory tier's own (memory.c). */
struct resident {
    struct list link;        /* in the queue of its shard */
    struct object *next;     /* of its bucket */
    uint8_t queue;
    _Atomic uint8_t uses;    /* since it was last looked at; stays small */
};

struct object {
    /* What finding looks at lies together. */
    _Atomic unsigned references;
    uint16_t status;
    uint8_t kind;
    _Atomic bool is_gone;    /* forgotten by the store: may not be put there again */
    uint64_t hash;
    struct slice key;
    struct resident resident;
    _Atomic uint64_t checked_seq; /* no purge up to this one concerns it */
    uint64_t seq, generation;

    uint32_t site;
    uint32_t slice_bytes;
    uint32_t head_bytes;     /* of the whole piece before the content */
    unsigned tag_count;
    struct slice vary, url;
    struct lifetime life;
    struct fields fields;
    uint64_t *tags;
    uint64_t first_byte, whole_bytes;
    uint64_t body_bytes;     /* of its content; LENGTH_UNKNOWN while that grows (fill.h) */
    char *body;              /* in memory; NULL: on disk, or there is none */
    _Atomic(struct disk_body *) on_disk; /* counted; NULL: not there (yet); set once */
};

/* A new object with one reference, with room for body_room bytes of content
 * behind the head (0: none; then body is NULL) and body_bytes set to it. The
 * maker fills in body before anybody else sees it. Copies everything. NULL when
 * memory is short or head is over a limit. */
struct object *object_new(const struct object_head *head, uint64_t body_room);

/* A copy with another head's fields and life but the same content: what a 304
 * makes. Content in memory is copied, on disk it is shared. NULL as above. */
struct object *object_freshened(const struct object *old, const struct object_head *head);

/* What head would make of it again; borrows from object. */
void object_head_of(const struct object *object, struct object_head *head);

struct object *object_ref(struct object *object);
void object_unref(struct object *object); /* NULL is fine */

/* What it takes of memory. */
size_t object_memory(const struct object *object);

/* The id of a site's or listener's name in quotas; never 0. */
uint32_t object_site_id(struct slice name);

/* ---- as bytes: the head in a record on disk. Little-endian, versioned. */

/* Bytes that object_pack() writes. */
size_t object_packed_bytes(const struct object *object);
void object_pack(const struct object *object, char *out);

/* The object that was packed, with room for body_room bytes of content. The
 * bytes are not trusted: NULL when they are not what object_pack() writes. */
struct object *object_unpack(struct slice packed, uint64_t body_room);

#endif
