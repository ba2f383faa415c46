/* SPDX-License-Identifier: BSD-2-Clause */
/* url_set.c - the hosts that have paths in the set are a set of domains; under each
 * that a host is in, the beginnings of its path are hashed from left to right:
 *
 *     example.com | /ads | /banners | ? | id=7
 *                   mark    mark          mark
 *
 * up to as many segments as some path of the set has.
 */
#include "config.h"

#include "server/policy/url_set.h"

#include "server/base/must.h"
#include "server/base/pattern.h"

#include <stdlib.h>

#define SUBJECT_BYTES_MAX (68u * 1024) /* of a URL, for expressions: more than a request line has */
#define PATTERN_BYTES 1024u      /* a guess, for status */
#define QUERY_MARK UINT64_MAX    /* no piece is so long */

void
url_set_init(struct url_set *set)
{
    *set = (struct url_set){ .pattern_count = 0 };
    domain_set_init(&set->hosts);
}

void
url_set_fini(struct url_set *set)
{
    domain_set_fini(&set->hosts);
    fingerprint_set_fini(&set->paths);
    for (size_t i = 0; i < set->pattern_count; i++)
        pattern_free(set->patterns[i]);
    free(set->patterns);
    set->patterns = NULL;
    set->pattern_count = 0;
}

size_t
url_set_bytes(const struct url_set *set)
{
    return domain_set_bytes(&set->hosts) + fingerprint_set_bytes(&set->paths) +
           set->pattern_count * (sizeof(*set->patterns) + PATTERN_BYTES);
}

/* ---- beginnings */

static struct sip
begin(const struct url_set *set, struct slice host)
{
    struct sip sip = sip_begin(&set->hosts.key);

    sip_absorb_piece(&sip, host, host.bytes);
    return sip;
}

/* Takes what stands before the next separator off *rest; empty pieces too. */
static struct slice
take_piece(struct slice *rest, char separator)
{
    ptrdiff_t at = slice_find(*rest, separator);
    struct slice piece = slice_make(rest->data, at >= 0 ? (size_t)at : rest->bytes);

    *rest = at >= 0 ? slice_skip(*rest, piece.bytes + 1) : slice_make(NULL, 0);
    return piece;
}

/* "/a/b/" is "a/b": a slash at the end says nothing about where a beginning ends. */
static struct slice
segments_of(struct slice path)
{
    if (path.bytes > 0 && path.data[0] == '/')
        path = slice_skip(path, 1);
    if (path.bytes > 0 && path.data[path.bytes - 1] == '/')
        path.bytes--;
    return path;
}

static size_t
absorb_all(struct sip *sip, struct slice text, char separator)
{
    size_t count = 0;

    for (; text.data != NULL && text.bytes > 0; count++) {
        struct slice piece = take_piece(&text, separator);

        sip_absorb_piece(sip, piece, piece.bytes);
    }
    return count;
}

int
url_set_add(struct url_set *set, struct slice host, struct slice path, struct slice query)
{
    struct sip sip = begin(set, host);
    size_t segments = absorb_all(&sip, segments_of(path), '/'), members = 0;
    int result;

    if (query.data != NULL && query.bytes > 0) {
        sip_absorb(&sip, QUERY_MARK);
        members = absorb_all(&sip, query, '&');
    }
    if (domain_set_add(&set->hosts, host, false) < 0)
        return -1;
    result = fingerprint_set_add(&set->paths, fingerprint_of(sip));
    if (result > 0 && segments > set->most_segments)
        set->most_segments = segments;
    if (result > 0 && members > set->most_members)
        set->most_members = members;
    return result;
}

static bool
has_query(const struct url_set *set, struct sip sip, struct slice query)
{
    if (query.data == NULL)
        return false;
    sip_absorb(&sip, QUERY_MARK);
    for (size_t i = 0; i < set->most_members && query.bytes > 0; i++) {
        struct slice member = take_piece(&query, '&');

        sip_absorb_piece(&sip, member, member.bytes);
        if (fingerprint_set_has(&set->paths, fingerprint_of(sip)))
            return true;
    }
    return false;
}

static bool
has_path(const struct url_set *set, struct slice host, struct slice path, struct slice query)
{
    struct sip sip = begin(set, host);
    struct slice rest = segments_of(path);

    for (size_t i = 0; i < set->most_segments && rest.bytes > 0; i++) {
        struct slice segment = take_piece(&rest, '/');

        sip_absorb_piece(&sip, segment, segment.bytes);
        if (fingerprint_set_has(&set->paths, fingerprint_of(sip)))
            return true;
    }
    return rest.bytes == 0 && has_query(set, sip, query);
}

/* ---- expressions */

int
url_set_add_pattern(struct url_set *set, const char *text, struct err *err)
{
    struct pattern **more;

    more = reallocarray(set->patterns, set->pattern_count + 1, sizeof(*more));
    if (more == NULL)
        return err_set(err, "memory is short");
    set->patterns = more;
    more[set->pattern_count] = pattern_new(text, true, err);
    if (more[set->pattern_count] == NULL)
        return -1;
    set->pattern_count++;
    return 0;
}

static char *
put(char *to, struct slice text)
{
    return text.bytes > 0 ? (char *)mempcpy(to, text.data, text.bytes) : to;
}

static bool
some_pattern_matches(const struct url_set *set, struct slice host, struct slice path,
                     struct slice query)
{
    char subject[SUBJECT_BYTES_MAX], *end;

    if (host.bytes + path.bytes + 1 + query.bytes > sizeof(subject))
        return true;
    end = put(put(subject, host), path);
    if (query.data != NULL)
        end = put(put(end, SLICE("?")), query);
    for (size_t i = 0; i < set->pattern_count; i++)
        if (pattern_match(set->patterns[i], slice_make(subject, (size_t)(end - subject)), NULL) !=
            PATTERN_MISS)
            return true;
    return false;
}

/* ---- asking */

bool
url_set_has(const struct url_set *set, struct slice host, struct slice path, struct slice query)
{
    struct slice above = host, domain;

    while (domain_set_find(&set->hosts, above, &domain) > 0) {
        ptrdiff_t dot = slice_find(domain, '.');

        if (has_path(set, domain, path, query))
            return true;
        if (dot < 0)
            break;
        above = slice_skip(domain, (size_t)dot + 1);
    }
    return set->pattern_count > 0 && some_pattern_matches(set, host, path, query);
}
