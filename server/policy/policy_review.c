/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_review.c - what is allowed to be written, and yet is hardly meant: rules that
 * can never match, verdicts that come when the request is away.
 */
#include "config.h"

#include "server/policy/policy.h"

#include <stdarg.h>
#include <stdio.h>

#include "modes/mode.h"
#include "server/policy/condition_compare.h"
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

/* "FILE:LINE: policy "p": rule "x": " and what is said. */
static void __attribute__((format(printf, 3, 4)))
tell(struct review *review, const struct rule_conf *rule, const char *format, ...)
{
    const struct place *place = rule != NULL ? &rule->place : &review->policy->place;
    char text[1024], name[100];
    va_list args;
    int used;

    if (review->sentences++ >= SENTENCES_MAX)
        return;
    used = snprintf(text, sizeof(text), "%.400s:%u: policy \"%.64s\": %s%s", place->file,
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

/* Finds the listeners and sites that use the policy. Whether there are any. False too when
 * memory is short, which is told. */
static bool
find_place(struct review *review)
{
    const struct conf *conf = review->conf;
    size_t bytes = (conf->listeners.count + 1) * sizeof(struct slice);
    struct claims_place *place = &review->place;
    bool is_of_site = false;

    *place = (struct claims_place){ .stages = 0 };
    place->listeners.items = arena_alloc(&review->arena, bytes);
    place->modes.items = arena_alloc(&review->arena, bytes);
    if (place->listeners.items == NULL || place->modes.items == NULL)
        return false;
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->policy != review->policy)
            continue;
        add_word(&place->listeners, listener->name);
        add_word(&place->modes, listener->mode->name);
        place->stages |= mode_stages(listener->mode);
    }
    for (size_t i = 0; i < conf->sites.count && !is_of_site; i++)
        is_of_site = ((const struct site_conf *)conf->sites.items[i])->policy == review->policy;
    if (!is_of_site)
        return place->stages != 0;
    /* By whichever listener; a group answers, never an address of DNS. */
    place->stages |= STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_HEAD) | STAGE_BIT(STAGE_USER) |
                     STAGE_BIT(STAGE_RESPONSE);
    place->listeners.count = place->modes.count = 0;
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
    const struct condition_field *field = claims_hindrance(claims, &review->place);
    char name[100];

    if (field != NULL) {
        tell(review, rule, "can never match: its condition \"%s\" is true nowhere this policy is "
                           "used", field->name);
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

/* ---- verdicts that come late */

static bool
asks_response(const struct claims *claims)
{
    return (claims_stages(claims) & STAGE_BIT(STAGE_RESPONSE)) != 0;
}

static void
check_time(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position), *before;
    const struct claims *claims = review->claims[position];
    char name[100];

    if (asks_response(claims)) {
        if (review->waits == review->policy->rules.count)
            review->waits = position;
        if (rule_refuses(rule) && !rule->log_only)
            tell(review, rule, "asks about the response: what it refuses has been sent to the "
                               "origin by then");
        return;
    }
    if (review->waits >= position || !rule_refuses(rule) || rule->log_only ||
        claims_exclude(&review->comparison, claims, review->claims[review->waits]))
        return;
    before = rule_at(review, review->waits);
    tell(review, rule, "is tried when the response is there, the request being sent already: %s "
                       "at %s:%u, which comes first, waits for it", rule_name(before, name),
         before->place.file, before->place.line);
}

/* The default refuses, and does so too late. */
static void
check_default_time(struct review *review)
{
    const struct rule_conf *before;
    char name[100];

    if (review->policy->otherwise != POLICY_DENIES ||
        review->waits == review->policy->rules.count)
        return;
    before = rule_at(review, review->waits);
    tell(review, NULL, "its default refuses when the response is there, the request being sent "
                       "already: %s at %s:%u waits for it", rule_name(before, name),
         before->place.file, before->place.line);
}

/* ---- effects that have no place */

/* Ways out are for destinations: the endpoints of groups are reached as groups say. */
static void
check_way(struct review *review, size_t position)
{
    const struct rule_conf *rule = rule_at(review, position);

    if ((review->place.stages & STAGE_BIT(STAGE_DESTINATION)) != 0)
        return;
    if (rule->parent_url != NULL)
        tell(review, rule, "upstream_proxy does nothing where this policy is used: groups answer "
                           "there");
    if (rule->source.bytes > 0)
        tell(review, rule, "source does nothing where this policy is used: groups answer there");
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
review_policy(struct review *review)
{
    review->sentences = 0;
    review->waits = review->policy->rules.count;
    if (!find_place(review)) {
        tell(review, NULL, "no listener and no site uses it");
        return;
    }
    if (!take_apart(review)) {
        tell(review, NULL, "is too large to be reviewed");
        return;
    }
    for (size_t i = 0; i < review->policy->rules.count; i++)
        if (check_reach(review, i)) {
            check_time(review, i);
            check_way(review, i);
        }
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
