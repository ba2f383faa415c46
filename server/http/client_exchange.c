/* SPDX-License-Identifier: BSD-2-Clause */
/* client_exchange.c - slow clients, and those whose requests are refused. */
#include "config.h"

#include "server/http/client_exchange.h"

static void
on_slow_body(struct timer *timer)
{
    struct client_guards *guards = container_of(timer, struct client_guards, body.timer);
    struct exchange *ex = guards->ex;

    if (!rate_guard_is_too_slow(&guards->body, ex->worker->loop, guards->progress->sent(ex)))
        return;
    counter_up(ex->worker->counters, client_timeouts);
    ex->road->on_request_cut(ex, END_CLIENT_TIMEOUT);
}

static void
on_slow_write(struct timer *timer)
{
    struct client_guards *guards = container_of(timer, struct client_guards, write.timer);
    struct exchange *ex = guards->ex;

    if (!rate_guard_is_too_slow(&guards->write, ex->worker->loop, guards->progress->taken(ex)))
        return;
    counter_up(ex->worker->counters, client_timeouts);
    ex->road->on_client_gone(ex, END_CLIENT_TIMEOUT);
}

void
client_guards_init(struct client_guards *guards, struct exchange *ex,
                   const struct client_progress *progress)
{
    const struct client_timeouts *timeouts = &ex->listener->timeouts;

    rate_guard_init(&guards->body, timeouts->body, on_slow_body);
    rate_guard_init(&guards->write, timeouts->write, on_slow_write);
    guards->ex = ex;
    guards->progress = progress;
}

void
client_guards_stop(struct client_guards *guards)
{
    rate_guard_stop(&guards->body);
    rate_guard_stop(&guards->write);
}

void
client_refuse(struct exchange *ex, const struct h1_refusal *refusal)
{
    if (ex->request.method_name.data == NULL)
        ex->request.method_name = SLICE("-");
    if (ex->request.target.data == NULL)
        ex->request.target = SLICE("-");
    ex->request.wants_upgrade = false;
    if (refusal->status == 408) {
        exchange_answer(ex, 408, END_CLIENT_TIMEOUT, refusal->reason);
        return;
    }
    counter_up(ex->worker->counters, requests_bad);
    exchange_answer(ex, refusal->status, END_BAD_REQUEST, refusal->reason);
}
