/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.h - rules compiled, and tried in order on facts.
 *
 * A condition is true, false, or not known yet. The first rule that is not known
 * stops the evaluation, which goes on there when its stage has come: a later rule
 * never overtakes it. Rules that are not decisive have their effects and the next
 * one is tried; a decisive one ends it.
 *
 * The same for HTTP in both modes, CONNECT, upgraded connections and TCP flows,
 * for live traffic and for `explain` and `expect`, which have no side effects.
 * A compiled policy is read-only: any thread may evaluate it.
 */
#ifndef BASCULE_POLICY_H
#define BASCULE_POLICY_H

#include "server/policy/facts.h"
#include "server/policy/rule.h"

struct conf;
struct policy;

enum truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_UNKNOWN };

enum verdict_kind {
    VERDICT_ALLOW, /* by a rule, or by default: then rule is NULL */
    VERDICT_DENY,  /* the same */
    VERDICT_DROP,
    VERDICT_REDIRECT,
    VERDICT_CHALLENGE, /* authenticate: there is no user */
    VERDICT_LEARN,     /* wanted: rule cannot be judged without */
};

struct verdict {
    enum verdict_kind kind;
    const struct rule_conf *rule; /* that decided, or waits; NULL: the default */
    enum stage wanted;            /* of LEARN */
};

/* Who evaluates. Each may be NULL. */
struct policy_hooks {
    /* Takes one from the limit for these facts: whether that was one too many. Asked at
     * most once for each limit of one evaluation, after everything else in the group
     * of conditions was true. NULL: nothing is over. */
    bool (*is_over)(const struct limit_conf *limit, const struct facts *facts, void *arg);
    /* The rule is true: its effects are due. Also of log_only rules, and decisive ones. */
    void (*on_match)(const struct rule_conf *rule, void *arg);
    /* For explain: the rule was tried. Why: the first condition that made it false or
     * unknown, in words: `host "a.example" is not in list "ads"`; of a true one all that
     * mattered, separated by ", ". Borrowed. Slow: only with this hook are words made. */
    void (*on_rule)(const struct rule_conf *rule, enum truth truth, struct slice why, void *arg);
};

/* Where an evaluation is. Zeroed with policy set it begins. Copied, it is another one. */
struct evaluation {
    const struct policy *policy;
    uint16_t next;      /* rule to be tried */
    bool is_over;       /* a verdict other than LEARN was given: the same again */
    uint64_t asked, over; /* limits asked for, by their number in the policy, and what came of it */
    struct verdict verdict;
};

/* Goes on until there is a verdict. */
struct verdict policy_evaluate(struct evaluation *evaluation, const struct facts *facts,
                               const struct policy_hooks *hooks, void *arg);

/* Stages that some rule asks about, as bits: what never has to be learned. */
unsigned policy_stages(const struct policy *policy);

const struct policy_conf *policy_conf_of(const struct policy *policy);

/* ---- configuration */

/* Compiles all policies of conf: names become pointers, times and hosts are read;
 * everything is checked. 0, or -1 with err naming file and line. */
int policies_finish(struct conf *conf, struct arena *arena, struct err *err);

/* What `check` should tell: policies that nobody uses; rules that can never match, with
 * the reason and the line of the rule that stands in the way; that match because nothing
 * is known; that let a request leave before its verdict; and effects that have no place
 * where the policy is used. say is called for each sentence: "FILE:LINE:
 * warning: ...". */
void policies_review(const struct conf *conf, void (*say)(void *arg, const char *sentence),
                     void *arg);

/* The policy of that name; NULL with err, which names the nearest one. */
struct policy_conf *policy_named(const struct conf *conf, const char *name, struct err *err);

/* "no-ads (bascule.conf:12)", "bascule.conf:12"; of NULL "default". Returns text. */
#define RULE_ID_BYTES 200
const char *rule_id(const struct rule_conf *rule, char *text);

#endif
