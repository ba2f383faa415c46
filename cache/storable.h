/* SPDX-License-Identifier: BSD-2-Clause */
/* storable.h - whether a shared cache may store a response, and is right to
 * (RFC 9111 section 3).
 *
 * Safe rather than complete: beyond what the RFC forbids, responses are kept
 * out that set cookies without saying that they are for all, and those that
 * answer something in the request that is not part of the cache key.
 */
#ifndef BASCULE_CACHE_STORABLE_H
#define BASCULE_CACHE_STORABLE_H

#include "cache/freshness.h"
#include "server/http/message.h"

struct storable_question {
    enum method method;
    unsigned status;
    const struct fields *request_fields, *response_fields;
    const struct directives *request, *response; /* of these fields */
    const struct lifetime *lifetime;             /* of the response */
    bool has_content;     /* the request had some: more than Content-Length: 0 */
    bool is_of_target;    /* Content-Location is the target URI: decides for POST */
    bool has_valid_range; /* a 206 has one valid Content-Range */
    bool stores_cookies;  /* option: Set-Cookie is no reason against */
};

enum storable_verdict {
    STORABLE,
    NOT_STORABLE_METHOD,
    NOT_STORABLE_CONTENT,       /* a GET with content, which the key does not cover */
    NOT_STORABLE_STATUS,
    NOT_STORABLE_NOT_UNDERSTOOD, /* must-understand */
    NOT_STORABLE_REQUEST_NO_STORE,
    NOT_STORABLE_NO_STORE,
    NOT_STORABLE_PRIVATE,
    NOT_STORABLE_AUTHORIZATION,
    NOT_STORABLE_SET_COOKIE,
    NOT_STORABLE_VARY,
    NOT_STORABLE_PARTIAL,
    NOT_STORABLE_NO_LIFETIME, /* nothing says that it may be stored */
    NOT_STORABLE_USELESS,     /* could neither be served nor validated later */
    STORABLE_VERDICTS
};

/* Judges. The first reason against counts, in the order above. */
enum storable_verdict storable_judge(const struct storable_question *question);

/* A short word for logs and Cache-Status details: "no-store". */
struct slice storable_text(enum storable_verdict verdict);

#endif
