/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity_cookies.h - whose cookies may pass, and for how long. */
#ifndef BASCULE_ANONYMITY_COOKIES_H
#define BASCULE_ANONYMITY_COOKIES_H

#include "server/http/exchange.h"

enum cookie_policy {
    COOKIES_PROFILE,        /* as the profile says: pass, with strict no_third_party */
    COOKIES_PASS,
    COOKIES_NO_THIRD_PARTY, /* none between a client and whom another site's page asks */
    COOKIES_SESSION_ONLY,   /* they end with the browser's session */
    COOKIES_NONE,
};

/* Whether both hosts, in any case, are of one registrable domain ("example.co.uk") by the
 * public suffix list; without libpsl, of one domain of two labels. Addresses are of the
 * same site only when they are the same. */
bool cookies_is_same_site(struct slice one, struct slice other);

/* Whether a page of another site makes the client ask, other than to open the answer as a
 * page: by Sec-Fetch-Site where there is one, by Origin and Referer otherwise. */
bool cookies_is_third_party(const struct request *request);

/* A Set-Cookie without Expires and Max-Age; itself when it has none, and when it deletes
 * the cookie. now: seconds since 1970. Empty when the arena is spent. */
struct slice cookies_for_session(struct slice cookie, int64_t now, struct arena *arena);

#endif
