/* SPDX-License-Identifier: BSD-2-Clause */
/* weighted_list.h - lists of what a client accepts, with weights: the values of
 * Accept-Encoding and Accept-Language (RFC 9110 section 12.4).
 */
#ifndef BASCULE_WEIGHTED_LIST_H
#define BASCULE_WEIGHTED_LIST_H

#include <stdbool.h>

#include "server/base/slice.h"

#define WEIGHTED_MAX 32

struct weighted_list {
    struct {
        struct slice name;
        unsigned weight; /* in thousandths */
    } items[WEIGHTED_MAX];
    unsigned count;
    bool is_bad;
};

static inline void
weighted_list_init(struct weighted_list *list)
{
    list->count = 0;
    list->is_bad = false;
}

/* Adds the elements of one line. Borrows the value. */
void weighted_list_add(struct weighted_list *list, struct slice value);

/* Whether all elements were read: none against the grammar, none with other
 * parameters, not more than WEIGHTED_MAX. */
static inline bool
weighted_list_is_good(const struct weighted_list *list)
{
    return !list->is_bad;
}

/* Whether the name is in the list, or else "*" is, with a weight above zero. */
bool weighted_list_accepts(const struct weighted_list *list, struct slice name);

/* Language tags that count, lower case; none: all names count as they are. */
struct weighted_rules {
    const struct slice *languages;
    unsigned count;
};

/* Writes a good list with letters in lower case, sorted by weight, then name.
 * Without rules with their weights: "de,en,fr;q=0.5". With rules each name
 * becomes the language that it finds (RFC 4647 section 3.4) or, being shorter,
 * stands for some (section 3.3.1); others go, and weights become an order:
 * "de,en>fr". Never longer than the elements joined by commas. Sorts the list.
 * Returns the place behind. */
char *weighted_list_put(struct weighted_list *list, const struct weighted_rules *rules, char *at);

#endif
