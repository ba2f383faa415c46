/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_match.c - rules that are true: what they take from limits, and what they leave
 * behind for later steps and for the log.
 */
#include "config.h"

#include "modes/judge_inside.h"

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

/* Its limits are taken: over one of them the exchange is refused. Which one, also when the
 * rule does no more than log; NULL: none. */
static const struct limit_conf *
take_limits(struct exchange *ex, const struct rule_conf *rule)
{
    struct judgement *judgement = ex->judgement;
    struct limit_state state = { 0 };
    const struct limit_conf *over;

    if (rule->limits[0] == NULL || judgement->over != NULL)
        return NULL; /* who is refused takes nothing more */
    over = judge_take_all(rule, &judgement->facts, loop_now_ms(ex->worker->loop), &ex->arena,
                          &judgement->holds, &state);
    if (over != NULL && !rule->log_only) {
        exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place,
                             "limit %s is exceeded", over->name);
        judgement->over = rule;
        judgement->over_state = state;
    }
    return over;
}

struct slice
judge_join_tags(struct arena *arena, struct slice tags, const struct rule_conf *rule)
{
    for (size_t i = 0; i < rule->tags.count; i++)
        tags = arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(tags), tags.bytes > 0 ? "," : "",
                            SLICE_ARG(rule->tags.items[i]));
    return tags;
}

struct slice
judge_join_trial(struct arena *arena, struct slice tags, const struct rule_conf *rule)
{
    const char *comma = tags.bytes > 0 ? "," : "";

    if (rule->name != NULL)
        return arena_printf(arena, "%.*s%slog_only:%s", SLICE_ARG(tags), comma, rule->name);
    return arena_printf(arena, "%.*s%slog_only:%s:%u", SLICE_ARG(tags), comma, rule->place.file,
                        rule->place.line);
}

/* What it would have done, had it not been tried out only. */
static void
note_trial(struct exchange *ex, const struct rule_conf *rule, const struct limit_conf *over)
{
    struct judgement *judgement = ex->judgement;

    if (rule->limits[0] != NULL && over == NULL && rule->action == RULE_CONTINUE)
        return; /* nothing: the limit lets it through */
    if (over != NULL)
        exchange_decide_rule(ex, DECISION_RULE, rule->name, &rule->place,
                             "log only: limit %s is exceeded", over->name);
    else
        exchange_decide_rule(ex, DECISION_RULE, rule->name, &rule->place, "log only: %s",
                             action_word(rule));
    judgement->tags = judge_join_trial(&ex->arena, judgement->tags, rule);
}

void
judge_note_effects(struct exchange *ex, const struct rule_conf *rule)
{
    const struct judge_effects *effects = rule->effects;
    struct judgement *judgement = ex->judgement;
    struct judge_match *match;

    if (rule->bandwidth > 0 &&
        (judgement->bandwidth == 0 || rule->bandwidth < judgement->bandwidth))
        judgement->bandwidth = rule->bandwidth;
    if (rule->cache != RULE_CACHE_AS_IS)
        judgement->cache_rule = rule;
    if (rule->scan != RULE_SCAN_AS_IS)
        ex->scan = (uint8_t)rule->scan;
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
    struct judgement *judgement = ex->judgement;
    const struct limit_conf *over;

    if (judgement->is_dry)
        return;
    over = take_limits(ex, rule);
    if (rule->log_only) {
        note_trial(ex, rule, over);
        return;
    }
    judgement->tags = judge_join_tags(&ex->arena, judgement->tags, rule);
    judge_note_effects(ex, rule);
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

const struct policy_hooks judge_hooks = { .is_over = is_over, .on_match = on_match };
