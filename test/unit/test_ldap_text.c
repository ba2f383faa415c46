/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ldap_text.c - names in filters and distinguished names stay names (RFC 4514,
 * RFC 4515).
 */
#include "config.h"

#include "server/users/ldap_text.h"

#include <CUnit/CUnit.h>
#include <stdio.h>

void suite_ldap_text(void);

static struct arena arena;

static int
set_up(void)
{
    arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

static bool
fills(const char *template, enum ldap_quoting quoting, const char *user, const char *dn,
      const char *wanted)
{
    const struct ldap_values values = { slice_of(user), slice_of(dn) };
    struct slice text = ldap_template_fill(template, &values, quoting, &arena);

    if (slice_equal(text, slice_of(wanted)) && text.data[text.bytes] == '\0')
        return true;
    printf("# %s\n", text.data);
    return false;
}

static void
puts_names_in_their_place(void)
{
    CU_ASSERT(fills("(uid=%u)", LDAP_IN_FILTER, "ann", NULL, "(uid=ann)"));
    CU_ASSERT(fills("uid=%u,ou=people,dc=x", LDAP_IN_DN, "ann.b-c_d@e", NULL,
                    "uid=ann.b-c_d@e,ou=people,dc=x"));
    CU_ASSERT(fills("(&(a=%u)(b=%u)(c=100%%))", LDAP_IN_FILTER, "x", NULL,
                    "(&(a=x)(b=x)(c=100%))"));
    CU_ASSERT(fills("(member=%d)", LDAP_IN_FILTER, "ann", "uid=ann,dc=x y",
                    "(member=uid=ann,dc=x y)"));
}

/* RFC 4515 section 3: ( ) * \ and NUL; others may be. */
static void
disarms_filters(void)
{
    const struct ldap_values nul = { slice_make("a\0b", 3), { NULL, 0 } };

    CU_ASSERT(fills("(uid=%u)", LDAP_IN_FILTER, "*", NULL, "(uid=\\2a)"));
    CU_ASSERT(fills("(uid=%u)", LDAP_IN_FILTER, "a)(|(uid=*", NULL,
                    "(uid=a\\29\\28\\7c\\28uid=\\2a)"));
    CU_ASSERT(fills("(uid=%u)", LDAP_IN_FILTER, "a\\2a", NULL, "(uid=a\\5c2a)"));
    CU_ASSERT(fills("(uid=%u)", LDAP_IN_FILTER, "\xc3\xa9", NULL, "(uid=\\c3\\a9)"));
    CU_ASSERT(fills("(uid=%u)", LDAP_IN_FILTER, "%u", NULL, "(uid=\\25u)"));
    CU_ASSERT(fills("(member=%d)", LDAP_IN_FILTER, "", "cn=a\\2cb(c),dc=x",
                    "(member=cn=a\\5c2cb\\28c\\29,dc=x)"));
    CU_ASSERT(slice_equal(ldap_template_fill("(uid=%u)", &nul, LDAP_IN_FILTER, &arena),
                          SLICE("(uid=a\\00b)")));
}

/* RFC 4514 section 2.4: " + , ; < > = \ and spaces or # in front. */
static void
disarms_distinguished_names(void)
{
    CU_ASSERT(fills("uid=%u,dc=x", LDAP_IN_DN, "a,ou=admins", NULL, "uid=a\\2cou\\3dadmins,dc=x"));
    CU_ASSERT(fills("uid=%u,dc=x", LDAP_IN_DN, "a+cn=b", NULL, "uid=a\\2bcn\\3db,dc=x"));
    CU_ASSERT(fills("uid=%u,dc=x", LDAP_IN_DN, " #\"<>;\\", NULL,
                    "uid=\\20\\23\\22\\3c\\3e\\3b\\5c,dc=x"));
}

static void
checks_templates(void)
{
    struct err err;

    CU_ASSERT_EQUAL(ldap_template_check("(uid=%u)", "u", &err), 0);
    CU_ASSERT_EQUAL(ldap_template_check("%%%u", "u", &err), 0);
    CU_ASSERT_EQUAL(ldap_template_check("(|(m=%d)(u=%u))", "du", &err), 0);
    CU_ASSERT_EQUAL(ldap_template_check("(uid=ann)", "u", &err), -1);
    CU_ASSERT_EQUAL(ldap_template_check("(uid=%%u)", "u", &err), -1);
    CU_ASSERT_EQUAL(ldap_template_check("(uid=%u)(x=%d)", "u", &err), -1);
    CU_ASSERT_EQUAL(ldap_template_check("(uid=%u)%", "u", &err), -1);
    CU_ASSERT_EQUAL(ldap_template_check("(uid=%s)", "u", &err), -1);
}

static void
is_empty_when_the_arena_is_spent(void)
{
    const struct ldap_values values = { SLICE("ann"), { NULL, 0 } };
    struct arena small;

    arena_init(&small, NULL, 4);
    CU_ASSERT_EQUAL(ldap_template_fill("(uid=%u)", &values, LDAP_IN_FILTER, &small).bytes, 0);
    CU_ASSERT(arena_is_spent(&small));
    arena_fini(&small);
}

void
suite_ldap_text(void)
{
    CU_pSuite s = CU_add_suite("ldap_text", set_up, tear_down);

    CU_add_test(s, "names are put in their place", puts_names_in_their_place);
    CU_add_test(s, "names in filters mean nothing else", disarms_filters);
    CU_add_test(s, "names in distinguished names mean nothing else", disarms_distinguished_names);
    CU_add_test(s, "templates with mistakes are refused", checks_templates);
    CU_add_test(s, "a spent arena gives nothing, and remembers", is_empty_when_the_arena_is_spent);
}
