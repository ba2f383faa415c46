/* SPDX-License-Identifier: BSD-2-Clause */
/* hypothesis_judge.c - policies evaluated on what is only thought of.
 *
 * The same evaluator and the same facts as modes/judge.c has; but rules are listened
 * to, limits are looked at, and a user is whoever the question says.
 */
#include "config.h"

#include "modes/hypothesis_inside.h"

#include "modes/judge_inside.h"
#include "server/policy/exchange_facts.h"

/* What the hooks get. */
struct listening {
    struct hypothesis *h;
    struct hypothesis_policy *policy;
};

/* ---- what the evaluator tells */

static struct limit_state
look(const struct hypothesis *h, const struct limit_conf *limit, const struct facts *facts)
{
    struct limit_state state = { 0 };
    uint64_t key;

    if (h->is_served && limit->limit != NULL && limit_key(limit, facts, &key))
        limit_look(limit->limit, key, loop_now_ms(h->worker.loop), &state);
    return state;
}

static bool
is_over(const struct limit_conf *limit, const struct facts *facts, void *arg)
{
    struct listening *listening = arg;

    return look(listening->h, limit, facts).is_over;
}

/* A rule that waited is tried again: its last word counts. */
static void
on_rule(const struct rule_conf *rule, enum truth truth, struct slice why, void *arg)
{
    struct listening *listening = arg;
    struct hypothesis_policy *policy = listening->policy;
    struct hypothesis_rule *last = policy->count > 0 ? &policy->rules[policy->count - 1] : NULL;

    if (last == NULL || last->rule != rule) {
        must(policy->count < policy->conf->rules.count);
        last = &policy->rules[policy->count++];
    }
    *last = (struct hypothesis_rule){ rule, truth, arena_copy(&listening->h->ex.arena, why) };
}

static void
refuse_over_limit(struct listening *listening, const struct rule_conf *rule,
                  const struct limit_conf *limit)
{
    struct hypothesis *h = listening->h;

    if (h->outcome != OUTCOME_UNSAID)
        return;
    h->outcome = OUTCOME_DENY;
    h->status = rule->status > 0 ? (uint16_t)rule->status : 429;
    h->decider = listening->policy;
    h->rule = rule;
    h->reason = arena_printf(&h->ex.arena, "limit %s is exceeded", limit->name);
}

/* The only effect that there is for connections without HTTP. */
static void
send_elsewhere(struct hypothesis *h, const struct rule_conf *rule)
{
    const struct judge_effects *effects = rule->effects;

    if (effects != NULL && effects->group != NULL)
        h->ex.to.group = effects->group;
}

static void
on_match(const struct rule_conf *rule, void *arg)
{
    struct listening *listening = arg;
    struct hypothesis *h = listening->h;

    if (rule->log_only)
        return;
    for (const struct limit_conf **limit = rule->limits; limit != NULL && *limit != NULL; limit++)
        if (look(h, *limit, &h->facts).is_over)
            refuse_over_limit(listening, rule, *limit);
    if (h->is_flow)
        send_elsewhere(h, rule);
    else
        judge_note_effects(&h->ex, rule); /* for judge_route() and others */
}

static const struct policy_hooks hooks = {
    .is_over = is_over,
    .on_match = on_match,
    .on_rule = on_rule,
};

/* ---- verdicts */

static void
decide(struct hypothesis *h, const struct hypothesis_policy *policy, enum outcome outcome,
       unsigned status)
{
    h->outcome = outcome;
    h->status = (uint16_t)status;
    h->decider = policy;
    h->rule = policy->verdict.rule;
}

static unsigned
status_of(const struct rule_conf *rule, unsigned usual)
{
    return rule != NULL && rule->status > 0 ? (unsigned)rule->status : usual;
}

static void
challenge(struct hypothesis *h, const struct hypothesis_policy *policy, bool is_proxy)
{
    const struct users_conf *users = policy->conf->users;

    if (users != NULL && users->ops->challenge == NULL) {
        decide(h, policy, OUTCOME_DENY, 403);
        h->reason = SLICE("nobody has proved who asks");
        return;
    }
    decide(h, policy, OUTCOME_CHALLENGE, is_proxy ? 407 : 401);
    h->reason = SLICE("nobody has said who asks");
}

/* False: it is decided. */
static bool
take_verdict(struct hypothesis *h, struct hypothesis_policy *policy, bool is_proxy)
{
    const struct rule_conf *rule = policy->verdict.rule;

    policy->is_waiting = false;
    if (h->outcome != OUTCOME_UNSAID)
        return false; /* over a limit */
    switch (policy->verdict.kind) {
    case VERDICT_ALLOW:
        return true;
    case VERDICT_DENY:
        decide(h, policy, OUTCOME_DENY, status_of(rule, 403));
        return false;
    case VERDICT_DROP:
        decide(h, policy, OUTCOME_DROP, 0);
        return false;
    case VERDICT_REDIRECT:
        decide(h, policy, OUTCOME_REDIRECT, status_of(rule, 302));
        if (h->ex.judgement != NULL && rule->effects != NULL)
            h->location = judge_redirect(&h->ex, rule);
        return false;
    case VERDICT_CHALLENGE:
        challenge(h, policy, is_proxy);
        return false;
    case VERDICT_LEARN:
        policy->is_waiting = policy->verdict.wanted != STAGE_USER;
        if (!policy->is_waiting)
            challenge(h, policy, is_proxy);
        return policy->is_waiting;
    }
    return true;
}

/* ---- HTTP */

/* Kinds that cannot ask know at once that there is nobody. */
static void
set_user(struct hypothesis *h, struct judge_run *run)
{
    const struct question *q = h->question;
    const struct users_conf *users = run->conf->users;

    if (users == NULL)
        return;
    run->is_user_known = q->user.bytes > 0 || users->ops->challenge == NULL;
    run->login.user = (struct user){ .name = q->user, .groups = q->groups,
                                     .group_count = q->group_count, .by = "explain" };
    if (q->user.bytes > 0)
        h->ex.user = &run->login.user;
}

static bool
go_on(struct hypothesis *h, struct hypothesis_policy *policy)
{
    struct judge_run *run = judge_add_run(&h->ex, policy->conf);
    struct listening listening = { h, policy };

    if (run == NULL)
        return true; /* the arena knows */
    judge_use_user(&h->facts, run);
    h->ex.judgement->facts = h->facts;
    policy->verdict = policy_evaluate(&run->at, &h->facts, &hooks, &listening);
    return take_verdict(h, policy, run->login.is_proxy);
}

static struct hypothesis_policy *
add_policy(struct hypothesis *h, const struct policy_conf *conf, const char *whose,
           const char *owner)
{
    struct hypothesis_policy *policy = &h->policies[h->policy_count];
    size_t rules = conf->rules.count;

    for (unsigned i = 0; i < h->policy_count; i++)
        if (h->policies[i].conf == conf)
            return NULL; /* the listener's is the site's too */
    must(h->policy_count < ARRAY_COUNT(h->policies));
    *policy = (struct hypothesis_policy){ .conf = conf, .whose = whose, .owner = owner };
    policy->rules = arena_zalloc(&h->ex.arena, (rules > 0 ? rules : 1) * sizeof(*policy->rules));
    if (policy->rules == NULL)
        return NULL;
    h->policy_count++;
    return policy;
}

static void
set_facts(struct hypothesis *h)
{
    const struct question *q = h->question;
    struct facts *facts = &h->facts;

    exchange_facts(&h->ex, NULL, h->now_s, facts);
    if (h->ex.request.method == METHOD_CONNECT || !h->client.is_tls)
        return;
    facts->server_name = q->has_server_name ? q->server_name : h->ex.request.host;
    facts->tunnel_name = facts->server_name;
}

bool
hypothesis_judge(struct hypothesis *h, const struct policy_conf *conf, const char *whose,
                 const char *owner)
{
    struct hypothesis_policy *policy;
    struct judge_run *run;

    if (conf == NULL)
        return true;
    policy = add_policy(h, conf, whose, owner);
    if (policy == NULL)
        return true;
    if (h->policy_count == 1)
        set_facts(h);
    run = judge_add_run(&h->ex, conf);
    if (run == NULL)
        return true;
    h->ex.judgement->is_dry = true;
    h->ex.is_judging = true;
    set_user(h, run);
    if (h->question->user.bytes > 0 && conf->users == NULL)
        hypothesis_note(h, "policy %s has no users: to its rules nobody is known", conf->name);
    return go_on(h, policy);
}

static bool
is_told(struct hypothesis *h, enum stage stage)
{
    const struct question *q = h->question;
    struct facts *facts = &h->facts;

    switch (stage) {
    case STAGE_DESTINATION:
        /* Behind a group or a parent proxy nobody knows it, and rules see none. */
        if (h->ex.to.group == NULL && h->ex.to.parent == NULL)
            facts->destination = h->destination;
        facts->destination.port = h->ex.request.port;
        return facts->destination.family != 0 || h->ex.to.group != NULL ||
               h->ex.to.parent != NULL;
    case STAGE_SNI:
        facts->tunnel_name = q->server_name;
        return q->has_server_name;
    case STAGE_RESPONSE:
        facts->response = &h->ex.response;
        return q->status > 0;
    case STAGE_CONNECTION:
    case STAGE_HEAD:
    case STAGE_USER:
    case STAGE_COUNT:
        break;
    }
    return true;
}

bool
hypothesis_learn(struct hypothesis *h, enum stage stage)
{
    if (h->policy_count == 0 || !is_told(h, stage))
        return true;
    h->facts.known |= STAGE_BIT(stage);
    for (unsigned i = 0; i < h->policy_count; i++)
        if (h->policies[i].is_waiting && !go_on(h, &h->policies[i]))
            return false;
    return true;
}

void
hypothesis_wait(struct hypothesis *h)
{
    for (unsigned i = 0; i < h->policy_count; i++) {
        const struct hypothesis_policy *policy = &h->policies[i];

        if (!policy->is_waiting)
            continue;
        decide(h, policy, OUTCOME_WAIT, 0);
        h->reason = arena_printf(&h->ex.arena, "%s decides", hypothesis_stage(
                                                                 policy->verdict.wanted));
        return;
    }
}

/* ---- connections without HTTP */

void
hypothesis_judge_flow(struct hypothesis *h)
{
    const struct listener_conf *listener = h->ex.listener;
    const struct question *q = h->question;
    struct evaluation at = { .policy = NULL };
    struct hypothesis_policy *policy;
    struct listening listening = { h, NULL };

    if (listener->policy == NULL)
        return;
    policy = add_policy(h, listener->policy, "listener", listener->name);
    if (policy == NULL)
        return;
    h->facts = (struct facts){
        .known = STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_SNI),
        .arena = &h->ex.arena,
        .listener = slice_of(listener->name),
        .mode = slice_of(listener->mode->name),
        .client = h->ex.client_ip,
        .now_s = h->now_s,
        .server_name = q->server_name,
        .tunnel_name = q->server_name,
    };
    at.policy = listener->policy->policy;
    listening.policy = policy;
    policy->verdict = policy_evaluate(&at, &h->facts, &hooks, &listening);
    take_verdict(h, policy, false);
}
