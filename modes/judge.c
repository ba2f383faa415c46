/* SPDX-License-Identifier: BSD-2-Clause */
/* judge.c - evaluates the policies of an exchange, and carries out verdicts. */
#include "config.h"

#include "modes/judge_inside.h"

#include "modes/road.h"
#include "server/http/uri.h"
#include "server/policy/exchange_facts.h"

/* ---- verdicts */

static enum step
deny(struct exchange *ex, const struct judge_run *run, const struct rule_conf *rule)
{
    unsigned status = rule != NULL && rule->status > 0 ? (unsigned)rule->status : 403;

    if (rule != NULL)
        exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place, "denied by rule");
    else
        exchange_decide(ex, DECISION_DENY, &run->conf->place, "no rule of policy %s allows it",
                        run->conf->name);
    exchange_answer(ex, status, END_DENIED,
                    rule != NULL && rule->why != NULL ? rule->why
                                                      : "This is not allowed here.");
    return STEP_ANSWER;
}

static enum step
drop(struct exchange *ex, const struct rule_conf *rule)
{
    exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place, "dropped by rule");
    ex->end = END_DENIED;
    if (!ex->judgement->is_dry && ex->tunnel == NULL) /* whose end is the exchange's */
        road_end(ex, false);
    return STEP_DONE;
}

static enum step
redirect(struct exchange *ex, const struct rule_conf *rule)
{
    exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place, "redirected by rule");
    exchange_answer_with(ex, rule->status > 0 ? (unsigned)rule->status : 302, END_DENIED, NULL,
                         slice_make(NULL, 0));
    fields_add(&ex->response.fields, &ex->arena, FIELD_LOCATION, judge_redirect(ex, rule));
    fields_add(&ex->response.fields, &ex->arena, FIELD_CACHE_CONTROL, SLICE("no-store"));
    return STEP_ANSWER;
}

static enum step
refuse_over_limit(struct exchange *ex)
{
    const struct judgement *judgement = ex->judgement;
    const struct rule_conf *rule = judgement->over;
    uint64_t retry_s = judgement->over_state.retry_ms / 1000 + 1;

    counter_up(ex->worker->counters, limits_hit);
    exchange_answer(ex, rule->status > 0 ? (unsigned)rule->status : 429, END_DENIED,
                    rule->why != NULL ? rule->why : "Too many requests: please wait a moment.");
    fields_add(&ex->response.fields, &ex->arena, FIELD_RETRY_AFTER,
               arena_printf(&ex->arena, "%llu", (unsigned long long)retry_s));
    return STEP_ANSWER;
}

static enum step
allow(struct exchange *ex, struct judge_run *run, const struct rule_conf *rule)
{
    if (!run->is_decided && rule != NULL)
        exchange_decide_rule(ex, DECISION_ALLOW, rule->name, &rule->place, "allowed by rule");
    run->is_decided = true;
    return STEP_NEXT;
}

void
judge_use_user(struct facts *facts, const struct judge_run *run)
{
    unsigned bit = STAGE_BIT(STAGE_USER);

    facts->user = run->login.user.name.bytes > 0 ? &run->login.user : NULL;
    facts->known = run->is_user_known ? facts->known | bit : facts->known & ~bit;
    facts->to_come = run->conf->users != NULL ? facts->to_come | bit : facts->to_come & ~bit;
}

enum step
judge_go_on(struct exchange *ex, struct judge_run *run)
{
    struct judgement *judgement = ex->judgement;

    for (;;) {
        struct verdict verdict;
        enum step step;

        judge_use_user(&judgement->facts, run);
        verdict = run->verdict = policy_evaluate(&run->at, &judgement->facts, &judge_hooks, ex);
        if (unlikely(judgement->over != NULL))
            return refuse_over_limit(ex);
        switch (verdict.kind) {
        case VERDICT_ALLOW:
            return allow(ex, run, verdict.rule);
        case VERDICT_DENY:
            return deny(ex, run, verdict.rule);
        case VERDICT_DROP:
            return drop(ex, verdict.rule);
        case VERDICT_REDIRECT:
            return redirect(ex, verdict.rule);
        case VERDICT_CHALLENGE:
            return judge_challenge(ex, run);
        case VERDICT_LEARN:
            if (verdict.wanted != STAGE_USER)
                return STEP_NEXT; /* until the step where that is known */
            step = judge_log_in(ex, run);
            if (step != STEP_NEXT)
                return step;
            break;
        }
    }
}

/* ---- runs */

struct judgement *
judge_begin(struct exchange *ex, const struct tls_session *tls)
{
    struct judgement *judgement = arena_alloc(&ex->arena, sizeof(*judgement));

    if (judgement == NULL)
        return NULL;
    memset(&judgement->run_count, 0,
           sizeof(*judgement) - offsetof(struct judgement, run_count));
    judgement->ex = ex;
    judgement->last_match = &judgement->matches;
    resolve_init(&judgement->resolve, NULL);
    exchange_facts(ex, tls, (int64_t)(loop_wall_ms(ex->worker->loop) / 1000), &judgement->facts);
    ex->judgement = judgement;
    return judgement;
}

struct judge_run *
judge_add_run(struct exchange *ex, const struct policy_conf *conf)
{
    struct judgement *judgement = ex->judgement;
    struct judge_run *run;

    if (judgement == NULL)
        judgement = judge_begin(ex, ex->down != NULL ? ex->down->client->tls : NULL);
    if (judgement == NULL)
        return NULL;
    for (unsigned i = 0; i < judgement->run_count; i++)
        if (judgement->runs[i].conf == conf)
            return &judgement->runs[i];
    must(judgement->run_count < ARRAY_COUNT(judgement->runs));
    run = &judgement->runs[judgement->run_count];
    *run = (struct judge_run){ .conf = conf, .at.policy = conf->policy };
    run->login.is_proxy = judgement->run_count == 0 && ex->listener->mode->is_proxy &&
                          conf == ex->listener->policy;
    judgement->run_count++;
    return run;
}

static enum step
refuse_for_memory(struct exchange *ex)
{
    counter_up(ex->worker->counters, limits_hit);
    exchange_answer(ex, 503, END_LIMIT, NULL);
    return STEP_ANSWER;
}

/* The one form in which rules see the path: what has none is not for them. */
static bool
find_path(struct exchange *ex)
{
    if (ex->normal_path.data != NULL || ex->request.method == METHOD_CONNECT ||
        ex->request.form == TARGET_ASTERISK)
        return true;
    ex->normal_path = uri_normal_path(ex->request.path, &ex->arena);
    if (ex->normal_path.data != NULL)
        return true;
    exchange_answer(ex, 400, END_BAD_REQUEST, "The path of the URL is malformed.");
    return false;
}

/* Most exchanges are allowed, and that was it. */
static bool
has_more_to_do(const struct judgement *judgement, const struct judge_run *run)
{
    return !run->is_decided || judgement->matches != NULL || judgement->bandwidth > 0 ||
           run->conf->users != NULL;
}

static enum step
judge_by(struct exchange *ex, const struct policy_conf *conf)
{
    struct judge_run *run;
    enum step step;

    if (conf == NULL)
        return STEP_NEXT;
    if (!find_path(ex))
        return STEP_ANSWER;
    run = judge_add_run(ex, conf);
    if (run == NULL)
        return refuse_for_memory(ex);
    ex->judgement->facts.path = ex->normal_path;
    step = judge_go_on(ex, run);
    ex->is_judging = ex->is_judging || has_more_to_do(ex->judgement, run);
    return step;
}

enum step
judge_go_on_all(struct exchange *ex, enum stage stage)
{
    struct judgement *judgement = ex->judgement;

    judgement->facts.known |= STAGE_BIT(stage);
    for (unsigned i = 0; i < judgement->run_count; i++) {
        struct judge_run *run = &judgement->runs[i];
        enum step step = run->is_decided ? STEP_NEXT : judge_go_on(ex, run);

        if (step != STEP_NEXT)
            return step;
    }
    return STEP_NEXT;
}

bool
judge_waits_for(const struct judgement *judgement, enum stage stage)
{
    for (unsigned i = 0; judgement != NULL && i < judgement->run_count; i++) {
        const struct verdict *verdict = &judgement->runs[i].verdict;

        if (!judgement->runs[i].is_decided && verdict->kind == VERDICT_LEARN &&
            verdict->wanted == stage)
            return true;
    }
    return false;
}

/* ---- steps */

enum step
judge_listener(struct exchange *ex)
{
    return judge_by(ex, ex->listener->policy);
}

enum step
judge_site(struct exchange *ex)
{
    enum step step = ex->site != NULL ? judge_by(ex, ex->site->policy) : STEP_NEXT;

    return step == STEP_NEXT && ex->is_judging ? judge_route(ex) : step;
}

/* ---- the response */

void
judge_use_connected(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    if (judgement->is_destination_known && ex->upstream_ip.family != 0 && ex->to.group == NULL &&
        ex->to.parent == NULL)
        judgement->facts.destination = ex->upstream_ip;
}

enum step
judge_connected(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    if (!judge_waits_for(judgement, STAGE_DESTINATION))
        return STEP_NEXT;
    if (ex->upstream_ip.family != 0 && ex->to.group == NULL && ex->to.parent == NULL)
        judgement->facts.destination = ex->upstream_ip;
    else if (!judge_find_destination(ex))
        return STEP_WAIT;
    return judge_go_on_all(ex, STAGE_DESTINATION);
}

enum step
judge_response(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;
    enum step step;

    if (ex->end != END_DONE)
        return STEP_NEXT; /* our own */
    judge_use_connected(ex);
    if (judge_waits_for(judgement, STAGE_RESPONSE)) {
        judgement->facts.response = &ex->response;
        step = judge_go_on_all(ex, STAGE_RESPONSE);
        if (step != STEP_NEXT)
            return step;
    }
    return judge_connected(ex);
}

/* ---- the end */

struct slice
judge_tags(const struct exchange *ex)
{
    return ex->judgement != NULL ? ex->judgement->tags : slice_make(NULL, 0);
}

bool
judge_is_personal(const struct exchange *ex)
{
    return ex->judgement != NULL && ex->judgement->is_personal;
}

void
judge_stop(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    if (judgement == NULL)
        return;
    resolve_cancel(&judgement->resolve);
    for (unsigned i = 0; i < judgement->run_count; i++) {
        struct judge_run *run = &judgement->runs[i];

        if (run->is_logging_in && run->conf->users->ops->cancel != NULL)
            run->conf->users->ops->cancel(run->conf->users, &run->login, ex);
        run->is_logging_in = false;
    }
}

void
judge_end(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;
    struct traffic traffic = { 0 };
    uint64_t bytes, now_ms;

    judge_stop(ex);
    if (judgement == NULL || judgement->holds == NULL)
        return;
    if (ex->down != NULL)
        ex->down->ops->count(ex, &traffic);
    bytes = traffic.content_in + traffic.content_out + ex->tunnel_bytes_up +
            ex->tunnel_bytes_down;
    now_ms = loop_now_ms(ex->worker->loop);
    for (struct judge_hold *hold = judgement->holds; hold != NULL; hold = hold->next)
        judge_give_back(hold, bytes, now_ms);
}
