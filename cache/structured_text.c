/* SPDX-License-Identifier: BSD-2-Clause */
/* structured_text.c - what the text of structured items says: strings without
 * their escapes, display strings and byte sequences decoded (RFC 9651 sections
 * 4.2.5, 4.2.7, 4.2.10).
 *
 * The reader (structured_field.c) has checked the text, so nothing here can fail
 * but for want of memory.
 */
#include "config.h"

#include "cache/structured_field.h"

#include "server/base/hex.h"

/* Writes what text says, never more bytes than text has. */
typedef size_t decode_fn(char *to, struct slice text);

static size_t
unescape(char *to, struct slice text)
{
    size_t bytes = 0;

    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '\\')
            i++;
        to[bytes++] = text.data[i];
    }
    return bytes;
}

static size_t
decode_percent(char *to, struct slice text)
{
    size_t bytes = 0;

    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '%') {
            to[bytes++] = (char)hex_byte(&text.data[i + 1]);
            i += 2;
        } else {
            to[bytes++] = text.data[i];
        }
    }
    return bytes;
}

static unsigned
sextet_of(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A')
           : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 26
           : ascii_is_digit(c) ? (unsigned)(c - '0') + 52
           : c == '+' ? 62 : 63;
}

/* base64_decode() insists on padding, which here may lack. */
static size_t
decode_base64(char *to, struct slice text)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < text.bytes && text.data[i] != '='; i++) {
        bits = bits << 6 | sextet_of(text.data[i]);
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[bytes++] = (char)(bits >> held & 0xff);
        }
    }
    return bytes;
}

/* What makes the text as written differ from what it says; NULL for nothing. */
static decode_fn *
decoder_of(const struct sf_item *item)
{
    switch (item->type) {
    case SF_STRING:
        return slice_find(item->text, '\\') >= 0 ? unescape : NULL;
    case SF_DISPLAY_STRING:
        return slice_find(item->text, '%') >= 0 ? decode_percent : NULL;
    case SF_BYTES:
        return item->text.bytes > 0 ? decode_base64 : NULL;
    case SF_INTEGER:
    case SF_DECIMAL:
    case SF_TOKEN:
    case SF_BOOLEAN:
    case SF_DATE:
    case SF_INNER_LIST:
        break;
    }
    return NULL;
}

struct slice
sf_item_text(const struct sf_item *item, struct arena *arena)
{
    decode_fn *decode = decoder_of(item);
    char *text;

    if (decode == NULL)
        return item->text;
    text = arena_alloc(arena, item->text.bytes);
    return text != NULL ? slice_make(text, decode(text, item->text)) : slice_make(NULL, 0);
}
