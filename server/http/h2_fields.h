/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_fields.h - HTTP/2 field sections to messages and back (RFC 9113 section 8).
 *
 * Strict in both directions: what passes here can be written as HTTP/1.1 without
 * becoming another message (section 10.3).
 */
#ifndef BASCULE_H2_FIELDS_H
#define BASCULE_H2_FIELDS_H

#include <nghttp2/nghttp2.h>

#include "server/http/h1_parse.h"
#include "server/http/message.h"

struct exchange;

enum h2_section { H2_REQUEST, H2_RESPONSE, H2_TRAILERS };

/* A field section while its lines arrive. Lines are copied to the arena; once
 * there is a fault they are only counted. */
struct h2_head {
    struct arena *arena;
    const struct h1_limits *limits;
    struct fields fields;
    struct slice method, scheme, authority, path, protocol; /* data NULL: not there */
    uint64_t bytes;      /* as SETTINGS_MAX_HEADER_LIST_SIZE counts them */
    struct h1_refusal fault; /* status 0: none so far */
    uint16_t status;     /* of a response */
    uint8_t section;     /* enum h2_section */
    bool is_malformed;   /* the fault breaks the protocol: the stream has to be reset */
    bool saw_field;      /* one that is no pseudo-field */
    uint32_t cookies;    /* lines of Cookie */
};

/* Begins a section; borrows arena and limits. */
void h2_head_begin(struct h2_head *head, enum h2_section section, struct arena *arena,
                   const struct h1_limits *limits);

/* Takes a line. Names and values are copied. */
void h2_head_add(struct h2_head *head, struct slice name, struct slice value);

/* What the connection adds to a request. */
struct h2_request_context {
    bool is_tls;      /* decides the scheme where the client speaks to us as to the origin */
    bool is_proxied;  /* the client names an origin: absolute form, and its scheme counts */
    bool is_end;      /* no content follows */
};

/* Makes a request of a whole section. CONNECT with :protocol websocket becomes
 * a GET that asks for an upgrade as HTTP/1.1 has it, with a key of our own in
 * *key_accept, the answer that it has to get (28 characters and a NUL); that is
 * empty for all other requests. 0, or -1 with *refusal; head->is_malformed then
 * says whether the stream has to be reset besides. What is known of the request
 * by then is in *request. */
#define H2_ACCEPT_BYTES 29
MUST_USE int h2_head_to_request(struct h2_head *head, const struct h2_request_context *context,
                                struct request *request, char key_accept[H2_ACCEPT_BYTES],
                                struct h1_refusal *refusal);

/* The same for a response, final or interim, to a request with this method. */
MUST_USE int h2_head_to_response(struct h2_head *head, enum method request_method, bool is_end,
                                 struct response *response, struct h1_refusal *refusal);

/* Trailers without those that must not come there (RFC 9110 section 6.5.1), as
 * h1_chunked.h has it; NULL when none are left. They stay in *head. -1 when they
 * are malformed. */
MUST_USE int h2_head_to_trailers(struct h2_head *head, const struct fields **trailers);

/* ---- to the wire
 *
 * Names and values are borrowed (NGHTTP2_NV_FLAG_NO_COPY_*): they must live until
 * the frame has been made. The array is good until the next one is made on this
 * thread; NULL when the arena is spent. */

struct h2_lines {
    nghttp2_nv *items;
    size_t count;
};

/* A final response; status is the one to be sent (200 for a 101). */
struct h2_lines h2_lines_of_response(struct exchange *ex, unsigned status);
struct h2_lines h2_lines_of_interim(struct exchange *ex, unsigned status,
                                    const struct fields *fields);

/* ex->out and ex->request as they go upstream; is_tls: the scheme is https there.
 * An upgrade is not asked for. */
struct h2_lines h2_lines_of_request(struct exchange *ex, bool is_tls);

struct h2_lines h2_lines_of_trailers(struct arena *arena, const struct fields *trailers);

/* ---- priorities (RFC 9218) */

struct h2_priority {
    uint8_t urgency;     /* 0 (first) .. 7 */
    bool is_incremental; /* shares with others of its urgency */
};

/* Of a Priority field's value, or of a PRIORITY_UPDATE frame's; what cannot be
 * read leaves *priority as it was. */
void h2_priority_parse(struct slice value, struct h2_priority *priority);

#endif
