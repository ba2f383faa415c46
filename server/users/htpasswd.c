/* SPDX-License-Identifier: BSD-2-Clause */
/* htpasswd.c - users = ( { kind = "htpasswd"; file = "/etc/bascule/htpasswd"; } ): names
 * and hashed passwords as Apache's htpasswd writes them, groups as its AuthGroupFile has
 * them.
 *
 * Who is not in the file costs as much as who is: a password is hashed in any case.
 */
#include "config.h"

#include "server/users/members.h"

#include "server/schema.h"
#include "server/users/account_file.h"
#include "server/users/password_hash.h"
#include "server/users/password_login.h"

struct htpasswd_conf {
    struct users_conf users;
    const char *file, *groups;
    struct account_file *accounts;
};

static const struct option options[] = {
    { .name = "file", .type = OPTION_STRING, .offset = offsetof(struct htpasswd_conf, file),
      .is_required = true,
      .text = "File with a line USER:HASH for each user, as htpasswd -B makes it: bcrypt, "
              "yescrypt, SHA-crypt or Apache's MD5. Read again when it changes." },
    { .name = "groups", .type = OPTION_STRING, .offset = offsetof(struct htpasswd_conf, groups),
      .text = "File with a line \"GROUP: USER USER ...\" for each group. Read again when it "
              "changes." },
    { .name = NULL },
};

/* ---- the file */

/* What is behind a second colon is a comment. */
static int
parse(const struct account_source *source, struct account *account, struct slice rest,
      struct arena *arena, struct err *err)
{
    ptrdiff_t end = slice_find(rest, ':');
    struct slice hash = slice_trim(end < 0 ? rest : slice_make(rest.data, (size_t)end));

    (void)source;
    if (password_hash_check(hash, err) < 0)
        return -1;
    account->secrets[0] = arena_copy(arena, hash);
    return 1;
}

static int
finish(struct users_conf *users, struct conf *conf, struct arena *arena, struct err *err)
{
    struct htpasswd_conf *own = (struct htpasswd_conf *)users;

    (void)conf;
    (void)arena;
    return users_check_path("file", own->file, err) < 0 ||
                   users_check_path("groups", own->groups, err) < 0
               ? -1
               : 0;
}

static int
adopt(struct users_conf *users, struct err *err)
{
    struct htpasswd_conf *own = (struct htpasswd_conf *)users;
    const struct account_source source = {
        .kind = "htpasswd", .file = own->file, .groups = own->groups, .parse = parse,
    };

    own->accounts = account_file_adopt(&source, err);
    return own->accounts != NULL ? 0 : -1;
}

static void
release(struct users_conf *users)
{
    struct htpasswd_conf *own = (struct htpasswd_conf *)users;

    account_file_unref(own->accounts);
    own->accounts = NULL;
}

static const char *
file(const struct users_conf *users, unsigned i)
{
    const struct htpasswd_conf *own = (const struct htpasswd_conf *)users;

    return i == 0 ? own->file : i == 1 ? own->groups : NULL;
}

/* ---- the proof */

static enum proof
judge(const struct account *account, const struct account *decoy, const char *password)
{
    if (account == NULL && decoy == NULL)
        return PROOF_UNKNOWN;
    switch (password_hash_match((account != NULL ? account : decoy)->secrets[0].data, password)) {
    case PASSWORD_RIGHT:
        return account != NULL ? PROOF_GOOD : PROOF_UNKNOWN;
    case PASSWORD_WRONG:
        return account != NULL ? PROOF_WRONG : PROOF_UNKNOWN;
    case PASSWORD_NOT_HASHED:
        break;
    }
    return PROOF_FAILED;
}

static enum proof
prove(const struct users_conf *users, const char *name, const char *password, struct user *user,
      struct arena *arena)
{
    const struct htpasswd_conf *own = (const struct htpasswd_conf *)users;
    const struct account_table *table = account_file_take(own->accounts);
    const struct account *account = account_table_find(table, slice_of(name));
    enum proof proof = judge(account, account_table_decoy(table, slice_of(name)), password);

    if (proof == PROOF_GOOD) {
        const struct user found = { .name = user->name, .by = user->by, .groups = account->groups,
                                    .group_count = account->group_count };

        if (!user_copy(user, &found, arena))
            proof = PROOF_FAILED;
    }
    account_table_give(table);
    return proof;
}

static uint64_t
version(const struct users_conf *users)
{
    return account_file_version(((const struct htpasswd_conf *)users)->accounts);
}

static enum login_state
login_of(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    static const struct password_check check = {
        .pool = &password_hash_pool, .prove = prove, .version = version,
    };

    return password_login(&check, users, login, ex);
}

const struct users_ops htpasswd_users = {
    .name = "htpasswd",
    .text = "Name and password (Basic), against a file of hashed passwords.",
    .options = options,
    .conf_bytes = sizeof(struct htpasswd_conf),
    .finish = finish,
    .adopt = adopt,
    .release = release,
    .file = file,
    .login = login_of,
    .challenge = password_challenge,
    .cancel = password_cancel,
    .strip = password_strip,
};
