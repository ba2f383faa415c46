/* SPDX-License-Identifier: BSD-2-Clause */
/* fill_bench.h - a fill on one thread, up to eight visitors who read it, and
 * content that is fed by hand.
 */
#ifndef BASCULE_FILL_BENCH_H
#define BASCULE_FILL_BENCH_H

#include "cache/fill_inside.h"

#include "test/unit/fill_fixture.h"

#define WINDOW_BYTES (4 * CHUNK_BYTES)
#define KEY SLICE("key")
#define HASH 77

static struct worker worker;
static struct fills *fills;
static struct fill *fill;
static struct fill_reader readers[8];
static struct visitor visitors[8];
UNUSED_OK static unsigned abandoned;

UNUSED_OK static void
on_abandoned(struct fill *which, void *arg)
{
    CU_ASSERT_PTR_EQUAL(which, fill);
    CU_ASSERT_PTR_EQUAL(arg, &abandoned);
    abandoned++;
}

static const struct fill_events events = { on_abandoned };

UNUSED_OK static void
turn(void)
{
    for (int i = 0; i < 5; i++)
        loop_turn(worker.loop, 0);
}

UNUSED_OK static struct fill *
new_fill(const struct fill_conf *conf)
{
    return fill_new(fills, conf, HASH, KEY, 5, &worker, &events, &abandoned);
}

UNUSED_OK static void
set_up(const struct fill_conf *conf)
{
    worker_set_up(&worker);
    fills = fills_new();
    abandoned = 0;
    memset(readers, 0, sizeof(readers));
    memset(visitors, 0, sizeof(visitors));
    fill = new_fill(conf);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fill);
    fill_join_first(fill, &worker, &readers[0]);
}

UNUSED_OK static void
leave(unsigned i)
{
    pump_stop(&visitors[i].pump);
    fill_reader_leave(&readers[i]);
}

UNUSED_OK static void
tear_down(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(readers); i++)
        if (visitors[i].pump.source != NULL)
            leave(i);
        else
            fill_reader_leave(&readers[i]);
    if (fill != NULL)
        fill_unref(fill);
    turn();
    CU_ASSERT_EQUAL(fills_count(fills), 0);
    fills_free(fills);
    worker_tear_down(&worker);
}

UNUSED_OK static bool
join(unsigned i)
{
    return fill_join(fills, HASH, KEY, false, &worker, &readers[i]);
}

UNUSED_OK static void
begin(uint64_t length, uint64_t body_room)
{
    struct object *object = make_object(body_room);

    fill_set_object(fill, object, length);
    object_unref(object);
}

UNUSED_OK static void
read_on(unsigned i, uint64_t room)
{
    visitor_start(&visitors[i], &worker, &readers[i].source, 0, room, 0);
}

/* Puts content up to here, in two slices. */
UNUSED_OK static enum flow
feed(uint64_t to, bool is_last)
{
    uint64_t at = atomic_load(&fill->published);
    char *data = make_content(at, (size_t)(to - at));
    struct piece piece = { .form = FORM_SLICES, .bytes = (size_t)(to - at), .count = 2,
                           .is_last = is_last };
    size_t taken = 0, half = piece.bytes / 2;
    enum flow flow;

    piece.iov[0] = (struct iovec){ data, half };
    piece.iov[1] = (struct iovec){ data + half, piece.bytes - half };
    flow = fill_sink(fill)->ops->put(fill_sink(fill), &piece, &taken);
    CU_ASSERT_EQUAL(atomic_load(&fill->published), at + taken);
    free(data);
    return flow;
}

UNUSED_OK static enum flow
end(void)
{
    return fill_sink(fill)->ops->end(fill_sink(fill), NULL);
}

UNUSED_OK static bool
has_all(const struct visitor *visitor, uint64_t bytes)
{
    return visitor->result == PUMP_DONE && visitor->at == bytes && !visitor->is_wrong;
}

UNUSED_OK static const struct fill_conf in_memory = {
    .memory_bytes = 1 << 20,
    .object_bytes = 1 << 20,
    .window_bytes = WINDOW_BYTES,
};

#endif
