/* SPDX-License-Identifier: BSD-2-Clause */
/* pace.c - a token bucket between a source and its sink.
 *
 *     inner --piece--> shortened to the credit --> pump
 *                      none left: wait a little, for more than a crumb
 *
 * While it waits, inner is not asked, so that back-pressure reaches who sends. The
 * lengths of waits are few (each has a queue in the loop), long for slow rates: what
 * comes in one of them is less than the bucket holds.
 */
#include "config.h"

#include "server/http/pace.h"

#include "server/http/exchange.h"

#define BURST_MIN_BYTES 16384u
#define BURSTS_PER_S 10
#define RATE_MAX ((uint64_t)1 << 40)

struct pace {
    struct source source;
    struct loop *loop;
    struct timer timer;  /* armed: there is no credit */
    uint64_t rate;       /* bytes a second: thousandths of a byte a millisecond */
    uint64_t credit;     /* thousandths of a byte */
    uint64_t most;       /* of it */
    uint64_t counted_ms; /* when credit was right */
};

static uint32_t
wait_ms(uint64_t rate)
{
    if (rate >= BURST_MIN_BYTES * 4)
        return 64;
    return rate >= BURST_MIN_BYTES ? 256 : 1000;
}

static void
add_credit(struct pace *pace)
{
    uint64_t now_ms = loop_now_ms(pace->loop), ms = now_ms - pace->counted_ms;
    uint64_t missing = pace->most - pace->credit;

    pace->counted_ms = now_ms;
    pace->credit += ms > missing / pace->rate ? missing : ms * pace->rate;
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct pace *pace = container_of(source, struct pace, source);
    enum flow flow;

    if (timer_is_armed(&pace->timer))
        return FLOW_WAIT;
    add_credit(pace);
    if (pace->credit < 1000) {
        timer_arm(pace->loop, &pace->timer, wait_ms(pace->rate));
        return FLOW_WAIT;
    }
    flow = source->inner->ops->offer(source->inner, forms, piece);
    source->trailers = source->inner->trailers;
    if (flow == FLOW_MORE)
        piece_shorten(piece, (size_t)(pace->credit / 1000));
    return flow;
}

static void
take(struct source *source, size_t bytes)
{
    struct pace *pace = container_of(source, struct pace, source);

    must(bytes <= pace->credit / 1000);
    pace->credit -= bytes * 1000;
    source->inner->ops->take(source->inner, bytes);
}

static void
cancel(struct source *source)
{
    struct pace *pace = container_of(source, struct pace, source);

    timer_disarm(&pace->timer);
    source_cancel_inner(source);
}

static const struct source_ops pace_ops = {
    .offer = offer,
    .take = take,
    .cancel = cancel,
};

/* Stopped pumps are not there any more. */
static void
on_due(struct timer *timer)
{
    struct pace *pace = container_of(timer, struct pace, timer);

    pump_source_ready(pace->source.pump);
}

static void
stop(void *arg)
{
    struct pace *pace = arg;

    timer_disarm(&pace->timer);
}

struct source *
pace_wrap(struct exchange *ex, struct source *inner, uint64_t bytes_per_s)
{
    uint64_t burst = bytes_per_s / BURSTS_PER_S;
    struct pace *pace;

    if (inner == NULL || bytes_per_s == 0 || bytes_per_s > RATE_MAX)
        return inner;
    pace = arena_zalloc(&ex->arena, sizeof(*pace));
    if (pace == NULL)
        return inner;
    pace->source = (struct source){ .ops = &pace_ops, .inner = inner };
    pace->loop = ex->worker->loop;
    pace->rate = bytes_per_s;
    pace->most = (burst > BURST_MIN_BYTES ? burst : BURST_MIN_BYTES) * 1000;
    pace->credit = pace->most;
    pace->counted_ms = loop_now_ms(pace->loop);
    timer_init(&pace->timer, on_due);
    return arena_defer(&ex->arena, stop, pace) == 0 ? &pace->source : inner;
}
