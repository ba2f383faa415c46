/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange.c - the life of an exchange, and answers of our own making. */
#include "config.h"

#include "server/http/exchange.h"

#include "server/base/clock.h"
#include "server/generation.h"
#include "server/http/page_template.h"
#include "server/http/proxy_status.h"
#include "server/http/status.h"
#include "server/net/listener.h"
#include "server/users/user.h"

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
        [END_FILTER_FAILED] = "filter_failed",
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

/* ---- decisions */

static void
append(struct exchange *ex, struct decision *decision)
{
    decision->next = NULL;
    *ex->last_decision = decision;
    ex->last_decision = &decision->next;
}

static void
decide(struct exchange *ex, const struct decision *known, const char *format, va_list args)
{
    struct decision *decision = arena_alloc(&ex->arena, sizeof(*decision));
    char text[256];

    if (decision == NULL)
        return;
    vsnprintf(text, sizeof(text), format, args);
    *decision = *known;
    decision->what = arena_copy(&ex->arena, slice_of(text));
    append(ex, decision);
}

void
exchange_decide(struct exchange *ex, enum decision_kind kind, const struct place *place,
                const char *format, ...)
{
    const struct decision known = { .kind = kind, .place = place,
                                    .by_filter = kind == DECISION_FILTER };
    va_list args;

    va_start(args, format);
    decide(ex, &known, format, args);
    va_end(args);
}

void
exchange_decide_rule(struct exchange *ex, enum decision_kind kind, const char *name,
                     const struct place *place, const char *format, ...)
{
    const struct decision known = { .kind = kind, .place = place, .rule = name };
    va_list args;

    va_start(args, format);
    decide(ex, &known, format, args);
    va_end(args);
}

void
exchange_decide_filter(struct exchange *ex, enum decision_kind kind, const char *rule,
                       const struct place *place, const char *format, ...)
{
    const struct decision known = { .kind = kind, .place = place, .rule = rule,
                                    .by_filter = true };
    va_list args;

    va_start(args, format);
    decide(ex, &known, format, args);
    va_end(args);
}

void
exchange_decide_again(struct exchange *ex, const struct decision *decision)
{
    struct decision *copy = arena_alloc(&ex->arena, sizeof(*copy));

    if (copy == NULL)
        return;
    *copy = *decision;
    copy->what = arena_copy(&ex->arena, decision->what);
    if (decision->rule != NULL)
        copy->rule = arena_strdup(&ex->arena, decision->rule);
    append(ex, copy);
}

const struct decision *
exchange_verdict(const struct exchange *ex)
{
    const struct decision *verdict = NULL;

    for (const struct decision *d = ex->decisions; d != NULL; d = d->next)
        if (d->place != NULL && (d->kind == DECISION_DENY || d->kind == DECISION_ALLOW))
            verdict = d;
    return verdict;
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

/* "no-gambling", of a rule that says no and has a name. Which line of which file it is else
 * is for the log: the public has no use for it. */
static struct slice
denying_rule(const struct exchange *ex)
{
    const struct decision *verdict = exchange_verdict(ex);

    return verdict != NULL && verdict->kind == DECISION_DENY && verdict->rule != NULL
               ? slice_of(verdict->rule)
               : slice_make("", 0);
}

/* What was asked for, as the client would write it. */
static struct slice
url_of(struct exchange *ex)
{
    const struct request *request = &ex->request;

    if (request->form != TARGET_ORIGIN || slice_is_empty(request->authority))
        return request->target;
    return arena_printf(&ex->arena, "%.*s://%.*s%.*s", SLICE_ARG(request->scheme),
                        SLICE_ARG(request->authority), SLICE_ARG(request->target));
}

static struct slice
write_page(struct exchange *ex, const struct page_facts *facts)
{
    const struct page_template *template = NULL;

    if (ex->site != NULL)
        template = ex->site->error_page.template;
    if (template == NULL)
        template = ex->listener->error_page.template;
    return template != NULL ? page_template_write(template, &ex->arena, facts)
                            : error_page_html(&ex->arena, facts);
}

static const char *
contact_of(const struct exchange *ex)
{
    if (ex->site != NULL && ex->site->error_page.contact != NULL)
        return ex->site->error_page.contact;
    return ex->listener->error_page.contact;
}

void
exchange_answer(struct exchange *ex, unsigned status, enum end_reason reason, const char *why)
{
    const struct page_facts facts = {
        .status = status,
        .why = why,
        .rule = denying_rule(ex),
        .id = ex->id,
        .wall_ms = clock_wall_coarse_ms(),
        .url = url_of(ex),
        .host = ex->request.host,
        .user = ex->user != NULL ? ex->user->name : slice_make("", 0),
        .client = ex->client_ip,
        .contact = contact_of(ex),
        .is_refusal = reason == END_DENIED,
    };
    struct failure failure = ex->failure;
    struct slice body;
    const char *type;

    if (error_page_wants_html(fields_get(&ex->request.fields, FIELD_ACCEPT))) {
        body = write_page(ex, &facts);
        type = "text/html; charset=utf-8";
    } else {
        body = error_page_json(&ex->arena, &facts);
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

void
exchange_refuse(struct exchange *ex, unsigned status, enum end_reason reason, const char *why)
{
    struct failure *refusal = arena_zalloc(&ex->arena, sizeof(*refusal));

    if (refusal == NULL)
        return; /* it is cut short all the same */
    *refusal = (struct failure){ .reason = reason, .status = (uint16_t)status, .detail = why };
    ex->refusal = refusal;
}
