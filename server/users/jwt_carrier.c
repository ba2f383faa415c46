/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_carrier.c - looks into fields and cookies for tokens. */
#include "config.h"

#include "server/users/jwt_carrier.h"

static const struct slice scheme = SLICE_INIT("Bearer");

/* ---- cookies: RFC 6265 section 5.4 */

/* Takes the next "name=value" off *list, trimmed. */
static bool
next_pair(struct slice *list, struct slice *pair)
{
    ptrdiff_t end;

    if (list->bytes == 0)
        return false;
    end = slice_find(*list, ';');
    *pair = slice_trim(end < 0 ? *list : slice_make(list->data, (size_t)end));
    *list = end < 0 ? slice_make(NULL, 0) : slice_skip(*list, (size_t)end + 1);
    return true;
}

/* Names of cookies are told apart by case, and not by blanks around them, which origins pass
 * over (section 5.2). */
static bool
is_cookie(struct slice pair, struct slice name, struct slice *value)
{
    ptrdiff_t equals = slice_find(pair, '=');

    if (equals < 0 || !slice_equal(slice_trim(slice_make(pair.data, (size_t)equals)), name))
        return false;
    *value = slice_trim(slice_skip(pair, (size_t)equals + 1));
    if (value->bytes >= 2 && value->data[0] == '"' && value->data[value->bytes - 1] == '"')
        *value = slice_make(value->data + 1, value->bytes - 2);
    return true;
}

static enum credentials
found(unsigned count, struct slice token)
{
    if (count == 0)
        return CREDENTIALS_NONE;
    return count == 1 && token.bytes > 0 ? CREDENTIALS_GOOD : CREDENTIALS_BAD;
}

/* A second cookie of that name was set by somebody else: a neighbour's domain, perhaps. */
static enum credentials
find_cookie(const struct fields *fields, struct slice name, struct slice *token)
{
    const struct field *field = NULL;
    unsigned count = 0;

    *token = slice_make(NULL, 0);
    while ((field = fields_next(fields, FIELD_COOKIE, field)) != NULL) {
        struct slice list = field->value, pair;

        while (next_pair(&list, &pair))
            count += is_cookie(pair, name, token);
    }
    return found(count, *token);
}

static void
append(char **at, struct slice text)
{
    memcpy(*at, text.data, text.bytes);
    *at += text.bytes;
}

/* All other cookies go on in one line, as HTTP/1.1 wants them. */
static void
strip_cookie(struct exchange *ex, struct slice name)
{
    struct fields *fields = &ex->request.fields;
    const struct field *field = NULL;
    size_t bytes = 0;
    char *text, *at;

    while ((field = fields_next(fields, FIELD_COOKIE, field)) != NULL)
        bytes += field->value.bytes + 2;
    text = at = arena_alloc(&ex->arena, bytes + 1);
    if (text == NULL)
        bytes = 0; /* better none than that one; and the arena remembers */
    while (bytes > 0 && (field = fields_next(fields, FIELD_COOKIE, field)) != NULL) {
        struct slice list = field->value, pair, value;

        while (next_pair(&list, &pair)) {
            if (pair.bytes == 0 || is_cookie(pair, name, &value))
                continue;
            if (at > text)
                append(&at, SLICE("; "));
            append(&at, pair);
        }
    }
    (void)fields_remove(fields, FIELD_COOKIE);
    if (at > text)
        fields_add(fields, &ex->arena, FIELD_COOKIE, slice_make(text, (size_t)(at - text)));
}

/* ---- fields */

/* With or without the scheme in front of it. */
static enum credentials
find_field(const struct fields *fields, struct slice name, struct slice *token)
{
    unsigned count = 0;

    *token = slice_make(NULL, 0);
    for (uint32_t i = 0; i < fields->count; i++) {
        if (!slice_equal_nocase(fields->items[i].name, name))
            continue;
        *token = slice_trim(fields->items[i].value);
        count++;
    }
    (void)credentials_are(*token, scheme, token);
    return found(count, *token);
}

enum credentials
jwt_carrier_find(const struct jwt_carrier *carrier, const struct login *login,
                 const struct exchange *ex, struct slice *token)
{
    if (carrier->cookie != NULL)
        return find_cookie(&ex->request.fields, slice_of(carrier->cookie), token);
    if (carrier->field != NULL)
        return find_field(&ex->request.fields, slice_of(carrier->field), token);
    if (!credentials_are(credentials_of(login, ex), scheme, token))
        return CREDENTIALS_NONE;
    return token->bytes > 0 ? CREDENTIALS_GOOD : CREDENTIALS_BAD;
}

void
jwt_carrier_strip(const struct jwt_carrier *carrier, const struct login *login,
                  struct exchange *ex)
{
    struct slice token;

    if (carrier->field != NULL)
        (void)users_remove_field(ex, slice_of(carrier->field));
    else if (carrier->cookie == NULL)
        credentials_strip(login, ex, scheme);
    else if (find_cookie(&ex->request.fields, slice_of(carrier->cookie), &token) !=
             CREDENTIALS_NONE)
        strip_cookie(ex, slice_of(carrier->cookie));
}
