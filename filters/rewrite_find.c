/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_find.c - the leftmost match of all rules.
 *
 * Each expression, and all literals together, has a candidate: its next match, as far as one
 * can see. It stays good until the place where the search goes on has passed it.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

int
rewrite_search_init(struct rewrite_search *search, const struct rewrite_rules *rules,
                    struct arena *arena)
{
    *search = (struct rewrite_search){ .rules = rules };
    search->candidates = arena_zalloc(arena, (rules->regex_count + 1) *
                                                 sizeof(search->candidates[0]));
    return search->candidates != NULL ? 0 : -1;
}

/* Bytes that come one at a time do not make all of what is unsure be looked at each time. */
static bool
is_worth_another_look(const struct rewrite_candidate *candidate, const struct rewrite_text *text)
{
    size_t seen = candidate->seen_end - candidate->found.start;

    if (text->is_end || text->is_eager)
        return true;
    return text->end > candidate->seen_end && text->end - candidate->seen_end >= seen / 8;
}

/* Whether what is known of the candidate still holds. */
static bool
is_known(struct rewrite_candidate *candidate, const struct rewrite_text *text)
{
    if (candidate->from < text->at) {
        candidate->from = text->at;
        candidate->answer = REWRITE_NONE;
        candidate->seen_end = text->at;
        return text->at == text->end;
    }
    switch (candidate->answer) {
    case REWRITE_NONE:
        return candidate->from == text->end;
    case REWRITE_UNSURE:
        return !is_worth_another_look(candidate, text);
    case REWRITE_FOUND:
    case REWRITE_LIMIT:
        return true;
    }
    return true;
}

/* The rule that a candidate stands for, or may. */
static int
rank(const struct rewrite_search *search, const struct rewrite_candidate *candidate)
{
    return candidate->answer == REWRITE_UNSURE
               ? candidate->least
               : (int)(candidate->found.rule - search->rules->items);
}

static bool
is_before(const struct rewrite_search *search, const struct rewrite_candidate *a,
          const struct rewrite_candidate *b)
{
    if (a->answer == REWRITE_NONE)
        return false;
    if (b == NULL || a->found.start != b->found.start)
        return b == NULL || a->found.start < b->found.start;
    return rank(search, a) < rank(search, b);
}

enum rewrite_answer
rewrite_find(struct rewrite_search *search, const struct rewrite_text *text,
             struct rewrite_found *found)
{
    const struct rewrite_rules *rules = search->rules;
    struct rewrite_candidate *best = NULL, *candidate = search->candidates;
    unsigned regexes = search->has_no_regexes ? 0 : rules->regex_count;

    if (rules->literal_count > 0) {
        if (!is_known(candidate, text))
            rewrite_literal_search(rules, text, candidate);
        if (is_before(search, candidate, best))
            best = candidate;
    }
    for (unsigned i = 0; i < regexes; i++) {
        candidate = &search->candidates[1 + i];
        if (!is_known(candidate, text))
            rewrite_regex_search(search, &rules->items[rules->regexes[i]], text, candidate);
        if (candidate->answer == REWRITE_LIMIT) {
            search->has_no_regexes = true;
            return REWRITE_LIMIT;
        }
        if (is_before(search, candidate, best))
            best = candidate;
    }
    if (best == NULL)
        return REWRITE_NONE;
    *found = best->found;
    return best->answer;
}

void
rewrite_search_shift(struct rewrite_search *search, size_t bytes)
{
    search->passed += bytes;
    for (unsigned i = 0; i <= search->rules->regex_count; i++) {
        struct rewrite_candidate *candidate = &search->candidates[i];
        struct rewrite_found *found = &candidate->found;

        if (candidate->from < bytes) { /* passed already */
            candidate->from = candidate->seen_end = 0;
            candidate->answer = REWRITE_NONE;
            continue;
        }
        candidate->from -= bytes;
        candidate->seen_end -= bytes;
        found->start -= bytes;
        found->end -= bytes;
        for (unsigned g = 0; g < 2 * found->group_count; g++)
            if (found->groups[g] != SIZE_MAX)
                found->groups[g] -= bytes;
    }
}
