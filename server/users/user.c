/* SPDX-License-Identifier: BSD-2-Clause */
/* user.c - names that may be ones, and copies of users. */
#include "config.h"

#include "server/users/user.h"

#include <stdlib.h>

/* ---- names */

/* What the bytes behind the first one of a character may be: RFC 3629 section 4. */
static unsigned
tail_of(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80; /* no longer than needed */
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf; /* no surrogates, no more than
                                                                  U+10FFFF */
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef)
        return 2;
    if (first >= 0xf0 && first <= 0xf4)
        return 3;
    return 0;
}

/* Bytes of the character at the start of text; 0: none that may be there. */
static size_t
character(const uint8_t *at, size_t left)
{
    uint8_t low, high;
    unsigned tail;

    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f;
    tail = tail_of(at[0], &low, &high);
    if (tail == 0 || tail >= left || at[1] < low || at[1] > high)
        return 0;
    if (at[0] == 0xc2 && at[1] < 0xa0)
        return 0; /* the control characters of Latin-1 */
    for (unsigned i = 2; i <= tail; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return 1 + tail;
}

bool
user_text_is_good(struct slice text)
{
    const uint8_t *at = (const uint8_t *)text.data;

    for (size_t i = 0, step; i < text.bytes; i += step) {
        step = character(at + i, text.bytes - i);
        if (step == 0)
            return false;
    }
    return true;
}

bool
user_name_is_good(struct slice name)
{
    return name.bytes > 0 && name.bytes <= USER_NAME_BYTES_MAX && name.data[0] != ' ' &&
           name.data[name.bytes - 1] != ' ' && user_text_is_good(name);
}

/* ---- copies: the arrays, then the texts */

static size_t
text_bytes(const struct user *user)
{
    size_t bytes = user->name.bytes;

    for (unsigned i = 0; i < user->group_count; i++)
        bytes += user->groups[i].bytes;
    for (unsigned i = 0; i < user->field_count; i++)
        bytes += user->fields[i].name.bytes + user->fields[i].value.bytes;
    return bytes;
}

static size_t
parts_bytes(const struct user *user)
{
    return user->group_count * sizeof(*user->groups) + user->field_count * sizeof(*user->fields) +
           text_bytes(user);
}

size_t
user_bytes(const struct user *user)
{
    return sizeof(*user) + parts_bytes(user);
}

static struct slice
put(char **at, struct slice text)
{
    struct slice copy = { *at, text.bytes };

    if (text.bytes > 0)
        memcpy(*at, text.data, text.bytes);
    *at += text.bytes;
    return copy;
}

/* memory: parts_bytes() of it. */
static void
copy_to(struct user *to, const struct user *from, void *memory)
{
    struct slice *groups = memory;
    struct user_field *fields = (void *)(groups + from->group_count);
    char *at = (char *)(fields + from->field_count);
    struct user copy = *from;

    copy.name = put(&at, from->name);
    for (unsigned i = 0; i < from->group_count; i++)
        groups[i] = put(&at, from->groups[i]);
    for (unsigned i = 0; i < from->field_count; i++) {
        fields[i].name = put(&at, from->fields[i].name);
        fields[i].value = put(&at, from->fields[i].value);
    }
    copy.groups = groups;
    copy.fields = fields;
    *to = copy;
}

bool
user_copy(struct user *to, const struct user *from, struct arena *arena)
{
    void *memory = arena_alloc(arena, parts_bytes(from) + 1); /* also when there is nothing */

    if (memory == NULL)
        return false;
    copy_to(to, from, memory);
    return true;
}

struct user *
user_keep(const struct user *user)
{
    struct user *copy = malloc(user_bytes(user));

    if (copy != NULL)
        copy_to(copy, user, copy + 1);
    return copy;
}
