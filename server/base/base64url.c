/* SPDX-License-Identifier: BSD-2-Clause */
/* base64url.c - base64 with two letters exchanged and the padding left out. */
#include "config.h"

#include "server/base/base64url.h"

#include "server/base/base64.h"

struct slice
base64url_encode(struct arena *arena, struct slice bytes)
{
    struct slice text = base64_encode(arena, bytes);
    char *data = (char *)text.data;

    while (text.bytes > 0 && data[text.bytes - 1] == '=')
        data[--text.bytes] = '\0';
    for (size_t i = 0; i < text.bytes; i++) {
        if (data[i] == '+')
            data[i] = '-';
        else if (data[i] == '/')
            data[i] = '_';
    }
    return text;
}

/* What is a letter of the other alphabet becomes one of neither. */
static char
translate(char c)
{
    switch (c) {
    case '-':
        return '+';
    case '_':
        return '/';
    case '+':
    case '/':
    case '=':
        return '\0';
    }
    return c;
}

int
base64url_decode(struct arena *arena, struct slice text, struct slice *bytes)
{
    size_t padded = (text.bytes + 3) / 4 * 4;
    char *copy = arena_alloc(arena, padded > 0 ? padded : 1);

    if (copy == NULL)
        return -1;
    for (size_t i = 0; i < text.bytes; i++)
        copy[i] = translate(text.data[i]);
    memset(copy + text.bytes, '=', padded - text.bytes);
    return base64_decode(arena, slice_make(copy, padded), bytes);
}
