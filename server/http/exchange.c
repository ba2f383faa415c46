/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange.c - the life of an exchange, and answers of our own making. */
#include "config.h"

#include "server/http/exchange.h"

#include "server/generation.h"
#include "server/http/error_page.h"
#include "server/http/proxy_status.h"
#include "server/http/status.h"
#include "server/net/listener.h"

#include <stdarg.h>
#include <stdio.h>

const char *
end_reason_word(enum end_reason reason)
{
    static const char *const words[END_REASON_COUNT] = {
        [END_DONE] = "done",
        [END_BAD_REQUEST] = "bad_request",
        [END_DENIED] = "denied",
        [END_ANSWERED] = "answered",
        [END_CLIENT_ABORT] = "client_abort",
        [END_CLIENT_TIMEOUT] = "client_timeout",
        [END_DNS_FAILED] = "dns_failed",
        [END_CONNECT_FAILED] = "connect_failed",
        [END_CONNECT_TIMEOUT] = "connect_timeout",
        [END_UPSTREAM_FAILED] = "upstream_failed",
        [END_UPSTREAM_BAD] = "upstream_bad",
        [END_UPSTREAM_TIMEOUT] = "upstream_timeout",
        [END_NO_ENDPOINT] = "no_endpoint",
        [END_LIMIT] = "limit",
        [END_STOPPED] = "stopped",
    };

    return words[reason];
}

struct exchange *
exchange_new(struct worker *worker, struct listener_conf *listener, struct downstream *down)
{
    struct exchange *ex = arena_new_object(&worker->blocks, listener->limits.arena_bytes,
                                           sizeof(*ex), offsetof(struct exchange, arena));

    if (ex == NULL)
        return NULL;
    ex->worker = worker;
    ex->generation = generation_hold(worker);
    ex->listener = listener;
    ex->down = down;
    ex->id = worker->next_exchange_id++;
    ex->body_limit_bytes = listener->limits.body_bytes;
    ex->client_ip = down->client->peer;
    ex->last_decision = &ex->decisions;
    ex->phases.start_ns = loop_now_ns(worker->loop);
    timer_init(&ex->deadline, NULL);
    list_init(&ex->grave.link);
    counter_up(worker->counters, exchanges_open);
    return ex;
}

static void
release(void *object)
{
    struct exchange *ex = object;
    struct generation *generation = ex->generation;

    arena_free_object(ex, offsetof(struct exchange, arena));
    generation_release(generation);
}

void
exchange_free(struct exchange *ex)
{
    must(!ex->request_pump.is_running && !ex->response_pump.is_running && ex->up == NULL);
    timer_disarm(&ex->deadline);
    counter_down(ex->worker->counters, exchanges_open);
    if (ex->counted_by != NULL)
        listener_leave(ex->worker, ex->counted_by);
    if (ex->was_dialed)
        loop_free(ex->worker->loop, &ex->grave, release, ex);
    else
        release(ex);
}

void
exchange_decide(struct exchange *ex, enum decision_kind kind, const struct place *place,
                const char *format, ...)
{
    struct decision *decision = arena_zalloc(&ex->arena, sizeof(*decision));
    char text[256];
    va_list args;

    if (decision == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    decision->kind = kind;
    decision->what = arena_copy(&ex->arena, slice_of(text));
    decision->place = place;
    *ex->last_decision = decision;
    ex->last_decision = &decision->next;
}

/* ---- answers of our own */

void
exchange_answer_with(struct exchange *ex, unsigned status, enum end_reason reason,
                     const char *type, struct slice body)
{
    struct response *response = &ex->response;

    *response = (struct response){ .status = (uint16_t)status, .minor_version = 1 };
    ex->end = reason;
    ex->is_answered = true;
    ex->is_tunnel = false;
    if (type == NULL) {
        response->length = 0;
        return;
    }
    fields_add(&response->fields, &ex->arena, FIELD_CONTENT_TYPE, slice_of(type));
    if (ex->request.method == METHOD_HEAD) /* what GET would have been given */
        fields_add(&response->fields, &ex->arena, FIELD_CONTENT_LENGTH,
                   arena_printf(&ex->arena, "%zu", body.bytes));
    response->length = body.bytes;
    response->has_body = body.bytes > 0;
    memory_source_init(&ex->made_up, body.data, body.bytes);
    response->body = &ex->made_up.source;
}

/* The last record that says why, for a page; NULL when there is none. */
static const struct place *
deciding_rule(const struct exchange *ex)
{
    const struct place *place = NULL;

    for (const struct decision *d = ex->decisions; d != NULL; d = d->next)
        if (d->kind == DECISION_DENY)
            place = d->place;
    return place;
}

void
exchange_answer(struct exchange *ex, unsigned status, enum end_reason reason, const char *why)
{
    struct slice accept = fields_get(&ex->request.fields, FIELD_ACCEPT);
    struct failure failure = ex->failure;
    struct slice body;
    const char *type;

    if (error_page_wants_html(accept)) {
        body = error_page_html(&ex->arena, status, why, deciding_rule(ex), ex->id);
        type = "text/html; charset=utf-8";
    } else {
        body = error_page_json(&ex->arena, status, why, deciding_rule(ex), ex->id);
        type = "application/problem+json";
    }
    if (arena_is_spent(&ex->arena))
        type = NULL; /* better a bare status than half a page */
    exchange_answer_with(ex, status, reason, type, body);
    fields_add(&ex->response.fields, &ex->arena, FIELD_CACHE_CONTROL, SLICE("no-store"));
    if (failure.reason == END_DONE)
        failure.reason = reason; /* our own judgement: no hop has failed */
    fields_add(&ex->response.fields, &ex->arena, FIELD_PROXY_STATUS,
               proxy_status_text(&ex->arena, &failure));
}
