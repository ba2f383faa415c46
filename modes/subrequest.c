/* SPDX-License-Identifier: BSD-2-Clause */
/* subrequest.c - an exchange without a client that keeps the answer for who asked.
 *
 * Its sink keeps what content it may and then ends the exchange, so that a server
 * which never stops costs no more than others. An answer that was cut short by the
 * server is none.
 */
#include "config.h"

#include "modes/subrequest.h"

#include "modes/road.h"
#include "modes/solo.h"
#include "server/http/via.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMORY_BYTES (512u * 1024) /* for both heads and what is made of them */
#define ROOM_MIN 1024u

struct asking {
    struct solo solo;
    struct subrequest *asker; /* NULL: nobody wants to know any more */
    struct sink sink;
    char *data; /* heap */
    size_t bytes, room, max_bytes;
    bool has_response;
    bool is_cut;
    bool is_late;
};

static _Thread_local unsigned under_way;

/* The listener of those that come from none. */
static const struct mode_ops no_mode = { .name = "subrequest", .text = "Asks other servers." };
static struct listener_conf no_listener = {
    .name = "subrequest",
    .mode = &no_mode,
    .limits = { .arena_bytes = MEMORY_BYTES },
};

static struct asking *
asking_of(const struct exchange *ex)
{
    return container_of(ex->solo, struct asking, solo);
}

/* ---- the content */

static bool
has_room(struct asking *asking, size_t more)
{
    size_t room = asking->room > 0 ? asking->room : ROOM_MIN;
    char *data;

    if (asking->bytes + more <= asking->room)
        return true;
    while (room < asking->bytes + more)
        room *= 2;
    if (room > asking->max_bytes)
        room = asking->max_bytes;
    data = realloc(asking->data, room);
    if (data == NULL)
        return false;
    asking->data = data;
    asking->room = room;
    return true;
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct asking *asking = container_of(sink, struct asking, sink);

    for (unsigned i = 0; i < piece->count; i++) {
        size_t left = asking->max_bytes - asking->bytes, more = piece->iov[i].iov_len;

        asking->is_cut = more > left;
        if (asking->is_cut)
            more = left;
        if (more > 0 && !has_room(asking, more))
            return FLOW_FAILED;
        if (more > 0)
            memcpy(asking->data + asking->bytes, piece->iov[i].iov_base, more);
        asking->bytes += more;
        *taken += more;
        if (asking->is_cut)
            return FLOW_FAILED;
    }
    return piece->is_last ? FLOW_END : FLOW_MORE;
}

static enum flow
end(struct sink *sink, const struct fields *trailers)
{
    (void)sink;
    (void)trailers;
    return FLOW_END;
}

static const struct sink_ops sink_ops = { .put = put, .end = end };

/* ---- what the road tells */

static enum step
deliver(struct exchange *ex)
{
    if (ex->up == NULL) /* an answer of our own: it could not be had */
        return solo_end(ex, false);
    asking_of(ex)->has_response = true;
    return solo_pour(ex);
}

static const struct failure *
find_failure(const struct exchange *ex)
{
    static const struct failure late = { END_UPSTREAM_TIMEOUT, 504, "http_response_timeout",
                                         "no whole answer in time" };
    static const struct failure cut = { END_UPSTREAM_FAILED, 502, "http_response_incomplete",
                                        "the answer was cut short" };
    static const struct failure limit = { END_LIMIT, 503, "proxy_internal_error",
                                          "it needs more memory than one may have" };
    static const struct failure stopped = { END_STOPPED, 503, "proxy_internal_error",
                                            "Bascule stops" };

    if (asking_of(ex)->is_late)
        return &late;
    if (ex->failure.reason != END_DONE)
        return &ex->failure;
    if (arena_is_spent(&ex->arena))
        return &limit;
    return asking_of(ex)->has_response ? &cut : &stopped;
}

/* The exchange is over. */
static void
finish(struct exchange *ex, bool is_whole)
{
    struct asking *asking = asking_of(ex);
    struct subrequest *asker = asking->asker;
    struct subrequest_answer answer = { 0 };

    under_way--;
    if (asker != NULL) {
        if (is_whole || asking->is_cut)
            answer.response = &ex->response;
        else
            answer.failure = find_failure(ex);
        if (answer.response != NULL)
            answer.content = slice_make(asking->data, asking->bytes);
        answer.is_cut = asking->is_cut;
        asker->ex = NULL;
        asker->on_done(asker, &answer);
    }
    free(asking->data);
}

static const struct solo_ops ops = { .deliver = deliver, .finish = finish };

static void
on_deadline(struct timer *timer)
{
    struct exchange *ex = container_of(timer, struct exchange, deadline);

    asking_of(ex)->is_late = true;
    road_end(ex, false);
}

/* ---- starting */

static void
make_request(struct exchange *ex, const struct subrequest_order *order)
{
    struct request *request = &ex->request;

    if (order->fields != NULL)
        solo_copy_fields(ex, order->fields);
    fields_remove_hop_by_hop(&request->fields);
    fields_add(&request->fields, &ex->arena, FIELD_VIA,
               via_value(ex->down->ops->protocol, 1)); /* loops come to an end */
    request->method = order->method;
    request->method_name = solo_copy(ex, order->method_name);
    request->minor_version = 1;
    request->target = solo_copy(ex, order->target);
    request->authority = solo_copy(ex, order->authority);
    ex->out.target = request->target;
    ex->out.authority = request->authority;
    ex->to = order->to;
    ex->to.host = solo_copy(ex, order->to.host);
}

bool
subrequest_start(struct subrequest *subrequest, const struct subrequest_order *order,
                 void (*on_done)(struct subrequest *, const struct subrequest_answer *))
{
    static const struct client nobody;
    struct exchange *ex;
    struct asking *asking;

    must(subrequest->ex == NULL && order->method != METHOD_CONNECT);
    if (under_way >= SUBREQUESTS_MAX) {
        counter_up(order->worker->counters, limits_hit);
        return false;
    }
    ex = solo_new(order->worker, &no_listener, order->generation,
                  order->client != NULL ? order->client : &nobody, sizeof(*asking), &ops);
    if (ex == NULL)
        return false;
    under_way++;
    asking = asking_of(ex);
    asking->asker = subrequest;
    asking->max_bytes = order->content_bytes;
    asking->sink.ops = &sink_ops;
    ex->down->sink = &asking->sink;
    subrequest->ex = ex;
    subrequest->on_done = on_done;
    make_request(ex, order);
    ex->deadline.on_due = on_deadline;
    timer_arm(order->worker->loop, &ex->deadline, order->deadline_ms);
    solo_start(ex);
    return true;
}

const char *
subrequest_words(const struct subrequest_answer *answer, char text[SUBREQUEST_WORDS_BYTES])
{
    if (answer->response != NULL) {
        snprintf(text, SUBREQUEST_WORDS_BYTES, "it answers %u", answer->response->status);
        return text;
    }
    return answer->failure->detail != NULL ? answer->failure->detail
                                           : end_reason_word(answer->failure->reason);
}

void
subrequest_cancel(struct subrequest *subrequest)
{
    struct exchange *ex = subrequest->ex;

    if (ex == NULL)
        return;
    subrequest->ex = NULL;
    asking_of(ex)->asker = NULL;
    road_end(ex, false);
}
