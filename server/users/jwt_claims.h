/* SPDX-License-Identifier: BSD-2-Clause */
/* jwt_claims.h - what the claims of a good token say about a user. */
#ifndef BASCULE_JWT_CLAIMS_H
#define BASCULE_JWT_CLAIMS_H

#include <jansson.h>

#include "server/config/option.h"
#include "server/users/user.h"

/* A claim that upstream gets as a header field. */
struct jwt_field_conf {
    struct place place;
    const char *claim, *field;
};

#define JWT_GROUPS_MAX 512

/* Fills user with name, groups and fields (conf: of struct jwt_field_conf), in the
 * arena. A claim is named as it is written, or by the names of the objects that
 * it is in: "realm_access.roles". False when there is no name, or when something
 * is no name, or no list of groups: who is taken for less than he is may pass
 * where he should not. Claims for fields that cannot be told in a field are left
 * out. */
bool jwt_claims_read(const json_t *claims, const char *user_claim, const char *groups_claim,
                     const struct config_list *conf, struct arena *arena, struct user *user)
    MUST_USE;

#endif
