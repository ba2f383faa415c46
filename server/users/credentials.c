/* SPDX-License-Identifier: BSD-2-Clause */
/* credentials.c - schemes, their parameters, and the simplest of them. */
#include "config.h"

#include "server/users/credentials.h"

#include "server/base/base64.h"
#include "server/http/scan.h"

/* ---- fields */

bool
credentials_are(struct slice value, struct slice scheme, struct slice *rest)
{
    if (value.bytes < scheme.bytes ||
        !slice_equal_nocase(slice_make(value.data, scheme.bytes), scheme))
        return false;
    *rest = slice_skip(value, scheme.bytes);
    if (rest->bytes > 0 && rest->data[0] != ' ')
        return false;
    *rest = slice_trim(*rest);
    return true;
}

static enum field_id
field_of(const struct login *login)
{
    return login->is_proxy ? FIELD_PROXY_AUTHORIZATION : FIELD_AUTHORIZATION;
}

struct slice
credentials_of(const struct login *login, const struct exchange *ex)
{
    return fields_get(&ex->request.fields, field_of(login));
}

void
credentials_strip(const struct login *login, struct exchange *ex, struct slice scheme)
{
    struct slice rest;

    if (login->is_proxy || credentials_are(credentials_of(login, ex), scheme, &rest))
        (void)fields_remove(&ex->request.fields, field_of(login));
}

void
credentials_challenge(const struct login *login, struct exchange *ex, struct slice text)
{
    enum field_id id = login->is_proxy ? FIELD_PROXY_AUTHENTICATE : FIELD_WWW_AUTHENTICATE;

    fields_add_hop(&ex->response.fields, &ex->arena, id, text);
}

struct slice
credentials_realm(const struct users_conf *users, struct exchange *ex)
{
    struct slice realm = slice_of(users->realm);
    char *text = arena_alloc(&ex->arena, 2 * realm.bytes + 2), *at = text;

    if (text == NULL)
        return SLICE("\"\"");
    *at++ = '"';
    for (size_t i = 0; i < realm.bytes; i++) {
        if (realm.data[i] == '"' || realm.data[i] == '\\')
            *at++ = '\\';
        *at++ = realm.data[i];
    }
    *at++ = '"';
    return slice_make(text, (size_t)(at - text));
}

/* ---- parameters: RFC 9110 section 11.2 */

static void
skip_blanks(struct slice *list)
{
    while (list->bytes > 0 && (list->data[0] == ' ' || list->data[0] == '\t'))
        *list = slice_skip(*list, 1);
}

static struct slice
take_token(struct slice *list)
{
    struct slice token = { list->data, 0 };

    if (list->bytes > 0)
        token.bytes = (size_t)(scan_token(list->data, list->data + list->bytes) - list->data);
    *list = slice_skip(*list, token.bytes);
    return token;
}

static struct slice
without_backslashes(struct slice text, struct arena *arena)
{
    char *copy = arena_alloc(arena, text.bytes + 1), *at = copy;

    if (copy == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '\\')
            i++;
        *at++ = text.data[i];
    }
    return slice_make(copy, (size_t)(at - copy));
}

/* *list begins behind the first quote. */
static bool
take_quoted(struct slice *list, struct arena *arena, struct slice *value)
{
    bool has_backslash = false;
    size_t i = 0;

    while (i < list->bytes && list->data[i] != '"') {
        if (list->data[i] == '\\') {
            has_backslash = true;
            i++;
        }
        i++;
    }
    if (i >= list->bytes)
        return false;
    *value = slice_make(list->data, i);
    *list = slice_skip(*list, i + 1);
    if (has_backslash)
        *value = without_backslashes(*value, arena);
    return value->data != NULL;
}

/* Empty elements of the list are passed over (section 5.6.1). */
enum credentials
credentials_next(struct slice *list, struct arena *arena, struct slice *name, struct slice *value)
{
    skip_blanks(list);
    while (list->bytes > 0 && list->data[0] == ',') {
        *list = slice_skip(*list, 1);
        skip_blanks(list);
    }
    if (list->bytes == 0)
        return CREDENTIALS_NONE;
    *name = take_token(list);
    skip_blanks(list);
    if (name->bytes == 0 || list->bytes == 0 || list->data[0] != '=')
        return CREDENTIALS_BAD;
    *list = slice_skip(*list, 1);
    skip_blanks(list);
    if (list->bytes > 0 && list->data[0] == '"') {
        *list = slice_skip(*list, 1);
        if (!take_quoted(list, arena, value))
            return CREDENTIALS_BAD;
    } else {
        *value = take_token(list);
        if (value->bytes == 0)
            return CREDENTIALS_BAD;
    }
    skip_blanks(list);
    return list->bytes == 0 || list->data[0] == ',' ? CREDENTIALS_GOOD : CREDENTIALS_BAD;
}

/* ---- Basic */

/* The name ends at the first colon: it can have none (RFC 7617 section 2). */
static bool
split(struct slice pair, struct arena *arena, struct slice *name, struct slice *password)
{
    ptrdiff_t colon = slice_find(pair, ':');

    if (colon < 0)
        return false;
    *name = slice_make(pair.data, (size_t)colon);
    *password = slice_skip(pair, (size_t)colon + 1);
    if (!user_name_is_good(*name) || password->bytes > PASSWORD_BYTES_MAX ||
        !user_text_is_good(*password))
        return false;
    *password = arena_copy(arena, *password);
    return !arena_is_spent(arena);
}

enum credentials
basic_parse(struct slice value, struct arena *arena, struct slice *name, struct slice *password)
{
    struct slice rest, pair;

    if (!credentials_are(value, SLICE("Basic"), &rest))
        return CREDENTIALS_NONE;
    if (base64_decode(arena, rest, &pair) < 0 || !split(pair, arena, name, password))
        return CREDENTIALS_BAD;
    return CREDENTIALS_GOOD;
}
