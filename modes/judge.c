/* SPDX-License-Identifier: BSD-2-Clause */
/* judge.c - evaluates the policies of an exchange, and carries out verdicts. */
#include "config.h"

#include "modes/judge_inside.h"

#include "modes/reach.h"
#include "modes/road.h"
#include "server/http/uri.h"
#include "server/tls/tls_session.h"

/* ---- facts */

void
judge_facts(const struct exchange *ex, const struct tls_session *tls, int64_t now_s,
            struct facts *facts)
{
    const struct request *request = &ex->request;
    bool is_connect = request->method == METHOD_CONNECT;

    *facts = (struct facts){
        .known = STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_HEAD),
        .to_come = STAGE_BIT(STAGE_USER) | STAGE_BIT(STAGE_DESTINATION) |
                   STAGE_BIT(STAGE_RESPONSE),
        .arena = (struct arena *)&ex->arena,
        .listener = slice_of(ex->listener->name),
        .mode = slice_of(ex->listener->mode->name),
        .client = ex->client_ip,
        .now_s = now_s,
        .tls = tls,
        .request = request,
        .host = request->host,
        .port = request->port,
        .path = ex->normal_path,
        .query = request->query,
    };
    if (tls != NULL)
        facts->server_name = tls_session_facts(tls)->server_name;
    if (is_connect) { /* whose response is our own */
        facts->to_come |= STAGE_BIT(STAGE_SNI);
        facts->to_come &= ~STAGE_BIT(STAGE_RESPONSE);
        return;
    }
    facts->known |= STAGE_BIT(STAGE_SNI); /* which is that of the client's own TLS */
    facts->tunnel_name = facts->server_name;
}

/* ---- rules that are true */

static const char *
action_word(const struct rule_conf *rule)
{
    switch ((enum rule_action)rule->action) {
    case RULE_CONTINUE:
        return "goes on";
    case RULE_ALLOW:
        return "allowed";
    case RULE_DENY:
        return "denied";
    case RULE_DROP:
        return "dropped";
    case RULE_REDIRECT:
        return "redirected";
    case RULE_AUTHENTICATE:
        return "asked who it is";
    }
    return "";
}

/* Its limits are taken: over one of them the exchange is refused. */
static void
take_limits(struct exchange *ex, const struct rule_conf *rule)
{
    struct judgement *judgement = ex->judgement;
    uint64_t now_ms = loop_now_ms(ex->worker->loop);

    for (const struct limit_conf **limit = rule->limits; *limit != NULL; limit++) {
        struct judge_hold hold = { 0 }, *kept;
        struct limit_state state = { 0 };
        bool is_in = judge_take(*limit, &judgement->facts, now_ms, &hold, &state);

        kept = hold.limit != NULL ? arena_alloc(&ex->arena, sizeof(*kept)) : NULL;
        if (kept != NULL) {
            *kept = hold;
            kept->next = judgement->holds;
            judgement->holds = kept;
        } else if (hold.limit != NULL) {
            judge_give_back(&hold, 0, now_ms);
        }
        if (is_in)
            continue;
        if (rule->log_only) {
            exchange_decide_rule(ex, DECISION_RULE, rule->name, &rule->place,
                                 "log only: limit %s is exceeded", (*limit)->name);
        } else if (judgement->over == NULL) {
            exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place,
                                 "limit %s is exceeded", (*limit)->name);
            judgement->over = rule;
            judgement->over_state = state;
        }
    }
}

static void
add_tags(struct exchange *ex, const struct rule_conf *rule)
{
    struct judgement *judgement = ex->judgement;

    for (size_t i = 0; i < rule->tags.count; i++)
        judgement->tags = arena_printf(&ex->arena, "%.*s%s%.*s", SLICE_ARG(judgement->tags),
                                       judgement->tags.bytes > 0 ? "," : "",
                                       SLICE_ARG(rule->tags.items[i]));
}

static void
note_effects(struct exchange *ex, const struct rule_conf *rule)
{
    const struct judge_effects *effects = rule->effects;
    struct judgement *judgement = ex->judgement;
    struct judge_match *match;

    if (rule->bandwidth > 0 &&
        (judgement->bandwidth == 0 || rule->bandwidth < judgement->bandwidth))
        judgement->bandwidth = rule->bandwidth;
    if (rule->cache != RULE_CACHE_AS_IS)
        judgement->cache_rule = rule;
    if (effects == NULL || !(effects->routes || effects->tells || effects->delivers))
        return;
    match = arena_zalloc(&ex->arena, sizeof(*match));
    if (match == NULL)
        return; /* the arena knows: the exchange is refused for it */
    match->rule = rule;
    *judgement->last_match = match;
    judgement->last_match = &match->next;
}

static bool
is_decisive(const struct rule_conf *rule)
{
    return rule->action != RULE_CONTINUE && rule->action != RULE_AUTHENTICATE;
}

static void
on_match(const struct rule_conf *rule, void *arg)
{
    struct exchange *ex = arg;

    if (ex->judgement->is_dry)
        return;
    if (rule->limits != NULL)
        take_limits(ex, rule);
    if (rule->log_only) {
        exchange_decide_rule(ex, DECISION_RULE, rule->name, &rule->place, "log only: %s",
                             action_word(rule));
        return;
    }
    add_tags(ex, rule);
    note_effects(ex, rule);
    if (!is_decisive(rule)) /* those have a verdict of their own */
        exchange_decide_rule(ex, DECISION_RULE, rule->name, &rule->place, "true");
}

static bool
is_over(const struct limit_conf *limit, const struct facts *facts, void *arg)
{
    struct exchange *ex = arg;
    struct limit_state state;
    uint64_t key;

    if (ex->judgement->is_dry) /* it is in: whether another one would be is not the question */
        return false;
    if (!limit_key(limit, facts, &key))
        return false;
    return !limit_take(limit->limit, key, loop_now_ms(ex->worker->loop), &state);
}

static const struct policy_hooks hooks = { .is_over = is_over, .on_match = on_match };

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
    counter_up(ex->worker->counters, requests_denied);
    exchange_answer(ex, status, END_DENIED,
                    rule != NULL && rule->why != NULL ? rule->why
                                                      : "This is not allowed here.");
    return STEP_ANSWER;
}

static enum step
drop(struct exchange *ex, const struct rule_conf *rule)
{
    exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place, "dropped by rule");
    counter_up(ex->worker->counters, requests_denied);
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

    counter_up(ex->worker->counters, requests_denied);
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

static void
use_user(struct facts *facts, const struct judge_run *run)
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

        use_user(&judgement->facts, run);
        verdict = run->verdict = policy_evaluate(&run->at, &judgement->facts, &hooks, ex);
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

static struct judgement *
begin(struct exchange *ex)
{
    const struct tls_session *tls = ex->down != NULL ? ex->down->client->tls : NULL;
    struct judgement *judgement = arena_alloc(&ex->arena, sizeof(*judgement));

    if (judgement == NULL)
        return NULL;
    memset(&judgement->run_count, 0,
           sizeof(*judgement) - offsetof(struct judgement, run_count));
    judgement->ex = ex;
    judgement->last_match = &judgement->matches;
    resolve_init(&judgement->resolve, NULL);
    judge_facts(ex, tls, (int64_t)(loop_wall_ms(ex->worker->loop) / 1000), &judgement->facts);
    ex->judgement = judgement;
    return judgement;
}

struct judge_run *
judge_add_run(struct exchange *ex, const struct policy_conf *conf)
{
    struct judgement *judgement = ex->judgement != NULL ? ex->judgement : begin(ex);
    struct judge_run *run;

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

/* Those that wait for a stage that is known now. */
static enum step
go_on_all(struct exchange *ex, enum stage stage)
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

static bool
waits_for(const struct judgement *judgement, enum stage stage)
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

/* ---- the destination */

/* The mode's own guard, which is heard without a trace. */
static bool
is_guarded(struct exchange *ex, const struct ip *ip)
{
    struct decision **last = ex->last_decision;
    bool is_refused = ex->to.may_connect != NULL && !ex->to.may_connect(ip, ex);

    *last = NULL;
    ex->last_decision = last;
    return is_refused;
}

/* What the runs say of an address. */
struct trial {
    struct verdict verdicts[2]; /* those of runs that are decided are zero */
    bool is_refused;
};

static struct trial
try_address(const struct judgement *judgement, const struct ip *ip)
{
    struct facts facts = judgement->facts;
    struct trial result = { .is_refused = false };

    facts.known |= STAGE_BIT(STAGE_DESTINATION);
    facts.destination = *ip;
    facts.destination.port = judgement->ex->request.port;
    for (unsigned i = 0; i < judgement->run_count; i++) {
        const struct judge_run *run = &judgement->runs[i];
        struct evaluation at = run->at;
        struct verdict *verdict = &result.verdicts[i];

        if (run->is_decided || run->verdict.kind != VERDICT_LEARN)
            continue;
        use_user(&facts, run);
        *verdict = policy_evaluate(&at, &facts, NULL, NULL);
        result.is_refused = result.is_refused || (verdict->kind != VERDICT_ALLOW &&
                                                  verdict->kind != VERDICT_LEARN);
    }
    return result;
}

/* Whether the same is still to be learned of both, for the same rules. */
static bool
is_same(const struct trial *a, const struct trial *b)
{
    for (size_t i = 0; i < ARRAY_COUNT(a->verdicts); i++) {
        const struct verdict *one = &a->verdicts[i], *other = &b->verdicts[i];

        if (one->kind != other->kind ||
            (one->kind == VERDICT_LEARN &&
             (one->rule != other->rule || one->wanted != other->wanted)))
            return false;
    }
    return true;
}

/* Of those that the guard lets through, those that rules let through are connected; the
 * first of these, or the first at all, is the one that rules are told. What they have yet
 * to ask about others would not be asked about it: these are left out. */
static void
use_addresses(struct judgement *judgement, const struct resolve_answer *answer)
{
    struct exchange *ex = judgement->ex;
    struct trial first, trial;
    struct ip *good;
    unsigned count = 0;

    judgement->is_destination_known = true;
    if (answer->status != RESOLVE_OK)
        return;
    good = arena_alloc(&ex->arena, answer->count * sizeof(*good));
    if (good == NULL)
        return; /* the arena knows: nothing is sent */
    for (unsigned i = 0; i < answer->count; i++) {
        if (is_guarded(ex, &answer->ips[i]))
            continue;
        if (judgement->facts.destination.family == 0)
            judgement->facts.destination = answer->ips[i];
        trial = try_address(judgement, &answer->ips[i]);
        if (trial.is_refused || (count > 0 && !is_same(&trial, &first)))
            continue;
        if (count == 0)
            first = trial;
        good[count++] = answer->ips[i];
    }
    if (judgement->facts.destination.family == 0)
        return; /* connecting will tell why */
    if (count > 0)
        judgement->facts.destination = good[0];
    ex->to.only = good;
    ex->to.only_count = count;
}

static void
on_resolved(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct judgement *judgement = container_of(resolve, struct judgement, resolve);

    use_addresses(judgement, answer);
    road_resume(judgement->ex);
}

/* Whom it would be connected to. Behind a group or a parent proxy that is not ours to
 * know. */
static bool
find_destination(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;
    struct resolve_answer answer;

    if (judgement->is_destination_known || ex->to.group != NULL || ex->to.parent != NULL ||
        ex->to.host.bytes == 0)
        return true;
    resolve_init(&judgement->resolve, on_resolved);
    if (!resolve_start(ex->worker->resolver, &judgement->resolve, ex->to.host, &answer))
        return false;
    use_addresses(judgement, &answer);
    return true;
}

enum step
judge_destination(struct exchange *ex)
{
    enum step step;

    if (!ex->is_judging || !waits_for(ex->judgement, STAGE_DESTINATION))
        return STEP_NEXT;
    if (!find_destination(ex))
        return STEP_WAIT;
    ex->judgement->facts.destination.port = ex->request.port;
    step = go_on_all(ex, STAGE_DESTINATION);
    if (step != STEP_NEXT)
        return step;
    step = judge_route(ex);
    if (step == STEP_NEXT && ex->site == NULL)
        reach_name_target(ex); /* which may have been named for another way */
    return step == STEP_NEXT ? judge_tell(ex) : step;
}

/* ---- the response */

/* Of several addresses the one that was connected. */
static void
use_connected(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    if (judgement->is_destination_known && ex->upstream_ip.family != 0 && ex->to.group == NULL &&
        ex->to.parent == NULL)
        judgement->facts.destination = ex->upstream_ip;
}

/* Rules behind one that waited for longer ask for it now, when it is connected, or was
 * answered from the cache. */
static enum step
judge_connected(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    if (!waits_for(judgement, STAGE_DESTINATION))
        return STEP_NEXT;
    if (ex->upstream_ip.family != 0 && ex->to.group == NULL && ex->to.parent == NULL)
        judgement->facts.destination = ex->upstream_ip;
    else if (!find_destination(ex))
        return STEP_WAIT;
    return go_on_all(ex, STAGE_DESTINATION);
}

enum step
judge_response(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;
    enum step step;

    if (ex->end != END_DONE)
        return STEP_NEXT; /* our own */
    use_connected(ex);
    if (waits_for(judgement, STAGE_RESPONSE)) {
        judgement->facts.response = &ex->response;
        step = go_on_all(ex, STAGE_RESPONSE);
        if (step != STEP_NEXT)
            return step;
    }
    return judge_connected(ex);
}

/* ---- tunnels */

uint32_t
judge_sni_wait_ms(const struct exchange *ex)
{
    uint32_t wait_ms = 0;

    if (!waits_for(ex->judgement, STAGE_SNI))
        return 0;
    for (unsigned i = 0; i < ex->judgement->run_count; i++)
        if (ex->judgement->runs[i].conf->sni_wait_ms > wait_ms)
            wait_ms = ex->judgement->runs[i].conf->sni_wait_ms;
    return wait_ms > 0 ? wait_ms : 1;
}

bool
judge_sni(struct exchange *ex, struct slice name)
{
    struct response sent = ex->response;
    bool is_allowed;

    use_connected(ex);
    ex->judgement->is_dry = false; /* as it is after a reload */
    ex->judgement->facts.tunnel_name = arena_copy(&ex->arena, name);
    is_allowed = go_on_all(ex, STAGE_SNI) == STEP_NEXT && judge_connected(ex) == STEP_NEXT;
    ex->response = sent; /* it is too late for another one */
    ex->is_tunnel = true;
    return is_allowed;
}

/* What was learned of it stays, and is used again. */
static void
copy_user(const struct judgement *from, struct judge_run *run)
{
    struct slice wanted = slice_of(run->conf->users_name);

    run->is_user_known = true;
    for (unsigned i = 0; from != NULL && i < from->run_count; i++) {
        const struct judge_run *old = &from->runs[i];

        if (old->users_name != NULL && slice_equal(slice_of(old->users_name), wanted)) {
            run->login.user = old->login.user;
            run->users_name = old->users_name;
        }
    }
}

static bool
judge_run_again(struct exchange *ex, const struct judgement *before,
                const struct policy_conf *conf, bool *waits)
{
    struct judge_run *run;

    if (conf == NULL)
        return true;
    run = judge_add_run(ex, conf);
    if (run == NULL)
        return false;
    copy_user(before, run);
    if (judge_go_on(ex, run) != STEP_NEXT)
        return false;
    *waits = *waits || waits_for(ex->judgement, STAGE_SNI);
    return true;
}

bool
judge_again(struct exchange *ex, const struct tls_session *tls, bool *waits)
{
    const struct judgement *before = ex->judgement;
    struct judgement *judgement;

    *waits = false;
    ex->judgement = NULL;
    if (ex->listener->policy == NULL && (ex->site == NULL || ex->site->policy == NULL)) {
        ex->judgement = (struct judgement *)before;
        return true;
    }
    judgement = begin(ex);
    if (judgement == NULL) {
        ex->judgement = (struct judgement *)before;
        return false;
    }
    judgement->is_dry = true;
    if (before != NULL)
        judgement->tags = before->tags;
    judge_facts(ex, tls, (int64_t)(loop_wall_ms(ex->worker->loop) / 1000), &judgement->facts);
    if (ex->is_direct)
        judgement->facts.destination = ex->upstream_ip;
    if (before != NULL)
        judgement->holds = before->holds; /* to be given back, whichever of the two is there */
    judgement->facts.known |= STAGE_BIT(STAGE_DESTINATION);
    judgement->facts.to_come &= ~STAGE_BIT(STAGE_RESPONSE);
    if (before != NULL && (before->facts.known & STAGE_BIT(STAGE_SNI))) {
        judgement->facts.known |= STAGE_BIT(STAGE_SNI);
        judgement->facts.tunnel_name = before->facts.tunnel_name;
    }
    return judge_run_again(ex, before, ex->listener->policy, waits) &&
           judge_run_again(ex, before, ex->site != NULL ? ex->site->policy : NULL, waits);
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
