/* SPDX-License-Identifier: BSD-2-Clause */
/* keep.h - what of a response goes into the store, and what goes out of date. */
#ifndef BASCULE_KEEP_H
#define BASCULE_KEEP_H

#include "cache/public_url.h"
#include "cache/storable.h"
#include "modes/cached.h"

/* A response as it is to be stored. */
struct keep {
    const struct cached *cached;
    struct directives directives; /* of the response */
    struct lifetime life;
    enum storable_verdict verdict;
    struct slice vary;            /* names of the fields it varies on, the site's own too */
};

/* Judges ex->response, which came from upstream for a request sent at
 * request_s. Adds a Date to it if it has none. */
void keep_judge(struct keep *keep, struct exchange *ex, const struct cached *cached,
                int64_t request_s);

/* The object it is to be, with room for body_room bytes of content: head as
 * judged, place found by what it varies on. seq: when its fetch began. NULL when
 * memory is short. Puts the primary object of its variants into the store, too. */
struct object *keep_object(const struct keep *keep, struct exchange *ex, uint64_t seq,
                           uint64_t body_room);

/* A head for the private answer of one reader: never stored. */
struct object *keep_private(struct exchange *ex);

/* Brings a stored object up to date with ex->response, a 304 to its validators
 * or the answer to HEAD, and stores it; forgets it when that says that it is private, or
 * for other requests than it is stored for. The new object, counted; NULL: it may not
 * be stored any more, or memory is short. */
struct object *keep_freshened(struct exchange *ex, const struct cached *cached,
                              struct object *old, uint64_t seq, int64_t request_s);

/* ex->response, of a method that is not safe, makes stored ones out of date (RFC 9111
 * section 4.4). */
void keep_invalidate(struct exchange *ex);

/* Copies the content of ex->response into the store as it passes by, where an
 * exchange that went upstream alone brought something storable: ranges, answers
 * to POST or to requests with credentials. A range is combined with the part that
 * is stored (part.h). */
void keep_passing(struct exchange *ex);
void keep_passing_end(struct exchange *ex);

/* ---- what an object can be purged by, besides the text of its URL */

/* What the client asked for. */
struct public_url keep_public_url(struct exchange *ex);

/* Within whose tags: the site's name, or the listener's for what belongs to none. */
struct slice keep_site_name(const struct exchange *ex);

/* The next tag of a list separated by commas (Cache-Tag), or spaces (Surrogate-Key). */
bool keep_next_tag(struct slice *list, struct slice *tag);

/* A site's tag as purge_tag() wants it: site, NUL, tag. */
struct slice keep_tag_text(struct arena *arena, struct slice site, struct slice tag);

/* The place of a variant: the key of its primary, its generation, its values. */
struct slice keep_variant_key(struct arena *arena, const struct cached *cached,
                              struct slice names, uint64_t generation,
                              const struct fields *request);

/* The generation in the key of such an object: whose primary it hangs on. */
uint64_t keep_variant_generation(const struct cached *cached, const struct object *object);

#endif
