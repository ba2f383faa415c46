/* SPDX-License-Identifier: BSD-2-Clause */
/* condition.c - compiles groups of conditions.
 *
 * Groups of "all" melt into the group around them. Each set is compiled once for a
 * policy and shared by its rules.
 */
#include "config.h"

#include "server/policy/condition.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/config/reader.h"
#include "server/schema.h"

#define TESTS_MAX 200000 /* in one policy, sets counted once */

/* ---- errors and names */

/* `policy "p": rule "x": `, `policy "p": rule 3: `, `set "s": `. */
static void
write_where(const struct compiler *compiler, char *text, size_t bytes)
{
    const struct rule_conf *rule = compiler->rule;
    int used = 0;

    if (compiler->set != NULL) {
        snprintf(text, bytes, "set \"%s\": ", compiler->set->name);
        return;
    }
    if (compiler->policy != NULL)
        used = snprintf(text, bytes, "policy \"%s\": ", compiler->policy->name);
    if (rule == NULL || (size_t)used >= bytes)
        return;
    if (rule->name != NULL)
        snprintf(text + used, bytes - (size_t)used, "rule \"%.60s\": ", rule->name);
    else
        snprintf(text + used, bytes - (size_t)used, "rule %u: ", rule->number + 1);
}

int
compiler_fail(struct compiler *compiler, const struct place *place)
{
    struct err found = *compiler->err;
    char where[200] = "";

    write_where(compiler, where, sizeof(where));
    return config_place_fail(compiler->err, place, "%s%.700s", where, found.text);
}

void *
compiler_find(struct compiler *compiler, const struct name_set *set,
              const struct config_list *list, const char *what, struct slice name)
{
    struct name *found = name_set_find(set, name.data);
    struct nearest nearest;

    if (found->text != NULL)
        return found->object;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < list->count; i++)
        nearest_offer(&nearest, ((const struct named *)list->items[i])->name);
    err_set(compiler->err, "there is no %s \"%.60s\"", what, name.data);
    nearest_hint(&nearest, compiler->err);
    return NULL;
}

int
compiler_limit(struct compiler *compiler, const struct limit_conf *limit)
{
    unsigned i = 0;

    while (i < compiler->over_count && compiler->over[i] != limit)
        i++;
    if (i == POLICY_LIMITS_MAX)
        return err_set(compiler->err, "the conditions of one policy may ask %d limits",
                       POLICY_LIMITS_MAX);
    if (i == compiler->over_count)
        compiler->over[compiler->over_count++] = limit;
    return (int)i;
}

/* ---- tests of one group, while they are gathered */

struct gathered {
    struct test *items; /* of the scratch arena */
    size_t count, room;
    unsigned height;
};

static int
out_of_memory(struct compiler *compiler)
{
    return err_set(compiler->err, "out of memory: the configuration is too large");
}

/* Room for one more. NULL with err. */
static struct test *
grow(struct compiler *compiler, struct gathered *gathered)
{
    if (++compiler->test_count > TESTS_MAX) {
        err_set(compiler->err, "the policy has more than %d conditions", TESTS_MAX);
        return NULL;
    }
    if (gathered->count == gathered->room) {
        size_t room = gathered->room > 0 ? gathered->room * 2 : 8;
        struct test *items = arena_alloc(&compiler->scratch, room * sizeof(*items));

        if (items == NULL) {
            out_of_memory(compiler);
            return NULL;
        }
        if (gathered->count > 0)
            memcpy(items, gathered->items, gathered->count * sizeof(*items));
        gathered->items = items;
        gathered->room = room;
    }
    return memset(&gathered->items[gathered->count++], 0, sizeof(struct test));
}

static int gather(struct compiler *compiler, const struct condition_conf *conf,
                  struct gathered *gathered);

/* ---- groups in groups */

static int
enter(struct compiler *compiler, const struct place *place)
{
    if (compiler->depth < CONDITION_DEPTH_MAX) {
        compiler->depth++;
        return 0;
    }
    err_set(compiler->err, "conditions are nested more than %d deep, sets included",
            CONDITION_DEPTH_MAX);
    return compiler_fail(compiler, place);
}

static int
compile_inner(struct compiler *compiler, const struct condition_conf *conf, struct group *group)
{
    int result;

    if (condition_is_empty(conf)) {
        err_set(compiler->err, "a group of conditions is empty");
        return compiler_fail(compiler, &conf->place);
    }
    if (enter(compiler, &conf->place) < 0)
        return -1;
    result = condition_compile(compiler, conf, group);
    compiler->depth--;
    return result;
}

/* Those that take from limits last, otherwise as written. */
static void
put_limits_last(struct groups *groups)
{
    for (size_t i = 1; i < groups->count; i++) {
        struct group group = groups->items[i];
        size_t at = i;

        for (; at > 0 && groups->items[at - 1].has_limits && !group.has_limits; at--)
            groups->items[at] = groups->items[at - 1];
        groups->items[at] = group;
    }
}

/* A test of groups, which are there already. */
static int
add_groups(struct compiler *compiler, const struct condition_conf *conf, enum test_kind kind,
           struct groups *groups, struct gathered *gathered)
{
    struct test *test = grow(compiler, gathered);

    if (test == NULL)
        return compiler_fail(compiler, &conf->place);
    put_limits_last(groups);
    *test = (struct test){ .kind = kind, .data = groups, .conf = conf };
    for (size_t i = 0; i < groups->count; i++) {
        test->has_limits = test->has_limits || groups->items[i].has_limits;
        test->stages |= groups->items[i].stages;
        if (groups->items[i].height + 1u > gathered->height)
            gathered->height = groups->items[i].height + 1u;
    }
    return 0;
}

static struct groups *
new_groups(struct compiler *compiler, size_t count)
{
    struct groups *groups = arena_zalloc(compiler->arena,
                                         sizeof(*groups) + count * sizeof(struct group));

    if (groups == NULL)
        out_of_memory(compiler);
    else
        groups->count = count;
    return groups;
}

static int
gather_groups(struct compiler *compiler, const struct condition_conf *conf, enum test_kind kind,
              const struct config_list *list, struct gathered *gathered)
{
    struct groups *groups;

    if (list->count == 0)
        return 0;
    groups = new_groups(compiler, list->count);
    if (groups == NULL)
        return compiler_fail(compiler, &conf->place);
    for (size_t i = 0; i < list->count; i++)
        if (compile_inner(compiler, list->items[i], &groups->items[i]) < 0)
            return -1;
    return add_groups(compiler, conf, kind, groups, gathered);
}

static int
gather_all(struct compiler *compiler, const struct condition_conf *conf, struct gathered *gathered)
{
    for (size_t i = 0; i < conf->all.count; i++) {
        const struct condition_conf *inner = conf->all.items[i];

        if (condition_is_empty(inner)) {
            err_set(compiler->err, "a group of conditions is empty");
            return compiler_fail(compiler, &inner->place);
        }
        if (enter(compiler, &inner->place) < 0 || gather(compiler, inner, gathered) < 0)
            return -1;
        compiler->depth--;
    }
    return 0;
}

/* ---- sets */

static struct group in_the_making;

/* The group of a set, compiled if it was not yet. NULL with err, complete. */
static const struct group *
set_group(struct compiler *compiler, const struct condition_set_conf *set,
          const struct place *user)
{
    const struct condition_set_conf *outer = compiler->set;
    struct group *group = compiler->set_groups[set->number];
    int result;

    if (group == &in_the_making) {
        err_set(compiler->err, "the set \"%s\" is in itself", set->name);
        compiler_fail(compiler, user);
        return NULL;
    }
    if (group != NULL)
        return group;
    group = arena_zalloc(compiler->arena, sizeof(*group));
    if (group == NULL) {
        out_of_memory(compiler);
        compiler_fail(compiler, user);
        return NULL;
    }
    if (enter(compiler, user) < 0)
        return NULL;
    compiler->set_groups[set->number] = &in_the_making;
    compiler->set = set;
    result = condition_compile(compiler, &set->when, group);
    compiler->set = outer;
    compiler->depth--;
    compiler->set_groups[set->number] = group;
    return result == 0 ? group : NULL;
}

static int
gather_sets(struct compiler *compiler, const struct condition_conf *conf,
            struct gathered *gathered)
{
    struct groups *groups;

    if (conf->sets.count == 0)
        return 0;
    groups = new_groups(compiler, conf->sets.count);
    if (groups == NULL)
        return compiler_fail(compiler, &conf->place);
    for (size_t i = 0; i < groups->count; i++) {
        const struct condition_set_conf *set;
        const struct group *group;

        set = compiler_find(compiler, compiler->sets, &compiler->conf->sets, "set",
                            conf->sets.items[i]);
        if (set == NULL)
            return compiler_fail(compiler, &conf->place);
        group = set_group(compiler, set, &conf->place);
        if (group == NULL)
            return -1;
        if (compiler->depth + group->height + 1 > CONDITION_DEPTH_MAX) {
            err_set(compiler->err, "conditions are nested more than %d deep, sets included",
                    CONDITION_DEPTH_MAX);
            return compiler_fail(compiler, &conf->place);
        }
        groups->items[i] = *group;
    }
    return add_groups(compiler, conf, TEST_SET, groups, gathered);
}

/* ---- the whole */

static int
gather_fields(struct compiler *compiler, const struct condition_conf *conf,
              struct gathered *gathered)
{
    for (const struct condition_field *field = condition_fields; field->name != NULL; field++) {
        struct test *test;

        if (!condition_is_said(field, conf))
            continue;
        test = grow(compiler, gathered);
        if (test == NULL)
            return compiler_fail(compiler, &conf->place);
        *test = (struct test){
            .kind = field->kind, .conf = conf,
            .needs = (uint8_t)STAGE_BIT(field->stage),
            .stages = (uint8_t)STAGE_BIT(field->stage),
        };
        if (test_compile(compiler, field, conf, test) < 0)
            return compiler_fail(compiler, &conf->place);
    }
    if (conf->time_zone == NULL || conf->times.count > 0)
        return 0;
    err_set(compiler->err, "time_zone without time means nothing");
    return compiler_fail(compiler, &conf->place);
}

static int
gather(struct compiler *compiler, const struct condition_conf *conf, struct gathered *gathered)
{
    if (gather_fields(compiler, conf, gathered) < 0 ||
        gather_all(compiler, conf, gathered) < 0 ||
        gather_groups(compiler, conf, TEST_ANY, &conf->any, gathered) < 0 ||
        gather_groups(compiler, conf, TEST_NONE, &conf->none, gathered) < 0)
        return -1;
    return gather_sets(compiler, conf, gathered);
}

static int
compare_tests(const void *a, const void *b)
{
    const struct test *x = a, *y = b;

    if (x->has_limits != y->has_limits)
        return x->has_limits ? 1 : -1;
    if (x->kind != y->kind)
        return (int)x->kind - (int)y->kind;
    return (x->conf->place.line > y->conf->place.line) -
           (x->conf->place.line < y->conf->place.line);
}

int
condition_compile(struct compiler *compiler, const struct condition_conf *conf,
                  struct group *group)
{
    struct gathered gathered = { .count = 0 };
    struct test *tests;

    *group = (struct group){ .count = 0 };
    if (gather(compiler, conf, &gathered) < 0)
        return -1;
    tests = arena_alloc(compiler->arena, gathered.count * sizeof(*tests));
    if (tests == NULL) {
        out_of_memory(compiler);
        return compiler_fail(compiler, &conf->place);
    }
    if (gathered.count > 0) {
        memcpy(tests, gathered.items, gathered.count * sizeof(*tests));
        qsort(tests, gathered.count, sizeof(*tests), compare_tests);
    }
    group->tests = tests;
    group->count = (uint32_t)gathered.count;
    group->height = (uint8_t)gathered.height;
    for (size_t i = 0; i < gathered.count; i++) {
        group->stages |= tests[i].stages;
        group->has_limits = group->has_limits || tests[i].has_limits;
    }
    return 0;
}
