/* SPDX-License-Identifier: BSD-2-Clause */
/* test_jwt_user.c - who logs in with a token, where it is looked for, and what becomes of
 * it (RFC 6750); keys that change, and who waits for them.
 */
#include "config.h"

#include "test/unit/users_fixture.h"

#include "jwt_fixture.h"
#include "server/base/clock.h"
#include "server/tls/reread.h"
#include "server/users/jwt_user.h"

void suite_jwt_user(void);

#pragma GCC diagnostic ignored "-Wunused-function"

static int
set_up(void)
{
    arena_init(&jwt_arena, NULL, 8 << 20);
    return users_set_up();
}

static int
tear_down(void)
{
    arena_fini(&jwt_arena);
    return users_tear_down();
}

static struct users_conf *
made(const char *more)
{
    return users_made(arena_printf(&users_arena, "name = \"api\"; kind = \"jwt\"; %s", more).data);
}

/* With the keys of that kind in a file. */
static struct users_conf *
made_with_file(enum jwt_key_kind kind, const char *more)
{
    write_file("users", jwt_document(kind, ",\"kid\":\"one\"").data);
    return made(arena_printf(&users_arena, "keys = \"%s\"; %s", file_path("users"), more).data);
}

static struct slice
token_for(int64_t left_s, const char *more)
{
    const char *claims = arena_printf(&jwt_arena, "{\"sub\":\"ann\",\"exp\":%lld%s}",
                                      (long long)(clock_wall_ms() / 1000) + left_s, more).data;

    return jwt_token(JWT_ES256, ",\"kid\":\"one\"", claims);
}

static const char *
bearer(struct slice token)
{
    return arena_printf(&jwt_arena, "Bearer %s", token.data).data;
}

/* One visit with that field, all of it. */
static enum login_state
try_field(const struct users_conf *users, const char *name, const char *value)
{
    struct visit visit;
    enum login_state state;

    visit_begin(&visit);
    if (name != NULL)
        ask(&visit, name, value);
    state = log_in(users, &visit);
    visit_end(&visit);
    return state;
}

static enum login_state
try_token(const struct users_conf *users, struct slice token)
{
    return try_field(users, "Authorization", bearer(token));
}

/* ---- logging in */

static void
knows_its_users(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, "groups_claim = \"scope\";");
    struct visit visit;

    visit_begin(&visit);
    ask(&visit, "Authorization", bearer(token_for(300, ",\"scope\":\"read write\"")));
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    CU_ASSERT(is_text(visit.login.user.name, "ann"));
    CU_ASSERT(is_in_group(&visit.login.user, "read") && is_in_group(&visit.login.user, "write"));
    CU_ASSERT_STRING_EQUAL(visit.login.user.by, "jwt");
    visit_end(&visit);
    CU_ASSERT_EQUAL(try_token(users, token_for(-300, "")), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_token(users, SLICE("a.b.c")), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_field(users, "Authorization", "Bearer"), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_field(users, "Authorization", "Basic YTpi"), LOGIN_NONE);
    CU_ASSERT_EQUAL(try_field(users, NULL, NULL), LOGIN_NONE);
    users_gone();
}

/* RFC 6750 section 3. */
static void
says_what_is_wrong(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, "realm = \"shop\";");
    struct visit visit;

    visit_begin(&visit);
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_NONE);
    users->ops->challenge(users, &visit.login, &visit.ex);
    CU_ASSERT(is_text(fields_get(&visit.ex.response.fields, FIELD_WWW_AUTHENTICATE),
                      "Bearer realm=\"shop\""));
    visit_end(&visit);
    visit_begin(&visit);
    ask(&visit, "Authorization", bearer(token_for(-300, "")));
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_WRONG);
    users->ops->challenge(users, &visit.login, &visit.ex);
    CU_ASSERT(is_text(fields_get(&visit.ex.response.fields, FIELD_WWW_AUTHENTICATE),
                      "Bearer realm=\"shop\", error=\"invalid_token\", "
                      "error_description=\"the token has expired\""));
    visit_end(&visit);
    users_gone();
}

static void
remembers_good_tokens_until_they_end(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, "");
    struct slice good = token_for(300, ",\"x\":1"), late = token_for(-30, ""); /* in the leeway */

    CU_ASSERT_EQUAL(try_token(users, good), LOGIN_OK);
    CU_ASSERT_EQUAL(login_cache_count(), 1);
    CU_ASSERT_EQUAL(try_token(users, good), LOGIN_OK);
    CU_ASSERT_EQUAL(login_cache_count(), 1);
    CU_ASSERT_EQUAL(try_token(users, late), LOGIN_OK);
    CU_ASSERT_EQUAL(try_token(users, SLICE("a.b.c")), LOGIN_WRONG);
    CU_ASSERT_EQUAL(login_cache_count(), 1);
    users_gone();
}

/* What was good by a key that is gone is good no more, though it is remembered. */
static void
forgets_with_its_keys(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, "");
    struct slice token = token_for(300, ",\"y\":1");

    CU_ASSERT_EQUAL(try_token(users, token), LOGIN_OK);
    write_file("users", jwt_document(JWT_KEY_ED25519, ",\"kid\":\"two\"").data);
    reread_look();
    CU_ASSERT_EQUAL(try_token(users, token), LOGIN_WRONG);
    write_file("users", "{\"keys\":[]}");
    reread_look();
    CU_ASSERT_EQUAL(try_token(users, jwt_token(JWT_EDDSA, ",\"kid\":\"two\"",
                                               "{\"sub\":\"ann\",\"exp\":99999999999}")),
                    LOGIN_OK); /* the last good ones */
    users_gone();
}

/* ---- where it is */

static void
finds_it_in_a_cookie(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, "token_cookie = \"sid\";");
    const char *token = token_for(300, "").data;
    struct visit visit;

    visit_begin(&visit);
    ask(&visit, "Cookie", arena_printf(&jwt_arena, "a=1; sid=%s;b=\"x y\"", token).data);
    ask(&visit, "Cookie", "sidx=2");
    ask(&visit, "Authorization", "Bearer other");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT(is_text(fields_get(&visit.ex.request.fields, FIELD_COOKIE),
                      "a=1; b=\"x y\"; sidx=2"));
    CU_ASSERT(fields_has(&visit.ex.request.fields, FIELD_AUTHORIZATION));
    visit_end(&visit);
    CU_ASSERT_EQUAL(try_field(users, "Cookie", "SID=x; sid"), LOGIN_NONE);
    CU_ASSERT_EQUAL(try_field(users, "Cookie", arena_printf(&jwt_arena, "sid=%s; sid=%s", token,
                                                            token).data), LOGIN_WRONG);
    CU_ASSERT_EQUAL(try_field(users, "Cookie", "sid="), LOGIN_WRONG);
    visit_begin(&visit); /* blanks make no other cookie of it, for origins neither */
    ask(&visit, "Cookie", arena_printf(&jwt_arena, "sid=%s; a=1;sid = \"x\"", token).data);
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_WRONG);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT(is_text(fields_get(&visit.ex.request.fields, FIELD_COOKIE), "a=1"));
    visit_end(&visit);
    visit_begin(&visit);
    ask(&visit, "Cookie", arena_printf(&jwt_arena, "sid=%s", token).data);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT(!fields_has(&visit.ex.request.fields, FIELD_COOKIE));
    visit_end(&visit);
    users_gone();
}

static void
finds_it_in_a_field(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, "token_field = \"X-Token\";");
    struct slice token = token_for(300, "");
    struct visit visit;

    CU_ASSERT_EQUAL(try_field(users, "X-Token", token.data), LOGIN_OK);
    CU_ASSERT_EQUAL(try_field(users, "x-token", bearer(token)), LOGIN_OK);
    CU_ASSERT_EQUAL(try_token(users, token), LOGIN_NONE);
    visit_begin(&visit);
    ask(&visit, "X-Token", token.data);
    ask(&visit, "X-Token", token.data);
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_WRONG);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 0);
    visit_end(&visit);
    users_gone();
}

#define FIELDS "fields = ( { claim = \"email\"; field = \"X-Email\"; } );"

static void
tells_origins_what_it_may(void)
{
    struct users_conf *users = made_with_file(JWT_KEY_P256, FIELDS);
    struct visit visit;

    visit_begin(&visit);
    ask(&visit, "Authorization", bearer(token_for(300, ",\"email\":\"a@x.test\"")));
    ask(&visit, "X_Email", "root@x.test");
    CU_ASSERT_EQUAL(log_in(users, &visit), LOGIN_OK);
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 1);
    CU_ASSERT(is_text(visit.ex.request.fields.items[0].value, "a@x.test"));
    visit_end(&visit);
    visit_begin(&visit); /* whoever has not logged in tells nothing either */
    ask(&visit, "X-Email", "root@x.test");
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT_EQUAL(visit.ex.request.fields.count, 0);
    visit_end(&visit);
    users_gone();
    users = made_with_file(JWT_KEY_P256, "forward = true;");
    visit_begin(&visit);
    ask(&visit, "Authorization", bearer(token_for(300, "")));
    users_tell_origin(users, &visit.login, &visit.ex);
    CU_ASSERT(fields_has(&visit.ex.request.fields, FIELD_AUTHORIZATION));
    visit_end(&visit);
    users_gone();
}

/* ---- keys of a URL */

#define URL "keys_url = \"https://id.test/keys\";"

static const struct jwt_keys_pace pace = { .refresh_ms = 3600000, .retry_ms = 10000 };

static struct jwt_keys *
keys_of(const struct users_conf *users)
{
    const struct jwt_users_conf *own = jwt_users_with_url(users);

    CU_ASSERT_PTR_NOT_NULL_FATAL(own);
    return own->keys;
}

static void
waits_for_its_first_keys(void)
{
    struct users_conf *users = made(URL);
    struct jwt_keys *keys = keys_of(users);
    struct visit visit;

    CU_ASSERT_EQUAL(try_token(users, token_for(300, "")), LOGIN_BUSY); /* nobody fetches */
    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, 1000000));
    CU_ASSERT(!jwt_keys_begin_fetch(keys, &pace, 1000000));
    visit_begin(&visit);
    ask(&visit, "Authorization", bearer(token_for(300, "")));
    CU_ASSERT_EQUAL(users->ops->login(users, &visit.login, &visit.ex), LOGIN_WAIT);
    CU_ASSERT_EQUAL(users->ops->login(users, &visit.login, &visit.ex), LOGIN_WAIT);
    CU_ASSERT_EQUAL(users_worker.errands, 1);
    CU_ASSERT_EQUAL(jwt_keys_replace(keys, jwt_document(JWT_KEY_P256, ",\"kid\":\"one\""), NULL),
                    1);
    visit_wait(&visit);
    CU_ASSERT_EQUAL(users->ops->login(users, &visit.login, &visit.ex), LOGIN_OK);
    CU_ASSERT_EQUAL(users_worker.errands, 0);
    visit_end(&visit);
    CU_ASSERT_EQUAL(jwt_keys_replace(keys, jwt_document(JWT_KEY_P256, ",\"kid\":\"one\""), NULL),
                    0);
    users_gone();
}

static void
fetches_keys_that_it_does_not_know(void)
{
    struct users_conf *users = made(URL);
    struct jwt_keys *keys = keys_of(users);
    uint64_t now_ms = clock_monotonic_ms();
    struct visit visit;

    /* The last fetch was long ago: */
    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, now_ms > 60000 ? now_ms - 60000 : 1));
    CU_ASSERT_EQUAL(jwt_keys_replace(keys, jwt_document(JWT_KEY_P256, ",\"kid\":\"old\""), NULL),
                    1);
    CU_ASSERT(!jwt_keys_begin_fetch(keys, &pace, now_ms));
    visit_begin(&visit);
    ask(&visit, "Authorization", bearer(token_for(300, ",\"z\":1")));
    CU_ASSERT_EQUAL(users->ops->login(users, &visit.login, &visit.ex), LOGIN_WAIT);
    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, now_ms));
    jwt_keys_fail(keys);
    visit_wait(&visit);
    CU_ASSERT_EQUAL(users->ops->login(users, &visit.login, &visit.ex), LOGIN_WRONG);
    visit_end(&visit);
    /* A moment ago: nobody may make us fetch all the time. */
    CU_ASSERT_EQUAL(try_token(users, token_for(300, ",\"z\":2")), LOGIN_WRONG);
    CU_ASSERT(!jwt_keys_begin_fetch(keys, &pace, now_ms + 9999));
    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, now_ms + 10000));
    CU_ASSERT_EQUAL(jwt_keys_replace(keys, jwt_document(JWT_KEY_P256, ",\"kid\":\"new\""), NULL),
                    1);
    CU_ASSERT(!jwt_keys_begin_fetch(keys, &pace, now_ms + 10000 + 3599999));
    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, now_ms + 10000 + 3600000));
    CU_ASSERT(!jwt_keys_begin_fetch(keys, &pace, now_ms + 10000 + 3600000 + 59999)); /* runs */
    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, now_ms + 10000 + 3600000 + 60000)); /* is lost */
    users_gone();
}

static void
stops_waiting(void)
{
    struct users_conf *users = made(URL);
    struct jwt_keys *keys = keys_of(users);
    struct visit early, late;

    CU_ASSERT(jwt_keys_begin_fetch(keys, &pace, 1000000));
    visit_begin(&early);
    ask(&early, "Authorization", bearer(token_for(300, "")));
    CU_ASSERT_EQUAL(users->ops->login(users, &early.login, &early.ex), LOGIN_WAIT);
    visit_begin(&late);
    ask(&late, "Authorization", bearer(token_for(300, "")));
    CU_ASSERT_EQUAL(users->ops->login(users, &late.login, &late.ex), LOGIN_WAIT);
    users->ops->cancel(users, &early.login, &early.ex);
    CU_ASSERT_EQUAL(users_worker.errands, 1);
    jwt_keys_fail(keys);
    users->ops->cancel(users, &late.login, &late.ex); /* its mail is under way */
    visit_end(&early);
    visit_end(&late);
    loop_turn(users_worker.loop, 100);
    CU_ASSERT_EQUAL(users_worker.errands, 0);
    CU_ASSERT(!early.is_resumed && !late.is_resumed);
    users_gone();
}

/* ---- mistakes */

static void
refuses_mistakes(void)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "", "needs either keys" },
        { "keys = \"/a\"; " URL, "needs either keys" },
        { "keys = \"keys.json\";", "is not an absolute path" },
        { "keys_url = \"http://id.test/keys\";", "anybody on the way" },
        { "keys_url = \"id.test/keys\";", "is no URL" },
        { URL "algorithms = \"HS256\";", "\"HS256\" is none that proves anything" },
        { URL "algorithms = [ \"ES256\", \"none\" ];", "\"none\" is none" },
        { URL "algorithms = \"rs256\";", "did you mean \"RS256\"" },
        { URL "token_field = \"a\"; token_cookie = \"b\";", "exclude each other" },
        { URL "token_field = \"a b\";", "cannot be the name of a header field" },
        { URL "token_field = \"TE\";", "token_field: TE has a meaning of its own" },
        { URL "token_cookie = \"a=b\";", "cannot be the name of a cookie" },
        { URL "fields = ( { claim = \"a\"; field = \"Connection\"; } );", "meaning of its own" },
        { "keys = \"/nowhere/keys.json\";", "/nowhere/keys.json" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT(is_refused(arena_printf(&users_arena, "name = \"api\"; kind = \"jwt\"; %s",
                                          bad[i].text).data, bad[i].why));
}

void
suite_jwt_user(void)
{
    CU_pSuite s = CU_add_suite("jwt_user", set_up, tear_down);

    CU_add_test(s, "good tokens log in", knows_its_users);
    CU_add_test(s, "the challenge says what is wrong", says_what_is_wrong);
    CU_add_test(s, "good tokens are remembered until they end",
                remembers_good_tokens_until_they_end);
    CU_add_test(s, "new keys end what old ones proved; bad files change nothing",
                forgets_with_its_keys);
    CU_add_test(s, "a cookie carries it, and goes no further", finds_it_in_a_cookie);
    CU_add_test(s, "a field carries it, and goes no further", finds_it_in_a_field);
    CU_add_test(s, "origins are told claims, by nobody but us", tells_origins_what_it_may);
    CU_add_test(s, "logins wait for the first keys", waits_for_its_first_keys);
    CU_add_test(s, "unknown keys are fetched, not too often", fetches_keys_that_it_does_not_know);
    CU_add_test(s, "an exchange may end while it waits", stops_waiting);
    CU_add_test(s, "mistakes in the configuration are told", refuses_mistakes);
}
