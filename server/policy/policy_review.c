/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_review.c - what is allowed to be written, and yet is hardly meant: rules that
 * can never match, verdicts that come when the request is away, effects that have no
 * place where the policy is used.
 */
#include "config.h"

#include "server/policy/policy.h"

#include <stdarg.h>
#include <stdio.h>

#include "modes/mode.h"
#include "server/policy/condition_compare.h"
#include "server/policy/limit.h"
#include "server/policy/rule_check.h"
#include "server/schema.h"

#define REVIEW_BYTES ((size_t)1 << 30)
#define WORK_MAX UINT64_C(300000000) /* values compared: a few seconds */
#define SENTENCES_MAX 200            /* about one policy */

struct review {
    const struct conf *conf;
    void (*say)(void *arg, const char *sentence);
    void *arg;
    struct arena arena;
    struct comparison comparison;
    unsigned sentences;

    /* of one policy */
    const struct policy_conf *policy;
    const struct claims **claims; /* of its rules */
    struct claims_place place;
    const struct place *others;   /* by which a group or another proxy may answer what could
                                   * have a destination; NULL: none does */
    size_t waits;                 /* the first rule that waits for the response; count: none */
};

static const struct rule_conf *
rule_at(const struct review *review, size_t i)
{
    return review->policy->rules.items[i];
}

/* ---- sentences */

/* `rule "no-ads"`, `rule 3`. */
static const char *
rule_name(const struct rule_conf *rule, char text[100])
{
    if (rule->name != NULL)
        snprintf(text, 100, "rule \"%.80s\"", rule->name);
    else
        snprintf(text, 100, "rule %u", rule->number + 1);
    return text;
}

/* FILE:LINE: warning: policy "p": rule "x" and what is said. */
static void __attribute__((format(printf, 3, 4)))
tell(struct review *review, const struct rule_conf *rule, const char *format, ...)
{
    const struct place *place = rule != NULL ? &rule->place : &review->policy->place;
    char text[1024], name[100];
    va_list args;
    int used;

    if (review->sentences++ >= SENTENCES_MAX)
        return;
    used = snprintf(text, sizeof(text), "%.400s:%u: warning: policy \"%.64s\": %s%s", place->file,
                    place->line, review->policy->name, rule != NULL ? rule_name(rule, name) : "",
                    rule != NULL ? " " : "");
    va_start(args, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
    va_end(args);
    review->say(review->arg, text);
}

/* ---- where a policy is used */

static unsigned
mode_stages(const struct mode_ops *mode)
{
    unsigned stages = STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_HEAD) |
                      STAGE_BIT(STAGE_USER) | STAGE_BIT(STAGE_RESPONSE);

    if (mode->on_request == NULL) /* no HTTP */
        return STAGE_BIT(STAGE_CONNECTION);
    if (mode->is_proxy) /* clients name any origin */
        stages |= STAGE_BIT(STAGE_DESTINATION) | STAGE_BIT(STAGE_SNI);
    return stages;
}

static void
add_word(struct strings *strings, const char *word)
{
    strings->items[strings->count++] = slice_of(word);
}

/* Rules that send requests to a group, or to another proxy. */
static const struct place *
find_sender(const struct review *review)
{
    for (size_t i = 0; i < review->policy->rules.count; i++) {
        const struct rule_conf *rule = rule_at(review, i);

        if (rule->group_name != NULL ||
            (rule->parent_url != NULL && strcmp(rule->parent_url, "direct") != 0))
            return &rule->place;
    }
    return NULL;
}

static void
add_listener(struct review *review, const struct listener_conf *listener)
{
    const struct mode_ops *mode = listener->mode;

    add_word(&review->place.listeners, listener->name);
    add_word(&review->place.modes, mode->name);
    review->place.stages |= mode_stages(mode);
    if (mode->is_proxy && ((review->conf->forward_to_sites && review->conf->hosts != NULL) ||
                           (mode->parent != NULL && mode->parent(listener) != NULL)))
        review->others = &listener->place;
}

/* A site is reached by whichever listener; a group answers, never an address of DNS. */
static void
add_site(struct review *review, const struct site_conf *site)
{
    review->place.stages |= STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_HEAD) |
                            STAGE_BIT(STAGE_USER) | STAGE_BIT(STAGE_RESPONSE);
    review->place.listeners.count = review->place.modes.count = 0;
    review->others = &site->place;
}

/* Finds the listeners and sites that use the policy: no stages, when there are none. False
 * when memory is short. */
static bool
find_place(struct review *review)
{
    const struct conf *conf = review->conf;
    size_t bytes = (conf->listeners.count + 1) * sizeof(struct slice);
    struct claims_place *place = &review->place;

    *place = (struct claims_place){ .stages = 0 };
    review->others = find_sender(review);
    place->listeners.items = arena_alloc(&review->arena, bytes);
    place->modes.items = arena_alloc(&review->arena, bytes);
    if (place->listeners.items == NULL || place->modes.items == NULL)
        return false;
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->policy == review->policy)
            add_listener(review, listener);
    }
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        if (site->policy == review->policy)
            add_site(review, site);
    }
    return true;
}

/* ---- rules that can never match */

/* The rule before it that leaves nothing for it; NULL: none that could be found. */
static const struct rule_conf *
find_cover(struct review *review, size_t position)
{
    for (size_t i = 0; i < position; i++) {
        const struct rule_conf *rule = rule_at(review, i);

        if (rule_is_decisive(rule) && claims_imply(&review->comparison,
                                                   review->claims[position], review->claims[i]))
            return rule;
    }
    return NULL;
}

/* Whether the rule can match at all; what is the matter is said. */
static bool
check_reach(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position), *cover;
    const struct claims *claims = review->claims[position];
    struct hindrance found = claims_hindrance(claims, &review->place);
    char name[100];

    if (found.field != NULL && found.is_of_connect) {
        tell(review, rule, "can never match: its condition \"%s\" is never true of CONNECT, which "
                           "has a host and a port and no more; leave out one of them",
             found.field->name);
        return false;
    }
    if (found.field != NULL) {
        tell(review, rule, "can never match: its condition \"%s\" is true nowhere this policy is "
                           "used", found.field->name);
        return false;
    }
    if (claims_are_contradictory(&review->comparison, claims)) {
        tell(review, rule, "can never match: its conditions exclude each other");
        return false;
    }
    cover = find_cover(review, position);
    if (cover == NULL)
        return true;
    tell(review, rule, "can never match: %s at %s:%u comes first and decides all of it",
         rule_name(cover, name), cover->place.file, cover->place.line);
    return false;
}

/* ---- denials of what is not there */

/* Where a group or another proxy answers, nothing is known of the destination: the rule
 * matches there by a "not" about it. */
static void
check_denied_destination(struct review *review, size_t position)
{
    const struct claims *claims = review->claims[position];
    struct claims_place place = review->place;
    struct hindrance found;

    place.stages &= ~STAGE_BIT(STAGE_DESTINATION);
    if (review->others == NULL || claims_hindrance(claims, &place).field != NULL)
        return;
    found = claims_vain_denial(claims, &place);
    if (found.field == NULL || found.is_of_connect)
        return;
    tell(review, rule_at(review, position),
         "has \"not\" around \"%s\", which is true also where a group or another proxy answers "
         "(%s:%u): nothing is known of the destination there; destination = \"any\" beside it is "
         "true only where there is one", found.field->name, review->others->file,
         review->others->line);
}

static void
check_denials(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position);
    struct hindrance found = claims_vain_denial(review->claims[position], &review->place);

    if (found.field == NULL)
        check_denied_destination(review, position);
    else if (found.is_of_connect)
        tell(review, rule, "has \"not\" around \"%s\" of CONNECT, which has none: it is always "
                           "true; leave it out", found.field->name);
    else
        tell(review, rule, "has \"not\" around \"%s\", of which nothing is known where this "
                           "policy is used: it is always true; leave it out", found.field->name);
}

/* ---- verdicts that come late */

static bool
asks_response(const struct claims *claims)
{
    return (claims_stages(claims) & STAGE_BIT(STAGE_RESPONSE)) != 0;
}

/* what is told of the rule, or with NULL of the policy. */
static void
tell_late(struct review *review, const struct rule_conf *rule, const char *what)
{
    const struct rule_conf *before = rule_at(review, review->waits);
    char name[100];

    tell(review, rule, "%s when the response is there, the request being sent already: %s at "
                       "%s:%u, which comes first, waits for it", what, rule_name(before, name),
         before->place.file, before->place.line);
}

static void
check_time(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position);
    const struct claims *claims = review->claims[position];

    if (asks_response(claims)) {
        if (review->waits == review->policy->rules.count)
            review->waits = position;
        if (rule_refuses(rule) && !rule->log_only)
            tell(review, rule, "asks about the response: what it refuses has been sent to the "
                               "origin by then");
        return;
    }
    if (review->waits < position && rule_refuses(rule) && !rule->log_only &&
        !claims_exclude(&review->comparison, claims, review->claims[review->waits]))
        tell_late(review, rule, "is tried");
}

static void
check_default_time(struct review *review)
{
    if (review->policy->otherwise == POLICY_DENIES &&
        review->waits < review->policy->rules.count)
        tell_late(review, NULL, "its default refuses");
}

/* ---- effects that have no place */

static void
check_effect(struct review *review, size_t position, const char *effect, bool is_said,
             const char *why)
{
    if (is_said)
        tell(review, rule_at(review, position), "%s does nothing where this policy is used: %s",
             effect, why);
}

/* Ways out are for destinations: the endpoints of groups are reached as groups say. */
static void
check_way(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position);

    if ((review->place.stages & STAGE_BIT(STAGE_DESTINATION)) != 0)
        return;
    check_effect(review, position, "upstream_proxy", rule->parent_url != NULL,
                 "groups answer there");
    check_effect(review, position, "source", rule->source.bytes > 0, "groups answer there");
    check_effect(review, position, "direct", rule->direct,
                 "only listeners of mode forward have a PAC file");
}

/* Of connections whose bytes are passed on as they are. */
static void
check_flow(struct review *review, size_t position)
{
    static const char why[] = "no HTTP is read there; a listener of mode forward or reverse, or a "
                              "site, would do it";
    const struct rule_conf *rule = rule_at(review, position);

    if ((review->place.stages & STAGE_BIT(STAGE_HEAD)) != 0)
        return;
    check_effect(review, position, "set_request", rule->set_request.count > 0, why);
    check_effect(review, position, "set_response", rule->set_response.count > 0, why);
    check_effect(review, position, "cache", rule->cache != RULE_CACHE_AS_IS, why);
    check_effect(review, position, "bandwidth", rule->bandwidth > 0, why);
    if (rule->action == RULE_REDIRECT)
        tell(review, rule, "closes connections where this policy is used: no HTTP is read there by "
                           "which to redirect; action = \"drop\" would say so");
    if (rule->action == RULE_AUTHENTICATE)
        tell(review, rule, "refuses whatever it matches where this policy is used: no HTTP is read "
                           "there by which to authenticate; client_certificate = \"*\" in a "
                           "condition may help");
}

/* Users are known where the policy says whose, the rest by where it is used. */
static void
check_limits(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position);
    unsigned known = review->place.stages;

    if (review->policy->users == NULL)
        known &= ~STAGE_BIT(STAGE_USER);
    for (size_t i = 0; rule->limits[i] != NULL; i++)
        if ((limit_stages(rule->limits[i]) & ~known) != 0)
            tell(review, rule, "takes nothing from limit \"%s\" at %s:%u where this policy is "
                               "used: what the key of that is made of is not known there",
                 rule->limits[i]->name, rule->limits[i]->place.file,
                 rule->limits[i]->place.line);
}

/* ---- the whole */

/* Takes the conditions of all rules apart. False when memory is short. */
static bool
take_apart(struct review *review)
{
    const struct config_list *rules = &review->policy->rules;

    review->claims = arena_alloc(&review->arena, (rules->count + 1) * sizeof(*review->claims));
    for (size_t i = 0; review->claims != NULL && i < rules->count; i++) {
        review->claims[i] = claims_new(&review->comparison, &rule_at(review, i)->when);
        if (review->claims[i] == NULL)
            return false;
    }
    return review->claims != NULL;
}

static void
review_rule(struct review *review, size_t position)
{
    if (!check_reach(review, position))
        return;
    check_denials(review, position);
    check_time(review, position);
    check_way(review, position);
    check_flow(review, position);
    check_limits(review, position);
}

static void
review_policy(struct review *review)
{
    review->sentences = 0;
    review->waits = review->policy->rules.count;
    if (!find_place(review) || !take_apart(review)) {
        tell(review, NULL, "is too large to be reviewed");
        return;
    }
    if (review->place.stages == 0) {
        tell(review, NULL, "no listener and no site uses it; policy = \"%s\" in one of them would",
             review->policy->name);
        return;
    }
    for (size_t i = 0; i < review->policy->rules.count; i++)
        review_rule(review, i);
    check_default_time(review);
}

void
policies_review(const struct conf *conf, void (*say)(void *arg, const char *sentence), void *arg)
{
    struct review review = { .conf = conf, .say = say, .arg = arg };

    for (size_t i = 0; i < conf->policies.count; i++) {
        arena_init(&review.arena, NULL, REVIEW_BYTES);
        review.comparison = (struct comparison){ .arena = &review.arena, .conf = conf,
                                                 .work_left = WORK_MAX };
        review.policy = conf->policies.items[i];
        review_policy(&review);
        arena_fini(&review.arena);
    }
}
