/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_user.h - users who show a token that an issuer has signed (RFC 7519):
 *
 *     users = ( { name = "api"; kind = "jwt"; keys = "/etc/bascule/jwks.json";
 *                 issuer = "https://id.example"; audience = "shop"; } );
 */
#ifndef BASCULE_JWT_USER_H
#define BASCULE_JWT_USER_H

#include "server/users/jwt.h"
#include "server/users/jwt_carrier.h"
#include "server/users/jwt_keys.h"
#include "server/users/users.h"

struct group_conf;
struct tls_context;

struct jwt_users_conf {
    struct users_conf users;
    const char *keys_file, *keys_url; /* exactly one */
    const char *keys_group_name;
    struct group_conf *keys_group;    /* that is asked for keys_url; NULL: the host in it */
    const char *keys_ca;
    struct tls_context *keys_tls;     /* who vouches for that host; in the snapshot */
    struct jwt_keys_pace keys_pace;
    struct strings algorithm_names;
    struct jwt_rules rules;
    uint32_t leeway_ms;
    const char *user_claim, *groups_claim;
    struct config_list fields;        /* of struct jwt_field_conf */
    struct jwt_carrier carrier;
    bool forward;                     /* the token goes on to the origin */
    struct jwt_keys *keys;            /* in the registry */
    uint64_t version;                 /* of these rules, for the cache of logins */
};

extern const struct users_ops jwt_users;

/* What has keys to be fetched from somewhere: NULL for users of other kinds, and for
 * those with a file. For who fetches them (jwt_keys.h). */
const struct jwt_users_conf *jwt_users_with_url(const struct users_conf *users);

#endif
