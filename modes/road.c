/* SPDX-License-Identifier: BSD-2-Clause */
/* road.c - from step to step, and back again with the response.
 *
 * Whoever makes an exchange wait calls back from the event loop, or, when the
 * answer is there at once, from inside the step itself. Both end in run():
 * while a step is on the stack (is_on_road) a callback only leaves a note, and
 * the loop in run() acts on it when the step returns. So nothing is freed
 * under a step's feet, and the stack does not grow.
 */
#include "config.h"

#include "modes/road.h"

#include "cache/disk_reader.h"
#include "filters/pipeline.h"
#include "modes/cache_answer.h"
#include "modes/judge.h"
#include "modes/keep.h"
#include "modes/keys_fetch.h"
#include "modes/look_up.h"
#include "modes/purge_request.h"
#include "modes/reach.h"
#include "modes/road_log.h"
#include "modes/site_route.h"
#include "modes/site_tls.h"
#include "modes/solo.h"
#include "modes/trail.h"
#include "modes/tunnels.h"
#include "server/http/client_conn.h"
#include "server/http/via.h"
#include "server/snapshot.h"
#include "server/upstream/endpoint.h"

typedef enum step step_fn(struct exchange *ex);

static void run(struct exchange *ex);

/* ---- the end */

static void
end_now(struct exchange *ex)
{
    pump_stop(&ex->request_pump);
    pump_stop(&ex->response_pump);
    timer_disarm(&ex->deadline);
    if (ex->solo == NULL) {
        if (ex->end == END_DENIED)
            counter_up(ex->worker->counters, requests_denied);
        road_log(ex);
        trail_record(ex);
    }
    if (ex->up != NULL) {
        struct upstream *up = ex->up;

        ex->up = NULL;
        up->ops->release(up);
    }
    reach_stop(ex);
    pipeline_end(ex);
    look_up_end(ex);
    judge_end(ex);
    if (ex->down != NULL)
        ex->down->ops->finish(ex, ex->is_whole);
    exchange_free(ex);
}

void
road_end(struct exchange *ex, bool is_whole)
{
    if (ex->is_ended)
        return;
    ex->is_ended = true;
    ex->is_whole = is_whole;
    if (!ex->is_on_road)
        end_now(ex);
}

/* ---- the response */

static void
on_response_sent(struct pump *pump, enum pump_result result)
{
    struct exchange *ex = container_of(pump, struct exchange, response_pump);

    switch (result) {
    case PUMP_DONE:
        if (ex->is_tunnel)
            tunnel_begin(ex);
        else
            road_end(ex, true);
        return;
    case PUMP_SOURCE_FAILED:
        if (ex->end == END_DONE)
            ex->end = END_UPSTREAM_FAILED;
        exchange_decide(ex, DECISION_FAILURE, NULL, "the response was cut short");
        counter_up(ex->worker->counters, upstream_failures);
        road_end(ex, false);
        return;
    case PUMP_SINK_FAILED:
        ex->end = END_CLIENT_ABORT;
        counter_up(ex->worker->counters, client_aborts);
        road_end(ex, false);
        return;
    }
}

static void
count_response(struct exchange *ex)
{
    struct counters *counters = ex->worker->counters;

    switch (ex->response.status / 100) {
    case 1:
        counter_up(counters, responses_1xx);
        break;
    case 2:
        counter_up(counters, responses_2xx);
        break;
    case 3:
        counter_up(counters, responses_3xx);
        break;
    case 4:
        counter_up(counters, responses_4xx);
        break;
    default:
        counter_up(counters, responses_5xx);
        break;
    }
}

/* RFC 9110 section 6.4.1: these have no content whatever their fields say. */
static bool
has_no_content(const struct exchange *ex)
{
    unsigned status = ex->response.status;

    return ex->request.method == METHOD_HEAD || status < 200 || status == 204 || status == 304 ||
           (ex->request.method == METHOD_CONNECT && status < 300);
}

/* Memory ran out while the response was read or changed: what did not fit is
 * missing from it, and nobody knows what that was. Our own errors can do
 * without. */
static bool
refuse_incomplete(struct exchange *ex)
{
    if (!arena_is_spent(&ex->arena) || (ex->end != END_DONE && ex->end != END_ANSWERED))
        return false;
    counter_up(ex->worker->counters, limits_hit);
    exchange_answer(ex, 503, END_LIMIT, NULL);
    return true;
}

static void
drop_upstream(struct exchange *ex)
{
    struct upstream *up = ex->up;

    pump_stop(&ex->request_pump);
    pump_stop(&ex->response_pump); /* by which a filter may have looked at its content */
    ex->up = NULL;
    if (up != NULL)
        up->ops->release(up);
}

/* The last steps: what the client sees. */
static enum step
deliver(struct exchange *ex)
{
    if (ex->solo != NULL)
        return ex->solo->ops->deliver(ex);
    if (ex->is_judging) {
        enum step step = judge_response(ex);

        if (step == STEP_WAIT || step == STEP_DONE)
            return step;
        if (step == STEP_ANSWER)
            drop_upstream(ex);
    }
    if (ex->cached != NULL)
        cache_answer_status(ex);
    pipeline_begin(ex); /* of an answer from before the filters' turn */
    switch (pipeline_deliver(ex)) {
    case FILTER_WAIT:
        return STEP_WAIT;
    case FILTER_NEXT:
    case FILTER_ANSWER:
        break;
    }
    if (ex->is_judging)
        judge_deliver(ex);
    if (ex->site != NULL && ex->site->hsts_s > 0)
        site_add_hsts(ex);
    (void)refuse_incomplete(ex);
    ex->is_head_only = has_no_content(ex);
    /* Who hoped for a tunnel may have sent its first bytes already: what follows
     * on the connection is no request. */
    if (ex->request.method == METHOD_CONNECT && ex->response.status >= 300 &&
        ex->response.status != 407) /* which the client answers on this connection */
        ex->request.wants_close = true;
    ex->is_started = true;
    count_response(ex);
    ex->down->ops->start(ex);
    pump_start(&ex->response_pump, ex->worker->loop, ex->is_head_only ? NULL : ex->response.body,
               ex->down->sink, on_response_sent);
    return STEP_DONE;
}

/* What came for an exchange that went upstream by itself. */
static void
keep(struct exchange *ex)
{
    if (!method_is_safe(ex->request.method))
        keep_invalidate(ex);
    keep_passing(ex);
}

static enum step
filter_fetched(struct exchange *ex)
{
    if (ex->up == NULL)
        return STEP_NEXT; /* our own answer: nothing was fetched */
    pipeline_begin(ex); /* of a fetch, whose request was filtered as the client's */
    switch (pipeline_fetch(ex)) {
    case FILTER_NEXT:
        if (ex->solo != NULL && refuse_incomplete(ex)) { /* others are refused on delivery */
            drop_upstream(ex);
            return STEP_ANSWER;
        }
        if (ex->cached != NULL)
            keep(ex);
        return STEP_NEXT;
    case FILTER_WAIT:
        return STEP_WAIT;
    case FILTER_ANSWER:
        drop_upstream(ex);
        return STEP_ANSWER;
    }
    return STEP_NEXT;
}

/* ---- the request */

/* RFC 9110 section 7.6.2. */
static enum step
count_forwards(struct exchange *ex)
{
    struct slice value = fields_get(&ex->request.fields, FIELD_MAX_FORWARDS);
    uint64_t left;

    if (value.data == NULL ||
        (ex->request.method != METHOD_TRACE && ex->request.method != METHOD_OPTIONS))
        return STEP_NEXT;
    if (!slice_to_u64(value, UINT32_MAX, &left)) {
        exchange_answer(ex, 400, END_BAD_REQUEST, "Max-Forwards is not a number");
        return STEP_ANSWER;
    }
    if (left > 0) {
        fields_set(&ex->request.fields, &ex->arena, FIELD_MAX_FORWARDS,
                   arena_printf(&ex->arena, "%u", (unsigned)left - 1));
        return STEP_NEXT;
    }
    exchange_answer_with(ex, 200, END_ANSWERED, NULL, slice_make(NULL, 0));
    fields_add(&ex->response.fields, &ex->arena, FIELD_ALLOW,
               SLICE("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
    return STEP_ANSWER;
}

/* The mode's own guards come first. When the policy has to wait, they are not asked again. */
static enum step
judge(struct exchange *ex)
{
    if (ex->judgement == NULL) {
        enum step step;

        if (ex->down->client->is_tls && site_check_early(ex) == STEP_ANSWER)
            return STEP_ANSWER;
        step = ex->listener->mode->judge(ex);
        if (step != STEP_NEXT)
            return step;
    }
    return judge_listener(ex);
}

static enum step
route(struct exchange *ex)
{
    return ex->listener->mode->route(ex);
}

/* Content that is known to be too long is refused before any of it is read. */
static enum step
check_body(struct exchange *ex)
{
    if (ex->body_limit_bytes == 0 || ex->request.length == LENGTH_UNKNOWN ||
        ex->request.length <= ex->body_limit_bytes)
        return STEP_NEXT;
    counter_up(ex->worker->counters, limits_hit);
    exchange_answer(ex, 413, END_LIMIT, "The content of the request is longer than allowed here.");
    return STEP_ANSWER;
}

static enum step
filter_request(struct exchange *ex)
{
    if (check_body(ex) == STEP_ANSWER)
        return STEP_ANSWER;
    ex->is_purge = purge_request_is_let(ex);
    pipeline_begin(ex);
    switch (pipeline_request(ex)) {
    case FILTER_NEXT:
        return check_body(ex); /* they may have lowered the limit */
    case FILTER_WAIT:
        return STEP_WAIT;
    case FILTER_ANSWER:
        return STEP_ANSWER;
    }
    return STEP_NEXT;
}

static enum step
prepare(struct exchange *ex)
{
    return ex->listener->mode->prepare(ex);
}

/* Hop-by-hop fields end here. The writer leaves out those it knows; ones that
 * the Connection field nominates have to be taken out. */
static enum step
strip_hops(struct exchange *ex)
{
    struct request *request = &ex->request;

    if (request->wants_upgrade)
        request->upgrade = fields_get(&request->fields, FIELD_UPGRADE);
    /* Behind an upgrade to HTTP/2 whole requests would pass unjudged. */
    if (slice_list_has(request->upgrade, SLICE("h2c")) ||
        slice_list_has(request->upgrade, SLICE("h2")))
        request->wants_upgrade = false;
    if (request->wants_upgrade || request->method == METHOD_CONNECT)
        ex->asked = fields_copy(&request->fields, &ex->arena);
    if (fields_has(&request->fields, FIELD_CONNECTION))
        fields_remove_hop_by_hop(&request->fields);
    return STEP_NEXT;
}

static enum step
send_request(struct exchange *ex)
{
    if (arena_is_spent(&ex->arena)) {
        counter_up(ex->worker->counters, limits_hit);
        exchange_answer(ex, 431, END_LIMIT, "The request needs more memory than one may have.");
        return STEP_ANSWER;
    }
    if (ex->request.method == METHOD_CONNECT) {
        tunnel_accept(ex);
        return STEP_ANSWER;
    }
    if (ex->out.authority.data == NULL)
        ex->out.authority = ex->endpoint->host.bytes > 0 ? slice_of(ex->endpoint->to)
                                                         : SLICE("localhost");
    ex->up->ops->send(ex->up, ex);
    return STEP_DONE;
}

/* The numbers are positions in the table. */
enum { STEP_FIRST = 0, STEP_REACH = 11, STEP_FETCHED = 13, STEP_DELIVER = 14, STEP_COUNT = 15 };

static step_fn *const road[STEP_COUNT] = {
    count_forwards,
    judge,
    route,
    judge_site,
    strip_hops,
    prepare,
    judge_tell,
    filter_request,
    site_answer,
    judge_destination,
    look_up,
    [STEP_REACH] = reach,
    send_request,
    [STEP_FETCHED] = filter_fetched,
    [STEP_DELIVER] = deliver,
};

static void
run(struct exchange *ex)
{
    if (ex->is_on_road) {
        ex->is_resumed = true;
        return;
    }
    ex->is_on_road = true;
    do {
        ex->is_resumed = false;
        switch (road[ex->step](ex)) {
        case STEP_NEXT:
            ex->step++;
            ex->is_resumed = true;
            break;
        case STEP_ANSWER:
            ex->step = STEP_DELIVER;
            ex->is_resumed = true;
            break;
        case STEP_WAIT:
        case STEP_DONE:
            break;
        }
    } while (ex->is_resumed && !ex->is_ended);
    ex->is_on_road = false;
    if (ex->is_ended)
        end_now(ex);
}

/* What somebody waited for may come after the answer that took its place. */
void
road_resume(struct exchange *ex)
{
    if (!ex->is_started)
        run(ex);
}

/* Goes to another step, whether one is on the stack or not. */
static void
jump(struct exchange *ex, unsigned step)
{
    ex->step = (uint8_t)step;
    run(ex);
}

/* ---- what the sides report */

enum step
road_fail(struct exchange *ex, const struct failure *failure)
{
    ex->failure = *failure;
    exchange_decide(ex, DECISION_FAILURE, NULL, "%s%s%s", end_reason_word(failure->reason),
                    failure->detail != NULL ? ": " : "",
                    failure->detail != NULL ? failure->detail : "");
    exchange_answer(ex, failure->status, failure->reason, failure->detail);
    return STEP_ANSWER;
}

/* An answer of our own takes the place of whatever was awaited. */
static void
answer_instead(struct exchange *ex, const struct failure *failure)
{
    drop_upstream(ex);
    reach_stop(ex);
    judge_stop(ex);
    if (!look_up_stands_in(ex))
        road_fail(ex, failure);
    jump(ex, STEP_DELIVER);
}

/* RFC 9110 section 15.5.8: the parent proxy challenges us. The client knows
 * nothing of that proxy and must not be asked for its password. */
static bool
refuses_us(const struct exchange *ex)
{
    return ex->response.status == 407 && reach_is_relayed(ex);
}

static void
on_response(struct exchange *ex)
{
    static const struct failure refused = { END_UPSTREAM_BAD, 502, "proxy_configuration_error",
                                            "the parent proxy wants other credentials" };
    struct response *response = &ex->response;

    ex->upstream_status = response->status;
    if (refuses_us(ex)) {
        answer_instead(ex, &refused);
        return;
    }
    ex->is_answered = true;
    if (ex->slot != NULL)
        endpoint_succeeded(ex->slot);
    if (response->status == 101)
        ex->is_tunnel = true;
    if (fields_has(&response->fields, FIELD_CONNECTION))
        fields_remove_hop_by_hop(&response->fields);
    if (ex->listener->mode->adds_via && ex->solo == NULL)
        fields_add(&response->fields, &ex->arena, FIELD_VIA,
                   via_value(ex->up->ops->protocol, response->minor_version));
    jump(ex, STEP_FETCHED);
}

static bool
is_no_hint(const struct field *field, void *arg)
{
    (void)arg;
    return field->id != FIELD_LINK;
}

/* Filters do not see it: where there are some, only what it is for passes them. */
static void
on_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    struct fields copy = *fields;

    if (ex->solo != NULL)
        pipeline_begin(ex);
    if (ex->filters != NULL)
        fields_remove_if(&copy, is_no_hint, NULL);
    if (fields_has(&copy, FIELD_CONNECTION))
        fields_remove_hop_by_hop(&copy);
    counter_up(ex->worker->counters, responses_1xx);
    ex->down->ops->interim(ex, status, &copy);
}

static void
on_upstream_failed(struct exchange *ex, const struct failure *failure, bool was_stale)
{
    counter_up(ex->worker->counters, upstream_failures);
    if (ex->is_started) {
        ex->end = failure->reason;
        ex->failure = *failure;
        road_end(ex, false);
        return;
    }
    drop_upstream(ex);
    if (reach_again(ex, failure, was_stale)) {
        counter_up(ex->worker->counters, upstream_retries);
        jump(ex, STEP_REACH);
        return;
    }
    answer_instead(ex, failure);
}

/* The client broke off its upload, was too slow, or sent too much of it. */
static void
on_request_cut(struct exchange *ex, enum end_reason reason)
{
    struct failure failure = { reason, 400, NULL, "the request's content was cut short" };

    if (ex->down->ops->request_is_over_limit(ex)) {
        counter_up(ex->worker->counters, limits_hit);
        failure = (struct failure){ END_LIMIT, 413, NULL,
                                    "the request's content is longer than allowed" };
    } else if (reason == END_CLIENT_TIMEOUT) {
        failure.status = 408;
        failure.detail = "the request's content did not arrive in time";
    } else if (ex->refusal != NULL) {
        failure = *ex->refusal;
    }
    ex->request.wants_close = true;
    if (ex->is_started) {
        ex->end = failure.reason;
        road_end(ex, false);
        return;
    }
    answer_instead(ex, &failure);
}

static void
on_client_gone(struct exchange *ex, enum end_reason reason)
{
    ex->end = reason;
    road_end(ex, false);
}

static const struct road_ops ops = {
    .on_response = on_response,
    .on_interim = on_interim,
    .on_upstream_failed = on_upstream_failed,
    .on_request_cut = on_request_cut,
    .on_client_gone = on_client_gone,
    .on_resume = road_resume,
};

static void
on_deadline(struct timer *timer)
{
    struct exchange *ex = container_of(timer, struct exchange, deadline);
    struct failure failure = { END_LIMIT, 504, "connection_limit_reached",
                               "the exchange took longer than allowed" };

    counter_up(ex->worker->counters, limits_hit);
    if (ex->is_started) {
        ex->end = END_LIMIT;
        road_end(ex, false);
        return;
    }
    answer_instead(ex, &failure);
}

void
road_begin_solo(struct exchange *ex)
{
    ex->road = &ops;
    ex->step = STEP_REACH;
    run(ex);
}

void
road_begin(struct exchange *ex)
{
    ex->road = &ops;
    ex->step = ex->is_answered ? STEP_DELIVER : STEP_FIRST;
    if (ex->listener->access_log != NULL) {
        ex->referer = fields_get(&ex->request.fields, FIELD_REFERER);
        ex->user_agent = fields_get(&ex->request.fields, FIELD_USER_AGENT);
    }
    if (ex->listener->timeouts.exchange_ms > 0) {
        ex->deadline.on_due = on_deadline;
        timer_arm(ex->worker->loop, &ex->deadline, ex->listener->timeouts.exchange_ms);
    }
    run(ex);
}

/* ---- the worker's hooks */

void
road_on_publish(struct worker *worker)
{
    if (worker->snapshot != NULL)
        trail_resize(worker->id, worker->snapshot->conf.trail_bytes);
    list_each(link, &worker->clients) {
        struct client_conn *client = container_of(link, struct client_conn, link);

        client->ops->republish(client);
    }
    tunnels_on_publish(worker);
    keys_fetch_follow(worker);
}

void
road_on_drain(struct worker *worker)
{
    list_each(link, &worker->clients) {
        struct client_conn *client = container_of(link, struct client_conn, link);

        client->ops->drain(client);
    }
    keys_fetch_stop();
}

void
road_on_kill(struct worker *worker)
{
    list_each(link, &worker->clients) {
        struct client_conn *client = container_of(link, struct client_conn, link);

        client->ops->kill(client);
    }
    tunnels_on_kill(worker);
    keys_fetch_stop();
    solos_kill(worker);
}

bool
road_is_idle(struct worker *worker)
{
    return list_is_empty(&worker->solos) && worker->errands == 0 && disk_reader_is_idle();
}
