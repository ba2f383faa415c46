/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_effects.c - what rules do besides allowing and denying: where an exchange
 * goes, what origin and client are told, how fast, and whether it is cached.
 */
#include "config.h"

#include "modes/judge_inside.h"

#include "cache/cache_conf.h"
#include "filters/field_set.h"
#include "filters/template.h"
#include "server/config/reader.h"
#include "server/http/pace.h"
#include "server/upstream/parent.h"

/* One field that a rule sets, or takes away. */
struct judge_field {
    struct slice name;
    struct template *value; /* NULL: taken away */
};

/* ---- configuration */

/* "Name: value". */
static int
compile_field(struct judge_field *field, struct slice text, struct arena *arena, struct err *err)
{
    ptrdiff_t colon = slice_find(text, ':');
    struct slice value;

    if (colon <= 0)
        return err_set(err, "\"%.*s\" is no \"Name: value\"", SLICE_ARG(text));
    field->name = slice_trim(slice_make(text.data, (size_t)colon));
    value = slice_trim(slice_skip(text, (size_t)colon + 1));
    if (field_check_name(field->name, err) < 0)
        return -1;
    if (value.bytes == 0)
        return 0;
    field->value = template_new(arena, value, err);
    return field->value != NULL ? 0 : -1;
}

static int
compile_fields(struct judge_field **fields, unsigned *count, const struct strings *texts,
               struct arena *arena, struct err *err)
{
    if (texts->count == 0)
        return 0;
    *fields = arena_zalloc(arena, texts->count * sizeof(**fields));
    if (*fields == NULL)
        return err_set(err, "no memory");
    for (size_t i = 0; i < texts->count; i++)
        if (compile_field(&(*fields)[i], texts->items[i], arena, err) < 0)
            return -1;
    *count = (unsigned)texts->count;
    return 0;
}

/* Whether some value depends on the exchange. */
static bool
has_variables(const struct strings *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        if (memmem(texts->items[i].data, texts->items[i].bytes, "%{", 2) != NULL)
            return true;
    return false;
}

static int
compile_parent(struct judge_effects *effects, const struct rule_conf *rule, struct arena *arena,
               struct err *err)
{
    struct parent_conf *parent;

    if (rule->parent_url == NULL)
        return 0;
    effects->is_direct = strcmp(rule->parent_url, "direct") == 0;
    if (effects->is_direct)
        return 0;
    if (strstr(rule->parent_url, "://") == NULL)
        return err_set(err, "upstream_proxy: expected \"http://HOST:PORT\", "
                       "\"socks5://HOST:PORT\" or \"direct\"");
    parent = arena_zalloc(arena, sizeof(*parent));
    if (parent == NULL)
        return err_set(err, "no memory");
    effects->parent = parent;
    if (parent_parse_url(parent, arena, slice_of(rule->parent_url), err) < 0)
        return err_prefix(err, "upstream_proxy: ");
    return 0;
}

static int
compile(struct rule_conf *rule, const struct conf *conf, struct arena *arena, struct err *err)
{
    struct judge_effects *effects = arena_zalloc(arena, sizeof(*effects));

    if (effects == NULL)
        return err_set(err, "no memory");
    rule->effects = effects;
    if (rule->redirect != NULL) {
        effects->redirect = template_new(arena, slice_of(rule->redirect), err);
        if (effects->redirect == NULL)
            return err_prefix(err, "redirect: ");
    }
    if (compile_fields(&effects->request, &effects->request_count, &rule->set_request, arena,
                       err) < 0)
        return err_prefix(err, "set_request: ");
    if (compile_fields(&effects->response, &effects->response_count, &rule->set_response, arena,
                       err) < 0)
        return err_prefix(err, "set_response: ");
    if (rule->group_name != NULL) {
        effects->group = conf_group(conf, rule->group_name, err);
        if (effects->group == NULL)
            return err_prefix(err, "group: ");
    }
    if (compile_parent(effects, rule, arena, err) < 0)
        return -1;
    effects->routes = effects->group != NULL || effects->parent != NULL || effects->is_direct ||
                      rule->source.bytes > 0;
    effects->tells = effects->request_count > 0;
    effects->is_personal = has_variables(&rule->set_request);
    effects->delivers = effects->response_count > 0;
    return 0;
}

/* As the policy's own mistakes are told. */
static int
fail(struct err *err, const struct policy_conf *policy, const struct rule_conf *rule,
     const struct err *why)
{
    if (rule->name != NULL)
        return config_place_fail(err, &rule->place, "policy \"%s\": rule \"%s\": %s",
                                 policy->name, rule->name, why->text);
    return config_place_fail(err, &rule->place, "policy \"%s\": rule %u: %s", policy->name,
                             rule->number + 1, why->text);
}

int
judge_finish(struct conf *conf, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < conf->policies.count; i++) {
        struct policy_conf *policy = conf->policies.items[i];

        for (size_t j = 0; j < policy->rules.count; j++) {
            struct rule_conf *rule = policy->rules.items[j];
            struct err why = { 0 };

            if (rule->effects == NULL && compile(rule, conf, arena, &why) < 0)
                return fail(err, policy, rule, &why);
        }
    }
    return 0;
}

/* ---- where it goes */

/* By way of another proxy names are judged there, but addresses are judged here. */
static bool
may_ask_parent(struct exchange *ex)
{
    struct ip ip;

    return !ip_parse(ex->to.host, &ip) || ex->to.may_connect == NULL ||
           ex->to.may_connect(&ip, ex);
}

static enum step
route_by(struct exchange *ex, const struct rule_conf *rule)
{
    const struct judge_effects *effects = rule->effects;

    if (effects->group != NULL && ex->request.method != METHOD_CONNECT) {
        ex->to = (struct destination){ .group = effects->group };
        exchange_decide_rule(ex, DECISION_ROUTE, rule->name, &rule->place, "group %s",
                             effects->group->name);
    }
    if (ex->to.group != NULL)
        return STEP_NEXT;
    if (rule->source.bytes > 0)
        ex->to.source = &rule->source;
    if (effects->is_direct)
        ex->to.parent = NULL;
    if (effects->parent == NULL)
        return STEP_NEXT;
    if (!may_ask_parent(ex)) {
        exchange_answer(ex, 403, END_DENIED, NULL);
        return STEP_ANSWER;
    }
    ex->to.parent = effects->parent;
    exchange_decide_rule(ex, DECISION_ROUTE, rule->name, &rule->place, "by %s:%d",
                         effects->parent->host, (int)effects->parent->port);
    return STEP_NEXT;
}

enum step
judge_route(struct exchange *ex)
{
    for (struct judge_match *match = ex->judgement->matches; match != NULL; match = match->next) {
        const struct judge_effects *effects = match->rule->effects;

        if (match->is_routed || !effects->routes)
            continue;
        match->is_routed = true;
        if (route_by(ex, match->rule) != STEP_NEXT)
            return STEP_ANSWER;
    }
    return STEP_NEXT;
}

/* ---- what is said */

static void
set_fields(struct fields *fields, struct exchange *ex, const struct judge_field *field,
           unsigned count)
{
    for (unsigned i = 0; i < count; i++, field++)
        if (field->value != NULL)
            fields_set_name(fields, &ex->arena, field->name, template_text(field->value, ex));
        else
            fields_remove_name(fields, field->name);
}

/* What the origin is told of who asks makes its answer one for nobody else. */
static void
tell_user(struct exchange *ex, const struct judge_run *run)
{
    const struct users_conf *users = run->conf->users;
    const struct user *user = &run->login.user;

    users_tell_origin(users, &run->login, ex);
    if ((users->user_field != NULL && user->name.bytes > 0) || user->field_count > 0)
        ex->judgement->is_personal = true;
}

/* Of several ranges in one response the type is told in its content, where no rule sees
 * it. RFC 9110 section 14.2: the whole may be asked for instead. */
static void
ask_for_one_range(struct exchange *ex)
{
    const struct judgement *judgement = ex->judgement;
    struct fields *fields = &ex->request.fields;
    const struct field *range = fields_find(fields, FIELD_RANGE);

    if (likely(range == NULL) || (slice_find(range->value, ',') < 0 &&
                                  fields_next(fields, FIELD_RANGE, range) == NULL))
        return;
    for (unsigned i = 0; i < judgement->run_count; i++)
        if (!judgement->runs[i].is_decided &&
            (policy_stages(judgement->runs[i].conf->policy) & STAGE_BIT(STAGE_RESPONSE)))
            fields_remove(fields, FIELD_RANGE);
}

enum step
judge_tell(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    if (!ex->is_judging)
        return STEP_NEXT;
    ask_for_one_range(ex);
    for (unsigned i = 0; i < judgement->run_count; i++) {
        enum step step = judge_log_in_early(ex, &judgement->runs[i]);

        if (step != STEP_NEXT)
            return step;
    }
    for (unsigned i = 0; i < judgement->run_count; i++)
        if (judgement->runs[i].conf->users != NULL)
            tell_user(ex, &judgement->runs[i]);
    for (struct judge_match *match = judgement->matches; match != NULL; match = match->next) {
        const struct judge_effects *effects = match->rule->effects;

        if (match->is_told || !effects->tells)
            continue;
        match->is_told = true;
        judgement->is_personal = judgement->is_personal || effects->is_personal;
        set_fields(&ex->request.fields, ex, effects->request, effects->request_count);
    }
    return STEP_NEXT;
}

void
judge_deliver(struct exchange *ex)
{
    struct judgement *judgement = ex->judgement;

    for (struct judge_match *match = judgement->matches; match != NULL; match = match->next) {
        const struct judge_effects *effects = match->rule->effects;

        set_fields(&ex->response.fields, ex, effects->response, effects->response_count);
    }
    if (judgement->bandwidth > 0 && ex->response.body != NULL)
        ex->response.body = pace_wrap(ex, ex->response.body, judgement->bandwidth);
}

struct slice
judge_redirect(struct exchange *ex, const struct rule_conf *rule)
{
    const struct judge_effects *effects = rule->effects;

    return template_text(effects->redirect, ex);
}

/* ---- the cache */

/* By what the rules say, not where: a reload may change either. Values that depend on the
 * exchange are not to be told apart here: their answers are for nobody else. */
struct slice
judge_key(struct exchange *ex)
{
    const struct judgement *judgement = ex->judgement;
    struct slice key = slice_make("", 0);

    for (struct judge_match *match = judgement != NULL ? judgement->matches : NULL; match != NULL;
         match = match->next) {
        const struct rule_conf *rule = match->rule;
        char source[ADDRESS_TEXT_BYTES];

        for (size_t i = 0; i < rule->set_request.count; i++)
            key = arena_printf(&ex->arena, "%.*s\ntold %.*s", SLICE_ARG(key),
                               SLICE_ARG(rule->set_request.items[i]));
        if (rule->source.bytes > 0)
            key = arena_printf(&ex->arena, "%.*s\nfrom %s", SLICE_ARG(key),
                               address_text(&rule->source, source));
    }
    return key;
}

const struct cache_conf *
judge_cache(struct exchange *ex, const struct cache_conf *conf)
{
    const struct rule_conf *rule = ex->judgement != NULL ? ex->judgement->cache_rule : NULL;
    struct cache_conf *forced;

    if (rule == NULL)
        return conf;
    switch ((enum rule_cache)rule->cache) {
    case RULE_CACHE_AS_IS:
        return conf;
    case RULE_CACHE_BYPASS:
        return NULL;
    case RULE_CACHE_FORCE:
        break;
    }
    forced = arena_alloc(&ex->arena, sizeof(*forced));
    if (forced == NULL)
        return NULL;
    *forced = *conf;
    forced->life.default_s = forced->life.min_s = rule->cache_ms / 1000;
    if (forced->life.max_s > 0 && forced->life.max_s < forced->life.min_s)
        forced->life.max_s = forced->life.min_s;
    return forced;
}
