/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_why_not.c - one rule, and what keeps it from being true. */
#include "config.h"

#include "modes/explain.h"

#include "server/admin/status.h"
#include "server/schema.h"
#include "server/snapshot.h"

/* By name, or by the end of "FILE:LINE". */
static bool
is_called(const struct rule_conf *rule, struct slice name)
{
    char text[RULE_ID_BYTES];
    struct slice place;

    if (rule->name != NULL && slice_equal(slice_of(rule->name), name))
        return true;
    snprintf(text, sizeof(text), "%s:%u", rule->place.file, rule->place.line);
    place = slice_of(text);
    if (slice_find(name, ':') < 0 || place.bytes < name.bytes)
        return false;
    return slice_equal(slice_skip(place, place.bytes - name.bytes), name);
}

static const struct rule_conf *
find_in(const struct policy_conf *policy, struct slice name, struct nearest *nearest)
{
    for (size_t i = 0; i < policy->rules.count; i++) {
        const struct rule_conf *rule = policy->rules.items[i];

        if (is_called(rule, name))
            return rule;
        if (rule->name != NULL)
            nearest_offer(nearest, rule->name);
    }
    return NULL;
}

static int
refuse(const struct hypothesis *h, struct slice name, struct nearest *nearest, struct err *err)
{
    const struct config_list *policies = &h->snapshot->conf.policies;

    for (size_t i = 0; i < policies->count; i++) {
        const struct policy_conf *policy = policies->items[i];

        if (find_in(policy, name, nearest) != NULL)
            return err_set(err, "rule %.*s is of policy %s, which has no say in this request",
                           SLICE_ARG(name), policy->name);
    }
    err_set(err, "there is no rule \"%.*s\"", SLICE_ARG(name));
    return nearest_hint(nearest, err);
}

/* What a rule is, in a sentence and in JSON, as explain_json() writes it. */
struct word {
    const char *text, *json;
};

static const struct word truths[] = {
    [TRUTH_FALSE] = { "is false", "false" },
    [TRUTH_TRUE] = { "is true", "true" },
    [TRUTH_UNKNOWN] = { "is not known", "null" },
};

static void
put(FILE *out, const struct rule_conf *rule, struct word is, struct slice why, bool is_json)
{
    char id[RULE_ID_BYTES], text[1024];

    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(why));
    if (!is_json) {
        fprintf(out, "rule %s %s%s%s\n", rule_id(rule, id), is.text, text[0] != '\0' ? ": " : "",
                text);
        return;
    }
    fprintf(out, "{\"rule\":");
    status_json_string(out, explain_rule_name(rule, id));
    fprintf(out, ",\"file\":");
    status_json_string(out, rule->place.file);
    fprintf(out, ",\"line\":%u,\"is\":%s,\"why\":", rule->place.line, is.json);
    status_json_string(out, text);
    fprintf(out, "}\n");
}

/* An earlier one stood in its way. */
static void
tell_not_reached(FILE *out, const struct hypothesis_policy *policy, const struct rule_conf *rule,
                 bool is_json)
{
    char id[RULE_ID_BYTES], why[RULE_ID_BYTES + 64];
    const struct rule_conf *first = policy->verdict.rule;

    snprintf(why, sizeof(why), "rule %s %s", rule_id(first, id),
             policy->is_waiting ? "waits" : "decides before it");
    put(out, rule, (struct word){ "is not reached", "null" }, slice_of(why), is_json);
}

int
explain_why_not(FILE *out, const struct hypothesis *h, struct slice name, bool is_json,
                struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (unsigned i = 0; i < h->policy_count; i++) {
        const struct hypothesis_policy *policy = &h->policies[i];
        const struct rule_conf *rule = find_in(policy->conf, name, &nearest);

        if (rule == NULL)
            continue;
        for (unsigned j = 0; j < policy->count; j++)
            if (policy->rules[j].rule == rule) {
                put(out, rule, truths[policy->rules[j].truth], policy->rules[j].why, is_json);
                return 0;
            }
        tell_not_reached(out, policy, rule, is_json);
        return 0;
    }
    return refuse(h, name, &nearest, err);
}
