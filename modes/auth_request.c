/* SPDX-License-Identifier: BSD-2-Clause */
/* auth_request.c - fields in, fields out. */
#include "config.h"

#include "modes/auth_request.h"

#include "modes/site_route.h"
#include "server/users/users.h"

/* ---- names */

static bool
is_listed(const struct strings *names, struct slice name)
{
    for (size_t i = 0; i < names->count; i++)
        if (slice_equal_nocase(names->items[i], name))
            return true;
    return false;
}

/* ---- claims */

static bool
is_claim(const struct field *field, void *arg)
{
    const struct auth_request_conf *conf = arg;

    if (users_fields_are_alike(field->name, slice_of(conf->user_field)) ||
        users_fields_are_alike(field->name, slice_of(conf->groups_field)))
        return true;
    for (size_t i = 0; i < conf->copy_fields.count; i++)
        if (users_fields_are_alike(field->name, conf->copy_fields.items[i]))
            return true;
    return false;
}

void
auth_request_remove_claims(struct fields *fields, const struct auth_request_conf *conf)
{
    fields_remove_if(fields, is_claim, (void *)conf);
}

/* ---- the client's fields */

struct choice {
    const struct auth_request_conf *conf;
    bool is_proxy;
    bool is_trusted; /* what is said of another client, or another URL, is believed */
};

/* Fields of content that is not sent, of a part of content that is not wanted, and
 * for the next hop. */
static bool
is_beside_the_point(const struct field *field)
{
    switch (field->id) {
    case FIELD_CONTENT_DISPOSITION:
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_LANGUAGE:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_LOCATION:
    case FIELD_CONTENT_RANGE:
    case FIELD_CONTENT_TYPE:
    case FIELD_EXPECT:
    case FIELD_IF_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_RANGE:
    case FIELD_IF_UNMODIFIED_SINCE:
    case FIELD_MAX_FORWARDS:
    case FIELD_RANGE:
    case FIELD_TRAILER:
        return true;
    }
    return (field->flags & (FIELD_HOP | FIELD_FRAMING)) != 0;
}

static bool
has_prefix(struct slice name, struct slice prefix)
{
    return name.bytes > prefix.bytes &&
           users_fields_are_alike(slice_make(name.data, prefix.bytes), prefix);
}

/* What proxies say of the request they pass on. */
static bool
is_forwarding(struct slice name)
{
    return has_prefix(name, SLICE("X-Forwarded-")) || has_prefix(name, SLICE("X-Original-"));
}

/* What clients prove by who they are, even where the server tells the origin by fields
 * of these names as well. */
static bool
is_proof(const struct field *field)
{
    return field->id == FIELD_AUTHORIZATION || field->id == FIELD_COOKIE;
}

/* Names that we set ourselves, whoever used them before. */
static bool
is_ours(struct slice name)
{
    return users_fields_are_alike(name, SLICE("X-Forwarded-Method")) ||
           users_fields_are_alike(name, SLICE("X-Forwarded-Uri")) ||
           has_prefix(name, SLICE("X-Original-"));
}

static bool
is_left_out(const struct field *field, void *arg)
{
    const struct choice *choice = arg;
    const struct strings *send = &choice->conf->send_fields;

    if (is_beside_the_point(field) || is_ours(field->name) ||
        (!is_proof(field) && is_claim(field, (void *)choice->conf)) ||
        (!choice->is_trusted && is_forwarding(field->name)))
        return true;
    if (choice->is_proxy &&
        (field->id == FIELD_AUTHORIZATION ||
         (field->id == FIELD_COOKIE && !is_listed(send, field->name))))
        return true;
    return send->count > 0 && !is_listed(send, field->name) && !is_forwarding(field->name);
}

/* ---- what we tell */

static void
tell(struct fields *fields, struct arena *arena, struct slice name, struct slice value)
{
    if (value.bytes > 0)
        fields_set_name(fields, arena, name, value);
}

/* A trusted proxy before us knows better what the client asked for. */
static struct slice
told_or(const struct fields *fields, enum field_id id, struct slice own)
{
    struct slice told = fields_get(fields, id);

    return told.bytes > 0 ? told : own;
}

static struct slice
chain(struct exchange *ex, const struct fields *fields)
{
    struct ip peer = ex->down->client->peer;
    char text[IP_TEXT_BYTES];
    struct slice before = fields_joined(fields, FIELD_X_FORWARDED_FOR, &ex->arena);
    size_t bytes;

    if (peer.family == 0) /* a unix socket */
        return before;
    peer.scope = 0; /* means something on this machine only */
    bytes = ip_text(&peer, text);
    if (before.bytes == 0)
        return arena_copy(&ex->arena, slice_make(text, bytes));
    return arena_printf(&ex->arena, "%.*s, %s", SLICE_ARG(before), text);
}

static void
tell_request(struct exchange *ex, struct fields *fields)
{
    const struct request *request = &ex->request;
    struct arena *arena = &ex->arena;
    bool is_connect = request->method == METHOD_CONNECT;
    struct slice scheme = request->scheme.bytes > 0     ? request->scheme
                          : ex->down->client->is_tls    ? SLICE("https")
                                                        : SLICE("http");
    struct slice proto = told_or(fields, FIELD_X_FORWARDED_PROTO, scheme);
    struct slice host = told_or(fields, FIELD_X_FORWARDED_HOST, request->authority);
    struct slice uri = is_connect ? request->target : site_origin_form(ex);

    tell(fields, arena, SLICE("X-Forwarded-Method"), request->method_name);
    tell(fields, arena, SLICE("X-Forwarded-Proto"), proto);
    tell(fields, arena, SLICE("X-Forwarded-Host"), host);
    tell(fields, arena, SLICE("X-Forwarded-Uri"), uri);
    tell(fields, arena, SLICE("X-Forwarded-For"), chain(ex, fields));
    tell(fields, arena, SLICE("X-Original-Method"), request->method_name);
    if (!is_connect) /* which asks for no URL */
        tell(fields, arena, SLICE("X-Original-URL"),
             arena_printf(arena, "%.*s://%.*s%.*s", SLICE_ARG(proto), SLICE_ARG(host),
                          SLICE_ARG(uri)));
}

struct fields *
auth_request_fields(struct exchange *ex, const struct auth_request_conf *conf, bool is_proxy)
{
    struct choice choice = { conf, is_proxy, site_trusts_peer(ex) };
    struct fields *fields = fields_copy(&ex->request.fields, &ex->arena);
    struct slice login;

    if (fields == NULL)
        return NULL;
    login = fields_get(fields, FIELD_PROXY_AUTHORIZATION);
    if (fields_has(fields, FIELD_CONNECTION))
        fields_remove_hop_by_hop(fields);
    if (!choice.is_trusted)
        site_remove_claims(fields);
    fields_remove_if(fields, is_left_out, &choice);
    if (is_proxy && login.data != NULL)
        fields_add(fields, &ex->arena, FIELD_AUTHORIZATION, login);
    tell_request(ex, fields);
    return arena_is_spent(&ex->arena) ? NULL : fields;
}

/* ---- the key */

/* A number in front of everything, so that no two lists of values look alike. */
static char *
put(char *at, const void *data, size_t bytes)
{
    at = mempcpy(at, &bytes, sizeof(bytes));
    return bytes > 0 ? mempcpy(at, data, bytes) : at;
}

static char *
put_values(char *at, const struct fields *sent, struct slice name)
{
    size_t count = 0;
    char *start = at;

    at += sizeof(count);
    for (uint32_t i = 0; i < sent->count; i++) {
        if (!slice_equal_nocase(sent->items[i].name, name))
            continue;
        at = put(at, sent->items[i].value.data, sent->items[i].value.bytes);
        count++;
    }
    memcpy(start, &count, sizeof(count));
    return at;
}

static size_t
values_bytes(const struct fields *sent, const struct strings *names)
{
    size_t bytes = 0;

    for (size_t i = 0; i < names->count; i++) {
        bytes += sizeof(size_t);
        for (uint32_t j = 0; j < sent->count; j++)
            if (slice_equal_nocase(sent->items[j].name, names->items[i]))
                bytes += sizeof(size_t) + sent->items[j].value.bytes;
    }
    return bytes;
}

bool
auth_request_key(struct login_key *key, uint64_t version, const struct fields *sent,
                 const struct auth_request_conf *conf, struct arena *arena)
{
    char *text = arena_alloc(arena, values_bytes(sent, &conf->key_fields) + 1), *at = text;
    struct slice part;

    if (text == NULL)
        return false;
    for (size_t i = 0; i < conf->key_fields.count; i++)
        at = put_values(at, sent, conf->key_fields.items[i]);
    part = slice_make(text, (size_t)(at - text));
    return login_key_make(key, version, &part, 1);
}
