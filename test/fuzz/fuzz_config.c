/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_config.c - any bytes as a configuration file.
 *
 * They are read, or refused with a file and a line that exist. What passes our
 * own look at the syntax is understood by libconfig. A source is the same
 * after a journey in one block.
 */
#include "config.h"

#include "server/config/reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/config/syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define FILE_NAME "fuzz.conf"

struct member {
    struct place place;
    const char *name;
    const void *kind;
    int64_t number;
    uint32_t ms;
};

struct wide_member {
    struct member base;
    struct strings words;
    int colour;
};

struct target {
    bool flag;
    int64_t number;
    uint64_t bytes;
    uint32_t ms;
    const char *text;
    struct strings words;
    struct address address;
    struct addresses addresses;
    struct prefix_set *networks;
    struct port_set ports;
    struct pattern *pattern;
    struct member group;
    struct config_list members;
    uint64_t custom;
};

static const int narrow_ops, wide_ops;
static const char *const colours[] = { "red", "green", NULL };

static const struct option wide_options[] = {
    { .name = "words", .type = OPTION_STRINGS, .offset = offsetof(struct wide_member, words),
      .fallback = "a, b", .text = "W." },
    { .name = "colour", .type = OPTION_ENUM, .offset = offsetof(struct wide_member, colour),
      .fallback = "green", .words = colours, .text = "C." },
    { .name = NULL },
};

static bool
kind_at(size_t i, struct option_family *family)
{
    if (i == 0)
        *family = (struct option_family){ "narrow", "N.", NULL, sizeof(struct member),
                                          &narrow_ops };
    else if (i == 1)
        *family = (struct option_family){ "wide", "W.", wide_options, sizeof(struct wide_member),
                                          &wide_ops };
    return i < 2;
}

static const struct option group_options[] = {
    OPTION_PLACE(struct member, place),
    { .name = "number", .type = OPTION_INT, .offset = offsetof(struct member, number),
      .fallback = "3", .min = -5, .max = 5, .text = "N." },
    { .name = "time", .type = OPTION_TIME, .offset = offsetof(struct member, ms),
      .is_required = true, .text = "T." },
    { .name = NULL },
};

static const struct option member_options[] = {
    OPTION_PLACE(struct member, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct member, name),
      .text = "N." },
    { .name = "kind", .type = OPTION_FAMILY, .offset = offsetof(struct member, kind),
      .family_at = kind_at, .fallback = "narrow", .text = "K." },
    { .name = "number", .type = OPTION_INT, .offset = offsetof(struct member, number),
      .fallback = "3", .text = "N." },
    { .name = NULL },
};

/* Looks at all there is to see. */
static uint64_t
visit(const struct config_node *node)
{
    char text[CONFIG_VALUE_BYTES];
    uint64_t sum = strlen(config_node_value_text(node, text));

    for (size_t i = 0; i < config_node_count(node); i++)
        sum += visit(config_node_at(node, i));
    return sum;
}

static int
parse_custom(struct config_reader *reader, const struct config_node *node, void *target,
             struct err *err)
{
    struct target *t = target;

    t->custom = visit(node);
    if (config_node_kind(node) == CONFIG_GROUP)
        return config_read_group(reader, node, group_options, &t->group, sizeof(t->group));
    return t->custom < 100 ? 0 : config_fail(reader, node, err, "has too much");
}

#define ROW(name_, type_, member_) \
    .name = name_, .type = type_, .offset = offsetof(struct target, member_), .text = "T."

static const struct option options[] = {
    { ROW("flag", OPTION_BOOL, flag), .fallback = "true" },
    { ROW("number", OPTION_INT, number), .min = 1, .max = 65535 },
    { ROW("size", OPTION_SIZE, bytes), .max = 1 << 20, .fallback = "64K" },
    { ROW("time", OPTION_TIME, ms), .min = 1 },
    { ROW("text", OPTION_STRING, text) },
    { ROW("words", OPTION_STRINGS, words), .max = 4 },
    { ROW("address", OPTION_ADDRESS, address) },
    { ROW("addresses", OPTION_ADDRESSES, addresses) },
    { ROW("networks", OPTION_NETWORKS, networks), .fallback = "private" },
    { ROW("ports", OPTION_PORTS, ports), .fallback = "443" },
    { ROW("pattern", OPTION_PATTERN, pattern) },
    { ROW("group", OPTION_GROUP, group), .options = group_options,
      .member_bytes = sizeof(struct member) },
    { ROW("members", OPTION_GROUPS, members), .options = member_options,
      .member_bytes = sizeof(struct member), .family_key = "kind" },
    { ROW("custom", OPTION_CUSTOM, custom), .parse = parse_custom, .form = "ANY",
      .fallback = "x" },
    { .name = NULL },
};

/* "fuzz.conf:LINE: finding", with a line of the text. */
static void
check_error(const struct err *err, struct slice text)
{
    unsigned lines = 1, line = 0;
    int behind = 0;

    for (size_t i = 0; i < text.bytes; i++)
        lines += text.data[i] == '\n';
    must(sscanf(err->text, FILE_NAME ":%u: %n", &line, &behind) == 1);
    must(behind > 0 && err->text[behind] != '\0');
    must(line >= 1 && line <= lines);
}

/* Replaces the source by what arrives after a journey. */
static void
travel(struct config_source *source)
{
    struct config_source arrived;
    struct err err;
    size_t bytes;
    void *block = config_source_pack(source, &bytes);

    must(block != NULL);
    must(config_source_unpack(&arrived, block, bytes, &err) == 0);
    must(slice_equal(slice_make(arrived.text, arrived.text_bytes),
                     slice_make(source->text, source->text_bytes)));
    free(block);
    config_source_fini(source);
    *source = arrived;
}

/* What we let pass, libconfig understands. */
static void
check_syntax(const struct config_source *source)
{
    struct config_tree *tree;
    unsigned line;
    struct err err;
    char *text = config_syntax_rewrite(source, &err);

    if (text == NULL)
        return;
    tree = config_tree_new(text, &line, &err);
    must(tree != NULL);
    config_tree_free(tree);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text = { (const char *)data, bytes };
    struct target target = { .flag = false };
    static struct config_errors errors;
    struct config_source source;
    struct arena arena;
    struct err err = { "" };

    if (config_source_from_text(FILE_NAME, text, &source, &err) < 0) {
        check_error(&err, text);
        return 0;
    }
    travel(&source);
    check_syntax(&source);
    arena_init(&arena, NULL, 1 << 22);
    if (config_source_read(&source, options, &target, &arena, &err, &errors) < 0) {
        must(errors.count > 0 && errors.count <= CONFIG_ERRORS_MAX);
        for (size_t i = 0; i < errors.count; i++)
            check_error(&errors.items[i], text);
    }
    arena_fini(&arena);
    config_source_fini(&source);
    return 0;
}
