/* SPDX-License-Identifier: BSD-2-Clause */
/* html.c - measures, then writes: most texts are short and clean. */
#include "config.h"

#include "server/http/html.h"

#include "server/log/escape.h"

#define REPLACEMENT "&#xfffd;"

static const char *
entity_of(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    return c < ' ' || c == 0x7f ? REPLACEMENT : NULL;
}

/* C1 controls, U+061C, U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF. */
static bool
is_steering(const unsigned char *c)
{
    if (c[0] == 0xc2)
        return c[1] < 0xa0;
    if (c[0] == 0xd8)
        return c[1] == 0x9c;
    if (c[0] == 0xef)
        return c[1] == 0xbb && c[2] == 0xbf;
    if (c[0] != 0xe2)
        return false;
    if (c[1] == 0x80)
        return (c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae);
    return c[1] == 0x81 && c[2] >= 0xa0 && c[2] <= 0xaf;
}

/* What the bytes at the beginning of s become; *used of them. */
static struct slice
take(struct slice s, size_t *used)
{
    const char *entity = entity_of((unsigned char)s.data[0]);

    *used = 1;
    if (entity != NULL)
        return slice_of(entity);
    if ((unsigned char)s.data[0] < 0x80)
        return slice_make(s.data, 1);
    *used = text_utf8_bytes(s.data, s.data + s.bytes);
    if (*used > 0 && !is_steering((const unsigned char *)s.data))
        return slice_make(s.data, *used);
    if (*used == 0)
        *used = 1;
    return SLICE(REPLACEMENT);
}

struct slice
html_escape(struct arena *arena, struct slice text)
{
    size_t bytes = 0, used;
    char *start, *at;

    for (struct slice rest = text; rest.bytes > 0; rest = slice_skip(rest, used))
        bytes += take(rest, &used).bytes;
    start = at = arena_alloc(arena, bytes + 1);
    if (start == NULL)
        return slice_make("", 0);
    for (struct slice rest = text; rest.bytes > 0; rest = slice_skip(rest, used)) {
        struct slice piece = take(rest, &used);

        at = mempcpy(at, piece.data, piece.bytes);
    }
    return slice_make(start, bytes);
}
