/* SPDX-License-Identifier: BSD-2-Clause */
/* json_strict.c - counts the nesting before the parser, which calls itself for
 * each level, gets to see it.
 */
#include "config.h"

#include "server/base/json_strict.h"

/* How deep brackets outside of strings are nested at most. What is no JSON may
 * count wrongly: the parser refuses it anyway. */
static unsigned
depth_of(struct slice text)
{
    unsigned depth = 0, deepest = 0;
    bool is_string = false;

    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.data[i];

        if (is_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_string = false;
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            if (depth > deepest)
                deepest = depth;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

/* Where and what, without the stranger's bytes. */
static void
explain(const json_error_t *error, struct err *err)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        err_set(err, "line %d: has a member twice", error->line);
        return;
    case json_error_invalid_utf8:
        err_set(err, "line %d: is not UTF-8", error->line);
        return;
    case json_error_numeric_overflow:
        err_set(err, "line %d: has a number that is too large", error->line);
        return;
    default: /* the library's, and there may be more of them one day */
        err_set(err, "line %d, column %d: is not JSON", error->line, error->column);
        return;
    }
}

json_t *
json_strict_object(struct slice text, unsigned max_depth, struct err *err)
{
    json_error_t error;
    json_t *value;

    if (depth_of(text) > max_depth) {
        err_set(err, "is nested more than %u deep", max_depth);
        return NULL;
    }
    value = json_loadb(text.data != NULL ? text.data : "", text.bytes, JSON_REJECT_DUPLICATES,
                       &error);
    if (value == NULL)
        explain(&error, err);
    if (value == NULL || json_is_object(value))
        return value;
    json_decref(value);
    err_set(err, "is not a JSON object");
    return NULL;
}

struct slice
json_text(const json_t *value)
{
    if (!json_is_string(value))
        return slice_make(NULL, 0);
    return slice_make(json_string_value(value), json_string_length(value));
}
