/* SPDX-License-Identifier: BSD-2-Clause */
/* bandwidth_source.c - asks for a quantum, lets it pass, asks for the next one.
 *
 *     inner --piece--> shortened to the credit --> pump
 *                      none left: a flow of the share, and a timer until it is its turn
 *
 * While it waits, inner is not asked, so that back-pressure reaches who sends. A quantum is
 * worth a fiftieth of a second of the whole rate, within bounds: short enough that turns come
 * often, long enough that few of them are needed.
 */
#include "config.h"

#include "filters/bandwidth_source.h"

#include "server/http/message.h"

#define QUANTA_PER_S 50
#define QUANTUM_MIN_BYTES 1460u
#define QUANTUM_MAX_BYTES (256u * 1024)
#define FIRST_BYTES 4096u /* of content whose length nobody knows: it may be short */
#define MS_NS 1000000u
#define WAIT_MAX_MS 1024u

static uint64_t
smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool
is_quick(const struct bandwidth_source *own)
{
    return own->passed < own->terms->quick_bytes;
}

static uint64_t
quantum(const struct bandwidth_source *own)
{
    uint64_t bytes = own->terms->rate.bytes_per_s / QUANTA_PER_S;

    if (bytes < QUANTUM_MIN_BYTES)
        bytes = QUANTUM_MIN_BYTES;
    bytes = smaller(bytes, QUANTUM_MAX_BYTES) * own->terms->weight;
    if (is_quick(own))
        bytes = smaller(bytes, own->terms->quick_bytes - own->passed);
    if (own->left == LENGTH_UNKNOWN)
        return own->passed == 0 ? smaller(bytes, FIRST_BYTES) : bytes;
    return own->left > 0 ? smaller(bytes, own->left) : bytes;
}

/* Timers come in few lengths: powers of two, the longest that is not too long. */
static uint32_t
timer_ms(uint64_t ns)
{
    uint64_t ms = smaller(ns / MS_NS, WAIT_MAX_MS);

    return ms > 1 ? 1u << (63 - __builtin_clzll(ms)) : 1;
}

/* False: it is not its turn, and the timer is armed. */
static bool
find_credit(struct bandwidth_source *own)
{
    uint64_t bytes = quantum(own), wait_ns;

    if (own->flow.drawn > 0)
        bytes = own->flow.drawn;
    wait_ns = fair_flow_ask(&own->flow, &own->terms->rate, bytes, is_quick(own),
                            loop_now_ns(own->loop));
    if (wait_ns == 0) {
        own->credit = bytes;
        return true;
    }
    own->has_waited = true;
    timer_arm(own->loop, &own->timer, timer_ms(wait_ns));
    return false;
}

/* What it did not use is for others. */
static void
stop(struct bandwidth_source *own)
{
    timer_disarm(&own->timer);
    if (own->flow.clock != NULL) {
        fair_flow_return(&own->flow, own->credit);
        fair_flow_end(&own->flow);
    }
    own->credit = 0;
    own->is_over = true;
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct bandwidth_source *own = container_of(source, struct bandwidth_source, source);
    enum flow flow;

    if (timer_is_armed(&own->timer) || (!own->is_over && own->credit == 0 && !find_credit(own)))
        return FLOW_WAIT;
    flow = source->inner->ops->offer(source->inner, forms, piece);
    source->trailers = source->inner->trailers;
    switch (flow) {
    case FLOW_MORE:
        if (!own->is_over)
            piece_shorten(piece, (size_t)own->credit);
        break;
    case FLOW_WAIT:
        break;
    case FLOW_END:
    case FLOW_FAILED:
        stop(own);
        break;
    }
    return flow;
}

static void
take(struct source *source, size_t bytes)
{
    struct bandwidth_source *own = container_of(source, struct bandwidth_source, source);

    if (!own->is_over) {
        must(bytes <= own->credit);
        own->credit -= bytes;
    }
    own->passed += bytes;
    if (own->left != LENGTH_UNKNOWN)
        own->left -= smaller(own->left, bytes);
    source->inner->ops->take(source->inner, bytes);
}

static void
cancel(struct source *source)
{
    struct bandwidth_source *own = container_of(source, struct bandwidth_source, source);

    stop(own);
    source_cancel_inner(source);
}

static const struct source_ops bandwidth_source_ops = {
    .offer = offer,
    .take = take,
    .cancel = cancel,
};

/* Stopped pumps are not there any more. */
static void
on_due(struct timer *timer)
{
    struct bandwidth_source *own = container_of(timer, struct bandwidth_source, timer);

    pump_source_ready(own->source.pump);
}

struct source *
bandwidth_source_begin(struct bandwidth_source *source, struct loop *loop, struct source *inner,
                       uint64_t length, const struct bandwidth_terms *terms,
                       struct fair_share *share, uint64_t key, bool *is_crowded)
{
    source->source = (struct source){ .ops = &bandwidth_source_ops, .inner = inner };
    source->loop = loop;
    source->terms = terms;
    source->left = length;
    timer_init(&source->timer, on_due);
    *is_crowded = !fair_flow_begin(&source->flow, share, key, loop_now_ns(loop));
    return &source->source;
}

void
bandwidth_source_end(struct bandwidth_source *source)
{
    stop(source);
}
