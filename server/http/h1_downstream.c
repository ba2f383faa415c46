/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_downstream.c - requests from a client, one after the other (RFC 9112).
 *
 *   IDLE --> HEAD --> EXCHANGE --> (DRAIN) --> IDLE ...
 *     |        |         |            |
 *     '--------'---------'------------'--> LINGER --> closed
 *
 * IDLE waits for the first byte of a request, HEAD for the rest of its head.
 * In EXCHANGE only the exchange's pumps read and write. DRAIN reads away
 * request content that nobody wanted, within a limit. LINGER has said that no
 * more will be sent and reads until the client has seen it (client_conn.h).
 */
#include "config.h"

#include "server/http/h1_downstream.h"

#include "modes/mode.h"
#include "server/http/client_conn.h"
#include "server/http/client_exchange.h"
#include "server/http/h1_write.h"
#include "server/http/h1_writer.h"
#include "server/http/h2_downstream.h"
#include "server/http/uri.h"
#include "server/net/listener.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_session.h"

#include <stdlib.h>

#define HEAD_MORE_BYTES 4096u
#define TURN_BYTES (256u * 1024) /* swallowed at a time */
#define WATCH_MS 2u /* an exchange that is over by then needs no events of the client */

/* How slow the client may be during one exchange, and where on the connection
 * it began; in its arena. */
struct guards {
    struct client_guards client;
    uint64_t start_in, start_out;
};

enum state { IDLE, HEAD, EXCHANGE, DRAIN, LINGER, CLOSED };

struct h1_downstream {
    struct conn conn;
    struct client_conn link;
    struct h1_reader reader;
    struct h1_writer writer;
    struct downstream down;
    struct client client;
    struct worker *worker;
    struct listener_conf *listener; /* of the worker's current snapshot */
    struct listener *counted_by; /* NULL: handed over to a tunnel */
    struct exchange *ex;
    struct guards *guards; /* of ex */
    struct task task; /* goes on with what is there already */
    struct timer watch_timer; /* until the kernel is told of a connection in its first exchange */
    struct h1_scan scan;
    uint32_t requests;
    union {
        uint32_t swallowed_bytes;    /* in DRAIN */
        struct client_linger linger; /* in LINGER */
    };
    uint16_t head_read_bytes;
    uint8_t state;
    bool is_last;       /* no request after this one */
    bool sent_continue; /* 100 was relayed: content is on its way */
    bool is_drained;    /* the operator wants it gone: end after this exchange */
};

static void read_head(struct h1_downstream *d);
static const struct downstream_ops h1_ops;

/* ---- the end of a connection */

static void
release(void *object)
{
    struct h1_downstream *d = object;

    h1_reader_fini(&d->reader);
    h1_writer_fini(&d->writer);
    free(d);
}

/* Closed or handed over: what is left goes at the end of the turn. */
static void
forget(struct h1_downstream *d)
{
    if (d->state == CLOSED)
        return;
    d->state = CLOSED;
    task_cancel(&d->task);
    timer_disarm(&d->watch_timer);
    h1_reader_end(&d->reader);
    h1_writer_end(&d->writer);
    list_remove(&d->link.link);
    counter_add(d->worker->counters, client_bytes_in, d->conn.received_bytes);
    counter_add(d->worker->counters, client_bytes_out, d->conn.sent_bytes);
    if (d->counted_by != NULL)
        listener_leave(d->worker, d->counted_by);
    conn_free_later(&d->conn, release, d);
}

static void
close_now(struct h1_downstream *d)
{
    conn_close(&d->conn);
    forget(d);
}

static void
linger(struct h1_downstream *d)
{
    enum flow flow = client_linger_read(&d->conn);

    if (flow == FLOW_MORE)
        loop_ready(d->conn.loop, &d->task);
    else if (flow != FLOW_WAIT)
        close_now(d);
}

static void
start_linger(struct h1_downstream *d)
{
    d->state = LINGER;
    h1_reader_skip(&d->reader, d->reader.bytes);
    if (client_linger_start(&d->linger, &d->conn) < 0)
        close_now(d);
    else
        linger(d);
}

/* ---- between two exchanges */

static bool
is_quiet(const struct h1_downstream *d)
{
    return d->reader.bytes == 0 && !d->conn.may_read;
}

static void
next_request(struct h1_downstream *d)
{
    if (d->is_drained && is_quiet(d)) {
        start_linger(d); /* it was promised another request */
        return;
    }
    d->state = IDLE;
    d->scan = (struct h1_scan){ 0 };
    d->sent_continue = false;
    timer_arm(d->conn.loop, &d->conn.timer, d->listener->timeouts.idle_ms);
    conn_watch(&d->conn);
    if (!is_quiet(d))
        loop_ready(d->conn.loop, &d->task);
}

/* Reads away the content that is left, so that the next request can be read. */
static void
drain(struct h1_downstream *d)
{
    struct piece piece;
    size_t budget = TURN_BYTES;

    while (budget > 0) {
        switch (d->reader.source.ops->offer(&d->reader.source, FORM_SLICES, &piece)) {
        case FLOW_MORE:
            d->reader.source.ops->take(&d->reader.source, piece.bytes);
            d->swallowed_bytes += (uint32_t)piece.bytes;
            budget -= piece.bytes < budget ? piece.bytes : budget;
            if (d->swallowed_bytes > d->listener->limits.drain_bytes) {
                start_linger(d);
                return;
            }
            break;
        case FLOW_WAIT:
            return;
        case FLOW_END:
            h1_reader_end(&d->reader);
            next_request(d);
            return;
        case FLOW_FAILED:
            start_linger(d); /* it may still read the answer */
            return;
        }
    }
    loop_ready(d->conn.loop, &d->task);
}

static void
start_drain(struct h1_downstream *d)
{
    d->state = DRAIN;
    d->swallowed_bytes = 0;
    if (d->reader.guard != NULL)
        rate_guard_stop(d->reader.guard); /* it ends with the exchange */
    d->reader.guard = NULL;
    d->reader.limit_bytes = NULL;
    timer_arm(d->conn.loop, &d->conn.timer, d->listener->timeouts.head_ms);
    drain(d);
}

/* ---- the exchange */

/* Whether the client may send another request: everything that speaks against
 * it is known before the head of this response is written. */
static bool
may_go_on(const struct h1_downstream *d, const struct exchange *ex)
{
    const struct http_limits *limits = &ex->listener->limits;

    if (ex->request.wants_close || d->is_drained || d->worker->is_draining ||
        d->worker->is_retiring || d->conn.saw_end)
        return false;
    if (limits->requests > 0 && d->requests >= limits->requests)
        return false;
    if (d->reader.is_done)
        return true;
    /* A client that waits for 100 may send its content or not: who can tell
     * where the next request begins? */
    if (ex->request.expects_continue && !d->sent_continue && d->reader.content_bytes == 0)
        return false;
    return !d->reader.is_bad && !d->reader.is_over_limit &&
           (d->reader.framing == H1_CHUNKED || d->reader.left_bytes <= limits->drain_bytes);
}

static struct h1_downstream *
of_exchange(struct exchange *ex)
{
    return container_of(ex->down, struct h1_downstream, down);
}

static void
interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    struct h1_downstream *d = of_exchange(ex);
    size_t bytes;

    if (ex->request.minor_version == 0 || ex->is_started)
        return; /* RFC 9110 section 15.2: HTTP/1.0 knows none */
    bytes = h1_write_interim(h1_writer_out(&d->writer), SCRATCH_BYTES, status, fields);
    if (bytes == 0 || h1_writer_begin(&d->writer, bytes, H1_NO_BODY, 0) < 0)
        return;
    if (status == 100) {
        d->sent_continue = true;
        h1_reader_continue(&d->reader);
    }
    h1_writer_flush(&d->writer); /* a failure shows at the response */
}

/* A head larger than any buffer is refused rather than cut. */
static size_t
write_short_head(struct exchange *ex, char *out)
{
    ex->end = END_LIMIT;
    ex->is_head_only = true;
    ex->response.fields.count = 0;
    ex->response.status = 502;
    ex->response.reason = slice_make(NULL, 0);
    return h1_write_response(out, SCRATCH_BYTES, ex, H1_NO_BODY, 0, false);
}

static void
start(struct exchange *ex)
{
    struct h1_downstream *d = of_exchange(ex);
    char *out = h1_writer_out(&d->writer);
    enum h1_framing framing;
    uint64_t length;
    bool is_kept;
    size_t bytes;

    framing = h1_response_framing(ex, &length, &is_kept);
    is_kept = is_kept && may_go_on(d, ex);
    bytes = h1_write_response(out, SCRATCH_BYTES, ex, framing, length, is_kept);
    if (unlikely(bytes == 0)) {
        framing = H1_NO_BODY;
        is_kept = false;
        bytes = write_short_head(ex, out);
    }
    d->is_last = !is_kept;
    if (h1_writer_begin(&d->writer, bytes, framing, length) < 0)
        conn_abort(&d->conn); /* the pump finds it broken */
}

static void
finish(struct exchange *ex, bool is_whole)
{
    struct h1_downstream *d = of_exchange(ex);

    d->ex = NULL;
    h1_writer_end(&d->writer);
    if (!is_whole || !conn_is_open(&d->conn)) {
        h1_reader_end(&d->reader);
        conn_abort(&d->conn);
        forget(d);
        return;
    }
    if (!d->is_last) {
        if (likely(d->reader.is_done)) {
            h1_reader_end(&d->reader);
            next_request(d);
        } else {
            start_drain(d);
        }
        return;
    }
    if (d->reader.is_done && is_quiet(d)) {
        h1_reader_end(&d->reader);
        close_now(d);
    } else {
        h1_reader_end(&d->reader);
        start_linger(d);
    }
}

static int
detach(struct exchange *ex, struct accepted *accepted)
{
    struct h1_downstream *d = of_exchange(ex);

    accepted->peer = d->client.peer;
    accepted->local = d->client.local;
    accepted->head = arena_copy(&ex->arena, h1_reader_bytes(&d->reader));
    if (accepted->head.bytes < d->reader.bytes)
        return -1;
    d->ex = NULL;
    ex->counted_by = d->counted_by;
    d->counted_by = NULL;
    h1_writer_end(&d->writer);
    h1_reader_end(&d->reader);
    accepted->tls = tls_detach(&d->conn);
    accepted->fd = conn_detach(&d->conn);
    forget(d);
    return 0;
}

static bool
request_is_over_limit(const struct exchange *ex)
{
    return container_of(ex->down, struct h1_downstream, down)->reader.is_over_limit;
}

/* How much of what the client sent was made use of. */
static uint64_t
used_bytes(const struct h1_downstream *d)
{
    return d->conn.received_bytes - d->reader.bytes;
}

static void
count(const struct exchange *ex, struct traffic *traffic)
{
    const struct h1_downstream *d = container_of(ex->down, struct h1_downstream, down);

    *traffic = (struct traffic){
        .content_in = ex->request.has_body ? d->reader.content_bytes : 0,
        .content_out = d->writer.content_bytes,
        .total_in = used_bytes(d) - d->guards->start_in,
        .total_out = d->conn.sent_bytes - d->guards->start_out,
        .is_reused = d->requests > 1,
    };
}

static const struct downstream_ops h1_ops = {
    .protocol = "HTTP/1.1",
    .interim = interim,
    .start = start,
    .finish = finish,
    .request_is_over_limit = request_is_over_limit,
    .count = count,
    .detach = detach,
};

/* ---- a request arrives */

static uint64_t
sent_by_client(struct exchange *ex)
{
    return of_exchange(ex)->reader.content_bytes;
}

static uint64_t
taken_by_client(struct exchange *ex)
{
    return conn_taken_bytes(&of_exchange(ex)->conn);
}

static const struct client_progress progress = { sent_by_client, taken_by_client };

static struct exchange *
new_exchange(struct h1_downstream *d)
{
    struct exchange *ex = exchange_new(d->worker, d->listener, &d->down);
    struct guards *guards = ex != NULL ? arena_alloc(&ex->arena, sizeof(*guards)) : NULL;

    timer_disarm(&d->conn.timer);
    if (guards == NULL) {
        if (ex != NULL)
            exchange_free(ex);
        close_now(d);
        return NULL;
    }
    client_guards_init(&guards->client, ex, &progress);
    guards->start_in = used_bytes(d);
    guards->start_out = d->conn.sent_bytes;
    d->guards = guards;
    d->writer.guard = &guards->client.write;
    if (!d->conn.is_watched)
        timer_arm(d->conn.loop, &d->watch_timer, WATCH_MS);
    d->ex = ex;
    d->state = EXCHANGE;
    d->requests++;
    counter_up(d->worker->counters, requests);
    return ex;
}

/* It is the connection's last. */
static void
refuse(struct exchange *ex, const struct h1_refusal *refusal)
{
    ex->request.minor_version = 1;
    ex->request.wants_close = true;
    ex->request.has_body = false;
    ex->request.body = NULL;
    client_refuse(ex, refusal);
}

static enum h1_framing
request_framing(const struct request *request)
{
    if (!request->has_body)
        return H1_NO_BODY;
    return request->is_chunked ? H1_CHUNKED : H1_LENGTH;
}

/* The scheme is that of the connection, but where clients name any origin: otherwise a
 * page that was made for http:// would be taken for the one of https://. */
static void
set_scheme(struct request *request, bool is_proxied, bool is_tls)
{
    struct slice host;
    int port;

    if ((request->form == TARGET_ABSOLUTE && is_proxied) || request->form == TARGET_AUTHORITY)
        return;
    request->scheme = is_tls ? SLICE("https") : SLICE("http");
    if (uri_parse_authority(request->authority, &host, &port) < 0 || port < 0)
        request->port = is_tls ? 443 : 80;
}

static void
begin_exchange(struct h1_downstream *d, struct slice head)
{
    const struct listener_conf *listener = d->listener;
    struct exchange *ex = new_exchange(d);
    struct h1_refusal refusal = { 431, "request head does not fit into the exchange's memory" };
    size_t used = (size_t)(head.data + head.bytes - d->reader.data);

    if (ex == NULL)
        return;
    head = arena_copy(&ex->arena, head);
    h1_reader_skip(&d->reader, used);
    if (head.bytes == 0 || h1_parse_request(head, &ex->arena, &listener->limits.h1, &ex->request,
                                            &refusal) < 0) {
        refuse(ex, &refusal);
    } else if (h1_reader_begin(&d->reader, request_framing(&ex->request), ex->request.length,
                               &listener->limits.h1) < 0) {
        refuse(ex, &refusal);
    } else if (ex->request.has_body) {
        d->reader.limit_bytes = &ex->body_limit_bytes;
        d->reader.guard = &d->guards->client.body;
        d->head_read_bytes = h1_next_head_read(ex->request.length);
        d->reader.awaits_continue = ex->request.expects_continue;
        ex->request.body = &d->reader.source;
    }
    if (d->client.is_tls || ex->request.form == TARGET_ABSOLUTE)
        set_scheme(&ex->request, listener->mode->is_proxy, d->client.is_tls);
    listener->mode->on_request(ex);
}

/* A client that knows that we speak HTTP/2 begins with its preface, which looks
 * like a head (RFC 9113 section 3.4). Over TLS it would have said so by ALPN. */
static bool
is_preface(const struct h1_downstream *d, struct slice head)
{
    return unlikely(slice_equal(head, H2_PREFACE_HEAD)) && d->requests == 0 &&
           !d->client.is_tls;
}

static void
hand_over(struct h1_downstream *d)
{
    struct accepted accepted = { .peer = d->client.peer, .local = d->client.local,
                                 .head = h1_reader_bytes(&d->reader) };

    accepted.fd = conn_detach(&d->conn);
    d->counted_by = NULL;
    h2_downstream_open(d->worker, d->listener, &accepted);
    forget(d);
}

static void
refuse_head(struct h1_downstream *d, const struct h1_refusal *refusal)
{
    struct listener_conf *listener = d->listener;
    struct exchange *ex = new_exchange(d);

    if (ex == NULL)
        return;
    d->reader.is_bad = true;
    refuse(ex, refusal);
    listener->mode->on_request(ex);
}

/* The first byte of a request starts the clock for its whole head. */
static void
wait_for_head(struct h1_downstream *d)
{
    if (d->reader.bytes == 0 || d->state == HEAD)
        return;
    d->state = HEAD;
    if (d->requests > 0 || d->is_drained)
        timer_arm(d->conn.loop, &d->conn.timer, d->listener->timeouts.head_ms);
}

static void
read_head(struct h1_downstream *d)
{
    struct h1_refusal refusal;
    struct slice head;
    ssize_t got;

    for (;;) {
        if (d->reader.bytes > 0) {
            switch (h1_scan_head(&d->scan, h1_reader_bytes(&d->reader), &d->listener->limits.h1,
                                 true, &head, &refusal)) {
            case H1_DONE:
                if (is_preface(d, head))
                    hand_over(d);
                else
                    begin_exchange(d, head);
                return;
            case H1_REFUSED:
                refuse_head(d, &refusal);
                return;
            case H1_NEED_INPUT:
                break;
            }
        }
        got = h1_reader_fill(&d->reader, d->reader.bytes == 0 ? d->head_read_bytes
                                                              : HEAD_MORE_BYTES);
        if (got == CONN_WAIT) {
            wait_for_head(d);
            return;
        }
        if (got <= 0) {
            close_now(d);
            return;
        }
    }
}

/* ---- events */

static void
on_exchange_event(struct h1_downstream *d)
{
    if (d->conn.is_broken) {
        counter_up(d->worker->counters, client_aborts);
        d->ex->road->on_client_gone(d->ex, END_CLIENT_ABORT);
        return;
    }
    pump_source_ready(d->reader.source.pump);
    if (d->state != EXCHANGE)
        return;
    if (d->writer.sink.pump != NULL)
        pump_sink_ready(d->writer.sink.pump);
    else if (!h1_writer_is_empty(&d->writer))
        h1_writer_flush(&d->writer); /* the rest of an interim response */
}

static void
go_on(struct h1_downstream *d)
{
    switch ((enum state)d->state) {
    case IDLE:
    case HEAD:
        read_head(d);
        return;
    case EXCHANGE:
        on_exchange_event(d);
        return;
    case DRAIN:
        drain(d);
        return;
    case LINGER:
        linger(d);
        return;
    case CLOSED:
        return;
    }
}

static void
on_ready(struct conn *conn)
{
    struct h1_downstream *d = container_of(conn, struct h1_downstream, conn);

    if (conn->is_broken && d->state != EXCHANGE)
        close_now(d);
    else
        go_on(d);
}

static void
on_task(struct task *task)
{
    struct h1_downstream *d = container_of(task, struct h1_downstream, task);

    if (d->state != EXCHANGE)
        go_on(d);
}

static void
on_watch_due(struct timer *timer)
{
    conn_watch(&container_of(timer, struct h1_downstream, watch_timer)->conn);
}

static void
on_timeout(struct timer *timer)
{
    struct h1_downstream *d = container_of(timer, struct h1_downstream, conn.timer);
    struct h1_refusal refusal = { 408, "the request head did not arrive in time" };

    if (d->state == HEAD) {
        counter_up(d->worker->counters, client_timeouts);
        refuse_head(d, &refusal);
        return;
    }
    if (d->state == EXCHANGE) /* it could not be watched, and is broken: conn_watch() */
        go_on(d);
    else if (d->state != LINGER || !client_linger_goes_on(&d->linger, &d->conn))
        close_now(d);
}

/* ---- what the worker asks */

static struct h1_downstream *
of_link(struct client_conn *link)
{
    return container_of(link, struct h1_downstream, link);
}

static void
drain_client(struct client_conn *link)
{
    struct h1_downstream *d = of_link(link);

    d->is_drained = true;
    if (d->state != IDLE)
        return;
    /* A request may be there of which no event has told us yet. */
    d->conn.may_read = true;
    read_head(d);
    if (d->state != IDLE || !is_quiet(d))
        return;
    if (d->requests > 0)
        close_now(d);
    else /* it connected in order to send one */
        timer_arm(d->conn.loop, &d->conn.timer, LAST_REQUEST_MS);
}

static void
kill_client(struct client_conn *link)
{
    struct h1_downstream *d = of_link(link);

    if (d->ex != NULL)
        d->ex->road->on_client_gone(d->ex, END_STOPPED);
    else
        close_now(d);
}

static void
republish_client(struct client_conn *link)
{
    struct h1_downstream *d = of_link(link);
    struct listener_conf *listener;

    if (d->state == LINGER) { /* it ends by itself, and the client is to see all of its answer */
        d->listener = NULL;
        return;
    }
    listener = client_conn_listener(d->worker, d->counted_by, d->listener);
    if (listener != NULL) {
        d->listener = listener;
        if (!tls_is_current(d->client.tls, listener))
            drain_client(link);
        return;
    }
    /* The old snapshot goes; an exchange in progress holds its own reference. */
    if (d->ex == NULL) {
        close_now(d);
        return;
    }
    d->listener = d->ex->listener;
    d->is_drained = d->is_last = true;
}

static const struct client_conn_ops client_ops = {
    .republish = republish_client,
    .drain = drain_client,
    .kill = kill_client,
};

/* ---- the beginning */

/* Bytes read ahead by whoever looked at a PROXY header. */
static bool
take_head_bytes(struct h1_downstream *d, struct slice head)
{
    if (head.bytes == 0)
        return true;
    d->reader.own = malloc(head.bytes);
    if (d->reader.own == NULL)
        return false;
    memcpy(d->reader.own, head.data, head.bytes);
    d->reader.own_room = d->reader.bytes = (uint32_t)head.bytes;
    d->reader.data = d->reader.own;
    return true;
}

void
h1_downstream_open(struct worker *worker, struct listener_conf *listener,
                   const struct accepted *accepted)
{
    struct h1_downstream *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        client_conn_refuse(worker, listener, accepted);
        return;
    }
    conn_open_unwatched(&d->conn, worker->loop, accepted->fd, on_ready, on_timeout);
    tls_attach(&d->conn, accepted->tls);
    timer_init(&d->watch_timer, on_watch_due);
    h1_reader_init(&d->reader, &d->conn, worker);
    h1_writer_init(&d->writer, &d->conn, worker);
    task_init(&d->task, on_task);
    d->client = (struct client){ .peer = accepted->peer, .local = accepted->local,
                                 .is_tls = accepted->tls != NULL, .tls = accepted->tls };
    d->down = (struct downstream){ &h1_ops, &d->client, &d->writer.sink };
    d->worker = worker;
    d->head_read_bytes = H1_HEAD_READ_BYTES;
    d->listener = listener;
    d->counted_by = listener->listener;
    d->link.ops = &client_ops;
    list_init(&d->link.link);
    list_push_back(&worker->clients, &d->link.link);
    if (!take_head_bytes(d, accepted->head)) {
        close_now(d);
        return;
    }
    timer_arm(worker->loop, &d->conn.timer, listener->timeouts.head_ms);
    read_head(d);
}
