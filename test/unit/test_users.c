/* SPDX-License-Identifier: BSD-2-Clause */
/* test_users.c - who logs in with a password, and who does not; what origins are told. */
#include "config.h"

#include "test/unit/users_fixture.h"

#include "server/tls/reread.h"
#include "server/users/password_hash.h"

#include <pthread.h>
#include <stdatomic.h>

void suite_users(void);

/* "correct horse" and "battery staple"; the last one takes a while. */
#define ALICE "alice:$2y$04$ka6QEDosXBiHC0Waa1BcLOJyfQj8aM0jGi/szrmLn0PQsqouBJHRO\n"
#define BOB "bob:$apr1$rypiLW7R$U.dvfMBT362NWQ/l5hnGw/\n"
#define SLOW "slow:$5$rounds=200000$k2XAnEHBqQ1Ct2aM$CZKtMpY3YFTaUtD6aj3idKUkEw2Cgx.7d6g93aU54SD\n"

static struct users_conf *
htpasswd(const char *more)
{
    return users_made(arena_printf(&users_arena,
                                   "name = \"staff\"; kind = \"htpasswd\"; file = \"%s\"; "
                                   "groups = \"%s\"; %s",
                                   file_path("users"), file_path("groups"), more).data);
}

static void
write_both(const char *users, const char *groups)
{
    write_file("users", users);
    write_file("groups", groups);
}

/* ---- logging in */

static void
knows_its_users(void)
{
    struct users_conf *users;
    struct visit visit;

    write_both("# people\n\n" ALICE BOB, "admins: alice root\nall: alice bob alice\n");
    users = htpasswd("");
    visit_begin(&visit);
    ask_basic(&visit, "alice:correct horse");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    CU_ASSERT(is_text(visit.login.user.name, "alice"));
    CU_ASSERT_EQUAL(visit.login.user.group_count, 2);
    CU_ASSERT(is_in_group(&visit.login.user, "admins") && is_in_group(&visit.login.user, "all"));
    CU_ASSERT_STRING_EQUAL(visit.login.user.by, "basic");
    CU_ASSERT_EQUAL(users_worker.errands, 0);
    visit_end(&visit);
    CU_ASSERT_EQUAL(try_basic(users, "bob:correct horse"), LOGIN_OK);
    CU_ASSERT_EQUAL(try_basic(users, "alice:wrong"), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_basic(users, "alice:"), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_basic(users, "carol:correct horse"), LOGIN_WRONG);
    users_gone();
}

static void
asks_whoever_shows_nothing(void)
{
    struct users_conf *users;
    struct visit visit;

    write_both(ALICE, "");
    users = htpasswd("realm = \"a \\\"b\\\"\";");
    visit_begin(&visit);
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    users->ops->challenge(users, &visit.login, &visit.ex);
    CU_ASSERT(is_text(fields_get(&visit.ex.response.fields, FIELD_WWW_AUTHENTICATE),
                      "Basic realm=\"a \\\"b\\\"\", charset=\"UTF-8\""));
    ask(&visit, "Authorization", "Bearer abc");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    visit_end(&visit);
    users_gone();
}

/* RFC 9110 section 11.7: a proxy has fields of its own. */
static void
keeps_proxies_and_origins_apart(void)
{
    struct users_conf *users;
    struct visit visit;

    write_both(ALICE, "");
    users = htpasswd("");
    visit_begin(&visit);
    ask_basic(&visit, "alice:correct horse"); /* for the origin */
    visit.login.is_proxy = true;
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    users->ops->challenge(users, &visit.login, &visit.ex);
    CU_ASSERT(fields_find(&visit.ex.response.fields, FIELD_PROXY_AUTHENTICATE) != NULL);
    ask_basic(&visit, "alice:correct horse");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT(fields_find(&visit.ex.request.fields, FIELD_PROXY_AUTHORIZATION) == NULL);
    CU_ASSERT(fields_find(&visit.ex.request.fields, FIELD_AUTHORIZATION) != NULL);
    visit_end(&visit);
    users_gone();
}

/* ---- what it costs */

static void
hashes_once_while_it_counts(void)
{
    struct users_conf *users;
    uint64_t before;

    write_both(ALICE, "");
    users = htpasswd("");
    before = password_hash_count();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(try_basic(users, "alice:correct horse"), LOGIN_OK);
    CU_ASSERT_EQUAL(password_hash_count() - before, 1);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(try_basic(users, "alice:wrong"), LOGIN_WRONG);
    CU_ASSERT_EQUAL(password_hash_count() - before, 4);
    users_gone();
    users = htpasswd("cache = \"off\";");
    for (unsigned i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(try_basic(users, "alice:correct horse"), LOGIN_OK);
    CU_ASSERT_EQUAL(password_hash_count() - before, 6);
    users_gone();
}

/* So that nobody can tell who is in the file by the time it takes. */
static void
hashes_for_unknown_users(void)
{
    struct users_conf *users;
    uint64_t before;

    write_both(ALICE, "");
    users = htpasswd("");
    before = password_hash_count();
    CU_ASSERT_EQUAL(try_basic(users, "nobody:correct horse"), LOGIN_WRONG); /* alice's, even */
    CU_ASSERT_EQUAL(password_hash_count() - before, 1);
    users_gone();
}

static void
joins_equal_logins(void)
{
    struct users_conf *users;
    struct visit visits[5];
    uint64_t before;

    write_both(SLOW, "");
    users = htpasswd("");
    before = password_hash_count();
    for (size_t i = 0; i < ARRAY_COUNT(visits); i++) {
        visit_begin(&visits[i]);
        ask_basic(&visits[i], "slow:x");
        CU_ASSERT_EQUAL(users->ops->login(users, &visits[i].login, &visits[i].ex), LOGIN_WAIT);
    }
    CU_ASSERT_EQUAL(users_worker.errands, ARRAY_COUNT(visits));
    for (size_t i = 0; i < ARRAY_COUNT(visits); i++) {
        visit_wait(&visits[i]);
        CU_ASSERT_EQUAL(log_in(users, &visits[i]), LOGIN_WRONG);
        visit_end(&visits[i]);
    }
    CU_ASSERT_EQUAL(password_hash_count() - before, 1);
    CU_ASSERT_EQUAL(users_worker.errands, 0);
    users_gone();
}

static void
survives_exchanges_that_end_first(void)
{
    struct users_conf *users;
    struct visit visits[3];

    write_both(SLOW, "");
    users = htpasswd("");
    for (size_t i = 0; i < ARRAY_COUNT(visits); i++) {
        visit_begin(&visits[i]);
        ask_basic(&visits[i], i < 2 ? "slow:x" : "slow:y");
        CU_ASSERT_EQUAL(users->ops->login(users, &visits[i].login, &visits[i].ex), LOGIN_WAIT);
    }
    users->ops->cancel(users, &visits[0].login, &visits[0].ex);
    users->ops->cancel(users, &visits[2].login, &visits[2].ex);
    visit_end(&visits[0]);
    visit_end(&visits[2]);
    visit_wait(&visits[1]); /* answered, and not asked for any more */
    users->ops->cancel(users, &visits[1].login, &visits[1].ex);
    visit_end(&visits[1]);
    for (unsigned i = 0; users_worker.errands > 0 && i < 1000; i++)
        loop_turn(users_worker.loop, 100);
    CU_ASSERT_EQUAL(users_worker.errands, 0);
    users_gone();
}

/* Nobody would read the answer. */
static void
hashes_nothing_for_who_has_left(void)
{
    enum { COUNT = 8 };
    struct users_conf *users;
    struct visit visits[COUNT];
    uint64_t before;

    write_both(SLOW, "");
    users = htpasswd("");
    before = password_hash_count();
    for (unsigned i = 0; i < COUNT; i++) {
        char pair[32];

        visit_begin(&visits[i]);
        snprintf(pair, sizeof(pair), "slow:%u", i);
        ask_basic(&visits[i], pair);
        CU_ASSERT_EQUAL(users->ops->login(users, &visits[i].login, &visits[i].ex), LOGIN_WAIT);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        users->ops->cancel(users, &visits[i].login, &visits[i].ex);
        visit_end(&visits[i]);
    }
    for (unsigned i = 0; users_worker.errands > 0 && i < 1000; i++)
        loop_turn(users_worker.loop, 100);
    CU_ASSERT_EQUAL(users_worker.errands, 0);
    CU_ASSERT(password_hash_count() - before < COUNT);
    users_gone();
}

/* One client gets a share of the queue; what waited while it was locked is not tried. */
static void
bounds_what_a_client_may_ask(void)
{
    enum { SHARE = 12 };
    struct users_conf *users;
    struct visit visits[SHARE], more, other;
    uint64_t before;

    write_both(SLOW, "");
    users = htpasswd("max_failures = 2; max_logins = 12;");
    before = password_hash_count();
    for (unsigned i = 0; i < SHARE; i++) {
        char pair[32];

        visit_begin(&visits[i]);
        snprintf(pair, sizeof(pair), "slow:%u", i);
        ask_basic(&visits[i], pair);
        CU_ASSERT_EQUAL(users->ops->login(users, &visits[i].login, &visits[i].ex), LOGIN_WAIT);
    }
    visit_begin(&more);
    ask_basic(&more, "slow:more");
    CU_ASSERT_EQUAL(log_in(users, &more), LOGIN_BUSY);
    visit_end(&more);
    visit_begin(&other);
    other.ex.client_ip.bytes[3] = 8;
    ask_basic(&other, "slow:more");
    CU_ASSERT_EQUAL(log_in(users, &other), LOGIN_WRONG);
    visit_end(&other);
    for (unsigned i = 0; i < SHARE; i++) {
        enum login_state state;

        if (!visits[i].is_resumed)
            visit_wait(&visits[i]);
        visits[i].is_resumed = false;
        state = log_in(users, &visits[i]);
        CU_ASSERT(state == LOGIN_WRONG || state == LOGIN_LOCKED);
        CU_ASSERT(i < 8 || state == LOGIN_LOCKED);
        visit_end(&visits[i]);
    }
    CU_ASSERT(password_hash_count() - before < 8);
    users_gone();
}

static void
locks_who_fails_too_often(void)
{
    struct users_conf *users;
    struct visit visit;
    uint64_t before;

    write_both(ALICE BOB, "");
    users = htpasswd("max_failures = 3; lock_time = \"10m\";");
    CU_ASSERT_EQUAL(try_basic(users, "alice:correct horse"), LOGIN_OK);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(try_basic(users, "alice:wrong"), LOGIN_WRONG);
    before = password_hash_count();
    visit_begin(&visit);
    ask_basic(&visit, "alice:correct horse"); /* cached, and locked all the same */
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_LOCKED);
    CU_ASSERT(visit.login.retry_s > 590 && visit.login.retry_s <= 600);
    visit_end(&visit);
    CU_ASSERT_EQUAL(password_hash_count(), before);
    CU_ASSERT_EQUAL(try_basic(users, "bob:correct horse"), LOGIN_OK);
    visit_begin(&visit);
    visit.ex.client_ip.bytes[3] = 8; /* from elsewhere */
    ask_basic(&visit, "alice:correct horse");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    visit_end(&visit);
    users_gone();
}

/* ---- files that change */

static void
follows_its_files(void)
{
    struct users_conf *users;
    struct visit visit;

    write_both(ALICE, "");
    users = htpasswd("");
    CU_ASSERT_EQUAL(try_basic(users, "alice:correct horse"), LOGIN_OK);
    write_file("users", BOB);
    write_file("groups", "some: bob\n");
    reread_look();
    CU_ASSERT_EQUAL(try_basic(users, "alice:correct horse"), LOGIN_WRONG); /* though cached */
    visit_begin(&visit);
    ask_basic(&visit, "bob:correct horse");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    CU_ASSERT(is_in_group(&visit.login.user, "some"));
    visit_end(&visit);
    write_file("users", ALICE "bob:secret\n"); /* no good: the last good one stays */
    reread_look();
    CU_ASSERT_EQUAL(try_basic(users, "alice:correct horse"), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_basic(users, "bob:correct horse"), LOGIN_OK);
    users_gone();
}

static bool
is_bad_file(const char *users, const char *groups, const char *why)
{
    write_both(users, groups);
    return is_refused(arena_printf(&users_arena, "name = \"staff\"; kind = \"htpasswd\"; "
                                                 "file = \"%s\"; groups = \"%s\";",
                                   file_path("users"), file_path("groups")).data,
                      arena_printf(&users_arena, why, folder).data);
}

static void
says_which_line_is_bad(void)
{
    CU_ASSERT(is_bad_file("\n" ALICE "bob:{SHA}abc\n", "",
                          "%s/users:3: user \"bob\": SHA-1 without a salt"));
    CU_ASSERT(is_bad_file(ALICE ALICE, "", "%s/users:2: user \"alice\" is in line 1 already"));
    CU_ASSERT(is_bad_file("alice\n", "", "%s/users:1: there is no colon"));
    CU_ASSERT(is_bad_file(":x\n", "", "%s/users:1: the name of a user is empty"));
    CU_ASSERT(is_bad_file("a\xff:x\n", "", "%s/users:1: the name of a user"));
    CU_ASSERT(is_bad_file(ALICE, "# g\ngroup alice\n", "%s/groups:2: there is no colon"));
    CU_ASSERT(is_bad_file(ALICE, "two words: alice\n\n\t: x\n",
                          "%s/groups:3: the name of a group"));
}

/* ---- the configuration */

static void
refuses_mistakes(void)
{
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"htpaswd\"; file = \"/x\";",
                         "did you mean \"htpasswd\"?"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"htpasswd\";", "file"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"htpasswd\"; file = \"x\";",
                         "test.conf:1: users \"staff\": file: \"x\" is not an absolute path"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"htpasswd\"; file = \"/none/such\";",
                         "/none/such"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"certificate\"; user_field = \"a b\";",
                         "user_field: \"a b\" cannot be the name"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"certificate\"; user_field = \"Host\";",
                         "user_field: Host has a meaning of its own"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"certificate\"; realm = \"\";", "realm"));
}

static void
finds_them_by_name(void)
{
    struct err err;
    struct users_conf *users = users_read("name = \"staff\"; kind = \"certificate\";", &err);

    CU_ASSERT_PTR_EQUAL(users_named(&users_conf_whole, "staff", &err), users);
    CU_ASSERT_PTR_NULL(users_named(&users_conf_whole, "stuff", &err));
    CU_ASSERT_STRING_EQUAL(err.text, "there are no users \"stuff\"; did you mean \"staff\"?");
    CU_ASSERT_STRING_EQUAL(users->realm, "staff");
}

/* ---- upstream */

static void
tells_the_origin_who_it_is(void)
{
    struct users_conf *users;
    struct visit visit;

    write_both(ALICE, "");
    users = htpasswd("user_field = \"X-Remote-User\";");
    visit_begin(&visit);
    ask(&visit, "x-remote-user", "root");
    ask(&visit, "X_Remote_User", "root");
    ask_basic(&visit, "alice:correct horse");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 1);
    CU_ASSERT(is_text(visit.ex.request.fields.items[0].name, "X-Remote-User"));
    CU_ASSERT(is_text(visit.ex.request.fields.items[0].value, "alice"));
    visit_end(&visit);
    visit_begin(&visit); /* nobody */
    ask(&visit, "X-Remote-User", "root");
    ask(&visit, "Authorization", "Bearer abc"); /* for the origin */
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 1);
    CU_ASSERT(fields_find(&visit.ex.request.fields, FIELD_AUTHORIZATION) != NULL);
    visit_end(&visit);
    users_gone();
}

/* ---- threads */

static struct users_conf *shared_users;
static _Atomic unsigned good, bad;

static void
count_login(struct visit *visit)
{
    switch (shared_users->ops->login(shared_users, &visit->login, &visit->ex)) {
    case LOGIN_OK:
        atomic_fetch_add(&good, 1);
        break;
    case LOGIN_WAIT:
        return;
    default:
        atomic_fetch_add(&bad, 1);
    }
    visit->is_resumed = false;
}

/* A worker of its own, whose users come and go. */
static void *
work(void *arg)
{
    struct err err;
    struct worker worker = { .loop = loop_new(&err) };

    (void)arg;
    for (unsigned i = 0; i < 50; i++) {
        struct client client = { 0 };
        struct downstream down = { .client = &client };
        struct listener_conf listener = { .name = "web" };
        struct visit visit = { .ex = { .worker = &worker, .road = &visit_road, .down = &down,
                                       .listener = &listener } };

        arena_init(&visit.ex.arena, NULL, 1 << 16);
        ask_basic(&visit, i % 2 ? "alice:correct horse" : "bob:correct horse");
        count_login(&visit);
        for (unsigned j = 0; visit.login.state != NULL && j < 1000; j++) {
            loop_turn(worker.loop, 100);
            if (visit.is_resumed)
                count_login(&visit);
        }
        if (i == 20)
            login_cache_clear();
        arena_fini(&visit.ex.arena);
    }
    atomic_fetch_add(&bad, worker.errands);
    loop_free_all(worker.loop);
    return NULL;
}

static void
serves_threads(void)
{
    pthread_t threads[4];

    write_both(ALICE BOB, "all: alice bob\n");
    shared_users = htpasswd("");
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (unsigned i = 0; i < 10; i++) {
        write_file("groups", i % 2 ? "all: alice bob\n" : "all: alice\n");
        reread_look();
    }
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&good), 50 * ARRAY_COUNT(threads));
    CU_ASSERT_EQUAL(atomic_load(&bad), 0);
    users_gone();
}

void
suite_users(void)
{
    CU_pSuite s = CU_add_suite("users", users_set_up, users_tear_down);

    CU_add_test(s, "who is in the file logs in, with groups", knows_its_users);
    CU_add_test(s, "who shows nothing is asked", asks_whoever_shows_nothing);
    CU_add_test(s, "proxies and origins have fields of their own", keeps_proxies_and_origins_apart);
    CU_add_test(s, "a good password is hashed once", hashes_once_while_it_counts);
    CU_add_test(s, "unknown users cost as much", hashes_for_unknown_users);
    CU_add_test(s, "equal logins are one", joins_equal_logins);
    CU_add_test(s, "an exchange may end before the answer", survives_exchanges_that_end_first);
    CU_add_test(s, "nothing is hashed for who has left", hashes_nothing_for_who_has_left);
    CU_add_test(s, "a client has a bounded share of the queue", bounds_what_a_client_may_ask);
    CU_add_test(s, "who fails too often is locked", locks_who_fails_too_often);
    CU_add_test(s, "files that change are followed, bad ones not", follows_its_files);
    CU_add_test(s, "bad lines are named", says_which_line_is_bad);
    CU_add_test(s, "mistakes in the configuration are named", refuses_mistakes);
    CU_add_test(s, "users are found by name", finds_them_by_name);
    CU_add_test(s, "origins are told the user, not the password", tells_the_origin_who_it_is);
    CU_add_test(s, "many threads log in at once", serves_threads);
}
