/* SPDX-License-Identifier: BSD-2-Clause */
/* test_password_hash.c - which hashes are accepted, and that they match. */
#include "config.h"

#include "server/users/password_hash.h"

#include <CUnit/CUnit.h>
#include <string.h>

void suite_password_hash(void);

/* "correct horse", by Apache's htpasswd -B and -m, by crypt(3) for the others. */
static const char *const hashes[] = {
    "$2y$04$ka6QEDosXBiHC0Waa1BcLOJyfQj8aM0jGi/szrmLn0PQsqouBJHRO",
    "$2b$04$KBCwKxOzLha2MUDgW0PjXexGfB5dmDvvvgEVjeeXiTo87i0yXWYau",
    "$apr1$rypiLW7R$U.dvfMBT362NWQ/l5hnGw/",
    "$5$rounds=1000$k2XAnEHBqQ1Ct2aM$CZKtMpY3YFTaUtD6aj3idKUkEw2Cgx.7d6g93aU54SD",
    "$6$rounds=1000$k2XAnEHBqQ1Ct2aM$yfBXbHVNVf4J0eyDZhe27ipKodSqcTbLWkIV1mTNHVmYxiLcl4/"
    "RsaWmahApFz75S0UnbNJV9U1Xwm7FGZ9ab/",
    "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$"
    "PIXfxkMnVnTGkm11bblLyiZ5dMS9R8YnFBqe0UoF.q9",
};

static void
accepts_what_its_tools_make(void)
{
    struct err err;

    for (size_t i = 0; i < ARRAY_COUNT(hashes); i++)
        CU_ASSERT_EQUAL(password_hash_check(slice_of(hashes[i]), &err), 0);
}

static void
tells_right_from_wrong(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(hashes); i++) {
        CU_ASSERT_EQUAL(password_hash_match(hashes[i], "correct horse"), PASSWORD_RIGHT);
        CU_ASSERT_EQUAL(password_hash_match(hashes[i], "correct hors"), PASSWORD_WRONG);
        CU_ASSERT_EQUAL(password_hash_match(hashes[i], ""), PASSWORD_WRONG);
    }
}

/* By openssl passwd -apr1. */
static void
makes_apaches_md5_of_any_length(void)
{
    CU_ASSERT_EQUAL(password_hash_match("$apr1$xyz$Pix4eE3fQHxJjb6LqtyMK1", ""), PASSWORD_RIGHT);
    CU_ASSERT_EQUAL(password_hash_match("$apr1$12345678$pJ0GF0UuVwS4tCHxiENa10",
                                        "a password of more than sixteen bytes, to be sure"),
                    PASSWORD_RIGHT);
}

static bool
is_refused(const char *hash, const char *why)
{
    struct err err = { "" };

    return password_hash_check(slice_of(hash), &err) < 0 && strstr(err.text, why) != NULL;
}

static void
refuses_weak_kinds_by_name(void)
{
    CU_ASSERT(is_refused("{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", "SHA-1 without a salt"));
    CU_ASSERT(is_refused("correct horse", "not hashed"));
    CU_ASSERT(is_refused("5NA9Sn/B1zRwo", "bcrypt (htpasswd -B)"));
    CU_ASSERT(is_refused("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "accepted are"));
    CU_ASSERT(is_refused("", "accepted are"));
}

/* Every one of them, cut anywhere or with a byte that cannot be there. */
static void
refuses_what_is_not_whole(void)
{
    char copy[256];
    struct err err;

    for (size_t i = 0; i < ARRAY_COUNT(hashes); i++) {
        size_t bytes = strlen(hashes[i]);

        for (size_t cut = 0; cut < bytes; cut++)
            CU_ASSERT_EQUAL(password_hash_check(slice_make(hashes[i], cut), &err), -1);
        memcpy(copy, hashes[i], bytes);
        copy[bytes - 3] = '!';
        CU_ASSERT_EQUAL(password_hash_check(slice_make(copy, bytes), &err), -1);
        copy[bytes - 3] = '\0';
        CU_ASSERT_EQUAL(password_hash_check(slice_make(copy, bytes), &err), -1);
        memcpy(copy, hashes[i], bytes);
        copy[bytes] = '/';
        CU_ASSERT_EQUAL(password_hash_check(slice_make(copy, bytes + 1), &err), -1);
    }
}

static void
refuses_what_takes_minutes(void)
{
    CU_ASSERT(is_refused("$2y$17$ka6QEDosXBiHC0Waa1BcLOJyfQj8aM0jGi/szrmLn0PQsqouBJHRO",
                         "cost 17"));
    CU_ASSERT(is_refused("$5$rounds=99999999$k2XAnEHBqQ1Ct2aM$"
                         "CZKtMpY3YFTaUtD6aj3idKUkEw2Cgx.7d6g93aU54SD", "99999999 rounds"));
}

void
suite_password_hash(void)
{
    CU_pSuite s = CU_add_suite("password_hash", NULL, NULL);

    CU_add_test(s, "what htpasswd and crypt(3) make is accepted", accepts_what_its_tools_make);
    CU_add_test(s, "the right password matches, another does not", tells_right_from_wrong);
    CU_add_test(s, "Apache's MD5 is right for any length", makes_apaches_md5_of_any_length);
    CU_add_test(s, "weak kinds are refused by name", refuses_weak_kinds_by_name);
    CU_add_test(s, "what is not whole is refused", refuses_what_is_not_whole);
    CU_add_test(s, "what would take minutes is refused", refuses_what_takes_minutes);
}
