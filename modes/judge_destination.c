/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_destination.c - rules on the address behind a name: what was judged is what is
 * connected.
 */
#include "config.h"

#include "modes/judge_inside.h"

#include "modes/reach.h"
#include "modes/road.h"

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
        judge_use_user(&facts, run);
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
    if (answer->status != RESOLVE_OK) {
        ex->to.only = &judgement->facts.destination; /* none: what is found later is not judged */
        return;
    }
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

bool
judge_find_destination(struct exchange *ex)
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

    if (!ex->is_judging || !judge_waits_for(ex->judgement, STAGE_DESTINATION))
        return STEP_NEXT;
    if (!judge_find_destination(ex))
        return STEP_WAIT;
    ex->judgement->facts.destination.port = ex->request.port;
    step = judge_go_on_all(ex, STAGE_DESTINATION);
    if (step != STEP_NEXT)
        return step;
    step = judge_route(ex);
    if (step == STEP_NEXT && ex->site == NULL)
        reach_name_target(ex); /* which may have been named for another way */
    return step == STEP_NEXT ? judge_tell(ex) : step;
}
