/* SPDX-License-Identifier: BSD-2-Clause */
/* field_set.c - names by id, and patterns for the rest. */
#include "config.h"

#include "filters/field_set.h"

#include "server/base/log.h"

/* ---- matching */

bool
field_pattern_matches(struct slice pattern, struct slice name)
{
    size_t last = pattern.bytes - 1;

    if (pattern.data[last] == '*')
        return name.bytes >= last &&
               slice_equal_nocase(slice_make(name.data, last), slice_make(pattern.data, last));
    return slice_equal_nocase(name, pattern);
}

bool
field_set_has_other(const struct field_set *set, struct slice name)
{
    for (size_t i = 0; i < set->count; i++)
        if (field_pattern_matches(set->others[i], name))
            return true;
    return false;
}

static bool
is_in(const struct field *field, void *arg)
{
    return field_set_has(arg, field);
}

/* Mostly there is nothing to remove: looks before it moves anything. */
unsigned
field_set_remove(const struct field_set *set, struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (field_set_has(set, &fields->items[i]))
            return fields_remove_if(fields, is_in, (void *)(uintptr_t)set);
    return 0;
}

/* ---- checks */

/* RFC 9110 section 5.6.2. */
static bool
is_token(struct slice s)
{
    for (size_t i = 0; i < s.bytes; i++)
        if (s.data[i] <= ' ' || s.data[i] > '~' ||
            strchr("\"(),/:;<=>?@[\\]{}", s.data[i]) != NULL)
            return false;
    return s.bytes > 0;
}

/* Expect decides when content flows, as framing decides where it ends. */
static bool
is_ours(enum field_id id)
{
    return (field_flags(id) & (FIELD_FRAMING | FIELD_HOP)) != 0 || id == FIELD_EXPECT;
}

int
field_check_name(struct slice name, struct err *err)
{
    enum field_id id;

    if (!is_token(name))
        return err_set(err, "\"%s\" is no name of a header field", log_escape(name));
    id = field_id_of(name);
    if (id == FIELD_HOST)
        return err_set(err, "\"Host\" is set by the option \"host\" of a site or route");
    if (is_ours(id))
        return err_set(err, "\"%s\" belongs to the framing of messages or to one connection: "
                       "Bascule itself writes it", field_name(id).data);
    return 0;
}

int
field_check_value(struct slice value, struct err *err)
{
    for (size_t i = 0; i < value.bytes; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return err_set(err, "\"%s\": control character \\x%02X in a header field",
                           log_escape(value), c);
    }
    return 0;
}

/* ---- making */

static int
check_pattern(struct slice pattern, struct err *err)
{
    ptrdiff_t star = slice_find(pattern, '*');

    if (star < 0)
        return field_check_name(pattern, err);
    if ((size_t)star + 1 != pattern.bytes)
        return err_set(err, "\"%s\": a \"*\" may only end a name", log_escape(pattern));
    if (star > 0 && !is_token(slice_make(pattern.data, (size_t)star)))
        return err_set(err, "\"%s\" is no name of a header field", log_escape(pattern));
    return 0;
}

static void
add_known(struct field_set *set, struct slice pattern)
{
    for (enum field_id id = FIELD_OTHER + 1; id < FIELD_ID_COUNT; id++)
        if (!is_ours(id) && field_pattern_matches(pattern, field_name(id)))
            set->known[id] = true;
}

int
field_set_add(struct field_set *set, const struct strings *patterns, struct arena *arena,
              struct err *err)
{
    struct slice *others = arena_alloc(arena, (set->count + patterns->count) * sizeof(*others));

    if (others == NULL)
        return err_set(err, "no memory");
    if (set->count > 0)
        memcpy(others, set->others, set->count * sizeof(*others));
    set->others = others;
    for (size_t i = 0; i < patterns->count; i++) {
        struct slice pattern = slice_trim(patterns->items[i]);

        if (check_pattern(pattern, err) < 0)
            return -1;
        add_known(set, pattern);
        if (field_id_of(pattern) == FIELD_OTHER)
            others[set->count++] = pattern;
    }
    return 0;
}
