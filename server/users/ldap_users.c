/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_users.c - users = ( { kind = "ldap"; url = "ldaps://ldap.example";
 * base = "ou=people,dc=example"; } ): names and passwords that a directory knows.
 */
#include "config.h"

#include "server/users/members.h"

#include "server/users/ldap_directory.h"
#include "server/users/ldap_text.h"

struct ldap_users_conf {
    struct users_conf users;
    struct ldap_conf ldap;
    struct password_check check;
    struct ldap_directory *directory; /* in the registry */
};

#define OWN(member) offsetof(struct ldap_users_conf, ldap.member)

static const struct option options[] = {
    { .name = "url", .type = OPTION_STRING, .offset = OWN(url), .is_required = true,
      .text = "The directory: \"ldaps://ldap.example\", \"ldap://ldap.example:389\", "
              "\"ldapi://%2Frun%2Fslapd%2Fldapi\"; several with spaces between them are tried in "
              "turn." },
    { .name = "starttls", .type = OPTION_BOOL, .offset = OWN(starttls), .fallback = "true",
      .text = "Whether TLS is begun on connections of ldap://. Without it passwords can be read on "
              "the way." },
    { .name = "ca", .type = OPTION_STRING, .offset = OWN(ca),
      .text = "File of who vouches for the directory (PEM), which Bascule's user can read; when "
              "not given, the system's." },
    { .name = "bind_dn", .type = OPTION_STRING, .offset = OWN(bind_dn),
      .text = "Who searches. When not given, users are searched by nobody (anonymously), and "
              "groups by the user himself." },
    { .name = "bind_password_file", .type = OPTION_STRING, .offset = OWN(bind_password),
      .text = "File with the password of bind_dn, on one line. Read again when it changes." },
    { .name = "base", .type = OPTION_STRING, .offset = OWN(base),
      .text = "Where users are searched, with everything below it: \"ou=people,dc=example\"." },
    { .name = "filter", .type = OPTION_STRING, .offset = OWN(filter), .fallback = "(uid=%u)",
      .text = "What finds the user (RFC 4515); %u is the name. It must find one entry." },
    { .name = "dn", .type = OPTION_STRING, .offset = OWN(dn),
      .text = "Instead of a search, the distinguished name: \"uid=%u,ou=people,dc=example\"." },
    { .name = "name_attribute", .type = OPTION_STRING, .offset = OWN(name_attribute),
      .fallback = "uid",
      .text = "Attribute of the entry that is the user's name for policies and logs, so that "
              "\"ann\" and \"ANN\", which are one for a directory, are one for rules too." },
    { .name = "group_base", .type = OPTION_STRING, .offset = OWN(group_base),
      .text = "Where the user's groups are searched; when not given, they are not." },
    { .name = "group_filter", .type = OPTION_STRING, .offset = OWN(group_filter),
      .fallback = "(member=%d)",
      .text = "What finds them; %d is the user's distinguished name, %u the name." },
    { .name = "group_attribute", .type = OPTION_STRING, .offset = OWN(group_attribute),
      .fallback = "cn", .text = "Attribute of an entry that is the group's name." },
    { .name = "group_depth", .type = OPTION_INT, .offset = OWN(group_depth), .fallback = "1",
      .min = 1, .max = LDAP_DEPTH_MAX,
      .text = "1: the groups that the user is in; 2: those, too, that these groups are in; and so "
              "on." },
    { .name = "timeout", .type = OPTION_TIME, .offset = OWN(timeout_ms), .fallback = "5s",
      .min = 100, .max = 60000,
      .text = "How long the directory may take for a user, all told; then 503." },
    { .name = "connections", .type = OPTION_INT, .offset = OWN(connections), .fallback = "4",
      .min = 1, .max = JOB_THREADS_MAX, .text = "Connections to the directory at a time." },
    { .name = NULL },
};

static struct ldap_users_conf *
own_of(const struct users_conf *users)
{
    return (struct ldap_users_conf *)users;
}

/* ---- the configuration */

/* The one that url begins with; NULL: none of them. */
static const char *
scheme_of(const char *url)
{
    static const char *const schemes[] = { "ldap://", "ldaps://", "ldapi://" };

    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return schemes[i];
    return NULL;
}

/* Whether TLS is begun is decided by the first: so all must be of its kind. */
static int
check_url(const char *url, struct err *err)
{
    const char *scheme = scheme_of(url);

    if (scheme == NULL)
        return err_set(err, "url: \"%s\" does not begin with ldap://, ldaps:// or ldapi://", url);
    for (const char *at = strchr(url, ' '); at != NULL; at = strchr(at + 1, ' '))
        if (strncmp(at + 1, scheme, strlen(scheme)) != 0)
            return err_set(err, "url: \"%s\": all have to begin with %s, one space apart", url,
                           scheme);
    return 0;
}

static int
check_template(const char *option, const char *text, const char *letters, struct err *err)
{
    return ldap_template_check(text, letters, err) < 0 ? err_prefix(err, "%s: ", option) : 0;
}

static int
check_search(const struct ldap_conf *ldap, struct err *err)
{
    if ((ldap->base == NULL) == (ldap->dn == NULL))
        return err_set(err, "needs either base, where users are searched, or dn");
    if (ldap->dn != NULL)
        return check_template("dn", ldap->dn, "u", err);
    return check_template("filter", ldap->filter, "u", err);
}

/* "%d" or "%u": one of them has to be there. */
static int
check_groups(const struct ldap_conf *ldap, struct err *err)
{
    if (ldap->group_base == NULL)
        return 0;
    if (ldap_template_check(ldap->group_filter, "du", NULL) == 0)
        return 0;
    return check_template("group_filter", ldap->group_filter, "ud", err);
}

static int
check_bind(const struct ldap_conf *ldap, struct err *err)
{
    if ((ldap->bind_dn == NULL) != (ldap->bind_password == NULL))
        return err_set(err, "bind_dn and bind_password_file need each other");
    if (ldap->bind_dn != NULL && ldap->bind_dn[0] == '\0')
        return err_set(err, "bind_dn: is empty: leave it out to search anonymously");
    if (users_check_path("ca", ldap->ca, err) < 0)
        return -1;
    return users_check_path("bind_password_file", ldap->bind_password, err);
}

static int
finish(struct users_conf *users, struct conf *conf, struct arena *arena, struct err *err)
{
    const struct ldap_conf *ldap = &own_of(users)->ldap;

    (void)conf;
    (void)arena;
    if (check_url(ldap->url, err) < 0 || check_search(ldap, err) < 0 ||
        check_groups(ldap, err) < 0 || check_bind(ldap, err) < 0)
        return -1;
    return ldap_check_built(err);
}

/* ---- proofs */

static enum proof
prove(const struct users_conf *users, const char *name, const char *password, struct user *user,
      struct arena *arena)
{
    user->by = "ldap";
    return ldap_directory_prove(own_of(users)->directory, name, password, user, arena);
}

static uint64_t
version(const struct users_conf *users)
{
    return ldap_directory_version(own_of(users)->directory);
}

static int
adopt(struct users_conf *users, struct err *err)
{
    struct ldap_users_conf *own = own_of(users);

    own->directory = ldap_directory_adopt(&own->ldap, err);
    if (own->directory == NULL)
        return -1;
    own->check = (struct password_check){
        .pool = ldap_directory_pool(own->directory), .prove = prove, .version = version,
    };
    return 0;
}

static void
release(struct users_conf *users)
{
    ldap_directory_unref(own_of(users)->directory);
    own_of(users)->directory = NULL;
}

static const char *
file(const struct users_conf *users, unsigned i)
{
    return i == 0 ? own_of(users)->ldap.bind_password : NULL;
}

static enum login_state
login_of(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    return password_login(&own_of(users)->check, users, login, ex);
}

const struct users_ops ldap_users = {
    .name = "ldap",
    .text = "Name and password (Basic), against a directory (LDAP).",
    .options = options,
    .conf_bytes = sizeof(struct ldap_users_conf),
    .finish = finish,
    .adopt = adopt,
    .release = release,
    .file = file,
    .login = login_of,
    .challenge = password_challenge,
    .cancel = password_cancel,
    .strip = password_strip,
};
