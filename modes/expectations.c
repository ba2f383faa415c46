/* SPDX-License-Identifier: BSD-2-Clause */
/* expectations.c - what was expected, beside what came. */
#include "config.h"

#include "modes/expectations.h"

#include "modes/hypothesis.h"
#include "server/policy/expect.h"
#include "server/snapshot.h"

#include <stdlib.h>

/* One that is being tried. */
struct trial {
    const struct expect_conf *expect;
    const struct hypothesis *h;
    struct err *err; /* what is not as expected */
};

static int
check_verdict(const struct trial *trial)
{
    const struct expect_conf *expect = trial->expect;

    if (expect->verdict != OUTCOME_UNSAID && expect->verdict != (int)trial->h->outcome)
        return err_set(trial->err, "verdict %s expected", outcome_words[expect->verdict]);
    if (expect->status != 0 && expect->status != trial->h->status && trial->h->status == 0)
        return err_set(trial->err, "status %d expected, but the origin answers",
                       (int)expect->status);
    if (expect->status != 0 && expect->status != trial->h->status)
        return err_set(trial->err, "status %d expected, not %u", (int)expect->status,
                       trial->h->status);
    return 0;
}

/* ---- rules */

static bool
is_called(const struct rule_conf *rule, const char *name)
{
    return rule->name != NULL && strcmp(rule->name, name) == 0;
}

/* Of policies that all allow it, each has decided. */
static bool
is_decider(const struct hypothesis *h, const char *name)
{
    bool is_default = strcmp(name, "default") == 0;

    if (h->decider != NULL)
        return h->rule != NULL ? is_called(h->rule, name) : is_default;
    for (unsigned i = 0; h->outcome == OUTCOME_ALLOW && i < h->policy_count; i++) {
        const struct rule_conf *rule = h->policies[i].verdict.rule;

        if (rule != NULL ? is_called(rule, name) : is_default)
            return true;
    }
    return false;
}

static const struct hypothesis_rule *
find_rule(const struct hypothesis *h, const char *name)
{
    for (unsigned i = 0; i < h->policy_count; i++)
        for (unsigned j = 0; j < h->policies[i].count; j++)
            if (is_called(h->policies[i].rules[j].rule, name))
                return &h->policies[i].rules[j];
    return NULL;
}

static int
check_rules(const struct trial *trial)
{
    const struct expect_conf *expect = trial->expect;
    char id[RULE_ID_BYTES];

    if (expect->rule != NULL && !is_decider(trial->h, expect->rule))
        return err_set(trial->err, "rule %s expected to decide", expect->rule);
    for (size_t i = 0; i < expect->matched.count; i++) {
        const char *name = expect->matched.items[i].data;
        const struct hypothesis_rule *tried = find_rule(trial->h, name);

        if (tried == NULL)
            return err_set(trial->err, "rule %s expected to be true, but it is not reached", name);
        if (tried->truth != TRUTH_TRUE)
            return err_set(trial->err, "rule %s expected to be true, but %.*s",
                           rule_id(tried->rule, id), SLICE_ARG(tried->why));
    }
    return 0;
}

/* ---- where it goes */

static int
check_name(const struct trial *trial, const char *what, const char *expected, const char *name,
           const struct place *place)
{
    if (expected == NULL || (name != NULL && strcmp(name, expected) == 0))
        return 0;
    if (name == NULL)
        return err_set(trial->err, "%s %s expected, not none", what, expected);
    return err_set(trial->err, "%s %s expected, not %s (%s:%u)", what, expected, name,
                   place->file, place->line);
}

static int
check_way(const struct trial *trial)
{
    const struct expect_conf *expect = trial->expect;
    const struct site_conf *site = trial->h->ex.site;
    const struct route_conf *route = trial->h->ex.route;
    const struct group_conf *group = trial->h->ex.to.group;

    if (check_name(trial, "site", expect->site, site != NULL ? site->name : NULL,
                   site != NULL ? &site->place : NULL) < 0 ||
        check_name(trial, "route", expect->route, route != NULL ? route->name : NULL,
                   route != NULL ? &route->place : NULL) < 0)
        return -1;
    return check_name(trial, "group", expect->group, group != NULL ? group->name : NULL,
                      group != NULL ? &group->place : NULL);
}

/* ---- what the origin is told */

static int
check_field(const struct trial *trial, struct slice expected)
{
    size_t colon = (size_t)slice_find(expected, ':');
    struct slice name = slice_trim(slice_make(expected.data, colon));
    struct slice value = slice_trim(slice_skip(expected, colon + 1));
    const struct field *field = fields_find_name(&trial->h->ex.request.fields, name);

    if (value.bytes == 0 && field == NULL)
        return 0;
    if (value.bytes == 0)
        return err_set(trial->err, "field %.*s expected to be taken away", SLICE_ARG(name));
    if (field == NULL)
        return err_set(trial->err, "field \"%.*s\" expected, but it is not set",
                       SLICE_ARG(expected));
    if (slice_equal(field->value, value))
        return 0;
    return err_set(trial->err, "field \"%.*s\" expected, not \"%.*s\"", SLICE_ARG(expected),
                   SLICE_ARG(field->value));
}

static int
check_fields(const struct trial *trial)
{
    for (size_t i = 0; i < trial->expect->set_request.count; i++)
        if (check_field(trial, trial->expect->set_request.items[i]) < 0)
            return -1;
    return 0;
}

/* ---- all of it */

static int
try_one(struct snapshot *snapshot, const struct expect_conf *expect, struct question *question,
        struct err *err)
{
    char text[HYPOTHESIS_TEXT_BYTES];
    struct hypothesis *h;
    struct err found = { "" };
    int result = -1;

    if (expect_question(expect, question, err) < 0)
        return -1;
    h = hypothesis_new(snapshot, question, false, err);
    if (h != NULL) {
        struct trial trial = { expect, h, &found };

        result = check_verdict(&trial) < 0 || check_rules(&trial) < 0 || check_way(&trial) < 0 ||
                 check_fields(&trial) < 0 ? -1 : 0;
        if (result < 0)
            err_set(err, "%s; came: %s", found.text, hypothesis_text(h, text));
    }
    hypothesis_free(h);
    return result;
}

unsigned
expectations_try(struct snapshot *snapshot, void (*say)(void *arg, const char *sentence),
                 void *arg)
{
    const struct config_list *expects = &snapshot->conf.expects;
    struct question *question = malloc(sizeof(*question));
    unsigned failed = 0;

    if (question == NULL) { /* what was not tried did not come out as expected */
        say(arg, "expect: out of memory");
        return 1;
    }
    for (size_t i = 0; i < expects->count; i++) {
        const struct expect_conf *expect = expects->items[i];
        struct err err;

        if (try_one(snapshot, expect, question, &err) == 0)
            continue;
        failed++;
        err_prefix(&err, "%s:%u: expect %s: ", expect->place.file, expect->place.line,
                   expect->request != NULL ? expect->request : "of a connection");
        say(arg, err.text);
    }
    free(question);
    return failed;
}
