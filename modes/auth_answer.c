/* SPDX-License-Identifier: BSD-2-Clause */
/* auth_answer.c - from a response to a user, or to an answer for the client. */
#include "config.h"

#include "modes/auth_answer.h"

#include "cache/directives.h"

#include <stdlib.h>

enum auth_word
auth_word_of(const struct subrequest_answer *answer)
{
    if (answer->response == NULL)
        return AUTH_NO_WORD;
    switch (answer->response->status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
    case 401:
    case 403:
    case 407:
    case 429:
        return AUTH_TURN_OFF;
    }
    return answer->response->status / 100 == 2 ? AUTH_LET_IN : AUTH_NO_WORD;
}

/* ---- the user */

static struct slice
value_of(const struct fields *fields, const char *name)
{
    const struct field *field = name != NULL ? fields_find_name(fields, slice_of(name)) : NULL;

    return field != NULL ? slice_trim(field->value) : slice_make("", 0);
}

/* All lines of that name as one (RFC 9110 section 5.3). data NULL: there are none. */
static struct slice
joined(const struct fields *fields, struct slice name, struct arena *arena)
{
    struct slice all = { NULL, 0 };

    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];

        if (!slice_equal_nocase(field->name, name))
            continue;
        all = all.data == NULL ? field->value
                               : arena_printf(arena, "%.*s, %.*s", SLICE_ARG(all),
                                              SLICE_ARG(field->value));
    }
    return all;
}

static const char *
find_groups(struct user *user, struct slice list, struct arena *arena)
{
    struct slice rest = list, group, *groups;
    unsigned count = 0;

    while (count <= AUTH_GROUPS_MAX && slice_next_element(&rest, &group))
        count++;
    if (count > AUTH_GROUPS_MAX)
        return "it names too many groups";
    groups = arena_alloc(arena, (count + 1) * sizeof(*groups));
    if (groups == NULL)
        return "out of memory";
    for (unsigned i = 0; i < count && slice_next_element(&list, &groups[i]); i++)
        if (!user_name_is_good(groups[i]))
            return "it names a group that cannot be one";
    user->groups = groups;
    user->group_count = count;
    return NULL;
}

static const char *
find_fields(struct user *user, const struct strings *names, const struct fields *from,
            struct arena *arena)
{
    struct user_field *fields = arena_alloc(arena, (names->count + 1) * sizeof(*fields));
    unsigned count = 0;

    if (fields == NULL)
        return "out of memory";
    for (size_t i = 0; i < names->count; i++) {
        struct slice value = joined(from, names->items[i], arena);

        if (value.data != NULL)
            fields[count++] = (struct user_field){ names->items[i], value };
    }
    user->fields = fields;
    user->field_count = count;
    return arena_is_spent(arena) ? "out of memory" : NULL;
}

const char *
auth_answer_user(const struct auth_request_conf *conf, const struct response *response,
                 struct user *user, struct arena *arena)
{
    const struct fields *from = &response->fields;
    struct slice groups = { NULL, 0 };
    const char *why;

    *user = (struct user){ .name = value_of(from, conf->user_field), .by = "forward_auth" };
    if (user->name.bytes == 0)
        user->name = SLICE(AUTH_UNNAMED);
    else if (!user_name_is_good(user->name))
        return "it names a user that cannot be one";
    if (conf->groups_field != NULL)
        groups = joined(from, slice_of(conf->groups_field), arena);
    why = find_groups(user, groups, arena);
    return why != NULL ? why : find_fields(user, &conf->copy_fields, from, arena);
}

uint32_t
auth_answer_life_ms(const struct response *response, uint32_t for_ms)
{
    struct directives directives;

    directives_of_response(&directives, &response->fields);
    if (directives_has(&directives, DIRECTIVE_NO_STORE | DIRECTIVE_NO_CACHE) ||
        fields_has(&response->fields, FIELD_SET_COOKIE))
        return 0;
    if (directives_has(&directives, DIRECTIVE_MAX_AGE) &&
        directives.max_age_s < for_ms / 1000 + 1 && directives.max_age_s * 1000 < for_ms)
        return directives.max_age_s * 1000;
    return for_ms;
}

/* ---- the answer for the client */

/* What belongs to this answer, rather than to the server's connection or caches. */
static bool
is_passed(const struct field *field, bool has_content)
{
    switch (field->id) {
    case FIELD_CACHE_CONTROL:
    case FIELD_LOCATION:
    case FIELD_REFRESH:
    case FIELD_RETRY_AFTER:
    case FIELD_SET_COOKIE:
    case FIELD_VARY:
        return true;
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_LANGUAGE:
    case FIELD_CONTENT_SECURITY_POLICY:
    case FIELD_REFERRER_POLICY:
    case FIELD_X_CONTENT_TYPE_OPTIONS:
    case FIELD_X_FRAME_OPTIONS:
        return has_content;
    }
    return false;
}

static void
pass_fields(struct exchange *ex, const struct fields *from, enum field_id asks, bool has_content)
{
    struct arena *arena = &ex->arena;
    struct fields *to = &ex->response.fields;

    for (uint32_t i = 0; i < from->count; i++) {
        const struct field *field = &from->items[i];

        if (field->id == FIELD_WWW_AUTHENTICATE || field->id == FIELD_PROXY_AUTHENTICATE)
            fields_add_hop(to, arena, asks, arena_copy(arena, field->value));
        else if (is_passed(field, has_content))
            fields_add_name(to, arena, field_name((enum field_id)field->id),
                            arena_copy(arena, field->value));
    }
    if (!fields_has(to, FIELD_CACHE_CONTROL))
        fields_add(to, arena, FIELD_CACHE_CONTROL, SLICE("no-store"));
}

/* Kept apart from the arena, whose room is for heads. data NULL: memory is short. */
static struct slice
keep_content(struct exchange *ex, struct slice content)
{
    char *copy = malloc(content.bytes);

    if (copy == NULL || arena_defer(&ex->arena, free, copy) < 0)
        return slice_make(NULL, 0);
    memcpy(copy, content.data, content.bytes);
    return slice_make(copy, content.bytes);
}

void
auth_answer_pass(struct exchange *ex, const struct subrequest_answer *answer, bool is_proxy)
{
    const struct response *response = answer->response;
    struct slice type = fields_get(&response->fields, FIELD_CONTENT_TYPE), content = { NULL, 0 };
    unsigned status = response->status;
    enum end_reason reason = status / 100 == 3 ? END_ANSWERED : END_DENIED;
    bool is_proxys = is_proxy && (status == 401 || status == 407);

    if (status == 401 || status == 407)
        status = is_proxys ? 407 : 401;
    if (!answer->is_cut && answer->content.bytes > 0)
        content = keep_content(ex, answer->content);
    if (content.bytes > 0)
        exchange_answer_with(ex, status, reason,
                             type.bytes > 0 ? arena_copy(&ex->arena, type).data : "text/plain",
                             content);
    else if (reason == END_ANSWERED)
        exchange_answer_with(ex, status, reason, NULL, slice_make(NULL, 0));
    else
        exchange_answer(ex, status, reason, NULL);
    fields_remove(&ex->response.fields, FIELD_CACHE_CONTROL);
    pass_fields(ex, &response->fields,
                is_proxys ? FIELD_PROXY_AUTHENTICATE : FIELD_WWW_AUTHENTICATE,
                content.bytes > 0);
}
