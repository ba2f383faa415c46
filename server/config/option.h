/* SPDX-License-Identifier: BSD-2-Clause */
/* option.h - tables that say what may be configured.
 *
 * One row per option: name, type, unit, range, default and sentence. Parser,
 * checker, `bascule options` and the manual page all read the same rows, and
 * nothing is configurable that has no row.
 *
 * Values are stored at an offset into the configuration struct they belong to,
 * whose memory comes from the snapshot's arena and is read-only once published.
 */
#ifndef BASCULE_OPTION_H
#define BASCULE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/base/slice.h"
#include "server/net/address.h"

/* What a row stores at its offset, and how it is written. */
enum option_type {
    OPTION_BOOL,      /* bool: true, false */
    OPTION_INT,       /* int64_t, within min..max */
    OPTION_SIZE,      /* uint64_t bytes: "64K", "1M", "2G", or a plain number */
    OPTION_TIME,      /* uint32_t milliseconds: "500ms", "10s", "5m", "1h30m", "2d"; "0" or "off"
                       * is no limit where min allows 0 */
    OPTION_STRING,    /* const char *, NULL when not given and fallback is NULL */
    OPTION_ENUM,      /* int: index into the NULL-terminated words */
    OPTION_STRINGS,   /* struct strings: one string or an array of them */
    OPTION_ADDRESS,   /* struct address (net/address.h): "127.0.0.1:80", "[::1]:80", "*:80",
                       * "unix:/run/x.sock" */
    OPTION_ADDRESSES, /* struct addresses (net/address.h): one or an array of them */
    OPTION_NETWORKS,  /* struct prefix_set * (policy/prefix_set.h): "10.0.0.0/8", "::1", "private",
                       * an array of them; NULL when not given */
    OPTION_PORTS,     /* struct port_set: 443, "443", "8000-8999", an array of them */
    OPTION_PATTERN,   /* struct pattern * (base/pattern.h): a PCRE2 expression; NULL when not
                       * given */
    OPTION_GROUP,     /* a struct of member_bytes in place, by its own table: name = { ... } */
    OPTION_GROUPS,    /* struct config_list of structs, by their own table:
                       * name = ( { ... }, ... ) */
    OPTION_CUSTOM,    /* whatever the row's parse function stores */
    OPTION_FAMILY,    /* const void *: the ops of what the word names (a mode, a filter) */
};

struct strings {
    struct slice *items; /* each NUL-terminated */
    size_t count;
};

struct port_range {
    uint16_t first, last;
};

/* Sorted, disjoint ranges. */
struct port_set {
    struct port_range *ranges;
    size_t count;
};

/* The parsed members of a list of groups, in the order written. */
struct config_list {
    void **items;
    size_t count;
};

/* Where in a file something was written; file is NUL-terminated and lives as
 * long as the snapshot. Rule ids are made from it. Line 0: not written at all. */
struct place {
    const char *file;
    unsigned line;
    uint32_t digest; /* of what was written there; members of families only */
};

/* A setting in a parsed file; opaque to all but config/node.c. */
struct config_node;
struct config_reader;

/* A member of a family as tables see it: a mode, a filter. */
struct option_family {
    const char *word;             /* as written in the configuration */
    const char *text;             /* one sentence */
    const struct option *options; /* besides those of every member of the list; may be NULL */
    size_t member_bytes;          /* its struct, which begins with that of the list's members */
    const void *ops;              /* what the OPTION_FAMILY row stores */
};

struct option {
    const char *name;     /* NULL ends a table */
    enum option_type type;
    size_t offset;
    /* Default, as text: "64K", "10s", "true", "round_robin"; elements of lists
     * are separated by commas: "loopback, private". NULL: zero, or required. */
    const char *fallback;
    bool is_required;
    /* OPTION_INT, OPTION_SIZE, OPTION_TIME (ms), counts of lists. Both 0: no
     * range; max 0: no upper end. */
    int64_t min, max;
    const char *const *words;        /* OPTION_ENUM */
    /* OPTION_GROUP, OPTION_GROUPS: the table of a member and the size of its
     * struct; OPTION_CUSTOM that reads such members itself: for the manual. */
    const struct option *options;
    size_t member_bytes;
    /* OPTION_GROUP: the member that a value which is no group stands for:
     * tls = "modern" says tls = { preset = "modern"; }. NULL: only a group will do. */
    const char *shorthand;
    /* OPTION_CUSTOM, and an extra look at any other type after it was stored:
     * fills *target (the struct, not the field) from node. Returns 0, or -1
     * with err saying what is wrong with the value; the place is added by the caller.
     * A custom row's fallback reaches it as a string, once for all members:
     * nothing stored may point into *target. Extra looks see given values only. */
    int (*parse)(struct config_reader *reader, const struct config_node *node, void *target,
                 struct err *err);
    const char *form;     /* OPTION_CUSTOM: how a value is written, for the manual;
                             OPTION_GROUP with a shorthand: a group as an example, for errors */
    /* OPTION_FAMILY: the family's members. Fills *family and returns true, or
     * false when i is behind the last. */
    bool (*family_at)(size_t i, struct option_family *family);
    /* OPTION_GROUPS whose members come in families (filters by filter,
     * listeners by mode): the OPTION_FAMILY row of their table that says which.
     * NULL: all members are of options and member_bytes alone. */
    const char *family_key;
    bool may_repeat; /* OPTION_GROUPS: members may share a "name", else each has its own */
    const char *text;     /* one sentence */
};

/* Every member struct whose table has this row gets the place it was written
 * at: put OPTION_PLACE(struct x, place) in its table. */
#define OPTION_PLACE_NAME "@place"
#define OPTION_PLACE(type_, member_) \
    { .name = OPTION_PLACE_NAME, .offset = offsetof(type_, member_) }

/* ---- rows */

/* Whether the row is one an operator can write, not OPTION_PLACE. */
bool option_is_visible(const struct option *row);

/* Whether the type has several elements: strings, addresses, networks, ports. */
bool option_is_list(enum option_type type);

/* Reads text, written as a fallback is, into the row's field of *target: for
 * defaults and command-line flags. Not for groups and custom rows. Memory
 * comes from arena. Returns 0, or -1 with err: finding and what would be
 * accepted, beginning with the option's name. */
int option_set_text(const struct option *row, struct slice text, void *target,
                    struct arena *arena, struct err *err);

/* Stores the elements of a list type. */
int option_set_list(const struct option *row, const struct slice *items, size_t count,
                    void *target, struct arena *arena, struct err *err);

/* What the row's min and max allow, as it would be written: "1..65535",
 * "1 or more"; empty when there is no range. Returns text. */
#define OPTION_RANGE_BYTES 80
const char *option_range_text(const struct option *row, char *text);

/* Finds what a word names in an OPTION_FAMILY row; false when there is none. */
bool option_family_find(const struct option *row, struct slice word, struct option_family *family);

/* The words of such a row, as in `"reverse", "forward"`, in text, which it returns. */
#define OPTION_WORDS_BYTES 512
const char *option_family_words(const struct option *row, char *text);

/* ---- values */

/* "64K", "1M", "2G", "1T" (powers of 1024; "KB" and "KiB" say the same), or
 * plain bytes. */
int option_parse_size(struct slice text, uint64_t *bytes, struct err *err);

/* "500ms", "10s", "1h30m", "2d"; "0" and "off" are 0. */
int option_parse_time(struct slice text, uint32_t *ms, struct err *err);

bool port_set_has(const struct port_set *set, uint16_t port);

/* ---- misspelt words */

/* Picks what a misspelt word may have meant: the nearest candidate by edits
 * (letters added, left out, exchanged or swapped), if it is near at all. */
struct nearest {
    struct slice wanted;
    const char *best; /* NULL: nothing is near */
    size_t distance;
};

void nearest_init(struct nearest *nearest, struct slice wanted);
void nearest_offer(struct nearest *nearest, const char *candidate);

/* Puts `; did you mean "best"?` behind the text of err, if there is a best.
 * Returns -1. */
int nearest_hint(const struct nearest *nearest, struct err *err);

#endif
