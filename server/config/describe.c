/* SPDX-License-Identifier: BSD-2-Clause */
/* describe.c - walks option tables and prints each row.
 *
 * One walk serves the listing and the manual; they differ in how a row looks.
 */
#include "config.h"

#include "server/config/describe.h"

#include "server/base/must.h"

#define PATH_MAX_BYTES 256
#define TABLES_MAX 256 /* described in one walk */
#define DEPTH_MAX 12
#define LINE_COLUMNS 80

struct walk {
    FILE *out;
    struct slice wanted;     /* empty: everything */
    size_t matches;
    struct nearest nearest;
    void (*print)(struct walk *walk, const char *path, const struct option *row,
                  const char *same_as);
    struct tables {
        struct {
            const struct option *options;
            char path[PATH_MAX_BYTES];
        } items[TABLES_MAX];
        size_t count;
    } printed, found; /* found: members that a search has printed whole */
};

/* ---- words for a row */

static const char *
type_name(enum option_type type)
{
    switch (type) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INT:
        return "number";
    case OPTION_SIZE:
        return "size";
    case OPTION_TIME:
        return "time";
    case OPTION_STRING:
        return "text";
    case OPTION_ENUM:
    case OPTION_FAMILY:
        return "one of";
    case OPTION_STRINGS:
        return "text(s)";
    case OPTION_ADDRESS:
        return "address";
    case OPTION_ADDRESSES:
        return "address(es)";
    case OPTION_NETWORKS:
        return "network(s)";
    case OPTION_PORTS:
        return "port(s)";
    case OPTION_PATTERN:
        return "expression";
    case OPTION_GROUP:
        return "group";
    case OPTION_GROUPS:
        return "list of groups";
    case OPTION_CUSTOM:
        return "";
    }
    return "";
}

static void
append(char *text, size_t bytes, const char *separator, const char *word)
{
    size_t used = strlen(text);

    if (used < bytes)
        snprintf(text + used, bytes - used, "%s%s", separator, word);
}

/* The three in a row, cut to PATH_MAX_BYTES. */
static void
join(char *path, const char *first, const char *second, const char *third)
{
    path[0] = '\0';
    append(path, PATH_MAX_BYTES, first, second);
    append(path, PATH_MAX_BYTES, "", third);
}

/* "time 1s..1h", "one of a, b", "text(s), 1 or more". */
static void
write_type(const struct option *row, char *text, size_t bytes)
{
    bool is_list = option_is_list(row->type) || row->options != NULL;
    char range[OPTION_RANGE_BYTES];
    struct option_family family;

    snprintf(text, bytes, "%s", row->type == OPTION_CUSTOM && row->form != NULL
                                    ? row->form : type_name(row->type));
    if (row->shorthand != NULL)
        append(text, bytes, ", or its member ", row->shorthand);
    if (row->type == OPTION_ENUM)
        for (size_t i = 0; row->words[i] != NULL; i++)
            append(text, bytes, i > 0 ? ", " : " ", row->words[i]);
    if (row->type == OPTION_FAMILY)
        for (size_t i = 0; row->family_at(i, &family); i++)
            append(text, bytes, i > 0 ? ", " : " ", family.word);
    if (option_range_text(row, range)[0] != '\0')
        append(text, bytes, is_list ? ", " : " ", range);
}

static const char *
default_text(const struct option *row)
{
    return row->is_required ? "required" : row->fallback;
}

static const char *
sentence(const struct option *row)
{
    return row->text != NULL ? row->text : "";
}

/* ---- choosing */

/* What stands behind name where path begins with it; NULL when it does not. "[]" may be left
 * out. */
static const char *
path_behind(const char *path, struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++) {
        if (strncmp(path, "[]", 2) == 0 && name.data[i] == '.')
            path += 2;
        if (*path++ != name.data[i])
            return NULL;
    }
    return path;
}

/* Whether name is a run of components of path: "b.c" and "a.b" of "a[].b.c". */
static bool
path_has(const char *path, struct slice name)
{
    for (const char *at = path; *at != '\0'; at++) {
        const char *behind = path_behind(at, name);

        if (behind != NULL && strchr(".[]", *behind) != NULL &&
            (at == path || strchr(".[", at[-1]) != NULL))
            return true;
    }
    return false;
}

static bool
is_wanted(struct walk *walk, const char *path, const struct option *row)
{
    if (walk->wanted.bytes == 0)
        return true;
    nearest_offer(&walk->nearest, row->name);
    if (!path_has(path, walk->wanted))
        return false;
    walk->matches++;
    return true;
}

/* ---- walking */

static void walk_table(struct walk *walk, const struct option *options, const char *prefix,
                       unsigned depth);

/* Where a table was noted before; NULL when it was not, and from now on it is. */
static const char *
find_table(struct tables *tables, const struct option *options, const char *path)
{
    for (size_t i = 0; i < tables->count; i++)
        if (tables->items[i].options == options)
            return tables->items[i].path;
    if (tables->count < TABLES_MAX) {
        tables->items[tables->count].options = options;
        snprintf(tables->items[tables->count++].path, PATH_MAX_BYTES, "%s", path);
    }
    return NULL;
}

static void
walk_families(struct walk *walk, const struct option *row, const char *path, unsigned depth)
{
    const struct option *key = row->options;
    struct option_family family;

    while (key->name != NULL && strcmp(key->name, row->family_key) != 0)
        key++;
    must(key->name != NULL);
    for (size_t i = 0; key->family_at(i, &family); i++) {
        char member_path[PATH_MAX_BYTES];
        const char *same_as = NULL;
        struct option head = {
            .name = family.word, .type = OPTION_CUSTOM, .form = key->name, .text = family.text,
        };

        if (walk->wanted.bytes > 0)
            nearest_offer(&walk->nearest, family.word);
        join(member_path, path, "[", family.word);
        append(member_path, sizeof(member_path), "", "]");
        if (is_wanted(walk, member_path, &head)) {
            if (walk->wanted.bytes > 0 && family.options != NULL)
                same_as = find_table(&walk->found, family.options, member_path);
            walk->print(walk, member_path, &head, same_as);
        }
        append(member_path, sizeof(member_path), ".", "");
        if (family.options != NULL && same_as == NULL)
            walk_table(walk, family.options, member_path, depth);
    }
}

static void
walk_row(struct walk *walk, const struct option *row, const char *prefix, unsigned depth)
{
    bool is_list = row->type == OPTION_GROUPS || row->type == OPTION_CUSTOM;
    char path[PATH_MAX_BYTES], inner[PATH_MAX_BYTES];
    size_t printed_count = walk->printed.count;
    const char *same_as = NULL;

    join(path, prefix, row->name, "");
    join(inner, path, row->options != NULL && is_list ? "[]" : "", "");
    if (row->options != NULL)
        same_as = find_table(&walk->printed, row->options, inner);
    if (is_wanted(walk, path, row))
        walk->print(walk, inner, row, same_as);
    if (row->options == NULL || same_as != NULL || depth >= DEPTH_MAX)
        return;
    append(inner, sizeof(inner), ".", "");
    walk_table(walk, row->options, inner, depth + 1);
    if (row->family_key != NULL)
        walk_families(walk, row, path, depth + 1);
    if (walk->wanted.bytes > 0) /* a search shows every place, but no table in itself */
        walk->printed.count = printed_count;
}

static void
walk_table(struct walk *walk, const struct option *options, const char *prefix, unsigned depth)
{
    for (const struct option *row = options; row->name != NULL; row++)
        if (option_is_visible(row))
            walk_row(walk, row, prefix, depth);
}

/* ---- the listing */

/* Words of text in lines of a terminal. */
static void
print_indented(FILE *out, const char *text)
{
    int column = 0;

    while (*(text += strspn(text, " ")) != '\0') {
        int bytes = (int)strcspn(text, " ");

        if (column > 0 && column + 1 + bytes > LINE_COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        column += fprintf(out, "%s%.*s", column > 0 ? " " : "    ", bytes, text);
        text += bytes;
    }
    fputc('\n', out);
}

static void
print_row(struct walk *walk, const char *path, const struct option *row, const char *same_as)
{
    char type[512], text[2048];

    write_type(row, type, sizeof(type));
    fprintf(walk->out, "%s (%s", path, type);
    if (row->is_required || row->fallback != NULL)
        fprintf(walk->out, "; %s%s", row->is_required ? "" : "default ", default_text(row));
    snprintf(text, sizeof(text), "%s", sentence(row));
    if (same_as != NULL) {
        append(text, sizeof(text), " Its members are those of ", same_as);
        append(text, sizeof(text), ".", "");
    }
    fprintf(walk->out, ")\n");
    print_indented(walk->out, text);
}

int
describe_options(FILE *out, const struct option *root, const char *name, struct err *err)
{
    struct walk walk = {
        .out = out, .wanted = slice_of(name), .print = print_row,
    };

    nearest_init(&walk.nearest, walk.wanted);
    walk_table(&walk, root, "", 0);
    if (walk.matches > 0 || walk.wanted.bytes == 0)
        return 0;
    err_set(err, "there is no option \"%.60s\"", name);
    return nearest_hint(&walk.nearest, err);
}

/* ---- the manual */

/* Text as roff takes it: no backslash of ours is a command, no line begins
 * with one. */
static void
print_roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void
print_entry(struct walk *walk, const char *path, const struct option *row, const char *same_as)
{
    char type[512];

    write_type(row, type, sizeof(type));
    fputs(".TP\n\\fB", walk->out);
    print_roff(walk->out, path);
    fputs("\\fR (", walk->out);
    print_roff(walk->out, type);
    if (row->is_required || row->fallback != NULL) {
        fputs(row->is_required ? "; " : "; default ", walk->out);
        print_roff(walk->out, default_text(row));
    }
    fputs(")\n", walk->out);
    print_roff(walk->out, sentence(row));
    if (same_as != NULL) {
        fputs("\nIts members are those of\n.BR ", walk->out);
        print_roff(walk->out, same_as);
        fputs(" .", walk->out);
    }
    fputc('\n', walk->out);
}

void
describe_man(FILE *out, const struct option *root)
{
    struct walk walk = { .out = out, .print = print_entry };

    fputs(".SH OPTIONS\n", out);
    walk_table(&walk, root, "", 0);
}
