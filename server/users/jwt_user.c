/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_user.c - the kind "jwt".
 *
 *     token --> seen a moment ago? --> verified, on the worker --> claims --> user
 *                                          '-- key not known: wait for newer ones
 *
 * A verification takes some ten microseconds, which is less than sending it elsewhere
 * would; and the same token comes with every request of its owner.
 */
#include "config.h"

#include "server/users/jwt_user.h"

#include "server/base/clock.h"
#include "server/http/http_url.h"
#include "server/http/scan.h"
#include "server/schema.h"
#include "server/tls/tls_context.h"
#include "server/users/jwt_claims.h"
#include "server/users/login_cache.h"
#include "server/users/secrets.h"

#define MINUTE (60 * 1000)

static const struct option field_options[] = {
    OPTION_PLACE(struct jwt_field_conf, place),
    { .name = "claim", .type = OPTION_STRING, .offset = offsetof(struct jwt_field_conf, claim),
      .is_required = true, .text = "Name of the claim; \"a.b\" is b in the object a." },
    { .name = "field", .type = OPTION_STRING, .offset = offsetof(struct jwt_field_conf, field),
      .is_required = true,
      .text = "Name of the header field. One of that name that a client sends is always taken "
              "out." },
    { .name = NULL },
};

static const struct option options[] = {
    { .name = "keys", .type = OPTION_STRING, .offset = offsetof(struct jwt_users_conf, keys_file),
      .text = "File with the issuer's public keys, as a JSON Web Key Set (RFC 7517). Read again "
              "when it changes." },
    { .name = "keys_url", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, keys_url),
      .text = "Or where they are fetched from: \"https://id.example/keys\". Until they are there, "
              "tokens are answered with 503." },
    { .name = "keys_group", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, keys_group_name),
      .text = "Group of servers that keys_url is fetched from; when not given, the host in it. "
              "With a group, http:// is accepted, too." },
    { .name = "keys_ca", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, keys_ca),
      .text = "File of the CA certificates (PEM) that the host in keys_url is verified by; the "
              "system's when not given. A group has its own." },
    { .name = "keys_refresh", .type = OPTION_TIME,
      .offset = offsetof(struct jwt_users_conf, keys_pace.refresh_ms), .fallback = "1h",
      .min = MINUTE, .max = 24 * 60 * MINUTE,
      .text = "How often keys are fetched. When a token names a key that is not among them, they "
              "are fetched at once, as far as keys_retry lets them." },
    { .name = "keys_retry", .type = OPTION_TIME,
      .offset = offsetof(struct jwt_users_conf, keys_pace.retry_ms), .fallback = "10s",
      .min = 1000, .max = MINUTE,
      .text = "How long after a fetch the next one may begin: when it failed, or tokens name keys "
              "that it did not bring, which anybody's may." },
    { .name = "algorithms", .type = OPTION_STRINGS,
      .offset = offsetof(struct jwt_users_conf, algorithm_names),
      .fallback = "RS256, ES256, EdDSA", .min = 1, .max = JWT_ALGORITHM_COUNT,
      .text = "Signatures that are accepted: RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
              "ES384, ES512, EdDSA (Ed25519). Whatever the token says, no other is." },
    { .name = "issuer", .type = OPTION_STRINGS,
      .offset = offsetof(struct jwt_users_conf, rules.issuers), .max = 64,
      .text = "What the claim iss must be, one of these; when not given, anything." },
    { .name = "audience", .type = OPTION_STRINGS,
      .offset = offsetof(struct jwt_users_conf, rules.audiences), .max = 64,
      .text = "What the claim aud must have, one of these; \"*\" is anything. When not given, "
              "tokens that name an audience are refused (RFC 7519 section 4.1.3)." },
    { .name = "require_exp", .type = OPTION_BOOL,
      .offset = offsetof(struct jwt_users_conf, rules.needs_exp), .fallback = "true",
      .text = "Whether a token must say when it expires." },
    { .name = "leeway", .type = OPTION_TIME, .offset = offsetof(struct jwt_users_conf, leeway_ms),
      .fallback = "60s", .max = 10 * MINUTE,
      .text = "How far the issuer's clock may be from ours." },
    { .name = "user_claim", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, user_claim), .fallback = "sub",
      .text = "The claim that is the user's name; \"a.b\" is b in the object a." },
    { .name = "groups_claim", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, groups_claim), .fallback = "groups",
      .text = "The claim that lists the user's groups: an array, or names with spaces between "
              "them (\"scope\"); \"realm_access.roles\" is roles in the object realm_access." },
    { .name = "fields", .type = OPTION_GROUPS, .offset = offsetof(struct jwt_users_conf, fields),
      .options = field_options, .member_bytes = sizeof(struct jwt_field_conf), .max = 64,
      .text = "Claims that the origin is told in header fields." },
    { .name = "token_field", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, carrier.field),
      .text = "Header field that has the token, instead of Authorization." },
    { .name = "token_cookie", .type = OPTION_STRING,
      .offset = offsetof(struct jwt_users_conf, carrier.cookie),
      .text = "Cookie that has the token, instead of Authorization." },
    { .name = "forward", .type = OPTION_BOOL, .offset = offsetof(struct jwt_users_conf, forward),
      .fallback = "false", .text = "Whether the token goes on to the origin." },
    { .name = NULL },
};

static struct jwt_users_conf *
own_of(struct users_conf *users)
{
    return (struct jwt_users_conf *)users;
}

static const struct jwt_users_conf *
own_const(const struct users_conf *users)
{
    return (const struct jwt_users_conf *)users;
}

/* ---- the configuration */

static int
check_url(const char *text, bool has_group, struct err *err)
{
    struct http_url url;

    if (http_url_parse(&url, text, err) < 0)
        return err_prefix(err, "keys_url: ");
    if (url.is_tls || has_group)
        return 0;
    return err_set(err, "keys_url: \"%s\": keys that anybody on the way could exchange prove "
                        "nothing: https://, or http:// of a keys_group, would be accepted", text);
}

/* Whom to believe that it is the host in keys_url. */
static int
load_trust(struct jwt_users_conf *own, struct arena *arena, struct err *err)
{
    if (own->keys_ca != NULL && (own->keys_url == NULL || own->keys_group != NULL))
        return err_set(err, "keys_ca is for the host in keys_url: a group has its own");
    if (own->keys_ca != NULL && users_check_path("keys_ca", own->keys_ca, err) < 0)
        return -1;
    if (own->keys_url == NULL || own->keys_group != NULL)
        return 0;
    own->keys_tls = tls_context_new(arena, own->keys_ca, err);
    return own->keys_tls != NULL ? 0 : err_prefix(err, "keys_ca: ");
}

static int
check_keys(struct jwt_users_conf *own, const struct conf *conf, struct err *err)
{
    if ((own->keys_file == NULL) == (own->keys_url == NULL))
        return err_set(err, "needs either keys, a file, or keys_url");
    if (own->keys_group_name != NULL) {
        if (own->keys_url == NULL)
            return err_set(err, "keys_group without keys_url means nothing");
        own->keys_group = conf_group(conf, own->keys_group_name, err);
        if (own->keys_group == NULL)
            return err_prefix(err, "keys_group: ");
    }
    if (own->keys_url != NULL)
        return check_url(own->keys_url, own->keys_group != NULL, err);
    return users_check_path("keys", own->keys_file, err);
}

static int
check_algorithms(struct jwt_users_conf *own, struct err *err)
{
    for (size_t i = 0; i < own->algorithm_names.count; i++) {
        struct slice name = own->algorithm_names.items[i];
        enum jwt_algorithm algorithm = jwt_algorithm_named(name);
        struct nearest nearest;

        if (algorithm != JWT_ALGORITHM_COUNT) {
            own->rules.algorithms |= JWT_ALGORITHM_BIT(algorithm);
            continue;
        }
        err_set(err, "algorithms: \"%s\" is none that proves anything with a public key",
                name.data);
        nearest_init(&nearest, name);
        for (unsigned j = 0; j < JWT_ALGORITHM_COUNT; j++)
            nearest_offer(&nearest, jwt_algorithm_words[j]);
        return nearest_hint(&nearest, err);
    }
    return 0;
}

static int
check_cookie(const char *name, struct err *err)
{
    if (scan_is_token(slice_of(name)))
        return 0;
    return err_set(err, "token_cookie: \"%s\" cannot be the name of a cookie", name);
}

static int
check_carrier(const struct jwt_carrier *carrier, struct err *err)
{
    if (carrier->field != NULL && carrier->cookie != NULL)
        return err_set(err, "token_field and token_cookie exclude each other");
    if (carrier->cookie != NULL)
        return check_cookie(carrier->cookie, err);
    return users_check_field("token_field", slice_of(carrier->field), err);
}

static int
finish(struct users_conf *users, struct conf *conf, struct arena *arena, struct err *err)
{
    struct jwt_users_conf *own = own_of(users);

    own->rules.leeway_s = own->leeway_ms / 1000;
    if (check_keys(own, conf, err) < 0 || load_trust(own, arena, err) < 0 ||
        check_algorithms(own, err) < 0 || check_carrier(&own->carrier, err) < 0)
        return -1;
    for (size_t i = 0; i < own->fields.count; i++) {
        const struct jwt_field_conf *field = own->fields.items[i];

        if (users_check_field("fields: field", slice_of(field->field), err) < 0)
            return -1;
    }
    return 0;
}

static int
adopt(struct users_conf *users, struct err *err)
{
    struct jwt_users_conf *own = own_of(users);

    own->version = users_version_new();
    own->keys = jwt_keys_adopt(own->keys_file, own->keys_url, err);
    return own->keys != NULL ? 0 : err_prefix(err, "keys: ");
}

static void
release(struct users_conf *users)
{
    jwt_keys_unref(own_of(users)->keys);
    own_of(users)->keys = NULL;
}

static const char *
file(const struct users_conf *users, unsigned i)
{
    const struct jwt_users_conf *own = own_const(users);

    if (i > 0)
        return NULL;
    return own->keys_file != NULL ? own->keys_file : own->keys_ca;
}

/* ---- logging in */

/* What is being looked at. */
struct shown {
    const struct jwt_users_conf *own;
    struct jwks *jwks;
    struct slice token;
    struct login_key key;
    bool has_key; /* for the cache */
};

/* Proofs by other keys or under other rules count no more. */
static bool
find_in_cache(struct shown *shown, struct login *login, struct exchange *ex)
{
    const struct slice parts[] = {
        shown->token, { (const char *)&shown->jwks->id, sizeof(shown->jwks->id) },
    };

    shown->has_key = shown->own->users.cache_ms > 0 &&
                     login_key_make(&shown->key, shown->own->version, parts, ARRAY_COUNT(parts));
    return shown->has_key &&
           login_cache_find(&shown->key, clock_monotonic_ms(), &login->user, &ex->arena);
}

static void
put_in_cache(const struct shown *shown, const struct login *login, int64_t left_s)
{
    uint32_t for_ms = shown->own->users.cache_ms;

    if (!shown->has_key || left_s <= 0)
        return;
    if (left_s < for_ms / 1000)
        for_ms = (uint32_t)left_s * 1000;
    login_cache_put(&shown->key, &login->user, clock_monotonic_ms(), for_ms);
}

static enum login_state
refuse(struct login *login, const char *detail)
{
    login->detail = detail;
    return LOGIN_WRONG;
}

/* Until there are newer keys, once. */
static bool
waits(const struct shown *shown, struct login *login, struct exchange *ex, bool has_waited)
{
    if (has_waited)
        return false;
    login->state = jwt_keys_wait(shown->own->keys, &shown->own->keys_pace, ex,
                                 clock_monotonic_ms());
    return login->state != NULL;
}

static enum login_state
verify(const struct shown *shown, struct login *login, struct exchange *ex, bool has_waited)
{
    const struct jwt_users_conf *own = shown->own;
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
    struct jwt jwt;
    enum jwt_verdict verdict = jwt_verify(shown->jwks, &own->rules, shown->token, now_s, &jwt);
    bool is_user;

    if (verdict == JWT_KEY_UNKNOWN && waits(shown, login, ex, has_waited))
        return LOGIN_WAIT;
    if (verdict != JWT_GOOD)
        return refuse(login, jwt_verdict_text(verdict));
    is_user = jwt_claims_read(jwt.claims, own->user_claim, own->groups_claim, &own->fields,
                              &ex->arena, &login->user);
    jwt_fini(&jwt);
    if (!is_user) {
        login->user = (struct user){ .name = { NULL, 0 } };
        return refuse(login, "the token does not name a user, or not properly");
    }
    put_in_cache(shown, login, jwt.exp_s - now_s);
    return LOGIN_OK;
}

static enum login_state
judge(struct shown *shown, struct login *login, struct exchange *ex, bool has_waited)
{
    if (shown->jwks != NULL)
        return find_in_cache(shown, login, ex) ? LOGIN_OK : verify(shown, login, ex, has_waited);
    if (waits(shown, login, ex, has_waited))
        return LOGIN_WAIT;
    login->detail = "the keys of tokens could not be fetched yet";
    return LOGIN_BUSY;
}

static enum login_state
login_of(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    struct shown shown = { .own = own_const(users) };
    bool has_waited = login->state != NULL;
    enum login_state state;

    if (has_waited && !jwt_keys_waited(login->state))
        return LOGIN_WAIT;
    login->state = NULL;
    switch (jwt_carrier_find(&shown.own->carrier, login, ex, &shown.token)) {
    case CREDENTIALS_NONE:
        return LOGIN_NONE;
    case CREDENTIALS_BAD:
        return refuse(login, "there is no one token, but none or several");
    case CREDENTIALS_GOOD:
        break;
    }
    shown.jwks = jwt_keys_take(shown.own->keys);
    state = judge(&shown, login, ex, has_waited);
    jwks_unref(shown.jwks);
    return state;
}

/* RFC 6750 section 3: without a reason where there was no token. */
static void
challenge(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    struct slice realm = credentials_realm(users, ex);

    if (login->detail == NULL)
        credentials_challenge(login, ex,
                              arena_printf(&ex->arena, "Bearer realm=%.*s", SLICE_ARG(realm)));
    else
        credentials_challenge(login, ex,
                              arena_printf(&ex->arena,
                                           "Bearer realm=%.*s, error=\"invalid_token\", "
                                           "error_description=\"%s\"",
                                           SLICE_ARG(realm), login->detail));
}

static void
cancel(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    (void)users;
    (void)ex;
    if (login->state != NULL)
        jwt_keys_cancel(login->state);
    login->state = NULL;
}

/* Fields that tell claims are ours to write, logged in or not. */
static void
strip(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    const struct jwt_users_conf *own = own_const(users);

    for (size_t i = 0; i < own->fields.count; i++) {
        const struct jwt_field_conf *field = own->fields.items[i];

        (void)users_remove_field(ex, slice_of(field->field));
    }
    if (!own->forward)
        jwt_carrier_strip(&own->carrier, login, ex);
}

const struct users_ops jwt_users = {
    .name = "jwt",
    .text = "A signed token (JWT), against the public keys of who issues it.",
    .options = options,
    .conf_bytes = sizeof(struct jwt_users_conf),
    .finish = finish,
    .adopt = adopt,
    .release = release,
    .file = file,
    .login = login_of,
    .challenge = challenge,
    .cancel = cancel,
    .strip = strip,
};

const struct jwt_users_conf *
jwt_users_with_url(const struct users_conf *users)
{
    return users->ops == &jwt_users && own_const(users)->keys_url != NULL ? own_const(users) : NULL;
}
