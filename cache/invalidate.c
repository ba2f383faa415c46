/* SPDX-License-Identifier: BSD-2-Clause */
/* invalidate.c - resolves references (RFC 3986 section 5.2) at one origin. */
#include "config.h"

#include "cache/invalidate.h"

#include "server/http/scan.h"
#include "server/http/uri.h"

/* ---- origins */

static bool
is_same_authority(struct arena *arena, const struct invalidate_target *target,
                  struct slice authority)
{
    struct slice host;
    int port;

    if (uri_parse_authority(authority, &host, &port) < 0)
        return false; /* with user information, too: no such URL was ever stored */
    if (port < 0)
        port = slice_equal(target->scheme, SLICE("https")) ? 443 : 80;
    return port == target->port && slice_equal(uri_normal_host(host, arena), target->host);
}

/* The length of the scheme in front of a reference, 0 when it is relative: a colon
 * before any slash or question mark. */
static size_t
scheme_bytes(struct slice reference)
{
    for (size_t i = 0; i < reference.bytes; i++) {
        char c = reference.data[i];

        if (c == ':')
            return i;
        if (c == '/' || c == '?')
            return 0;
    }
    return 0;
}

/* Takes scheme and authority off the reference. False when they are not the
 * target's. */
static bool
take_origin(struct arena *arena, const struct invalidate_target *target,
            struct slice *reference, bool *has_authority)
{
    struct slice scheme = slice_make(reference->data, scheme_bytes(*reference));
    size_t bytes = 2;

    *has_authority = false;
    if (scheme.bytes > 0) {
        *reference = slice_skip(*reference, scheme.bytes + 1);
        if (!slice_equal_nocase(scheme, target->scheme) ||
            !slice_starts_with(*reference, SLICE("//")))
            return false;
    }
    if (!slice_starts_with(*reference, SLICE("//")))
        return true;
    while (bytes < reference->bytes && reference->data[bytes] != '/' &&
           reference->data[bytes] != '?')
        bytes++;
    *has_authority = true;
    if (!is_same_authority(arena, target, slice_make(reference->data + 2, bytes - 2)))
        return false;
    *reference = slice_skip(*reference, bytes);
    return true;
}

/* ---- paths */

/* Removes dot segments of a path with a slash in front, in place (RFC 3986 section
 * 5.2.4). Returns the place behind. */
static char *
remove_dots(char *path, char *end)
{
    char *out = path, *at = path;

    while (at < end) {
        char *next = at + 1;
        size_t bytes;

        while (next < end && *next != '/')
            next++;
        bytes = (size_t)(next - at);
        if (bytes == 3 && at[1] == '.' && at[2] == '.') {
            while (out > path && *--out != '/')
                continue;
            if (next == end)
                *out++ = '/';
        } else if (bytes == 2 && at[1] == '.') {
            if (next == end)
                *out++ = '/';
        } else {
            memmove(out, at, bytes);
            out += bytes;
        }
        at = next;
    }
    return out;
}

static char *
put(char *at, struct slice s)
{
    return s.bytes > 0 ? mempcpy(at, s.data, s.bytes) : at;
}

/* The base's path up to its last slash. */
static struct slice
folder_of(struct slice path)
{
    while (path.bytes > 0 && path.data[path.bytes - 1] != '/')
        path.bytes--;
    return path.bytes > 0 && path.data[0] == '/' ? path : SLICE("/");
}

static char *
put_path(char *text, struct slice base, struct slice path)
{
    char *at = text;

    if (path.data[0] != '/')
        at = put(at, folder_of(base));
    return remove_dots(text, put(at, path));
}

static char *
put_query(char *at, struct slice query)
{
    if (query.data == NULL)
        return at;
    *at++ = '?';
    return put(at, query);
}

/* ---- the whole */

struct slice
invalidate_resolve(struct arena *arena, const struct invalidate_target *target,
                   struct slice reference)
{
    struct slice path, query, base_path, base_query;
    bool has_authority;
    char *text, *at;

    reference = slice_trim(reference);
    if (slice_find(reference, '#') >= 0)
        reference.bytes = (size_t)slice_find(reference, '#');
    if (scan_target(reference.data, reference.data + reference.bytes) !=
            reference.data + reference.bytes ||
        !take_origin(arena, target, &reference, &has_authority))
        return slice_make(NULL, 0);
    uri_split_query(reference, &path, &query);
    uri_split_query(target->url, &base_path, &base_query);
    text = arena_alloc(arena, target->url.bytes + reference.bytes + 1);
    if (text == NULL)
        return slice_make(NULL, 0);
    if (path.bytes > 0)
        at = put_path(text, base_path, path);
    else
        at = put(text, has_authority ? SLICE("/") : base_path);
    if (path.bytes == 0 && !has_authority && query.data == NULL)
        query = base_query;
    return slice_make(text, (size_t)(put_query(at, query) - text));
}

static void
add(struct slice *out, unsigned *count, struct slice url)
{
    if (url.data == NULL)
        return;
    for (unsigned i = 0; i < *count; i++)
        if (slice_equal(out[i], url))
            return;
    out[(*count)++] = url;
}

unsigned
invalidate_targets(struct arena *arena, enum method method, unsigned status,
                   const struct invalidate_target *target, const struct fields *response,
                   struct slice out[INVALIDATE_MAX])
{
    static const enum field_id ids[] = { FIELD_LOCATION, FIELD_CONTENT_LOCATION };
    unsigned count = 0;

    if (method_is_safe(method) || status < 200 || status > 399)
        return 0;
    add(out, &count, target->url);
    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++) {
        const struct field *line = fields_find(response, ids[i]);

        if (line != NULL)
            add(out, &count, invalidate_resolve(arena, target, line->value));
    }
    return count;
}
