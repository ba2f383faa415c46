/* SPDX-License-Identifier: BSD-2-Clause */
/* public_url.h - URLs as clients write them, in one spelling each: what purges
 * and `bascule cache get` name stored objects by.
 *
 *     https://www.example.com/a?b     scheme and host in lower case, no default port,
 *                                     path and query exactly as they came
 */
#ifndef BASCULE_CACHE_PUBLIC_URL_H
#define BASCULE_CACHE_PUBLIC_URL_H

#include "cache/cache_key.h"
#include "server/base/err.h"

struct public_url {
    struct slice scheme;   /* "http" or "https" */
    struct slice host;     /* lower case, brackets of IPv6 kept off */
    uint16_t port;         /* always given */
    struct slice resource; /* path and query; at least "/" */
};

/* Reads what an operator wrote; memory from arena. 0, or -1 with err. */
int public_url_parse(struct public_url *url, struct arena *arena, struct slice text,
                     struct err *err) MUST_USE;

/* In one piece. { NULL, 0 } when the arena is spent. */
struct slice public_url_text(struct arena *arena, const struct public_url *url);

/* The same without what does not count by the rules of conf: all URLs for which one
 * answer is stored have one such text, by which it is purged. */
struct slice public_url_counting(struct arena *arena, const struct key_conf *conf,
                                 const struct public_url *url);

#endif
