/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_directory.h - a directory that is asked whether a password is right, by trying to
 * bind with it (RFC 4513 section 5.1.3), and which groups somebody is in.
 *
 * Questions wait for the directory, so they are asked on threads of their own. Without
 * libldap there are no directories: ldap_absent.c says so.
 */
#ifndef BASCULE_LDAP_DIRECTORY_H
#define BASCULE_LDAP_DIRECTORY_H

#include "server/users/password_login.h"

#define LDAP_DEPTH_MAX 5
#define LDAP_GROUPS_MAX 256

/* Strings that may be NULL are marked so. */
struct ldap_conf {
    const char *url;
    bool starttls;             /* of ldap:// */
    const char *ca;            /* PEM file; NULL: the system's */
    const char *bind_dn;       /* who searches; NULL: nobody, or the user himself */
    const char *bind_password; /* its file; NULL with bind_dn */
    const char *base;          /* where users are searched; NULL: they are not */
    const char *filter;
    const char *dn;            /* template, instead of a search; NULL: search */
    const char *name_attribute;
    const char *group_base;    /* NULL: no groups */
    const char *group_filter, *group_attribute;
    int64_t group_depth;       /* 1: groups he is in, 2: groups that these are in ... */
    uint32_t timeout_ms;       /* for one proof, all told */
    int64_t connections;       /* at a time */
};

struct ldap_directory;

/* Whether there can be any: 0, or -1 with err. */
int ldap_check_built(struct err *err);

/* Finds or makes it in the registry; asks nothing, but reads the password's file. Copies
 * conf. NULL with err. Give back with ldap_directory_unref(). */
struct ldap_directory *ldap_directory_adopt(const struct ldap_conf *conf, struct err *err);
void ldap_directory_unref(struct ldap_directory *directory); /* NULL is fine */

/* The threads that ask it. */
struct job_pool *ldap_directory_pool(struct ldap_directory *directory);

/* Of what proofs are made against (users_version_new()). */
uint64_t ldap_directory_version(const struct ldap_directory *directory);

/* As in password_login.h; on a thread of the pool. An empty password is wrong, and
 * nobody is asked: a bind with one succeeds without proving anything (RFC 4513 section
 * 5.1.2). A user's name becomes what the directory calls him. */
enum proof ldap_directory_prove(struct ldap_directory *directory, const char *name,
                                const char *password, struct user *user, struct arena *arena);

/* Ends all threads, for the end of the process. */
void ldap_directories_stop(void);

#endif
