/* SPDX-License-Identifier: BSD-2-Clause */
/* fill.c - what happens to a fill, and who is told.
 *
 *     ASKING --> FLOWING --> WHOLE
 *        |          '------> FAILED
 *        |--> PRIVATE (stays, whatever becomes of its content)
 *        |--> WHOLE (fill_set_whole)
 *        '--> FAILED
 *
 * Publishing is a store and a look at is_awaited; waiting is a store to
 * is_awaited and another look at what is published. Both pairs are sequentially
 * consistent, so one of the two sees the other.
 */
#include "config.h"

#include "cache/fill_inside.h"

#include "server/worker.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- life */

struct fill *
fill_ref(struct fill *fill)
{
    atomic_fetch_add_explicit(&fill->references, 1, memory_order_relaxed);
    return fill;
}

static void
free_fill(struct fill *fill)
{
    must(fill->readers == 0 && !fill->is_attached);
    list_each(link, &fill->audiences) {
        struct audience *audience = container_of(link, struct audience, link);

        if (audience != &fill->home)
            free(audience);
    }
    fill_content_fini(fill);
    object_unref(fill->object);
    pthread_mutex_destroy(&fill->lock);
    free(fill);
}

void
fill_release(struct fill *fill)
{
    if (atomic_fetch_sub_explicit(&fill->references, 1, memory_order_acq_rel) == 1)
        free_fill(fill);
}

/* ---- bells */

static void
hear(struct bell *bell)
{
    struct fill *fill = bell->fill;

    atomic_store(&bell->state, BELL_IDLE); /* before looking: what changes later rings again */
    bell->on_heard(bell);
    fill_release(fill);
}

static void
hear_mail(struct mail *mail)
{
    hear(container_of(mail, struct bell, mail));
}

static void
hear_task(struct task *task)
{
    hear(container_of(task, struct bell, task));
}

void
bell_init(struct bell *bell, struct fill *fill, struct worker *worker,
          void (*on_heard)(struct bell *))
{
    bell->fill = fill;
    bell->worker = worker;
    bell->on_heard = on_heard;
    bell->mail.deliver = hear_mail;
    task_init(&bell->task, hear_task);
    atomic_init(&bell->state, BELL_IDLE);
}

void
bell_ring(struct bell *bell, const struct worker *from)
{
    if (atomic_exchange(&bell->state, BELL_RUNG) == BELL_RUNG)
        return;
    fill_ref(bell->fill);
    if (from == bell->worker)
        loop_ready(bell->worker->loop, &bell->task);
    else
        loop_post(bell->worker->loop, &bell->mail);
}

void
fill_wake_readers(struct fill *fill)
{
    if (!atomic_load(&fill->is_awaited))
        return;
    pthread_mutex_lock(&fill->lock);
    atomic_store(&fill->is_awaited, false);
    list_each(link, &fill->audiences) {
        struct audience *audience = container_of(link, struct audience, link);

        if (atomic_load(&audience->bell.state) == BELL_WANTED)
            bell_ring(&audience->bell, fill->fetch.worker);
    }
    pthread_mutex_unlock(&fill->lock);
}

/* ---- who reads */

bool
fill_is_unread(const struct fill *fill)
{
    return fill->readers == 0 && fill->is_attached &&
           atomic_load_explicit(&fill->end, memory_order_relaxed) == FILL_OPEN &&
           (!fill->conf.outlives_readers || fill->keep == FILL_PASSING || fill->is_forgotten);
}

void
fill_check_read(struct fill *fill, const struct worker *from)
{
    if (fill_is_unread(fill))
        bell_ring(&fill->fetch, from);
}

/* There is room, or nobody reads any more. The fetch may have ended meanwhile. */
static void
on_fetch_heard(struct bell *bell)
{
    struct fill *fill = bell->fill;

    if (!fill->is_attached)
        return;
    if (!fills_unlist_unread(fill)) {
        pump_sink_ready(fill->sink.pump);
    } else if (!fill->was_abandoned) {
        fill->was_abandoned = true;
        fill->events->on_abandoned(fill, fill->arg);
    }
}

/* ---- the fetch side */

struct fill *
fill_new(struct fills *fills, const struct fill_conf *conf, uint64_t hash, struct slice key,
         uint64_t seq, struct worker *worker, const struct fill_events *events, void *arg)
{
    struct fill *fill = calloc(1, sizeof(*fill) + key.bytes);

    if (fill == NULL)
        return NULL;
    atomic_init(&fill->references, 1);
    atomic_init(&fill->state, FILL_ASKING);
    pthread_mutex_init(&fill->lock, NULL);
    fill->fills = fills;
    fill->hash = hash;
    fill->seq = seq;
    fill->key = slice_make(memcpy(fill + 1, key.data, key.bytes), key.bytes);
    list_init(&fill->link);
    fill->conf = *conf;
    fill->events = events;
    fill->arg = arg;
    fill->length = LENGTH_UNKNOWN;
    fill->is_attached = true;
    bell_init(&fill->fetch, fill, worker, on_fetch_heard);
    list_init(&fill->audiences);
    audience_init(&fill->home, fill, worker);
    fill_content_init(fill);
    if (fills_list(fill))
        return fill;
    fill->is_attached = false;
    fill_release(fill);
    return NULL;
}

static void
set_state(struct fill *fill, enum fill_state state)
{
    atomic_store(&fill->state, (uint8_t)state);
    fill_wake_readers(fill);
}

void
fill_set_object(struct fill *fill, struct object *object, uint64_t length)
{
    must(fill_state(fill) == FILL_ASKING && fill->object == NULL);
    fill->object = object_ref(object);
    fill->length = length;
    fill_content_begin(fill);
    set_state(fill, FILL_FLOWING);
}

void
fill_set_private(struct fill *fill, struct object *object, uint64_t length)
{
    must(fill_state(fill) == FILL_ASKING && fill->object == NULL && object->body == NULL);
    fill->object = object_ref(object);
    fill->object->body_bytes = LENGTH_UNKNOWN;
    fill->length = length;
    fill_content_pass(fill);
    set_state(fill, FILL_PRIVATE);
}

static void
set_whole(struct fill *fill, struct object *object, bool is_validated)
{
    struct disk_body *body = atomic_load_explicit(&object->on_disk, memory_order_acquire);

    must(fill_state(fill) == FILL_ASKING && fill->object == NULL);
    fill->object = object_ref(object);
    fill->is_validated = is_validated;
    fill->length = object->body_bytes;
    fill->body = body != NULL ? disk_body_ref(body) : NULL;
    atomic_store(&fill->published, object->body_bytes);
    fill_content_ended(fill);
}

void
fill_set_whole(struct fill *fill, struct object *object)
{
    set_whole(fill, object, true);
}

void
fill_set_head(struct fill *fill, struct object *object)
{
    set_whole(fill, object, false);
}

void
fill_content_ended(struct fill *fill)
{
    atomic_store(&fill->end, FILL_ENDED);
    if (fill_state(fill) == FILL_PRIVATE)
        fill_wake_readers(fill);
    else
        set_state(fill, FILL_WHOLE);
}

void
fill_fail(struct fill *fill, const struct failure *failure)
{
    if (atomic_load_explicit(&fill->end, memory_order_relaxed) != FILL_OPEN)
        return;
    fill->failure = *failure;
    if (failure->detail != NULL) {
        snprintf(fill->detail, sizeof(fill->detail), "%s", failure->detail);
        fill->failure.detail = fill->detail;
    }
    fill_content_pass(fill);
    atomic_store(&fill->end, FILL_CUT);
    if (fill_state(fill) == FILL_PRIVATE)
        fill_wake_readers(fill);
    else
        set_state(fill, FILL_FAILED);
}

struct sink *
fill_sink(struct fill *fill)
{
    return &fill->sink;
}

void
fill_unref(struct fill *fill)
{
    static const struct failure stopped = { .reason = END_STOPPED, .status = 502 };
    struct disk_write *write;
    struct object *taken;

    fill_fail(fill, &stopped);
    fills_unlist(fill);
    pthread_mutex_lock(&fill->lock);
    fill->is_attached = false;
    fill->is_closed = true;
    fill->is_full = false;
    fill_content_trim(fill);
    write = fill->write;
    fill->write = NULL;
    taken = fill->taken;
    fill->taken = NULL;
    pthread_mutex_unlock(&fill->lock);
    if (write != NULL)
        disk_write_abort(write); /* it was not taken */
    object_unref(taken);
    fill_release(fill);
}

/* ---- what readers may know */

enum fill_state
fill_state(const struct fill *fill)
{
    return (enum fill_state)atomic_load(&fill->state);
}

const struct object *
fill_object(const struct fill *fill)
{
    return fill->object;
}

uint64_t
fill_length(const struct fill *fill)
{
    return fill->length;
}

bool
fill_is_validated(const struct fill *fill)
{
    return fill->is_validated;
}

uint64_t
fill_published(const struct fill *fill)
{
    return atomic_load(&fill->published);
}

uint64_t
fill_seq(const struct fill *fill)
{
    return fill->seq;
}

const struct failure *
fill_failure(const struct fill *fill)
{
    return &fill->failure;
}
