/* SPDX-License-Identifier: BSD-2-Clause */
/* chunk_window.c - a ring of chunks with a count of readers at each. */
#include "config.h"

#include "cache/chunk_window.h"

#include <stdlib.h>

#define ROOM_MIN 16

static struct chunk_place *
place_of(const struct chunk_window *window, uint64_t number)
{
    return &window->ring[number & (window->room - 1)];
}

/* Where readers of this chunk are counted. */
static uint32_t *
count_of(struct chunk_window *window, uint64_t number)
{
    must(number <= window->end);
    if (number < window->first)
        return &window->behind;
    return number == window->end ? &window->ahead : &place_of(window, number)->readers;
}

void
chunk_window_fini(struct chunk_window *window)
{
    while (window->first < window->end)
        chunk_window_drop(window);
    free(window->ring);
    window->ring = NULL;
    window->room = 0;
}

static bool
grow(struct chunk_window *window)
{
    struct chunk_window wider = *window;

    wider.room = window->room > 0 ? 2 * window->room : ROOM_MIN;
    wider.ring = malloc(wider.room * sizeof(*wider.ring));
    if (wider.ring == NULL)
        return false;
    for (uint64_t number = window->first; number < window->end; number++)
        *place_of(&wider, number) = *place_of(window, number);
    free(window->ring);
    *window = wider;
    return true;
}

bool
chunk_window_push(struct chunk_window *window, struct chunk *chunk)
{
    if (chunk_window_count(window) == window->room && !grow(window))
        return false;
    *place_of(window, window->end) = (struct chunk_place){ chunk, window->ahead };
    window->ahead = 0;
    window->end++;
    return true;
}

struct chunk *
chunk_window_at(const struct chunk_window *window, uint64_t number)
{
    if (number < window->first || number >= window->end)
        return NULL;
    return place_of(window, number)->chunk;
}

void
chunk_window_drop(struct chunk_window *window)
{
    struct chunk_place *place = place_of(window, window->first);

    must(window->first < window->end);
    window->behind += place->readers;
    chunk_unref(place->chunk);
    window->first++;
}

void
chunk_window_enter(struct chunk_window *window)
{
    ++*count_of(window, 0);
}

void
chunk_window_move(struct chunk_window *window, uint64_t from, uint64_t to)
{
    --*count_of(window, from);
    ++*count_of(window, to);
}

void
chunk_window_leave(struct chunk_window *window, uint64_t at)
{
    --*count_of(window, at);
}

bool
chunk_window_is_first_read(const struct chunk_window *window)
{
    return window->behind == 0 && place_of(window, window->first)->readers == 0;
}

bool
chunk_window_is_near(const struct chunk_window *window, uint64_t chunks)
{
    if (window->ahead > 0)
        return true;
    for (uint64_t number = window->end; number > window->first && chunks > 0; chunks--)
        if (place_of(window, --number)->readers > 0)
            return true;
    return false;
}
