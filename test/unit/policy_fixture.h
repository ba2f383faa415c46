/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_fixture.h - a policy read from text, and a request that it is asked about. */
#ifndef BASCULE_POLICY_FIXTURE_H
#define BASCULE_POLICY_FIXTURE_H

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "server/config/reader.h"
#include "server/policy/limit.h"
#include "server/policy/list.h"
#include "server/policy/policy.h"
#include "server/schema.h"
#include "server/snapshot.h"

#define STAGES_OF_REQUEST (STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_HEAD))
#define STAGES_ALL (STAGE_BIT(STAGE_COUNT) - 1)

#ifndef FRONT_POLICY
#define FRONT_POLICY ""
#endif

/* What every configuration of these tests has. */
#define FIXTURE_CONF \
    "listeners = ( { name = \"front\"; mode = \"reverse\"; listen = \"127.0.0.1:8080\"; " \
    FRONT_POLICY "}," \
    " { name = \"office\"; mode = \"forward\"; listen = \"127.0.0.1:3128\"; policy = \"p\"; }" \
    " );\n" \
    "sites = ( { name = \"www\"; default = true; welcome = true; } );\n" \
    "groups = ( { name = \"g\"; endpoints = \"127.0.0.1:9000\"; } );\n" \
    "users = ( { name = \"staff\"; kind = \"certificate\"; } );\n" \
    "limits = ( { name = \"logins\"; key = \"client\"; rate = \"10/1m\"; }," \
    " { name = \"each\"; key = \"user\"; rate = \"10/1m\"; } );\n"

struct judged {
    struct snapshot *snapshot;
    const struct policy *policy;
    struct arena arena;
    struct facts facts;
    struct request request;
    struct response response;
    struct user user;
    struct slice groups[4];
    struct evaluation at;
    char matched[200];        /* names of rules whose effects were due: "a b" */
    char said[4000];          /* by on_rule: "a: true: why\n" */
    unsigned limits_asked;
    bool is_over, says;
};

/* Reads FIXTURE_CONF, more, and policies = ( { name = "p"; ... rules } ). NULL with err. */
static inline struct snapshot *
policy_read(const char *rules, const char *more, struct err *err)
{
    static char text[100000];
    struct config_source source;
    struct snapshot *snapshot;

    err->text[0] = '\0';
    snprintf(text, sizeof(text), FIXTURE_CONF "%s\npolicies = ( { name = \"p\"; users = "
             "\"staff\";\n%s } );\n", more, rules);
    if (config_source_from_text("t.conf", slice_of(text), &source, err) < 0)
        return NULL;
    snapshot = snapshot_new(&source, err);
    config_source_fini(&source);
    return snapshot;
}

/* A GET of http://www.example.com/dir/page?x=1 from 10.0.0.7 by way of the forward listener, of
 * which all up to the request is known. rules: what stands in the policy. */
static inline void
judged_begin_with(struct judged *j, const char *rules, const char *more)
{
    struct err err;

    memset(j, 0, sizeof(*j));
    arena_init(&j->arena, NULL, 1 << 20);
    j->snapshot = policy_read(rules, more, &err);
    if (j->snapshot == NULL)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j->snapshot);
    j->policy = ((struct policy_conf *)j->snapshot->conf.policies.items[0])->policy;
    j->request = (struct request){ .method = METHOD_GET, .method_name = SLICE("GET"),
                                   .scheme = SLICE("http") };
    j->facts = (struct facts){
        .known = STAGES_OF_REQUEST,
        .to_come = STAGE_BIT(STAGE_USER) | STAGE_BIT(STAGE_DESTINATION) |
                   STAGE_BIT(STAGE_RESPONSE),
        .arena = &j->arena,
        .listener = SLICE("office"), .mode = SLICE("forward"), .now_s = 1793000000,
        .request = &j->request,
        .host = SLICE("www.example.com"), .port = 80, .path = SLICE("/dir/page"),
        .query = SLICE("x=1"),
    };
    CU_ASSERT_FATAL(ip_parse(SLICE("10.0.0.7"), &j->facts.client));
}

/* rules: members of rules = ( ... ). */
static inline void
judged_begin(struct judged *j, const char *rules)
{
    char text[20000];

    snprintf(text, sizeof(text), "rules = (\n%s );", rules);
    judged_begin_with(j, text, "");
}

static inline void
judged_end(struct judged *j)
{
    snapshot_unref(j->snapshot);
    arena_fini(&j->arena);
}

static inline bool
judged_is_over(const struct limit_conf *limit, const struct facts *facts, void *arg)
{
    struct judged *j = arg;

    (void)limit;
    (void)facts;
    j->limits_asked++;
    return j->is_over;
}

static inline void
judged_on_match(const struct rule_conf *rule, void *arg)
{
    struct judged *j = arg;
    size_t used = strlen(j->matched);

    snprintf(j->matched + used, sizeof(j->matched) - used, "%s%s", used > 0 ? " " : "",
             rule->name);
}

static inline void
judged_on_rule(const struct rule_conf *rule, enum truth truth, struct slice why, void *arg)
{
    static const char *const words[] = { "false", "true", "unknown" };
    struct judged *j = arg;
    size_t used = strlen(j->said);

    snprintf(j->said + used, sizeof(j->said) - used, "%s: %s: %.*s\n", rule->name, words[truth],
             SLICE_ARG(why));
}

/* Goes on where it is. */
static inline struct verdict
judged_go_on(struct judged *j)
{
    struct policy_hooks hooks = {
        .is_over = judged_is_over, .on_match = judged_on_match,
        .on_rule = j->says ? judged_on_rule : NULL,
    };

    return policy_evaluate(&j->at, &j->facts, &hooks, j);
}

/* From the start. */
static inline struct verdict
judged_start(struct judged *j)
{
    j->at = (struct evaluation){ .policy = j->policy };
    j->matched[0] = j->said[0] = '\0';
    j->limits_asked = 0;
    return judged_go_on(j);
}

/* Makes a stage one that is over. */
static inline void
judged_learn(struct judged *j, enum stage stage)
{
    j->facts.known |= STAGE_BIT(stage);
    j->facts.to_come &= ~STAGE_BIT(stage);
}

static inline void
judged_log_in(struct judged *j, const char *name, const char *group)
{
    j->groups[0] = slice_of(group);
    j->user = (struct user){ .name = slice_of(name), .groups = j->groups, .group_count = 1 };
    j->facts.user = &j->user;
    judged_learn(j, STAGE_USER);
}

static inline void
judged_respond(struct judged *j, unsigned status, const char *type)
{
    j->response.status = (uint16_t)status;
    if (type != NULL)
        fields_set(&j->response.fields, &j->arena, FIELD_CONTENT_TYPE, slice_of(type));
    j->facts.response = &j->response;
    judged_learn(j, STAGE_RESPONSE);
}

/* Whether these conditions, of one rule, are true of what is known by now; what is not
 * known yet counts as TRUTH_UNKNOWN. */
static inline enum truth
judged_truth(struct judged *j, const char *when, const char *more)
{
    struct snapshot *before = j->snapshot;
    enum truth truth = TRUTH_FALSE;
    struct verdict verdict;
    char text[20000];
    struct err err;

    snprintf(text, sizeof(text), "rules = ( { name = \"r\"; action = \"deny\"; when = {\n%s }; } "
             ");", when);
    j->snapshot = policy_read(text, more, &err);
    if (j->snapshot == NULL)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j->snapshot);
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&j->snapshot->conf, &err), 0);
    j->policy = ((struct policy_conf *)j->snapshot->conf.policies.items[0])->policy;
    verdict = judged_start(j);
    if (verdict.kind == VERDICT_DENY)
        truth = TRUTH_TRUE;
    else if (verdict.kind == VERDICT_LEARN)
        truth = TRUTH_UNKNOWN;
    lists_release(&j->snapshot->conf);
    snapshot_unref(j->snapshot);
    j->snapshot = before;
    return truth;
}

#endif
