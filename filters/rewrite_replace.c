/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_replace.c - replaces as content passes.
 *
 *     window:  | context | clear ... | match, or what may be one | not looked at |
 *                        at                                                     end
 *
 * The window has room for the longest match and some more. What is before at has gone out
 * already; expressions look back to it.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

#include <stdlib.h>

#define MORE_BYTES 8192u /* besides the context and the longest match */

int
rewrite_replacer_init(struct rewrite_replacer *r, const struct rewrite_rules *rules,
                      uint64_t max_bytes, struct arena *arena)
{
    *r = (struct rewrite_replacer){ .left_bytes = max_bytes };
    r->room = REWRITE_CONTEXT + rules->max_match + MORE_BYTES;
    return rewrite_search_init(&r->search, rules, arena);
}

void
rewrite_replacer_fini(struct rewrite_replacer *r)
{
    free(r->window);
    r->window = NULL;
}

/* ---- input */

/* Not for every match: what is left has room for the longest one still. */
static void
make_room(struct rewrite_replacer *r)
{
    size_t bytes = r->at > REWRITE_CONTEXT ? r->at - REWRITE_CONTEXT : 0;

    if (bytes < MORE_BYTES / 2)
        return;
    memmove(r->window, r->window + bytes, r->end - bytes);
    r->at -= bytes;
    r->end -= bytes;
    rewrite_search_shift(&r->search, bytes);
}

static void
fill(struct rewrite_replacer *r, struct transform_step *step)
{
    size_t left = step->in_bytes - step->taken, room;

    if (left > r->room - r->end)
        make_room(r);
    room = r->room - r->end;
    if (left > room)
        left = room;
    if (left > r->left_bytes)
        left = (size_t)r->left_bytes;
    if (left == 0)
        return;
    memcpy(r->window + r->end, step->in + step->taken, left);
    r->end += left;
    r->left_bytes -= left;
    step->taken += left;
}

/* ---- output */

static bool
put_clear(struct rewrite_replacer *r, struct transform_step *step)
{
    size_t bytes = transform_put(step, slice_make(r->window + r->at, r->clear));

    r->at += bytes;
    r->clear -= bytes;
    return r->clear == 0;
}

static struct slice
text_of_part(const struct rewrite_replacer *r, const struct rewrite_part *part)
{
    const size_t *at = r->found.groups + 2 * (part->group >= 0 ? part->group : 0);

    if (part->group < 0)
        return part->text;
    /* A group within a lookahead may be reversed by nothing but \K, which is not there. */
    if ((unsigned)part->group >= r->found.group_count || at[0] == SIZE_MAX || at[1] < at[0])
        return slice_make(NULL, 0);
    return slice_make(r->window + at[0], at[1] - at[0]);
}

static bool
put_match(struct rewrite_replacer *r, struct transform_step *step)
{
    const struct rewrite_rule *rule = r->found.rule;

    while (r->part < rule->part_count) {
        struct slice text = slice_skip(text_of_part(r, &rule->parts[r->part]), r->part_at);
        size_t bytes = transform_put(step, text);

        r->part_at += bytes;
        if (bytes < text.bytes)
            return false;
        r->part++;
        r->part_at = 0;
    }
    r->part = 0;
    r->at = r->found.end;
    r->has_found = false;
    r->replaced++;
    return true;
}

/* What passes as it is, once there is nothing more to do. */
static enum transform_result
pass(struct transform_step *step)
{
    step->taken += transform_put(step, slice_make(step->in + step->taken,
                                                step->in_bytes - step->taken));
    if (step->taken < step->in_bytes)
        return TRANSFORM_MORE;
    return step->is_end || step->is_flush ? TRANSFORM_DONE : TRANSFORM_MORE;
}

/* ---- both */

/* Looks for the next match. False: nothing can be said before more comes. */
static bool
look(struct rewrite_replacer *r, const struct transform_step *step)
{
    bool has_all = step->taken == step->in_bytes;
    const struct rewrite_text text = {
        .data = r->window, .at = r->at, .end = r->end,
        .is_end = (step->is_end && has_all) || r->left_bytes == 0, .is_eager = step->is_flush,
    };

    switch (rewrite_find(&r->search, &text, &r->found)) {
    case REWRITE_NONE:
        r->clear = r->end - r->at;
        return r->clear > 0;
    case REWRITE_FOUND:
        r->clear = r->found.start - r->at;
        r->has_found = true;
        return true;
    case REWRITE_UNSURE:
        r->clear = r->found.start - r->at;
        return r->clear > 0;
    case REWRITE_LIMIT:
        r->has_limit = true;
        r->is_off = r->search.rules->literal_count == 0;
        if (r->is_off)
            r->clear = r->end - r->at;
        return true;
    }
    return true;
}

/* False: it is out of room. */
static bool
put_all(struct rewrite_replacer *r, struct transform_step *step)
{
    return put_clear(r, step) && (!r->has_found || put_match(r, step));
}

/* False: there is no content yet, or no memory. */
static bool
begin(struct rewrite_replacer *r, const struct transform_step *step)
{
    if (r->window != NULL || r->is_off)
        return true;
    if (step->in_bytes == 0)
        return false;
    if (rewrite_is_wide(step->in[0]))
        r->is_off = true;
    else
        r->window = malloc(r->room);
    return r->window != NULL || r->is_off;
}

enum transform_result
rewrite_replacer_work(struct rewrite_replacer *r, bool must_end, struct transform_step *step)
{
    if (!begin(r, step))
        return step->in_bytes > 0 ? TRANSFORM_FAILED : TRANSFORM_DONE;
    for (;;) {
        size_t taken;

        if (!put_all(r, step))
            return TRANSFORM_MORE;
        if (r->is_off)
            return pass(step);
        taken = step->taken;
        fill(r, step);
        if (!look(r, step) && step->taken == taken)
            break;
        if (r->has_limit && must_end)
            return TRANSFORM_FAILED;
    }
    if (r->left_bytes == 0 && step->taken < step->in_bytes) { /* the rest goes on as it is */
        r->is_off = r->has_limit = true;
        return must_end ? TRANSFORM_FAILED : pass(step);
    }
    return step->is_end || step->is_flush ? TRANSFORM_DONE : TRANSFORM_MORE;
}
