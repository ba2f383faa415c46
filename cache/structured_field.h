/* SPDX-License-Identifier: BSD-2-Clause */
/* structured_field.h - reads structured fields: lists, dictionaries and items
 * as RFC 9651 writes them.
 *
 * A reader walks along one field value and builds no tree: each step checks
 * and hands out one member, whose inner list and parameters are slices that
 * the functions further down walk in turn. Nothing is allocated until text has
 * to be unescaped.
 *
 * A field with a mistake anywhere has to be ignored whole (section 4.2). So
 * act on what was read only when sf_reader_is_done() says that all of it was
 * right. Of members and parameters with one key the last counts (sections
 * 4.2.2, 4.2.3.2). Several lines of one list or dictionary: read each; a member
 * cannot lie on two lines (section 3.1), and among several lines none may be empty.
 */
#ifndef BASCULE_CACHE_STRUCTURED_FIELD_H
#define BASCULE_CACHE_STRUCTURED_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"
#include "server/base/slice.h"

/* What every parser has to support (section 3), and no more. */
#define SF_MEMBERS_MAX 1024u /* of a list or dictionary */
#define SF_INNER_MAX 256u    /* items of an inner list, parameters of an item */
#define SF_BYTES_MAX (64u * 1024)

enum sf_type {
    SF_INTEGER,
    SF_DECIMAL,
    SF_STRING,
    SF_TOKEN,
    SF_BYTES,
    SF_BOOLEAN,
    SF_DATE,
    SF_DISPLAY_STRING,
    SF_INNER_LIST, /* of items; never inside another */
};

/* An item or inner list with its parameters; all slices lie in the field. */
struct sf_item {
    enum sf_type type;
    int64_t number;           /* INTEGER, BOOLEAN 0 or 1, DATE in seconds, DECIMAL in thousandths */
    struct slice text;        /* as written: STRING, BYTES and DISPLAY_STRING without delimiters,
                                 TOKEN, an INNER_LIST between its parentheses */
    struct slice parameters;  /* ";a;b=1", perhaps empty */
};

struct sf_reader {
    struct slice rest;
    unsigned members; /* handed out so far */
    bool is_wrong;
};

/* Begins to read one field value (or one line of a list or dictionary), which
 * must live as long as what is read from it. */
void sf_reader_init(struct sf_reader *reader, struct slice text);

/* Take the next member of a dictionary (section 4.2.2; a key alone is Boolean
 * true), the next of a list (section 4.2.1), or the only item (section 4.2.3).
 * False at the end and from the first mistake on. */
bool sf_next_member(struct sf_reader *reader, struct slice *key, struct sf_item *item);
bool sf_next_element(struct sf_reader *reader, struct sf_item *item);
bool sf_only_item(struct sf_reader *reader, struct sf_item *item);

/* Whether the end was reached without a mistake. */
bool sf_reader_is_done(const struct sf_reader *reader);

/* Takes the next parameter off *parameters, which begins as an item's own.
 * False when there is none left. */
bool sf_next_parameter(struct slice *parameters, struct slice *key, struct sf_item *value);

/* Takes the next item off *inner, which begins as the text of an INNER_LIST. */
bool sf_next_inner(struct slice *inner, struct sf_item *item);

/* What a STRING, TOKEN, BYTES or DISPLAY_STRING says: without escapes, decoded;
 * the item's own text where that is the same, otherwise made in the arena.
 * Bytes may be any; a display string is UTF-8. data is NULL when the arena is
 * spent. */
struct slice sf_item_text(const struct sf_item *item, struct arena *arena);

#endif
