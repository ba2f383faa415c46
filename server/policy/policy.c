/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.c - compiles policies, and tries their rules in order.
 *
 * What is asked of every request is in two arrays: rules, and the tests of all
 * rules one after the other. Nothing is allocated to decide, unless an expression is
 * matched with a whole URL or a certificate is read.
 */
#include "config.h"

#include "server/policy/policy.h"

#include <stdio.h>

#include "server/policy/condition.h"
#include "server/policy/rule_check.h"
#include "server/schema.h"
#include "server/schema_link.h"
#include "server/users/users.h"

#define COMPILE_BYTES ((size_t)1 << 30)

struct rule {
    struct group when;
    const struct rule_conf *conf;
    uint8_t action;   /* enum rule_action */
    uint8_t needs;    /* STAGE_BITs that its effects need: what keys of limits are made of */
    bool is_decisive;
    bool doubt;       /* see struct ask */
};

struct policy {
    const struct policy_conf *conf;
    unsigned stages;
    unsigned rule_count;
    struct rule rules[];
};

/* ---- evaluation */

/* What it waits for before its effects are due. */
static unsigned
missing_for_effects(const struct rule *rule, const struct facts *facts)
{
    unsigned needs = rule->needs;

    if (rule->action == RULE_AUTHENTICATE)
        needs |= STAGE_BIT(STAGE_USER);
    return needs & ~facts->known & facts->to_come;
}

/* Tells what came of the conditions, and of the rule. */
static __attribute__((noinline)) void
say(const struct rule *rule, unsigned when, unsigned answer, struct ask *ask)
{
    char text[2048];
    struct words words = { text, text + sizeof(text) };
    enum truth truth = answer < ANSWER_WAITS ? (enum truth)answer : TRUTH_UNKNOWN;
    struct slice why = SLICE("it has no conditions");

    if (when != answer)
        why = SLICE("its conditions are true, and it needs to know more");
    if (when != answer && answer == ANSWER_WAITS + STAGE_USER)
        why = SLICE("its conditions are true, and the user is not known yet");
    if (when == answer && rule->when.count > 0) {
        group_say(&rule->when, when, ask, &words);
        why = slice_make(text, (size_t)(words.at - text));
    }
    ask->hooks->on_rule(rule->conf, truth, why, ask->arg);
}

static inline unsigned
try(const struct rule *rule, struct ask *ask)
{
    unsigned when, answer;

    ask->doubt = rule->doubt;
    when = answer = group_ask(&rule->when, ask);
    if (unlikely(when == ANSWER_TRUE)) {
        unsigned missing = missing_for_effects(rule, ask->facts);

        if (missing != 0)
            answer = facts_missing(ask->facts, missing);
    }
    if (unlikely(ask->hooks != NULL && ask->hooks->on_rule != NULL))
        say(rule, when, answer, ask);
    return answer;
}

static enum verdict_kind
verdict_of(const struct rule *rule)
{
    switch ((enum rule_action)rule->action) {
    case RULE_CONTINUE:
    case RULE_ALLOW:
        return VERDICT_ALLOW;
    case RULE_DENY:
        return VERDICT_DENY;
    case RULE_DROP:
        return VERDICT_DROP;
    case RULE_REDIRECT:
        return VERDICT_REDIRECT;
    case RULE_AUTHENTICATE:
        return VERDICT_CHALLENGE;
    }
    return VERDICT_DENY;
}

/* Effects of a rule that is true. Whether it decides. */
static bool
match(const struct rule *rule, struct ask *ask)
{
    bool is_challenge = rule->action == RULE_AUTHENTICATE && ask->facts->user == NULL;
    bool is_said = !rule->conf->log_only || rule->action != RULE_AUTHENTICATE || is_challenge;

    if (is_said && ask->hooks != NULL && ask->hooks->on_match != NULL)
        ask->hooks->on_match(rule->conf, ask->arg);
    return rule->is_decisive || (is_challenge && !rule->conf->log_only);
}

static struct verdict
end(struct evaluation *evaluation, enum verdict_kind kind, const struct rule_conf *rule)
{
    evaluation->is_over = true;
    evaluation->verdict = (struct verdict){ .kind = kind, .rule = rule };
    return evaluation->verdict;
}

struct verdict
policy_evaluate(struct evaluation *evaluation, const struct facts *facts,
                const struct policy_hooks *hooks, void *arg)
{
    const struct policy *policy = evaluation->policy;
    struct ask ask = { .facts = facts, .hooks = hooks, .arg = arg, .evaluation = evaluation };
    bool says = hooks != NULL && hooks->on_rule != NULL;

    if (evaluation->is_over)
        return evaluation->verdict;
    for (unsigned next = evaluation->next; next < policy->rule_count; next++) {
        const struct rule *rule = &policy->rules[next];
        unsigned answer;

        if (!says && test_fails_at_once(rule->when.tests, facts))
            continue;
        answer = try(rule, &ask);
        if (answer == ANSWER_FALSE)
            continue;
        evaluation->next = (uint16_t)next;
        if (answer >= ANSWER_WAITS)
            return (struct verdict){ .kind = VERDICT_LEARN, .rule = rule->conf,
                                     .wanted = (enum stage)(answer - ANSWER_WAITS) };
        if (match(rule, &ask))
            return end(evaluation, verdict_of(rule), rule->conf);
    }
    return end(evaluation, policy->conf->otherwise == POLICY_DENIES ? VERDICT_DENY
                                                                   : VERDICT_ALLOW, NULL);
}

unsigned
policy_stages(const struct policy *policy)
{
    return policy->stages;
}

const struct policy_conf *
policy_conf_of(const struct policy *policy)
{
    return policy->conf;
}

/* ---- compiling */

static int
compile_rule(struct compiler *compiler, struct rule_conf *conf, struct rule *rule)
{
    struct err *err = compiler->err;

    compiler->rule = conf;
    if (conf->name != NULL && link_check_name("rule", conf->name, &conf->place, err) < 0)
        return -1;
    if (condition_compile(compiler, &conf->when, &rule->when) < 0)
        return -1;
    if (rule_check(compiler, conf, &rule->when) < 0)
        return compiler_fail(compiler, &conf->place);
    rule->conf = conf;
    rule->action = (uint8_t)conf->action;
    rule->is_decisive = rule_is_decisive(conf);
    rule->doubt = rule_refuses(conf) || conf->limit_names.count > 0;
    for (size_t i = 0; conf->limits[i] != NULL; i++)
        rule->needs |= (uint8_t)limit_stages(conf->limits[i]);
    return 0;
}

/* Puts the tests of all rules side by side. */
static int
lay_out(struct compiler *compiler, struct policy *policy)
{
    struct test *tests;
    size_t count = 0;

    for (unsigned i = 0; i < policy->rule_count; i++)
        count += policy->rules[i].when.count > 0 ? policy->rules[i].when.count : 1;
    tests = arena_zalloc(compiler->arena, count * sizeof(*tests));
    if (tests == NULL)
        return -1;
    for (unsigned i = 0; i < policy->rule_count; i++) {
        struct group *when = &policy->rules[i].when;

        if (when->count > 0)
            memcpy(tests, when->tests, when->count * sizeof(*tests));
        else
            tests->kind = TEST_ANY; /* for test_fails_at_once(): never */
        when->tests = tests;
        tests += when->count > 0 ? when->count : 1;
    }
    return 0;
}

static int
compile_rules(struct compiler *compiler, struct policy_conf *conf, struct policy *policy)
{
    for (size_t i = 0; i < conf->rules.count; i++) {
        struct rule_conf *rule = conf->rules.items[i];

        rule->number = (unsigned)i;
        if (compile_rule(compiler, rule, &policy->rules[i]) < 0)
            return -1;
        policy->stages |= policy->rules[i].when.stages | policy->rules[i].needs;
        if (rule->action == RULE_AUTHENTICATE)
            policy->stages |= STAGE_BIT(STAGE_USER);
    }
    return 0;
}

/* Makes the compiler ready for another policy. */
static int
begin(struct compiler *compiler, const struct policy_conf *conf)
{
    compiler->policy = conf;
    compiler->rule = NULL;
    compiler->set = NULL;
    compiler->over_count = 0;
    compiler->test_count = 0;
    compiler->depth = 0;
    compiler->set_groups = arena_zalloc(&compiler->scratch, compiler->conf->sets.count *
                                                                sizeof(*compiler->set_groups));
    return compiler->set_groups != NULL
               ? 0 : err_set(compiler->err, "out of memory: the configuration is too large");
}

static int
compile_policy(struct compiler *compiler, struct policy_conf *conf)
{
    struct policy *policy = arena_zalloc(compiler->arena, sizeof(*policy) +
                                                              conf->rules.count *
                                                                  sizeof(policy->rules[0]));

    if (link_check_name("policy", conf->name, &conf->place, compiler->err) < 0)
        return -1;
    if (policy == NULL || begin(compiler, conf) < 0)
        return err_set(compiler->err, "out of memory: the configuration is too large");
    if (conf->users_name != NULL) {
        conf->users = users_named(compiler->conf, conf->users_name, compiler->err);
        if (conf->users == NULL)
            return compiler_fail(compiler, &conf->place);
    }
    policy->conf = conf;
    policy->rule_count = (unsigned)conf->rules.count;
    if (compile_rules(compiler, conf, policy) < 0)
        return -1;
    if (lay_out(compiler, policy) < 0)
        return err_set(compiler->err, "out of memory: the configuration is too large");
    conf->policy = policy;
    return 0;
}

/* Mistakes are mistakes also in what nobody uses. */
static int
check_sets(struct compiler *compiler)
{
    const struct config_list *sets = &compiler->conf->sets;

    for (size_t i = 0; i < sets->count; i++) {
        struct condition_set_conf *set = sets->items[i];

        set->number = i;
        if (link_check_name("set", set->name, &set->place, compiler->err) < 0)
            return -1;
    }
    for (size_t i = 0; i < sets->count; i++) {
        const struct condition_set_conf *set = sets->items[i];
        struct group group;

        if (begin(compiler, NULL) < 0)
            return -1;
        compiler->set = set;
        if (condition_is_empty(&set->when)) {
            err_set(compiler->err, "has no condition");
            return compiler_fail(compiler, &set->place);
        }
        if (condition_compile(compiler, &set->when, &group) < 0)
            return -1;
    }
    return 0;
}

static struct name_set *
index_names(struct compiler *compiler, const struct config_list *list)
{
    struct name_set *set = name_set_new(&compiler->scratch, list->count);

    for (size_t i = 0; set != NULL && i < list->count; i++) {
        struct named *named = list->items[i];

        *name_set_find(set, named->name) = (struct name){ named->name, named };
    }
    return set;
}

static int
compile_all(struct compiler *compiler)
{
    struct conf *conf = compiler->conf;

    compiler->sets = index_names(compiler, &conf->sets);
    compiler->lists = index_names(compiler, &conf->lists);
    compiler->limits = index_names(compiler, &conf->limits);
    if (compiler->sets == NULL || compiler->lists == NULL || compiler->limits == NULL)
        return err_set(compiler->err, "out of memory: the configuration is too large");
    if (check_sets(compiler) < 0)
        return -1;
    for (size_t i = 0; i < conf->policies.count; i++)
        if (compile_policy(compiler, conf->policies.items[i]) < 0)
            return -1;
    return 0;
}

int
policies_finish(struct conf *conf, struct arena *arena, struct err *err)
{
    struct compiler compiler = { .conf = conf, .arena = arena, .err = err };
    int result;

    if (conf->policies.count == 0 && conf->sets.count == 0)
        return 0;
    arena_init(&compiler.scratch, NULL, COMPILE_BYTES);
    result = compile_all(&compiler);
    arena_fini(&compiler.scratch);
    return result;
}

/* ---- names */

struct policy_conf *
policy_named(const struct conf *conf, const char *name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; i < conf->policies.count; i++) {
        struct policy_conf *policy = conf->policies.items[i];

        if (strcmp(policy->name, name) == 0)
            return policy;
        nearest_offer(&nearest, policy->name);
    }
    err_set(err, "there is no policy \"%.60s\"", name);
    nearest_hint(&nearest, err);
    return NULL;
}

const char *
rule_id(const struct rule_conf *rule, char *text)
{
    if (rule == NULL)
        snprintf(text, RULE_ID_BYTES, "default");
    else if (rule->name != NULL)
        snprintf(text, RULE_ID_BYTES, "%s (%s:%u)", rule->name, rule->place.file,
                 rule->place.line);
    else
        snprintf(text, RULE_ID_BYTES, "%s:%u", rule->place.file, rule->place.line);
    return text;
}
