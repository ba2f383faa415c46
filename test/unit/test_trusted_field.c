/* SPDX-License-Identifier: BSD-2-Clause */
/* test_trusted_field.c - users whom a proxy in front names, and by whom that is believed. */
#include "config.h"

#include "test/unit/users_fixture.h"

void suite_trusted_field(void);

#define FIELDS "name = \"front\"; kind = \"trusted_field\"; user_header = \"X-User\"; " \
               "groups_header = \"X-Groups\"; "

static void
believes_addresses_it_was_told(void)
{
    struct users_conf *users = users_made(FIELDS "from = \"192.0.2.0/24\";");
    struct visit visit;

    visit_begin(&visit);
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    ask(&visit, "x-user", "alice");
    ask(&visit, "X-Groups", "staff, admins");
    ask(&visit, "X_User", "root"); /* that the front did not look at */
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    CU_ASSERT(is_text(visit.login.user.name, "alice"));
    CU_ASSERT_EQUAL(visit.login.user.group_count, 2);
    CU_ASSERT(is_in_group(&visit.login.user, "admins"));
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 2);
    CU_ASSERT(is_text(fields_find_name(&visit.ex.request.fields, SLICE("X-User"))->value,
                      "alice"));
    visit_end(&visit);
    users_gone();
}

/* Whoever it is, the fields do not go upstream. */
static void
disbelieves_anybody_else(void)
{
    struct users_conf *users = users_made(FIELDS "from = \"192.0.2.0/24\";");
    struct visit visit;

    visit_begin(&visit);
    users_client.peer.bytes[0] = 198;
    visit.ex.client_ip.bytes[0] = 192; /* as somebody says that it is */
    ask(&visit, "X-User", "alice");
    ask(&visit, "x_user", "alice");
    ask(&visit, "X-Groups", "staff");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    CU_ASSERT_EQUAL(visit.login.user.name.bytes, 0);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 0);
    visit_end(&visit);
    users_gone();
    users = users_made(FIELDS); /* needs a certificate, which a plain connection has not */
    visit_begin(&visit);
    ask(&visit, "X-User", "alice");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    users_client.peer.family = 0; /* nor a unix socket */
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    visit_end(&visit);
    users_gone();
}

static void
refuses_what_is_malformed(void)
{
    static const char *const names[] = { "", "a\xff", "a\tb" };
    struct users_conf *users = users_made(FIELDS "from = \"192.0.2.0/24\";");
    struct visit visit;

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        visit_begin(&visit);
        ask(&visit, "X-User", names[i]);
        CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_WRONG);
        visit_end(&visit);
    }
    visit_begin(&visit);
    ask(&visit, "X-User", "alice");
    ask(&visit, "X-User", "root"); /* which one? */
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_WRONG);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 0);
    visit_end(&visit);
    visit_begin(&visit);
    ask(&visit, "X-User", "alice");
    ask(&visit, "X-Groups", "interns");
    ask(&visit, "x-groups", "admins"); /* whose? */
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_WRONG);
    CU_ASSERT_EQUAL(visit.login.user.name.bytes, 0);
    visit_end(&visit);
    users_gone();
}

static void
bounds_the_groups(void)
{
    struct users_conf *users = users_made(FIELDS "from = \"192.0.2.0/24\";");
    struct visit visit;
    char text[2 * 257 + 1];

    for (size_t i = 0; i < 257; i++)
        memcpy(text + 2 * i, "g,", 3);
    for (unsigned cut = 0; cut < 2; cut++) {
        visit_begin(&visit);
        ask(&visit, "X-User", "alice");
        ask(&visit, "X-Groups", text + 2 * cut);
        CU_ASSERT_EQUAL(log_in(users, &visit), cut ? LOGIN_OK : LOGIN_WRONG);
        visit_end(&visit);
    }
    users_gone();
}

static void
refuses_mistakes(void)
{
    CU_ASSERT(is_refused("name = \"front\"; kind = \"trusted_field\";", "user_header"));
    CU_ASSERT(is_refused("name = \"front\"; kind = \"trusted_field\"; user_header = \"X User\";",
                         "user_header: \"X User\" cannot be the name of a header field"));
    CU_ASSERT(is_refused("name = \"front\"; kind = \"trusted_field\"; user_header = \"TE\";",
                         "user_header: TE has a meaning of its own"));
    CU_ASSERT(is_refused(FIELDS "fronts = [ \"gate\", \"\" ];", "fronts: \"\" is nobody's"));
    CU_ASSERT(is_refused(FIELDS "from = \"192.0.2.1/24\";", "192.0.2.0/24"));
}

void
suite_trusted_field(void)
{
    CU_pSuite s = CU_add_suite("trusted_field", users_set_up, users_tear_down);

    CU_add_test(s, "trusted addresses are believed", believes_addresses_it_was_told);
    CU_add_test(s, "nobody else is, and the fields go", disbelieves_anybody_else);
    CU_add_test(s, "malformed and repeated fields are refused", refuses_what_is_malformed);
    CU_add_test(s, "the number of groups is bounded", bounds_the_groups);
    CU_add_test(s, "mistakes in the configuration are named", refuses_mistakes);
}
