/* SPDX-License-Identifier: BSD-2-Clause */
/* fill_reader.c - who reads a fill: what is offered to it, and how it is woken.
 *
 * Content in the object's own room is read without any lock; content in chunks
 * with one for each chunk. Bytes that have left memory are on disk.
 */
#include "config.h"

#include "cache/fill_inside.h"

#include "server/worker.h"

#include <stdlib.h>

/* ---- waiting and waking */

/* From now on the audience's bell wakes it. What was to be awaited may have come
 * meanwhile: look again. */
static void
begin_waiting(struct fill_reader *reader)
{
    uint8_t idle = BELL_IDLE;

    list_remove(&reader->link);
    list_push_back(&reader->audience->waiting, &reader->link);
    atomic_compare_exchange_strong(&reader->audience->bell.state, &idle, BELL_WANTED);
    atomic_store(&reader->fill->is_awaited, true);
}

/* Waits for a change of state. */
static void
wait_for_news(struct fill_reader *reader)
{
    begin_waiting(reader);
    if (fill_state(reader->fill) != reader->seen)
        bell_ring(&reader->audience->bell, reader->audience->bell.worker);
}

static void
wake(struct fill_reader *reader)
{
    if (!reader->wants_news) {
        pump_source_ready(reader->source.pump);
    } else if (fill_state(reader->fill) == reader->seen) {
        wait_for_news(reader);
    } else {
        reader->wants_news = false;
        reader->on_news(reader);
    }
}

/* Any of them may leave when any of them is woken. */
static void
on_audience_heard(struct bell *bell)
{
    struct audience *audience = container_of(bell, struct audience, bell);
    struct list now;

    list_move_all(&now, &audience->waiting);
    while (!list_is_empty(&now)) {
        struct fill_reader *reader = container_of(now.next, struct fill_reader, link);

        list_remove(&reader->link);
        wake(reader);
    }
}

void
fill_reader_wait(struct fill_reader *reader, enum fill_state seen,
                 void (*on_news)(struct fill_reader *))
{
    reader->seen = seen;
    reader->on_news = on_news;
    reader->wants_news = true;
    wait_for_news(reader);
}

/* ---- what is offered */

/* Goes to the chunk of its next byte and holds it, if it is in memory: what is
 * not, up to disk_end, is on disk. One that waits for bytes far ahead goes as
 * far as there are chunks, so that it holds back none of them. */
static void
settle(struct fill_reader *reader, uint64_t number, uint64_t *disk_end)
{
    struct fill *fill = reader->fill;
    struct chunk *old = reader->held;

    pthread_mutex_lock(&fill->lock);
    if (number > fill->window.end)
        number = fill->window.end;
    chunk_window_move(&fill->window, reader->place, number);
    reader->place = number;
    reader->held = chunk_window_at(&fill->window, number);
    if (reader->held != NULL)
        chunk_ref(reader->held);
    if (fill_content_trim(fill))
        bell_ring(&fill->fetch, reader->audience->bell.worker);
    *disk_end = fill->window.first * CHUNK_BYTES;
    pthread_mutex_unlock(&fill->lock);
    if (old != NULL)
        chunk_unref(old);
}

static enum flow
offer_memory(const char *data, uint64_t bytes, struct piece *piece)
{
    piece->form = FORM_SLICES;
    piece->bytes = (size_t)bytes;
    piece->count = 1;
    piece->iov[0] = (struct iovec){ (void *)data, piece->bytes };
    return FLOW_MORE;
}

/* Through chunks; otherwise the object was there before the fill (fill_set_whole()). */
static bool
is_growing(const struct fill *fill)
{
    return fill->object->body_bytes == LENGTH_UNKNOWN;
}

/* What there is of the content up to limit. */
static enum flow
offer_content(struct fill_reader *reader, uint64_t limit, unsigned forms, struct piece *piece)
{
    struct fill *fill = reader->fill;
    uint64_t number = reader->at / CHUNK_BYTES, skip = reader->at % CHUNK_BYTES;
    uint64_t left = limit - reader->at, disk_end = limit;

    if (fill->object->body != NULL)
        return offer_memory(fill->object->body + reader->at, left, piece);
    if (is_growing(fill) && (reader->held == NULL || reader->place != number))
        settle(reader, number, &disk_end);
    if (reader->held == NULL)
        return disk_reader_offer(&reader->disk, fill->body, reader->at,
                                 disk_end < limit ? disk_end : limit, forms, piece);
    if (left > CHUNK_BYTES - skip)
        left = CHUNK_BYTES - skip;
    return offer_memory(reader->held->data + skip, left, piece);
}

/* False: there is more, or an end, meanwhile. */
static bool
wait_for_content(struct fill_reader *reader, uint64_t published)
{
    struct fill *fill = reader->fill;
    uint64_t number = reader->at / CHUNK_BYTES, disk_end;

    if (is_growing(fill) && reader->place != number)
        settle(reader, number, &disk_end); /* it holds nothing back */
    begin_waiting(reader);
    return atomic_load(&fill->published) == published && atomic_load(&fill->end) == FILL_OPEN;
}

static uint64_t
lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct fill_reader *reader = container_of(source, struct fill_reader, source);
    struct fill *fill = reader->fill;
    uint64_t published, limit;

    if (fill_state(fill) == FILL_PRIVATE && !reader->is_first)
        return FLOW_FAILED; /* not for its eyes */
    do {
        enum fill_end end = (enum fill_end)atomic_load(&fill->end); /* before what it ends */

        published = atomic_load(&fill->published);
        limit = lesser(published, reader->end);
        if (reader->at < limit) {
            enum flow flow = offer_content(reader, limit, forms, piece);
            uint64_t last = lesser(end == FILL_ENDED ? published : fill->length, reader->end);

            if (flow == FLOW_MORE)
                piece->is_last = reader->at + piece->bytes == last;
            return flow;
        }
        if (end == FILL_ENDED || reader->at == fill->length || reader->at == reader->end)
            return FLOW_END;
        if (end == FILL_CUT)
            return FLOW_FAILED;
    } while (!wait_for_content(reader, published));
    return FLOW_WAIT;
}

static void
take(struct source *source, size_t bytes)
{
    container_of(source, struct fill_reader, source)->at += bytes;
}

static const struct source_ops ops = {
    .offer = offer,
    .take = take,
};

/* ---- coming and going */

void
audience_init(struct audience *audience, struct fill *fill, struct worker *worker)
{
    bell_init(&audience->bell, fill, worker, on_audience_heard);
    list_init(&audience->waiting);
    list_push_back(&fill->audiences, &audience->link);
}

/* That of the worker's thread; made if there is none. NULL when memory is short. */
static struct audience *
audience_of(struct fill *fill, struct worker *worker)
{
    struct audience *audience;

    list_each(link, &fill->audiences) {
        audience = container_of(link, struct audience, link);
        if (audience->bell.worker == worker)
            return audience;
    }
    audience = calloc(1, sizeof(*audience));
    if (audience != NULL)
        audience_init(audience, fill, worker);
    return audience;
}

bool
fill_enter(struct fill *fill, struct worker *worker, struct fill_reader *reader)
{
    struct audience *audience;

    pthread_mutex_lock(&fill->lock);
    audience = audience_of(fill, worker);
    if (audience != NULL) {
        audience->readers++;
        fill->readers++;
        chunk_window_enter(&fill->window);
    }
    pthread_mutex_unlock(&fill->lock);
    *reader = (struct fill_reader){ .source = { .ops = &ops }, .audience = audience,
                                    .end = LENGTH_UNKNOWN };
    if (audience == NULL)
        return false;
    reader->fill = fill_ref(fill);
    list_init(&reader->link);
    disk_reader_init(&reader->disk, &reader->source, fill->conf.disk, worker);
    return true;
}

void
fill_join_first(struct fill *fill, struct worker *worker, struct fill_reader *reader)
{
    must(worker == fill->fetch.worker);
    must(fill_enter(fill, worker, reader)); /* its audience is there from the start */
    reader->is_first = true;
}

void
fill_reader_set_range(struct fill_reader *reader, uint64_t first, uint64_t end)
{
    must(first < end && end <= reader->fill->length);
    reader->at = first;
    reader->end = end;
}

void
fill_reader_leave(struct fill_reader *reader)
{
    struct fill *fill = reader->fill;
    struct audience *audience = reader->audience;
    uint8_t wanted = BELL_WANTED;

    if (fill == NULL)
        return;
    list_remove(&reader->link);
    disk_reader_fini(&reader->disk);
    pthread_mutex_lock(&fill->lock);
    chunk_window_leave(&fill->window, reader->place);
    fill->readers--;
    if (--audience->readers == 0) /* nobody is there to hear it; its thread may end */
        atomic_compare_exchange_strong(&audience->bell.state, &wanted, BELL_IDLE);
    if (fill_content_trim(fill))
        bell_ring(&fill->fetch, audience->bell.worker);
    fill_check_read(fill, audience->bell.worker);
    pthread_mutex_unlock(&fill->lock);
    if (reader->held != NULL)
        chunk_unref(reader->held);
    reader->held = NULL;
    reader->fill = NULL;
    fill_release(fill);
}
