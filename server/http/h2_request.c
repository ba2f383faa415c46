/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_request.c - a stream that a client opened: its request, and what the exchange says to it.
 *
 * Every stream is an exchange from its first HEADERS frame on, in whose arena it
 * lives; the road sees it once its head is whole. One that was reset by then
 * never sets out: that is what a rapid reset costs us.
 */
#include "config.h"

#include "server/http/h2_downstream_inside.h"

#include "modes/mode.h"
#include "server/http/h2_tunnel.h"

static struct h2_request *
of_h2(struct h2_stream *h2)
{
    return container_of(h2, struct h2_request, h2);
}

static struct h2_request *
of_exchange(const struct exchange *ex)
{
    return container_of(ex->down, struct h2_request, down);
}

/* ---- its end */

static void
forget(struct h2_request *r, uint32_t error)
{
    client_guards_stop(&r->guards);
    list_remove(&r->link);
    h2_stream_fini(&r->h2, error);
}

void
h2_request_drop(struct h2_request *r, uint32_t error)
{
    struct exchange *ex = r->ex;

    forget(r, error);
    exchange_free(ex);
}

/* ---- an exchange's side of a stream */

static void
interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    struct h2_request *r = of_exchange(ex);
    struct h2_lines lines;

    if (ex->is_started)
        return;
    lines = h2_lines_of_interim(ex, status, fields);
    if (h2_stream_send_head(&r->h2, &lines, false, true) == 0 && status == 100)
        h2_stream_continue(&r->h2);
}

/* A response that cannot be sent is replaced by a bare one. */
static void
answer_bare(struct exchange *ex, unsigned status, enum end_reason reason)
{
    ex->end = reason;
    ex->is_head_only = true;
    ex->is_tunnel = false;
    ex->response.fields = (struct fields){ .count = 0 };
    ex->response.status = (uint16_t)status;
}

/* The origin's words for an upgrade in those of RFC 8441 section 5: success is
 * 200, and nothing else may look like it. */
static unsigned
translate_upgrade(struct exchange *ex, const struct h2_request *r)
{
    struct fields *fields = &ex->response.fields;

    if (ex->response.status == 101 &&
        slice_equal(fields_get(fields, FIELD_SEC_WEBSOCKET_ACCEPT), slice_of(r->key_accept))) {
        fields_remove(fields, FIELD_SEC_WEBSOCKET_ACCEPT);
        return 200;
    }
    if (ex->response.status == 101 || ex->response.status / 100 == 2)
        answer_bare(ex, 502, END_UPSTREAM_BAD);
    return ex->response.status;
}

static void
start(struct exchange *ex)
{
    struct h2_request *r = of_exchange(ex);
    unsigned status = r->key_accept[0] != '\0' ? translate_upgrade(ex, r) : ex->response.status;
    struct h2_lines lines = h2_lines_of_response(ex, status);
    bool has_content = !ex->is_head_only && ex->response.body != NULL;

    if (lines.items == NULL || status < 200) { /* of a 101 that nobody can have asked for */
        h2_stream_reset(&r->h2, NGHTTP2_INTERNAL_ERROR); /* the pump finds it so */
        return;
    }
    if (ex->is_tunnel)
        r->h2.keeps_open = true;
    r->h2.out_guard = &r->guards.write;
    r->h2.arena = &ex->arena;
    if (h2_stream_send_head(&r->h2, &lines, !has_content && !r->h2.keeps_open, false) < 0)
        h2_stream_reset(&r->h2, NGHTTP2_INTERNAL_ERROR);
}

static uint32_t
error_of(const struct exchange *ex, const struct h2_request *r, bool is_whole)
{
    if (r->is_malformed || r->head.is_malformed)
        return NGHTTP2_PROTOCOL_ERROR;
    if (is_whole)
        return NGHTTP2_NO_ERROR; /* RFC 9113 section 8.1: no need for the rest of the request */
    return ex->end == END_CLIENT_TIMEOUT || ex->end == END_STOPPED ? NGHTTP2_CANCEL
                                                                   : NGHTTP2_INTERNAL_ERROR;
}

static void
finish(struct exchange *ex, bool is_whole)
{
    struct h2_request *r = of_exchange(ex);
    struct h2_downstream *d = r->d;

    forget(r, error_of(ex, r, is_whole));
    h2_downstream_after(d);
}

static bool
request_is_over_limit(const struct exchange *ex)
{
    return of_exchange(ex)->h2.is_over_limit;
}

static void
count(const struct exchange *ex, struct traffic *traffic)
{
    const struct h2_request *r = of_exchange(ex);

    *traffic = (struct traffic){
        .content_in = r->h2.received_bytes - r->h2.in_bytes,
        .content_out = r->h2.sent_bytes,
        .total_in = r->h2.wire_in - r->h2.in_bytes,
        .total_out = r->h2.wire_out,
        .is_reused = r->was_reused,
    };
}

static void
on_tunnel_done(struct h2_tunnel *tunnel)
{
    h2_downstream_after(tunnel->arg);
}

static int
detach(struct exchange *ex, struct accepted *accepted)
{
    struct h2_request *r = of_exchange(ex);
    struct h2_downstream *d = r->d;
    struct h2_tunnel *tunnel = h2_tunnel_open(&r->h2, on_tunnel_done, d, &accepted->fd);

    if (tunnel == NULL)
        return -1;
    list_push_back(&d->tunnels, &tunnel->link);
    client_guards_stop(&r->guards);
    list_remove(&r->link);
    accepted->peer = d->client.peer;
    accepted->local = d->client.local;
    accepted->head = slice_make(NULL, 0);
    accepted->tls = NULL;
    return 0;
}

const struct downstream_ops h2_downstream_ops = {
    .protocol = "HTTP/2.0",
    .interim = interim,
    .start = start,
    .finish = finish,
    .request_is_over_limit = request_is_over_limit,
    .count = count,
    .detach = detach,
};

/* ---- a request arrives: within nghttp2 */

static uint64_t
sent_by_client(struct exchange *ex)
{
    return of_exchange(ex)->h2.received_bytes;
}

static uint64_t
taken_by_client(struct exchange *ex)
{
    return h2_stream_moved_bytes(&of_exchange(ex)->h2);
}

static const struct client_progress progress = { sent_by_client, taken_by_client };

struct h2_stream *
h2_request_open(struct h2_session *session, int32_t id)
{
    struct h2_downstream *d = h2_downstream_of(session);
    struct exchange *ex;
    struct h2_request *r;

    if (d->state != OPEN || d->said_goaway || d->flood.is_ending || d->listener == NULL)
        return NULL;
    ex = exchange_new(d->worker, d->listener, &d->newborn);
    r = ex != NULL ? arena_zalloc(&ex->arena, sizeof(*r)) : NULL;
    if (r == NULL) {
        if (ex != NULL)
            exchange_free(ex);
        return NULL;
    }
    h2_stream_init(&r->h2, session, id);
    r->down = (struct downstream){ &h2_downstream_ops, &d->client, &r->h2.sink };
    r->d = d;
    r->ex = ex;
    ex->down = &r->down;
    client_guards_init(&r->guards, ex, &progress);
    list_init(&r->link);
    list_push_back(&d->streams, &r->link);
    r->was_reused = d->requests > 0;
    h2_flood_opened(&d->flood, id);
    h2_downstream_count(d);
    return &r->h2;
}

struct h2_head *
h2_request_head_begin(struct h2_stream *h2, bool is_first)
{
    struct h2_request *r = of_h2(h2);

    if (h2->is_relay)
        return NULL;
    h2_head_begin(&r->head, is_first ? H2_REQUEST : H2_TRAILERS, &r->ex->arena,
                  &r->ex->listener->limits.h1);
    return &r->head;
}

static void
take_priority(struct h2_request *r)
{
    const struct field *field = fields_find(&r->ex->request.fields, FIELD_PRIORITY);
    struct h2_priority priority = { 3, false };

    if (field == NULL)
        return;
    h2_priority_parse(field->value, &priority);
    h2_stream_set_priority(&r->h2, &priority);
}

static bool
on_trailers(struct h2_request *r)
{
    const struct fields *trailers;

    if (!r->h2.saw_end || h2_head_to_trailers(&r->head, &trailers) < 0)
        return false;
    r->h2.source.trailers = trailers;
    return true;
}

bool
h2_request_head(struct h2_stream *h2, bool is_first)
{
    struct h2_request *r = of_h2(h2);
    struct request *request = &r->ex->request;
    const struct h2_request_context context = {
        .is_tls = r->d->client.is_tls,
        .is_proxied = r->ex->listener->mode->is_proxy,
        .is_end = h2->saw_end,
    };

    if (!is_first)
        return on_trailers(r);
    h2->has_head = true;
    if (h2_head_to_request(&r->head, &context, request, r->key_accept, &r->refusal) < 0) {
        r->is_malformed = r->head.is_malformed; /* trailers may follow */
        return true; /* it will be answered */
    }
    r->refusal.status = 0;
    if (request->has_body)
        h2->length = request->length;
    take_priority(r);
    return true;
}

/* ---- outside of nghttp2 */

static void
refuse(struct h2_request *r)
{
    r->key_accept[0] = '\0';
    r->h2.keeps_open = r->is_malformed;
    client_refuse(r->ex, &r->refusal);
}

static void
accept_content(struct h2_request *r)
{
    struct request *request = &r->ex->request;

    request->body = &r->h2.source;
    r->h2.limit_bytes = &r->ex->body_limit_bytes;
    r->h2.in_guard = &r->guards.body;
    r->h2.awaits_continue = request->expects_continue;
}

static void
begin(struct h2_request *r)
{
    struct exchange *ex = r->ex;

    r->has_begun = true;
    ex->phases.start_ns = loop_now_ns(ex->worker->loop);
    counter_up(ex->worker->counters, requests);
    if (r->refusal.status != 0)
        refuse(r);
    else if (ex->request.has_body)
        accept_content(r);
    ex->listener->mode->on_request(ex);
}

void
h2_request_lose(struct h2_request *r)
{
    struct counters *counters = r->d->worker->counters;
    enum end_reason reason = END_CLIENT_ABORT;

    if (r->h2.error == NGHTTP2_INTERNAL_ERROR)
        reason = END_LIMIT;
    else if (r->h2.error == NGHTTP2_PROTOCOL_ERROR)
        reason = END_BAD_REQUEST;
    if (reason == END_BAD_REQUEST)
        counter_up(counters, requests_bad);
    else
        counter_up(counters, client_aborts);
    r->ex->road->on_client_gone(r->ex, reason);
}

void
h2_request_news(struct h2_stream *h2, unsigned news)
{
    struct h2_request *r = of_h2(h2);

    if (h2->is_relay) {
        h2_tunnel_news(h2, news);
    } else if (!r->has_begun) {
        struct h2_downstream *d = r->d;

        if (news & H2_NEWS_CLOSED || h2->is_cut) {
            h2_request_drop(r, NGHTTP2_PROTOCOL_ERROR);
            h2_downstream_after(d);
        } else if (news & H2_NEWS_HEAD) {
            begin(r);
        }
    } else if (news & H2_NEWS_CLOSED) {
        h2_request_lose(r);
    } else if (!h2->is_cut) { /* otherwise it will be closed soon */
        pump_source_ready(h2->source.pump);
    }
}
