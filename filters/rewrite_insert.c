/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_insert.c - puts texts where head and body begin and end. */
#include "config.h"

#include "filters/rewrite_inside.h"

void
rewrite_inserter_init(struct rewrite_inserter *inserter, const struct slice *texts)
{
    *inserter = (struct rewrite_inserter){ .texts = texts };
    for (unsigned i = 0; i < HTML_PLACES; i++)
        if (texts[i].bytes == 0)
            inserter->html.done |= 1u << i;
}

/* Has it all: nothing is left to be inserted, and nothing is on its way. */
static bool
is_done(const struct rewrite_inserter *inserter)
{
    return inserter->html.done == HTML_ALL && inserter->html.held_bytes == 0;
}

/* Texts that are due, then what the reader held. False: it is out of room. */
static bool
put_due(struct rewrite_inserter *inserter, struct transform_step *step)
{
    struct html_places *html = &inserter->html;

    for (unsigned i = 0; i < HTML_PLACES; i++) {
        if (!(inserter->places & 1u << i))
            continue;
        inserter->text_at += transform_put(step, slice_skip(inserter->texts[i], inserter->text_at));
        if (inserter->text_at < inserter->texts[i].bytes)
            return false;
        inserter->places &= ~(1u << i);
        inserter->text_at = 0;
        inserter->inserted++;
    }
    if (!inserter->is_stop)
        return true;
    inserter->held_at += transform_put(step, slice_make(html->held + inserter->held_at,
                                                      html->held_bytes - inserter->held_at));
    if (inserter->held_at < html->held_bytes)
        return false;
    inserter->held_at = html->held_bytes = 0;
    inserter->is_stop = false;
    return true;
}

/* Reads no more than there is room for, and puts it. */
static void
read_some(struct rewrite_inserter *inserter, struct transform_step *step)
{
    size_t left = step->in_bytes - step->taken, room = step->out_bytes - step->made;
    size_t bytes = left < room ? left : room;
    struct html_step read = { .pass = bytes };

    if (!is_done(inserter))
        read = html_places_read(&inserter->html, step->in + step->taken, bytes);
    transform_put(step, slice_make(step->in + step->taken, read.pass));
    step->taken += read.pass + read.held_more;
    inserter->places = read.places;
    inserter->is_stop = read.is_stop;
}

enum transform_result
rewrite_inserter_work(struct rewrite_inserter *inserter, struct transform_step *step)
{
    if (!inserter->has_begun && step->in_bytes > 0) {
        inserter->has_begun = true;
        if (rewrite_is_wide(step->in[0]))
            inserter->html.done = HTML_ALL;
    }
    while (put_due(inserter, step) && step->taken < step->in_bytes &&
           step->made < step->out_bytes)
        read_some(inserter, step);
    if (inserter->is_stop || step->taken < step->in_bytes)
        return TRANSFORM_MORE;
    if (!step->is_end || inserter->is_ended)
        return step->is_end || step->is_flush ? TRANSFORM_DONE : TRANSFORM_MORE;
    inserter->is_ended = inserter->is_stop = true;
    if (inserter->has_begun)
        inserter->places = html_places_end(&inserter->html);
    return put_due(inserter, step) ? TRANSFORM_DONE : TRANSFORM_MORE;
}
