/* SPDX-License-Identifier: BSD-2-Clause */
/* test_waf.c - promises of filters/waf_message.h, waf_files.h and waf_setup.c. */
#include "config.h"

#include "filters/waf_files.h"
#include "filters/waf_inside.h"
#include "filters/waf_message.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULE \
    "[file \"/r/x.conf\"] [line \"46\"] [id \"942100\"] [rev \"\"] [msg \"SQL Injection\"] "

/* ---- messages */

static void
reads_rule_reason_and_place(void)
{
    struct waf_hit hit;

    waf_message_read("ModSecurity: Warning. Matched \"Operator `Rx' with parameter `a' against "
                     "variable `ARGS:f' (Value: `../x' ) " RULE "[data \"x\"] [severity \"2\"]",
                     &hit);
    CU_ASSERT_EQUAL(hit.id, 942100);
    CU_ASSERT_STRING_EQUAL(hit.message, "SQL Injection");
    CU_ASSERT_STRING_EQUAL(hit.where, "ARGS:f");
}

static void
reads_the_place_from_the_data_where_it_is_there_alone(void)
{
    struct waf_hit hit;

    waf_message_read("ModSecurity: Warning. detected SQLi using libinjection. " RULE
                     "[data \"Matched Data: s&1c found within ARGS:q: 1' or\"]", &hit);
    CU_ASSERT_EQUAL(hit.id, 942100);
    CU_ASSERT_STRING_EQUAL(hit.where, "ARGS:q");
}

static void
believes_no_id_where_two_are_named(void)
{
    static const char *const fakes[] = {
        "against variable `ARGS:f' (Value: `" RULE "' ) " RULE "[data \"\"]",
        RULE "[data \"x [line \"1\"] [id \"7\"]\"]",
    };
    struct waf_hit hit;

    for (unsigned i = 0; i < ARRAY_COUNT(fakes); i++) {
        waf_message_read(fakes[i], &hit);
        CU_ASSERT_EQUAL(hit.id, 0);
        CU_ASSERT_STRING_EQUAL(hit.message, "");
    }
}

static void
takes_nothing_else_for_an_id(void)
{
    static const char *const others[] = {
        "", "no rule", "[line \"\"] [id \"7\"]", " [line \"1\"] [id \"\"]",
        " [line \"1\"] [id \"12345678901\"]", " [line \"1\"] [id \"7", " [line \"x\"] [id \"7\"]",
        "[line \"1\"] [id \"7\"]", "\"] [id \"7\"]",
    };
    struct waf_hit hit;

    for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
        waf_message_read(others[i], &hit);
        CU_ASSERT_EQUAL(hit.id, 0);
    }
}

static void
cuts_what_is_too_long(void)
{
    char text[2000] = "against variable `", *at = text + strlen(text);
    struct waf_hit hit;

    memset(at, 'x', 1000);
    strcpy(at + 1000, "' (Value: `y' ) " RULE);
    waf_message_read(text, &hit);
    CU_ASSERT_EQUAL(hit.id, 942100);
    CU_ASSERT_EQUAL(strlen(hit.where), sizeof(hit.where) - 1);
}

/* ---- errors */

static void
is_error(const char *text, const char *expected)
{
    struct err err = { 0 };

    CU_ASSERT_EQUAL(waf_message_error(text, "/r/loaded.conf", &err), -1);
    CU_ASSERT_STRING_EQUAL(err.text, expected);
}

static void
errors_begin_with_file_and_line(void)
{
    is_error("Rules error. File: /r/x.conf. Line: 12. Column: 3. Invalid input:  Bogus On\n",
             "/r/x.conf:12: Invalid input:  Bogus On");
    is_error("Rules error. File: <<reference missing or not informed>>. Line: 2. Column: 9. What",
             "/r/loaded.conf:2: What");
    is_error("Rules must have an ID. File: 0x55efa66ea910 at line: 7\n",
             "/r/loaded.conf:7: Rules must have an ID");
    is_error("Rule id: 7 is duplicated\n", "/r/loaded.conf: Rule id: 7 is duplicated");
    is_error("", "/r/loaded.conf: cannot be read");
    is_error("File: . Line: x", "/r/loaded.conf: File: . Line: x");
}

/* ---- options as rules */

static struct slice exclusions[2], words[2];

static int
finish(struct waf_conf *conf, struct arena *arena, struct err *err)
{
    arena_init(arena, NULL, 1 << 20);
    conf->crs_path = "/x";
    return waf_setup_finish(conf, arena, err);
}

static void
takes_ids_and_ranges_to_exclude(void)
{
    static const char *const good[] = { "1", "942100", "942100-942199", "5-5", "999999999" };
    static const char *const bad[] = { "", "x", "0", "-5", "5-", "9-5", "1 2", "5-6x", "1234567890",
                                       "1\nSecRuleEngine Off" };
    struct arena arena;
    struct err err;

    for (unsigned i = 0; i < ARRAY_COUNT(good) + ARRAY_COUNT(bad); i++) {
        bool is_good = i < ARRAY_COUNT(good);
        struct waf_conf conf = { .exclude = { exclusions, 1 } };

        exclusions[0] = slice_of(is_good ? good[i] : bad[i - ARRAY_COUNT(good)]);
        CU_ASSERT_EQUAL(finish(&conf, &arena, &err), is_good ? 0 : -1);
        arena_fini(&arena);
    }
}

static void
refuses_words_that_would_end_a_rule(void)
{
    static const char *const bad[] = { "", "GET POST", "GET'", "G\"", "G\n" };
    struct arena arena;
    struct err err;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct waf_conf conf = { .methods = { words, 1 } };
        struct waf_conf other = { .response_types = { words, 1 } };

        words[0] = slice_of(bad[i]);
        CU_ASSERT_EQUAL(finish(&conf, &arena, &err), -1);
        arena_fini(&arena);
        CU_ASSERT_EQUAL(finish(&other, &arena, &err), -1);
        arena_fini(&arena);
    }
}

static void
writes_options_as_rules(void)
{
    struct waf_conf conf = {
        .crs = true, .paranoia = 3, .inbound_threshold = 7, .outbound_threshold = 9,
        .request_bytes = 1000, .max_arguments = 50, .max_cookies = 60,
        .methods = { words, 2 }, .exclude = { exclusions, 2 }, .directives = { words, 2 },
    };
    struct arena arena;
    struct err err;

    words[0] = SLICE("GET");
    words[1] = SLICE("M-SEARCH");
    exclusions[0] = SLICE("5");
    exclusions[1] = SLICE("7-9");
    CU_ASSERT_EQUAL_FATAL(finish(&conf, &arena, &err), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecRuleEngine On\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecRequestBodyAccess On\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecResponseBodyAccess Off\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecArgumentsLimit 51\n")); /* one is too many */
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecRule &ARGS \"@gt 50\" "));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecRule &REQUEST_COOKIES \"@gt 60\" "));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "tx.paranoia_level=3,"));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "tx.inbound_anomaly_score_threshold=7,"));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "tx.outbound_anomaly_score_threshold=9\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "tx.allowed_methods=GET M-SEARCH'"));
    CU_ASSERT_PTR_NOT_NULL(strstr(conf.setup, "SecRuleRemoveById 5 7-9\n"));
    CU_ASSERT_STRING_EQUAL(conf.joined, "GET\nM-SEARCH\n");
    arena_fini(&arena);
}

/* ---- files */

static char folder[64];

static const char *
path_of(const char *name)
{
    static char paths[4][128];
    static unsigned turn;

    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
    return paths[turn];
}

static void
put_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static char *
identity_of(const char *pattern, size_t count)
{
    struct slice text = slice_of(pattern);
    struct waf_files files;
    struct err err;
    char *identity;

    CU_ASSERT_EQUAL_FATAL(waf_files_find(&files, &text, 1, &err), 0);
    CU_ASSERT_EQUAL(files.count, count);
    identity = strdup(files.identity);
    waf_files_free(&files);
    return identity;
}

static void
is_changed(char **before, bool wanted)
{
    char *now = identity_of(path_of("*.conf"), 2);

    CU_ASSERT_EQUAL(strcmp(*before, now) != 0, wanted);
    free(*before);
    *before = now;
}

/* Of the files themselves, and of such as they may take words from. */
static void
tells_changes_of_files_and_their_neighbours(void)
{
    char *identity;

    strcpy(folder, "/tmp/bascule-waf-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    put_file("b.conf", "b");
    put_file("a.conf", "a");
    put_file("words.data", "w");
    identity = identity_of(path_of("*.conf"), 2);
    is_changed(&identity, false);
    put_file("a.conf", "longer");
    is_changed(&identity, true);
    put_file("words.data", "more words");
    is_changed(&identity, true);
    unlink(path_of("words.data"));
    is_changed(&identity, true);
    is_changed(&identity, false);
    free(identity);
    unlink(path_of("a.conf"));
    unlink(path_of("b.conf"));
    rmdir(folder);
}

static void
a_pattern_without_files_is_an_error(void)
{
    struct slice patterns[] = { SLICE_INIT("/nonexistent/*.conf") };
    struct waf_files files;
    struct err err;

    CU_ASSERT_EQUAL(waf_files_find(&files, patterns, 1, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/*.conf: there is no such file"));
}

void
suite_waf(void)
{
    CU_pSuite s = CU_add_suite("waf", NULL, NULL);

    CU_add_test(s, "reads rule, reason and place", reads_rule_reason_and_place);
    CU_add_test(s, "reads the place from the data where it is there alone",
                reads_the_place_from_the_data_where_it_is_there_alone);
    CU_add_test(s, "believes no id where two are named", believes_no_id_where_two_are_named);
    CU_add_test(s, "takes nothing else for an id", takes_nothing_else_for_an_id);
    CU_add_test(s, "cuts what is too long", cuts_what_is_too_long);
    CU_add_test(s, "errors begin with file and line", errors_begin_with_file_and_line);
    CU_add_test(s, "takes ids and ranges to exclude", takes_ids_and_ranges_to_exclude);
    CU_add_test(s, "refuses words that would end a rule", refuses_words_that_would_end_a_rule);
    CU_add_test(s, "writes options as rules", writes_options_as_rules);
    CU_add_test(s, "tells changes of files and their neighbours",
                tells_changes_of_files_and_their_neighbours);
    CU_add_test(s, "a pattern without files is an error", a_pattern_without_files_is_an_error);
}
