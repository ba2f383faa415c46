/* SPDX-License-Identifier: BSD-2-Clause */
/* byte_range.h - parts of a representation (RFC 9110 section 14).
 *
 * Answers of several parts (multipart/byteranges) are never made: ranges that
 * touch are one, others are answered in full, as section 14.2 allows.
 */
#ifndef BASCULE_BYTE_RANGE_H
#define BASCULE_BYTE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"

#define RANGES_MAX 16                     /* in one Range field */
#define RANGE_LENGTH_UNKNOWN UINT64_MAX   /* of the complete representation */
#define CONTENT_RANGE_BYTES 70            /* the longest Content-Range, with a NUL */

/* Both ends belong to it: first <= last < UINT64_MAX. */
struct byte_range {
    uint64_t first, last;
};

static inline uint64_t
byte_range_bytes(struct byte_range range)
{
    return range.last - range.first + 1;
}

enum range_result {
    RANGE_IGNORE,        /* malformed, another unit, too many or scattered: 200 in full */
    RANGE_ONE,           /* 206 with this range */
    RANGE_UNSATISFIABLE, /* 416 */
};

/* Reads the value of Range for a representation of length bytes. The caller has
 * made sure that the field counts (validate_range_applies) and stands there
 * once, in a GET. */
enum range_result byte_range_parse(struct slice value, uint64_t length,
                                   struct byte_range *range);

/* Where the range that value asks for begins, as far as that can be said before
 * anybody knows the length: 0 for a suffix ("bytes=-5"). False: it asks for
 * several ranges, or is none at all. */
bool byte_range_begins(struct slice value, uint64_t *first);

enum content_range_kind {
    CONTENT_RANGE_BAD,         /* refuse the message: nobody knows what its content is */
    CONTENT_RANGE_PART,        /* "bytes 0-4/10", in a 206 */
    CONTENT_RANGE_UNSATISFIED, /* "bytes *" "/10", in a 416 */
};

/* Reads the value of Content-Range (section 14.4). *length is
 * RANGE_LENGTH_UNKNOWN for "*"; otherwise the part lies within it. */
enum content_range_kind content_range_parse(struct slice value, struct byte_range *range,
                                            uint64_t *length);

/* Writes "bytes 0-4/10" (length may be unknown) and "bytes *" "/10" into text;
 * the result is a slice of it, with a NUL behind. */
struct slice content_range_format(char text[CONTENT_RANGE_BYTES], struct byte_range range,
                                  uint64_t length);
struct slice content_range_unsatisfied(char text[CONTENT_RANGE_BYTES], uint64_t length);

/* Writes the value of Range that asks for this part: "bytes=0-4", and without an
 * end ("bytes=5-") when it reaches the end of the representation. */
struct slice byte_range_format(char text[CONTENT_RANGE_BYTES], struct byte_range range,
                               uint64_t length);

/* Joins ranges that overlap or touch. False, and *joined is as it was, when they
 * do neither. That both are of one representation, under the same strong
 * validator, is for the caller to know (RFC 9111 section 3.4). */
bool byte_range_join(struct byte_range a, struct byte_range b, struct byte_range *joined);

/* Whether inner lies within outer. */
bool byte_range_covers(struct byte_range outer, struct byte_range inner);

/* What must be fetched so that have and it together hold want, as one range.
 * False when nothing is missing. When want sticks out at both ends of have, all
 * of want is missing. */
bool byte_range_missing(struct byte_range have, struct byte_range want,
                        struct byte_range *missing);

/* Numbers of the slices of slice_bytes each, aligned, that cover the range. */
struct slice_span {
    uint64_t first, last;
};
struct slice_span byte_range_slices(struct byte_range range, uint64_t slice_bytes);

/* The bytes of slice number n of a representation of length bytes (or unknown:
 * then the slice is whole). n must lie within it. */
struct byte_range byte_range_of_slice(uint64_t n, uint64_t slice_bytes, uint64_t length);

#endif
