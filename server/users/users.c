/* SPDX-License-Identifier: BSD-2-Clause */
/* users.c - what all kinds of users have in common. */
#include "config.h"

#include "server/users/users.h"

#include "server/http/scan.h"
#include "server/schema_link.h"
#include "server/users/ldap_directory.h"
#include "server/users/lockout.h"
#include "server/users/login_cache.h"
#include "server/users/password_hash.h"
#include "server/users/password_login.h"
#include "server/users/secrets.h"

#define MINUTE (60 * 1000)
#define DAY (24 * 60 * MINUTE)

static bool
kind_at(size_t i, struct option_family *family)
{
    const struct users_ops *ops = users_kinds[i];

    if (ops == NULL)
        return false;
    *family = (struct option_family){ .word = ops->name, .text = ops->text,
                                      .options = ops->options, .member_bytes = ops->conf_bytes,
                                      .ops = ops };
    return true;
}

/* An extra look, which only what is written gets. */
static int
note_cache(struct config_reader *reader, const struct config_node *node, void *target,
           struct err *err)
{
    struct users_conf *users = target;

    (void)reader;
    (void)node;
    (void)err;
    users->has_cache = true;
    return 0;
}

const struct option users_options[] = {
    OPTION_PLACE(struct users_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct users_conf, name),
      .is_required = true, .text = "What policies and logs call it." },
    { .name = "kind", .type = OPTION_FAMILY, .offset = offsetof(struct users_conf, ops),
      .is_required = true, .family_at = kind_at, .text = "How they prove who they are." },
    { .name = "realm", .type = OPTION_STRING, .offset = offsetof(struct users_conf, realm),
      .text = "What browsers show when they ask for a password; when not given, the name." },
    { .name = "cache", .type = OPTION_TIME, .offset = offsetof(struct users_conf, cache_ms),
      .fallback = "5m", .max = DAY, .parse = note_cache,
      .text = "How long a proof that took time (a password, a token) counts before it is made "
              "again. A file that changes ends it. With forward_auth off unless given." },
    { .name = "max_failures", .type = OPTION_INT,
      .offset = offsetof(struct users_conf, max_failures), .fallback = "10", .max = 1000000,
      .text = "Wrong passwords of one user and client (IPv6: network of 64 bits) within "
              "lock_time, after which both together are locked. 0: no limit." },
    { .name = "lock_time", .type = OPTION_TIME, .offset = offsetof(struct users_conf, lock_ms),
      .fallback = "15m", .min = 1000, .max = DAY,
      .text = "How long failures count, and how long the lock lasts." },
    { .name = "max_logins", .type = OPTION_INT, .offset = offsetof(struct users_conf, max_logins),
      .fallback = "16", .min = 1, .max = 256,
      .text = "Passwords of one client (IPv6: network of 64 bits) that are checked, or wait for "
              "it, at a time, so that it leaves room for others; more are answered with 503." },
    { .name = "user_field", .type = OPTION_STRING,
      .offset = offsetof(struct users_conf, user_field),
      .text = "Name of a header field in which the origin is told the user's name; one of that "
              "name that a client sends is always taken out." },
    { .name = NULL },
};

/* ---- the configuration */

int
users_check_path(const char *option, const char *path, struct err *err)
{
    if (path == NULL || path[0] == '/')
        return 0;
    return err_set(err, "%s: \"%s\" is not an absolute path", option, path);
}

int
users_check_field(const char *option, struct slice name, struct err *err)
{
    if (name.data == NULL)
        return 0;
    if (!scan_is_token(name))
        return err_set(err, "%s: \"%.*s\" cannot be the name of a header field", option,
                       SLICE_ARG(name));
    if (field_flags(field_id_of(name)) & (FIELD_HOP | FIELD_FRAMING))
        return err_set(err, "%s: %.*s has a meaning of its own on a connection", option,
                       SLICE_ARG(name));
    return 0;
}

static int
finish(struct users_conf *users, struct conf *conf, struct arena *arena, struct err *err)
{
    if (users->realm == NULL)
        users->realm = users->name;
    if (!user_name_is_good(slice_of(users->realm)))
        return err_set(err, "realm: is empty, too long or has characters that cannot be shown");
    if (users_check_field("user_field", slice_of(users->user_field), err) < 0)
        return -1;
    return users->ops->finish != NULL ? users->ops->finish(users, conf, arena, err) : 0;
}

int
users_finish(struct conf *conf, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < conf->users.count; i++) {
        struct users_conf *users = conf->users.items[i];

        if (link_check_name("users", users->name, &users->place, err) < 0)
            return -1;
        if (finish(users, conf, arena, err) < 0)
            return link_fail(err, &users->place, "users", users->name);
    }
    return 0;
}

int
users_adopt(struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->users.count; i++) {
        struct users_conf *users = conf->users.items[i];

        if (users->ops->adopt != NULL && users->ops->adopt(users, err) < 0)
            return link_fail(err, &users->place, "users", users->name);
    }
    return 0;
}

void
users_release(struct conf *conf)
{
    for (size_t i = 0; i < conf->users.count; i++) {
        struct users_conf *users = conf->users.items[i];

        if (users->ops->release != NULL)
            users->ops->release(users);
    }
}

struct users_conf *
users_named(const struct conf *conf, const char *name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; i < conf->users.count; i++) {
        struct users_conf *users = conf->users.items[i];

        if (strcmp(users->name, name) == 0)
            return users;
        nearest_offer(&nearest, users->name);
    }
    err_set(err, "there are no users \"%s\"", name);
    nearest_hint(&nearest, err);
    return NULL;
}

/* ---- upstream */

static char
letter_of(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

bool
users_fields_are_alike(struct slice a, struct slice b)
{
    if (a.bytes != b.bytes)
        return false;
    for (size_t i = 0; i < a.bytes; i++)
        if (letter_of(a.data[i]) != letter_of(b.data[i]))
            return false;
    return true;
}

static bool
is_alike(const struct field *field, void *arg)
{
    return users_fields_are_alike(field->name, *(const struct slice *)arg);
}

unsigned
users_remove_field(struct exchange *ex, struct slice name)
{
    return fields_remove_if(&ex->request.fields, is_alike, &name);
}

static void
tell_field(struct exchange *ex, struct slice name, struct slice value)
{
    (void)users_remove_field(ex, name);
    if (value.bytes > 0)
        fields_add_name(&ex->request.fields, &ex->arena, name, value);
}

void
users_tell_origin(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    const struct user *user = &login->user;

    if (users->ops->strip != NULL)
        users->ops->strip(users, login, ex);
    if (users->user_field != NULL)
        tell_field(ex, slice_of(users->user_field), user->name);
    for (unsigned i = 0; i < user->field_count; i++)
        tell_field(ex, user->fields[i].name, user->fields[i].value);
}

/* ---- the process */

int
users_start(struct err *err)
{
    return users_secrets_make(err);
}

void
users_stop(void)
{
    job_pool_stop(&password_hash_pool);
    ldap_directories_stop();
    login_cache_clear();
}

struct users_facts
users_facts(void)
{
    struct lockout_counts counts = lockout_counts();

    return (struct users_facts){
        .hashes = password_hash_count(),
        .waiting = job_pool_waiting(&password_hash_pool),
        .busy = password_login_busy(),
        .failures = counts.failures,
        .locks = counts.locks,
    };
}
