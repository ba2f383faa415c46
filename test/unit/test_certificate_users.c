/* SPDX-License-Identifier: BSD-2-Clause */
/* test_certificate_users.c - users by the TLS certificate of their connection, and proxies
 * in front that have one. */
#include "config.h"

#include "test/unit/tls_server_fixture.h"
#include "test/unit/users_fixture.h"

void suite_certificate_users(void);

/* Of the world's CA: two units, and alternative names. */
static struct identity
make_alice(void)
{
    struct identity alice = make_identity("alice", "EC", &world.ca, 0xbeef, -60, DAY_S);
    X509_NAME *subject = X509_get_subject_name(alice.x509);
    int old = X509_get_ext_by_NID(alice.x509, NID_subject_alt_name, -1);

    X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8, (unsigned char *)"staff", -1, -1, 0);
    X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8, (unsigned char *)"admins", -1, -1, 0);
    X509_EXTENSION_free(X509_delete_ext(alice.x509, old));
    add_extension(alice.x509, world.ca.x509, NID_subject_alt_name,
                  "DNS:pc.test,email:alice@example.test,DNS:other.test,email:b@example.test");
    must(X509_sign(alice.x509, world.ca.key, EVP_sha256()) > 0);
    return alice;
}

static struct client_certificate_conf demand;

/* A connection of the identity's (NULL: without a certificate). */
static void
connect_as(struct pair *pair, const struct identity *identity)
{
    begin(pair, 0, "private.test");
    if (identity != NULL)
        SSL_use_cert_and_key(pair->ssl, identity->x509, identity->key, NULL, 1);
    (void)shake(pair);
    CU_ASSERT_FATAL(pair->accepted.fd >= 0);
}

static struct identity
start_world(void)
{
    struct identity alice;

    set_up();
    alice = make_alice();
    demand = (struct client_certificate_conf){ .place = { .file = "test.conf", .line = 1 },
                                               .mode = CLIENT_CERTIFICATE_OPTIONAL,
                                               .ca = strdup(path_of("ca.pem")), .depth = 2 };
    sites[2].client = demand;
    serve();
    return alice;
}

static void
end_world(struct identity *alice)
{
    free_identity(alice);
    free((char *)demand.ca);
    tear_down();
}

/* What a request on that connection comes to; *user is in users_arena. */
static enum login_state
try_users(const char *text, struct pair *pair, bool has_field, struct user *user)
{
    struct users_conf *users = users_made(text);
    struct visit visit;
    enum login_state state;

    visit_begin(&visit);
    users_client.tls = pair->accepted.tls;
    users_client.is_tls = true;
    if (has_field)
        ask(&visit, "X-User", "bob");
    state = log_in(users, &visit);
    CU_ASSERT(user_copy(user, &visit.login.user, &users_arena));
    visit_end(&visit);
    users_gone();
    return state;
}

static void
knows_users_by_their_certificate(void)
{
    struct identity alice = start_world();
    struct user user;
    struct pair pair;

    connect_as(&pair, &alice);
    CU_ASSERT_EQUAL(try_users("name = \"c\"; kind = \"certificate\";", &pair, false, &user),
                    LOGIN_OK);
    CU_ASSERT(is_text(user.name, "alice") && user.group_count == 2);
    CU_ASSERT(is_in_group(&user, "staff") && is_in_group(&user, "admins"));
    CU_ASSERT_EQUAL(try_users("name = \"c\"; kind = \"certificate\"; user_name = \"email\";",
                              &pair, false, &user), LOGIN_OK);
    CU_ASSERT(is_text(user.name, "alice@example.test"));
    CU_ASSERT_EQUAL(try_users("name = \"c\"; kind = \"certificate\"; user_name = \"dns\";", &pair,
                              false, &user), LOGIN_OK);
    CU_ASSERT(is_text(user.name, "pc.test"));
    end(&pair);
    connect_as(&pair, NULL);
    CU_ASSERT_EQUAL(try_users("name = \"c\"; kind = \"certificate\";", &pair, false, &user),
                    LOGIN_NONE);
    end(&pair);
    end_world(&alice);
}

#define FRONT "name = \"f\"; kind = \"trusted_field\"; user_header = \"X-User\"; "

static void
believes_fronts_with_a_certificate(void)
{
    struct identity alice = start_world();
    struct user user;
    struct pair pair;

    connect_as(&pair, &alice);
    CU_ASSERT_EQUAL(try_users(FRONT, &pair, true, &user), LOGIN_OK);
    CU_ASSERT(is_text(user.name, "bob"));
    CU_ASSERT_EQUAL(try_users(FRONT "fronts = \"alice\";", &pair, true, &user), LOGIN_OK);
    CU_ASSERT_EQUAL(try_users(FRONT "fronts = \"PC.test\";", &pair, true, &user), LOGIN_OK);
    CU_ASSERT_EQUAL(try_users(FRONT "fronts = \"mallory\";", &pair, true, &user), LOGIN_NONE);
    CU_ASSERT_EQUAL(try_users(FRONT "from = \"198.51.100.0/24\";", &pair, true, &user),
                    LOGIN_NONE);
    end(&pair);
    connect_as(&pair, NULL);
    CU_ASSERT_EQUAL(try_users(FRONT, &pair, true, &user), LOGIN_NONE);
    end(&pair);
    end_world(&alice);
}

void
suite_certificate_users(void)
{
    CU_pSuite s = CU_add_suite("certificate_users", users_set_up, users_tear_down);

    CU_add_test(s, "a certificate says who it is", knows_users_by_their_certificate);
    CU_add_test(s, "fronts with a certificate are believed", believes_fronts_with_a_certificate);
}
