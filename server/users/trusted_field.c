/* SPDX-License-Identifier: BSD-2-Clause */
/* trusted_field.c - users = ( { kind = "trusted_field"; user_header = "X-User"; } ): who
 * a proxy in front says it is, in header fields.
 *
 * It is believed only when its TLS certificate was verified here, or by its address.
 * From anybody else the fields are taken out.
 */
#include "config.h"

#include "server/users/members.h"

#include "server/policy/prefix_set.h"
#include "server/tls/tls_session.h"

#define GROUPS_MAX 256u

struct trusted_field_conf {
    struct users_conf users;
    const char *user_header, *groups_header;
    struct prefix_set *from;
    struct strings fronts;
};

static const struct option options[] = {
    { .name = "user_header", .type = OPTION_STRING,
      .offset = offsetof(struct trusted_field_conf, user_header), .is_required = true,
      .text = "Header field with the user's name, from a proxy in front." },
    { .name = "groups_header", .type = OPTION_STRING,
      .offset = offsetof(struct trusted_field_conf, groups_header),
      .text = "Header field with the user's groups, separated by commas." },
    { .name = "fronts", .type = OPTION_STRINGS,
      .offset = offsetof(struct trusted_field_conf, fronts),
      .text = "Names of proxies that are believed: the common name, or the first DNS name, of "
              "the TLS certificate that they show. When neither this nor from is given, any "
              "certificate that the listener has verified." },
    { .name = "from", .type = OPTION_NETWORKS, .offset = offsetof(struct trusted_field_conf, from),
      .text = "Networks of proxies that are believed by their address alone." },
    { .name = NULL },
};

static int
finish(struct users_conf *users, struct conf *conf, struct arena *arena, struct err *err)
{
    const struct trusted_field_conf *own = (const struct trusted_field_conf *)users;

    (void)conf;
    (void)arena;
    if (users_check_field("user_header", slice_of(own->user_header), err) < 0)
        return -1;
    for (size_t i = 0; i < own->fronts.count; i++)
        if (own->fronts.items[i].bytes == 0) /* which a certificate without names has, too */
            return err_set(err, "fronts: \"\" is nobody's name");
    return users_check_field("groups_header", slice_of(own->groups_header), err);
}

/* ---- who says so */

static bool
is_front(const struct trusted_field_conf *own, const struct client_names *names)
{
    for (size_t i = 0; i < own->fronts.count; i++)
        if (slice_equal(own->fronts.items[i], names->common_name) ||
            slice_equal_nocase(own->fronts.items[i], names->dns))
            return true;
    return own->fronts.count == 0 && own->from == NULL;
}

static bool
is_believed(const struct trusted_field_conf *own, struct exchange *ex)
{
    const struct client *client = ex->down != NULL ? ex->down->client : NULL;
    struct client_names names;

    if (client == NULL)
        return false;
    if (client->peer.family != 0 && prefix_set_has(own->from, &client->peer))
        return true;
    return client->tls != NULL && tls_session_client_names(client->tls, &ex->arena, &names) &&
           is_front(own, &names);
}

/* ---- what they say */

/* The value of the field of that name; empty: there is none. False: there are several, and
 * one may be the client's. */
static bool
only_value(const struct exchange *ex, struct slice name, struct slice *value)
{
    const struct fields *fields = &ex->request.fields;
    unsigned count = 0;

    *value = slice_make(NULL, 0);
    for (uint32_t i = 0; i < fields->count; i++)
        if (slice_equal_nocase(fields->items[i].name, name)) {
            *value = fields->items[i].value;
            count++;
        }
    return count <= 1;
}

/* False: too many, or no names; who has fewer groups may pass where he should not. */
static bool
read_groups(const struct trusted_field_conf *own, struct user *user, struct exchange *ex)
{
    struct slice list, group, *groups;

    if (own->groups_header == NULL)
        return true;
    if (!only_value(ex, slice_of(own->groups_header), &list))
        return false;
    groups = arena_alloc(&ex->arena, GROUPS_MAX * sizeof(*groups));
    if (groups == NULL)
        return false;
    while (slice_next_element(&list, &group)) {
        if (user->group_count >= GROUPS_MAX || !user_name_is_good(group))
            return false;
        groups[user->group_count++] = group;
    }
    user->groups = groups;
    return true;
}

static enum login_state
login_of(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    const struct trusted_field_conf *own = (const struct trusted_field_conf *)users;
    struct slice name = slice_of(own->user_header);
    struct user said = { .by = "trusted_field" }, *user = &login->user;

    if (fields_find_name(&ex->request.fields, name) == NULL)
        return LOGIN_NONE;
    if (!is_believed(own, ex)) {
        login->detail = "header field of a client that is not trusted to name users";
        return LOGIN_NONE;
    }
    if (only_value(ex, name, &said.name) && user_name_is_good(said.name) &&
        read_groups(own, &said, ex) && user_copy(user, &said, &ex->arena))
        return LOGIN_OK;
    login->detail = "malformed header field of a trusted proxy";
    return LOGIN_WRONG;
}

/* What is believed stays, but nothing that origins may take for it. */
static void
strip_field(const char *header, bool is_believed_now, struct exchange *ex)
{
    struct slice name = slice_of(header), value;
    bool is_one = only_value(ex, name, &value);

    (void)users_remove_field(ex, name);
    if (is_believed_now && is_one && value.bytes > 0)
        fields_add_name(&ex->request.fields, &ex->arena, name, value);
}

static void
strip(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    const struct trusted_field_conf *own = (const struct trusted_field_conf *)users;
    bool is_believed_now = login->user.name.bytes > 0;

    strip_field(own->user_header, is_believed_now, ex);
    if (own->groups_header != NULL)
        strip_field(own->groups_header, is_believed_now, ex);
}

const struct users_ops trusted_field_users = {
    .name = "trusted_field",
    .text = "Header fields of a proxy in front that has proved who it is.",
    .options = options,
    .conf_bytes = sizeof(struct trusted_field_conf),
    .finish = finish,
    .login = login_of,
    .strip = strip,
};
