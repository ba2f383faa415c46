/* SPDX-License-Identifier: BSD-2-Clause */
/* header.h - header fields: names that are known by number, and lists of them.
 *
 * Well-known names are recognised once, while parsing (a perfect hash), so
 * that no later step compares strings. Names and values are slices of the head
 * they came in, or of the exchange's arena.
 */
#ifndef BASCULE_HEADER_H
#define BASCULE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"
#include "server/base/slice.h"

/* X(ID, "Canonical-Name", flags) in alphabetical order. */
#include "server/http/header_names.h"

enum field_id {
    FIELD_OTHER = 0, /* any name that is not in the list */
#define X(id, name, flags) FIELD_##id,
    HEADER_NAMES(X)
#undef X
    FIELD_ID_COUNT
};

/* Properties of well-known names. */
enum {
    FIELD_HOP = 1,            /* hop-by-hop: RFC 9110 section 7.6.1 and custom ones */
    FIELD_FRAMING = 2,        /* decides framing or routing: never by Connection, nor in trailers */
    FIELD_SINGLETON = 4,      /* more than one line is an error */
    FIELD_KEEP_NOMINATED = 8, /* may never be removed by Connection nomination */
};

struct field {
    struct slice name, value;
    uint16_t id;    /* enum field_id */
    uint16_t flags; /* of its id */
};

/* In the order received. */
struct fields {
    struct field *items;
    uint32_t count, room;
    uint64_t present[(FIELD_ID_COUNT + 63) / 64]; /* bit per id that may be there */
};

/* The id of a name, whatever its case; FIELD_OTHER when it is not well-known. */
enum field_id field_id_of(struct slice name);

/* Canonical name ("Content-Length") and flags of a well-known id. */
struct slice field_name(enum field_id id);
unsigned field_flags(enum field_id id);

static inline bool
fields_has(const struct fields *fields, enum field_id id)
{
    return (fields->present[id / 64] >> (id % 64)) & 1;
}

/* The first field with this id (not FIELD_OTHER), or NULL. */
const struct field *fields_find(const struct fields *fields, enum field_id id);

/* The first field after previous (NULL: from the start) with this id. */
const struct field *fields_next(const struct fields *fields, enum field_id id,
                                const struct field *previous);

/* The first value with this id; { NULL, 0 } when there is none. */
struct slice fields_get(const struct fields *fields, enum field_id id);

/* The first field with this name, whatever its case and however well known. */
const struct field *fields_find_name(const struct fields *fields, struct slice name);

/* Values of all lines of the id, joined by ", " in the arena (RFC 9110 section
 * 5.2); the value itself when there is one line only. */
struct slice fields_joined(const struct fields *fields, enum field_id id, struct arena *arena);

/* Adds a line at the end. Borrows value, which must live as long as fields.
 * When the arena is spent nothing is added and the arena remembers. */
void fields_add(struct fields *fields, struct arena *arena, enum field_id id, struct slice value);
void fields_add_name(struct fields *fields, struct arena *arena, struct slice name,
                     struct slice value);

/* The same for a hop-by-hop field of our own (Proxy-Authenticate), which is for whom the
 * message goes to: writers leave out those that came with it. */
void fields_add_hop(struct fields *fields, struct arena *arena, enum field_id id,
                    struct slice value);

/* Replaces all lines of that name by one. */
void fields_set(struct fields *fields, struct arena *arena, enum field_id id, struct slice value);
void fields_set_name(struct fields *fields, struct arena *arena, struct slice name,
                     struct slice value);

/* The same for a name whose id is known; name counts for FIELD_OTHER only. */
void fields_add_line(struct fields *fields, struct arena *arena, enum field_id id,
                     struct slice name, struct slice value);
void fields_set_line(struct fields *fields, struct arena *arena, enum field_id id,
                     struct slice name, struct slice value);

/* A line that is made once, and many of them added at once. */
struct field field_line(enum field_id id, struct slice name, struct slice value);
void fields_add_lines(struct fields *fields, struct arena *arena, const struct field *lines,
                      uint32_t count);

/* Removes all lines of that name. Returns how many there were. */
unsigned fields_remove(struct fields *fields, enum field_id id);
unsigned fields_remove_name(struct fields *fields, struct slice name);

/* Removes every field for which drop returns true. */
unsigned fields_remove_if(struct fields *fields, bool (*drop)(const struct field *, void *),
                          void *arg);

/* What is present, anew, when fields went by other means. */
void fields_mark(struct fields *fields);

/* fields_remove_if() for each message: drop becomes part of the caller, and nothing is moved
 * or marked when, as mostly, nothing goes. */
static inline __attribute__((always_inline)) unsigned
fields_sift(struct fields *fields, bool (*drop)(const struct field *, const void *),
            const void *arg)
{
    struct field *const items = fields->items;
    uint32_t i = 0, kept, count = fields->count;

    while (i < count && !drop(&items[i], arg))
        i++;
    if (i == count)
        return 0;
    for (kept = i++; i < count; i++)
        if (!drop(&items[i], arg))
            items[kept++] = items[i];
    fields->count = kept;
    fields_mark(fields);
    return count - kept;
}

/* A copy that changes to fields leave as it is. Borrows names and values.
 * NULL when the arena is spent. */
struct fields *fields_copy(const struct fields *fields, struct arena *arena);

/* Removes hop-by-hop fields and those that Connection nominates, except ones
 * that may never be nominated (RFC 9110 section 7.6.1). */
void fields_remove_hop_by_hop(struct fields *fields);

#endif
