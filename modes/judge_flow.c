/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_flow.c - policies for connections that carry no HTTP, or none that is read here. */
#include "config.h"

#include "modes/judge_inside.h"

#include "server/tls/tls_session.h"

#include <stdlib.h>

struct flow_run {
    struct judge_flow *flow;
    struct arena arena; /* for what is made of its certificate */
    struct facts facts;
    const struct rule_conf *over;
    struct slice tags;
    bool is_dry;
};

#define ARENA_BYTES (64u * 1024)

static bool
is_over(const struct limit_conf *limit, const struct facts *facts, void *arg)
{
    struct flow_run *run = arg;
    uint64_t now_ms = loop_now_ms(run->flow->worker->loop);
    struct limit_state state;
    uint64_t key;

    if (run->is_dry || !limit_key(limit, facts, &key)) /* dry: it is in already */
        return false;
    return !limit_take(limit->limit, key, now_ms, &state);
}

/* Whether it is one too many for a limit of the rule. */
static bool
take_limits(struct flow_run *run, const struct rule_conf *rule)
{
    struct judge_flow *flow = run->flow;
    struct limit_state state;

    return !run->is_dry && run->over == NULL &&
           judge_take_all(rule, &run->facts, loop_now_ms(flow->worker->loop), NULL, &flow->holds,
                          &state) != NULL;
}

static void
on_match(const struct rule_conf *rule, void *arg)
{
    const struct judge_effects *effects = rule->effects;
    struct flow_run *run = arg;
    bool is_over = take_limits(run, rule);

    if (rule->log_only) {
        if (is_over || rule->limits[0] == NULL || rule->action != RULE_CONTINUE)
            run->tags = judge_join_trial(&run->arena, run->tags, rule);
        return;
    }
    if (is_over)
        run->over = rule;
    run->tags = judge_join_tags(&run->arena, run->tags, rule);
    if (effects != NULL && effects->group != NULL)
        run->flow->group = effects->group;
}

static const struct policy_hooks hooks = { .is_over = is_over, .on_match = on_match };

/* What there is of a connection. The rest is absent: nothing more is to come. */
static void
find_facts(struct flow_run *run)
{
    const struct judge_flow *flow = run->flow;

    run->facts = (struct facts){
        .known = STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_SNI),
        .arena = &run->arena,
        .listener = slice_of(flow->listener->name),
        .mode = slice_of(flow->listener->mode->name),
        .client = flow->client,
        .now_s = flow->now_s,
        .tls = flow->tls,
        .server_name = flow->tls != NULL ? tls_session_facts(flow->tls)->server_name : flow->name,
    };
    run->facts.tunnel_name = run->facts.server_name;
}

/* False: refused. */
static bool
judge_by(struct flow_run *run, const struct policy_conf *conf)
{
    struct evaluation evaluation = { .policy = conf->policy };
    struct judge_flow *flow = run->flow;
    struct verdict verdict = policy_evaluate(&evaluation, &run->facts, &hooks, run);

    flow->policy = conf;
    if (run->over != NULL) {
        flow->rule = run->over;
        flow->why = "a limit is exceeded";
        return false;
    }
    flow->rule = verdict.rule;
    if (verdict.kind == VERDICT_ALLOW)
        return true;
    flow->why = verdict.rule != NULL ? "denied by rule" : "no rule allows it";
    return false;
}

bool
judge_flow(struct judge_flow *flow, bool is_dry)
{
    const struct policy_conf *of_listener = flow->listener->policy;
    const struct policy_conf *of_site = flow->site != NULL ? flow->site->policy : NULL;
    struct flow_run run = { .flow = flow, .is_dry = is_dry };
    bool is_allowed;

    if (likely(of_listener == NULL && of_site == NULL))
        return true;
    arena_init(&run.arena, &flow->worker->blocks, ARENA_BYTES);
    find_facts(&run);
    is_allowed = (of_listener == NULL || judge_by(&run, of_listener)) &&
                 (of_site == NULL || judge_by(&run, of_site));
    if (run.tags.bytes > 0 && !is_dry)
        flow->tags = strndup(run.tags.data, run.tags.bytes);
    arena_fini(&run.arena);
    return is_allowed;
}

void
judge_flow_end(struct judge_hold *holds, uint64_t bytes, uint64_t now_ms)
{
    while (holds != NULL) {
        struct judge_hold *next = holds->next;

        judge_give_back(holds, bytes, now_ms);
        free(holds);
        holds = next;
    }
}
