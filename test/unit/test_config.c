/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config.c - configurations are read into structs, and every mistake in
 * one is named with its file, line and remedy.
 *
 * The schema here is the tests' own: small, with every kind of row.
 */
#include "config.h"

#include "server/config/reader.h"

#include <CUnit/CUnit.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/must.h"
#include "server/base/pattern.h"
#include "server/config/describe.h"
#include "server/config/tables.h"
#include "server/policy/prefix_set.h"

void suite_config(void);

/* ---- a schema */

struct timeouts {
    struct place place;
    uint32_t head_ms, idle_ms;
};

struct rate {
    uint64_t bytes;
    uint32_t ms;
};

struct listener {
    struct place place;
    const char *name;
    const void *mode;
    int64_t port;
    struct timeouts timeouts;
    struct rate rate;
};

struct reverse_listener {
    struct listener base;
    struct strings hosts;
    int balance;
};

struct forward_listener {
    struct listener base;
    struct port_set connect_ports;
    struct prefix_set *allow;
};

struct header {
    const char *name, *value;
};

struct schema {
    int64_t workers;
    bool is_quiet;
    uint64_t limit_bytes;
    struct pattern *pattern;
    struct config_list listeners;
    struct config_list headers;
};

static int
parse_rate(struct config_reader *reader, const struct config_node *node, void *target,
           struct err *err)
{
    struct listener *listener = target;
    struct slice text, rest;
    ptrdiff_t slash;

    if (config_node_kind(node) == CONFIG_LIST && config_node_count(node) == 2)
        return config_fail(reader, config_node_at(node, 1), err, "is no pair");
    if (config_node_kind(node) != CONFIG_TEXT)
        return err_set(err, "wants \"512/10s\"");
    text = rest = config_node_text(node);
    slash = slice_find(text, '/');
    if (slash < 0)
        return err_set(err, "\"%.*s\" wants a slash", SLICE_ARG(text));
    text.bytes = (size_t)slash;
    rest = slice_skip(rest, (size_t)slash + 1);
    if (option_parse_size(text, &listener->rate.bytes, err) < 0)
        return -1;
    return option_parse_time(rest, &listener->rate.ms, err);
}

static int
check_even(struct config_reader *reader, const struct config_node *node, void *target,
           struct err *err)
{
    const struct schema *schema = target;

    (void)reader;
    (void)node;
    return schema->workers % 2 == 0 ? 0 : err_set(err, "is odd");
}

static const struct option timeout_options[] = {
    OPTION_PLACE(struct timeouts, place),
    { .name = "head", .type = OPTION_TIME, .offset = offsetof(struct timeouts, head_ms),
      .fallback = "10s", .min = 1, .max = 3600000, .text = "Longest wait for a request head." },
    { .name = "idle", .type = OPTION_TIME, .offset = offsetof(struct timeouts, idle_ms),
      .fallback = "60s", .text = "Longest wait between requests." },
    { .name = NULL },
};

static const char *const balance_words[] = { "round_robin", "least_connections", NULL };

static const struct option reverse_options[] = {
    { .name = "hosts", .type = OPTION_STRINGS, .offset = offsetof(struct reverse_listener, hosts),
      .is_required = true, .min = 1, .text = "Names served." },
    { .name = "balance", .type = OPTION_ENUM, .offset = offsetof(struct reverse_listener, balance),
      .fallback = "round_robin", .words = balance_words, .text = "How work is spread." },
    { .name = NULL },
};

static const struct option forward_options[] = {
    { .name = "connect_ports", .type = OPTION_PORTS,
      .offset = offsetof(struct forward_listener, connect_ports), .fallback = "443, 8443",
      .text = "Ports that CONNECT may reach." },
    { .name = "allow", .type = OPTION_NETWORKS, .offset = offsetof(struct forward_listener, allow),
      .fallback = "loopback, private", .text = "Clients served." },
    { .name = NULL },
};

static const int reverse_ops, forward_ops;

static bool
mode_at(size_t i, struct option_family *family)
{
    static const struct option_family modes[] = {
        { "reverse", "In front of sites.", reverse_options, sizeof(struct reverse_listener),
          &reverse_ops },
        { "forward", "In front of clients.", forward_options, sizeof(struct forward_listener),
          &forward_ops },
    };

    if (i >= ARRAY_COUNT(modes))
        return false;
    *family = modes[i];
    return true;
}

static const struct option listener_options[] = {
    OPTION_PLACE(struct listener, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct listener, name),
      .text = "What it is called." },
    { .name = "mode", .type = OPTION_FAMILY, .offset = offsetof(struct listener, mode),
      .is_required = true, .family_at = mode_at, .text = "What it is for." },
    { .name = "port", .type = OPTION_INT, .offset = offsetof(struct listener, port),
      .is_required = true, .min = 1, .max = 65535, .text = "Where clients connect." },
    { .name = "timeouts", .type = OPTION_GROUP, .offset = offsetof(struct listener, timeouts),
      .options = timeout_options, .member_bytes = sizeof(struct timeouts), .text = "Waits." },
    { .name = "rate", .type = OPTION_CUSTOM, .offset = offsetof(struct listener, rate),
      .fallback = "512/10s", .parse = parse_rate, .form = "SIZE/TIME", .text = "Slowest client." },
    { .name = NULL },
};

static const struct option header_options[] = {
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct header, name),
      .is_required = true, .text = "Field name." },
    { .name = "value", .type = OPTION_STRING, .offset = offsetof(struct header, value),
      .text = "Field value." },
    { .name = NULL },
};

static const struct option options[] = {
    { .name = "workers", .type = OPTION_INT, .offset = offsetof(struct schema, workers),
      .fallback = "4", .max = 64, .parse = check_even, .text = "Threads." },
    { .name = "quiet", .type = OPTION_BOOL, .offset = offsetof(struct schema, is_quiet),
      .fallback = "true", .text = "Says little." },
    { .name = "limit", .type = OPTION_SIZE, .offset = offsetof(struct schema, limit_bytes),
      .fallback = "64K", .text = "A size." },
    { .name = "pattern", .type = OPTION_PATTERN, .offset = offsetof(struct schema, pattern),
      .text = "An expression." },
    { .name = "listeners", .type = OPTION_GROUPS, .offset = offsetof(struct schema, listeners),
      .options = listener_options, .member_bytes = sizeof(struct listener), .family_key = "mode",
      .max = 20000, .text = "Listeners." },
    { .name = "headers", .type = OPTION_GROUPS, .offset = offsetof(struct schema, headers),
      .options = header_options, .member_bytes = sizeof(struct header), .may_repeat = true,
      .text = "Header fields." },
    { .name = NULL },
};

/* ---- reading texts */

static struct arena arena;
static struct schema schema;
static struct config_errors errors;

/* Reads text as the file "t"; what is found stays until the next call. */
static int
read_text(const char *text)
{
    struct config_source source;
    struct err err = { "" };
    int result;

    arena_fini(&arena);
    arena_init(&arena, NULL, (size_t)64 << 20);
    memset(&schema, 0, sizeof(schema));
    errors.count = 0;
    if (config_source_from_text("t", slice_of(text), &source, &err) < 0) {
        errors.items[errors.count++] = err;
        return -1;
    }
    result = config_source_read(&source, options, &schema, &arena, &err, &errors);
    CU_ASSERT((result == 0) == (errors.count == 0));
    CU_ASSERT(result == 0 || strcmp(err.text, errors.items[0].text) == 0);
    config_source_fini(&source);
    return result;
}

static int
release_last(void)
{
    arena_fini(&arena);
    return 0;
}

/* The first thing wrong with the text. */
static const char *
finding(const char *text)
{
    CU_ASSERT_EQUAL(read_text(text), -1);
    return errors.count > 0 ? errors.items[0].text : "";
}

struct wrong {
    const char *text;
    const char *message;
};

static void
expect_messages(const struct wrong *wrong, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *found = finding(wrong[i].text);

        CU_ASSERT_STRING_EQUAL(found, wrong[i].message);
        if (strcmp(found, wrong[i].message) != 0)
            printf("\n  %s\n  found:  %s\n  wanted: %s\n", wrong[i].text, found,
                   wrong[i].message);
    }
}

/* ---- what is right */

static void
an_empty_file_gives_defaults(void)
{
    CU_ASSERT_EQUAL(read_text(""), 0);
    CU_ASSERT_EQUAL(schema.workers, 4);
    CU_ASSERT(schema.is_quiet);
    CU_ASSERT_EQUAL(schema.limit_bytes, 65536);
    CU_ASSERT_PTR_NULL(schema.pattern);
    CU_ASSERT_EQUAL(schema.listeners.count, 0);
}

static void
stores_every_type(void)
{
    const struct reverse_listener *web;
    const struct forward_listener *office;
    struct ip ip;

    CU_ASSERT_EQUAL(read_text("/* two */ workers = 0x10; quiet = FALSE, limit = 5000000000\n"
                              "pattern = \"^/a\" \"pi/\";\n"
                              "listeners = (\n"
                              "  { name = \"web\"; mode = \"reverse\"; port = 80; # first\n"
                              "    hosts = [ \"a\", \"b\", ];\n"
                              "    timeouts : { head = \"1m\"; };\n"
                              "    rate = \"1K/5s\"; balance = \"least_connections\" },\n"
                              "  { mode = \"forward\"; port = 3128;\n"
                              "    connect_ports = [ 443, \"8000-8010\" ]; allow = [ ]; },\n"
                              ");"), 0);
    CU_ASSERT_EQUAL(schema.workers, 16);
    CU_ASSERT_FALSE(schema.is_quiet);
    CU_ASSERT_EQUAL(schema.limit_bytes, UINT64_C(5000000000));
    CU_ASSERT_EQUAL(pattern_match(schema.pattern, SLICE("/api/"), NULL), PATTERN_HIT);
    CU_ASSERT_EQUAL_FATAL(schema.listeners.count, 2);
    web = schema.listeners.items[0];
    CU_ASSERT_STRING_EQUAL(web->base.name, "web");
    CU_ASSERT_PTR_EQUAL(web->base.mode, &reverse_ops);
    CU_ASSERT_EQUAL(web->hosts.count, 2);
    CU_ASSERT_EQUAL(web->base.timeouts.head_ms, 60000);
    CU_ASSERT_EQUAL(web->base.timeouts.idle_ms, 60000);
    CU_ASSERT_EQUAL(web->base.rate.bytes, 1024);
    CU_ASSERT_EQUAL(web->balance, 1);
    CU_ASSERT_STRING_EQUAL(web->base.place.file, "t");
    CU_ASSERT_EQUAL(web->base.place.line, 4);
    CU_ASSERT_EQUAL(web->base.timeouts.place.line, 6);
    office = schema.listeners.items[1];
    CU_ASSERT_PTR_NULL(office->base.name);
    CU_ASSERT_PTR_EQUAL(office->base.mode, &forward_ops);
    CU_ASSERT_EQUAL(office->base.rate.bytes, 512);
    CU_ASSERT_EQUAL(office->base.rate.ms, 10000);
    CU_ASSERT_EQUAL(office->base.place.line, 8);
    CU_ASSERT_EQUAL(office->base.timeouts.place.line, 0);
    CU_ASSERT_EQUAL(office->base.timeouts.head_ms, 10000);
    CU_ASSERT(port_set_has(&office->connect_ports, 8010));
    CU_ASSERT_FALSE(port_set_has(&office->connect_ports, 8443));
    CU_ASSERT(ip_parse(SLICE("127.0.0.1"), &ip));
    CU_ASSERT_FALSE(prefix_set_has(office->allow, &ip));
}

static void
members_do_not_share_what_they_set(void)
{
    const struct forward_listener *a, *b;

    CU_ASSERT_EQUAL(read_text("listeners = ( { mode = \"forward\"; port = 1;"
                              " timeouts = { idle = \"off\"; }; connect_ports = 22; },"
                              " { mode = \"forward\"; port = 2; } );"), 0);
    a = schema.listeners.items[0];
    b = schema.listeners.items[1];
    CU_ASSERT_EQUAL(a->base.timeouts.idle_ms, 0);
    CU_ASSERT_EQUAL(b->base.timeouts.idle_ms, 60000);
    CU_ASSERT(port_set_has(&a->connect_ports, 22));
    CU_ASSERT(port_set_has(&b->connect_ports, 8443));
}

static void
strings_may_hold_what_looks_like_syntax(void)
{
    CU_ASSERT_EQUAL(read_text("headers = ( { name = \"a # // /* \\\" { \\\\\";\n"
                              "value = \"x\n@include \\\"y\\\"\n\"; } ); // @include \"z\"\n"
                              "/*\n@include \"z\"\n*/ # @include \"z\""), 0);
    CU_ASSERT_STRING_EQUAL(((struct header *)schema.headers.items[0])->name, "a # // /* \" { \\");
    CU_ASSERT_STRING_EQUAL(((struct header *)schema.headers.items[0])->value,
                           "x\n@include \"y\"\n");
}

/* ---- what is wrong */

static void
names_line_and_path_of_a_wrong_value(void)
{
    static const struct wrong wrong[] = {
        { "listeners = (\n{ name = \"web\"; mode = \"forward\";\nport = 70000; });",
          "t:3: listener \"web\": port 70000 is outside 1..65535" },
        { "listeners = ( { mode = \"forward\"; port = 1;\ntimeouts = {\n head = \"10\"; }; });",
          "t:3: listener \"forward\": timeouts: head \"10\" has no unit; write \"10s\" for "
          "seconds" },
        { "\nlimit = \"64Q\";",
          "t:2: limit \"64Q\" is not a size; write bytes or \"64K\", \"10M\", \"2G\"" },
        { "workers = 4294967300;", "t:1: workers 4294967300 is outside 0..64" },
        { "workers = 3;", "t:1: workers is odd" },
        { "listeners = ( { mode = \"forward\"; port = 1; allow = [ \"10.0.0.0/8\",\n"
          " \"10.0.0.1/8\",\n \"127.0.0.1\" ]; });",
          "t:2: listener \"forward\": allow \"10.0.0.1/8\" has bits set behind the /8; the network "
          "is \"10.0.0.0/8\"" },
        { "listeners = ( { mode = \"forward\"; port = 1; allow = [ \"::1\"\n,\n\n\"nowhere\"\n\n];"
          "});",
          "t:4: listener \"forward\": allow \"nowhere\" is not a network; write \"10.0.0.0/8\", "
          "\"2001:db8::/32\", an address, or one of any, loopback, private, link-local, multicast, "
          "special" },
        { "listeners = ( { name = \"w\"; mode = \"reverse\"; port = 1; hosts = \"a\";\n"
          "balance = \"roundrobin\"; });",
          "t:2: listener \"w\": balance \"roundrobin\" is not one of \"round_robin\", "
          "\"least_connections\"; did you mean \"round_robin\"?" },
        { "listeners = ( { name = \"w\"; mode = \"forward\"; port = 1; rate = \"5\"; });",
          "t:1: listener \"w\": rate \"5\" wants a slash" },
        { "listeners = ( { name = \"w\"; mode = \"forward\"; port = 1; rate = (1,\n\"2\"); });",
          "t:2: listener \"w\": rate is no pair" },
        { "listeners = ( { name = \"w\"; mode = \"reverse\"; port = 1; hosts = [ ]; });",
          "t:1: listener \"w\": hosts has 0 elements, 1 or more would be accepted" },
    };

    expect_messages(wrong, ARRAY_COUNT(wrong));
}

static void
says_which_type_was_found(void)
{
    static const struct wrong wrong[] = {
        { "workers = \"4\";",
          "t:1: workers wants a whole number without quotes, found the text \"4\"" },
        { "workers = 1.5;",
          "t:1: workers wants a whole number without quotes, found the number 1.5" },
        { "quiet = 1;", "t:1: quiet wants true or false, found the number 1" },
        { "quiet = \"no\";", "t:1: quiet wants true or false, found the text \"no\"" },
        { "pattern = true;", "t:1: pattern wants an expression in quotes, found true" },
        { "limit = { };", "t:1: limit wants a size such as \"64K\", found a group" },
        { "listeners = { };",
          "t:1: listeners wants a list of groups: ( { ... }, { ... } ), found a group" },
        { "listeners = ( \"x\" );",
          "t:1: listeners: element 1 wants a group: { ... }, found the text \"x\"" },
        { "listeners = ( { mode = \"forward\"; port = 1; timeouts = 5; } );",
          "t:1: listener \"forward\": timeouts wants a group: { ... }, found the number 5" },
        { "listeners = ( { mode = \"forward\"; port = 1; allow = [ \"::1\",\n5 ]; } );",
          "t:2: listener \"forward\": allow wants a network such as \"10.0.0.0/8\", or several in "
          "[ ... ], found the number 5" },
        { "listeners = ( { mode = 7; port = 1; } );",
          "t:1: listener 1: mode wants a word in quotes, found the number 7" },
    };

    expect_messages(wrong, ARRAY_COUNT(wrong));
}

static void
names_what_is_missing_unknown_or_doubled(void)
{
    static const struct wrong wrong[] = {
        { "worker = 1;", "t:1: the setting \"worker\" is not known; did you mean \"workers\"?" },
        { "frobnicate = 1;", "t:1: the setting \"frobnicate\" is not known: known are headers, "
                             "limit, listeners, pattern, quiet, workers" },
        { "listeners = (\n{ name = \"w\"; mode = \"forward\"; } );",
          "t:2: listener \"w\": \"port\" is missing" },
        { "listeners = ( { name = \"w\"; port = 1; } );",
          "t:1: listener \"w\": \"mode\" is missing: one of \"reverse\", \"forward\"" },
        { "listeners = ( { name = \"w\"; port = 1; mode = \"foward\"; } );",
          "t:1: listener \"w\": mode \"foward\" is not known; did you mean \"forward\"?" },
        { "listeners = ( { name = \"w\"; port = 1; mode = \"forward\"; hosts = \"x\"; } );",
          "t:1: listener \"w\": the setting \"hosts\" belongs to mode \"reverse\"" },
        { "listeners = ( { name = \"w\"; port = 1; mode = \"forward\"; },\n"
          "{ name = \"v\"; port = 2; mode = \"forward\"; },\n"
          "{ name = \"w\"; port = 3; mode = \"forward\"; } );",
          "t:3: listener \"w\": the name is taken: the first is at t:1" },
        { "workers = 2;\n\nworkers = 4;", "t:3: \"workers\" is set twice, first at t:1" },
        { "listeners = ( { mode = \"forward\"; port = 1;\nport = 2; } );",
          "t:2: \"port\" is set twice, first at t:1" },
    };

    expect_messages(wrong, ARRAY_COUNT(wrong));
    CU_ASSERT_EQUAL(read_text("headers = ( { name = \"A\"; }, { name = \"A\"; } );"), 0);
}

static void
explains_syntax_errors(void)
{
    static const struct wrong wrong[] = {
        { "workers 4;", "t:1: found 4 where \"=\" behind \"workers\" is wanted" },
        { "workers = ;", "t:1: found \";\" where a value for \"workers\" is wanted" },
        { "quiet = yes;",
          "t:1: found the word \"yes\" where a value for \"quiet\" is wanted; write true or "
          "false" },
        { "pattern = abc;",
          "t:1: found the word \"abc\" where a value for \"pattern\" is wanted; text goes in "
          "quotes" },
        { "\nlimit = 64K;", "t:2: 64K is not a number; text goes in quotes: \"64K\"" },
        { "workers = 010;", "t:1: 010 begins with a zero; write it without, or in quotes" },
        { "workers = 99999999999999999999;",
          "t:1: 99999999999999999999 is larger than a number can be" },
        { "listeners = (\n{ mode = \"forward\"; port = 1; }\n{ mode = \"forward\"; } );",
          "t:3: found \"{\" where \",\" or \")\" is wanted" },
        { "listeners = (\n\n{ mode = \"forward\"; );",
          "t:3: found \")\" while the \"{\" of t:3 is open; \"}\" is wanted" },
        { "listeners = (\n{ mode = \"forward\"; }\n\n",
          "t:1: the \"(\" that begins here is never closed" },
        { "a = [ { } ];",
          "t:1: found \"{\" where a plain value (groups and lists go in \"(\" and \")\") is "
          "wanted" },
        { "a = [ \"x\" \"y\" ];", "t:1: found the text \"y\" where \",\" is wanted" },
        { "\nquiet =\n\n# end\n",
          "t:2: found the end of the file where a value for \"quiet\" is wanted" },
        { "= 4;", "t:1: found \"=\" where the name of a setting is wanted" },
        { "a = 'x';", "t:1: found a single quote; text goes in double quotes" },
        { "a = 1; @include \"x\"", "t:1: found \"@\"; @include \"FILE\" has a line of its own" },
        { "a = \x01;", "t:1: found the byte 0x01 where a value for \"a\" is wanted" },
        { "\n/* never", "t:2: the comment that begins here is never closed" },
        { "a = \"never", "t:1: the string that begins here is never closed" },
        { "a = \"x;\nb = \"y\";\n", "t:2: the string that begins here is never closed; or is a "
          "quote missing at line 1, where a string runs over the end of the line?" },
        { "a = \"x;\nb = \"y\";\nc = \"z\";d = \"\"", "t:3: the string that begins here is "
          "never closed; or is a quote missing at line 2, where a string runs over the end of the "
          "line?" },
        { "a = \"x;\nb = \"64K;\n", "t:1: a string runs over the end of the line; is its closing "
          "quote missing? (found 64K behind it)" },
        { "a = \"x;\nb = \"y;\n", "t:1: a string runs over the end of the line; is its closing "
          "quote missing? (found \";\" behind it)" },
    };

    expect_messages(wrong, ARRAY_COUNT(wrong));
}

static void
collects_up_to_twenty_errors(void)
{
    char text[4096] = "";

    for (int i = 0; i < 30; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "wrong%d = 1;\n", i);
    CU_ASSERT_EQUAL(read_text(text), -1);
    CU_ASSERT_EQUAL(errors.count, CONFIG_ERRORS_MAX);
    CU_ASSERT_STRING_EQUAL(errors.items[19].text,
                           "t:20: the setting \"wrong19\" is not known: known are headers, limit, "
                           "listeners, pattern, quiet, workers");
    CU_ASSERT_EQUAL(read_text("workers = 100;\nquiet = 7;\nlisteners = ( { port = 0; } );"), -1);
    CU_ASSERT_EQUAL(errors.count, 3);
    CU_ASSERT_STRING_EQUAL(errors.items[2].text,
                           "t:3: listener 1: \"mode\" is missing: one of \"reverse\", \"forward\"");
}

static void
nesting_and_groups_are_bounded(void)
{
    char text[20000] = "";
    size_t used = 0;

    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "a = (");
    CU_ASSERT_STRING_EQUAL(finding(text), "t:1: found the word \"a\" where an element is "
                                          "wanted; text goes in quotes");
    memset(text, '(', 100);
    memcpy(text, "a = ", 4);
    text[100] = '\0';
    CU_ASSERT_STRING_EQUAL(finding(text), "t:1: settings are nested more than 32 deep");
    for (used = 0; used < 15000;)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "s%zu=1;", used);
    CU_ASSERT_STRING_EQUAL(finding(text), "t:1: a group has more than 512 settings");
}

static void
a_spent_arena_is_an_error(void)
{
    struct config_source source;
    struct err err = { "" };
    struct arena small;

    arena_init(&small, NULL, 64);
    memset(&schema, 0, sizeof(schema));
    CU_ASSERT_EQUAL_FATAL(config_source_from_text(
        "t", SLICE("headers = ( { name = \"n\"; } );"), &source, &err), 0);
    CU_ASSERT_EQUAL(config_source_read(&source, options, &schema, &small, &err, NULL), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "memory"));
    config_source_fini(&source);
    arena_fini(&small);
}

/* ---- files */

static char directory[64];

static void
write_file(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static int
make_directory(void)
{
    const char *base = getenv("TMPDIR");
    char path[128];

    snprintf(directory, sizeof(directory), "%.40s/bascule-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/conf.d", directory);
    return mkdir(path, 0700);
}

static void
remove_files(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char file[600];

        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(file);
    }
    if (dir != NULL)
        closedir(dir);
}

static int
remove_directory(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/conf.d", directory);
    remove_files(path);
    rmdir(path);
    remove_files(directory);
    return rmdir(directory);
}

/* Loads and reads the file; its first error without the directory's name, or
 * "". */
static const char *
load(const char *name)
{
    static struct err err;
    static char text[sizeof(err.text)];
    struct config_source source, copy;
    char path[128];
    size_t bytes, used = 0, length = strlen(directory);
    void *block;
    const char *at;

    err.text[0] = '\0';
    arena_fini(&arena);
    arena_init(&arena, NULL, (size_t)64 << 20);
    memset(&schema, 0, sizeof(schema));
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (config_load(path, &source, &err) == 0) {
        /* Always on the way the supervisor sends it. */
        block = config_source_pack(&source, &bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(block);
        config_source_fini(&source);
        CU_ASSERT_EQUAL_FATAL(config_source_unpack(&copy, block, bytes, &err), 0);
        free(block);
        (void)config_source_read(&copy, options, &schema, &arena, &err, NULL);
        config_source_fini(&copy);
    }
    for (at = err.text; *at != '\0';) {
        if (strncmp(at, directory, length) == 0)
            at += length + 1;
        else
            text[used++] = *at++;
    }
    text[used] = '\0';
    return text;
}

static void
includes_are_relative_and_sorted(void)
{
    write_file("main.conf", "workers = 2;\n@include \"conf.d/listeners.inc\" # here\nlimit = 7;");
    write_file("conf.d/listeners.inc", "listeners = (\n  @include \"*.conf\"\n);\n");
    write_file("conf.d/b.conf", "{ name = \"b\"; mode = \"forward\";\n port = 2; },");
    write_file("conf.d/a.conf", "\n{ name = \"a\"; mode = \"forward\"; port = 1; },\n");
    CU_ASSERT_STRING_EQUAL(load("main.conf"), "");
    CU_ASSERT_EQUAL_FATAL(schema.listeners.count, 2);
    CU_ASSERT_STRING_EQUAL(((struct listener *)schema.listeners.items[0])->name, "a");
    CU_ASSERT_EQUAL(((struct listener *)schema.listeners.items[0])->place.line, 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(((struct listener *)schema.listeners.items[1])->place.file,
                                  "/conf.d/b.conf"));
    CU_ASSERT_EQUAL(((struct listener *)schema.listeners.items[1])->place.line, 1);
    CU_ASSERT_EQUAL(schema.limit_bytes, 7);
    CU_ASSERT_EQUAL(schema.workers, 2);
}

static void
errors_name_the_included_file(void)
{
    write_file("main.conf", "workers = 2;\n\n@include \"conf.d/x.conf\"\nquiet = 8;\n");
    write_file("conf.d/x.conf", "# first\nlimit = \"x\";\n");
    CU_ASSERT_STRING_EQUAL(load("main.conf"), "conf.d/x.conf:2: limit \"x\" is not a size; write "
                                              "bytes or \"64K\", \"10M\", \"2G\"");
    write_file("conf.d/x.conf", "# first\n# second");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "main.conf:4: quiet wants true or false, found the number 8");
    write_file("conf.d/x.conf", "limit = 1;\nlimit = ];");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "conf.d/x.conf:2: \"limit\" is set twice, first at conf.d/x.conf:1");
    write_file("conf.d/x.conf", "a = \"open");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "conf.d/x.conf:1: the string that begins here is never closed");
}

static void
explains_what_cannot_be_included(void)
{
    write_file("main.conf", "\n@include \"none.conf\"\n");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "main.conf:2: cannot open \"none.conf\": No such file or directory");
    CU_ASSERT_STRING_EQUAL(load("nothing.conf"),
                           "cannot open \"nothing.conf\": No such file or directory");
    write_file("main.conf", "\n@include \"conf.d\"\n");
    CU_ASSERT_STRING_EQUAL(load("main.conf"), "main.conf:2: \"conf.d\" is a directory; write "
                                              "\"conf.d/*.conf\" to include its files");
    write_file("main.conf", "@include \"no-such-*.conf\"\nworkers = 8;");
    CU_ASSERT_STRING_EQUAL(load("main.conf"), "");
    CU_ASSERT_EQUAL(schema.workers, 8);
    write_file("main.conf", "\n@include \"no-such/*.conf\"\n");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "main.conf:2: cannot list \"no-such/*.conf\": "
                           "No such file or directory");
    write_file("main.conf", "@include \"a\" workers = 8;");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "main.conf:1: write @include \"FILE\" and nothing else on the line");
    write_file("main.conf", "@include a");
    CU_ASSERT_STRING_EQUAL(load("main.conf"),
                           "main.conf:1: write @include \"FILE\" and nothing else on the line");
}

static void
refuses_circles_and_depth(void)
{
    char name[32], text[64];

    write_file("a.conf", "@include \"b.conf\"\n");
    write_file("b.conf", "\n@include \"a.conf\"\n");
    CU_ASSERT_STRING_EQUAL(load("a.conf"), "b.conf:2: \"a.conf\" includes itself: a.conf > "
                                           "b.conf > a.conf");
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "d%d.conf", i);
        snprintf(text, sizeof(text), "@include \"d%d.conf\"\n", i + 1);
        write_file(name, text);
    }
    CU_ASSERT_STRING_EQUAL(load("d0.conf"), "d10.conf:1: includes are nested more than 10 deep");
    /* The same file twice is no circle. */
    write_file("main.conf", "@include \"conf.d/e.conf\"\n@include \"conf.d/e.conf\"\n");
    write_file("conf.d/e.conf", "# nothing");
    CU_ASSERT_STRING_EQUAL(load("main.conf"), "");
}

static void
marks_and_nul_bytes(void)
{
    struct config_source source;
    struct err err;

    write_file("main.conf", "\xef\xbb\xbfworkers = 6;\r\nquiet = false;\r\n");
    CU_ASSERT_STRING_EQUAL(load("main.conf"), "");
    CU_ASSERT_EQUAL(schema.workers, 6);
    CU_ASSERT_EQUAL(config_source_from_text("t", slice_make("a = 1;\n\0", 8), &source, &err), -1);
    CU_ASSERT_STRING_EQUAL(err.text, "t:2: a NUL byte, which text does not have");
}

/* Every cut and every changed byte of the head is refused or harmless. */
static void
a_damaged_block_is_refused(void)
{
    struct config_source source, copy;
    struct err err;
    size_t bytes;
    char *block;

    CU_ASSERT_EQUAL_FATAL(config_source_from_text("t", SLICE("a = 1;\n"), &source, &err), 0);
    block = config_source_pack(&source, &bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    for (size_t cut = 0; cut < bytes; cut++) {
        char *part = malloc(cut + 1); /* exactly as long, for sanitizers */

        memcpy(part, block, cut);
        CU_ASSERT_EQUAL(config_source_unpack(&copy, part, cut, &err), -1);
        free(part);
    }
    for (size_t i = 0; i < 60 && i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            block[i] ^= (char)(1 << bit);
            if (config_source_unpack(&copy, block, bytes, &err) == 0)
                config_source_fini(&copy);
            block[i] ^= (char)(1 << bit);
        }
    }
    free(block);
    config_source_fini(&source);
}

/* ---- tables */

static void
the_tables_of_this_test_are_sound(void)
{
    static const struct option twice[] = {
        { .name = "a", .text = "One." }, { .name = "a", .text = "Two." }, { .name = NULL },
    };
    static const struct option bad_default[] = {
        { .name = "a", .type = OPTION_TIME, .fallback = "10", .text = "One." }, { .name = NULL },
    };
    struct err err = { "" };

    CU_ASSERT_EQUAL(config_check_tables(options, sizeof(struct schema), &err), 0);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT_EQUAL(config_check_tables(twice, 8, &err), -1);
    CU_ASSERT_STRING_EQUAL(err.text, "\"a\" has two rows");
    CU_ASSERT_EQUAL(config_check_tables(bad_default, 8, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the default of a \"10\" has no unit"));
}

/* What describe_options() prints for a name, or its error. */
static const char *
described(const char *name)
{
    static char text[16384];
    FILE *out = fmemopen(text, sizeof(text), "w");
    struct err err;

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    if (describe_options(out, options, name, &err) < 0)
        fputs(err.text, out);
    fclose(out);
    return text;
}

static void
describes_every_option(void)
{
    const char *text = described(NULL);

    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nlisteners[].timeouts.head "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " (time 1ms..1h"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nlisteners[forward].connect_ports "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "one of reverse, forward"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "SIZE/TIME"));
    CU_ASSERT_PTR_NULL(strstr(text, "@place"));
    text = described("timeouts.idle");
    CU_ASSERT_EQUAL(strncmp(text, "listeners[].timeouts.idle (", 27), 0);
    CU_ASSERT_PTR_EQUAL(strchr(strchr(text, '\n') + 1, '\n'), strrchr(text, '\n'));
    CU_ASSERT_EQUAL(strncmp(described("listeners.timeouts.idle"),
                            "listeners[].timeouts.idle (", 27), 0);
    CU_ASSERT_EQUAL(strncmp(described("listeners[].timeouts.idle"),
                            "listeners[].timeouts.idle (", 27), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(described("reverse"), "listeners[reverse].hosts"));
    CU_ASSERT_STRING_EQUAL(described("tiemouts"),
                           "there is no option \"tiemouts\"; did you mean \"timeouts\"?");
}

static void
writes_the_manual(void)
{
    static char text[16384];
    FILE *out = fmemopen(text, sizeof(text), "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    describe_man(out, options);
    fclose(out);
    CU_ASSERT_EQUAL(strncmp(text, ".SH OPTIONS\n.TP\n\\fBworkers\\fR (number 0..64; default 4)\n"
                                  "Threads.\n", 62), 0);
}

static void
ten_thousand_members_are_read(void)
{
    const size_t count = 10000;
    char *text = malloc(count * 100), *at = text;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    at += sprintf(at, "listeners = (\n");
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "{ name = \"n%zu\"; mode = \"reverse\"; port = 80;"
                          " hosts = [ \"www%zu.example.com\" ]; },\n", i, i);
    sprintf(at, ");");
    CU_ASSERT_EQUAL(read_text(text), 0);
    CU_ASSERT_EQUAL(schema.listeners.count, count);
    free(text);
}

void
suite_config(void)
{
    CU_pSuite s = CU_add_suite("config", NULL, release_last);

    CU_add_test(s, "an empty file gives defaults", an_empty_file_gives_defaults);
    CU_add_test(s, "stores every type", stores_every_type);
    CU_add_test(s, "members do not share what they set", members_do_not_share_what_they_set);
    CU_add_test(s, "strings may hold what looks like syntax",
                strings_may_hold_what_looks_like_syntax);
    CU_add_test(s, "names line and path of a wrong value", names_line_and_path_of_a_wrong_value);
    CU_add_test(s, "says which type was found", says_which_type_was_found);
    CU_add_test(s, "names what is missing, unknown or doubled",
                names_what_is_missing_unknown_or_doubled);
    CU_add_test(s, "explains syntax errors", explains_syntax_errors);
    CU_add_test(s, "collects up to twenty errors", collects_up_to_twenty_errors);
    CU_add_test(s, "nesting and groups are bounded", nesting_and_groups_are_bounded);
    CU_add_test(s, "a spent arena is an error", a_spent_arena_is_an_error);
    CU_add_test(s, "the tables of this test are sound", the_tables_of_this_test_are_sound);
    CU_add_test(s, "describes every option", describes_every_option);
    CU_add_test(s, "writes the manual", writes_the_manual);
    CU_add_test(s, "ten thousand members are read", ten_thousand_members_are_read);
    s = CU_add_suite("config files", make_directory, remove_directory);
    CU_add_test(s, "includes are relative and sorted", includes_are_relative_and_sorted);
    CU_add_test(s, "errors name the included file", errors_name_the_included_file);
    CU_add_test(s, "explains what cannot be included", explains_what_cannot_be_included);
    CU_add_test(s, "refuses circles and depth", refuses_circles_and_depth);
    CU_add_test(s, "marks and NUL bytes", marks_and_nul_bytes);
    CU_add_test(s, "a damaged block is refused", a_damaged_block_is_refused);
}
