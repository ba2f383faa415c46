/* SPDX-License-Identifier: BSD-2-Clause */
/* segments.c - an array by slot and one by age. */
#include "config.h"

#include "cache/segments.h"

#include <stdlib.h>

bool
segments_init(struct segments *segments, uint16_t reserved)
{
    *segments = (struct segments){ .last_slot = reserved };
    segments->by_slot = calloc(INDEX_SLOTS, sizeof(struct segment *));
    if (segments->by_slot == NULL)
        return false;
    pthread_mutex_init(&segments->lock, NULL);
    return true;
}

void
segments_fini(struct segments *segments)
{
    if (segments->by_slot == NULL)
        return;
    for (size_t i = 0; i < segments->count; i++)
        segment_unref(segments->by_age[i]);
    free(segments->by_age);
    free(segments->by_slot);
    pthread_mutex_destroy(&segments->lock);
}

/* Position of the first segment whose number is at least this. */
static size_t
position(const struct segments *segments, uint64_t number)
{
    size_t low = 0, high = segments->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (segments->by_age[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint16_t
free_slot(struct segments *segments)
{
    for (unsigned tries = 0; tries < INDEX_SLOTS; tries++) {
        segments->last_slot++; /* wraps */
        if (segments->last_slot != 0 && segments->by_slot[segments->last_slot] == NULL)
            return segments->last_slot;
    }
    return 0;
}

static bool
add(struct segments *segments, struct segment *segment)
{
    size_t at;

    if (segments->count == segments->room) {
        size_t room = segments->room * 2 + 64;
        struct segment **more = reallocarray(segments->by_age, room, sizeof(*more));

        if (more == NULL)
            return false;
        segments->by_age = more;
        segments->room = room;
    }
    if (segment->slot == 0)
        segment->slot = free_slot(segments);
    if (segment->slot == 0)
        return false;
    at = position(segments, segment->number);
    memmove(&segments->by_age[at + 1], &segments->by_age[at],
            (segments->count - at) * sizeof(struct segment *));
    segments->by_age[at] = segment_ref(segment);
    segments->by_slot[segment->slot] = segment;
    segments->count++;
    return true;
}

bool
segments_add(struct segments *segments, struct segment *segment)
{
    bool is_added;

    pthread_mutex_lock(&segments->lock);
    is_added = add(segments, segment);
    pthread_mutex_unlock(&segments->lock);
    return is_added;
}

void
segments_remove(struct segments *segments, struct segment *segment)
{
    bool is_there;
    size_t at;

    pthread_mutex_lock(&segments->lock);
    at = position(segments, segment->number);
    is_there = at < segments->count && segments->by_age[at] == segment;
    if (is_there) {
        segments->count--;
        memmove(&segments->by_age[at], &segments->by_age[at + 1],
                (segments->count - at) * sizeof(struct segment *));
        segments->by_slot[segment->slot] = NULL;
    }
    pthread_mutex_unlock(&segments->lock);
    if (is_there)
        segment_unref(segment);
}

struct segment *
segments_by_slot(struct segments *segments, uint16_t slot)
{
    struct segment *segment;

    pthread_mutex_lock(&segments->lock);
    segment = segments->by_slot[slot];
    if (segment != NULL)
        segment_ref(segment);
    pthread_mutex_unlock(&segments->lock);
    return segment;
}

struct segment *
segments_from(struct segments *segments, uint64_t number)
{
    struct segment *segment = NULL;
    size_t at;

    pthread_mutex_lock(&segments->lock);
    at = position(segments, number);
    if (at < segments->count)
        segment = segment_ref(segments->by_age[at]);
    pthread_mutex_unlock(&segments->lock);
    return segment;
}

struct segment *
segments_by_number(struct segments *segments, uint64_t number)
{
    struct segment *segment = segments_from(segments, number);

    if (segment == NULL || segment->number == number)
        return segment;
    segment_unref(segment);
    return NULL;
}

bool
segments_is_newer(struct segments *segments, uint16_t a, uint16_t b)
{
    const struct segment *of_a, *of_b;
    bool is_newer;

    pthread_mutex_lock(&segments->lock);
    of_a = segments->by_slot[a];
    of_b = segments->by_slot[b];
    is_newer = of_a != NULL && (of_b == NULL || of_a->number > of_b->number);
    pthread_mutex_unlock(&segments->lock);
    return is_newer;
}

void
segments_facts(struct segments *segments, struct segments_facts *facts)
{
    *facts = (struct segments_facts){ .min_seq = UINT64_MAX };
    pthread_mutex_lock(&segments->lock);
    facts->count = segments->count;
    for (size_t i = 0; i < segments->count; i++) {
        struct segment *segment = segments->by_age[i];
        uint64_t min_seq = atomic_load(&segment->min_seq);

        facts->bytes += atomic_load(&segment->bytes);
        facts->min_seq = min_seq < facts->min_seq ? min_seq : facts->min_seq;
    }
    pthread_mutex_unlock(&segments->lock);
}
