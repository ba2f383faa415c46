/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_status.c - writes one member of a structured list (RFC 9651 section 4.1). */
#include "config.h"

#include "cache/cache_status.h"

#include "server/http/scan.h"

static const struct slice words[] = {
    [CACHE_FORWARD_NONE] = SLICE_INIT("hit"),
    [CACHE_FORWARD_BYPASS] = SLICE_INIT("bypass"),
    [CACHE_FORWARD_METHOD] = SLICE_INIT("method"),
    [CACHE_FORWARD_URI_MISS] = SLICE_INIT("uri-miss"),
    [CACHE_FORWARD_VARY_MISS] = SLICE_INIT("vary-miss"),
    [CACHE_FORWARD_MISS] = SLICE_INIT("miss"),
    [CACHE_FORWARD_REQUEST] = SLICE_INIT("request"),
    [CACHE_FORWARD_STALE] = SLICE_INIT("stale"),
    [CACHE_FORWARD_PARTIAL] = SLICE_INIT("partial"),
};

/* The longest of all that does not depend on name, key and detail. */
#define FIXED_BYTES \
    (sizeof("; fwd=vary-miss; fwd-status=65535; ttl=-999999999999999; stored; collapsed; key=; " \
            "detail=") - 1)
#define INTEGER_MAX INT64_C(999999999999999) /* RFC 9651 section 3.3.1 */

struct slice
cache_status_word(enum cache_forward forward)
{
    return words[forward];
}

static char *
put(char *at, struct slice s)
{
    return s.bytes > 0 ? mempcpy(at, s.data, s.bytes) : at;
}

static char *
put_integer(char *at, int64_t value)
{
    char digits[16];
    unsigned count = 0;

    if (value < 0) {
        *at++ = '-';
        value = value < -INTEGER_MAX ? INTEGER_MAX : -value;
    }
    if (value > INTEGER_MAX)
        value = INTEGER_MAX;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* Section 4.1.6. */
static char *
put_string(char *at, struct slice s)
{
    *at++ = '"';
    for (size_t i = 0; i < s.bytes; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if (c == '"' || c == '\\')
            *at++ = '\\';
        *at++ = c == '\0' ? ' ' : c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    *at++ = '"';
    return at;
}

/* A token where it can be one. */
static char *
put_name(char *at, struct slice s)
{
    return scan_is_structured_token(s) ? put(at, s) : put_string(at, s);
}

static char *
put_what_happened(char *at, const struct cache_outcome *outcome)
{
    if (outcome->forward == CACHE_FORWARD_NONE)
        return put(at, SLICE("; hit"));
    at = put(at, SLICE("; fwd="));
    at = put(at, words[outcome->forward]);
    if (outcome->forward_status > 0) {
        at = put(at, SLICE("; fwd-status="));
        at = put_integer(at, outcome->forward_status);
    }
    return at;
}

struct slice
cache_status_text(struct arena *arena, const struct cache_outcome *outcome)
{
    size_t strings = outcome->name.bytes + outcome->key.bytes + outcome->detail.bytes;
    char *text = arena_alloc(arena, FIXED_BYTES + 2 * strings + 6), *at = text;

    if (text == NULL)
        return slice_make("", 0);
    at = put_name(at, outcome->name);
    at = put_what_happened(at, outcome);
    if (outcome->has_ttl) {
        at = put(at, SLICE("; ttl="));
        at = put_integer(at, outcome->ttl_s);
    }
    if (outcome->is_stored)
        at = put(at, SLICE("; stored"));
    if (outcome->is_collapsed)
        at = put(at, SLICE("; collapsed"));
    if (outcome->key.bytes > 0)
        at = put_string(put(at, SLICE("; key=")), outcome->key);
    if (outcome->detail.bytes > 0) {
        at = put(at, SLICE("; detail="));
        at = put_name(at, outcome->detail);
    }
    return slice_make(text, (size_t)(at - text));
}
