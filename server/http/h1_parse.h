/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_parse.h - heads of HTTP/1 messages: bytes in, meaning out (RFC 9112).
 *
 * Strict: what two readers could understand differently is refused, because a
 * guess is how requests are smuggled (section 11.2). Works in two steps, first
 * h1_scan_head() as bytes arrive, then a parse of the whole head.
 */
#ifndef BASCULE_H1_PARSE_H
#define BASCULE_H1_PARSE_H

#include "server/base/must.h"
#include "server/http/message.h"

struct h1_limits {
    uint32_t line_bytes;  /* request or status line, its CRLF not counted */
    uint32_t head_bytes;  /* all of the head (more than line_bytes + 2), or of a trailer section */
    uint32_t field_count; /* lines of either */
};

/* Why a message is refused, and with which status: 400, 414, 431, 501 or 505
 * for requests; responses are always 502. The reason is static text. */
struct h1_refusal {
    uint16_t status;
    const char *reason;
};

/* Connection options beyond this many are refused: each costs a look at every
 * field. */
enum { H1_CONNECTION_OPTIONS_MAX = 32 };

/* Where the search for the end of a head stands. Zero it to begin. */
struct h1_scan {
    uint32_t at;         /* bytes looked at */
    uint32_t line_start; /* of the line that at is in */
    uint32_t lines;      /* complete ones */
    uint32_t skipped;    /* bytes of an empty line in front of a request */
};

enum h1_progress { H1_NEED_INPUT, H1_DONE, H1_REFUSED };

/* Looks for the end of a head in all bytes that have arrived of this message
 * (at each call from the same start; it is never looked for twice in the same
 * bytes). H1_DONE: *head is the head with its final empty line. One empty line
 * in front of a request is passed over (section 2.2); it does not belong to the
 * head: what follows the head starts at head->data + head->bytes. H1_REFUSED:
 * as soon as a limit is exceeded or the bytes can never become a head, such as
 * those of TLS on a plain port. */
MUST_USE enum h1_progress h1_scan_head(struct h1_scan *scan, struct slice bytes,
                                       const struct h1_limits *limits, bool is_request,
                                       struct slice *head, struct h1_refusal *refusal);

/* Reads a whole head into *request. Its slices point into head, which must
 * live as long; what else is needed comes from the arena. The scheme is "http"
 * unless the target says otherwise: the caller knows about TLS, and then about
 * the port. body is left NULL. Returns 0, or -1 with *refusal.
 *
 * Where the target has an authority (absolute form, CONNECT), it alone counts:
 * a Host that says otherwise is replaced by it (section 3.2.2). OPTIONS of an
 * absolute URI without path and query has the path "*" (section 3.2.4). */
MUST_USE int h1_parse_request(struct slice head, struct arena *arena,
                              const struct h1_limits *limits, struct request *request,
                              struct h1_refusal *refusal);

/* The same for a response to a request with this method, on which the framing
 * depends (section 6.3). */
MUST_USE int h1_parse_response(struct slice head, struct arena *arena,
                               const struct h1_limits *limits, enum method request_method,
                               struct response *response, struct h1_refusal *refusal);

/* Reads field lines up to the empty line that ends the section: a head without
 * its first line, or a trailer section. Adds them to *fields. */
MUST_USE int h1_parse_fields(struct slice section, struct arena *arena,
                             const struct h1_limits *limits, struct fields *fields,
                             struct h1_refusal *refusal);

/* The method of that name; METHOD_OTHER for names we do not know. */
enum method method_of(struct slice name);

#endif
