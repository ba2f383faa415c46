/* SPDX-License-Identifier: BSD-2-Clause */
/* content_fixture.h - content that comes piece by piece, through a filter, into a sink that
 * takes as little as it likes. No sockets: a loop, a worker, an exchange.
 *
 *     content_begin();
 *     content_script(text, bytes, step);              what inner gives, step bytes at a time
 *     content_run(filtered_source_over(&content.source), room);
 *     ... content.out, content.out_bytes, content.result ...
 *     content_finish();
 */
#ifndef BASCULE_CONTENT_FIXTURE_H
#define BASCULE_CONTENT_FIXTURE_H

#include "server/base/clock.h"
#include "server/generation.h"
#include "server/http/exchange.h"
#include "server/snapshot.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

#define CONTENT_WAIT_MS 60000u

/* Before every piece it waits once, as a network does, unless waits is false. */
struct content_fixture {
    struct source source;      /* inner */
    struct sink sink;
    struct task ready;
    const char *in;
    size_t in_bytes, at, step; /* step: bytes of each piece */
    size_t most_offered;       /* longest piece that the sink was given */
    bool waits, was_waiting;
    bool cuts;                 /* fails where it should end */
    bool says_last;            /* with the last piece, rather than by an end of its own */
    bool stalls;               /* waits for ever instead of ending */
    const struct fields *trailers;
    char *out;
    size_t out_bytes, out_room;
    size_t room;               /* of the sink, for each put; 0: any */
    unsigned pieces;
    bool is_done, is_cancelled;
    enum pump_result result;
    const struct fields *out_trailers;
    struct pump pump;
    struct exchange ex;
    struct worker worker;
    struct generation generation;
    struct snapshot snapshot;
};

static struct content_fixture content;

/* ---- inner */

static void
content_on_ready(struct task *task)
{
    (void)task;
    pump_source_ready(content.source.pump);
}

static enum flow
content_offer(struct source *source, unsigned forms, struct piece *piece)
{
    size_t left = content.in_bytes - content.at;
    size_t bytes = left < content.step ? left : content.step;

    (void)forms;
    if (content.waits && !content.was_waiting) {
        content.was_waiting = true;
        loop_ready(content.worker.loop, &content.ready);
        return FLOW_WAIT;
    }
    if (bytes == 0 && content.stalls)
        return FLOW_WAIT;
    if (bytes == 0) {
        source->trailers = content.trailers;
        return content.cuts ? FLOW_FAILED : FLOW_END;
    }
    *piece = (struct piece){ .form = FORM_SLICES, .bytes = bytes, .count = bytes > 1 ? 2 : 1 };
    piece->iov[0] = (struct iovec){ (void *)(content.in + content.at), bytes - bytes / 2 };
    piece->iov[1] = (struct iovec){ (void *)(content.in + content.at + bytes - bytes / 2),
                                    bytes / 2 };
    piece->is_last = content.says_last && !content.cuts && bytes == left &&
                     content.trailers == NULL && !content.stalls;
    return FLOW_MORE;
}

static void
content_take(struct source *source, size_t bytes)
{
    (void)source;
    must(bytes <= content.in_bytes - content.at);
    content.at += bytes;
    content.was_waiting = false;
}

static void
content_cancel(struct source *source)
{
    (void)source;
    content.is_cancelled = true;
}

static const struct source_ops content_source_ops = {
    .offer = content_offer, .take = content_take, .cancel = content_cancel,
};

/* ---- the sink */

static enum flow
content_put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    size_t room = content.room > 0 ? content.room : piece->bytes;

    (void)sink;
    if (piece->bytes > content.most_offered)
        content.most_offered = piece->bytes;
    *taken = 0;
    content.pieces++;
    for (unsigned i = 0; i < piece->count && room > 0; i++) {
        size_t part = piece->iov[i].iov_len < room ? piece->iov[i].iov_len : room;

        if (content.out_bytes + part > content.out_room) {
            content.out_room = (content.out_bytes + part) * 2;
            content.out = realloc(content.out, content.out_room);
        }
        memcpy(content.out + content.out_bytes, piece->iov[i].iov_base, part);
        content.out_bytes += part;
        *taken += part;
        room -= part;
    }
    if (*taken == piece->bytes && piece->is_last)
        return FLOW_END;
    return FLOW_MORE;
}

static enum flow
content_end(struct sink *sink, const struct fields *trailers)
{
    (void)sink;
    content.out_trailers = trailers;
    return FLOW_END;
}

static const struct sink_ops content_sink_ops = { .put = content_put, .end = content_end };

static void
content_on_done(struct pump *pump, enum pump_result result)
{
    (void)pump;
    content.is_done = true;
    content.result = result;
}

/* ---- life */

static void
content_begin(void)
{
    struct err err;

    content = (struct content_fixture){ .step = 1, .waits = true };
    content.worker.loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(content.worker.loop);
    content.snapshot.conf.held_bytes = 1 << 20;
    content.generation.snapshot = &content.snapshot;
    arena_init(&content.ex.arena, NULL, 1 << 20);
    content.ex.worker = &content.worker;
    content.ex.generation = &content.generation;
    content.ex.last_decision = &content.ex.decisions;
    content.source.ops = &content_source_ops;
    content.sink.ops = &content_sink_ops;
    task_init(&content.ready, content_on_ready);
}

/* What inner gives, from its beginning: bytes of text, step at a time. Borrows text. */
static void
content_script(const void *text, size_t bytes, size_t step)
{
    content.in = text;
    content.in_bytes = bytes;
    content.at = 0;
    content.step = step;
}

/* Until the end, or for wait_ms. */
static void
content_turn(uint32_t wait_ms)
{
    uint64_t until = clock_monotonic_ms() + wait_ms;

    while (!content.is_done && clock_monotonic_ms() < until)
        loop_turn(content.worker.loop, 1);
}

/* Until so many bytes came out, or the end, and a few turns more. */
static void
content_turn_until(size_t bytes)
{
    uint64_t until = clock_monotonic_ms() + CONTENT_WAIT_MS;

    while (!content.is_done && content.out_bytes < bytes && clock_monotonic_ms() < until)
        loop_turn(content.worker.loop, 1);
    for (unsigned i = 0; i < 10 && !content.is_done; i++)
        loop_turn(content.worker.loop, 1);
}

/* Until all that inner has was taken, and a few turns more. */
static void
content_turn_until_taken(void)
{
    uint64_t until = clock_monotonic_ms() + CONTENT_WAIT_MS;

    while (!content.is_done && content.at < content.in_bytes && clock_monotonic_ms() < until)
        loop_turn(content.worker.loop, 1);
    for (unsigned i = 0; i < 10 && !content.is_done; i++)
        loop_turn(content.worker.loop, 1);
}

/* Moves all of source into the sink, which takes room bytes of each piece (0: all). */
static void
content_run(struct source *source, size_t room)
{
    content.room = room;
    content.is_done = false;
    content.out_bytes = 0;
    pump_start(&content.pump, content.worker.loop, source, &content.sink, content_on_done);
    if (!content.stalls)
        content_turn(CONTENT_WAIT_MS);
    if (!content.stalls)
        CU_ASSERT_TRUE(content.is_done);
}

static bool
content_is(const void *text, size_t bytes)
{
    return content.out_bytes == bytes && (bytes == 0 || memcmp(content.out, text, bytes) == 0);
}

static void
content_finish(void)
{
    pump_stop(&content.pump);
    task_cancel(&content.ready);
    arena_fini(&content.ex.arena);
    loop_free_all(content.worker.loop);
    free(content.out);
}

#endif
