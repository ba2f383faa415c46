/* SPDX-License-Identifier: BSD-2-Clause */
/* reader.c - walks a parsed configuration along the option tables.
 *
 * Ten thousand sites read as fast as libconfig can parse them: elements are
 * visited in order and never searched for, each table gets a sorted index, and
 * its defaults are read once, into an image that every member starts from.
 *
 * Reading goes on after an error, so that an operator sees all of them.
 */
#include "config.h"

#include "server/config/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/base/hash.h"
#include "server/config/shape.h"
#include "server/config/syntax.h"

#define NAME_ROW "name"

/* One step of the path that leads to a setting. */
struct frame {
    const struct frame *parent;
    const char *word;  /* of the list or group */
    struct slice name; /* of a member; empty: it has none */
    size_t number;     /* of a member, from 1; 0: a group, not a member */
};

struct config_reader {
    const struct config_source *source;
    struct arena *arena;
    struct err *err;
    struct config_errors *all;
    size_t error_count;
    const struct frame *frame;
    struct shape *shapes;
    const char **files;                  /* of source, copied to the arena */
    const struct config_node *fail_node; /* set by config_fail() */
    struct hash_key key;
};

/* ---- reporting */

/* "listeners" is a list of what each is a "listener". */
static void
write_singular(const char *plural, char *text, size_t bytes)
{
    size_t length = strlen(plural);

    snprintf(text, bytes, "%s", plural);
    if (length >= bytes || length < 3 || plural[length - 1] != 's')
        return;
    text[length - 1] = '\0';
    if (length > 3 && strcmp(plural + length - 3, "ies") == 0)
        snprintf(text + length - 3, bytes - (length - 3), "y");
    else if (length > 4 && (strcmp(plural + length - 4, "sses") == 0 ||
                            strcmp(plural + length - 4, "ches") == 0))
        text[length - 2] = '\0';
}

/* `site "www": route "api": timeouts: ` */
static void
write_path(const struct frame *frame, char *text, size_t bytes)
{
    char word[64];
    size_t used;

    if (frame == NULL)
        return;
    write_path(frame->parent, text, bytes);
    used = strlen(text);
    if (frame->number == 0) {
        snprintf(text + used, bytes - used, "%s: ", frame->word);
        return;
    }
    write_singular(frame->word, word, sizeof(word));
    if (frame->name.bytes > 0)
        snprintf(text + used, bytes - used, "%s \"%.*s\": ", word,
                 (int)(frame->name.bytes < 60 ? frame->name.bytes : 60), frame->name.data);
    else
        snprintf(text + used, bytes - used, "%s %zu: ", word, frame->number);
}

/* Reports at a line of the source; 0: it was not written there. */
static void __attribute__((format(printf, 3, 4)))
report(struct config_reader *reader, unsigned line, const char *format, ...)
{
    char path[400] = "", text[sizeof(reader->err->text)];
    struct err err;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    write_path(reader->frame, path, sizeof(path));
    if (line > 0)
        config_source_fail(reader->source, line, &err, "%s%s", path, text);
    else
        err_set(&err, "%s: %s%s", reader->source->files[0], path, text);
    if (reader->error_count++ == 0 && reader->err != NULL)
        *reader->err = err;
    if (reader->all != NULL && reader->all->count < CONFIG_ERRORS_MAX)
        reader->all->items[reader->all->count++] = err;
}

int
config_fail(struct config_reader *reader, const struct config_node *node, struct err *err,
            const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    reader->fail_node = node;
    return err_set(err, "%s", text);
}

struct place
config_node_place(struct config_reader *reader, const struct config_node *node)
{
    unsigned line = config_node_line(node);
    const struct config_span *span;

    if (line == 0)
        return (struct place){ .file = "" };
    span = config_source_span(reader->source, line);
    if (reader->files[span->file] == NULL)
        reader->files[span->file] =
            arena_copy(reader->arena, slice_of(reader->source->files[span->file])).data;
    return (struct place){ .file = reader->files[span->file],
                           .line = line - span->first_line + span->file_line };
}

struct arena *
config_reader_arena(struct config_reader *reader)
{
    return reader->arena;
}

/* ---- defaults */

/* Lets a parse function fill the struct, and reports what it says. */
static void
call_parse(struct config_reader *reader, const struct option *row, const struct config_node *node,
           void *target)
{
    struct err err = { "" };

    reader->fail_node = NULL;
    if (row->parse(reader, node, target, &err) == 0 || err.text[0] == '\0')
        return;
    report(reader, config_node_line(reader->fail_node != NULL ? reader->fail_node : node), "%s %s",
           row->name, err.text);
}

/* A custom row reads its default from a node like any other. */
static void
parse_default(struct config_reader *reader, const struct option *row, void *target)
{
    struct config_tree *tree = config_tree_of(row->name, row->fallback);

    if (tree == NULL)
        report(reader, 0, "memory for the configuration is short");
    else
        call_parse(reader, row, config_node_at(config_tree_root(tree), 0), target);
    config_tree_free(tree);
}

static void
fill_defaults(struct config_reader *reader, const struct option *options, void *target)
{
    struct err err;

    for (const struct option *row = options; row->name != NULL; row++) {
        if (!option_is_visible(row))
            continue;
        if (row->type == OPTION_GROUP)
            fill_defaults(reader, row->options, (char *)target + row->offset);
        else if (row->fallback == NULL)
            continue;
        else if (row->type == OPTION_CUSTOM)
            parse_default(reader, row, target);
        else if (option_set_text(row, slice_of(row->fallback), target, reader->arena, &err) < 0)
            report(reader, 0, "the default of %s", err.text);
    }
}

/* The shape of a table with its image, made when first needed. NULL after a
 * report. */
static struct shape *
take_shape(struct config_reader *reader, const struct option *options,
           const struct option *family_options, size_t bytes)
{
    struct shape *shape = shape_of(reader->shapes, options, family_options, bytes);

    if (shape != NULL)
        return shape;
    must(bytes > 0);
    shape = shape_new(options, family_options, bytes);
    if (shape == NULL) {
        report(reader, 0, "memory for the configuration is short");
        return NULL;
    }
    shape->next = reader->shapes;
    reader->shapes = shape;
    fill_defaults(reader, options, shape->image);
    if (family_options != NULL)
        fill_defaults(reader, family_options, shape->image);
    return shape;
}

static const struct option *
find_option(const struct option *options, const char *name)
{
    for (; options != NULL && options->name != NULL; options++)
        if (strcmp(options->name, name) == 0)
            return options;
    return NULL;
}

/* ---- single values */

#define KIND(kind) (1u << (kind))
#define WANTED_BYTES 256

/* The kinds of node a type is written as, and how to say so. */
static const struct {
    unsigned kinds;
    const char *wanted;
} accepts[] = {
    [OPTION_BOOL] = { KIND(CONFIG_BOOL), "true or false" },
    [OPTION_INT] = { KIND(CONFIG_INT), "a whole number without quotes" },
    [OPTION_SIZE] = { KIND(CONFIG_INT) | KIND(CONFIG_TEXT), "a size such as \"64K\"" },
    [OPTION_TIME] = { KIND(CONFIG_INT) | KIND(CONFIG_TEXT), "a time such as \"10s\"" },
    [OPTION_STRING] = { KIND(CONFIG_TEXT), "text in quotes" },
    [OPTION_ENUM] = { KIND(CONFIG_TEXT), "a word in quotes" },
    [OPTION_STRINGS] = { KIND(CONFIG_TEXT), "text in quotes, or several in [ ... ]" },
    [OPTION_ADDRESS] = { KIND(CONFIG_INT) | KIND(CONFIG_TEXT),
                         "an address such as \"127.0.0.1:80\"" },
    [OPTION_ADDRESSES] = { KIND(CONFIG_INT) | KIND(CONFIG_TEXT),
                           "an address such as \"127.0.0.1:80\", or several in [ ... ]" },
    [OPTION_NETWORKS] = { KIND(CONFIG_TEXT),
                          "a network such as \"10.0.0.0/8\", or several in [ ... ]" },
    [OPTION_PORTS] = { KIND(CONFIG_INT) | KIND(CONFIG_TEXT),
                       "a port such as 443 or \"8000-8999\", or several in [ ... ]" },
    [OPTION_PATTERN] = { KIND(CONFIG_TEXT), "an expression in quotes" },
    [OPTION_GROUP] = { KIND(CONFIG_GROUP), "a group: { ... }" },
    [OPTION_GROUPS] = { KIND(CONFIG_LIST), "a list of groups: ( { ... }, { ... } )" },
    [OPTION_CUSTOM] = { ~0u, "" },
    [OPTION_FAMILY] = { KIND(CONFIG_TEXT), "a word in quotes" },
};

/* What would be accepted; text is room for it. */
static const char *
wanted_text(const struct option *row, char text[WANTED_BYTES])
{
    size_t used = 0;

    if (row->type != OPTION_ENUM)
        return accepts[row->type].wanted;
    for (int i = 0; row->words[i] != NULL && used < WANTED_BYTES; i++)
        used += (size_t)snprintf(text + used, WANTED_BYTES - used, "%s\"%s\"",
                                 i > 0 ? " or " : "", row->words[i]);
    return text;
}

static bool
check_kind(struct config_reader *reader, const struct option *row, const struct config_node *node)
{
    char value[CONFIG_VALUE_BYTES], wanted[WANTED_BYTES], group[WANTED_BYTES];

    if ((accepts[row->type].kinds & KIND(config_node_kind(node))) != 0)
        return true;
    snprintf(group, sizeof(group), ", or a group: %s", row->form != NULL ? row->form : "{ ... }");
    report(reader, config_node_line(node), "%s wants %s%s, found %s", row->name,
           wanted_text(row, wanted),
           row->shorthand != NULL && row->type != OPTION_GROUP ? group : "",
           config_node_value_text(node, value));
    return false;
}

/* The value as it would be written as text; number is room for an integer. */
static struct slice
value_text(const struct config_node *node, char number[24])
{
    enum config_kind kind = config_node_kind(node);

    if (kind == CONFIG_TEXT)
        return config_node_text(node);
    if (kind == CONFIG_BOOL)
        return slice_of(config_node_bool(node) ? "true" : "false");
    snprintf(number, 24, "%" PRId64, config_node_int(node));
    return slice_of(number);
}

static void
read_scalar(struct config_reader *reader, const struct option *row,
            const struct config_node *node, void *target)
{
    char number[24];
    struct err err;

    if (check_kind(reader, row, node) &&
        option_set_text(row, value_text(node, number), target, reader->arena, &err) < 0)
        report(reader, config_node_line(node), "%s", err.text);
}

/* Which of several elements is wrong? Each is tried alone. */
static unsigned
line_to_blame(struct config_reader *reader, const struct option *row,
              const struct config_node *node, const struct slice *items, size_t count)
{
    union {
        struct strings strings;
        struct addresses addresses;
        struct port_set ports;
        void *networks;
    } ignored;
    struct option alone = *row;

    alone.offset = 0;
    alone.min = alone.max = 0;
    for (size_t i = 0; i < count && config_node_kind(node) == CONFIG_LIST; i++)
        if (option_set_list(&alone, &items[i], 1, &ignored, reader->arena, NULL) < 0)
            return config_node_line(config_node_at(node, i));
    return config_node_line(node);
}

/* Collects the elements as text; false after reporting one of a wrong kind. */
static bool
collect(struct config_reader *reader, const struct option *row, const struct config_node *node,
        struct slice *items, size_t count)
{
    char number[24];

    for (size_t i = 0; i < count; i++) {
        bool is_list = config_node_kind(node) == CONFIG_LIST;
        const struct config_node *element = is_list ? config_node_at(node, i) : node;

        if (!check_kind(reader, row, element))
            return false;
        items[i] = value_text(element, number);
        if (items[i].data == number)
            items[i] = arena_copy(reader->arena, items[i]);
    }
    return true;
}

static void
read_elements(struct config_reader *reader, const struct option *row,
              const struct config_node *node, void *target)
{
    size_t count = config_node_kind(node) == CONFIG_LIST ? config_node_count(node) : 1;
    struct slice *items = calloc(count + 1, sizeof(*items));
    struct err err;

    if (items == NULL)
        report(reader, config_node_line(node), "memory for the configuration is short");
    else if (collect(reader, row, node, items, count) &&
             option_set_list(row, items, count, target, reader->arena, &err) < 0)
        report(reader, line_to_blame(reader, row, node, items, count), "%s", err.text);
    free(items);
}

/* ---- groups */

static void read_value(struct config_reader *reader, const struct option *row,
                       const struct config_node *node, void *target);

/* The other family of the list that has an option of this name, if any. */
static bool
find_elsewhere(const struct option *key, const char *name, struct option_family *family)
{
    if (key == NULL)
        return false;
    for (size_t i = 0; key->family_at(i, family); i++)
        if (find_option(family->options, name) != NULL)
            return true;
    return false;
}

#define KNOWN_BYTES 300

/* As many as fit. */
static const char *
known_settings(const struct shape *shape, char text[KNOWN_BYTES])
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < shape->row_count; i++) {
        size_t left = KNOWN_BYTES - used;
        int bytes = snprintf(text + used, left, "%s%s", i > 0 ? ", " : "", shape->rows[i]->name);

        if ((size_t)bytes + sizeof(", ...") > left) {
            snprintf(text + used, left, ", ...");
            break;
        }
        used += (size_t)bytes;
    }
    return text;
}

static void
report_unknown(struct config_reader *reader, const struct shape *shape, const struct option *key,
               const struct config_node *node)
{
    const char *name = config_node_name(node);
    struct option_family family;
    struct nearest nearest;
    char known[KNOWN_BYTES];
    struct err err;

    if (find_elsewhere(key, name, &family)) {
        report(reader, config_node_line(node), "the setting \"%.60s\" belongs to %s \"%s\"", name,
               key->name, family.word);
        return;
    }
    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; i < shape->row_count; i++)
        nearest_offer(&nearest, shape->rows[i]->name);
    err_set(&err, "the setting \"%.60s\" is not known", name);
    if (nearest.best != NULL) {
        nearest_hint(&nearest, &err);
        report(reader, config_node_line(node), "%s", err.text);
    } else {
        report(reader, config_node_line(node), "%s: known are %s", err.text,
               known_settings(shape, known));
    }
}

/* The same for what is written in the same way, wherever that is. Settings nest only as far as
 * the parser lets them. */
static uint64_t
digest_of(const struct config_node *node)
{
    static const struct hash_key fixed;
    const char *name = config_node_name(node);
    uint64_t parts[3] = { config_node_kind(node), hash_bytes(slice_of(name), &fixed), 0 };
    double number;

    switch (config_node_kind(node)) {
    case CONFIG_GROUP:
    case CONFIG_LIST:
        for (size_t i = 0; i < config_node_count(node); i++)
            parts[2] = parts[2] * 31 + digest_of(config_node_at(node, i));
        break;
    case CONFIG_TEXT:
        parts[2] = hash_bytes(config_node_text(node), &fixed);
        break;
    case CONFIG_INT:
        parts[2] = (uint64_t)config_node_int(node);
        break;
    case CONFIG_FLOAT:
        number = config_node_float(node);
        memcpy(&parts[2], &number, sizeof(number));
        break;
    case CONFIG_BOOL:
        parts[2] = config_node_bool(node);
        break;
    }
    return hash_bytes(slice_make((const char *)parts, sizeof(parts)), &fixed);
}

static void
store_place(struct config_reader *reader, const struct shape *shape,
            const struct config_node *node, void *target)
{
    struct place place;

    if (shape->place == NULL)
        return;
    place = config_node_place(reader, node);
    if (shape->family_options != NULL)
        place.digest = (uint32_t)digest_of(node);
    memcpy((char *)target + shape->place->offset, &place, sizeof(place));
}

static void
report_missing(struct config_reader *reader, const struct shape *shape, const bool *seen,
               const struct config_node *node)
{
    for (size_t i = 0; i < shape->row_count; i++)
        if (shape->rows[i]->is_required && !seen[i])
            report(reader, config_node_line(node), "\"%s\" is missing", shape->rows[i]->name);
}

/* Reads a group's settings into *target, which holds the defaults. */
static void
read_settings(struct config_reader *reader, const struct shape *shape, const struct option *key,
              const struct config_node *node, void *target)
{
    size_t count = config_node_count(node);
    bool seen[SHAPE_ROWS_MAX] = { false };

    store_place(reader, shape, node, target);
    for (size_t i = 0; i < count; i++) {
        const struct config_node *setting = config_node_at(node, i);
        size_t at = shape_find(shape, config_node_name(setting));

        if (at == shape->row_count) {
            report_unknown(reader, shape, key, setting);
            continue;
        }
        seen[at] = true;
        read_value(reader, shape->rows[at], setting, target);
    }
    report_missing(reader, shape, seen, node);
}

int
config_read_group(struct config_reader *reader, const struct config_node *node,
                  const struct option *table, void *target, size_t target_bytes)
{
    struct shape *shape = take_shape(reader, table, NULL, target_bytes);
    size_t errors = reader->error_count;

    if (shape == NULL)
        return -1;
    memcpy(target, shape->image, shape->bytes);
    read_settings(reader, shape, NULL, node, target);
    return reader->error_count == errors ? 0 : -1;
}

/* The value of one member stands for the whole group. */
static void
read_shorthand(struct config_reader *reader, const struct option *row,
               const struct config_node *node, void *target)
{
    struct shape *shape = take_shape(reader, row->options, NULL, row->member_bytes);
    struct option member;

    if (shape == NULL)
        return;
    memcpy(target, shape->image, shape->bytes);
    store_place(reader, shape, node, target);
    member = *shape->rows[shape_find(shape, row->shorthand)];
    member.name = row->name; /* as it was written */
    member.shorthand = row->shorthand;
    member.form = row->form;
    read_value(reader, &member, node, target);
}

static void
read_group(struct config_reader *reader, const struct option *row, const struct config_node *node,
           void *target)
{
    struct frame frame = { .parent = reader->frame, .word = row->name };

    target = (char *)target + row->offset;
    if (row->shorthand != NULL && config_node_kind(node) != CONFIG_GROUP) {
        read_shorthand(reader, row, node, target);
        return;
    }
    if (!check_kind(reader, row, node))
        return;
    reader->frame = &frame;
    (void)config_read_group(reader, node, row->options, target, row->member_bytes);
    reader->frame = frame.parent;
}

/* ---- lists of groups */

/* Names that a list has seen: a hash table of positions plus 1. */
struct names {
    struct slice *items;
    uint32_t *slots;
    size_t mask;
};

/* False when memory is short. */
static bool
names_init(struct names *names, size_t count)
{
    size_t slots = 16;

    while (slots < count * 2)
        slots *= 2;
    names->items = calloc(count + 1, sizeof(*names->items));
    names->slots = calloc(slots, sizeof(*names->slots));
    names->mask = slots - 1;
    return names->items != NULL && names->slots != NULL;
}

static void
names_fini(struct names *names)
{
    free(names->items);
    free(names->slots);
}

/* Notes that element i has this name. Returns the position of the first one
 * that has it: i itself when it is new. */
static size_t
names_add(struct names *names, const struct hash_key *key, struct slice name, size_t i)
{
    size_t at = (size_t)hash_bytes(name, key) & names->mask;

    while (names->slots[at] != 0) {
        size_t other = names->slots[at] - 1;

        if (slice_equal(names->items[other], name))
            return other;
        at = (at + 1) & names->mask;
    }
    names->items[i] = name;
    names->slots[at] = (uint32_t)i + 1;
    return i;
}

/* The text of a member's setting; empty when it has none. */
static struct slice
member_text(const struct config_node *node, const char *name)
{
    const struct config_node *setting = config_node_find(node, name);

    if (setting == NULL || config_node_kind(setting) != CONFIG_TEXT)
        return slice_make(NULL, 0);
    return config_node_text(setting);
}

/* What reading one list of groups needs throughout. */
struct members {
    const struct option *row; /* of the list */
    const struct option *key; /* of its table, the OPTION_FAMILY row; NULL: no families */
    const struct config_node *node;
    bool has_names;
    struct names names;
};

static void
check_name(struct config_reader *reader, struct members *members, struct slice name, size_t i)
{
    const struct config_node *first;
    struct place place;
    size_t at;

    if (!members->has_names || name.bytes == 0)
        return;
    at = names_add(&members->names, &reader->key, name, i);
    if (at == i)
        return;
    first = config_node_at(members->node, at);
    place = config_node_place(reader, first);
    report(reader, config_node_line(config_node_at(members->node, i)),
           "the name is taken: the first is at %s:%u", place.file, place.line);
}

/* Finds the family of a member. False after a report. */
static bool
find_family(struct config_reader *reader, const struct members *members,
            const struct config_node *node, struct option_family *family)
{
    const struct option *key = members->key;
    const struct config_node *setting;
    struct slice word;
    struct err err;
    char words[OPTION_WORDS_BYTES];
    void *ignored;

    *family = (struct option_family){ .member_bytes = members->row->member_bytes };
    if (key == NULL)
        return true;
    setting = config_node_find(node, key->name);
    word = setting != NULL ? member_text(node, key->name) : slice_of(key->fallback);
    if (option_family_find(key, word, family))
        return true;
    if (setting == NULL) {
        report(reader, config_node_line(node), "\"%s\" is missing: one of %s", key->name,
               option_family_words(key, words));
    } else if (check_kind(reader, key, setting)) {
        const struct frame *frame = reader->frame;
        struct frame nameless = *frame;
        struct option alone = *key;

        alone.offset = 0;
        option_set_text(&alone, word, &ignored, reader->arena, &err);
        if (frame->name.data == word.data) /* or the word would be said twice */
            nameless.name = slice_make(NULL, 0);
        reader->frame = &nameless;
        report(reader, config_node_line(setting), "%s", err.text);
        reader->frame = frame;
    }
    return false;
}

static void *
read_member(struct config_reader *reader, const struct members *members,
            const struct config_node *node)
{
    struct option_family family;
    struct shape *shape;
    void *member;

    if (!find_family(reader, members, node, &family))
        return NULL;
    must(family.member_bytes >= members->row->member_bytes);
    shape = take_shape(reader, members->row->options, family.options, family.member_bytes);
    if (shape == NULL)
        return NULL;
    member = arena_alloc(reader->arena, shape->bytes);
    if (member == NULL)
        return NULL;
    memcpy(member, shape->image, shape->bytes);
    read_settings(reader, shape, members->key, node, member);
    return member;
}

static void
read_members(struct config_reader *reader, struct members *members, struct config_list *list,
             size_t count)
{
    const struct option *row = members->row;
    struct frame frame = { .parent = reader->frame, .word = row->name };

    list->items = arena_alloc(reader->arena, count * sizeof(*list->items));
    list->count = list->items != NULL ? count : 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct config_node *node = config_node_at(members->node, i);
        char value[CONFIG_VALUE_BYTES];

        list->items[i] = NULL;
        if (config_node_kind(node) != CONFIG_GROUP) {
            report(reader, config_node_line(node), "%s: element %zu wants a group: { ... }, "
                   "found %s", row->name, i + 1, config_node_value_text(node, value));
            continue;
        }
        frame.number = i + 1;
        frame.name = member_text(node, NAME_ROW);
        if (frame.name.bytes == 0 && row->family_key != NULL)
            frame.name = member_text(node, row->family_key);
        reader->frame = &frame;
        check_name(reader, members, member_text(node, NAME_ROW), i);
        list->items[i] = read_member(reader, members, node);
        reader->frame = frame.parent;
    }
}

static bool
check_count(struct config_reader *reader, const struct option *row, const struct config_node *node)
{
    size_t count = config_node_count(node);
    char range[OPTION_RANGE_BYTES];

    if ((int64_t)count >= row->min && (row->max == 0 || (int64_t)count <= row->max))
        return true;
    report(reader, config_node_line(node), "%s has %zu members, %s would be accepted", row->name,
           count, option_range_text(row, range));
    return false;
}

static void
read_groups(struct config_reader *reader, const struct option *row, const struct config_node *node,
            void *target)
{
    struct config_list *list = (void *)((char *)target + row->offset);
    const struct option *name = find_option(row->options, NAME_ROW);
    struct members members = { .row = row, .node = node };

    if (!check_kind(reader, row, node) || !check_count(reader, row, node))
        return;
    if (row->family_key != NULL) {
        members.key = find_option(row->options, row->family_key);
        must(members.key != NULL && members.key->family_at != NULL);
    }
    members.has_names = name != NULL && name->type == OPTION_STRING && !row->may_repeat;
    if (!members.has_names || names_init(&members.names, config_node_count(node)))
        read_members(reader, &members, list, config_node_count(node));
    else
        report(reader, config_node_line(node), "memory for the configuration is short");
    names_fini(&members.names);
}

static void
read_value(struct config_reader *reader, const struct option *row, const struct config_node *node,
           void *target)
{
    size_t errors = reader->error_count;

    if (row->type == OPTION_CUSTOM) {
        call_parse(reader, row, node, target);
        return;
    }
    if (row->type == OPTION_GROUP)
        read_group(reader, row, node, target);
    else if (row->type == OPTION_GROUPS)
        read_groups(reader, row, node, target);
    else if (option_is_list(row->type))
        read_elements(reader, row, node, target);
    else
        read_scalar(reader, row, node, target);
    if (row->parse != NULL && reader->error_count == errors)
        call_parse(reader, row, node, target);
}

/* ---- the whole */

/* The first table describes *target itself, which needs no image. */
static void
read_root(struct config_reader *reader, const struct option *table,
          const struct config_node *root, void *target)
{
    struct shape *shape = shape_new(table, NULL, 0);

    if (shape == NULL) {
        report(reader, 0, "memory for the configuration is short");
        return;
    }
    fill_defaults(reader, table, target);
    read_settings(reader, shape, NULL, root, target);
    shape_free_all(shape);
}

static void
read_text(struct config_reader *reader, const struct option *table, const char *text,
          void *target)
{
    struct config_tree *tree;
    unsigned line = 0;
    struct err err;

    /* The text was checked before: failing would be for lack of memory or by
     * a rule of libconfig's that we do not know. */
    tree = config_tree_new(text, &line, &err);
    if (tree == NULL)
        report(reader, line, "%s", err.text);
    else
        read_root(reader, table, config_tree_root(tree), target);
    config_tree_free(tree);
}

int
config_source_read(const struct config_source *source, const struct option *table, void *target,
                   struct arena *arena, struct err *err, struct config_errors *all)
{
    struct config_reader reader = { .source = source, .arena = arena, .err = err, .all = all };
    struct err syntax = { "" };
    char *text;

    if (all != NULL)
        all->count = 0;
    text = config_syntax_rewrite(source, &syntax);
    if (text == NULL) {
        if (all != NULL)
            all->items[all->count++] = syntax;
        return err_set(err, "%s", syntax.text);
    }
    hash_key_random(&reader.key);
    reader.files = arena_zalloc(arena, source->file_count * sizeof(*reader.files));
    if (reader.files != NULL)
        read_text(&reader, table, text, target);
    if (arena_is_spent(arena))
        report(&reader, 1, "the configuration needs more memory than it may have");
    shape_free_all(reader.shapes);
    free(text);
    return reader.error_count == 0 ? 0 : -1;
}
