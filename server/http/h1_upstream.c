/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_upstream.c - requests to an origin, one at a time (RFC 9112).
 *
 *   (pool) --> SENT --> BODY --> (pool)
 *                |        '--> closed
 *                '--> closed
 *
 * In SENT the request goes out and the response head is awaited, both at once:
 * an origin may answer before it has read everything. In BODY the response's
 * content flows. Only a connection whose both messages were finished, and on
 * which nothing came behind the answer, goes back to its pool.
 *
 * The origin is hostile too: heads are bounded, so is the number of interim
 * responses, and what is not plainly framed is 502.
 */
#include "config.h"

#include "server/http/h1_upstream.h"

#include "modes/mode.h"
#include "server/http/h1_write.h"
#include "server/http/h1_writer.h"
#include "server/http/upstream_failure.h"

#include <stdlib.h>
#include <unistd.h>

enum state { POOLED, SENT, BODY, CLOSED };

struct h1_upstream {
    struct pooled pooled; /* with the connection */
    struct upstream up;
    struct h1_reader reader;
    struct h1_writer writer;
    struct worker *worker;
    struct exchange *ex;
    const struct group_conf *group;
    char *key; /* of the destination's pool; heap */
    size_t key_bytes;
    struct upstream_timeouts timeouts;
    struct rate_guard response_guard, request_guard;
    uint64_t trust;    /* as in struct upstream_conf */
    uint64_t until_ms; /* from then on another address may be the right one */
    struct h1_scan scan;
    uint16_t head_read_bytes;
    uint8_t state;
    uint8_t interims;
    bool request_sent;   /* all of it has left for the socket */
    bool is_last;        /* the origin will close it, or we must */
    bool saw_response;   /* any byte of an answer */
};

static const struct upstream_ops h1_ops;

static struct h1_upstream *
of_conn(struct conn *conn)
{
    return container_of(conn, struct h1_upstream, pooled.conn);
}

static struct h1_upstream *
of_upstream(struct upstream *up)
{
    return container_of(up, struct h1_upstream, up);
}

/* ---- the end */

static void
release_memory(void *object)
{
    struct h1_upstream *u = object;

    h1_reader_fini(&u->reader);
    h1_writer_fini(&u->writer);
    free(u->key);
    free(u);
}

static void
forget(struct h1_upstream *u)
{
    if (u->state == CLOSED)
        return;
    u->state = CLOSED;
    h1_reader_end(&u->reader);
    h1_writer_end(&u->writer);
    if (u->up.endpoint != NULL)
        endpoint_unref(u->up.endpoint);
    counter_down(u->worker->counters, upstream_open);
    conn_free_later(&u->pooled.conn, release_memory, u);
}

static void
close_now(struct h1_upstream *u)
{
    conn_close(&u->pooled.conn);
    forget(u);
}

/* ---- what went wrong */

/* The connection died. On one that had been idle this is the ordinary race
 * between our request and the origin's close, as long as no answer was seen. */
static void
fail(struct h1_upstream *u, struct failure failure)
{
    bool can_retry = u->up.was_reused && !u->saw_response && failure.reason == END_UPSTREAM_FAILED;

    u->ex->road->on_upstream_failed(u->ex, &failure, can_retry);
}

static void
fail_bad(struct h1_upstream *u, const char *why)
{
    fail(u, failure_bad_response(why));
}

static void
fail_late(struct h1_upstream *u, const char *proxy_error, const char *why)
{
    fail(u, failure_late(u->worker, proxy_error, why));
}

static void
fail_broken(struct h1_upstream *u)
{
    struct tls_failure why;
    struct failure failure = failure_broken(&u->pooled.conn, &why);

    failure.detail = arena_strdup(&u->ex->arena, failure.detail);
    fail(u, failure);
}

/* ---- the response */

static enum h1_framing
response_framing(const struct response *response)
{
    if (!response->has_body)
        return H1_NO_BODY;
    if (response->is_chunked)
        return H1_CHUNKED;
    return response->ends_by_close ? H1_UNTIL_CLOSE : H1_LENGTH;
}

static void
on_slow_response(struct timer *timer)
{
    struct h1_upstream *u = container_of(timer, struct h1_upstream, response_guard.timer);

    if (rate_guard_is_too_slow(&u->response_guard, u->pooled.conn.loop, u->reader.content_bytes))
        fail_late(u, "http_response_timeout", "the content stopped coming");
}

static void
interim(struct h1_upstream *u, struct response *response)
{
    struct exchange *ex = u->ex;
    struct fields fields = response->fields;
    unsigned status = response->status;

    *response = (struct response){ 0 };
    u->scan = (struct h1_scan){ 0 };
    if (++u->interims > UPSTREAM_INTERIM_MAX) {
        fail_bad(u, "too many interim responses");
        return;
    }
    if (status == 100 && !u->request_sent)
        timer_disarm(&u->pooled.conn.timer); /* the client's turn */
    ex->road->on_interim(ex, status, &fields);
}

/* RFC 9110 section 7.8: switching to what nobody asked for is an attack or a
 * mistake; either way the bytes that follow are not HTTP. */
static bool
is_wanted_upgrade(const struct exchange *ex, const struct response *response)
{
    struct slice list = response->upgrade, protocol;
    bool is_wanted = false;

    while (slice_next_element(&list, &protocol)) {
        if (!ex->request.wants_upgrade || !slice_list_has(ex->request.upgrade, protocol))
            return false;
        is_wanted = true;
    }
    return is_wanted;
}

static void
begin_response(struct h1_upstream *u, struct slice head)
{
    struct exchange *ex = u->ex;
    struct response *response = &ex->response;
    struct h1_refusal refusal = { 502, "response head does not fit into the exchange's memory" };
    size_t used = (size_t)(head.data + head.bytes - u->reader.data);

    head = arena_copy(&ex->arena, head);
    h1_reader_skip(&u->reader, used);
    *response = (struct response){ 0 };
    if (head.bytes == 0 || h1_parse_response(head, &ex->arena, &upstream_response_limits,
                                             ex->request.method, response, &refusal) < 0) {
        fail_bad(u, refusal.reason);
        return;
    }
    if (response->status == 101) {
        response->upgrade = fields_get(&response->fields, FIELD_UPGRADE);
        if (!is_wanted_upgrade(ex, response)) {
            fail_bad(u, "switches protocols though nobody asked");
            return;
        }
        if (!u->request_sent) { /* what is left of it would become part of the tunnel */
            fail_bad(u, "switches protocols before it has the request");
            return;
        }
    } else if (response->status < 200) {
        interim(u, response);
        return;
    }
    timer_disarm(&u->pooled.conn.timer);
    u->head_read_bytes = h1_next_head_read(response->length);
    if (h1_reader_begin(&u->reader, response_framing(response), response->length,
                        &upstream_response_limits) < 0) {
        fail(u, (struct failure){ END_LIMIT, 502, "http_response_header_section_size",
                                  refusal.reason });
        return;
    }
    rate_guard_init(&u->response_guard, upstream_pace(u->timeouts.body_ms), on_slow_response);
    u->reader.guard = &u->response_guard;
    u->state = BODY;
    u->is_last = response->wants_close || response->ends_by_close || response->minor_version == 0;
    response->body = response->has_body && !u->reader.is_done ? &u->reader.source : NULL;
    ex->phases.first_byte_ns = loop_now_ns(u->worker->loop);
    ex->road->on_response(ex);
}

static void
read_head(struct h1_upstream *u)
{
    struct h1_refusal refusal;
    struct slice head;
    ssize_t got;

    while (u->state == SENT && u->ex != NULL) {
        if (u->reader.bytes > 0) {
            switch (h1_scan_head(&u->scan, h1_reader_bytes(&u->reader),
                                 &upstream_response_limits, false, &head, &refusal)) {
            case H1_DONE:
                begin_response(u, head);
                continue;
            case H1_REFUSED:
                fail_bad(u, refusal.reason);
                return;
            case H1_NEED_INPUT:
                break;
            }
        }
        got = h1_reader_fill(&u->reader, u->head_read_bytes);
        if (got == CONN_WAIT)
            return;
        if (got <= 0) {
            fail_broken(u);
            return;
        }
        u->saw_response = true;
    }
}

/* ---- the request */

static void
on_head_timeout(struct timer *timer)
{
    struct h1_upstream *u = of_conn(container_of(timer, struct conn, timer));

    if (u->ex->request_pump.is_running && u->ex->request_pump.moved_bytes > 0)
        return; /* the client does not wait for 100: it is its turn */
    fail_late(u, "http_response_timeout", "no response in time");
}

static void
on_slow_request(struct timer *timer)
{
    struct h1_upstream *u = container_of(timer, struct h1_upstream, request_guard.timer);

    if (!rate_guard_is_too_slow(&u->request_guard, u->pooled.conn.loop,
                                conn_taken_bytes(&u->pooled.conn)))
        return;
    if (u->state == BODY) /* it has answered, and does not want the rest */
        upstream_give_up_request(u->ex);
    else
        fail_late(u, "connection_write_timeout", "it takes no more of the request");
}

static void
on_request_sent(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, request_pump);
    struct h1_upstream *u = of_upstream(ex->up);

    switch (result) {
    case PUMP_DONE:
        u->request_sent = true;
        if (u->state == SENT)
            timer_arm(u->pooled.conn.loop, &u->pooled.conn.timer, u->timeouts.head_ms);
        return;
    case PUMP_SINK_FAILED:
        /* It may have answered before it closed; the reader will find out. */
        if (u->state != SENT)
            return;
        timer_arm(u->pooled.conn.loop, &u->pooled.conn.timer, u->timeouts.head_ms);
        read_head(u);
        return;
    case PUMP_SOURCE_FAILED:
        ex->road->on_request_cut(ex, END_CLIENT_ABORT);
        return;
    }
}

static void
send_request(struct upstream *up, struct exchange *ex)
{
    struct h1_upstream *u = of_upstream(up);
    const struct request *request = &ex->request;
    enum h1_framing framing = !request->has_body                  ? H1_NO_BODY
                              : request->length == LENGTH_UNKNOWN ? H1_CHUNKED
                                                                  : H1_LENGTH;
    size_t bytes = h1_write_request(h1_writer_out(&u->writer), SCRATCH_BYTES, ex, framing);

    u->ex = ex;
    u->state = SENT;
    u->scan = (struct h1_scan){ 0 };
    u->interims = 0;
    u->request_sent = u->is_last = u->saw_response = false;
    if (bytes == 0 || h1_writer_begin(&u->writer, bytes, framing, request->length) < 0) {
        fail(u, failure_large_head());
        return;
    }
    rate_guard_init(&u->request_guard, upstream_pace(u->timeouts.write_ms), on_slow_request);
    u->writer.guard = &u->request_guard;
    if (request->expects_continue)
        timer_arm(u->pooled.conn.loop, &u->pooled.conn.timer, u->timeouts.head_ms);
    pump_start(&ex->request_pump, u->pooled.conn.loop, request->body, &u->writer.sink,
               on_request_sent);
}

/* ---- events */

static void
on_ready(struct conn *conn)
{
    struct h1_upstream *u = of_conn(conn);

    if (u->state == SENT && conn->may_read)
        read_head(u);
    else if (u->state == BODY)
        pump_source_ready(u->reader.source.pump);
    if (u->state == CLOSED || u->ex == NULL)
        return;
    pump_sink_ready(u->writer.sink.pump);
}

/* ---- release */

/* Busy connections would otherwise outlive any change of a name's addresses. */
static bool
is_outdated(const struct h1_upstream *u)
{
    return loop_now_ms(u->worker->loop) >= u->until_ms;
}

static bool
may_be_reused(const struct h1_upstream *u)
{
    return u->state == BODY && u->request_sent && u->reader.is_done && !u->reader.is_bad &&
           !u->is_last && u->reader.bytes == 0 && !u->pooled.conn.saw_hangup &&
           h1_writer_is_empty(&u->writer) && !is_outdated(u);
}

static struct pool *
pool_to_return_to(struct h1_upstream *u)
{
    if (u->up.endpoint != NULL)
        return pool_of_endpoint(u->worker, u->up.endpoint, u->group);
    if (u->key == NULL)
        return NULL;
    return pool_of_destination_for_give(u->worker, slice_make(u->key, u->key_bytes),
                                        u->timeouts.idle_ms);
}

static void
release(struct upstream *up)
{
    struct h1_upstream *u = of_upstream(up);
    bool is_good = may_be_reused(u);
    struct pool *pool = is_good ? pool_to_return_to(u) : NULL;

    u->ex = NULL;
    h1_reader_end(&u->reader);
    h1_writer_end(&u->writer);
    u->state = POOLED;
    u->group = NULL;
    if (pool == NULL || !pool_give(pool, &u->pooled))
        close_now(u);
}

static void
on_dead(struct pooled *pooled)
{
    close_now(container_of(pooled, struct h1_upstream, pooled));
}

static int
detach(struct upstream *up, struct exchange *ex, struct accepted *accepted)
{
    struct h1_upstream *u = of_upstream(up);

    accepted->peer = up->ip;
    accepted->head = arena_copy(&ex->arena, h1_reader_bytes(&u->reader));
    if (accepted->head.bytes < u->reader.bytes)
        return -1;
    u->ex = NULL;
    h1_reader_end(&u->reader);
    h1_writer_end(&u->writer);
    accepted->tls = tls_detach(&u->pooled.conn);
    accepted->fd = conn_detach(&u->pooled.conn);
    forget(u);
    return 0;
}

static const struct upstream_ops h1_ops = {
    .protocol = "HTTP/1.1",
    .send = send_request,
    .release = release,
    .detach = detach,
};

/* ---- the beginning */

static void
take_conf(struct h1_upstream *u, const struct upstream_conf *conf)
{
    u->group = conf->group;
    u->timeouts = conf->timeouts;
    u->pooled.conn.on_ready = on_ready;
    u->pooled.conn.timer.on_due = on_head_timeout;
}

struct upstream *
h1_upstream_new(struct worker *worker, int fd, const struct upstream_conf *conf)
{
    struct h1_upstream *u = calloc(1, sizeof(*u));

    if (u == NULL || conn_open(&u->pooled.conn, worker->loop, fd, on_ready, on_head_timeout) < 0) {
        tls_session_free(conf->session);
        close(fd);
        free(u);
        return NULL;
    }
    if (conf->session != NULL)
        tls_attach(&u->pooled.conn, conf->session);
    pooled_init(&u->pooled, on_dead);
    u->worker = worker;
    u->head_read_bytes = H1_HEAD_READ_BYTES;
    u->until_ms = conf->until_ms;
    u->trust = conf->trust;
    h1_reader_init(&u->reader, &u->pooled.conn, worker);
    h1_writer_init(&u->writer, &u->pooled.conn, worker);
    take_conf(u, conf);
    u->up = (struct upstream){ .ops = &h1_ops, .ip = conf->ip };
    if (conf->endpoint != NULL)
        u->up.endpoint = endpoint_ref(conf->endpoint);
    if (conf->key.bytes > 0) {
        u->key = malloc(conf->key.bytes);
        if (u->key != NULL) {
            memcpy(u->key, conf->key.data, conf->key.bytes);
            u->key_bytes = conf->key.bytes;
        }
    }
    counter_up(worker->counters, upstream_connects);
    counter_up(worker->counters, upstream_open);
    return &u->up;
}

struct upstream *
h1_upstream_reuse(struct pool *pool, const struct upstream_conf *conf)
{
    struct pooled *pooled;
    struct h1_upstream *u;

    for (;;) {
        pooled = pool_take(pool);
        if (pooled == NULL)
            return NULL;
        u = container_of(pooled, struct h1_upstream, pooled);
        if (likely(!is_outdated(u) && u->trust == conf->trust))
            break;
        close_now(u);
    }
    take_conf(u, conf);
    u->up.was_reused = true;
    counter_up(u->worker->counters, upstream_reuses);
    return &u->up;
}
