/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_policy.c - any bytes as policies, asked about a request that the first of them choose.
 *
 * They are compiled, or refused with a file and a line. Where facts become known one
 * after the other, the verdict and the effects are those of knowing all at once;
 * telling why changes neither. A rule that is said never to match does not.
 */
#include "config.h"

#include "server/policy/policy.h"

#include <stdio.h>

#include "modes/mode.h"
#include "server/config/reader.h"
#include "server/policy/limit.h"
#include "server/policy/policy_unused.h"
#include "server/schema.h"
#include "server/users/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHOICES 4 /* bytes in front of the text */
#define MATCHES_MAX 64
#define STAGES_ALL (STAGE_BIT(STAGE_COUNT) - 1)

static const struct option options[] = {
    { .name = "sets", .type = OPTION_GROUPS, .offset = offsetof(struct conf, sets),
      .options = condition_set_options, .member_bytes = sizeof(struct condition_set_conf),
      .text = "S." },
    { .name = "policies", .type = OPTION_GROUPS, .offset = offsetof(struct conf, policies),
      .options = policy_options, .member_bytes = sizeof(struct policy_conf), .text = "P." },
    { .name = NULL },
};

/* What is configured besides. */
struct scene {
    struct mode_ops mode;
    struct listener_conf listener;
    struct users_conf users;
    struct limit_conf limits[2];
    struct slice keys[2];
    void *lists[4];
    struct conf conf;
};

static void
set_scene(struct scene *scene)
{
    static const char *const limit_names[] = { "l", "m" };

    scene->listener.name = "front";
    scene->mode = *modes[1];
    scene->mode.parent = NULL; /* the listener has no more than all of them have */
    scene->listener.mode = &scene->mode;
    scene->users.name = "u";
    scene->keys[0] = SLICE("client");
    scene->keys[1] = SLICE("user");
    for (size_t i = 0; i < 2; i++) {
        scene->limits[i].name = limit_names[i];
        scene->limits[i].key = (struct strings){ &scene->keys[i], 1 };
        scene->lists[i] = &scene->limits[i];
    }
    scene->lists[2] = &scene->users;
    scene->lists[3] = &scene->listener;
    scene->conf.limits = (struct config_list){ &scene->lists[0], 2 };
    scene->conf.users = (struct config_list){ &scene->lists[2], 1 };
    scene->conf.listeners = (struct config_list){ &scene->lists[3], 1 };
}

/* ---- a request */

struct subject {
    struct facts facts;
    struct request request;
    struct response response;
    struct slice group;
    struct user user;
    struct arena arena;
};

/* HOST:PORT is all that it asks for, and the response is our own. */
static void
make_connect(struct subject *subject)
{
    struct facts *facts = &subject->facts;

    subject->request.scheme = facts->path = SLICE("");
    facts->query = slice_make(NULL, 0);
    facts->response = NULL;
    facts->known &= ~STAGE_BIT(STAGE_RESPONSE);
}

static void
make_subject(struct subject *subject, const uint8_t *choices)
{
    static const struct slice hosts[] = { SLICE_INIT("a.example"), SLICE_INIT("b.a.example"),
                                          SLICE_INIT(""), SLICE_INIT("::1") };
    static const struct slice paths[] = { SLICE_INIT("/"), SLICE_INIT("/a/b"), SLICE_INIT(""),
                                          SLICE_INIT("*") };
    struct facts *facts = &subject->facts;
    bool has_tls = (choices[0] & 64) != 0;

    arena_init(&subject->arena, NULL, 1 << 18);
    subject->request.method = (enum method)(choices[0] % (METHOD_PATCH + 1));
    subject->request.method_name = SLICE("BREW");
    subject->request.scheme = SLICE("http");
    fields_add(&subject->request.fields, &subject->arena, FIELD_COOKIE, SLICE("a=1; b=2"));
    fields_add_name(&subject->request.fields, &subject->arena, SLICE("X-A"), SLICE("1"));
    subject->response.status = (uint16_t)(choices[1] * 4u);
    fields_add(&subject->response.fields, &subject->arena, FIELD_CONTENT_TYPE,
               SLICE("text/html; a=b"));
    subject->group = SLICE("g");
    subject->user = (struct user){ .name = SLICE("eve"), .groups = &subject->group,
                                   .group_count = 1 };
    *facts = (struct facts){
        .arena = &subject->arena, .listener = SLICE("front"), .mode = SLICE("forward"),
        .now_s = 1793000000, .request = &subject->request, .host = hosts[choices[2] & 3],
        .port = choices[2] & 4 ? 443 : 80, .path = paths[choices[2] >> 3 & 3],
        .query = choices[2] & 32 ? SLICE("a=%41&b") : slice_make(NULL, 0),
        .user = choices[2] & 64 ? &subject->user : NULL, .response = &subject->response,
        .server_name = has_tls ? SLICE("a.example") : SLICE(""),
        .tunnel_name = has_tls ? SLICE("b.example") : SLICE(""),
    };
    ip_parse(choices[1] & 1 ? SLICE("10.0.0.7") : SLICE("2001:db8::1"), &facts->client);
    ip_parse(SLICE("192.0.2.1"), &facts->destination);
    facts->known = (choices[3] | STAGE_BIT(STAGE_CONNECTION)) & STAGES_ALL;
    if (subject->request.method == METHOD_CONNECT)
        make_connect(subject);
}

/* ---- asking */

struct matched {
    const struct rule_conf *rules[MATCHES_MAX];
    size_t count;
    unsigned asked; /* limits */
};

static bool
is_over(const struct limit_conf *limit, const struct facts *facts, void *arg)
{
    struct matched *matched = arg;

    matched->asked++;
    return limit->name[0] == 'l' && facts->port == 80;
}

static void
on_match(const struct rule_conf *rule, void *arg)
{
    struct matched *matched = arg;

    if (matched->count < MATCHES_MAX)
        matched->rules[matched->count] = rule;
    matched->count++;
}

static void
on_rule(const struct rule_conf *rule, enum truth truth, struct slice why, void *arg)
{
    (void)rule;
    (void)truth;
    (void)arg;
    must(why.bytes > 0 && why.bytes < 2048);
    for (size_t i = 0; i < why.bytes; i++)
        must(why.data[i] >= ' ' && why.data[i] != 0x7f);
}

/* The verdict when all that is ever known is known at once. */
static struct verdict
ask_at_once(const struct policy *policy, const struct facts *facts, bool says,
            struct matched *matched)
{
    struct policy_hooks hooks = { .is_over = is_over, .on_match = on_match,
                                  .on_rule = says ? on_rule : NULL };
    struct evaluation evaluation = { .policy = policy };
    struct verdict verdict = policy_evaluate(&evaluation, facts, &hooks, matched);

    must(verdict.kind != VERDICT_LEARN);
    return verdict;
}

/* The same, one stage after the other. */
static struct verdict
ask_by_stages(const struct policy *policy, const struct facts *all, struct matched *matched)
{
    struct policy_hooks hooks = { .is_over = is_over, .on_match = on_match };
    struct evaluation evaluation = { .policy = policy };
    struct facts facts = *all;

    facts.to_come = facts.known;
    facts.known = 0;
    for (;;) {
        struct verdict verdict = policy_evaluate(&evaluation, &facts, &hooks, matched);

        if (verdict.kind != VERDICT_LEARN)
            return verdict;
        must((facts.to_come & STAGE_BIT(verdict.wanted)) != 0);
        must((policy_stages(policy) & STAGE_BIT(verdict.wanted)) != 0 ||
             verdict.wanted == STAGE_CONNECTION);
        facts.known |= STAGE_BIT(verdict.wanted);
        facts.to_come &= ~STAGE_BIT(verdict.wanted);
    }
}

static void
must_be_equal(struct verdict a, struct verdict b, const struct matched *x,
              const struct matched *y)
{
    must(a.kind == b.kind && a.rule == b.rule);
    must(x->count == y->count && x->asked == y->asked);
    for (size_t i = 0; i < x->count && i < MATCHES_MAX; i++)
        must(x->rules[i] == y->rules[i]);
}

static void
check_never(void *arg, const char *sentence)
{
    const struct matched *matched = arg;
    const char *at = strstr(sentence, ": rule ");
    unsigned number;
    int end = 0;

    if (at == NULL || sscanf(at, ": rule %u can never match%n", &number, &end) != 1 || end == 0)
        return;
    for (size_t i = 0; i < matched->count && i < MATCHES_MAX; i++)
        must(matched->rules[i]->number + 1 != number);
}

static void
ask(struct scene *scene, size_t i, const uint8_t *choices)
{
    const struct policy_conf *conf = scene->conf.policies.items[i];
    struct matched once = { .count = 0 }, said = { .count = 0 }, by_stages = { .count = 0 };
    struct subject subject = { .facts.known = 0 };
    struct verdict verdict;

    make_subject(&subject, choices);
    verdict = ask_at_once(conf->policy, &subject.facts, false, &once);
    must_be_equal(verdict, ask_at_once(conf->policy, &subject.facts, true, &said), &once, &said);
    must_be_equal(verdict, ask_by_stages(conf->policy, &subject.facts, &by_stages), &once,
                  &by_stages);
    scene->listener.policy = (struct policy_conf *)scene->conf.policies.items[i];
    scene->conf.policies = (struct config_list){ &scene->conf.policies.items[i], 1 };
    policies_review(&scene->conf, check_never, &once);
    policy_unused_review(&scene->conf, check_never, &once);
    arena_fini(&subject.arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct scene scene = { .conf.workers = 0 };
    struct config_source source;
    struct arena arena;
    struct err err;

    if (bytes < CHOICES)
        return 0;
    if (config_source_from_text("f", slice_make((const char *)data + CHOICES, bytes - CHOICES),
                                &source, &err) < 0)
        return 0;
    set_scene(&scene);
    arena_init(&arena, NULL, 1 << 24);
    if (config_source_read(&source, options, &scene.conf, &arena, &err, NULL) == 0) {
        struct config_list policies = scene.conf.policies;

        err.text[0] = '\0';
        if (policies_finish(&scene.conf, &arena, &err) < 0)
            must(strncmp(err.text, "f:", 2) == 0 || arena_is_spent(&arena));
        else
            for (size_t i = 0; i < policies.count; i++) {
                scene.conf.policies = policies;
                ask(&scene, i, data);
            }
    }
    arena_fini(&arena);
    config_source_fini(&source);
    return 0;
}
