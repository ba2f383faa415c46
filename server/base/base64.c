/* SPDX-License-Identifier: BSD-2-Clause */
/* base64.c - three bytes are four characters (RFC 4648 section 4). */
#include "config.h"

#include "server/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct slice
base64_encode(struct arena *arena, struct slice bytes)
{
    const unsigned char *in = (const unsigned char *)bytes.data;
    size_t groups = bytes.bytes / 3 + (bytes.bytes % 3 != 0);
    char *start, *out;

    if (groups > SIZE_MAX / 8)
        groups = SIZE_MAX / 8; /* no arena has as much: it will say so */
    start = out = arena_alloc(arena, groups * 4 + 1);
    if (start == NULL)
        return slice_make("", 0);
    for (size_t left = bytes.bytes; left > 0; left -= left < 3 ? left : 3, in += 3) {
        uint32_t bits = (uint32_t)in[0] << 16;

        if (left > 1)
            bits |= (uint32_t)in[1] << 8;
        if (left > 2)
            bits |= in[2];
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[bits & 63] : '=';
    }
    *out = '\0';
    return slice_make(start, (size_t)(out - start));
}

/* Six bits, or -1 for what is not in the alphabet. */
static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

int
base64_decode(struct arena *arena, struct slice text, struct slice *bytes)
{
    size_t digits = text.bytes;
    uint32_t bits = 0;
    char *start, *out;

    while (digits > 0 && text.bytes - digits < 2 && text.data[digits - 1] == '=')
        digits--;
    if (text.bytes % 4 != 0 || digits % 4 == 1)
        return -1;
    start = out = arena_alloc(arena, text.bytes / 4 * 3 + 1);
    if (start == NULL)
        return -1;
    for (size_t i = 0; i < digits; i++) {
        int value = value_of(text.data[i]);

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 > 0) /* the second to fourth digit each complete a byte */
            *out++ = (char)(bits >> (6 - 2 * (i % 4)));
    }
    if (digits % 4 != 0 && bits & (digits % 4 == 2 ? 0xfu : 0x3u))
        return -1;
    *bytes = slice_make(start, (size_t)(out - start));
    return 0;
}
