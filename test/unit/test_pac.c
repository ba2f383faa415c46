/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pac.c - rules as a browser can evaluate them. That the script runs, and says what it
 * should, is tested with an engine for JavaScript in test/flow/test_pac.py.
 */
#include "config.h"

#include "modes/pac_script.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

#include "modes/forward.h"
#include "server/policy/list.h"
#include "server/schema.h"

static struct arena arena;
static struct pac_conf pac;
static struct conf conf;
static struct listener_conf listener = { .name = "office", .mode = &forward_mode };
static struct policy_conf policy;
static void *rules[8];

static int
set_up(void)
{
    arena_init(&arena, NULL, 8 * 1024 * 1024);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

/* ---- making rules */

static struct strings
words(const char *first, const char *second)
{
    struct strings words = { arena_alloc(&arena, 2 * sizeof(struct slice)), 0 };

    words.items[words.count++] = slice_of(first);
    if (second != NULL)
        words.items[words.count++] = slice_of(second);
    return words;
}

static struct prefix_set *
networks(const char *text)
{
    struct prefix_set *set = prefix_set_new(&arena);
    struct err err;

    CU_ASSERT_EQUAL_FATAL(prefix_set_add(set, slice_of(text), &err), 0);
    prefix_set_seal(set);
    return set;
}

static struct config_list
list_of(void *item)
{
    struct config_list list = { arena_alloc(&arena, sizeof(void *)), 1 };

    list.items[0] = item;
    return list;
}

static struct condition_conf *
condition(void)
{
    return arena_zalloc(&arena, sizeof(struct condition_conf));
}

static struct condition_conf *
host(const char *name)
{
    struct condition_conf *when = condition();

    when->hosts = words(name, NULL);
    return when;
}

static struct rule_conf *
add_rule(struct condition_conf *when, enum rule_action action, bool direct)
{
    struct rule_conf *rule = arena_zalloc(&arena, sizeof(*rule));

    rule->when = *when;
    rule->action = action;
    rule->direct = direct;
    rules[policy.rules.count++] = rule;
    return rule;
}

static void
begin(void)
{
    pac = (struct pac_conf){ .place = { "t.conf", 1 } };
    conf = (struct conf){ .workers = 1 };
    policy = (struct policy_conf){ .name = "p", .rules = { rules, 0 } };
    listener.policy = &policy;
}

/* The script for a client; NUL-terminated. */
static char *
whole_script(const char *client)
{
    struct ip ip;
    struct pac_reader reader = { .conf = &conf, .listener = &listener, .pac = &pac, .client = &ip,
                                 .proxy = SLICE("PROXY p:1") };
    const struct rule_conf *left_out;
    struct slice script;

    CU_ASSERT_TRUE_FATAL(ip_parse(slice_of(client), &ip));
    script = pac_script(&arena, &reader, &left_out);
    CU_ASSERT_TRUE_FATAL(script.bytes > 0);
    CU_ASSERT_TRUE(slice_starts_with(script, SLICE("var PROXY = \"PROXY p:1\";\n")));
    return (char *)script.data;
}

/* What FindProxyForURL() does once the host is normalised. */
static const char *
statements(const char *client)
{
    static const char before[] = "\\.$/g, \"\");\n", behind[] = "\n}\n";
    char *text = whole_script(client), *end;

    text = strstr(text, before);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    end = strstr(text, behind);
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    end[sizeof(behind) - 1] = '\0'; /* before the functions */
    return text + sizeof(before) - 1;
}

static bool
has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

#define END "  return PROXY;\n}\n"

/* ---- strings */

static void
strings_cannot_end_before_their_end(void)
{
    struct slice text = pac_string(&arena, slice_make("a\"b\\c\n</script>\0\xe2\x80\xa8'", 20));

    CU_ASSERT_TRUE(slice_equal(text, SLICE("\"a\\x22b\\x5cc\\x0a\\x3c\\x2fscript\\x3e\\x00"
                                           "\\xe2\\x80\\xa8\\x27\"")));
    CU_ASSERT_TRUE(slice_equal(pac_string(&arena, SLICE("PROXY a-b.example:3128; DIRECT")),
                               SLICE("\"PROXY a-b.example:3128; DIRECT\"")));
    CU_ASSERT_TRUE(slice_equal(pac_string(&arena, SLICE("")), SLICE("\"\"")));
}

static void
hosts_of_rules_are_escaped_too(void)
{
    begin();
    add_rule(host("a\"]) || true); alert(\"x"), RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"), "is(host, [\"a\\x22\\x5d\\x29 \\x7c\\x7c true"));
}

/* ---- rules */

static void
without_rules_all_goes_through_the_proxy(void)
{
    begin();
    CU_ASSERT_STRING_EQUAL(statements("10.0.0.1"), END);
    listener.policy = NULL;
    CU_ASSERT_STRING_EQUAL(statements("10.0.0.1"), END);
}

static void
what_is_direct_is_direct(void)
{
    struct condition_conf *when = condition();

    begin();
    when->hosts = words("WWW.Example.com.", "*.internal.example");
    when->schemes = words("https", NULL);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_STRING_EQUAL(statements("10.0.0.1"),
                           "  if (is(scheme(url), [\"https\"]) && "
                           "(is(host, [\"www.example.com\"]) || "
                           "under(host, [\".internal.example\"])))\n"
                           "    return \"DIRECT\";\n" END);
}

static void
rules_keep_their_order(void)
{
    const char *text;

    begin();
    add_rule(host("a.example"), RULE_DENY, false);
    add_rule(host("*.example"), RULE_ALLOW, true);
    add_rule(host("b.test"), RULE_DENY, false); /* behind the last direct one: no difference */
    text = statements("10.0.0.1");
    CU_ASSERT_STRING_EQUAL(text, "  if (is(host, [\"a.example\"]))\n    return PROXY;\n"
                                 "  if (under(host, [\".example\"]))\n"
                                 "    return \"DIRECT\";\n" END);
}

static void
a_rule_for_everything_ends_the_script(void)
{
    begin();
    add_rule(host("a.example"), RULE_CONTINUE, true);
    add_rule(condition(), RULE_DENY, false);
    add_rule(host("b.example"), RULE_CONTINUE, true);
    CU_ASSERT_FALSE(has(statements("10.0.0.1"), "b.example"));
}

/* In doubt it is the proxy that decides. */
static void
what_a_browser_cannot_tell_goes_through_the_proxy(void)
{
    struct condition_conf *when = host("a.example");

    begin();
    when->user_groups = words("staff", NULL);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_FALSE(has(statements("10.0.0.1"), "DIRECT"));
    begin();
    add_rule(when, RULE_DENY, false);
    add_rule(host("*.example"), RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"), "  if (is(host, [\"a.example\"]))\n"
                                               "    return PROXY;\n"));
}

/* Else a rule about users would send everything through the proxy. */
static void
a_decisive_rule_that_tells_a_browser_nothing_is_left_out(void)
{
    struct condition_conf *users = condition(), *there = condition();

    begin();
    users->user_groups = words("guests", NULL);
    there->destinations = networks("10.0.0.0/8");
    add_rule(users, RULE_DENY, false);
    add_rule(there, RULE_DENY, false);
    add_rule(condition(), RULE_AUTHENTICATE, false);
    add_rule(host("a.example"), RULE_CONTINUE, true);
    CU_ASSERT_STRING_EQUAL(statements("10.0.0.1"),
                           "  if (among(address4(host), [167772160,184549375]))\n"
                           "    return PROXY;\n"
                           "  if (is(host, [\"a.example\"]))\n    return \"DIRECT\";\n" END);
}

static void
log_only_rules_do_nothing(void)
{
    begin();
    add_rule(host("a.example"), RULE_CONTINUE, true)->log_only = true;
    add_rule(host("*.example"), RULE_DENY, false)->log_only = true;
    add_rule(host("b.example"), RULE_CONTINUE, true);
    CU_ASSERT_STRING_EQUAL(statements("10.0.0.1"),
                           "  if (is(host, [\"b.example\"]))\n    return \"DIRECT\";\n" END);
}

static void
not_turns_surely_into_perhaps(void)
{
    struct condition_conf *when = host("*.example"), *inner = host("b.example");

    begin();
    when->none = list_of(inner);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"), "under(host, [\".example\"]) && "
                                               "!(is(host, [\"b.example\"]))"));
    begin();
    inner = condition();
    inner->methods = words("POST", NULL);
    when->none = list_of(inner);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_FALSE(has(statements("10.0.0.1"), "DIRECT")); /* who knows the method? */
    begin();
    inner = host("b.example");
    inner->methods = words("POST", NULL);
    when->none = list_of(inner);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"), "!(is(host, [\"b.example\"]))"));
}

/* Each network gets a file of its own. */
static void
conditions_on_the_client_are_evaluated_here(void)
{
    struct condition_conf *when = host("a.example");

    begin();
    when->clients = networks("10.1.0.0/16");
    when->listeners = words("office", "lab");
    when->modes = words("forward", NULL);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.1.2.3"), "  if (is(host, [\"a.example\"]))\n"));
    CU_ASSERT_FALSE(has(statements("10.2.2.3"), "a.example"));
    when->listeners = words("lab", NULL);
    begin();
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_FALSE(has(statements("10.1.2.3"), "a.example"));
}

static void
networks_are_for_hosts_that_are_addresses(void)
{
    struct condition_conf *when = condition();

    begin();
    when->destinations = networks("2001:db8::/32");
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"),
                       "among(address6(host), [\"20010db8000000000000000000000000\","
                       "\"20010db8ffffffffffffffffffffffff\"])"));
}

static void
ports_are_ranges(void)
{
    struct condition_conf *when = condition();
    struct port_range ranges[] = { { 80, 80 }, { 8000, 8999 } };

    begin();
    when->ports = (struct port_set){ ranges, 2 };
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"), "among(port(url), [80,80,8000,8999])"));
}

static void
small_lists_and_sets_are_told(void)
{
    struct list_conf list = { .name = "intranet", .kind = LIST_DOMAINS };
    struct condition_set_conf set = { .name = "inside" };
    struct condition_conf *when = condition();

    begin();
    list.items = words("one.example", "two.example");
    conf.lists = list_of(&list);
    set.when.host_in = words("intranet", NULL);
    conf.sets = list_of(&set);
    when->sets = words("inside", NULL);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"),
                       "within(host, [\"one.example\",\"two.example\"])"));
    list.files = words("/long", NULL);
    CU_ASSERT_FALSE(has(statements("10.0.0.1"), "DIRECT"));
}

/* A condition on everything that a browser can tell. */
static struct condition_conf *
all_that_is_known(void)
{
    static struct port_range range = { 81, 89 };
    static struct list_conf list = { .name = "intranet", .kind = LIST_DOMAINS };
    struct condition_conf *when = host("*.example");

    list.items = words("one.example", NULL);
    conf.lists = list_of(&list);
    when->host_in = words("intranet", NULL);
    when->schemes = words("https", NULL);
    when->ports = (struct port_set){ &range, 1 };
    when->destinations = networks("10.0.0.0/8");
    return when;
}

static void
a_script_has_the_functions_that_it_calls(void)
{
    static const char *const names[] = { "is", "within", "under", "among", "port", "scheme",
                                         "address4", "address6", "groups", "number4" };
    const char *text;

    begin();
    add_rule(all_that_is_known(), RULE_CONTINUE, true);
    text = whole_script("10.0.0.1");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        CU_ASSERT_TRUE(has(text, arena_printf(&arena, "\nfunction %s(", names[i]).data));
    begin();
    add_rule(host("*.example"), RULE_CONTINUE, true);
    text = whole_script("10.0.0.1");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        CU_ASSERT_EQUAL(has(text, arena_printf(&arena, "\nfunction %s(", names[i]).data),
                        strcmp(names[i], "under") == 0);
}

/* So many that two of these conditions do not fit. */
static struct condition_conf *
many_hosts(void)
{
    struct strings many = { arena_alloc(&arena, PAC_VALUES_MAX * sizeof(struct slice)),
                            PAC_VALUES_MAX };
    struct condition_conf *when = condition();

    for (size_t i = 0; i < many.count; i++)
        many.items[i] = arena_printf(&arena, "host-%zu.%0120u.example", i, 7u);
    when->hosts = many;
    return when;
}

/* However long a policy is: what is left out goes through the proxy. */
static void
a_script_does_not_grow_without_end(void)
{
    const char *text;

    begin();
    add_rule(host("first.example"), RULE_CONTINUE, true);
    add_rule(all_that_is_known(), RULE_CONTINUE, true); /* the functions have room, too */
    add_rule(many_hosts(), RULE_CONTINUE, true);
    add_rule(many_hosts(), RULE_DENY, false);
    add_rule(host("last.example"), RULE_CONTINUE, true);
    text = whole_script("10.0.0.1");
    CU_ASSERT_TRUE(has(text, "first.example"));
    CU_ASSERT_TRUE(has(text, "host-499."));
    CU_ASSERT_FALSE(has(text, "last.example"));
    CU_ASSERT_TRUE(has(text, END));
    CU_ASSERT_TRUE(has(text, "function number4("));
    CU_ASSERT_TRUE(strlen(text) < PAC_SCRIPT_BYTES_MAX);
}

/* ---- check */

static void
on_sentence(void *arg, const char *sentence)
{
    struct slice *said = arg;

    *said = arena_printf(&arena, "%.*s%s\n", SLICE_ARG(*said), sentence);
}

/* What `check` says of the rules, which stand in line 1, 2 ...; NUL-terminated. */
static const char *
review(void)
{
    struct slice said = SLICE("");

    for (unsigned i = 0; i < policy.rules.count; i++)
        ((struct rule_conf *)rules[i])->place = (struct place){ .file = "t.conf", .line = i + 1 };
    pac_review(&pac, &listener, &conf, on_sentence, &said);
    return said.data;
}

static void
check_tells_of_rules_that_browsers_cannot_follow(void)
{
    struct condition_conf *when = host("a.example");

    begin();
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_STRING_EQUAL(review(), "");
    when->methods = words("POST", NULL);
    add_rule(when, RULE_CONTINUE, true);
    CU_ASSERT_TRUE(slice_starts_with(slice_of(review()),
                                     SLICE("t.conf:2: warning: listener \"office\": ")));
    CU_ASSERT_TRUE(has(review(), "its method is nothing that they can evaluate"));
}

static void
check_tells_of_rules_that_do_not_fit(void)
{
    begin();
    add_rule(host("first.example"), RULE_CONTINUE, true);
    add_rule(many_hosts(), RULE_CONTINUE, true);
    CU_ASSERT_STRING_EQUAL(review(), "");
    add_rule(many_hosts(), RULE_DENY, false);
    add_rule(host("last.example"), RULE_CONTINUE, true);
    CU_ASSERT_TRUE(slice_starts_with(slice_of(review()), SLICE("t.conf:3: warning: ")));
    CU_ASSERT_TRUE(has(review(), "do not fit into a file of 128 KiB"));
}

/* ---- options */

static int
finish(const char *proxy, const char *direct, struct err *err)
{
    begin();
    if (proxy != NULL)
        pac.proxies = words(proxy, NULL);
    if (direct != NULL)
        pac.direct = words(direct, NULL);
    return pac_conf_finish(&pac, &arena, err);
}

static void
options_are_checked(void)
{
    struct err err;

    CU_ASSERT_EQUAL(finish("proxy.example.com:3128", "*.example", &err), 0);
    CU_ASSERT_EQUAL(finish("[2001:db8::1]:3128", "plain", &err), 0);
    CU_ASSERT_EQUAL(finish(NULL, "10.0.0.0/8", &err), 0);
    CU_ASSERT_EQUAL(finish(NULL, "private", &err), 0);
    CU_ASSERT_EQUAL(finish("proxy.example.com", NULL, &err), -1);
    CU_ASSERT_EQUAL(finish("http://proxy.example.com:3128", NULL, &err), -1);
    CU_ASSERT_EQUAL(finish("a:1; DIRECT", NULL, &err), -1);
    CU_ASSERT_EQUAL(finish(NULL, "10.0.0.1/8", &err), -1);
    CU_ASSERT_EQUAL(finish(NULL, "a b", &err), -1);
    CU_ASSERT_EQUAL(finish(NULL, "*.", &err), -1);
    CU_ASSERT_EQUAL(finish(NULL, "a.example:80", &err), -1);
}

static void
what_is_configured_for_the_file_comes_first(void)
{
    struct err err;

    CU_ASSERT_EQUAL(finish(NULL, "plain", &err), 0);
    CU_ASSERT_TRUE(has(statements("10.0.0.1"), "  if (host.indexOf(\".\") < 0"));
    CU_ASSERT_EQUAL(finish(NULL, "10.0.0.0/8", &err), 0);
    add_rule(condition(), RULE_DENY, false);
    CU_ASSERT_STRING_EQUAL(statements("10.0.0.1"),
                           "  if (among(address4(host), [167772160,184549375]))\n"
                           "    return \"DIRECT\";\n" END);
}

void
suite_pac(void)
{
    CU_pSuite s = CU_add_suite("pac", set_up, tear_down);

    CU_add_test(s, "strings cannot end before their end", strings_cannot_end_before_their_end);
    CU_add_test(s, "hosts of rules are escaped, too", hosts_of_rules_are_escaped_too);
    CU_add_test(s, "without rules all goes through the proxy",
                without_rules_all_goes_through_the_proxy);
    CU_add_test(s, "what is direct is direct", what_is_direct_is_direct);
    CU_add_test(s, "rules keep their order", rules_keep_their_order);
    CU_add_test(s, "a rule for everything ends the script", a_rule_for_everything_ends_the_script);
    CU_add_test(s, "what a browser cannot tell goes through the proxy",
                what_a_browser_cannot_tell_goes_through_the_proxy);
    CU_add_test(s, "a decisive rule that tells a browser nothing is left out",
                a_decisive_rule_that_tells_a_browser_nothing_is_left_out);
    CU_add_test(s, "log_only rules do nothing", log_only_rules_do_nothing);
    CU_add_test(s, "not turns surely into perhaps", not_turns_surely_into_perhaps);
    CU_add_test(s, "conditions on the client are evaluated here",
                conditions_on_the_client_are_evaluated_here);
    CU_add_test(s, "networks are for hosts that are addresses",
                networks_are_for_hosts_that_are_addresses);
    CU_add_test(s, "ports are ranges", ports_are_ranges);
    CU_add_test(s, "small lists and sets are told", small_lists_and_sets_are_told);
    CU_add_test(s, "a script has the functions that it calls",
                a_script_has_the_functions_that_it_calls);
    CU_add_test(s, "a script does not grow without end", a_script_does_not_grow_without_end);
    CU_add_test(s, "check tells of rules that browsers cannot follow",
                check_tells_of_rules_that_browsers_cannot_follow);
    CU_add_test(s, "check tells of rules that do not fit", check_tells_of_rules_that_do_not_fit);
    CU_add_test(s, "options are checked", options_are_checked);
    CU_add_test(s, "what is configured for the file comes first",
                what_is_configured_for_the_file_comes_first);
}
