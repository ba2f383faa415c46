/* SPDX-License-Identifier: BSD-2-Clause */
/* name_set.h - objects by the name an operator gave them. */
#ifndef BASCULE_NAME_SET_H
#define BASCULE_NAME_SET_H

#include "server/base/arena.h"
#include "server/base/hash.h"

struct name {
    const char *text; /* NULL: free */
    void *object;
};

/* A hash table with linear probing. */
struct name_set {
    struct name *names;
    size_t mask;
    struct hash_key key;
};

/* A set with room for that many names. NULL when the arena is spent. */
struct name_set *name_set_new(struct arena *arena, size_t count);

/* Where the name is, or the free place for it, to be filled by the caller.
 * Borrows text. */
struct name *name_set_find(const struct name_set *set, const char *text);

#endif
