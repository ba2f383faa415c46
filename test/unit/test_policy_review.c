/* SPDX-License-Identifier: BSD-2-Clause */
/* test_policy_review.c - rules that can never match are found, and no others
 * (server/policy/policy.h).
 */
#include "config.h"

#define FRONT_POLICY "policy = \"inner\"; "
#include "test/unit/policy_fixture.h"
#include "test/unit/suites.h"

#define FIRST(when_) "rules = ( { name = \"a\"; action = \"deny\"; when = { " when_ " }; }, "
#define SECOND(when_) "{ name = \"b\"; action = \"allow\"; when = { " when_ " }; } );"

static char said[20000];

static void
say(void *arg, const char *sentence)
{
    (void)arg;
    strncat(said, sentence, sizeof(said) - strlen(said) - 1);
    strncat(said, "\n", sizeof(said) - strlen(said) - 1);
}

/* What is said of a policy. */
static const char *
review(const char *rules, const char *more)
{
    bool has_inner = strstr(rules, "\"inner\"") != NULL;
    struct snapshot *snapshot;
    char text[10000];
    struct err err;

    snprintf(text, sizeof(text), "%s%s", rules,
             has_inner ? "" : " }, { name = \"inner\"; rules = ();");
    snapshot = policy_read(text, more, &err);

    if (snapshot == NULL)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(snapshot);
    said[0] = '\0';
    policies_review(&snapshot->conf, say, NULL);
    snapshot_unref(snapshot);
    return said;
}

/* Whether the second rule is found to be covered by the first. */
static bool
is_covered(const char *rules)
{
    return strstr(review(rules, "sets = ( { name = \"inside\"; when = { client = \"10.0.0.0/8\"; "
                                "}; }, { name = \"lan\"; when = { client = \"10.9.0.0/16\"; }; } "
                                ");"),
                  "rule \"b\" can never match: rule \"a\" at t.conf:") != NULL;
}

#define COVERS(wide_, narrow_) CU_ASSERT(is_covered(FIRST(wide_) SECOND(narrow_)))
#define COVERS_NOT(wide_, narrow_) CU_ASSERT_FALSE(is_covered(FIRST(wide_) SECOND(narrow_)))

static void
what_an_earlier_rule_decides_is_found(void)
{
    COVERS("", "");
    COVERS("", "host = \"a.example\";");
    COVERS("host = \"*.example\";", "host = [ \"a.example\", \"*.b.example\" ];");
    COVERS("host = [ \"b.example\", \"A.example\" ];", "host = \"a.example\"; method = \"GET\";");
    COVERS("client = \"10.0.0.0/8\";", "client = [ \"10.1.0.0/16\", \"10.2.0.0/16\" ];");
    COVERS("port = \"1-1000\";", "port = [ 80, 443 ];");
    COVERS("path = \"/a*\";", "path = [ \"/ab\", \"/a/b*\" ];");
    COVERS("method = \"GET\";", "method = \"HEAD\";");
    COVERS("user = \"*\";", "user = \"alice\";");
    COVERS("status = \"400-599\";", "status = [ 404, \"500-503\" ];");
    COVERS("content_type = \"image/*\";", "content_type = \"image/png\";");
    COVERS("longer_than = \"1K\";", "longer_than = \"2K\";");
    COVERS("header = \"X-A\";", "header = ( { name = \"x-a\"; value = \"1\"; } );");
    COVERS("path_regex = \"a\";", "path_regex = \"a\"; host = \"a.example\";");
    COVERS("time = \"Mon\";", "time = \"Mon\"; method = \"PUT\";");
    COVERS("set = \"inside\";", "set = \"lan\";");
    COVERS("any = ( { host = \"*.example\"; }, { host = \"*.test\"; } );", "host = \"a.test\";");
    COVERS("host = \"*.example\";",
           "any = ( { host = \"a.example\"; }, { host = \"b.example\"; } );");
    COVERS("not = ( { client = \"10.0.0.0/8\"; } );", "client = \"192.0.2.0/24\";");
    COVERS("not = ( { set = \"lan\"; } );", "not = ( { set = \"inside\"; } );");
    COVERS("all = ( { host = \"*.example\"; }, { method = \"GET\"; } );",
           "host = \"a.example\"; method = \"GET\"; user = \"eve\";");
}

static void
what_is_left_over_is_not(void)
{
    COVERS_NOT("host = \"a.example\";", "");
    COVERS_NOT("host = \"*.example\";", "host = [ \"a.example\", \"a.test\" ];");
    COVERS_NOT("host = \"*.a.example\";", "host = \"a.example\";");
    COVERS_NOT("client = \"10.0.0.0/8\";", "client = [ \"10.1.0.0/16\", \"2001:db8::/32\" ];");
    COVERS_NOT("client = \"10.0.0.0/8\"; method = \"GET\";", "client = \"10.1.0.0/16\";");
    COVERS_NOT("port = \"100-1000\";", "port = [ 80, 443 ];");
    COVERS_NOT("path = \"/a\";", "path = \"/a*\";");
    COVERS_NOT("method = \"HEAD\";", "method = \"GET\";");
    COVERS_NOT("header = ( { name = \"X-A\"; value = \"1\"; } );", "header = \"X-A\";");
    COVERS_NOT("time = \"Mon\"; time_zone = \"UTC\";", "time = \"Mon\";");
    COVERS_NOT("set = \"lan\";", "set = \"inside\";");
    COVERS_NOT("all = ( { host = \"*.example\"; }, { method = \"PUT\"; } );",
               "host = \"a.example\";");
    COVERS_NOT("not = ( { set = \"inside\"; } );", "not = ( { set = \"lan\"; } );");
    COVERS_NOT("not = ( { client = \"10.0.0.0/8\"; } );", "client = \"0.0.0.0/0\";");
    CU_ASSERT_FALSE(is_covered("rules = ( { name = \"a\"; action = \"deny\"; log_only = true; }, "
                               SECOND("")));
    CU_ASSERT_FALSE(is_covered("rules = ( { name = \"a\"; tags = \"t\"; }, " SECOND("")));
    CU_ASSERT_FALSE(is_covered("rules = ( { name = \"a\"; action = \"authenticate\"; }, "
                               SECOND("")));
}

static bool
is_contradictory(const char *rules)
{
    return strstr(review(rules, ""), "rule \"b\" can never match: its conditions exclude each "
                                     "other") != NULL;
}

static void
conditions_that_exclude_each_other_are_found(void)
{
    CU_ASSERT(is_contradictory("rules = ( " SECOND("host = \"a.example\"; all = ( { host = "
                                                   "\"b.example\"; } );")));
    CU_ASSERT(is_contradictory("rules = ( " SECOND("client = \"10.0.0.0/8\"; not = ( { client = "
                                                   "\"10.0.0.0/7\"; } );")));
    CU_ASSERT(is_contradictory("rules = ( " SECOND("method = \"GET\"; any = ( { method = \"PUT\"; "
                                                   "}, { method = \"POST\"; } );")));
    CU_ASSERT(is_contradictory("rules = ( " SECOND("status = \"400-499\"; all = ( { status = "
                                                   "\"500-599\"; } );")));
    CU_ASSERT_FALSE(is_contradictory("rules = ( " SECOND("status = \"400-500\"; all = ( { status = "
                                                         "\"500-599\"; } );")));
    CU_ASSERT_FALSE(is_contradictory("rules = ( " SECOND("user_group = \"a\"; all = ( { user_group "
                                                         "= \"b\"; } );")));
    CU_ASSERT_FALSE(is_contradictory("rules = ( " SECOND("host = \"*.example\"; not = ( { host = "
                                                         "\"a.example\"; } );")));
}

static void
facts_that_are_nowhere_to_be_had_are_found(void)
{
    const char *rules =
        "rules = ( { name = \"b\"; action = \"deny\"; when = { destination = \"10.0.0.0/8\"; }; }, "
        "{ name = \"c\"; action = \"deny\"; when = { any = ( { sni_differs = true; }, { mode = "
        "\"port\"; } ); }; } );";
    char two[1000];

    CU_ASSERT_STRING_EQUAL(review(rules, ""), ""); /* forward mode has both */
    snprintf(two, sizeof(two), "rules = (); }, { name = \"q\"; %s", rules);
    CU_ASSERT_PTR_NOT_NULL(strstr(review(two, ""),
                                  "policy \"q\": no listener and no site uses it"));
    snprintf(two, sizeof(two), "rules = (); }, { name = \"inner\"; %s", rules);
    review(two, "");
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "policy \"inner\": rule \"b\" can never match: its "
                                        "condition \"destination\" is true nowhere"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "policy \"inner\": rule \"c\" can never match"));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        review("rules = ( { name = \"b\"; action = \"deny\"; when = { listener = \"front\"; }; } "
               ");", ""),
        "rule \"b\" can never match: its condition \"listener\" is true nowhere"));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        review("rules = ( { name = \"b\"; action = \"deny\"; when = { mode = \"reverse\"; }; } );",
               ""), "its condition \"mode\" is true nowhere"));
}

static bool
is_never_of_connect(const char *when)
{
    char rules[1000];

    snprintf(rules, sizeof(rules),
             "rules = ( { name = \"b\"; action = \"deny\"; when = { %s }; } );", when);
    review(rules, "sets = ( { name = \"tunnels\"; when = { method = \"CONNECT\"; }; } );");
    return strstr(said, "rule \"b\" can never match: its condition") != NULL &&
           strstr(said, "is never true of CONNECT") != NULL;
}

/* RFC 9110 section 9.3.6: the target of CONNECT is a host and a port. */
static void
connect_has_no_path_and_no_response(void)
{
    CU_ASSERT(is_never_of_connect("method = \"CONNECT\"; path = \"*\";"));
    CU_ASSERT(is_never_of_connect("set = \"tunnels\"; path_regex = \"a\";"));
    CU_ASSERT(is_never_of_connect("all = ( { method = \"CONNECT\"; } ); any = ( { query = \"a\"; "
                                  "}, { scheme = \"https\"; } );"));
    CU_ASSERT(is_never_of_connect("any = ( { method = \"CONNECT\"; status = 404; }, { method = "
                                  "\"CONNECT\"; longer_than = \"1K\"; } );"));
    CU_ASSERT_FALSE(is_never_of_connect("method = [ \"CONNECT\", \"GET\" ]; path = \"*\";"));
    CU_ASSERT_FALSE(is_never_of_connect("method = \"CONNECT\"; host = \"a.example\"; port = 443; "
                                        "header = \"X-A\"; destination = \"10.0.0.0/8\"; "
                                        "sni_differs = true;"));
    CU_ASSERT_FALSE(is_never_of_connect("any = ( { method = \"CONNECT\"; }, { path = \"/a\"; } "
                                        ");"));
    CU_ASSERT_FALSE(is_never_of_connect("method = \"CONNECT\"; any = ( { port = 443; }, { path = "
                                        "\"/a\"; } );"));
}

static bool
is_always_denied(const char *policy, const char *when, const char *words)
{
    char rules[1000];

    snprintf(rules, sizeof(rules), "%s = ( { name = \"b\"; tags = \"t\"; when = { %s }; } );",
             strcmp(policy, "p") == 0 ? "rules" : "rules = (); }, { name = \"inner\"; rules", when);
    review(rules, "");
    return strstr(said, words) != NULL;
}

#define NOWHERE "of which nothing is known where this policy is used"
#define DESTINATION "not = ( { destination = \"10.0.0.0/8\"; } );"

/* server/policy/facts.h: what is not there makes no condition true, and so its denial. */
static void
denials_of_what_is_not_there_are_found(void)
{
    CU_ASSERT(is_always_denied("inner", DESTINATION, NOWHERE));
    CU_ASSERT(is_always_denied("inner", "any = ( { method = \"PUT\"; }, { " DESTINATION " } );",
                               NOWHERE));
    CU_ASSERT(is_always_denied("p", "not = ( { method = \"CONNECT\"; path = \"/a\"; } );",
                               "\"not\" around \"path\" of CONNECT"));
    CU_ASSERT(is_always_denied("p", DESTINATION, "true also where a group or another proxy"));
    CU_ASSERT_FALSE(is_always_denied("p", DESTINATION, NOWHERE));
    CU_ASSERT_FALSE(is_always_denied("p", "destination = \"any\"; " DESTINATION, "\"not\""));
    CU_ASSERT_FALSE(is_always_denied("p", "not = ( { host = \"a.example\"; } );", "\"not\""));
    CU_ASSERT_FALSE(is_always_denied("p", "not = ( { listener = \"front\"; } );", "\"not\""));
    CU_ASSERT_FALSE(is_always_denied("inner", "not = ( { mode = \"forward\"; } );", "\"not\""));
}

static void
effects_that_have_no_place_are_found(void)
{
    const char *rules = "rules = ( { name = \"b\"; upstream_proxy = \"http://proxy.example:3128\"; "
                        "source = \"192.0.2.1\"; direct = true; } );";
    char two[1000];

    CU_ASSERT_STRING_EQUAL(review(rules, ""), ""); /* forward mode */
    snprintf(two, sizeof(two), "rules = (); }, { name = \"inner\"; %s", rules);
    review(two, "");
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "rule \"b\" upstream_proxy does nothing where"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "rule \"b\" source does nothing where"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "rule \"b\" direct does nothing where"));
    CU_ASSERT_PTR_NULL(strstr(said, "set_request"));
    CU_ASSERT_STRING_EQUAL(review("rules = ( { limit = \"each\"; } );", ""), "");
    CU_ASSERT_PTR_NOT_NULL(strstr(
        review("rules = (); }, { name = \"inner\"; rules = ( { limit = \"each\"; } );", ""),
        "rule 1 takes nothing from limit \"each\" at t.conf:")); /* by users, and there are none */
}

static void
verdicts_that_come_too_late_are_found(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(
        review("rules = ( { name = \"a\"; action = \"deny\"; when = { content_type = \"image/*\"; "
               "}; } );", ""),
        "rule \"a\" asks about the response: what it refuses has been sent"));
    review("rules = ( { name = \"a\"; tags = \"t\"; when = { status = 500; method = \"GET\"; }; }, "
           "{ name = \"b\"; action = \"deny\"; when = { host = \"a.example\"; }; }, "
           "{ name = \"c\"; action = \"deny\"; when = { method = \"PUT\"; }; }, "
           "{ name = \"d\"; action = \"allow\"; when = { method = \"POST\"; }; } );", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "rule \"b\" is tried when the response is there"));
    CU_ASSERT_PTR_NULL(strstr(said, "rule \"c\"")); /* "a" is false of PUT at once */
    CU_ASSERT_PTR_NULL(strstr(said, "rule \"a\" asks"));
    CU_ASSERT_PTR_NULL(strstr(said, "rule \"d\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        review("default = \"deny\"; rules = ( { name = \"a\"; action = \"allow\"; when = { "
               "status = 200; }; } );", ""), "its default refuses when the response is there"));
    CU_ASSERT_STRING_EQUAL(review("rules = ( { name = \"a\"; action = \"deny\"; when = { host = "
                                  "\"a.example\"; }; } );", ""), "");
}

static void
sentences_begin_with_file_and_line(void)
{
    review("rules = (\n{ name = \"a\"; action = \"deny\"; },\n{ action = \"allow\"; } );", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "t.conf:"));
    CU_ASSERT_PTR_EQUAL(strstr(said, "t.conf:"), said);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, ": policy \"p\": rule 2 can never match: rule \"a\" at "
                                        "t.conf:"));
}

void
suite_policy_review(void)
{
    CU_pSuite s = CU_add_suite("policy_review", NULL, NULL);

    CU_add_test(s, "what an earlier rule decides is found", what_an_earlier_rule_decides_is_found);
    CU_add_test(s, "what is left over is not", what_is_left_over_is_not);
    CU_add_test(s, "conditions that exclude each other are found",
                conditions_that_exclude_each_other_are_found);
    CU_add_test(s, "facts that are nowhere to be had are found",
                facts_that_are_nowhere_to_be_had_are_found);
    CU_add_test(s, "CONNECT has no path and no response", connect_has_no_path_and_no_response);
    CU_add_test(s, "denials of what is not there are found",
                denials_of_what_is_not_there_are_found);
    CU_add_test(s, "effects that have no place are found", effects_that_have_no_place_are_found);
    CU_add_test(s, "verdicts that come too late are found", verdicts_that_come_too_late_are_found);
    CU_add_test(s, "sentences begin with file and line", sentences_begin_with_file_and_line);
}
