/* SPDX-License-Identifier: BSD-2-Clause */
/* part.h - parts of one representation, and what becomes of them together
 * (RFC 9111 section 3.4).
 *
 * Parts belong together when their strong ETags say so; by Last-Modified alone
 * nothing is combined.
 */
#ifndef BASCULE_CACHE_PART_H
#define BASCULE_CACHE_PART_H

#include "cache/byte_range.h"
#include "cache/object.h"
#include "server/http/body.h"

/* What a 206 says that it is. */
struct part {
    struct byte_range range;
    uint64_t whole_bytes; /* never unknown */
    struct slice etag;    /* strong; borrowed from the fields */
};

/* Reads it from the fields of a 206 with length bytes of content. False: it
 * cannot be combined with anything. */
bool part_of_response(struct part *part, const struct fields *fields, uint64_t length);

/* Where the content of a stored object of kind PARTIAL is in the whole. False: it is
 * none, or, having come from disk, lies nowhere. */
bool part_range(const struct object *object, struct byte_range *range);

/* What such an object is, to be combined. */
bool part_of_object(struct part *part, const struct object *object);

/* Whether this is the range asked for, of the same representation as other. */
bool part_is(const struct part *part, struct byte_range range, const struct part *other);

/* What makes a stored part the whole, if that is one range. */
bool part_missing(const struct part *part, struct byte_range *missing);

/* Makes a request ask for this range of a representation of whole_bytes
 * (LENGTH_UNKNOWN: of any length), and for all of it should its ETag be another
 * one by now: If-Range, RFC 9110 section 13.1.5. etag: empty: of any. */
void part_ask(struct fields *request, struct arena *arena, struct byte_range range,
              uint64_t whole_bytes, struct slice etag);

/* The fields of a part become those of the whole. */
void part_forget_range(struct fields *fields);

/* Both parts as one object: PARTIAL, or RESPONSE if that is the whole. newer tells
 * key, lifetime and tags; fields are those of older, brought up to date. NULL: they
 * do not belong together, neither touch nor overlap, would be longer than
 * max_bytes or are not in memory; or memory is short. Counted. */
struct object *part_joined(const struct object *older, const struct object *newer,
                           uint64_t max_bytes, struct arena *arena);

/* ---- slices of a stored head: a SLICES object (object.h) */

/* Whether object, which may come from disk, is a head that slices can hang on: of
 * the others no more may be asked. */
bool part_is_head(const struct object *object);

/* The part that slice number n has to be. */
struct part part_of_slice(const struct object *head, uint64_t n);

/* Where it is kept: written into room, which has part_slice_key_bytes(). */
size_t part_slice_key_bytes(const struct object *head);
struct slice part_slice_key(char *room, const struct object *head, uint64_t n);

/* A new object for its content, with room for it. NULL: memory is short. */
struct object *part_new_slice(const struct object *head, uint64_t n, struct slice key,
                              uint64_t hash, uint64_t seq);

/* Whether object, found where it is kept, is that slice. */
bool part_is_slice(const struct object *object, const struct object *head, uint64_t n);

/* ---- the whole, of a stored part and the rest that arrives */

struct part_source {
    struct source source;
    const struct object *part; /* in memory */
    uint64_t at;               /* of the whole */
};

/* Borrows part; reads what it lacks from rest. */
void part_source_init(struct part_source *source, const struct object *part, struct source *rest);

#endif
