/* SPDX-License-Identifier: BSD-2-Clause */
/* freshness.c - the arithmetic of RFC 9111 section 4.2, for a shared cache. */
#include "config.h"

#include "cache/freshness.h"

#include "server/http/date.h"

static uint32_t
saturate(int64_t seconds)
{
    return seconds < 0 ? 0 : seconds > DELTA_MAX ? DELTA_MAX : (uint32_t)seconds;
}

/* later - earlier, whatever these are: clocks and dates may be absurd. */
static int64_t
difference(int64_t later, int64_t earlier)
{
    int64_t seconds;

    if (__builtin_sub_overflow(later, earlier, &seconds))
        return later > earlier ? INT64_MAX : INT64_MIN;
    return seconds;
}

/* ---- lifetime (section 4.2.1) */

/* Date as the response says it; the time it came where it says none that can be
 * read (RFC 9110 section 6.6.1). */
static int64_t
date_of(const struct fields *fields, int64_t response_s)
{
    int64_t date_s;

    return date_parse(fields_get(fields, FIELD_DATE), response_s, &date_s) ? date_s : response_s;
}

/* Section 5.3: what is no date, above all "0", means that it has expired; so do
 * several lines, of which none can be preferred. */
static uint32_t
expires_after(const struct fields *fields, const struct field *expires, int64_t response_s)
{
    int64_t expires_s;

    if (fields_next(fields, FIELD_EXPIRES, expires) != NULL ||
        !date_parse(expires->value, response_s, &expires_s))
        return 0;
    return saturate(difference(expires_s, date_of(fields, response_s)));
}

static bool
find_explicit(struct lifetime *lifetime, const struct fields *fields,
              const struct directives *directives)
{
    const struct field *expires;

    if (directives_has(directives, DIRECTIVE_S_MAXAGE)) {
        lifetime->fresh_s = directives->s_maxage_s;
        return true;
    }
    if (directives_has(directives, DIRECTIVE_MAX_AGE)) {
        lifetime->fresh_s = directives->max_age_s;
        return true;
    }
    expires = directives->is_targeted ? NULL : fields_find(fields, FIELD_EXPIRES);
    if (expires == NULL)
        return false;
    lifetime->fresh_s = expires_after(fields, expires, lifetime->response_s);
    return true;
}

/* Section 4.2.2: a tenth of the time since it changed. */
static bool
guess(struct lifetime *lifetime, const struct fields *fields, const struct lifetime_conf *conf)
{
    int64_t modified_s, response_s = lifetime->response_s;
    uint32_t tenth;

    if (conf->heuristic_max_s == 0 ||
        !date_parse(fields_get(fields, FIELD_LAST_MODIFIED), response_s, &modified_s))
        return false;
    tenth = saturate(difference(date_of(fields, response_s), modified_s) / 10);
    lifetime->fresh_s = tenth < conf->heuristic_max_s ? tenth : conf->heuristic_max_s;
    return lifetime->fresh_s > 0;
}

static void
find_fresh(struct lifetime *lifetime, unsigned status, const struct fields *fields,
           const struct directives *directives, const struct lifetime_conf *conf)
{
    bool may_guess = status_is_heuristic(status) || directives_has(directives, DIRECTIVE_PUBLIC);

    lifetime->is_explicit = find_explicit(lifetime, fields, directives);
    if (!lifetime->is_explicit) {
        if (!may_guess)
            return;
        lifetime->is_heuristic = guess(lifetime, fields, conf);
        if (!lifetime->is_heuristic)
            lifetime->fresh_s = conf->default_s;
        if (lifetime->fresh_s == 0)
            return;
    }
    if (conf->max_s > 0 && lifetime->fresh_s > conf->max_s)
        lifetime->fresh_s = conf->max_s;
    if (lifetime->fresh_s < conf->min_s)
        lifetime->fresh_s = conf->min_s;
}

/* ---- age (section 4.2.3) */

/* Section 5.1: of several values the first; one that is no number is ignored. */
static uint32_t
age_value(const struct fields *fields)
{
    struct slice list = fields_get(fields, FIELD_AGE), first;
    uint64_t seconds = 0;

    if (!slice_next_element(&list, &first))
        return 0;
    for (size_t i = 0; i < first.bytes; i++) {
        if (!ascii_is_digit(first.data[i]))
            return 0;
        seconds = seconds * 10 + (uint64_t)(first.data[i] - '0');
        if (seconds > DELTA_MAX)
            seconds = DELTA_MAX;
    }
    return (uint32_t)seconds;
}

static uint32_t
initial_age(const struct fields *fields, int64_t request_s, int64_t response_s)
{
    uint32_t apparent = saturate(difference(response_s, date_of(fields, response_s)));
    uint32_t delay = saturate(difference(response_s, request_s));
    uint32_t corrected = saturate((int64_t)age_value(fields) + delay);

    return apparent > corrected ? apparent : corrected;
}

/* ---- windows (section 4.2.4, RFC 5861) */

static void
find_windows(struct lifetime *lifetime, const struct directives *directives)
{
    const uint32_t never = DIRECTIVE_MUST_REVALIDATE | DIRECTIVE_PROXY_REVALIDATE |
                           DIRECTIVE_NO_CACHE;

    lifetime->must_revalidate = directives_has(directives, never | DIRECTIVE_S_MAXAGE);
    if (directives_has(directives, never))
        return; /* both are 0 */
    lifetime->stale_while_revalidate_s =
        directives_has(directives, DIRECTIVE_STALE_WHILE_REVALIDATE)
            ? directives->stale_while_revalidate_s : WINDOW_UNSAID;
    lifetime->stale_if_error_s = directives_has(directives, DIRECTIVE_STALE_IF_ERROR)
                                     ? directives->stale_if_error_s : WINDOW_UNSAID;
}

void
lifetime_of_response(struct lifetime *lifetime, unsigned status, const struct fields *fields,
                     const struct directives *directives, const struct lifetime_conf *conf,
                     int64_t request_s, int64_t response_s)
{
    *lifetime = (struct lifetime){
        .response_s = response_s,
        .initial_age_s = initial_age(fields, request_s, response_s),
        .is_immutable = directives_has(directives, DIRECTIVE_IMMUTABLE),
        .always_validate = directives_has(directives, DIRECTIVE_NO_CACHE),
    };
    find_fresh(lifetime, status, fields, directives, conf);
    find_windows(lifetime, directives);
}

/* ---- use */

uint32_t
lifetime_age(const struct lifetime *lifetime, int64_t now_s)
{
    uint32_t resident = saturate(difference(now_s, lifetime->response_s));

    return saturate((int64_t)lifetime->initial_age_s + resident);
}

int64_t
lifetime_left(const struct lifetime *lifetime, int64_t now_s)
{
    return (int64_t)lifetime->fresh_s - lifetime_age(lifetime, now_s);
}

bool
lifetime_is_fresh(const struct lifetime *lifetime, int64_t now_s)
{
    return lifetime_left(lifetime, now_s) > 0;
}

/* Section 5.2.1.1 and 5.2.1.3: whether the request is content with this age. */
static bool
is_young_enough(const struct lifetime *lifetime, const struct directives *request, int64_t left)
{
    int64_t age = (int64_t)lifetime->fresh_s - left;

    if (directives_has(request, DIRECTIVE_MIN_FRESH) && left < request->min_fresh_s)
        return false;
    return !directives_has(request, DIRECTIVE_MAX_AGE) || age < request->max_age_s ||
           (lifetime->is_immutable && left > 0);
}

/* Section 5.2.1.2. */
static bool
is_accepted_stale(const struct lifetime *lifetime, const struct directives *request, int64_t over)
{
    return directives_has(request, DIRECTIVE_MAX_STALE) && !lifetime->must_revalidate &&
           (over < request->max_stale_s || request->max_stale_s == DELTA_MAX);
}

bool
lifetime_is_enough(const struct lifetime *lifetime, const struct directives *request,
                   int64_t now_s)
{
    int64_t left = lifetime_left(lifetime, now_s);

    if (lifetime->always_validate || directives_has(request, DIRECTIVE_NO_CACHE))
        return false;
    return is_young_enough(lifetime, request, left) &&
           (left > 0 || is_accepted_stale(lifetime, request, -left));
}

static uint32_t
window(const struct lifetime *lifetime, uint32_t own_s, uint32_t conf_s)
{
    return own_s != WINDOW_UNSAID ? own_s : lifetime->must_revalidate ? 0 : conf_s;
}

enum staleness
lifetime_staleness(const struct lifetime *lifetime, const struct directives *request,
                   const struct lifetime_conf *conf, int64_t now_s)
{
    uint32_t behind_s =
        window(lifetime, lifetime->stale_while_revalidate_s, conf->stale_while_revalidate_s);
    uint32_t error_s = window(lifetime, lifetime->stale_if_error_s, conf->stale_if_error_s);
    int64_t over = -lifetime_left(lifetime, now_s);

    if (lifetime->always_validate || directives_has(request, DIRECTIVE_NO_CACHE))
        return STALE;
    if (lifetime_is_enough(lifetime, request, now_s))
        return FRESH;
    if (over < 0)
        return STALE_ON_ERROR;
    if (over < behind_s && !directives_has(request, DIRECTIVE_MAX_AGE | DIRECTIVE_MIN_FRESH))
        return STALE_REVALIDATE_BEHIND;
    if (directives_has(request, DIRECTIVE_STALE_IF_ERROR) && !lifetime->must_revalidate)
        error_s = request->stale_if_error_s;
    return over < error_s || over < behind_s ? STALE_ON_ERROR : STALE;
}

bool
status_is_heuristic(unsigned status)
{
    switch (status) {
    case 200: case 203: case 204: case 206:
    case 300: case 301: case 308:
    case 404: case 405: case 410: case 414:
    case 501:
        return true;
    }
    return false;
}
