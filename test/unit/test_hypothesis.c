/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hypothesis.c - what would become of a request (modes/hypothesis.h), what is said of
 * that (modes/explain.h), and what was expected (modes/expectations.h).
 */
#include "config.h"

#include "modes/hypothesis.h"

#include "modes/expectations.h"
#include "modes/explain.h"
#include "server/commands/policy_parts.h"
#include "server/snapshot.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

/* Line numbers count: tests name them. */
#define CONF \
    "lists = ( { name = \"ads\"; kind = \"domains\"; items = [ \"ads.example\" ]; } );\n" \
    "limits = ( { name = \"logins\"; key = \"client\"; rate = \"1/1m\"; } );\n" \
    "policies = (\n" \
    "  { name = \"office\"; rules = (\n" \
    "    { name = \"no-ads\"; when = { host_in = \"ads\"; }; action = \"deny\";" \
    " status = 451; why = \"No ads.\"; },\n" \
    "    { name = \"mark\"; when = { host = \"www.marked.example\"; };" \
    " set_request = \"X-Team: red\"; tags = \"marked\"; },\n" \
    "    { name = \"far\"; when = { destination = \"198.51.100.0/24\"; }; action = \"deny\"; },\n" \
    "    { name = \"moved\"; when = { host = \"old.example\"; }; action = \"redirect\";" \
    " redirect = \"http://new.example%{target}\"; },\n" \
    "    { when = { sni = \"bad.example\"; }; action = \"deny\"; },\n" \
    "    { name = \"last\"; when = { host = \"*.example\"; }; action = \"allow\"; } ); },\n" \
    "  { name = \"shop\"; rules = (\n" \
    "    { name = \"no-put\"; when = { method = \"PUT\"; }; action = \"drop\"; },\n" \
    "    { name = \"to-b\"; when = { path = \"/b*\"; }; group = \"b\"; } ); } );\n" \
    "listeners = ( { name = \"out\"; mode = \"forward\"; listen = \"127.0.0.1:3128\";" \
    " policy = \"office\"; },\n" \
    "  { name = \"front\"; mode = \"reverse\"; listen = \"127.0.0.1:8080\"; },\n" \
    "  { name = \"tcp\"; mode = \"port\"; listen = \"127.0.0.1:9999\"; group = \"b\";" \
    " allow_client = \"10.0.0.0/8\"; } );\n" \
    "groups = ( { name = \"a\"; endpoints = [ \"127.0.0.1:9000\", \"127.0.0.1:9001\" ]; },\n" \
    "  { name = \"b\"; endpoints = \"127.0.0.1:9002\"; } );\n" \
    "sites = ( { name = \"shop\"; hosts = \"shop.test\"; group = \"a\"; policy = \"shop\";\n" \
    "  routes = ( { name = \"old\"; path = \"/old\"; redirect = { to = \"/new\"; }; } ); } );\n"

#define LINE_NO_ADS 5
#define LINE_FAR 7

static struct snapshot *snapshot;
static struct question question;

static struct snapshot *
read_conf(const char *text, struct err *err)
{
    struct config_source source;
    struct snapshot *made;

    if (config_source_from_text("t.conf", slice_of(text), &source, err) < 0)
        return NULL;
    made = snapshot_new(&source, err);
    config_source_fini(&source);
    if (made != NULL && policy_parts_adopt(&made->conf, err) < 0) {
        policy_parts_release(&made->conf);
        snapshot_unref(made);
        return NULL;
    }
    return made;
}

static void
let_go(struct snapshot *made)
{
    policy_parts_release(&made->conf);
    snapshot_unref(made);
}

static int
begin(void)
{
    struct err err = { "" };

    snapshot = read_conf(CONF, &err);
    if (snapshot == NULL)
        fprintf(stderr, "%s\n", err.text);
    return snapshot != NULL ? 0 : -1;
}

static int
end(void)
{
    let_go(snapshot);
    return 0;
}

/* Words as a command gives them, two by two; the last is NULL. */
static void
ask(const char *const *words)
{
    struct err err = { "" };

    question = (struct question){ 0 };
    for (; words[0] != NULL; words += 2)
        if (question_set(&question, slice_of(words[0]), slice_of(words[1]), &err) < 0)
            CU_FAIL_FATAL("a question of a test is malformed");
}

static struct hypothesis *
think(const char *method, const char *url, const char *word, const char *value)
{
    const char *const words[] = { "method", method, "url", url, word, value, NULL };
    struct err err = { "" };
    struct hypothesis *h;

    ask(words);
    h = hypothesis_new(snapshot, &question, false, &err);
    if (h == NULL)
        fprintf(stderr, "%s %s: %s\n", method, url, err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    return h;
}

static void
expect_rule(const struct hypothesis *h, enum outcome outcome, unsigned status, const char *rule)
{
    CU_ASSERT_EQUAL(h->outcome, outcome);
    CU_ASSERT_EQUAL(h->status, status);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h->rule);
    CU_ASSERT_STRING_EQUAL(h->rule->name != NULL ? h->rule->name : "", rule);
}

/* ---- verdicts */

static void
a_rule_denies_with_its_status(void)
{
    struct hypothesis *h = think("GET", "http://x.ads.example/", NULL, NULL);

    expect_rule(h, OUTCOME_DENY, 451, "no-ads");
    CU_ASSERT_EQUAL(h->rule->place.line, LINE_NO_ADS);
    CU_ASSERT_EQUAL_FATAL(h->policy_count, 1);
    CU_ASSERT_EQUAL(h->policies[0].count, 1);
    CU_ASSERT_EQUAL(h->policies[0].rules[0].truth, TRUTH_TRUE);
    CU_ASSERT(h->policies[0].rules[0].why.bytes > 0);
    hypothesis_free(h);
}

static void
a_rule_that_is_not_known_waits_and_no_later_one_overtakes_it(void)
{
    struct hypothesis *h = think("GET", "http://www.example/", NULL, NULL);

    expect_rule(h, OUTCOME_WAIT, 0, "far");
    CU_ASSERT_EQUAL(h->decider->verdict.wanted, STAGE_DESTINATION);
    CU_ASSERT_EQUAL(h->policies[0].count, 3);
    hypothesis_free(h);
    h = think("GET", "http://www.example/", "destination", "198.51.100.1");
    expect_rule(h, OUTCOME_DENY, 403, "far");
    hypothesis_free(h);
    h = think("GET", "http://www.example/", "destination", "203.0.114.1");
    CU_ASSERT_EQUAL(h->outcome, OUTCOME_ALLOW);
    CU_ASSERT_STRING_EQUAL(h->policies[0].verdict.rule->name, "last");
    hypothesis_free(h);
}

/* DESIGN section 7: after the address of the destination comes the SNI. */
static void
a_tunnel_waits_for_its_server_name(void)
{
    const char *const words[] = { "method", "CONNECT", "url", "www.example:443", "destination",
                                  "203.0.114.1", "sni", "bad.example", NULL };
    struct hypothesis *h = think("CONNECT", "www.example:443", "destination", "203.0.114.1");
    struct err err;

    expect_rule(h, OUTCOME_WAIT, 0, "");
    CU_ASSERT_EQUAL(h->decider->verdict.wanted, STAGE_SNI);
    hypothesis_free(h);
    ask(words);
    h = hypothesis_new(snapshot, &question, false, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    expect_rule(h, OUTCOME_DENY, 403, "");
    hypothesis_free(h);
}

static void
redirects_say_where_to(void)
{
    struct hypothesis *h = think("GET", "http://old.example/a?b", "destination", "203.0.114.1");

    expect_rule(h, OUTCOME_REDIRECT, 302, "moved");
    CU_ASSERT(slice_equal(h->location, SLICE("http://new.example/a?b")));
    hypothesis_free(h);
}

static void
effects_are_carried_out_on_what_is_thought_of(void)
{
    struct hypothesis *h = think("GET", "http://www.marked.example/", "destination",
                                 "203.0.114.1");
    const struct field *field = fields_find_name(&h->ex.request.fields, SLICE("X-Team"));

    CU_ASSERT_EQUAL(h->outcome, OUTCOME_ALLOW);
    CU_ASSERT_PTR_NOT_NULL_FATAL(field);
    CU_ASSERT(slice_equal(field->value, SLICE("red")));
    CU_ASSERT(hypothesis_has(h, h->policies[0].rules[1].rule));
    CU_ASSERT_FALSE(hypothesis_has(h, h->policies[0].rules[0].rule));
    hypothesis_free(h);
}

/* The guards of a mode come before any rule. */
static void
what_a_mode_never_lets_through_is_denied(void)
{
    struct hypothesis *h = think("GET", "http://www.example:22/", NULL, NULL);

    CU_ASSERT_EQUAL(h->outcome, OUTCOME_DENY);
    CU_ASSERT_EQUAL(h->status, 403);
    CU_ASSERT_PTR_NULL(h->decider);
    CU_ASSERT(h->reason.bytes > 0);
    hypothesis_free(h);
    h = think("GET", "http://www.example/", "from", "203.0.114.5");
    CU_ASSERT_EQUAL(h->status, 403);
    CU_ASSERT_EQUAL(h->policy_count, 0);
    hypothesis_free(h);
    h = think("GET", "http://www.example/", "destination", "127.0.0.1");
    CU_ASSERT_EQUAL(h->outcome, OUTCOME_DENY);
    CU_ASSERT_PTR_NULL(h->decider);
    hypothesis_free(h);
}

/* ---- where it goes */

static void
the_site_is_found_and_its_policy_asked(void)
{
    struct hypothesis *h = think("GET", "http://shop.test/", NULL, NULL);

    CU_ASSERT_EQUAL(h->outcome, OUTCOME_ALLOW);
    CU_ASSERT_STRING_EQUAL(h->ex.listener->name, "front");
    CU_ASSERT_STRING_EQUAL(h->ex.site->name, "shop");
    CU_ASSERT_STRING_EQUAL(h->ex.to.group->name, "a");
    CU_ASSERT_EQUAL(h->endpoint_count, 2);
    CU_ASSERT_FALSE(h->endpoints[0].is_known);
    hypothesis_free(h);
    h = think("PUT", "http://shop.test/", NULL, NULL);
    expect_rule(h, OUTCOME_DROP, 0, "no-put");
    hypothesis_free(h);
}

static void
a_rule_may_choose_the_group(void)
{
    struct hypothesis *h = think("GET", "http://shop.test/b/c", NULL, NULL);

    CU_ASSERT_STRING_EQUAL(h->ex.to.group->name, "b");
    hypothesis_free(h);
}

static void
sites_that_answer_themselves_do(void)
{
    struct hypothesis *h = think("GET", "http://shop.test/old", NULL, NULL);

    CU_ASSERT_EQUAL(h->outcome, OUTCOME_ALLOW);
    CU_ASSERT_EQUAL(h->status, 302);
    CU_ASSERT_STRING_EQUAL(h->ex.route->name, "old");
    CU_ASSERT(slice_equal(h->location, SLICE("/new")));
    hypothesis_free(h);
}

/* A browser's request for one of our sites is judged by both policies. */
static void
on_the_way_out_a_site_of_ours_is_judged_twice(void)
{
    struct hypothesis *h = think("GET", "http://shop.test/", "listener", "out");

    CU_ASSERT_EQUAL(h->policy_count, 2);
    CU_ASSERT_STRING_EQUAL(h->ex.to.group->name, "a");
    hypothesis_free(h);
}

static void
connections_without_http_are_judged_too(void)
{
    const char *const words[] = { "listener", "tcp", "from", "10.1.2.3", NULL };
    struct hypothesis *h;
    struct err err;

    ask(words);
    h = hypothesis_new(snapshot, &question, false, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    CU_ASSERT_EQUAL(h->outcome, OUTCOME_ALLOW);
    CU_ASSERT_STRING_EQUAL(h->ex.to.group->name, "b");
    hypothesis_free(h);
    question.client = (struct ip){ .family = 4, .bytes = { 192, 0, 2, 1 } };
    h = hypothesis_new(snapshot, &question, false, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    CU_ASSERT_EQUAL(h->outcome, OUTCOME_DENY);
    hypothesis_free(h);
}

/* ---- questions that make no sense */

static bool
is_refused(const char *method, const char *url, const char *word, const char *value,
           const char *why)
{
    const char *const words[] = { "method", method, "url", url, word, value, NULL };
    struct err err = { "" };

    ask(words);
    CU_ASSERT_PTR_NULL_FATAL(hypothesis_new(snapshot, &question, false, &err));
    if (strstr(err.text, why) == NULL)
        fprintf(stderr, "%s\n", err.text);
    return strstr(err.text, why) != NULL;
}

static void
errors_say_what_would_do(void)
{
    CU_ASSERT(is_refused("GET", "www.example.com", NULL, NULL, "http://www.example.com/path"));
    CU_ASSERT(is_refused("GET", "/path", NULL, NULL, "names no host"));
    CU_ASSERT(is_refused("CONNECT", "www.example.com", NULL, NULL, "www.example.com:443"));
    CU_ASSERT(is_refused("GET", "http://a.test/", "listener", "oit", "did you mean \"out\""));
    CU_ASSERT(is_refused("GET", "http://a.test/", "listener", "tcp", "connections"));
    CU_ASSERT(is_refused("G T", "http://a.test/", NULL, NULL, "400"));
    CU_ASSERT(is_refused("GET", "http://a.test/ b", NULL, NULL, "400"));
}

/* ---- what is said */

static bool
says(const struct hypothesis *h, bool is_json, const char *words)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    bool is_there;

    if (is_json)
        explain_json(out, h);
    else
        explain_text(out, h);
    fclose(out);
    is_there = strstr(text, words) != NULL;
    if (!is_there)
        fprintf(stderr, "not \"%s\" in:\n%s\n", words, text);
    free(text);
    return is_there;
}

static void
the_answer_comes_first_and_names_the_rule(void)
{
    struct hypothesis *h = think("GET", "http://ads.example/", NULL, NULL);

    CU_ASSERT(says(h, false, "DENIED with 451 "));
    CU_ASSERT(says(h, false, " by rule no-ads (t.conf:5)"));
    CU_ASSERT(says(h, false, "=>   1  TRUE "));
    CU_ASSERT(says(h, false, "5 more rules were not reached"));
    CU_ASSERT(says(h, true, "\"verdict\":\"deny\",\"status\":451"));
    CU_ASSERT(says(h, true, "\"rule\":\"no-ads\",\"file\":\"t.conf\",\"line\":5"));
    hypothesis_free(h);
}

static void
what_is_not_known_is_named_with_the_flag_that_says_it(void)
{
    struct hypothesis *h = think("GET", "http://www.example/", NULL, NULL);

    CU_ASSERT(says(h, false, "NOT DECIDED by rule far (t.conf:7)"));
    CU_ASSERT(says(h, false, "--destination IP"));
    CU_ASSERT(says(h, true, "\"waits_for\":\"destination\""));
    hypothesis_free(h);
}

static bool
says_why_not_as(const struct hypothesis *h, bool is_json, const char *rule, const char *words)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    struct err err = { "" };
    int result = explain_why_not(out, h, slice_of(rule), is_json, &err);
    bool is_there;

    fclose(out);
    is_there = strstr(result == 0 ? text : err.text, words) != NULL;
    if (!is_there)
        fprintf(stderr, "not \"%s\" in: %s%s\n", words, text, err.text);
    free(text);
    return is_there;
}

static bool
says_why_not(const struct hypothesis *h, const char *rule, const char *words)
{
    return says_why_not_as(h, false, rule, words);
}

static void
why_not_names_the_condition_that_is_false(void)
{
    struct hypothesis *h = think("GET", "http://www.example/", "destination", "203.0.114.1");

    CU_ASSERT(says_why_not(h, "no-ads", "rule no-ads (t.conf:5) is false: "));
    CU_ASSERT(says_why_not(h, "no-ads", "www.example"));
    CU_ASSERT(says_why_not(h, "last", "is true"));
    CU_ASSERT(says_why_not(h, "t.conf:7", "rule far (t.conf:7) is false"));
    CU_ASSERT(says_why_not(h, "no-adds", "did you mean \"no-ads\""));
    CU_ASSERT(says_why_not(h, "no-put", "policy shop, which has no say"));
    hypothesis_free(h);
    h = think("GET", "http://ads.example/", NULL, NULL);
    CU_ASSERT(says_why_not(h, "last", "is not reached: rule no-ads (t.conf:5) decides"));
    hypothesis_free(h);
}

static void
why_not_says_the_same_to_programs(void)
{
    struct hypothesis *h = think("GET", "http://www.example/", "destination", "203.0.114.1");

    CU_ASSERT(says_why_not_as(h, true, "no-ads", "{\"rule\":\"no-ads\",\"file\":\"t.conf\","
                                                 "\"line\":5,\"is\":false,\"why\":\"host "));
    CU_ASSERT(says_why_not_as(h, true, "last", "\"is\":true,"));
    hypothesis_free(h);
    h = think("GET", "http://ads.example/", NULL, NULL);
    CU_ASSERT(says_why_not_as(h, true, "last", "\"is\":null,\"why\":\"rule no-ads "));
    hypothesis_free(h);
}

/* ---- expectations */

static char told[2048];

static void
on_broken(void *arg, const char *sentence)
{
    (void)arg;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", sentence);
}

/* How many of these are broken; what is said of them is in told. */
static unsigned
try(const char *expects)
{
    static char text[8192];
    struct err err = { "" };
    struct snapshot *made;
    unsigned broken;

    snprintf(text, sizeof(text), "%sexpect = ( %s );\n", CONF, expects);
    told[0] = '\0';
    made = read_conf(text, &err);
    if (made == NULL)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    broken = expectations_try(made, on_broken, NULL);
    let_go(made);
    return broken;
}

static void
what_comes_as_expected_says_nothing(void)
{
    CU_ASSERT_EQUAL(try("{ request = \"GET http://ads.example/\"; verdict = \"deny\";"
                        " status = 451; rule = \"no-ads\"; matched = \"no-ads\"; },"
                        "{ request = \"GET http://www.marked.example/\";"
                        " destination = \"203.0.114.1\"; verdict = \"allow\"; rule = \"last\";"
                        " set_request = [ \"X-Team: red\", \"X-Other:\" ]; },"
                        "{ request = \"GET http://www.test/\"; destination = \"203.0.114.1\";"
                        " verdict = \"allow\"; rule = \"default\"; },"
                        "{ request = \"GET http://shop.test/b\"; site = \"shop\";"
                        " group = \"b\"; },"
                        "{ listener = \"tcp\"; from = \"10.0.0.1\"; verdict = \"allow\"; }"), 0);
    CU_ASSERT_STRING_EQUAL(told, "");
}

static void
what_comes_otherwise_names_both_lines(void)
{
    CU_ASSERT_EQUAL(try("{ request = \"GET http://ads.example/\"; verdict = \"allow\"; }"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "t.conf:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "expect GET http://ads.example/: verdict allow expected"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "deny by rule no-ads (t.conf:5)"));
    CU_ASSERT_EQUAL(try("{ request = \"GET http://shop.test/\"; group = \"b\"; },"
                        "{ request = \"GET http://ads.example/\"; status = 403; },"
                        "{ request = \"GET http://ads.example/\"; rule = \"far\"; },"
                        "{ request = \"GET http://ads.example/\"; matched = \"mark\"; }"), 4);
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "group b expected, not a (t.conf:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "status 403 expected, not 451"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "rule far expected to decide"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "rule mark expected to be true, but it is not reached"));
}

void
suite_hypothesis(void)
{
    CU_pSuite s = CU_add_suite("hypothesis", begin, end);

    CU_add_test(s, "a rule denies with its status", a_rule_denies_with_its_status);
    CU_add_test(s, "a rule that is not known waits, and no later one overtakes it",
                a_rule_that_is_not_known_waits_and_no_later_one_overtakes_it);
    CU_add_test(s, "a tunnel waits for its server name", a_tunnel_waits_for_its_server_name);
    CU_add_test(s, "redirects say where to", redirects_say_where_to);
    CU_add_test(s, "effects are carried out on what is thought of",
                effects_are_carried_out_on_what_is_thought_of);
    CU_add_test(s, "what a mode never lets through is denied",
                what_a_mode_never_lets_through_is_denied);
    CU_add_test(s, "the site is found, and its policy asked",
                the_site_is_found_and_its_policy_asked);
    CU_add_test(s, "a rule may choose the group", a_rule_may_choose_the_group);
    CU_add_test(s, "sites that answer themselves do", sites_that_answer_themselves_do);
    CU_add_test(s, "on the way out a site of ours is judged twice",
                on_the_way_out_a_site_of_ours_is_judged_twice);
    CU_add_test(s, "connections without HTTP are judged too",
                connections_without_http_are_judged_too);
    CU_add_test(s, "errors say what would do", errors_say_what_would_do);
    CU_add_test(s, "the answer comes first and names the rule",
                the_answer_comes_first_and_names_the_rule);
    CU_add_test(s, "what is not known is named, with the flag that says it",
                what_is_not_known_is_named_with_the_flag_that_says_it);
    CU_add_test(s, "why-not names the condition that is false",
                why_not_names_the_condition_that_is_false);
    CU_add_test(s, "why-not says the same to programs", why_not_says_the_same_to_programs);
    CU_add_test(s, "what comes as expected says nothing", what_comes_as_expected_says_nothing);
    CU_add_test(s, "what comes otherwise names both lines", what_comes_otherwise_names_both_lines);
}
