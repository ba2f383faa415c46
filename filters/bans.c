/* SPDX-License-Identifier: BSD-2-Clause */
/* bans.c - keeps out who is banned, and counts what makes a ban.
 *
 *     request_head: is the key in the table? --no--> on
 *                       | yes
 *                       +-- deny:   403
 *                       +-- drop:   the connection (HTTP/2: the stream) ends without an answer
 *                       '-- tarpit: 403 after a while; when too many wait, at once
 *     deliver_head: the same for answers that ask for credentials, from before the filters'
 *                   turn: who is banned is not told which passwords are wrong
 *     end:          was the answer one that counts? --yes--> one failure more in the table
 *
 * An exchange that was kept out counts as nothing more: a ban is not made longer by those
 * who go on trying.
 */
#include "config.h"

#include "filters/bans.h"

#include "filters/exchange_key.h"
#include "server/log/escape.h"
#include "server/policy/ban_table.h"

#include <stdio.h>

#define STATUS_FIRST 400
#define STATUS_COUNT 200 /* 400 to 599 */
#define HOLD_LOOK_MS 1024u /* how often is looked whether the process is to stop */

enum action { ACTION_DENY, ACTION_DROP, ACTION_TARPIT };

struct bans_conf {
    struct filter_conf filter;
    const char *table_name;
    struct strings count;
    int action;           /* enum action */
    uint32_t delay_ms;
    int64_t max_delayed;
    bool is_trial;
    const struct ban_conf *ban;
    bool counts_limits, counts_bad_requests;
    bool counts_status[STATUS_COUNT];
};

struct bans_state {
    struct timer timer;
    struct exchange *ex;
    struct ban_table *tarpit; /* it is one of those held back */
    uint64_t until_ms;        /* for so long */
    bool is_kept_out;
    bool was_held;            /* and the time is over */
    bool is_late;             /* looked at on the side of delivery */
};

enum event { EVENT_COUNTED, EVENT_BANNED, EVENT_DENIED, EVENT_DROPPED, EVENT_TARPITTED,
             EVENT_WOULD_DENY };

static struct filter_counts counts = {
    .events = { [EVENT_COUNTED] = "counted", [EVENT_BANNED] = "banned",
                [EVENT_DENIED] = "denied", [EVENT_DROPPED] = "dropped",
                [EVENT_TARPITTED] = "tarpitted", [EVENT_WOULD_DENY] = "would_deny" },
};

/* ---- configuration */

static const char *const action_words[] = {
    [ACTION_DENY] = "deny",
    [ACTION_DROP] = "drop",
    [ACTION_TARPIT] = "tarpit",
    NULL,
};

static const struct option options[] = {
    { .name = "table", .type = OPTION_STRING, .offset = offsetof(struct bans_conf, table_name),
      .is_required = true, .text = "Name of a table in bans: who is in it is kept out." },
    { .name = "count", .type = OPTION_STRINGS, .offset = offsetof(struct bans_conf, count),
      .text = "Answers that count as failures: \"401\", \"4xx\", \"5xx\", limit (429, or it "
              "asked for more than one request may have) and bad_request (it was malformed). "
              "Without it nothing counts here." },
    { .name = "action", .type = OPTION_ENUM, .offset = offsetof(struct bans_conf, action),
      .words = action_words, .fallback = "deny",
      .text = "What is done with who is banned: deny (403), drop (no answer, and the end of the "
              "connection) or tarpit (403 after delay)." },
    { .name = "delay", .type = OPTION_TIME, .offset = offsetof(struct bans_conf, delay_ms),
      .fallback = "10s", .min = 1, .max = 3600 * 1000,
      .text = "With tarpit: how long an answer takes." },
    { .name = "max_delayed", .type = OPTION_INT, .offset = offsetof(struct bans_conf, max_delayed),
      .fallback = "1000", .min = 1, .max = 1000000,
      .text = "With tarpit: requests that wait at a time; the next one is answered at once." },
    { .name = "log_only", .type = OPTION_BOOL, .offset = offsetof(struct bans_conf, is_trial),
      .fallback = "false",
      .text = "Nobody is kept out here; who would be is told in the log. Failures count, and may "
              "ban." },
    { .name = NULL },
};

static int
add_status(struct bans_conf *conf, struct slice word, struct err *err)
{
    uint64_t status;

    if (slice_equal(word, SLICE("4xx")) || slice_equal(word, SLICE("5xx"))) {
        memset(conf->counts_status + (word.data[0] == '4' ? 0 : 100), true, 100);
        return 0;
    }
    if (!slice_to_u64(word, STATUS_FIRST + STATUS_COUNT - 1, &status) || status < STATUS_FIRST)
        return err_set(err, "count: \"%.*s\" is none of a status from 400 to 599, 4xx, 5xx, limit "
                       "and bad_request", SLICE_ARG(word));
    conf->counts_status[status - STATUS_FIRST] = true;
    return 0;
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct bans_conf *conf = arg;

    (void)arena;
    conf->ban = bans_find(all, conf->table_name, err);
    if (conf->ban == NULL)
        return err_prefix(err, "table: ");
    for (size_t i = 0; i < conf->count.count; i++) {
        struct slice word = conf->count.items[i];

        if (slice_equal(word, SLICE("limit")))
            conf->counts_limits = true;
        else if (slice_equal(word, SLICE("bad_request")))
            conf->counts_bad_requests = true;
        else if (add_status(conf, word, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- who is kept out */

/* Timers come in few lengths: powers of two, the longest that is not too long. */
static void
go_on_holding(struct bans_state *state, uint64_t now_ms)
{
    uint64_t ms = state->until_ms - now_ms;

    if (ms > HOLD_LOOK_MS)
        ms = HOLD_LOOK_MS;
    timer_arm(state->ex->worker->loop, &state->timer, 1u << (63 - __builtin_clzll(ms)));
}

/* Who is banned does not keep the process from stopping. */
static void
on_due(struct timer *timer)
{
    struct bans_state *state = container_of(timer, struct bans_state, timer);
    uint64_t now_ms = loop_now_ms(state->ex->worker->loop);

    if (state->until_ms > now_ms && !state->ex->worker->is_draining) {
        go_on_holding(state, now_ms);
        return;
    }
    state->was_held = true;
    state->ex->road->on_resume(state->ex);
}

static void
stop_holding(struct bans_state *state)
{
    timer_disarm(&state->timer);
    if (state->tarpit == NULL)
        return;
    ban_tarpit_leave(state->tarpit);
    ban_table_unref(state->tarpit);
    state->tarpit = NULL;
}

static enum filter_verdict
deny(struct bans_state *state)
{
    struct exchange *ex = state->ex;

    stop_holding(state);
    ex->request.wants_close = true;
    exchange_answer(ex, 403, END_DENIED, "Access is blocked for a while.");
    return FILTER_ANSWER;
}

/* The road ends with this hook. */
static enum filter_verdict
drop(struct bans_state *state)
{
    filter_count(state->ex, &counts, EVENT_DROPPED, 1);
    state->ex->road->on_client_gone(state->ex, END_DENIED);
    return FILTER_WAIT;
}

static enum filter_verdict
hold(const struct bans_conf *conf, struct bans_state *state)
{
    struct exchange *ex = state->ex;

    if (!ban_tarpit_enter(conf->ban->table, (unsigned)conf->max_delayed)) {
        filter_count(ex, &counts, EVENT_DENIED, 1);
        return deny(state);
    }
    state->tarpit = ban_table_ref(conf->ban->table);
    filter_count(ex, &counts, EVENT_TARPITTED, 1);
    state->until_ms = loop_now_ms(ex->worker->loop) + conf->delay_ms;
    go_on_holding(state, loop_now_ms(ex->worker->loop));
    return FILTER_WAIT;
}

static enum filter_verdict
keep_out(const struct bans_conf *conf, struct bans_state *state)
{
    struct exchange *ex = state->ex;

    state->is_kept_out = true;
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "bans: banned by %s",
                    conf->ban->name);
    switch ((enum action)conf->action) {
    case ACTION_DENY:
        break;
    case ACTION_DROP:
        return drop(state);
    case ACTION_TARPIT:
        return hold(conf, state);
    }
    filter_count(ex, &counts, EVENT_DENIED, 1);
    return deny(state);
}

/* 0: it is not banned. */
static uint64_t
banned_until(const struct bans_conf *conf, struct exchange *ex)
{
    struct ban_key key;
    struct facts facts;
    uint64_t until_ms;

    exchange_key_facts(ex, &facts);
    if (!ban_key_of(conf->ban, &facts, &key))
        return 0;
    until_ms = ban_until(conf->ban->table, key.hash, loop_wall_ms(ex->worker->loop));
    return until_ms > 0 && !ban_is_exempt(conf->ban, &ex->client_ip) ? until_ms : 0;
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct bans_conf *conf = arg;
    struct bans_state *state = memory;

    if (state->ex != NULL)
        return state->was_held ? deny(state) : FILTER_WAIT;
    timer_init(&state->timer, on_due);
    state->ex = ex;
    if (likely(banned_until(conf, ex) == 0))
        return FILTER_NEXT;
    if (!conf->is_trial)
        return keep_out(conf, state);
    state->is_kept_out = true;
    filter_count(ex, &counts, EVENT_WOULD_DENY, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "bans: would be kept out by %s",
                    conf->ban->name);
    return FILTER_NEXT;
}

static bool
objects(const void *arg, struct exchange *ex, struct filter_objection *objection)
{
    const struct bans_conf *conf = arg;
    uint64_t until_ms = conf->is_trial ? 0 : banned_until(conf, ex);
    char until[32];

    if (until_ms == 0)
        return false;
    objection->status = conf->action == ACTION_DROP ? 0 : 403;
    text_time_iso(until, until_ms);
    objection->why = arena_printf(&ex->arena, "banned by %s (%s:%u) until %.10s %.8s UTC",
                                  conf->ban->name, conf->filter.place.file,
                                  conf->filter.place.line, until, until + 11);
    return true;
}

/* A policy that asks for credentials stands before the filters of requests. */
static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    struct bans_state *state = memory;
    unsigned status = ex->response.status;

    if (state->ex == NULL && (status == 401 || status == 407))
        state->is_late = true;
    return state->is_late ? request_head(arg, memory, ex) : FILTER_NEXT;
}

/* ---- what counts */

/* Statuses from 500 on say that we are short of something: others may have taken it. */
static const char *
cause(const struct bans_conf *conf, const struct exchange *ex, char text[BAN_CAUSE_BYTES])
{
    unsigned status = ex->response.status;

    if (conf->counts_limits && (status == 429 || (ex->end == END_LIMIT && status < 500)))
        return "over a limit";
    if (conf->counts_bad_requests && ex->end == END_BAD_REQUEST)
        return "bad request";
    if (status < STATUS_FIRST || status >= STATUS_FIRST + STATUS_COUNT ||
        !conf->counts_status[status - STATUS_FIRST])
        return NULL;
    snprintf(text, BAN_CAUSE_BYTES, "status %u", status);
    return text;
}

static void
count_failure(const struct bans_conf *conf, struct exchange *ex, const char *why)
{
    struct ban_key key;
    struct facts facts;

    exchange_key_facts(ex, &facts);
    if (!ban_key_of(conf->ban, &facts, &key) || ban_is_exempt(conf->ban, &ex->client_ip))
        return;
    filter_count(ex, &counts, EVENT_COUNTED, 1);
    if (ban_count(conf->ban, &key, loop_wall_ms(ex->worker->loop), why))
        filter_count(ex, &counts, EVENT_BANNED, 1);
}

static void
end(const void *arg, void *memory, struct exchange *ex)
{
    const struct bans_conf *conf = arg;
    struct bans_state *state = memory;
    char text[BAN_CAUSE_BYTES];
    const char *why;

    if (state->ex != NULL)
        stop_holding(state);
    if (state->is_kept_out || ex->down == NULL || !ex->is_answered)
        return;
    why = cause(conf, ex, text);
    if (why != NULL)
        count_failure(conf, ex, why);
}

const struct filter_ops bans_filter = {
    .name = "bans",
    .text = "Keeps out who is banned, and bans who fails too often.",
    .options = options,
    .conf_bytes = sizeof(struct bans_conf),
    .state_bytes = sizeof(struct bans_state),
    .counts = &counts,
    .finish = finish,
    .request_head = request_head,
    .deliver_head = deliver_head,
    .end = end,
    .objects = objects,
};
