/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_rules.c - replacements as written become what is searched with. */
#include "config.h"

#include "filters/rewrite_inside.h"

#define PARTS_MAX 32u
#define LITERAL_BYTES_MAX (64u * 1024) /* of all together */

/* ---- what stands there instead */

/* Adds text that ends at end, and the group behind it. */
static void
add_part(struct rewrite_rule *rule, const char *start, const char *end, int group)
{
    if (end > start)
        rule->parts[rule->part_count++] =
            (struct rewrite_part){ slice_make(start, (size_t)(end - start)), -1 };
    if (group >= 0)
        rule->parts[rule->part_count++] = (struct rewrite_part){ { NULL, 0 }, group };
}

/* "\1" is a group, "\\" a backslash. */
static int
read_parts(struct rewrite_rule *rule, const char *text, unsigned groups, struct err *err)
{
    const char *start = text;

    for (; *text != '\0'; text++) {
        if (rule->part_count + 2 > PARTS_MAX)
            return err_set(err, "with: it refers to groups more than %u times", PARTS_MAX / 2 - 1);
        if (*text != '\\')
            continue;
        if (text[1] == '\\') {
            add_part(rule, start, text + 1, -1);
        } else if (!ascii_is_digit(text[1])) {
            return err_set(err, "with: behind a backslash stands a digit or another backslash");
        } else if ((unsigned)(text[1] - '0') > groups) {
            return err_set(err, "with: \\%c is not there: the expression has %u groups", text[1],
                           groups);
        } else {
            add_part(rule, start, text, text[1] - '0');
        }
        start = ++text + 1;
    }
    add_part(rule, start, text, -1);
    return 0;
}

static int
read_with(struct rewrite_rule *rule, const struct rewrite_rule_conf *conf, unsigned groups,
          struct arena *arena, struct err *err)
{
    const char *with = conf->with != NULL ? conf->with : "";

    rule->parts = arena_zalloc(arena, PARTS_MAX * sizeof(*rule->parts));
    if (rule->parts == NULL)
        return err_set(err, "memory is short");
    if (rule->regex != NULL)
        return read_parts(rule, with, groups, err);
    add_part(rule, with, with + strlen(with), -1);
    return 0;
}

static int
read_rule(struct rewrite_rules *rules, const struct rewrite_rule_conf *conf, struct arena *arena,
          struct err *err)
{
    struct rewrite_rule *rule = &rules->items[rules->count];
    unsigned groups = 0;

    if ((conf->find != NULL) == (conf->regex != NULL))
        return err_set(err, "one of find and regex is needed, and not both");
    rule->ignore_case = conf->ignore_case;
    rule->next = -1;
    if (conf->find != NULL) {
        rule->find = slice_of(conf->find);
        if (rule->find.bytes == 0 || rule->find.bytes > rules->max_match)
            return err_set(err, "find: it has %zu bytes; expected 1 to %zu (max_match)",
                           rule->find.bytes, rules->max_match);
        rules->literal_count++;
    } else {
        if (rules->regex_count == REWRITE_REGEXES_MAX)
            return err_set(err, "there are more than %u regular expressions",
                           REWRITE_REGEXES_MAX);
        rule->regex = rewrite_regex_new(conf->regex, conf->ignore_case, &groups, arena, err);
        if (rule->regex == NULL)
            return err_prefix(err, "regex: ");
        rules->regexes[rules->regex_count++] = rules->count;
    }
    if (read_with(rule, conf, groups, arena, err) < 0)
        return -1;
    rules->count++;
    return 0;
}

/* ---- the tree of literals */

static uint32_t
child_for(struct rewrite_rules *rules, uint32_t node, unsigned char byte)
{
    uint32_t child = rules->nodes[node].child;

    while (child != 0 && rules->nodes[child].byte != byte)
        child = rules->nodes[child].sibling;
    if (child != 0)
        return child;
    child = rules->node_count++;
    rules->nodes[child] = (struct rewrite_node){
        .byte = byte, .sibling = rules->nodes[node].child, .rule = -1, .least = INT32_MAX,
    };
    rules->nodes[node].child = child;
    return child;
}

static void
add_pair(struct rewrite_rules *rules, unsigned char first, unsigned char second)
{
    unsigned pair = (unsigned)first << 8 | second;

    rules->firsts[first] = true;
    rules->pairs[pair / 64] |= UINT64_C(1) << (pair % 64);
}

static unsigned char
other_case(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? c ^ 0x20 : c;
}

static void
add_pairs(struct rewrite_rules *rules, const struct rewrite_rule *rule)
{
    unsigned char first = (unsigned char)rule->find.data[0];
    unsigned char other = rule->ignore_case ? other_case(first) : first;

    for (unsigned second = 0; second < 256; second++) {
        unsigned char wanted = rule->find.bytes > 1 ? (unsigned char)rule->find.data[1]
                                                    : (unsigned char)second;

        if (second != wanted && !(rule->ignore_case && other_case(wanted) == second))
            continue;
        add_pair(rules, first, (unsigned char)second);
        add_pair(rules, other, (unsigned char)second);
    }
}

static void
add_literal(struct rewrite_rules *rules, int index)
{
    struct rewrite_rule *rule = &rules->items[index];
    uint32_t node = 0;

    for (size_t i = 0; i < rule->find.bytes; i++) {
        if (index < rules->nodes[node].least)
            rules->nodes[node].least = index;
        node = child_for(rules, node, (unsigned char)ascii_lower(rule->find.data[i]));
    }
    rule->next = rules->nodes[node].rule;
    rules->nodes[node].rule = index;
    add_pairs(rules, rule);
}

static int
build_tree(struct rewrite_rules *rules, struct arena *arena, struct err *err)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < rules->count; i++)
        bytes += rules->items[i].find.bytes;
    if (bytes > LITERAL_BYTES_MAX)
        return err_set(err, "the texts to find have %zu bytes together; they may have %u", bytes,
                       LITERAL_BYTES_MAX);
    rules->nodes = arena_zalloc(arena, (bytes + 1) * sizeof(rules->nodes[0]));
    if (rules->nodes == NULL)
        return err_set(err, "memory is short");
    rules->nodes[0] = (struct rewrite_node){ .rule = -1, .least = INT32_MAX };
    rules->node_count = 1;
    rules->only = -1;
    for (unsigned i = 0; i < rules->count; i++)
        if (rules->items[i].regex == NULL) {
            add_literal(rules, (int)i);
            if (rules->literal_count == 1 && !rules->items[i].ignore_case)
                rules->only = (int)i;
        }
    return 0;
}

struct rewrite_rules *
rewrite_rules_new(struct rewrite_rule_conf *const *confs, size_t count, size_t max_match,
                  struct arena *arena, struct err *err)
{
    struct rewrite_rules *rules = arena_zalloc(arena, sizeof(*rules));

    if (count > REWRITE_RULES_MAX) {
        err_set(err, "there are more than %u replacements", REWRITE_RULES_MAX);
        return NULL;
    }
    if (rules != NULL)
        rules->items = arena_zalloc(arena, (count + 1) * sizeof(rules->items[0]));
    if (rules == NULL || rules->items == NULL) {
        err_set(err, "memory is short");
        return NULL;
    }
    rules->max_match = max_match;
    for (size_t i = 0; i < count; i++)
        if (read_rule(rules, confs[i], arena, err) < 0) {
            err_prefix(err, "replacement %zu: ", i + 1);
            return NULL;
        }
    return build_tree(rules, arena, err) == 0 ? rules : NULL;
}
