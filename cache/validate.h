/* SPDX-License-Identifier: BSD-2-Clause */
/* validate.h - conditional requests: answered from a stored response, and made
 * to ask the origin whether one is still good (RFC 9110 section 13, RFC 9111
 * section 4.3).
 *
 * An ETag that does not follow the grammar, or stands there twice, is none; so
 * is a date that cannot be read.
 */
#ifndef BASCULE_VALIDATE_H
#define BASCULE_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"
#include "server/http/header.h"

/* An entity tag (RFC 9110 section 8.8.3). */
struct etag {
    struct slice opaque; /* between the quotes */
    bool is_weak;
};

/* Reads one entity tag and nothing else. obs-text is fine. */
bool etag_parse(struct slice text, struct etag *etag);

/* Comparison (RFC 9110 section 8.8.3.2) of two values of ETag; false when one
 * is no entity tag. */
bool validate_etag_strong_equal(struct slice a, struct slice b);
bool validate_etag_weak_equal(struct slice a, struct slice b);

/* The value of a response's ETag; { NULL, 0 } when it has none that is one. */
struct slice validate_etag(const struct fields *response);

/* Whether ETag is strong, or Last-Modified is at least a second older than Date
 * (RFC 9110 section 8.8.2.2): required before parts may be combined. */
bool validate_is_strong(const struct fields *response, int64_t now_s);

/* What of a stored response the conditions of a request are judged by. */
struct validate_stored {
    const struct fields *fields;
    unsigned status;
    int64_t response_s; /* when it came, for one without Date */
};

enum validate_result {
    VALIDATE_PASS,         /* the stored response answers: 200, or 206 (validate_range_applies) */
    VALIDATE_NOT_MODIFIED, /* 304 */
    VALIDATE_ASK,          /* If-Match or If-Unmodified-Since does not hold here: that is for the
                            * origin to judge (RFC 9111 section 4.3.2), which may answer 412 */
};

/* Judges the conditions of a GET or HEAD request that the stored response could
 * answer. They count for a status of 2xx only (RFC 9110 section 13.2.1). Order:
 * If-Match or else If-Unmodified-Since, If-None-Match or else If-Modified-Since
 * (section 13.2.2). */
enum validate_result validate_request(const struct fields *request,
                                      const struct validate_stored *stored, int64_t now_s);

/* Whether the request's Range counts: there is no If-Range, or it names this
 * very representation (RFC 9110 section 13.1.5). */
bool validate_range_applies(const struct fields *request, const struct fields *stored,
                            int64_t now_s);

/* Removes If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since and
 * If-Range. */
void validate_remove_conditions(struct fields *request);

/* Makes the request ask whether the stored response is still good (RFC 9111
 * section 4.3.1): its own conditions go, If-None-Match with the stored ETag and
 * If-Modified-Since with the stored Last-Modified come. False when the stored
 * response has neither: the request then has no condition. Borrows values of
 * stored. */
bool validate_add_conditions(struct fields *request, struct arena *arena,
                             const struct fields *stored, int64_t now_s);

#endif
