/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_claims.c - from JSON values to names, groups and header fields. */
#include "config.h"

#include "server/users/jwt_claims.h"

#include "server/base/json_strict.h"

#include <stdio.h>

#define VALUE_BYTES_MAX 4096 /* of a header field */

/* "a.b" is the claim of that name, or else b in the object a. */
static const json_t *
find(const json_t *object, const char *name)
{
    for (;;) {
        const json_t *value = json_object_get(object, name);
        const char *dot = strchr(name, '.');

        if (value != NULL || dot == NULL)
            return value;
        object = json_object_getn(object, name, (size_t)(dot - name));
        name = dot + 1;
    }
}

/* ---- groups */

static bool
add_group(struct slice *groups, struct user *user, struct slice name, struct arena *arena)
{
    if (user->group_count == JWT_GROUPS_MAX || !user_name_is_good(name))
        return false;
    groups[user->group_count++] = arena_copy(arena, name);
    return true;
}

/* As "scope" is written (RFC 8693 section 4.2). */
static bool
split_groups(struct slice *groups, struct user *user, struct slice text, struct arena *arena)
{
    while (text.bytes > 0) {
        ptrdiff_t space = slice_find(text, ' ');
        size_t bytes = space < 0 ? text.bytes : (size_t)space;

        if (bytes > 0 && !add_group(groups, user, slice_make(text.data, bytes), arena))
            return false;
        text = slice_skip(text, bytes + 1);
    }
    return true;
}

static bool
list_groups(struct slice *groups, struct user *user, const json_t *list, struct arena *arena)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one) {
        if (!add_group(groups, user, json_text(one), arena))
            return false;
    }
    return true;
}

static size_t
count_groups(const json_t *json)
{
    struct slice text = json_text(json);
    size_t count = 1;

    if (json_is_array(json))
        return json_array_size(json);
    for (size_t i = 0; i < text.bytes; i++)
        count += text.data[i] == ' ';
    return count;
}

static bool
read_groups(const json_t *json, struct arena *arena, struct user *user)
{
    size_t count = count_groups(json);
    struct slice *groups;

    if (json == NULL || json_is_null(json))
        return true;
    if (count > JWT_GROUPS_MAX)
        return false;
    groups = arena_alloc(arena, (count + 1) * sizeof(*groups));
    if (groups == NULL)
        return false;
    user->groups = groups;
    if (json_is_string(json))
        return split_groups(groups, user, json_text(json), arena);
    return json_is_array(json) && list_groups(groups, user, json, arena);
}

/* ---- header fields */

struct value {
    char text[VALUE_BYTES_MAX];
    size_t bytes;
};

static bool
append(struct value *value, struct slice text)
{
    if (text.bytes > sizeof(value->text) - value->bytes || !user_text_is_good(text))
        return false;
    memcpy(value->text + value->bytes, text.data, text.bytes);
    value->bytes += text.bytes;
    return true;
}

static bool
append_scalar(struct value *value, const json_t *json)
{
    char number[32];

    if (json_is_string(json))
        return append(value, json_text(json));
    if (json_is_boolean(json))
        return append(value, json_is_true(json) ? SLICE("true") : SLICE("false"));
    if (!json_is_integer(json))
        return false;
    snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
    return append(value, slice_of(number));
}

/* Elements of an array are separated by commas: one that has a comma in it cannot be
 * told from two. */
static bool
append_list(struct value *value, const json_t *list)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one) {
        struct slice text = json_text(one);

        if (text.data != NULL && slice_find(text, ',') >= 0)
            return false;
        if ((i > 0 && !append(value, SLICE(", "))) || !append_scalar(value, one))
            return false;
    }
    return true;
}

static bool
read_field(const json_t *json, struct arena *arena, struct slice *text)
{
    struct value value = { .bytes = 0 };
    bool is_told = json_is_array(json) ? append_list(&value, json) : append_scalar(&value, json);

    if (!is_told)
        return false;
    *text = arena_copy(arena, slice_trim(slice_make(value.text, value.bytes)));
    return true;
}

static void
read_fields(const json_t *claims, const struct config_list *conf, struct arena *arena,
            struct user *user)
{
    struct user_field *fields = arena_alloc(arena, (conf->count + 1) * sizeof(*fields));

    if (fields == NULL)
        return;
    for (size_t i = 0; i < conf->count; i++) {
        const struct jwt_field_conf *field = conf->items[i];
        struct slice value;

        if (!read_field(find(claims, field->claim), arena, &value))
            continue;
        fields[user->field_count++] = (struct user_field){ slice_of(field->field), value };
    }
    user->fields = fields;
}

bool
jwt_claims_read(const json_t *claims, const char *user_claim, const char *groups_claim,
                const struct config_list *conf, struct arena *arena, struct user *user)
{
    struct slice name = json_text(find(claims, user_claim));

    *user = (struct user){ .by = "jwt" };
    if (!user_name_is_good(name))
        return false;
    user->name = arena_copy(arena, name);
    if (!read_groups(find(claims, groups_claim), arena, user))
        return false;
    read_fields(claims, conf, arena, user);
    return !arena_is_spent(arena);
}
