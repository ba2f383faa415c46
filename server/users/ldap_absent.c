/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_absent.c - directories, where there is no libldap: none. */
#include "config.h"

#include "server/users/ldap_directory.h"

int
ldap_check_built(struct err *err)
{
    return err_set(err, "this Bascule was built without LDAP: configure did not find libldap, or "
                        "was told --without-ldap");
}

struct ldap_directory *
ldap_directory_adopt(const struct ldap_conf *conf, struct err *err)
{
    (void)conf;
    (void)ldap_check_built(err);
    return NULL;
}

void
ldap_directory_unref(struct ldap_directory *directory)
{
    must(directory == NULL);
}

struct job_pool *
ldap_directory_pool(struct ldap_directory *directory)
{
    (void)directory;
    return NULL;
}

uint64_t
ldap_directory_version(const struct ldap_directory *directory)
{
    (void)directory;
    return 0;
}

enum proof
ldap_directory_prove(struct ldap_directory *directory, const char *name, const char *password,
                     struct user *user, struct arena *arena)
{
    (void)directory;
    (void)name;
    (void)password;
    (void)user;
    (void)arena;
    return PROOF_FAILED;
}

void
ldap_directories_stop(void)
{
}
