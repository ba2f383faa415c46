/* SPDX-License-Identifier: BSD-2-Clause */
/* name_set.c - a table that is filled once and then read by any thread. */
#include "config.h"

#include "server/name_set.h"

struct name_set *
name_set_new(struct arena *arena, size_t count)
{
    struct name_set *set = arena_alloc(arena, sizeof(*set));
    size_t room = 4;

    while (room < count * 3 / 2)
        room *= 2;
    if (set == NULL)
        return NULL;
    set->mask = room - 1;
    set->names = arena_zalloc(arena, room * sizeof(*set->names));
    hash_key_random(&set->key);
    return set->names != NULL ? set : NULL;
}

struct name *
name_set_find(const struct name_set *set, const char *text)
{
    size_t at = hash_bytes(slice_of(text), &set->key) & set->mask;

    while (set->names[at].text != NULL && strcmp(set->names[at].text, text) != 0)
        at = (at + 1) & set->mask;
    return &set->names[at];
}
