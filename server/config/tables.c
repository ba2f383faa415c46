/* SPDX-License-Identifier: BSD-2-Clause */
/* tables.c - finds mistakes in option tables before an operator does.
 *
 * Most tables are only looked at when a configuration has the group they are
 * for, so a wrong default could hide for long.
 */
#include "config.h"

#include "server/config/tables.h"

#include <stdlib.h>

#include "server/base/must.h"
#include "server/config/reader.h"

#define TABLES_MAX 512
#define ARENA_BYTES ((size_t)1 << 20)

struct check {
    struct err *err;
    struct {
        const struct option *options, *family_options;
    } done[TABLES_MAX]; /* tables may hold themselves: each is checked once */
    size_t done_count;
};

static int check_table(struct check *check, const struct option *options,
                       const struct option *family_options, size_t bytes);

static const struct option *
find_row(const struct option *options, const char *name)
{
    for (; options != NULL && options->name != NULL; options++)
        if (strcmp(options->name, name) == 0)
            return options;
    return NULL;
}

/* Reads nothing by a table of this row alone, which leaves its default. */
static int
check_default(const struct option *row, size_t bytes, struct err *err)
{
    struct option alone[2] = { *row, { .name = NULL } };
    void *target = calloc(1, bytes);
    struct config_source source;
    struct arena arena;
    int result = -1;

    alone[0].is_required = false;
    arena_init(&arena, NULL, ARENA_BYTES);
    if (target == NULL)
        err_set(err, "memory is short");
    else if (config_source_from_text("", SLICE(""), &source, err) == 0) {
        result = config_source_read(&source, alone, target, &arena, err, NULL);
        config_source_fini(&source);
    }
    arena_fini(&arena);
    free(target);
    return result;
}

static int
check_shape(const struct option *row, struct err *err)
{
    bool has_members = row->type == OPTION_GROUP || row->type == OPTION_GROUPS;

    if (row->text == NULL)
        return err_set(err, "\"%s\" has no sentence", row->name);
    if (row->type == OPTION_ENUM && row->words == NULL)
        return err_set(err, "\"%s\" has no words", row->name);
    if (row->type == OPTION_CUSTOM && (row->parse == NULL || row->form == NULL))
        return err_set(err, "\"%s\" needs a parse function and a form", row->name);
    if (row->type == OPTION_FAMILY && row->family_at == NULL)
        return err_set(err, "\"%s\" has no family", row->name);
    if ((has_members && row->options == NULL) ||
        (row->options != NULL && row->member_bytes == 0))
        return err_set(err, "\"%s\" has no table or no size", row->name);
    if (row->is_required && row->fallback != NULL)
        return err_set(err, "\"%s\" is required and has a default", row->name);
    if (row->shorthand != NULL &&
        (row->type != OPTION_GROUP || find_row(row->options, row->shorthand) == NULL))
        return err_set(err, "\"%s\" is short for a member that does not exist", row->name);
    return 0;
}

static int
check_members(struct check *check, const struct option *row)
{
    const struct option *key;
    struct option_family family;

    if (row->family_key == NULL)
        return check_table(check, row->options, NULL, row->member_bytes);
    key = find_row(row->options, row->family_key);
    if (key == NULL || key->type != OPTION_FAMILY || key->family_at == NULL)
        return err_set(check->err, "members have no row \"%s\" for the family", row->family_key);
    for (size_t i = 0; key->family_at(i, &family); i++) {
        if (family.text == NULL || family.member_bytes < row->member_bytes)
            return err_set(check->err, "%s \"%s\" has no sentence, or a struct that is too small",
                           key->name, family.word);
        if (check_table(check, row->options, family.options, family.member_bytes) < 0)
            return err_prefix(check->err, "%s \"%s\": ", key->name, family.word);
    }
    return 0;
}

/* options is the row's own table, other the one read together with it. */
static int
check_row(struct check *check, const struct option *row, const struct option *options,
          const struct option *other, size_t bytes)
{
    if (find_row(options, row->name) != row || find_row(other, row->name) != NULL)
        return err_set(check->err, "\"%s\" has two rows", row->name);
    if (!option_is_visible(row))
        return 0;
    if (check_shape(row, check->err) < 0)
        return -1;
    if (row->options != NULL && check_members(check, row) < 0)
        return err_prefix(check->err, "%s: ", row->name);
    return check_default(row, bytes, check->err);
}

static int
check_table(struct check *check, const struct option *options,
            const struct option *family_options, size_t bytes)
{
    for (size_t i = 0; i < check->done_count; i++)
        if (check->done[i].options == options && check->done[i].family_options == family_options)
            return 0;
    must(check->done_count < TABLES_MAX);
    check->done[check->done_count].options = options;
    check->done[check->done_count++].family_options = family_options;
    for (const struct option *row = options; row->name != NULL; row++)
        if (check_row(check, row, options, family_options, bytes) < 0)
            return -1;
    for (const struct option *row = family_options; row != NULL && row->name != NULL; row++)
        if (check_row(check, row, family_options, options, bytes) < 0)
            return -1;
    return 0;
}

int
config_check_tables(const struct option *table, size_t target_bytes, struct err *err)
{
    struct check *check = calloc(1, sizeof(*check));
    int result;

    if (check == NULL)
        return err_set(err, "memory is short");
    check->err = err;
    result = check_table(check, table, NULL, target_bytes);
    free(check);
    return result;
}
