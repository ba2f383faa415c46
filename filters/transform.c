/* SPDX-License-Identifier: BSD-2-Clause */
/* transform.c - between inner's pieces and the pieces that are made of them. */
#include "config.h"

#include "filters/transform.h"

#include <stdlib.h>

#define TURN_BYTES (256u * 1024) /* of input, that make no output */

static bool
fail(struct transform *t)
{
    t->is_failed = true;
    return false;
}

static void
drop_buffer(struct transform *t)
{
    free(t->out);
    t->out = NULL;
    t->at = t->end = 0;
}

/* One call. False: it failed. */
static bool
work(struct transform *t, struct transform_step *step, bool *is_done)
{
    step->out = t->out + t->end;
    step->out_bytes = t->out_bytes - t->end;
    step->taken = step->made = 0;
    switch (t->ops->work(t, step)) {
    case TRANSFORM_MORE:
        *is_done = false;
        break;
    case TRANSFORM_DONE:
        *is_done = true;
        break;
    case TRANSFORM_FAILED:
        return fail(t);
    }
    must(step->taken <= step->in_bytes && step->made <= step->out_bytes);
    t->end += step->made;
    return true;
}

static bool
has_room(const struct transform *t)
{
    return t->out_bytes - t->end >= t->out_bytes / 2;
}

/* Input as far as there is room for what becomes of it. */
static bool
feed(struct transform *t, const struct iovec *iov, size_t *taken)
{
    struct transform_step step = { .in = iov->iov_base, .in_bytes = iov->iov_len };

    while (step.in_bytes > 0 && !t->is_done && has_room(t)) {
        bool is_done;

        if (!work(t, &step, &is_done))
            return false;
        *taken += step.taken;
        step.in += step.taken;
        step.in_bytes -= step.taken;
        t->is_done = is_done; /* before the end of inner: the rest of it does not matter */
        t->is_dirty = true;
        if (step.taken == 0 && step.made == 0 && !is_done) {
            must(t->end > 0); /* it needs the room that there will be when this is gone */
            break;
        }
    }
    return true;
}

/* What is to come out once there is no more input, or for now. */
static bool
drain(struct transform *t, bool is_end)
{
    struct transform_step step = { .in = "", .is_end = is_end, .is_flush = !is_end };
    bool is_done = false;

    t->is_flushing = !is_end;
    while (!is_done && has_room(t)) {
        if (!work(t, &step, &is_done))
            return false;
        if (step.made == 0 && !is_done) {
            must(t->end > 0);
            break;
        }
    }
    if (!is_done)
        return true;
    if (is_end)
        t->is_done = true;
    else
        t->is_dirty = t->is_flush_due = t->is_flushing = false;
    return true;
}

/* ---- the source */

/* Feeds what inner has. FLOW_MORE: there may be more to feed. */
static enum flow
pull(struct transform *t, size_t *budget)
{
    struct source *inner = t->source.inner;
    struct piece piece;
    size_t taken = 0;
    enum flow flow = inner->ops->offer(inner, FORM_SLICES, &piece);

    if (flow == FLOW_END)
        t->is_inner_ended = true;
    if (flow != FLOW_MORE)
        return flow;
    for (unsigned i = 0; i < piece.count; i++) {
        size_t before = taken;

        if (!feed(t, &piece.iov[i], &taken))
            return FLOW_FAILED;
        if (taken - before < piece.iov[i].iov_len)
            break;
    }
    if (taken > 0)
        inner->ops->take(inner, taken);
    if (piece.is_last && taken == piece.bytes)
        t->is_inner_ended = true;
    *budget -= taken < *budget ? taken : *budget;
    return FLOW_MORE;
}

static bool
take_buffer(struct transform *t)
{
    if (t->out == NULL)
        t->out = malloc(t->out_bytes);
    return t->out != NULL || fail(t);
}

/* inner has nothing now: what is held back goes out, now, soon, or with what comes next. */
static enum flow
idle(struct transform *t)
{
    if (t->is_dirty && (t->flush_ms == 0 || t->is_flush_due)) {
        if (!take_buffer(t) || !drain(t, false))
            return FLOW_FAILED;
        if (t->end > 0)
            return FLOW_MORE;
    }
    if (t->is_dirty && t->flush_ms != TRANSFORM_NO_FLUSH && !timer_is_armed(&t->timer))
        timer_arm(t->loop, &t->timer, t->flush_ms);
    drop_buffer(t);
    return FLOW_WAIT;
}

/* Fills the buffer as far as that goes now. */
static enum flow
fill(struct transform *t)
{
    size_t budget = TURN_BYTES;

    if (t->is_flushing && (!take_buffer(t) || !drain(t, false)))
        return FLOW_FAILED;
    while (!t->is_done && !t->is_inner_ended && has_room(t)) {
        if (budget == 0 && t->end == 0) {
            loop_ready(t->loop, &t->task);
            return FLOW_WAIT;
        }
        if (budget == 0)
            return FLOW_MORE;
        switch (take_buffer(t) ? pull(t, &budget) : FLOW_FAILED) {
        case FLOW_WAIT:
            return t->end > 0 ? FLOW_MORE : idle(t);
        case FLOW_FAILED:
            return FLOW_FAILED;
        case FLOW_MORE:
        case FLOW_END:
            break;
        }
    }
    if (t->is_inner_ended && !t->is_done && (!take_buffer(t) || !drain(t, true)))
        return FLOW_FAILED;
    return t->end > 0 ? FLOW_MORE : FLOW_END;
}

static void
end_input(struct transform *t)
{
    timer_disarm(&t->timer);
    if (t->is_inner_ended)
        t->source.trailers = t->source.inner->trailers;
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct transform *t = container_of(source, struct transform, source);

    (void)forms;
    if (t->is_failed)
        return FLOW_FAILED;
    if (t->at == t->end) {
        enum flow flow;

        t->at = t->end = 0;
        flow = fill(t);
        if (t->is_done)
            end_input(t);
        if (flow == FLOW_FAILED)
            t->is_failed = true;
        if (flow != FLOW_MORE)
            return flow;
    }
    *piece = (struct piece){ .form = FORM_SLICES, .bytes = t->end - t->at, .count = 1 };
    piece->iov[0] = (struct iovec){ t->out + t->at, t->end - t->at };
    piece->is_last = t->is_done && source->trailers == NULL;
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    struct transform *t = container_of(source, struct transform, source);

    must(bytes <= t->end - t->at);
    t->at += bytes;
}

static void
cancel(struct source *source)
{
    struct transform *t = container_of(source, struct transform, source);

    timer_disarm(&t->timer);
    task_cancel(&t->task);
    source_cancel_inner(source);
}

static const struct source_ops source_ops = { .offer = offer, .take = take, .cancel = cancel };

/* ---- turns, time, the end */

static void
on_task(struct task *task)
{
    struct transform *t = container_of(task, struct transform, task);

    pump_source_ready(t->source.pump);
}

static void
on_due(struct timer *timer)
{
    struct transform *t = container_of(timer, struct transform, timer);

    t->is_flush_due = true;
    pump_source_ready(t->source.pump);
}

static void
release(void *arg)
{
    struct transform *t = arg;

    timer_disarm(&t->timer);
    task_cancel(&t->task);
    drop_buffer(t);
    if (t->ops->release != NULL)
        t->ops->release(t);
}

struct source *
transform_begin(struct transform *t, struct exchange *ex, struct source *inner,
                const struct transform_ops *ops, size_t out_bytes, uint32_t flush_ms)
{
    t->source = (struct source){ .ops = &source_ops, .inner = inner };
    t->ops = ops;
    t->loop = ex->worker->loop;
    t->out_bytes = out_bytes;
    t->flush_ms = flush_ms;
    task_init(&t->task, on_task);
    timer_init(&t->timer, on_due);
    return arena_defer(&ex->arena, release, t) == 0 ? &t->source : NULL;
}
