/* SPDX-License-Identifier: BSD-2-Clause */
/* test_policy.c - rules are tried in order, and wait for what they need to know
 * (server/policy/policy.h; DESIGN section 7).
 */
#include "config.h"

#include "test/unit/policy_fixture.h"
#include "test/unit/suites.h"

#define RULE(name_, rest_) "{ name = \"" name_ "\"; " rest_ " }"
#define TAG "tags = \"t\";"

static void
assert_verdict(struct verdict verdict, enum verdict_kind kind, const char *rule)
{
    CU_ASSERT_EQUAL(verdict.kind, kind);
    if (rule == NULL)
        CU_ASSERT_PTR_NULL(verdict.rule);
    if (rule == NULL || verdict.rule == NULL) {
        CU_ASSERT_PTR_EQUAL(rule, verdict.rule);
        return;
    }
    CU_ASSERT_STRING_EQUAL(verdict.rule->name, rule);
}

static void
the_first_decisive_rule_wins(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { host = \"other.example\"; };") ","
                     RULE("b", "action = \"allow\"; when = { method = \"GET\"; };") ","
                     RULE("c", "action = \"deny\";"));
    assert_verdict(judged_start(&j), VERDICT_ALLOW, "b");
    CU_ASSERT_STRING_EQUAL(j.matched, "b");
    j.facts.host = SLICE("other.example");
    assert_verdict(judged_start(&j), VERDICT_DENY, "a");
    j.facts.host = SLICE("third.example");
    j.request.method = METHOD_POST;
    assert_verdict(judged_start(&j), VERDICT_DENY, "c");
    judged_end(&j);
}

static void
each_action_gives_its_verdict(void)
{
    struct judged j;

    judged_begin(&j, RULE("drop", "action = \"drop\"; when = { path = \"/drop\"; };") ","
                     RULE("move", "action = \"redirect\"; redirect = \"/new\"; "
                                  "when = { path = \"/move\"; };") ","
                     RULE("user", "action = \"authenticate\"; when = { path = \"/user\"; };"));
    j.facts.path = SLICE("/drop");
    assert_verdict(judged_start(&j), VERDICT_DROP, "drop");
    j.facts.path = SLICE("/move");
    assert_verdict(judged_start(&j), VERDICT_REDIRECT, "move");
    j.facts.path = SLICE("/user");
    assert_verdict(judged_start(&j), VERDICT_LEARN, "user");
    judged_learn(&j, STAGE_USER);
    assert_verdict(judged_go_on(&j), VERDICT_CHALLENGE, "user");
    judged_end(&j);
}

static void
without_a_decisive_rule_the_default_decides(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { host = \"other.example\"; };"));
    assert_verdict(judged_start(&j), VERDICT_ALLOW, NULL);
    judged_end(&j);
    judged_begin_with(&j, "default = \"deny\"; rules = ();", "");
    assert_verdict(judged_start(&j), VERDICT_DENY, NULL);
    judged_end(&j);
}

static void
effects_come_in_the_order_of_rules_and_once(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", TAG) "," RULE("b", TAG "when = { host = \"x.example\"; };") ","
                     RULE("c", TAG) ","
                     RULE("d", "action = \"deny\"; when = { user = \"eve\"; };") ","
                     RULE("e", TAG));
    assert_verdict(judged_start(&j), VERDICT_LEARN, "d");
    CU_ASSERT_STRING_EQUAL(j.matched, "a c");
    assert_verdict(judged_go_on(&j), VERDICT_LEARN, "d");
    judged_log_in(&j, "alice", "all");
    assert_verdict(judged_go_on(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_STRING_EQUAL(j.matched, "a c e");
    assert_verdict(judged_go_on(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_STRING_EQUAL(j.matched, "a c e");
    judged_end(&j);
}

static void
a_later_rule_never_overtakes_one_that_waits(void)
{
    struct judged j;

    judged_begin(&j, RULE("net", "action = \"allow\"; when = { destination = \"192.0.2.0/24\"; };")
                     "," RULE("all", "action = \"deny\";"));
    assert_verdict(judged_start(&j), VERDICT_LEARN, "net");
    CU_ASSERT_EQUAL(judged_go_on(&j).wanted, STAGE_DESTINATION);
    CU_ASSERT_FATAL(ip_parse(SLICE("192.0.2.9"), &j.facts.destination));
    judged_learn(&j, STAGE_DESTINATION);
    assert_verdict(judged_go_on(&j), VERDICT_ALLOW, "net");
    CU_ASSERT_FATAL(ip_parse(SLICE("198.51.100.9"), &j.facts.destination));
    assert_verdict(judged_start(&j), VERDICT_DENY, "all");
    judged_end(&j);
}

static void
one_false_condition_is_enough_before_the_others_are_known(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { user = \"eve\"; status = 404; "
                               "method = \"POST\"; };") ","
                     RULE("b", "action = \"deny\"; when = { any = ( { user = \"eve\"; }, "
                               "{ method = \"GET\"; } ); };"));
    assert_verdict(judged_start(&j), VERDICT_DENY, "b");
    judged_end(&j);
}

/* What has come first is asked for first. */
static void
the_earliest_stage_that_can_decide_is_wanted(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { status = 404; destination = "
                               "\"10.0.0.0/8\"; };"));
    CU_ASSERT_EQUAL(judged_start(&j).wanted, STAGE_DESTINATION);
    judged_end(&j);
    judged_begin(&j, RULE("a", "action = \"deny\"; when = { any = ( { user = \"eve\"; method = "
                               "\"POST\"; }, { status = 404; }, { destination = \"10.0.0.0/8\"; } "
                               "); };"));
    CU_ASSERT_EQUAL(judged_start(&j).wanted, STAGE_DESTINATION); /* not USER: that group is false */
    judged_end(&j);
}

static void
unknown_stays_unknown_under_not(void)
{
    struct judged j;

    judged_begin(&j, "");
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { user = \"eve\"; } );", ""), TRUTH_UNKNOWN);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { user = \"eve\"; }, { method = \"GET\"; } );", ""),
                    TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { user = \"eve\"; }, { method = \"PUT\"; } );", ""),
                    TRUTH_UNKNOWN);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { not = ( { user = \"eve\"; } ); } );", ""),
                    TRUTH_UNKNOWN);
    CU_ASSERT_EQUAL(judged_truth(&j, "all = ( { user = \"eve\"; }, { method = \"PUT\"; } );", ""),
                    TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "all = ( { user = \"eve\"; }, { method = \"GET\"; } );", ""),
                    TRUTH_UNKNOWN);
    CU_ASSERT_EQUAL(judged_truth(&j, "any = ( { user = \"eve\"; }, { method = \"PUT\"; } );", ""),
                    TRUTH_UNKNOWN);
    judged_end(&j);
}

/* What the flow does not have makes no condition true. */
static void
absent_facts_make_conditions_false_and_their_denials_true(void)
{
    struct judged j;

    judged_begin(&j, "");
    j.facts.known = STAGE_BIT(STAGE_CONNECTION);
    j.facts.to_come = 0;
    j.facts.request = NULL;
    j.facts.host = j.facts.path = SLICE("");
    CU_ASSERT_EQUAL(judged_truth(&j, "method = \"GET\";", ""), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "path = \"*\";", ""), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "status = \"100-599\";", ""), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "sni = \"\";", ""), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "user = \"*\";", ""), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { user = \"*\"; } );", ""), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { host = \"*.example.com\"; } );", ""), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "client = \"10.0.0.0/8\";", ""), TRUTH_TRUE);
    judged_end(&j);
}

static void
a_request_is_learned_when_only_the_connection_is_known(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { client = \"10.0.0.0/8\"; host = "
                               "\"www.example.com\"; };"));
    j.facts.known = STAGE_BIT(STAGE_CONNECTION);
    j.facts.to_come |= STAGE_BIT(STAGE_HEAD);
    CU_ASSERT_EQUAL(judged_start(&j).kind, VERDICT_LEARN);
    CU_ASSERT_EQUAL(judged_go_on(&j).wanted, STAGE_HEAD);
    judged_learn(&j, STAGE_HEAD);
    assert_verdict(judged_go_on(&j), VERDICT_DENY, "a");
    judged_end(&j);
}

static void
log_only_matches_and_changes_nothing(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; log_only = true;") ","
                     RULE("b", "action = \"authenticate\"; log_only = true;") ","
                     RULE("c", "action = \"allow\";"));
    judged_learn(&j, STAGE_USER);
    assert_verdict(judged_start(&j), VERDICT_ALLOW, "c");
    CU_ASSERT_STRING_EQUAL(j.matched, "a b c");
    judged_log_in(&j, "alice", "all"); /* who would not have been asked */
    assert_verdict(judged_start(&j), VERDICT_ALLOW, "c");
    CU_ASSERT_STRING_EQUAL(j.matched, "a c");
    judged_end(&j);
}

static void
who_has_logged_in_passes_authenticate(void)
{
    struct judged j;

    judged_begin(&j, RULE("who", "action = \"authenticate\"; " TAG) ","
                     RULE("eve", "action = \"deny\"; when = { user = \"eve\"; };"));
    judged_learn(&j, STAGE_USER);
    assert_verdict(judged_start(&j), VERDICT_CHALLENGE, "who");
    judged_log_in(&j, "alice", "all");
    assert_verdict(judged_start(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_STRING_EQUAL(j.matched, "who");
    judged_log_in(&j, "eve", "all");
    assert_verdict(judged_start(&j), VERDICT_DENY, "eve");
    judged_end(&j);
}

/* A TCP flow cannot be asked: nobody gets in by that. */
static void
authenticate_challenges_also_where_there_are_no_users(void)
{
    struct judged j;

    judged_begin(&j, RULE("who", "action = \"authenticate\";"));
    j.facts.known = STAGE_BIT(STAGE_CONNECTION);
    j.facts.to_come = 0;
    assert_verdict(judged_start(&j), VERDICT_CHALLENGE, "who");
    judged_end(&j);
}

/* ---- limits */

static void
a_limit_is_asked_once_and_only_when_all_else_is_true(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { over = \"logins\"; path = \"/login\"; "
                               "};") ","
                     RULE("b", "action = \"deny\"; when = { over = \"logins\"; method = \"POST\"; "
                               "};"));
    assert_verdict(judged_start(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_EQUAL(j.limits_asked, 0);
    j.facts.path = SLICE("/login");
    j.request.method = METHOD_POST;
    assert_verdict(judged_start(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_EQUAL(j.limits_asked, 1); /* by two rules */
    j.is_over = true;
    assert_verdict(judged_start(&j), VERDICT_DENY, "a");
    CU_ASSERT_EQUAL(j.limits_asked, 1);
    judged_end(&j);
}

static void
a_limit_waits_for_what_else_is_unknown(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { over = \"logins\"; user = \"*\"; "
                               "any = ( { path = \"/dir/page\"; }, { over = \"logins\"; } ); };"));
    j.is_over = true;
    assert_verdict(judged_start(&j), VERDICT_LEARN, "a");
    CU_ASSERT_EQUAL(j.limits_asked, 0);
    judged_log_in(&j, "alice", "all");
    assert_verdict(judged_go_on(&j), VERDICT_DENY, "a");
    CU_ASSERT_EQUAL(j.limits_asked, 1);
    judged_end(&j);
}

static void
a_limit_in_an_alternative_is_asked_when_the_others_are_false(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { any = ( { over = \"logins\"; }, "
                               "{ status = 401; }, { method = \"PUT\"; } ); };"));
    assert_verdict(judged_start(&j), VERDICT_LEARN, "a");
    CU_ASSERT_EQUAL(j.limits_asked, 0);
    judged_respond(&j, 401, NULL);
    assert_verdict(judged_go_on(&j), VERDICT_DENY, "a");
    CU_ASSERT_EQUAL(j.limits_asked, 0);
    j.response.status = 200;
    assert_verdict(judged_start(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_EQUAL(j.limits_asked, 1);
    judged_end(&j);
}

/* The key of "each" is the user. */
static void
a_limit_waits_for_what_its_key_is_made_of(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { over = \"each\"; };"));
    j.is_over = true;
    CU_ASSERT_EQUAL(judged_start(&j).wanted, STAGE_USER);
    judged_log_in(&j, "alice", "all");
    assert_verdict(judged_go_on(&j), VERDICT_DENY, "a");
    j.facts.known &= ~STAGE_BIT(STAGE_USER); /* and never comes */
    assert_verdict(judged_start(&j), VERDICT_ALLOW, NULL);
    judged_end(&j);
    judged_begin(&j, RULE("a", "limit = \"each\";"));
    CU_ASSERT_EQUAL(judged_start(&j).kind, VERDICT_LEARN);
    CU_ASSERT_STRING_EQUAL(j.matched, "");
    judged_log_in(&j, "alice", "all");
    assert_verdict(judged_go_on(&j), VERDICT_ALLOW, NULL);
    CU_ASSERT_STRING_EQUAL(j.matched, "a");
    judged_end(&j);
}

static void
without_hooks_nothing_is_over(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { over = \"logins\"; };"));
    j.at = (struct evaluation){ .policy = j.policy };
    assert_verdict(policy_evaluate(&j.at, &j.facts, NULL, NULL), VERDICT_ALLOW, NULL);
    CU_ASSERT_EQUAL(j.at.asked, 0);
    judged_end(&j);
}

/* ---- groups and sets */

static void
sets_are_conditions_by_name(void)
{
    const char *sets = "sets = ( { name = \"inside\"; when = { client = \"10.0.0.0/8\"; }; },"
                       " { name = \"pages\"; when = { path = \"/dir/*\"; set = \"inside\"; }; },"
                       " { name = \"never\"; when = { method = \"PUT\"; }; } );";
    struct judged j;

    judged_begin(&j, "");
    CU_ASSERT_EQUAL(judged_truth(&j, "set = \"pages\";", sets), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "set = \"never\";", sets), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "set = [ \"never\", \"inside\" ];", sets), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "set = \"pages\"; method = \"PUT\";", sets), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { set = \"pages\"; } );", sets), TRUTH_FALSE);
    CU_ASSERT_EQUAL(judged_truth(&j, "all = ( { set = \"pages\"; }, { set = \"inside\"; } );",
                                 sets), TRUTH_TRUE);
    judged_end(&j);
}

/* Writes depth groups of "not" around "method = METHOD;". */
static void
write_nested(char *text, size_t bytes, const char *method, unsigned depth)
{
    size_t used = 0;

    for (unsigned i = 0; i < depth; i++)
        used += (size_t)snprintf(text + used, bytes - used, "not = ( { ");
    used += (size_t)snprintf(text + used, bytes - used, "method = \"%s\"; ", method);
    for (unsigned i = 0; i < depth; i++)
        used += (size_t)snprintf(text + used, bytes - used, "} ); ");
}

static void
groups_nest_eight_deep_and_no_deeper(void)
{
    char when[1000], rules[2000];
    struct judged j;
    struct err err;

    judged_begin(&j, "");
    write_nested(when, sizeof(when), "GET", 8);
    CU_ASSERT_EQUAL(judged_truth(&j, when, ""), TRUTH_TRUE);
    write_nested(when, sizeof(when), "GET", 7);
    CU_ASSERT_EQUAL(judged_truth(&j, when, ""), TRUTH_FALSE);
    write_nested(when, sizeof(when), "GET", 9);
    snprintf(rules, sizeof(rules), "rules = ( { action = \"deny\"; when = { %s }; } );", when);
    CU_ASSERT_PTR_NULL(policy_read(rules, "", &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nested more than 8 deep"));
    judged_end(&j);
}

static void
sets_in_sets_count_as_nested_and_never_hold_themselves(void)
{
    char sets[4000] = "sets = ( { name = \"s0\"; when = { method = \"GET\"; }; }";
    struct err err;
    size_t used;

    for (int i = 1; i < 12; i++) {
        used = strlen(sets);
        snprintf(sets + used, sizeof(sets) - used, ", { name = \"s%d\"; when = { set = \"s%d\"; }; "
                 "}", i, i - 1);
    }
    used = strlen(sets);
    snprintf(sets + used, sizeof(sets) - used, " );");
    CU_ASSERT_PTR_NULL(policy_read("rules = ();", sets, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nested more than 8 deep"));
    CU_ASSERT_PTR_NULL(policy_read("rules = ();", "sets = ( { name = \"a\"; when = { set = \"b\"; "
                                   "}; }, { name = \"b\"; when = { set = \"a\"; }; } );", &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is in itself"));
}

/* ---- the rest */

static void
stages_that_no_rule_asks_about_need_not_be_learned(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { not = ( { destination = "
                               "\"10.0.0.0/8\"; } ); };"));
    CU_ASSERT_EQUAL(policy_stages(j.policy), STAGE_BIT(STAGE_DESTINATION));
    CU_ASSERT_STRING_EQUAL(policy_conf_of(j.policy)->name, "p");
    judged_end(&j);
    judged_begin(&j, RULE("a", "action = \"authenticate\"; when = { sni = \"a.example\"; };"));
    CU_ASSERT_EQUAL(policy_stages(j.policy), STAGE_BIT(STAGE_USER) | STAGE_BIT(STAGE_SNI));
    judged_end(&j);
}

/* An expression that needs too much work must neither let in nor be walked around. */
static void
an_expression_that_gives_up_refuses(void)
{
    char path[200];
    struct judged j;

    path[0] = '/';
    memset(path + 1, 'a', 100);
    memcpy(path + 101, "!", 2);
    judged_begin(&j, RULE("a", "action = \"allow\"; when = { path_regex = \"^/(a+)+$\"; };") ","
                     RULE("b", "action = \"deny\";"));
    j.facts.path = slice_of(path);
    assert_verdict(judged_start(&j), VERDICT_DENY, "b");
    CU_ASSERT_EQUAL(judged_truth(&j, "path_regex = \"^/(a+)+$\";", ""), TRUTH_TRUE);
    CU_ASSERT_EQUAL(judged_truth(&j, "not = ( { path_regex = \"^/(a+)+$\"; } );", ""), TRUTH_TRUE);
    judged_end(&j);
}

static void
rules_are_named_by_name_and_place(void)
{
    struct rule_conf rule = { .place = { "a.conf", 12 }, .name = "no-ads" };
    char text[RULE_ID_BYTES];

    CU_ASSERT_STRING_EQUAL(rule_id(&rule, text), "no-ads (a.conf:12)");
    rule.name = NULL;
    CU_ASSERT_STRING_EQUAL(rule_id(&rule, text), "a.conf:12");
    CU_ASSERT_STRING_EQUAL(rule_id(NULL, text), "default");
}

static void
policies_are_found_by_name(void)
{
    struct judged j;
    struct err err;

    judged_begin(&j, "");
    CU_ASSERT_PTR_NOT_NULL(policy_named(&j.snapshot->conf, "p", &err));
    CU_ASSERT_PTR_NULL(policy_named(&j.snapshot->conf, "q", &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "there is no policy \"q\"; did you mean \"p\"?"));
    judged_end(&j);
}

static void
every_rule_tried_is_told_with_the_reason(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", TAG "when = { host = \"other.example\"; };") ","
                     RULE("b", TAG "when = { host = \"*.example.com\"; client = \"10.0.0.0/8\"; };")
                     "," RULE("c", TAG "when = { not = ( { path = \"/dir/*\"; } ); };") ","
                     RULE("d", TAG "when = { any = ( { method = \"PUT\"; }, "
                               "{ scheme = \"https\"; } ); };") ","
                     RULE("e", TAG) ","
                     RULE("f", "action = \"deny\"; when = { method = \"GET\"; user = \"eve\"; };"));
    j.says = true;
    judged_start(&j);
    CU_ASSERT_STRING_EQUAL(
        j.said,
        "a: false: host \"www.example.com\" is not \"other.example\"\n"
        "b: true: host \"www.example.com\" is \"*.example.com\", client 10.0.0.7 is in "
        "10.0.0.0-10.255.255.255\n"
        "c: false: path \"/dir/page\" is \"/dir/*\"\n"
        "d: false: method \"GET\" is not \"PUT\", scheme \"http\" is not \"https\"\n"
        "e: true: it has no conditions\n"
        "f: unknown: user: the user is not known yet\n");
    judged_end(&j);
}

/* Explaining takes from no limit more than judging does. */
static void
telling_asks_no_limit_again(void)
{
    struct judged j;

    judged_begin(&j, RULE("a", "action = \"deny\"; when = { over = \"logins\"; };") ","
                     RULE("b", "action = \"deny\"; when = { not = ( { over = \"logins\"; } ); };"));
    j.says = true;
    assert_verdict(judged_start(&j), VERDICT_DENY, "b");
    CU_ASSERT_EQUAL(j.limits_asked, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(j.said, "a: false: the limit is not over: \"logins\"\n"));
    judged_end(&j);
}

static void
hostile_values_are_escaped_and_cut_when_told(void)
{
    struct judged j;
    char host[3000];

    memset(host, '\n', sizeof(host));
    judged_begin(&j, RULE("a", TAG "when = { header = \"X-A\"; host = \"a.example\"; };"));
    j.says = true;
    j.facts.host = slice_make(host, sizeof(host));
    judged_start(&j);
    CU_ASSERT_PTR_NOT_NULL(strstr(j.said, "host \"\\x0A\\x0A"));
    CU_ASSERT(strlen(j.said) < 300);
    CU_ASSERT_PTR_EQUAL(strchr(j.said, '\n'), j.said + strlen(j.said) - 1);
    judged_end(&j);
}

void
suite_policy(void)
{
    CU_pSuite s = CU_add_suite("policy", NULL, NULL);

    CU_add_test(s, "the first decisive rule wins", the_first_decisive_rule_wins);
    CU_add_test(s, "each action gives its verdict", each_action_gives_its_verdict);
    CU_add_test(s, "without a decisive rule the default decides",
                without_a_decisive_rule_the_default_decides);
    CU_add_test(s, "effects come in the order of rules, and once",
                effects_come_in_the_order_of_rules_and_once);
    CU_add_test(s, "a later rule never overtakes one that waits",
                a_later_rule_never_overtakes_one_that_waits);
    CU_add_test(s, "one false condition is enough before the others are known",
                one_false_condition_is_enough_before_the_others_are_known);
    CU_add_test(s, "the earliest stage that can decide is wanted",
                the_earliest_stage_that_can_decide_is_wanted);
    CU_add_test(s, "unknown stays unknown under not", unknown_stays_unknown_under_not);
    CU_add_test(s, "absent facts make conditions false, and their denials true",
                absent_facts_make_conditions_false_and_their_denials_true);
    CU_add_test(s, "a request is learned when only the connection is known",
                a_request_is_learned_when_only_the_connection_is_known);
    CU_add_test(s, "log_only matches and changes nothing", log_only_matches_and_changes_nothing);
    CU_add_test(s, "who has logged in passes authenticate",
                who_has_logged_in_passes_authenticate);
    CU_add_test(s, "authenticate challenges also where there are no users",
                authenticate_challenges_also_where_there_are_no_users);
    CU_add_test(s, "a limit is asked once, and only when all else is true",
                a_limit_is_asked_once_and_only_when_all_else_is_true);
    CU_add_test(s, "a limit waits for what else is unknown",
                a_limit_waits_for_what_else_is_unknown);
    CU_add_test(s, "a limit in an alternative is asked when the others are false",
                a_limit_in_an_alternative_is_asked_when_the_others_are_false);
    CU_add_test(s, "a limit waits for what its key is made of",
                a_limit_waits_for_what_its_key_is_made_of);
    CU_add_test(s, "without hooks nothing is over", without_hooks_nothing_is_over);
    CU_add_test(s, "sets are conditions by name", sets_are_conditions_by_name);
    CU_add_test(s, "groups nest eight deep and no deeper", groups_nest_eight_deep_and_no_deeper);
    CU_add_test(s, "sets in sets count as nested, and never hold themselves",
                sets_in_sets_count_as_nested_and_never_hold_themselves);
    CU_add_test(s, "stages that no rule asks about need not be learned",
                stages_that_no_rule_asks_about_need_not_be_learned);
    CU_add_test(s, "an expression that gives up refuses", an_expression_that_gives_up_refuses);
    CU_add_test(s, "rules are named by name and place", rules_are_named_by_name_and_place);
    CU_add_test(s, "policies are found by name", policies_are_found_by_name);
    CU_add_test(s, "every rule tried is told with the reason",
                every_rule_tried_is_told_with_the_reason);
    CU_add_test(s, "telling asks no limit again", telling_asks_no_limit_again);
    CU_add_test(s, "hostile values are escaped and cut when told",
                hostile_values_are_escaped_and_cut_when_told);
}
