/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_literal.c - all literals in one search.
 *
 * Places where none can begin are passed over by their first two bytes; from others on a
 * tree of letters is followed. It is of lower case: who cares for case is asked at the end.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

/* ---- one place */

static uint32_t
child_of(const struct rewrite_rules *rules, uint32_t node, unsigned char byte)
{
    uint32_t child = rules->nodes[node].child;

    while (child != 0 && rules->nodes[child].byte != byte)
        child = rules->nodes[child].sibling;
    return child;
}

/* The first rule of those that end at this node which is the text's. -1: none. */
static int
rule_at(const struct rewrite_rules *rules, uint32_t node, const char *data)
{
    int best = -1;

    for (int i = rules->nodes[node].rule; i >= 0; i = rules->items[i].next) {
        const struct rewrite_rule *rule = &rules->items[i];

        if ((best < 0 || i < best) &&
            (rule->ignore_case || memcmp(data, rule->find.data, rule->find.bytes) == 0))
            best = i;
    }
    return best;
}

/* Whether a literal begins at place; sets *best, or -1. True: a rule before that one may
 * begin here, too, as far as one can see; *least is the first of them. */
static bool
try_at(const struct rewrite_rules *rules, const struct rewrite_text *text, size_t place,
       int *best, int *least)
{
    uint32_t node = 0;

    *best = -1;
    for (size_t i = place; i < text->end; i++) {
        int rule;

        node = child_of(rules, node, (unsigned char)ascii_lower(text->data[i]));
        if (node == 0)
            return false;
        rule = rule_at(rules, node, text->data + place);
        if (rule >= 0 && (*best < 0 || rule < *best))
            *best = rule;
        if (*best >= 0 && rules->nodes[node].least > *best)
            return false; /* what is longer comes later in the list */
    }
    *least = rules->nodes[node].least;
    return !text->is_end && rules->nodes[node].child != 0 && (*best < 0 || *least < *best);
}

/* ---- places */

static inline bool
may_begin(const struct rewrite_rules *rules, unsigned char first, unsigned char second)
{
    unsigned pair = (unsigned)first << 8 | second;

    return (rules->pairs[pair / 64] >> (pair % 64)) & 1;
}

/* The next place from where on it is worth looking. */
static size_t
skip(const struct rewrite_rules *rules, const struct rewrite_text *text, size_t at)
{
    const unsigned char *data = (const unsigned char *)text->data;

    for (; at + 1 < text->end; at++)
        if (may_begin(rules, data[at], data[at + 1]))
            return at;
    if (at < text->end && !rules->firsts[data[at]])
        at++;
    return at;
}

/* With one literal only: it is found, or can but begin at the end. */
static size_t
skip_to_only(const struct rewrite_rules *rules, const struct rewrite_text *text, size_t at)
{
    struct slice find = rules->items[rules->only].find;
    const char *place = memmem(text->data + at, text->end - at, find.data, find.bytes);
    size_t tail = text->end > find.bytes - 1 ? text->end - (find.bytes - 1) : 0;

    if (place != NULL)
        return (size_t)(place - text->data);
    return skip(rules, text, tail > at ? tail : at);
}

void
rewrite_literal_search(const struct rewrite_rules *rules, const struct rewrite_text *text,
                       struct rewrite_candidate *candidate)
{
    size_t at = candidate->from;
    bool is_first = true;

    candidate->seen_end = text->end;
    for (;; at++, is_first = false) {
        int best;

        at = is_first && rules->only >= 0 ? skip_to_only(rules, text, at) : skip(rules, text, at);
        if (at >= text->end)
            break;
        candidate->from = candidate->found.start = at;
        if (try_at(rules, text, at, &best, &candidate->least)) {
            candidate->answer = REWRITE_UNSURE;
            return;
        }
        if (best >= 0) {
            candidate->answer = REWRITE_FOUND;
            candidate->found.rule = &rules->items[best];
            candidate->found.end = at + rules->items[best].find.bytes;
            candidate->found.groups[0] = at;
            candidate->found.groups[1] = candidate->found.end;
            candidate->found.group_count = 1;
            return;
        }
    }
    candidate->answer = REWRITE_NONE;
    candidate->from = text->end;
}
