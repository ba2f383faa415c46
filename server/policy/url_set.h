/* SPDX-License-Identifier: BSD-2-Clause */
/* url_set.h - a set of beginnings of URLs, and of expressions.
 *
 *     example.com/ads          /ads, /ads/a.gif, /ads?x; of example.com and hosts below it
 *     example.com/view?id=7    /view?id=7, /view?id=7&page=2
 *
 * Beginnings end where a segment of the path or a member of the query ends. An
 * expression is searched for in HOST/PATH?QUERY, in either case of letters.
 *
 * Built by one thread, then read-only.
 */
#ifndef BASCULE_URL_SET_H
#define BASCULE_URL_SET_H

#include "server/base/err.h"
#include "server/policy/domain_set.h"

struct pattern;

/* Embedded. Private. */
struct url_set {
    struct domain_set hosts;
    struct fingerprint_set paths;
    size_t most_segments, most_members; /* of a path, of a query, in the set */
    struct pattern **patterns;
    size_t pattern_count;
};

void url_set_init(struct url_set *set);
void url_set_fini(struct url_set *set);

/* Adds a beginning. host is good (domain_is_good()), path in normal form with more
 * than "/" or with a query; query.data NULL: none. 1: it is new; 0: it was there; -1:
 * memory is short. */
int url_set_add(struct url_set *set, struct slice host, struct slice path, struct slice query);

/* Adds an expression (NUL-terminated). 0, or -1 with err. */
int url_set_add_pattern(struct url_set *set, const char *text, struct err *err);

/* An expression that takes too much work to try counts as found: what is asked
 * for is mostly what is not allowed. */
bool url_set_has(const struct url_set *set, struct slice host, struct slice path,
                 struct slice query);

/* Of beginnings and of expressions. */
static inline size_t
url_set_count(const struct url_set *set)
{
    return set->paths.count + set->pattern_count;
}

size_t url_set_bytes(const struct url_set *set);

#endif
