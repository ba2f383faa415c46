/* SPDX-License-Identifier: BSD-2-Clause */
/* test_digest.c - Digest as a server: RFC 7616. */
#include "config.h"

#include "test/unit/users_fixture.h"

#include "server/base/hex.h"
#include "server/users/digest_fields.h"

#include <stdarg.h>

void suite_digest(void);

/* What a client computes with. */
struct asker {
    const char *user, *realm, *password, *uri, *method;
    const EVP_MD *md; /* NULL: SHA-256 */
    const char *algorithm; /* NULL: none is named */
    char nonce[NONCE_BYTES + 1];
    unsigned nc;
};

static char *
hash_of(const struct asker *asker, const char *format, ...)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[1024], *hex = arena_zalloc(&users_arena, 2 * EVP_MAX_MD_SIZE + 1);
    unsigned bytes = 0;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    EVP_Digest(text, strlen(text), hash, &bytes, asker->md != NULL ? asker->md : EVP_sha256(),
               NULL);
    hex_encode(hash, bytes, hex);
    return hex;
}

static const char *
ha1_of(const struct asker *asker)
{
    return hash_of(asker, "%s:%s:%s", asker->user, asker->realm, asker->password);
}

/* RFC 7616 section 3.4.1, with cnonce "c". */
static const char *
credentials(const struct asker *asker)
{
    const char *ha2 = hash_of(asker, "%s:%s", asker->method, asker->uri);
    const char *response = hash_of(asker, "%s:%s:%08x:c:auth:%s", ha1_of(asker), asker->nonce,
                                   asker->nc, ha2);

    return arena_printf(&users_arena,
                        "Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
                        "response=\"%s\", cnonce=\"c\", nc=%08x, qop=auth%s%s",
                        asker->user, asker->realm, asker->nonce, asker->uri, response, asker->nc,
                        asker->algorithm != NULL ? ", algorithm=" : "",
                        asker->algorithm != NULL ? asker->algorithm : "").data;
}

static struct asker
mufasa(void)
{
    return (struct asker){ .user = "Mufasa", .realm = "http-auth@example.org",
                           .password = "Circle of Life", .uri = "/a/b?c=d", .method = "GET",
                           .algorithm = "SHA-256", .nc = 1 };
}

static struct users_conf *
digest(const char *more)
{
    return users_made(arena_printf(&users_arena,
                                   "name = \"staff\"; kind = \"digest\"; "
                                   "realm = \"http-auth@example.org\"; file = \"%s\"; %s",
                                   file_path("users"), more).data);
}

static void
write_account(const struct asker *asker)
{
    write_file("users", arena_printf(&users_arena, "# people\n%s:%s:%s\nx:other realm:abc\n",
                                     asker->user, asker->realm, ha1_of(asker)).data);
}

/* Gets a nonce; returns the whole challenge. */
static struct slice
get_nonce(const struct users_conf *users, struct asker *asker, bool is_stale)
{
    struct visit visit;
    struct slice text;
    const char *nonce;

    visit_begin(&visit);
    visit.login.is_stale = is_stale;
    users->ops->challenge(users, &visit.login, &visit.ex);
    text = arena_copy(&users_arena,
                      fields_get(&visit.ex.response.fields, FIELD_WWW_AUTHENTICATE));
    nonce = strstr(text.data, "nonce=\"");
    CU_ASSERT_FATAL(nonce != NULL);
    memcpy(asker->nonce, nonce + 7, NONCE_BYTES);
    visit_end(&visit);
    return text;
}

static struct login last; /* of try_digest() */

static enum login_state
try_text(const struct users_conf *users, const char *value)
{
    struct visit visit;
    enum login_state state;

    visit_begin(&visit);
    ask(&visit, "Authorization", value);
    state = log_in(users, &visit);
    last = visit.login;
    last.user.name = arena_copy(&users_arena, last.user.name);
    visit_end(&visit);
    return state;
}

static enum login_state
try_digest(const struct users_conf *users, const struct asker *asker)
{
    return try_text(users, credentials(asker));
}

/* ---- promises */

static void
asks_as_the_rfc_says(void)
{
    struct asker asker = mufasa();
    struct users_conf *users;
    struct slice text;

    write_account(&asker);
    users = digest("");
    text = get_nonce(users, &asker, false);
    CU_ASSERT_PTR_EQUAL(strstr(text.data, "Digest realm=\"http-auth@example.org\", "
                                          "qop=\"auth\", algorithm=SHA-256, nonce=\""), text.data);
    CU_ASSERT(strstr(text.data, "opaque=\"") != NULL);
    CU_ASSERT(strstr(text.data, "charset=UTF-8") != NULL);
    CU_ASSERT(strstr(text.data, "stale") == NULL && strstr(text.data, "userhash") == NULL);
    text = get_nonce(users, &asker, true);
    CU_ASSERT(strstr(text.data, ", stale=true") != NULL);
    users_gone();
}

static void
lets_in_who_knows_the_password(void)
{
    struct asker asker = mufasa();
    struct users_conf *users;

    write_account(&asker);
    users = digest("");
    get_nonce(users, &asker, false);
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_OK);
    CU_ASSERT(is_text(last.user.name, "Mufasa"));
    CU_ASSERT_STRING_EQUAL(last.user.by, "digest");
    asker.nc = 2;
    asker.password = "Circle of Lies";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    CU_ASSERT_FALSE(last.is_stale);
    asker = mufasa();
    get_nonce(users, &asker, false);
    asker.user = "Scar";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    CU_ASSERT_FALSE(last.is_stale);
    CU_ASSERT_EQUAL(try_text(users, "Basic YTpi"), LOGIN_NONE);
    CU_ASSERT_EQUAL(try_text(users, "Digest username=\"a\""), LOGIN_WRONG);
    users_gone();
}

#define EXAMPLE(algorithm, response) \
    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", " \
    "algorithm=" algorithm ", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", " \
    "nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, " \
    "response=\"" response "\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""

static enum login_state
try_example(const struct users_conf *users, const char *value)
{
    struct visit visit;
    enum login_state state;

    visit_begin(&visit);
    visit.ex.request.target = visit.ex.request.path = SLICE("/dir/index.html");
    visit.ex.request.query = slice_make(NULL, 0);
    ask(&visit, "Authorization", value);
    state = log_in(users, &visit);
    last = visit.login;
    visit_end(&visit);
    return state;
}

/* RFC 7616 section 3.9.1: both responses are right, although the nonce is not ours. */
static void
agrees_with_the_examples(void)
{
    struct asker asker = mufasa();
    struct users_conf *users;

    asker.md = EVP_md5();
    write_file("users",
               arena_printf(&users_arena, "%s:%s:%s\n%s:%s:%s\n", asker.user, asker.realm,
                            ha1_of(&asker), asker.user, asker.realm,
                            "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232")
                   .data);
    users = digest("md5 = true;");
    CU_ASSERT_EQUAL(try_example(users, EXAMPLE("SHA-256", "753927fa0e85d155564e2e272a28d180"
                                                          "2ca10daf4496794697cf8db5856cb6c1")),
                    LOGIN_WRONG);
    CU_ASSERT(last.is_stale);
    CU_ASSERT_EQUAL(try_example(users, EXAMPLE("MD5", "8ca523f5e9506fed4657c9700eebdbec")),
                    LOGIN_WRONG);
    CU_ASSERT(last.is_stale);
    CU_ASSERT_EQUAL(try_example(users, EXAMPLE("MD5", "8ca523f5e9506fed4657c9700eebdbed")),
                    LOGIN_WRONG);
    CU_ASSERT_FALSE(last.is_stale);
    users_gone();
}

/* Section 3.3: none but what was asked for. */
static void
takes_offered_algorithms_only(void)
{
    struct asker asker = mufasa();
    struct users_conf *users;

    write_account(&asker);
    users = digest("");
    get_nonce(users, &asker, false);
    asker.algorithm = "SHA-256-sess";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    asker.algorithm = NULL; /* MD5 */
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    asker.algorithm = "sha-256";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_OK);
    users_gone();
    asker = mufasa();
    asker.md = EVP_sha512_256();
    asker.algorithm = "SHA-512-256";
    write_account(&asker);
    users = digest("algorithm = \"SHA-512-256\";");
    get_nonce(users, &asker, false);
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_OK);
    users_gone();
}

static void
offers_md5_only_where_it_is_meant(void)
{
    struct asker asker = mufasa();
    struct users_conf *users;
    struct slice text;

    asker.md = EVP_md5();
    asker.algorithm = NULL;
    write_account(&asker);
    CU_ASSERT(is_refused(arena_printf(&users_arena, "name = \"staff\"; kind = \"digest\"; "
                                                    "realm = \"http-auth@example.org\"; "
                                                    "file = \"%s\";", file_path("users")).data,
                         "users:2: user \"Mufasa\": the hash is of MD5"));
    users = digest("md5 = true;");
    text = get_nonce(users, &asker, false);
    CU_ASSERT(strstr(text.data, "algorithm=MD5") != NULL);
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_OK);
    users_gone();
}

/* Section 3.4.6: what was shown for one resource is no good for another. */
static void
is_for_one_resource(void)
{
    static const struct {
        const char *uri;
        enum login_state state;
    } tries[] = {
        { "/a/b?c=d", LOGIN_OK }, { "http://www.example.com/a/b?c=d", LOGIN_OK },
        { "/a/b", LOGIN_WRONG }, { "/a/b?c=e", LOGIN_WRONG }, { "/a/b?c=dd", LOGIN_WRONG },
        { "/a", LOGIN_WRONG }, { "https://www.example.com/a/b?c=d", LOGIN_WRONG },
        { "http://www.example.org/a/b?c=d", LOGIN_WRONG }, { "x", LOGIN_WRONG },
        { "http://www.example.com", LOGIN_WRONG }, { "*", LOGIN_WRONG },
    };
    struct asker asker = mufasa();
    struct users_conf *users;

    write_account(&asker);
    users = digest("");
    get_nonce(users, &asker, false);
    for (size_t i = 0; i < ARRAY_COUNT(tries); i++) {
        asker.uri = tries[i].uri;
        asker.nc++;
        CU_ASSERT_EQUAL(try_digest(users, &asker), tries[i].state);
    }
    asker = mufasa();
    get_nonce(users, &asker, false);
    asker.method = "POST";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    users_gone();
}

/* By way of a proxy a request has another target: absolute, or an authority. */
static void
knows_targets_of_proxies(void)
{
    static const char *const uris[] = { "http://www.example.com/", "/", "http://www.example.com" };
    struct asker asker = mufasa();
    struct users_conf *users;
    struct visit visit;

    write_account(&asker);
    users = digest("");
    get_nonce(users, &asker, false);
    for (size_t i = 0; i < ARRAY_COUNT(uris) + 1; i++) {
        asker.uri = i < ARRAY_COUNT(uris) ? uris[i] : "www.example.com:443";
        asker.method = i < ARRAY_COUNT(uris) ? "GET" : "CONNECT";
        visit_begin(&visit);
        visit.login.is_proxy = true;
        visit.ex.request.form = TARGET_ABSOLUTE;
        visit.ex.request.target = SLICE("http://www.example.com");
        visit.ex.request.path = SLICE("/");
        visit.ex.request.query = slice_make(NULL, 0);
        if (i == ARRAY_COUNT(uris)) {
            visit.ex.request.form = TARGET_AUTHORITY;
            visit.ex.request.method_name = SLICE("CONNECT");
            visit.ex.request.target = SLICE("www.example.com:443");
            visit.ex.request.path = SLICE("");
        }
        ask(&visit, "Proxy-Authorization", credentials(&asker));
        CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
        users_tell_origin(users, &visit.login, &visit.ex);
        CU_ASSERT_EQUAL(visit.ex.request.fields.count, 0);
        visit_end(&visit);
        asker.nc++;
    }
    users_gone();
}

/* ---- nonces */

/* Section 3.4: each count once; those that overtake each other are fine. */
static void
takes_each_count_once(void)
{
    static const unsigned good[] = { 1, 3, 2, 100, 50, 1000, 800, 0xffffffff };
    static const unsigned late[] = { 3, 1000, 700, 50, 0xffffffff };
    struct asker asker = mufasa();
    struct users_conf *users;

    write_account(&asker);
    users = digest("");
    get_nonce(users, &asker, false);
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        asker.nc = good[i];
        CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_OK);
        CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
        CU_ASSERT(last.is_stale);
    }
    for (size_t i = 0; i < ARRAY_COUNT(late); i++) {
        asker.nc = late[i];
        CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    }
    users_gone();
}

/* A window of counts: those within it once, those before it not at all. */
static void
has_a_window(void)
{
    struct slice nonce;
    char text[NONCE_BYTES];

    CU_ASSERT_FATAL(nonce_make(text, SLICE("s"), 1000));
    nonce = slice_make(text, sizeof(text));
    CU_ASSERT(nonce_use(nonce, 300));
    CU_ASSERT_FALSE(nonce_use(nonce, 44));
    for (uint32_t count = 45; count < 300; count++)
        CU_ASSERT(nonce_use(nonce, count));
    for (uint32_t count = 45; count <= 300; count++)
        CU_ASSERT_FALSE(nonce_use(nonce, count));
    CU_ASSERT(nonce_use(nonce, 400));
    CU_ASSERT_FALSE(nonce_use(nonce, 300));
    CU_ASSERT(nonce_use(nonce, 301));
    CU_ASSERT(nonce_use(nonce, 400 + 256));
    CU_ASSERT_FALSE(nonce_use(nonce, 400));
    CU_ASSERT(nonce_use(nonce, 401));
    nonces_clear();
}

static void
knows_its_own_nonces(void)
{
    char text[NONCE_BYTES];
    struct slice nonce = { text, sizeof(text) };

    CU_ASSERT_FATAL(nonce_make(text, SLICE("s"), 1000));
    CU_ASSERT(nonce_is_good(nonce, SLICE("s"), 1000, 500));
    CU_ASSERT(nonce_is_good(nonce, SLICE("s"), 1499, 500));
    CU_ASSERT_FALSE(nonce_is_good(nonce, SLICE("s"), 1500, 500));
    CU_ASSERT_FALSE(nonce_is_good(nonce, SLICE("s"), 999, 500));
    CU_ASSERT_FALSE(nonce_is_good(nonce, SLICE("t"), 1000, 500));
    CU_ASSERT_FALSE(nonce_is_good(slice_make(text, NONCE_BYTES - 2), SLICE("s"), 1000, 500));
    for (size_t i = 0; i < NONCE_BYTES; i++) {
        char was = text[i];

        text[i] = was == '0' ? '1' : '0';
        CU_ASSERT_FALSE(nonce_is_good(nonce, SLICE("s"), 1000, 500));
        text[i] = was;
    }
}

/* A used nonce that was pushed out of the table cannot be used again. */
static void
never_forgets_that_one_was_used(void)
{
    char first[NONCE_BYTES], text[NONCE_BYTES];
    unsigned refused = 0;

    CU_ASSERT_FATAL(nonce_make(first, SLICE("s"), 1000));
    CU_ASSERT(nonce_use(slice_make(first, NONCE_BYTES), 1));
    for (unsigned i = 0; i < 40000; i++) { /* more than twice its places */
        CU_ASSERT_FATAL(nonce_make(text, SLICE("s"), 1001 + i));
        refused += !nonce_use(slice_make(text, NONCE_BYTES), 1);
    }
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_FALSE(nonce_use(slice_make(first, NONCE_BYTES), 1));
    CU_ASSERT_FALSE(nonce_use(slice_make(first, NONCE_BYTES), 2));
    nonces_clear();
}

/* ---- lockout and files */

static void
locks_who_fails_too_often(void)
{
    struct asker asker = mufasa();
    struct users_conf *users;

    write_account(&asker);
    users = digest("max_failures = 2;");
    get_nonce(users, &asker, false);
    asker.password = "x";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_WRONG);
    asker.password = "Circle of Life";
    CU_ASSERT_EQUAL(try_digest(users, &asker), LOGIN_LOCKED);
    CU_ASSERT(last.retry_s > 0);
    users_gone();
}

static void
says_which_line_is_bad(void)
{
    const char *conf = arena_printf(&users_arena, "name = \"staff\"; kind = \"digest\"; "
                                                  "realm = \"r\"; file = \"%s\";",
                                    file_path("users")).data;

    write_file("users", "a:r:abc\n");
    CU_ASSERT(is_refused(conf, "users:1: user \"a\": the hash is not 64 hexadecimal digits"));
    write_file("users", "a:r\n");
    CU_ASSERT(is_refused(conf, "users:1: user \"a\": expected USER:REALM:HASH"));
    CU_ASSERT(is_refused("name = \"staff\"; kind = \"digest\"; realm = \"a:b\"; file = \"/x\";",
                         "realm: \"a:b\" has a colon"));
}

void
suite_digest(void)
{
    CU_pSuite s = CU_add_suite("digest", users_set_up, users_tear_down);

    CU_add_test(s, "the challenge is as RFC 7616 says", asks_as_the_rfc_says);
    CU_add_test(s, "who knows the password is let in", lets_in_who_knows_the_password);
    CU_add_test(s, "the examples of RFC 7616 are right", agrees_with_the_examples);
    CU_add_test(s, "only offered algorithms are taken", takes_offered_algorithms_only);
    CU_add_test(s, "MD5 is offered only where it is meant", offers_md5_only_where_it_is_meant);
    CU_add_test(s, "a response is for one resource", is_for_one_resource);
    CU_add_test(s, "targets of proxies are known", knows_targets_of_proxies);
    CU_add_test(s, "each count is taken once", takes_each_count_once);
    CU_add_test(s, "counts may be late by less than a window", has_a_window);
    CU_add_test(s, "nonces of others and old ones are refused", knows_its_own_nonces);
    CU_add_test(s, "a nonce that was pushed out is stale", never_forgets_that_one_was_used);
    CU_add_test(s, "who fails too often is locked", locks_who_fails_too_often);
    CU_add_test(s, "bad lines are named", says_which_line_is_bad);
}
