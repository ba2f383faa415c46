/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_account_table.c - any bytes as a file of users, up to the first NUL, and one of
 * groups behind it.
 *
 * Everybody in a file that is read is found, has a secret that was accepted, and groups
 * with names; what is refused is refused with a line.
 */
#include "config.h"

#include "server/users/account_table.h"

#include "server/base/must.h"
#include "server/users/password_hash.h"
#include "server/users/user.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int
parse(const struct account_source *source, struct account *account, struct slice rest,
      struct arena *arena, struct err *err)
{
    (void)source;
    if (slice_equal(rest, SLICE("skip")))
        return 0;
    if (password_hash_check(rest, err) < 0 && !slice_starts_with(rest, SLICE("!")))
        return -1;
    account->secrets[rest.bytes % 2] = arena_copy(arena, rest);
    return 1;
}

static void
check_account(const struct account *account)
{
    must(user_name_is_good(account->name));
    must(account->secrets[0].bytes + account->secrets[1].bytes > 0);
    for (unsigned i = 0; i < account->group_count; i++)
        must(user_name_is_good(account->groups[i]));
}

static void
check_table(const struct account_table *table, struct slice users)
{
    const struct account *account = account_table_decoy(table, users);

    if (account != NULL)
        check_account(account);
    while (users.bytes > 0) {
        ptrdiff_t colon = slice_find(users, ':'), end = slice_find(users, '\n');

        if (colon >= 0) {
            account = account_table_find(table, slice_make(users.data, (size_t)colon));
            if (account != NULL)
                check_account(account);
        }
        users = slice_skip(users, end < 0 ? users.bytes : (size_t)end + 1);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct account_source source = { .file = "users", .groups = "groups",
                                                  .parse = parse };
    struct slice all = slice_make((const char *)data, bytes), users = all, groups;
    ptrdiff_t nul = slice_find(all, '\0');
    struct account_table *table;
    struct err err = { "" };

    if (nul >= 0)
        users.bytes = (size_t)nul;
    groups = slice_skip(all, users.bytes + 1);
    table = account_table_new(&source, users, groups, &err);
    if (table == NULL) {
        unsigned line;

        must(sscanf(err.text, "users:%u: ", &line) == 1 ||
             sscanf(err.text, "groups:%u: ", &line) == 1);
        must(line > 0);
        return 0;
    }
    check_table(table, users);
    account_table_give(table);
    return 0;
}
