/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_answer.h - responses made of stored objects. */
#ifndef BASCULE_CACHE_ANSWER_H
#define BASCULE_CACHE_ANSWER_H

#include "cache/byte_range.h"
#include "modes/cached.h"

/* Makes ex->response of a stored object: 200 and the like, 304 if the client has
 * it (RFC 9110 section 13), 206 for a range of it, 416. Counts a reference. The
 * outcome is told in Cache-Status. False: the request's conditions are for the
 * origin to judge. */
bool cache_answer(struct exchange *ex, struct object *object);

/* What range of an object of whole_bytes the request asks for, as far as its Range
 * counts. */
enum range_result cache_answer_range(const struct exchange *ex, const struct object *object,
                                     uint64_t whole_bytes, struct byte_range *range);

/* Which content cache_answer() will send of an object in slices. False: none. */
bool cache_answer_sends(const struct exchange *ex, const struct object *object,
                        struct byte_range *range);

/* cache_answer() of a fill whose head is there, which ex->cached->reader reads. */
void cache_answer_growing(struct exchange *ex);

/* Tells the client what the cache did: Cache-Status, once, whoever made the response. */
void cache_answer_status(struct exchange *ex);

#endif
