/* SPDX-License-Identifier: BSD-2-Clause */
/* fill_content.c - where the content of a fill is kept while it comes.
 *
 *     IN_OBJECT    length known and moderate: in the object's own room
 *     IN_CHUNKS -- over memory_bytes ----> ON_DISK    with a disk that takes it
 *         '------------------------------> PASSING    else, or over object_bytes,
 *                                                     or when the disk fails
 *
 * Chunks on disk leave memory when they are written and a window behind what
 * comes; passing ones when all have read them. The fetch waits when chunks fill
 * the window: unwritten ones, unless a reader keeps up with it (then the disk's
 * queue is the limit), or unread ones.
 */
#include "config.h"

#include "cache/fill_inside.h"

#include "server/worker.h"

#define WINDOW_CHUNKS_MIN 2

/* ---- what may go, and whether there is room; under the lock */

static uint64_t
window_chunks(const struct fill *fill)
{
    uint64_t chunks = fill->conf.window_bytes / CHUNK_BYTES;

    return chunks > WINDOW_CHUNKS_MIN ? chunks : WINDOW_CHUNKS_MIN;
}

static bool
may_drop(const struct fill *fill)
{
    const struct chunk_window *window = &fill->window;

    if (window->first + 1 >= window->end)
        return false; /* the last may be in the making */
    if (fill->is_closed && chunk_window_is_first_read(window))
        return true;
    return fill->body != NULL && (window->first + 1) * CHUNK_BYTES <= fill->written &&
           chunk_window_count(window) > window_chunks(fill);
}

static bool
has_room(const struct fill *fill)
{
    uint64_t limit = window_chunks(fill);

    switch (fill->keep) {
    case FILL_IN_OBJECT:
    case FILL_IN_CHUNKS:
        return true;
    case FILL_ON_DISK:
        return fill->window.end - fill->written / CHUNK_BYTES < limit ||
               chunk_window_is_near(&fill->window, limit);
    case FILL_PASSING:
        return chunk_window_count(&fill->window) < limit;
    }
    return true;
}

bool
fill_content_trim(struct fill *fill)
{
    while (may_drop(fill))
        chunk_window_drop(&fill->window);
    if (!fill->is_full || !has_room(fill))
        return false;
    fill->is_full = false;
    return true;
}

/* ---- where to */

void
fill_content_pass(struct fill *fill)
{
    struct disk_write *write;

    fills_unlist(fill); /* first: who comes now would miss its beginning */
    pthread_mutex_lock(&fill->lock);
    write = fill->write;
    fill->write = NULL;
    if (write != NULL)
        fill->written = disk_write_written(write);
    if (fill->keep != FILL_IN_OBJECT || fill->object == NULL || fill->object->body == NULL)
        fill->keep = FILL_PASSING;
    fill->is_closed = true;
    if (fill_content_trim(fill))
        bell_ring(&fill->fetch, fill->fetch.worker);
    fill_check_read(fill, fill->fetch.worker);
    pthread_mutex_unlock(&fill->lock);
    if (write != NULL)
        disk_write_abort(write);
}

/* More of it is on disk, or the write has failed: next_chunk() sees to that. */
static void
on_written(void *arg)
{
    struct fill *fill = arg;
    bool may_go_on;

    pthread_mutex_lock(&fill->lock);
    fill->written = disk_write_written(fill->write);
    may_go_on = fill_content_trim(fill);
    if (fill->is_full && disk_write_failed(fill->write)) {
        fill->is_full = false;
        may_go_on = true;
    }
    pthread_mutex_unlock(&fill->lock);
    if (may_go_on)
        pump_sink_ready(fill->sink.pump);
}

/* What is full of it goes to disk; the chunk in the making follows later. */
static void
move_to_disk(struct fill *fill)
{
    struct disk_write *write =
        disk_write_begin(fill->conf.disk, fill->hash, fill->length, fill->fetch.worker->loop,
                         on_written, fill);

    if (write == NULL) {
        fill_content_pass(fill);
        return;
    }
    pthread_mutex_lock(&fill->lock);
    fill->keep = FILL_ON_DISK;
    fill->write = write;
    fill->body = disk_write_body(write);
    for (uint64_t number = fill->window.first; number < fill->window.end; number++) {
        struct chunk *chunk = chunk_window_at(&fill->window, number);

        if (chunk != fill->last)
            disk_write_append(write, chunk);
    }
    pthread_mutex_unlock(&fill->lock);
}

/* The content will be so long at least: sees that it is kept where that may be. */
static void
fit(struct fill *fill, uint64_t bytes)
{
    if (fill->keep == FILL_PASSING)
        return;
    if (bytes > fill->conf.object_bytes ||
        (fill->keep == FILL_ON_DISK && disk_write_failed(fill->write)))
        fill_content_pass(fill);
    else if (fill->keep == FILL_IN_CHUNKS && bytes > fill->conf.memory_bytes) {
        if (fill->conf.disk != NULL)
            move_to_disk(fill);
        else
            fill_content_pass(fill);
    }
}

void
fill_content_begin(struct fill *fill)
{
    bool has_room = fill->object->body != NULL;

    if (has_room || fill->length == 0) {
        must(!has_room || fill->object->body_bytes == fill->length);
        return;
    }
    fill->object->body_bytes = LENGTH_UNKNOWN;
    pthread_mutex_lock(&fill->lock);
    fill->keep = FILL_IN_CHUNKS;
    pthread_mutex_unlock(&fill->lock);
    if (fill->length != LENGTH_UNKNOWN)
        fit(fill, fill->length);
}

/* ---- the sink */

static bool
push(struct fill *fill, struct chunk *chunk)
{
    bool is_pushed;

    pthread_mutex_lock(&fill->lock);
    is_pushed = chunk_window_push(&fill->window, chunk);
    pthread_mutex_unlock(&fill->lock);
    return is_pushed;
}

static bool
look_for_room(struct fill *fill)
{
    bool is_full;

    pthread_mutex_lock(&fill->lock);
    if (fill->write != NULL)
        fill->written = disk_write_written(fill->write);
    fill_content_trim(fill);
    is_full = fill->is_full = !has_room(fill);
    pthread_mutex_unlock(&fill->lock);
    return !is_full;
}

/* A new chunk behind bytes of content, to be filled. */
static enum flow
next_chunk(struct fill *fill, uint64_t bytes)
{
    struct chunk *chunk;

    fit(fill, bytes + 1);
    if (!look_for_room(fill))
        return FLOW_WAIT;
    chunk = chunk_new();
    if (chunk == NULL)
        return FLOW_FAILED;
    if (!push(fill, chunk)) {
        chunk_unref(chunk);
        return FLOW_FAILED;
    }
    fill->last = chunk;
    return FLOW_MORE;
}

/* The last chunk is full, or was the last. */
static void
hand_over(struct fill *fill)
{
    if (fill->keep == FILL_ON_DISK && fill->last != NULL)
        disk_write_append(fill->write, fill->last);
    fill->last = NULL;
}

/* Adds data behind at bytes of content; *taken grows. */
static enum flow
add_to_chunks(struct fill *fill, const char *data, size_t bytes, uint64_t at, size_t *taken)
{
    while (bytes > 0) {
        size_t here;

        if (fill->last == NULL) {
            enum flow flow = next_chunk(fill, at + *taken);

            if (flow != FLOW_MORE)
                return flow;
        }
        here = CHUNK_BYTES - fill->last->bytes;
        if (bytes < here)
            here = bytes;
        memcpy(fill->last->data + fill->last->bytes, data, here);
        fill->last->bytes += (uint32_t)here;
        data += here;
        bytes -= here;
        *taken += here;
        if (fill->last->bytes == CHUNK_BYTES)
            hand_over(fill);
    }
    return FLOW_MORE;
}

static enum flow
add(struct fill *fill, const struct piece *piece, uint64_t at, size_t *taken)
{
    char *body = fill->object->body;
    enum flow flow = FLOW_MORE;

    for (unsigned i = 0; i < piece->count && flow == FLOW_MORE; i++) {
        const struct iovec *iov = &piece->iov[i];

        if (body == NULL) {
            flow = add_to_chunks(fill, iov->iov_base, iov->iov_len, at, taken);
        } else {
            memcpy(body + at + *taken, iov->iov_base, iov->iov_len);
            *taken += iov->iov_len;
        }
    }
    return flow;
}

/* All of it is there. Less than was announced is not the content. */
static enum flow
finish(struct fill *fill)
{
    uint64_t bytes = atomic_load_explicit(&fill->published, memory_order_relaxed);

    if (fill->length != LENGTH_UNKNOWN && bytes != fill->length)
        return FLOW_FAILED;
    if (fill->object->body == NULL && bytes > 0) {
        fit(fill, bytes);
        hand_over(fill);
    }
    fill_content_ended(fill);
    return FLOW_END;
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct fill *fill = container_of(sink, struct fill, sink);
    uint64_t at = atomic_load_explicit(&fill->published, memory_order_relaxed);
    enum flow flow;

    if (fill->length != LENGTH_UNKNOWN && piece->bytes > fill->length - at)
        return FLOW_FAILED; /* more than was announced */
    flow = add(fill, piece, at, taken);
    at += *taken;
    atomic_store(&fill->published, at);
    if (flow == FLOW_MORE && piece->is_last)
        return finish(fill);
    if (at == fill->length)
        return finish(fill) == FLOW_END ? FLOW_MORE : FLOW_FAILED; /* its source says so later */
    fill_wake_readers(fill);
    return flow;
}

static enum flow
end(struct sink *sink, const struct fields *trailers)
{
    struct fill *fill = container_of(sink, struct fill, sink);

    (void)trailers;
    if (atomic_load_explicit(&fill->end, memory_order_relaxed) == FILL_ENDED)
        return FLOW_END;
    return finish(fill);
}

static const struct sink_ops sink_ops = {
    .put = put,
    .end = end,
};

void
fill_content_init(struct fill *fill)
{
    fill->sink.ops = &sink_ops;
}

void
fill_content_fini(struct fill *fill)
{
    must(fill->write == NULL && fill->taken == NULL);
    chunk_window_fini(&fill->window);
    disk_body_unref(fill->body);
}

/* ---- the object that came of it */

static struct object *
gather(struct fill *fill)
{
    uint64_t bytes = atomic_load_explicit(&fill->published, memory_order_relaxed);
    struct object_head head;
    struct object *object;
    char *at;

    object_head_of(fill->object, &head);
    object = object_new(&head, bytes);
    if (object == NULL)
        return NULL;
    at = object->body;
    for (uint64_t number = 0; number < fill->window.end; number++) {
        const struct chunk *chunk = chunk_window_at(&fill->window, number);

        at = mempcpy(at, chunk->data, chunk->bytes);
    }
    return object;
}

static struct object *
commit(struct fill *fill)
{
    struct disk_write *write = fill->write;
    struct object_head head;
    struct object *object;

    if (disk_write_failed(write))
        return NULL;
    object_head_of(fill->object, &head);
    object = object_new(&head, 0);
    if (object == NULL)
        return NULL;
    object->body_bytes = atomic_load_explicit(&fill->published, memory_order_relaxed);
    fill->written = disk_write_written(write);
    fill->write = NULL;
    disk_write_commit(write, object);
    return object;
}

static struct object *
take_from_memory(struct fill *fill)
{
    switch (fill->keep) {
    case FILL_IN_OBJECT:
        return fill->length <= fill->conf.object_bytes ? object_ref(fill->object) : NULL;
    case FILL_IN_CHUNKS:
        return gather(fill);
    case FILL_ON_DISK:
    case FILL_PASSING:
        return NULL;
    }
    return NULL;
}

struct object *
fill_take_object(struct fill *fill)
{
    struct object *object;

    if (fill_state(fill) != FILL_WHOLE || fill->was_taken)
        return NULL;
    fill->was_taken = true;
    object = take_from_memory(fill);
    pthread_mutex_lock(&fill->lock); /* fill_forget() comes before all of this, or after */
    if (fill->is_forgotten) {
        object_unref(object);
        object = NULL;
    } else if (fill->write != NULL) {
        object = commit(fill);
    }
    if (object != NULL)
        fill->taken = object_ref(object);
    pthread_mutex_unlock(&fill->lock);
    return object;
}
