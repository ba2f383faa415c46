/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_user.c - users = ( { kind = "certificate"; } ): who the client's TLS
 * certificate says, which the listener or site has verified (client_certificates).
 */
#include "config.h"

#include "server/users/members.h"

#include "server/tls/tls_session.h"

enum name_of { NAME_CN, NAME_EMAIL, NAME_DNS };

struct certificate_conf_of_users {
    struct users_conf users;
    int name; /* enum name_of */
};

static const char *const name_words[] = {
    [NAME_CN] = "cn", [NAME_EMAIL] = "email", [NAME_DNS] = "dns", [NAME_DNS + 1] = NULL,
};

static const struct option options[] = {
    { .name = "user_name", .type = OPTION_ENUM,
      .offset = offsetof(struct certificate_conf_of_users, name), .fallback = "cn",
      .words = name_words,
      .text = "What of the certificate is the user's name: cn (the common name of its subject), "
              "email or dns (the first alternative name of that kind). Groups are the "
              "organizational units (OU) of its subject." },
    { .name = NULL },
};

static struct slice
name_of(const struct certificate_conf_of_users *own, const struct client_names *names)
{
    switch ((enum name_of)own->name) {
    case NAME_CN:
        return names->common_name;
    case NAME_EMAIL:
        return names->email;
    case NAME_DNS:
        break;
    }
    return names->dns;
}

static enum login_state
login_of(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    const struct certificate_conf_of_users *own = (const struct certificate_conf_of_users *)users;
    struct tls_session *session = ex->down != NULL ? ex->down->client->tls : NULL;
    struct client_names names;

    if (session == NULL || !tls_session_client_names(session, &ex->arena, &names)) {
        login->detail = "no client certificate";
        return LOGIN_NONE;
    }
    login->user = (struct user){ .name = name_of(own, &names), .groups = names.units,
                                 .group_count = names.unit_count, .by = "certificate" };
    if (user_name_is_good(login->user.name))
        return LOGIN_OK;
    login->user = (struct user){ 0 };
    login->detail = "the client certificate has no such name";
    return LOGIN_WRONG;
}

const struct users_ops certificate_users = {
    .name = "certificate",
    .text = "The client's TLS certificate, which the listener or site verifies.",
    .options = options,
    .conf_bytes = sizeof(struct certificate_conf_of_users),
    .login = login_of,
};
