/* SPDX-License-Identifier: BSD-2-Clause */
/* test_login_cache.c - logins that are remembered, and for how long; who is locked. */
#include "config.h"

#include "test/unit/users_fixture.h"

#include "server/log/log_privacy.h"

void suite_login_cache(void);

static struct login_key
key_of(uint64_t version, const char *name, const char *password)
{
    const struct slice parts[] = { slice_of(name), slice_of(password) };
    struct login_key key;

    CU_ASSERT_FATAL(login_key_make(&key, version, parts, 2));
    return key;
}

static const struct slice groups[] = { SLICE_INIT("a"), SLICE_INIT("bc") };
static const struct user_field told[] = { { SLICE_INIT("X-Mail"), SLICE_INIT("a@b") } };
static const struct user alice = {
    .name = SLICE_INIT("alice"), .groups = groups, .group_count = 2, .by = "basic",
    .fields = told, .field_count = 1,
};

static void
keeps_all_of_a_user(void)
{
    struct login_key key = key_of(1, "alice", "x");
    struct user user;

    login_cache_put(&key, &alice, 1000, 500);
    CU_ASSERT_FATAL(login_cache_find(&key, 1499, &user, &users_arena));
    CU_ASSERT(is_text(user.name, "alice") && user.name.data != alice.name.data);
    CU_ASSERT(user.group_count == 2 && is_text(user.groups[1], "bc"));
    CU_ASSERT(user.field_count == 1 && is_text(user.fields[0].name, "X-Mail") &&
              is_text(user.fields[0].value, "a@b"));
    CU_ASSERT_EQUAL(user.by, alice.by);
    CU_ASSERT_FALSE(login_cache_find(&key, 1500, &user, &users_arena));
    CU_ASSERT_EQUAL(login_cache_count(), 0);
}

static void
tells_what_was_shown_apart(void)
{
    struct login_key key = key_of(1, "alice", "x"), others[4];
    struct user user;

    login_cache_put(&key, &alice, 0, 500);
    others[0] = key_of(1, "alice", "y");
    others[1] = key_of(2, "alice", "x"); /* against a newer file */
    others[2] = key_of(1, "alic", "ex");
    others[3] = key_of(1, "", "alicex");
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_FALSE(login_cache_find(&others[i], 1, &user, &users_arena));
    key = key_of(1, "alice", "x");
    CU_ASSERT(login_cache_find(&key, 1, &user, &users_arena));
    login_cache_clear();
    CU_ASSERT_FALSE(login_cache_find(&key, 1, &user, &users_arena));
}

static void
keeps_nothing_for_no_time(void)
{
    struct login_key key = key_of(1, "alice", "x");

    login_cache_put(&key, &alice, 0, 0);
    CU_ASSERT_EQUAL(login_cache_count(), 0);
}

/* The one that is used stays. */
static void
is_bounded(void)
{
    struct login_key used = key_of(1, "used", "");
    struct user user;
    char name[32];

    login_cache_put(&used, &alice, 0, 1000);
    for (unsigned i = 0; i < 100000; i++) {
        struct login_key key;

        snprintf(name, sizeof(name), "user%u", i);
        key = key_of(1, name, "");
        login_cache_put(&key, &alice, 0, 1000);
        if (i % 100 == 0) {
            struct arena arena;

            arena_init(&arena, NULL, 1 << 16);
            CU_ASSERT(login_cache_find(&used, 1, &user, &arena));
            arena_fini(&arena);
        }
    }
    CU_ASSERT(login_cache_count() <= 65536);
    CU_ASSERT(login_cache_count() > 10000);
    login_cache_clear();
}

/* ---- lockout */

static const struct users_conf staff = { .name = "staff", .max_failures = 3, .lock_ms = 1000 };
static const struct ip client4 = { .family = 4, .bytes = { 192, 0, 2, 7 } };

static bool
fail(struct lockout_key *key, uint64_t now_ms)
{
    return lockout_fail(&staff, key, SLICE("alice"), &client4, NULL, now_ms);
}

static void
locks_and_ends(void)
{
    struct lockout_key key = lockout_key(&staff, SLICE("alice"), &client4);

    CU_ASSERT_FALSE(fail(&key, 100));
    CU_ASSERT_FALSE(fail(&key, 200));
    CU_ASSERT_EQUAL(lockout_left_s(&key, 300), 0);
    CU_ASSERT(fail(&key, 300));
    CU_ASSERT_FALSE(fail(&key, 310)); /* one line for each lock */
    CU_ASSERT_EQUAL(lockout_left_s(&key, 301), 1);
    CU_ASSERT_EQUAL(lockout_left_s(&key, 1299), 1);
    CU_ASSERT_EQUAL(lockout_left_s(&key, 1300), 0);
    CU_ASSERT_FALSE(fail(&key, 1301)); /* counted anew */
    lockout_clear();
}

static void
forgets_failures(void)
{
    struct lockout_key key = lockout_key(&staff, SLICE("alice"), &client4);

    CU_ASSERT_FALSE(fail(&key, 100) || fail(&key, 100));
    lockout_forget(&key);
    CU_ASSERT_FALSE(fail(&key, 100) || fail(&key, 100));
    CU_ASSERT_FALSE(fail(&key, 1100)); /* those were too long ago */
    CU_ASSERT_FALSE(fail(&key, 1101));
    CU_ASSERT(fail(&key, 1102));
    lockout_forget(&key); /* of an exchange that was faster: the lock stays */
    CU_ASSERT(lockout_left_s(&key, 1103) > 0);
    lockout_clear();
    CU_ASSERT_EQUAL(lockout_left_s(&key, 1103), 0);
}

static bool
is_same(const char *name, struct ip a, struct ip b)
{
    struct lockout_key first = lockout_key(&staff, slice_of(name), &a);
    struct lockout_key second = lockout_key(&staff, slice_of(name), &b);

    return first.hash == second.hash && first.client == second.client;
}

/* RFC 4291 section 2.5.4: a network of 64 bits is one link. */
static void
counts_clients_by_network(void)
{
    struct ip a = { .family = 6, .bytes = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9 } }, b = a;
    struct users_conf other = staff;
    struct lockout_key key;

    b.bytes[15] = 1;
    CU_ASSERT(is_same("alice", a, b));
    b.bytes[7] = 2;
    CU_ASSERT_FALSE(is_same("alice", a, b));
    b = client4;
    b.port = 80;
    CU_ASSERT(is_same("alice", client4, b));
    b.bytes[3]++;
    CU_ASSERT_FALSE(is_same("alice", client4, b));
    other.name = "guests";
    key = lockout_key(&other, SLICE("alice"), &client4);
    CU_ASSERT_NOT_EQUAL(key.hash, lockout_key(&staff, SLICE("alice"), &client4).hash);
}

static void
bounds_its_table(void)
{
    struct lockout_key locked = lockout_key(&staff, SLICE("alice"), &client4);
    char name[32];

    CU_ASSERT(fail(&locked, 1) + fail(&locked, 1) + fail(&locked, 1) == 1);
    for (unsigned i = 0; i < 300000; i++) { /* several times its places */
        struct lockout_key key;

        snprintf(name, sizeof(name), "user%u", i);
        key = lockout_key(&staff, slice_of(name), &client4);
        (void)fail(&key, 2);
    }
    CU_ASSERT_EQUAL(lockout_left_s(&locked, 3), 1); /* the locked ones go last */
    lockout_clear();
}

static void
can_be_switched_off(void)
{
    struct users_conf never = staff;
    struct lockout_key key = lockout_key(&never, SLICE("alice"), &client4);

    never.max_failures = 0;
    for (unsigned i = 0; i < 100; i++)
        CU_ASSERT_FALSE(lockout_fail(&never, &key, SLICE("alice"), &client4, NULL, 1));
    CU_ASSERT_EQUAL(lockout_left_s(&key, 1), 0);
}

void
suite_login_cache(void)
{
    CU_pSuite s = CU_add_suite("login_cache", users_set_up, users_tear_down);

    CU_add_test(s, "all of a user is kept, for its time", keeps_all_of_a_user);
    CU_add_test(s, "what was shown is told apart", tells_what_was_shown_apart);
    CU_add_test(s, "no time, no cache", keeps_nothing_for_no_time);
    CU_add_test(s, "it is bounded, and keeps what is used", is_bounded);
    CU_add_test(s, "one failure too many locks, for a while", locks_and_ends);
    CU_add_test(s, "success and time make failures forgotten", forgets_failures);
    CU_add_test(s, "clients count by network", counts_clients_by_network);
    CU_add_test(s, "the table of failures is bounded", bounds_its_table);
    CU_add_test(s, "lockout can be switched off", can_be_switched_off);
}
