/* SPDX-License-Identifier: BSD-2-Clause */
/* hypothesis.c - takes a stand-in exchange along the steps of the road that decide. */
#include "config.h"

#include "modes/hypothesis_inside.h"

#include "filters/pipeline.h"
#include "modes/judge_inside.h"
#include "modes/port.h"
#include "modes/site_route.h"
#include "server/base/clock.h"
#include "server/http/uri.h"
#include "server/net/listener.h"
#include "server/snapshot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (8u << 20)

/* Nothing is ever sent to it. */
static const struct downstream_ops stand_in_ops = { .protocol = "HTTP/1.1" };

void
hypothesis_note(struct hypothesis *h, const char *format, ...)
{
    char text[512];
    va_list args;

    if (h->note_count == HYPOTHESIS_NOTES_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    h->notes[h->note_count++] = arena_copy(&h->ex.arena, slice_of(text));
}

/* ---- steps of modes */

static struct slice
last_objection(const struct exchange *ex)
{
    struct slice what = slice_make("", 0);

    for (const struct decision *d = ex->decisions; d != NULL; d = d->next)
        if (d->kind == DECISION_DENY)
            what = d->what;
    return what;
}

/* A step of the mode. False: it answered. */
static bool
pass(struct hypothesis *h, enum step step)
{
    const struct exchange *ex = &h->ex;

    if (step == STEP_NEXT)
        return true;
    h->outcome = ex->end == END_ANSWERED ? OUTCOME_ALLOW : OUTCOME_DENY;
    h->status = ex->response.status;
    h->reason = last_objection(ex);
    h->location = fields_get(&ex->response.fields, FIELD_LOCATION);
    return false;
}

/* What the client's TLS has shown is not known, so it counts as what the site wants. */
static bool
route(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;
    enum step step;

    if (h->client.is_tls)
        ex->down = NULL;
    step = ex->listener->mode->route(ex);
    ex->down = &h->down;
    return pass(h, step);
}

static bool
find_path(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;

    if (ex->request.method == METHOD_CONNECT || ex->request.form == TARGET_ASTERISK)
        return true;
    ex->normal_path = uri_normal_path(ex->request.path, &ex->arena);
    if (ex->normal_path.data != NULL)
        return true;
    h->outcome = OUTCOME_DENY;
    h->status = 400;
    h->reason = SLICE("the path of the URL is malformed");
    return false;
}

/* ---- the destination */

/* Addresses in URLs are known. */
static void
find_destination(struct hypothesis *h)
{
    struct ip ip;

    h->destination = h->question->destination;
    if (h->ex.to.host.bytes > 0 && ip_parse(h->ex.to.host, &ip))
        h->destination = ip;
}

/* The mode's own guard, which is asked about every address. */
static bool
may_connect(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;

    if (h->destination.family == 0 || ex->to.group != NULL || ex->to.parent != NULL ||
        ex->to.may_connect == NULL)
        return true;
    ex->decisions = NULL;
    ex->last_decision = &ex->decisions;
    if (ex->to.may_connect(&h->destination, ex))
        return true;
    h->outcome = OUTCOME_DENY;
    h->status = 403;
    h->reason = last_objection(ex);
    return false;
}

/* ---- the response */

static void
set_response(struct hypothesis *h)
{
    const struct question *q = h->question;
    struct response *response = &h->ex.response;
    uint64_t length;

    *response = (struct response){ .status = q->status, .minor_version = 1,
                                   .length = LENGTH_UNKNOWN };
    for (unsigned i = 0; i < q->response_field_count; i++) {
        struct slice line = q->response_fields[i];
        size_t colon = (size_t)slice_find(line, ':');
        struct slice value = slice_trim(slice_skip(line, colon + 1));

        fields_add_name(&response->fields, &h->ex.arena, slice_make(line.data, colon), value);
    }
    if (slice_to_u64(fields_get(&response->fields, FIELD_CONTENT_LENGTH), UINT64_MAX - 1, &length))
        response->length = length;
}

/* ---- filters */

/* Those that can say beforehand whom they keep out. */
static bool
pass_filters(struct hypothesis *h)
{
    struct filter_objection objection;

    if (!h->is_served && h->snapshot->conf.bans.count > 0)
        hypothesis_note(h, "who is banned only the daemon knows, which --control PATH asks");
    if (!h->is_served || !pipeline_objects(&h->ex, &objection))
        return true;
    h->outcome = objection.status > 0 ? OUTCOME_DENY : OUTCOME_DROP;
    h->status = (uint16_t)objection.status;
    h->reason = objection.why;
    h->decider = NULL;
    h->rule = NULL;
    return false;
}

/* ---- the way */

/* Where it goes, by the mode and by effects of rules. */
static bool
find_way(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;
    const struct listener_conf *listener = ex->listener;

    if (!pass(h, listener->mode->judge(ex)) || !find_path(h) ||
        !hypothesis_judge(h, listener->policy, "listener", listener->name) || !route(h))
        return false;
    if (ex->site != NULL && !hypothesis_judge(h, ex->site->policy, "site", ex->site->name))
        return false;
    return ex->judgement == NULL || pass(h, judge_route(ex));
}

/* Effects of rules that had to wait. */
static bool
carry_out(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;

    return ex->judgement == NULL || (pass(h, judge_route(ex)) && pass(h, judge_tell(ex)));
}

/* True: what is known lets it pass. */
static bool
go_to_upstream(struct hypothesis *h)
{
    struct exchange *ex = &h->ex;

    if (!find_way(h))
        return false;
    if (fields_has(&ex->request.fields, FIELD_CONNECTION))
        fields_remove_hop_by_hop(&ex->request.fields);
    if (!pass(h, ex->listener->mode->prepare(ex)) || !pass(h, judge_tell(ex)) ||
        !pass_filters(h) || !pass(h, site_answer(ex)))
        return false;
    find_destination(h);
    return hypothesis_learn(h, STAGE_DESTINATION) && carry_out(h) && may_connect(h);
}

static void
think(struct hypothesis *h)
{
    if (!go_to_upstream(h)) {
        if (h->outcome == OUTCOME_CHALLENGE)
            (void)pass_filters(h); /* who is kept out is not asked, either */
        return;
    }
    hypothesis_choose(h);
    hypothesis_look_up(h);
    set_response(h);
    if (h->ex.request.method == METHOD_CONNECT && !hypothesis_learn(h, STAGE_SNI))
        return;
    if (!hypothesis_learn(h, STAGE_RESPONSE))
        return;
    hypothesis_wait(h);
    if (h->outcome == OUTCOME_UNSAID)
        h->outcome = OUTCOME_ALLOW;
}

static void
think_of_flow(struct hypothesis *h)
{
    const struct listener_conf *listener = h->ex.listener;

    if (!listener_allows(listener, &h->ex.client_ip)) {
        h->outcome = OUTCOME_DENY;
        h->reason = SLICE("client is not in allow_client");
        return;
    }
    hypothesis_judge_flow(h);
    if (h->outcome != OUTCOME_UNSAID)
        return;
    if (h->ex.to.group == NULL)
        h->ex.to.group = port_group(listener);
    hypothesis_choose(h);
    h->outcome = OUTCOME_ALLOW;
}

/* ---- its life */

static int
begin(struct hypothesis *h, struct err *err)
{
    struct exchange *ex = &h->ex;

    arena_init(&ex->arena, NULL, ARENA_BYTES);
    block_pool_init(&h->worker.blocks, 0);
    h->worker.loop = loop_new(err);
    if (h->worker.loop == NULL)
        return -1;
    h->worker.counters = &h->counters;
    h->worker.snapshot = h->snapshot;
    h->worker.generation = &h->generation;
    h->generation = (struct generation){ .snapshot = h->snapshot, .worker = &h->worker };
    h->down = (struct downstream){ .ops = &stand_in_ops, .client = &h->client };
    ex->worker = &h->worker;
    ex->generation = &h->generation;
    ex->down = &h->down;
    ex->last_decision = &ex->decisions;
    timer_init(&ex->deadline, NULL);
    h->now_s = h->question->time_s > 0 ? h->question->time_s
                                       : (int64_t)(clock_wall_ms() / 1000);
    return 0;
}

static void
set_client(struct hypothesis *h)
{
    h->client.peer = h->question->client;
    if (!h->question->has_client)
        h->client.peer = (struct ip){ .family = 4, .bytes = { 127, 0, 0, 1 } };
    h->client.local = h->client.peer;
    h->client.is_tls = h->ex.listener->tls.place.line > 0;
    h->ex.client_ip = h->client.peer;
}

struct hypothesis *
hypothesis_new(struct snapshot *snapshot, const struct question *question, bool is_served,
               struct err *err)
{
    struct hypothesis *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    h->snapshot = snapshot_ref(snapshot);
    h->question = question;
    h->is_served = is_served;
    if (begin(h, err) < 0 || hypothesis_ask(h, err) < 0) {
        hypothesis_free(h);
        return NULL;
    }
    set_client(h);
    if (h->is_flow)
        think_of_flow(h);
    else
        think(h);
    if (arena_is_spent(&h->ex.arena)) {
        err_set(err, "out of memory: the request is too large");
        hypothesis_free(h);
        return NULL;
    }
    return h;
}

void
hypothesis_free(struct hypothesis *h)
{
    if (h == NULL)
        return;
    if (h->ex.judgement != NULL)
        judge_end(&h->ex);
    arena_fini(&h->ex.arena);
    if (h->worker.loop != NULL)
        loop_free_all(h->worker.loop);
    block_pool_fini(&h->worker.blocks);
    snapshot_unref(h->snapshot);
    free(h);
}

/* ---- in words */

bool
hypothesis_has(const struct hypothesis *h, const struct rule_conf *rule)
{
    for (unsigned i = 0; i < h->policy_count; i++)
        for (unsigned j = 0; j < h->policies[i].count; j++)
            if (h->policies[i].rules[j].rule == rule)
                return h->policies[i].rules[j].truth == TRUTH_TRUE;
    return false;
}

const char *
hypothesis_stage(enum stage stage)
{
    static const char *const words[STAGE_COUNT] = {
        [STAGE_CONNECTION] = "the connection",
        [STAGE_HEAD] = "the request",
        [STAGE_USER] = "who asks",
        [STAGE_DESTINATION] = "the address of the destination",
        [STAGE_SNI] = "the server name in the tunnel's TLS",
        [STAGE_RESPONSE] = "the origin's response",
    };

    must(stage < STAGE_COUNT);
    return words[stage];
}

/* Of policies that all allow it, the one whose rule said so, or else the last. */
const struct hypothesis_policy *
hypothesis_decider(const struct hypothesis *h, const struct rule_conf **rule)
{
    const struct hypothesis_policy *last = NULL;

    *rule = h->rule;
    if (h->decider != NULL || h->outcome != OUTCOME_ALLOW)
        return h->decider;
    for (unsigned i = 0; i < h->policy_count; i++) {
        last = &h->policies[i];
        *rule = last->verdict.rule;
        if (*rule != NULL)
            break;
    }
    return last;
}

const char *
hypothesis_text(const struct hypothesis *h, char *text)
{
    char id[RULE_ID_BYTES];
    const char *word = outcome_words[h->outcome];
    const struct rule_conf *rule;
    const struct hypothesis_policy *decider = hypothesis_decider(h, &rule);

    if (decider == NULL)
        snprintf(text, HYPOTHESIS_TEXT_BYTES, "%s, by no rule%s%.*s", word,
                 h->reason.bytes > 0 ? ": " : "", SLICE_ARG(h->reason));
    else if (rule == NULL)
        snprintf(text, HYPOTHESIS_TEXT_BYTES, "%s by default of policy %s (%s:%u)", word,
                 decider->conf->name, decider->conf->place.file, decider->conf->place.line);
    else
        snprintf(text, HYPOTHESIS_TEXT_BYTES, "%s by rule %s", word, rule_id(rule, id));
    return text;
}
