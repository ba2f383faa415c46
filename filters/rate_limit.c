/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_limit.c - lets requests through as the configured limits say.
 *
 *     request_head: take from one limit after the other --all let it through--> on
 *                       | one is over
 *                       +-- reject: 429 (or 503) with Retry-After
 *                       +-- delay:  a timer; then the same limit is asked again
 *                       '-- log:    told, and on
 *     deliver_head: RateLimit fields, as things stood when the request was let through
 *
 * An exchange takes once from each limit, whatever happens to it later. What it counts for
 * while it lasts is given back at its end; a tunnel's end is that of its exchange's memory,
 * as filters have no part in tunnels.
 */
#include "config.h"

#include "filters/rate_limit.h"

#include "filters/exchange_key.h"
#include "filters/rate_limit_fields.h"
#include "server/policy/ban_table.h"
#include "server/policy/limit_hold.h"

#include <inttypes.h>

#define LIMITS_MAX 8
#define BUSY_LOOK_MS 64   /* how often is looked whether one of so many at a time has left */
#define LOOK_MAX_MS 1024u /* ... and, at most, whether the process is to stop */
#define STOPPING_MS 2000u /* for how long who waits keeps it from that */

enum on_limit { ON_LIMIT_REJECT, ON_LIMIT_DELAY, ON_LIMIT_LOG };

struct rate_limit_conf {
    struct filter_conf filter;
    struct strings names;
    int on_limit; /* enum on_limit */
    uint32_t max_delay_ms;
    int64_t max_delayed;
    int64_t status;
    bool has_fields;
    const char *ban_name;
    const struct ban_conf *ban;        /* NULL: nobody is banned */
    const struct limit_conf **limits;  /* as many as names */
    struct limit_conf delayed;         /* those who wait, at a time, by the key that is over */
};

/* From one limit. */
struct taken {
    struct limit_hold hold;
    struct exchange *ex; /* for a tunnel's end */
};

struct rate_limit_state {
    struct timer timer; /* armed: until the limit is asked again */
    struct exchange *ex;
    struct taken *taken;          /* of each limit */
    struct rate_limit_said *said; /* the same */
    unsigned at;                  /* limits that have been asked */
    uint64_t since_ms;            /* it waits, or has waited for a limit before; 0: never */
    uint64_t waiting_key;
    bool is_waiting;
    bool is_rejected;
    uint64_t retry_ms;
};

enum event { EVENT_PASSED, EVENT_DELAYED, EVENT_REJECTED, EVENT_WOULD_REJECT, EVENT_BANNED };

static struct filter_counts counts = {
    .events = { [EVENT_PASSED] = "passed", [EVENT_DELAYED] = "delayed",
                [EVENT_REJECTED] = "rejected", [EVENT_WOULD_REJECT] = "would_reject",
                [EVENT_BANNED] = "banned" },
};

/* ---- configuration */

static const char *const on_limit_words[] = {
    [ON_LIMIT_REJECT] = "reject",
    [ON_LIMIT_DELAY] = "delay",
    [ON_LIMIT_LOG] = "log",
    NULL,
};

static const struct option options[] = {
    { .name = "limit", .type = OPTION_STRINGS, .offset = offsetof(struct rate_limit_conf, names),
      .is_required = true, .min = 1, .max = LIMITS_MAX,
      .text = "Names of limits that a request takes from, in this order." },
    { .name = "on_limit", .type = OPTION_ENUM, .offset = offsetof(struct rate_limit_conf, on_limit),
      .words = on_limit_words, .fallback = "reject",
      .text = "What becomes of a request that is over a limit: reject, delay (it waits until the "
              "limit lets it through) or log (it passes, and is told of)." },
    { .name = "max_delay", .type = OPTION_TIME,
      .offset = offsetof(struct rate_limit_conf, max_delay_ms), .fallback = "2s", .min = 1,
      .max = 3600 * 1000,
      .text = "How long a request waits with on_limit = \"delay\"; what would take longer is "
              "rejected at once." },
    { .name = "max_delayed", .type = OPTION_INT,
      .offset = offsetof(struct rate_limit_conf, max_delayed), .fallback = "10", .min = 1,
      .max = 10000, .text = "Requests of one key that wait at a time; others are rejected." },
    { .name = "status", .type = OPTION_INT, .offset = offsetof(struct rate_limit_conf, status),
      .fallback = "429", .min = 429, .max = 503,
      .text = "Of rejections: 429 (the client asks too much) or 503 (we have not enough)." },
    { .name = "fields", .type = OPTION_BOOL, .offset = offsetof(struct rate_limit_conf, has_fields),
      .fallback = "true",
      .text = "Responses tell what is left, in RateLimit and RateLimit-Policy fields." },
    { .name = "ban", .type = OPTION_STRING, .offset = offsetof(struct rate_limit_conf, ban_name),
      .text = "Name of a table in bans, where each rejection counts as a failure." },
    { .name = NULL },
};

static struct limit_conf *
find_limit(const struct conf *all, struct slice name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (size_t i = 0; i < all->limits.count; i++) {
        struct limit_conf *limit = all->limits.items[i];

        if (slice_equal(name, slice_of(limit->name)))
            return limit;
        nearest_offer(&nearest, limit->name);
    }
    err_set(err, "limit: there is no \"%.*s\" in limits", SLICE_ARG(name));
    nearest_hint(&nearest, err);
    return NULL;
}

static int
find_limits(struct rate_limit_conf *conf, const struct conf *all, struct err *err)
{
    for (size_t i = 0; i < conf->names.count; i++) {
        struct limit_conf *limit = find_limit(all, conf->names.items[i], err);

        if (limit == NULL)
            return -1;
        limit->is_used = true;
        conf->limits[i] = limit;
        for (size_t j = 0; j < i; j++)
            if (conf->limits[j] == conf->limits[i])
                return err_set(err, "limit: has \"%s\" twice", conf->limits[i]->name);
    }
    return 0;
}

/* Who waits is counted by what counts all else at a time. */
static int
finish_delayed(struct rate_limit_conf *conf, struct arena *arena, struct err *err)
{
    struct slice name = slice_make("delayed", 7);
    int64_t max_keys = 1;

    for (size_t i = 0; i < conf->names.count; i++) {
        name = arena_printf(arena, "%.*s %s", SLICE_ARG(name), conf->limits[i]->name);
        if (conf->limits[i]->max_keys > max_keys)
            max_keys = conf->limits[i]->max_keys;
    }
    name = arena_printf(arena, "%.*s %" PRId64, SLICE_ARG(name), conf->max_delayed);
    conf->delayed = (struct limit_conf){
        .place = conf->filter.place,
        .name = name.data,
        .concurrency = conf->max_delayed,
        .max_keys = max_keys,
    };
    return name.bytes > 0 ? 0 : err_set(err, "no memory");
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct rate_limit_conf *conf = arg;

    conf->limits = arena_zalloc(arena, conf->names.count * sizeof(*conf->limits));
    if (conf->limits == NULL)
        return err_set(err, "no memory");
    if (conf->status != 429 && conf->status != 503)
        return err_set(err, "status: %" PRId64 " is neither 429 nor 503", conf->status);
    if (find_limits(conf, all, err) < 0)
        return -1;
    if (conf->ban_name != NULL) {
        conf->ban = bans_find(all, conf->ban_name, err);
        if (conf->ban == NULL)
            return err_prefix(err, "ban: ");
    }
    return conf->on_limit == ON_LIMIT_DELAY ? finish_delayed(conf, arena, err) : 0;
}

static void
let_go(void *limit)
{
    limit_unref(limit);
}

static int
adopt(void *arg, struct arena *arena, struct err *err)
{
    struct rate_limit_conf *conf = arg;

    if (conf->on_limit != ON_LIMIT_DELAY)
        return 0;
    if (limit_adopt(&conf->delayed, err) < 0)
        return -1;
    return arena_defer(arena, let_go, conf->delayed.limit) == 0 ? 0 : err_set(err, "no memory");
}

/* ---- waiting */

static void
stop_waiting(const struct rate_limit_conf *conf, struct rate_limit_state *state)
{
    timer_disarm(&state->timer);
    if (state->is_waiting)
        limit_leave(conf->delayed.limit, state->waiting_key);
    state->is_waiting = false;
}

static void
on_due(struct timer *timer)
{
    struct rate_limit_state *state = container_of(timer, struct rate_limit_state, timer);

    state->ex->road->on_resume(state->ex);
}

/* Timers come in few lengths: powers of two, the longest that is not too long. */
static uint32_t
timer_ms(uint64_t ms)
{
    if (ms > LOOK_MAX_MS)
        return LOOK_MAX_MS;
    return ms > 1 ? 1u << (63 - __builtin_clzll(ms)) : 1;
}

static uint32_t
max_delay_ms(const struct rate_limit_conf *conf, const struct worker *worker)
{
    return worker->is_draining && conf->max_delay_ms > STOPPING_MS ? STOPPING_MS
                                                                    : conf->max_delay_ms;
}

/* Waits for the limit at state->at, which is over. False: it would take too long, or too many
 * wait already. */
static bool
wait(const struct rate_limit_conf *conf, struct rate_limit_state *state, uint64_t key,
     uint64_t now_ms)
{
    const struct rate_limit_said *said = &state->said[state->at];
    uint64_t retry_ms = said->state.retry_ms, waited_ms;

    if (conf->on_limit != ON_LIMIT_DELAY)
        return false;
    if (state->since_ms == 0)
        state->since_ms = now_ms;
    waited_ms = now_ms - state->since_ms;
    if (said->conf->concurrency > 0 && retry_ms > BUSY_LOOK_MS)
        retry_ms = BUSY_LOOK_MS;
    if (waited_ms + retry_ms > max_delay_ms(conf, state->ex->worker))
        return false;
    if (!state->is_waiting) {
        if (!limit_enter(conf->delayed.limit, key))
            return false;
        state->is_waiting = true;
        state->waiting_key = key;
        filter_count(state->ex, &counts, EVENT_DELAYED, 1);
    }
    timer_arm(state->ex->worker->loop, &state->timer, timer_ms(retry_ms));
    return true;
}

/* ---- the request */

static void
give_back_tunnel(void *arg)
{
    struct taken *taken = arg;

    limit_hold_give_back(&taken->hold, taken->ex->tunnel_bytes_up + taken->ex->tunnel_bytes_down,
                         loop_now_ms(taken->ex->worker->loop));
}

static enum filter_verdict
reject(const struct rate_limit_conf *conf, struct rate_limit_state *state, struct facts *facts)
{
    struct exchange *ex = state->ex;
    const struct rate_limit_said *said = &state->said[state->at];
    struct ban_key key;

    stop_waiting(conf, state);
    state->is_rejected = true;
    state->retry_ms = said->state.retry_ms;
    state->at++;
    filter_count(ex, &counts, EVENT_REJECTED, 1);
    counter_up(ex->worker->counters, limits_hit);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "rate_limit: over %s",
                    said->conf->name);
    if (conf->ban != NULL && ban_key_of(conf->ban, facts, &key) &&
        !ban_is_exempt(conf->ban, &ex->client_ip) &&
        ban_count(conf->ban, &key, loop_wall_ms(ex->worker->loop), "over a limit"))
        filter_count(ex, &counts, EVENT_BANNED, 1);
    exchange_answer(ex, (unsigned)conf->status, END_LIMIT,
                    "Too many requests: please wait a moment.");
    return FILTER_ANSWER;
}

static void
tell(const struct rate_limit_conf *conf, const struct rate_limit_state *state)
{
    filter_count(state->ex, &counts, EVENT_WOULD_REJECT, 1);
    exchange_decide(state->ex, DECISION_FILTER, &conf->filter.place,
                    "rate_limit: would be over %s", state->said[state->at].conf->name);
}

/* Before anything is taken that has to be given back. False: memory is short, and the exchange
 * is refused for it later. */
static bool
will_give_back(struct taken *taken, const struct limit_conf *limit, struct exchange *ex)
{
    if (taken->ex != NULL || (limit->concurrency == 0 && limit->quota_bytes == 0))
        return true;
    taken->ex = ex;
    return arena_defer(&ex->arena, give_back_tunnel, taken) == 0;
}

/* Asks the limit at state->at. Who waits looks first, so that it is counted once that it was
 * over. True: it is let through. */
static bool
take(struct rate_limit_state *state, const struct limit_conf *limit, uint64_t key, uint64_t now_ms)
{
    struct taken *taken = &state->taken[state->at];
    struct limit_state *found = &state->said[state->at].state;

    if (!will_give_back(taken, limit, state->ex))
        return true;
    state->said[state->at].conf = limit;
    if (state->is_waiting && !limit_look(limit->limit, key, now_ms, found))
        return false;
    return limit_hold_take(&taken->hold, limit, key, now_ms, found);
}

/* 0, or -1: memory is short, and the exchange is refused for it later. */
static int
begin(const struct rate_limit_conf *conf, struct rate_limit_state *state, struct exchange *ex)
{
    size_t count = conf->names.count;

    timer_init(&state->timer, on_due);
    state->ex = ex;
    state->taken = arena_zalloc(&ex->arena, count * sizeof(*state->taken));
    state->said = arena_zalloc(&ex->arena, count * sizeof(*state->said));
    if (state->taken != NULL && state->said != NULL)
        return 0;
    state->at = (unsigned)count;
    return -1;
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct rate_limit_conf *conf = arg;
    struct rate_limit_state *state = memory;
    uint64_t now_ms = loop_now_ms(ex->worker->loop), key;
    struct facts facts;

    if (state->ex == NULL && begin(conf, state, ex) < 0)
        return FILTER_NEXT;
    if (timer_is_armed(&state->timer))
        return FILTER_WAIT;
    exchange_key_facts(ex, &facts);
    for (; state->at < conf->names.count; state->at++) {
        const struct limit_conf *limit = conf->limits[state->at];

        if (!limit_key(limit, &facts, &key) || take(state, limit, key, now_ms)) {
            stop_waiting(conf, state);
            continue;
        }
        if (conf->on_limit == ON_LIMIT_LOG)
            tell(conf, state);
        else if (wait(conf, state, key, now_ms))
            return FILTER_WAIT;
        else
            return reject(conf, state, &facts);
    }
    filter_count(ex, &counts, EVENT_PASSED, 1);
    return FILTER_NEXT;
}

/* ---- the response */

/* Retry-After: RFC 9110 section 10.2.3, RFC 6585 section 4. */
static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct rate_limit_conf *conf = arg;
    const struct rate_limit_state *state = memory;
    uint64_t retry_s = (state->retry_ms + 999) / 1000;

    if (state->said == NULL)
        return FILTER_NEXT;
    if (conf->has_fields)
        rate_limit_add_fields(&ex->response.fields, &ex->arena, state->said, state->at);
    if (state->is_rejected)
        fields_set(&ex->response.fields, &ex->arena, FIELD_RETRY_AFTER,
                   arena_printf(&ex->arena, "%" PRIu64, retry_s > 0 ? retry_s : 1));
    return FILTER_NEXT;
}

/* ---- the end */

static void
end(const void *arg, void *memory, struct exchange *ex)
{
    struct rate_limit_state *state = memory;
    struct traffic traffic = { 0 };

    if (state->ex == NULL)
        return;
    stop_waiting(arg, state);
    if (ex->down == NULL) /* it is a tunnel from now on */
        return;
    ex->down->ops->count(ex, &traffic);
    for (unsigned i = 0; i < state->at; i++)
        limit_hold_give_back(&state->taken[i].hold, traffic.content_in + traffic.content_out,
                             loop_now_ms(ex->worker->loop));
}

const struct filter_ops rate_limit_filter = {
    .name = "rate_limit",
    .text = "Lets requests through as limits say.",
    .options = options,
    .conf_bytes = sizeof(struct rate_limit_conf),
    .state_bytes = sizeof(struct rate_limit_state),
    .counts = &counts,
    .finish = finish,
    .adopt = adopt,
    .request_head = request_head,
    .deliver_head = deliver_head,
    .end = end,
};
