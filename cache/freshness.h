/* SPDX-License-Identifier: BSD-2-Clause */
/* freshness.h - for how long a stored response may be used, as a shared cache
 * (RFC 9111 section 4.2), and what of it may be used after that.
 *
 * Dates are seconds since 1970; ages and lifetimes seconds up to DELTA_MAX,
 * where they saturate.
 */
#ifndef BASCULE_CACHE_FRESHNESS_H
#define BASCULE_CACHE_FRESHNESS_H

#include "cache/directives.h"

/* The operator's settings. */
struct lifetime_conf {
    uint32_t heuristic_max_s; /* a guessed lifetime is at most this; 0: never guess */
    uint32_t default_s;       /* where nothing is said and nothing can be guessed; 0: none */
    uint32_t stale_if_error_s, stale_while_revalidate_s; /* where the response says nothing */
    uint32_t min_s, max_s;    /* a lifetime is held between these; max_s 0: no limit */
};

/* A window of which the response says nothing: the operator's counts. */
#define WINDOW_UNSAID UINT32_MAX

struct lifetime {
    int64_t response_s;     /* when it came (or was last validated) */
    uint32_t initial_age_s; /* how old it was then */
    uint32_t fresh_s;       /* it is fresh while younger than this */
    uint32_t stale_while_revalidate_s, stale_if_error_s; /* for how long after that it may be
                                                            served, or WINDOW_UNSAID */
    bool is_explicit;     /* the response itself says: max-age, s-maxage, Expires */
    bool is_heuristic;    /* guessed from Last-Modified */
    bool is_immutable;    /* RFC 8246: while fresh, a request's max-age is no reason to validate */
    bool must_revalidate; /* no leave to serve it stale but by its own windows: must-revalidate,
                             proxy-revalidate, s-maxage, no-cache (section 4.2.4) */
    bool always_validate; /* no-cache: never served unasked, however fresh */
};

enum staleness {
    FRESH,                   /* good enough for this request */
    STALE_REVALIDATE_BEHIND, /* serve it, and validate it in the background */
    STALE_ON_ERROR,          /* ask the origin; serve it if none, or 500, 502 to 504, answers */
    STALE,                   /* ask the origin, whatever comes of it */
};

/* Works out the lifetime of a response that was asked for at request_s and came
 * at response_s. directives are those of the same fields. Sources in the order
 * of section 4.2.1: s-maxage, max-age, Expires, then a tenth of the time since
 * Last-Modified, then conf->default_s, the last two only for statuses of
 * status_is_heuristic() or with public (section 4.2.2). A lifetime from any of
 * these is held between conf's min_s and max_s. Ages by section 4.2.3.
 *
 * Own windows are 0 with must-revalidate, proxy-revalidate or no-cache. Beside
 * s-maxage alone they count, although that implies proxy-revalidate: who writes
 * both into one response means both. */
void lifetime_of_response(struct lifetime *lifetime, unsigned status, const struct fields *fields,
                          const struct directives *directives, const struct lifetime_conf *conf,
                          int64_t request_s, int64_t response_s);

/* The age at now_s (section 4.2.3): what Age says (section 5.1). */
uint32_t lifetime_age(const struct lifetime *lifetime, int64_t now_s);

/* Seconds it stays fresh after now_s; negative once it is stale. */
int64_t lifetime_left(const struct lifetime *lifetime, int64_t now_s);

/* Whether it is fresh at now_s, whoever asks (section 4.2). */
bool lifetime_is_fresh(const struct lifetime *lifetime, int64_t now_s);

/* Whether it may answer, unasked, a request with these directives: no-cache,
 * max-age, min-fresh, max-stale (section 5.2.1). Ages are whole seconds already
 * passed, so an age of 1 is more than max-age=1 allows. */
bool lifetime_is_enough(const struct lifetime *lifetime, const struct directives *request,
                        int64_t now_s);

/* What a request with these directives may be given at now_s. FRESH exactly
 * when lifetime_is_enough(). conf's windows count where the response has none
 * of its own, unless it must_revalidate; a request's own stale-if-error counts
 * before both (RFC 5861 section 4). A response that is fresh, yet not enough for
 * the request's max-age or min-fresh, is STALE_ON_ERROR. */
enum staleness lifetime_staleness(const struct lifetime *lifetime, const struct directives *request,
                                  const struct lifetime_conf *conf, int64_t now_s);

/* Whether a response with this status may be given a lifetime that it does not
 * state itself (RFC 9110 section 15.1). */
bool status_is_heuristic(unsigned status);

#endif
