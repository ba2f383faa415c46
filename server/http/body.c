/* SPDX-License-Identifier: BSD-2-Clause */
/* body.c - the pump between a source and a sink.
 *
 * It runs until one of them says wait, and then does nothing until that one is
 * ready again: while the sink is full, the source is not even asked. A
 * turn's budget keeps one fast stream from holding the worker: what is left
 * waits on the ready list. Sources and sinks only return results; they never
 * call into the exchange, so nothing can vanish while the pump stands on it.
 */
#include "config.h"

#include "server/http/body.h"

#define TURN_BYTES (512u * 1024)
#define PASS_BYTES 4096u /* what passing a piece costs of it at least: a system call */

static void
finish(struct pump *pump, enum pump_result result)
{
    pump_stop(pump);
    pump->on_done(pump, result);
}

/* The source has ended: lets the sink send what is left. */
static void
end_sink(struct pump *pump)
{
    const struct fields *trailers = pump->source != NULL ? pump->source->trailers : NULL;

    switch (pump->sink->ops->end(pump->sink, trailers)) {
    case FLOW_END:
    case FLOW_MORE:
        finish(pump, PUMP_DONE);
        return;
    case FLOW_WAIT:
        pump->is_sink_full = true;
        return;
    case FLOW_FAILED:
        finish(pump, PUMP_SINK_FAILED);
        return;
    }
}

static void
fail_sink(struct pump *pump)
{
    source_cancel(pump->source);
    finish(pump, PUMP_SINK_FAILED);
}

/* The source has nothing now: what the sink holds back goes out. */
static void
idle(struct pump *pump)
{
    if (pump->sink->ops->flush != NULL && pump->sink->ops->flush(pump->sink) == FLOW_FAILED)
        fail_sink(pump);
}

/* Passes one piece. False when the pump has to stop for now, or for good. */
static bool
pass(struct pump *pump, size_t *budget)
{
    struct source *source = pump->source;
    struct piece piece;
    size_t taken = 0;
    enum flow flow;

    switch (source->ops->offer(source, FORM_SLICES | pump->sink->forms, &piece)) {
    case FLOW_MORE:
        break;
    case FLOW_WAIT:
        idle(pump);
        return false;
    case FLOW_END:
        pump->is_ending = true;
        end_sink(pump);
        return false;
    case FLOW_FAILED:
        finish(pump, PUMP_SOURCE_FAILED);
        return false;
    }
    flow = pump->sink->ops->put(pump->sink, &piece, &taken);
    if (taken > 0) {
        source->ops->take(source, taken);
        pump->moved_bytes += taken;
    }
    switch (flow) {
    case FLOW_MORE:
        break;
    case FLOW_WAIT:
        pump->is_sink_full = true;
        return false;
    case FLOW_END:
        finish(pump, PUMP_DONE);
        return false;
    case FLOW_FAILED:
        fail_sink(pump);
        return false;
    }
    if (taken < PASS_BYTES)
        taken = PASS_BYTES;
    *budget -= taken < *budget ? taken : *budget;
    return true;
}

static void
run(struct pump *pump)
{
    size_t budget = TURN_BYTES;

    if (pump->is_ending || pump->source == NULL) {
        end_sink(pump);
        return;
    }
    while (pass(pump, &budget)) {
        if (budget == 0) {
            loop_ready(pump->loop, &pump->task);
            return;
        }
    }
}

static void
run_task(struct task *task)
{
    run(container_of(task, struct pump, task));
}

void
pump_start(struct pump *pump, struct loop *loop, struct source *source, struct sink *sink,
           void (*on_done)(struct pump *, enum pump_result))
{
    *pump = (struct pump){ .source = source, .sink = sink, .loop = loop, .on_done = on_done,
                           .is_running = true };
    task_init(&pump->task, run_task);
    sink->pump = pump;
    for (; source != NULL; source = source->inner)
        source->pump = pump;
    run(pump);
}

void
pump_source_ready(struct pump *pump)
{
    if (pump != NULL && pump->is_running && !pump->is_sink_full)
        run(pump);
}

void
pump_sink_ready(struct pump *pump)
{
    if (pump == NULL || !pump->is_running)
        return;
    pump->is_sink_full = false;
    run(pump);
}

void
pump_stop(struct pump *pump)
{
    if (!pump->is_running)
        return;
    pump->is_running = false;
    task_cancel(&pump->task);
    pump->sink->pump = NULL;
    for (struct source *source = pump->source; source != NULL; source = source->inner)
        source->pump = NULL;
}

void
source_cancel_inner(struct source *source)
{
    source_cancel(source->inner);
}

/* ---- memory */

static enum flow
offer_memory(struct source *source, unsigned forms, struct piece *piece)
{
    struct memory_source *memory = container_of(source, struct memory_source, source);

    (void)forms;
    if (memory->bytes == 0)
        return FLOW_END;
    piece->form = FORM_SLICES;
    piece->is_last = true;
    piece->bytes = memory->bytes;
    piece->count = 1;
    piece->iov[0] = (struct iovec){ (void *)memory->data, memory->bytes };
    return FLOW_MORE;
}

static void
take_memory(struct source *source, size_t bytes)
{
    struct memory_source *memory = container_of(source, struct memory_source, source);

    memory->data += bytes;
    memory->bytes -= bytes;
}

static const struct source_ops memory_ops = {
    .offer = offer_memory,
    .take = take_memory,
};

void
memory_source_init(struct memory_source *source, const void *data, size_t bytes)
{
    *source = (struct memory_source){ .source = { .ops = &memory_ops },
                                      .data = data, .bytes = bytes };
}

void
piece_shorten(struct piece *piece, size_t bytes)
{
    size_t left = bytes;

    if (piece->bytes <= bytes)
        return;
    piece->bytes = bytes;
    piece->is_last = false;
    if (piece->form != FORM_SLICES)
        return;
    for (unsigned i = 0; i < piece->count; i++) {
        if (piece->iov[i].iov_len >= left) {
            piece->iov[i].iov_len = left;
            piece->count = i + 1;
            return;
        }
        left -= piece->iov[i].iov_len;
    }
}
