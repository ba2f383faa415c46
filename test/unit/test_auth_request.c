/* SPDX-License-Identifier: BSD-2-Clause */
/* test_auth_request.c - what an authentication server is told, what it is believed, and by
 * what its answers are found again.
 */
#include "config.h"

#include "modes/auth_request.h"

#include "modes/auth_answer.h"
#include "server/policy/prefix_set.h"
#include "server/users/secrets.h"
#include "test/unit/filter_fixture.h"

void suite_auth_request(void);

static struct slice copied[] = { SLICE_INIT("Remote-Email"), SLICE_INIT("X-Role") };
static struct slice keys[] = { SLICE_INIT("Authorization"), SLICE_INIT("Cookie"),
                               SLICE_INIT("X-Forwarded-Uri"), SLICE_INIT("Cookie") };
static struct slice cookies_only[] = { SLICE_INIT("cookie") };

static struct auth_request_conf
conf(void)
{
    return (struct auth_request_conf){
        .copy_fields = { copied, ARRAY_COUNT(copied) },
        .key_fields = { keys, ARRAY_COUNT(keys) },
        .user_field = "Remote-User",
        .groups_field = "Remote-Groups",
    };
}

static struct fields *
fields_for(struct exchange *ex, bool is_proxy)
{
    struct auth_request_conf c = conf();
    struct fields *fields = auth_request_fields(ex, &c, is_proxy);

    CU_ASSERT_PTR_NOT_NULL_FATAL(fields);
    return fields;
}

/* ---- the question */

static void
tells_of_the_request(void)
{
    struct exchange *ex = exchange_begin();
    struct fields *fields;

    ex->request.method_name = SLICE("DELETE");
    fixture_client.is_tls = true;
    ex->request.scheme = SLICE("https");
    fields = fields_for(ex, false);
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Method", "DELETE"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Proto", "https"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Host", "www.example.com"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Uri", "/a/b?c=d"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-For", "192.0.2.7"));
    CU_ASSERT_TRUE(is_field(fields, "X-Original-Method", "DELETE"));
    CU_ASSERT_TRUE(is_field(fields, "X-Original-URL", "https://www.example.com/a/b?c=d"));
    exchange_end(ex);
}

/* A CONNECT asks for a host and port; RFC 9110 section 9.3.6. */
static void
tells_of_a_tunnel(void)
{
    struct exchange *ex = exchange_begin();
    struct fields *fields;

    ex->request.method = METHOD_CONNECT;
    ex->request.method_name = SLICE("CONNECT");
    ex->request.form = TARGET_AUTHORITY;
    ex->request.target = ex->request.authority = SLICE("www.example.com:443");
    ex->request.scheme = slice_make("", 0);
    fields = fields_for(ex, true);
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Method", "CONNECT"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Uri", "www.example.com:443"));
    CU_ASSERT_TRUE(is_field(fields, "X-Original-URL", NULL));
    exchange_end(ex);
}

static void
sends_what_identifies_and_nothing_of_content(void)
{
    struct exchange *ex = exchange_begin();
    struct fields *fields;

    ask(ex, "Host", "www.example.com");
    ask(ex, "Cookie", "session=1");
    ask(ex, "Authorization", "Bearer x");
    ask(ex, "X-Api-Key", "k");
    ask(ex, "Content-Length", "5");
    ask(ex, "Content-Type", "text/plain");
    ask(ex, "Range", "bytes=0-1");
    ask(ex, "If-None-Match", "\"a\"");
    ask(ex, "Expect", "100-continue");
    ask(ex, "Connection", "keep-alive, X-Hop");
    ask(ex, "X-Hop", "h");
    ask(ex, "Proxy-Authorization", "Basic eA==");
    fields = fields_for(ex, false);
    CU_ASSERT_TRUE(is_field(fields, "Cookie", "session=1"));
    CU_ASSERT_TRUE(is_field(fields, "Authorization", "Bearer x"));
    CU_ASSERT_TRUE(is_field(fields, "X-Api-Key", "k"));
    CU_ASSERT_TRUE(is_field(fields, "Host", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Content-Length", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Content-Type", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Range", NULL));
    CU_ASSERT_TRUE(is_field(fields, "If-None-Match", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Expect", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Connection", NULL));
    CU_ASSERT_TRUE(is_field(fields, "X-Hop", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Proxy-Authorization", NULL));
    CU_ASSERT_TRUE(is_field(&ex->request.fields, "Range", "bytes=0-1")); /* the client's is whole */
    exchange_end(ex);
}

static void
sends_only_what_is_listed(void)
{
    struct exchange *ex = exchange_begin();
    struct auth_request_conf c = conf();
    struct fields *fields;

    c.send_fields = (struct strings){ cookies_only, 1 };
    ask(ex, "Cookie", "session=1");
    ask(ex, "Authorization", "Bearer x");
    fields = auth_request_fields(ex, &c, false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fields);
    CU_ASSERT_TRUE(is_field(fields, "Cookie", "session=1"));
    CU_ASSERT_TRUE(is_field(fields, "Authorization", NULL));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Method", "GET"));
    exchange_end(ex);
}

/* What is for the origin is none of the proxy's business: RFC 9110 section 11.6.2. */
static void
shows_a_proxys_login_and_not_the_origins(void)
{
    struct exchange *ex = exchange_begin();
    struct fields *fields;

    ask(ex, "Proxy-Authorization", "Basic eDp5");
    ask(ex, "Authorization", "Bearer for-the-origin");
    ask(ex, "Cookie", "of=the-origin");
    fields = fields_for(ex, true);
    CU_ASSERT_TRUE(is_field(fields, "Authorization", "Basic eDp5"));
    CU_ASSERT_TRUE(is_field(fields, "Proxy-Authorization", NULL));
    CU_ASSERT_TRUE(is_field(fields, "Cookie", NULL));
    exchange_end(ex);
}

static void
believes_no_client_about_who_it_is(void)
{
    static const char *const claims[] = {
        "Remote-User", "remote_user", "REMOTE-GROUPS", "Remote_Email", "X-Role",
    };
    static const char *const forwarded[] = {
        "X-Forwarded-For", "X-Forwarded-User", "X_Forwarded_Uri", "X-Original-URL", "X-Real-IP",
        "X-Original-URI", "Forwarded", "X-Forwarded-Host",
    };
    struct exchange *ex = exchange_begin();
    struct auth_request_conf c = conf();
    struct fields *fields;

    for (size_t i = 0; i < ARRAY_COUNT(claims); i++)
        ask(ex, claims[i], "planted");
    for (size_t i = 0; i < ARRAY_COUNT(forwarded); i++)
        ask(ex, forwarded[i], "planted");
    fields = fields_for(ex, false);
    for (uint32_t i = 0; i < fields->count; i++)
        CU_ASSERT_FALSE(slice_equal(fields->items[i].value, SLICE("planted")));
    auth_request_remove_claims(&ex->request.fields, &c);
    for (size_t i = 0; i < ARRAY_COUNT(claims); i++)
        CU_ASSERT_TRUE(is_field(&ex->request.fields, claims[i], NULL));
    exchange_end(ex);
}

static void
believes_a_trusted_proxy_about_the_client(void)
{
    struct exchange *ex = exchange_begin();
    struct prefix_set *trusted = prefix_set_new(&ex->arena);
    struct fields *fields;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(prefix_set_add(trusted, SLICE("192.0.2.0/24"), &err), 0);
    prefix_set_seal(trusted);
    fixture_listener.trusted_proxies = trusted;
    ask(ex, "X-Forwarded-For", "198.51.100.9");
    ask(ex, "X-Forwarded-Proto", "https");
    ask(ex, "X-Forwarded-Host", "outside.example");
    ask(ex, "X-Forwarded-Uri", "/elsewhere"); /* which only we know */
    fields = fields_for(ex, false);
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-For", "198.51.100.9, 192.0.2.7"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Proto", "https"));
    CU_ASSERT_TRUE(is_field(fields, "X-Forwarded-Uri", "/a/b?c=d"));
    CU_ASSERT_TRUE(is_field(fields, "X-Original-URL", "https://outside.example/a/b?c=d"));
    exchange_end(ex);
}

/* ---- keys */

static struct login_key
key_for(const char *cookie, const char *more, const char *uri, uint64_t version)
{
    struct exchange *ex = exchange_begin();
    struct auth_request_conf c = conf();
    struct login_key key;

    if (cookie != NULL)
        ask(ex, "Cookie", cookie);
    if (more != NULL)
        ask(ex, "Cookie", more);
    ask(ex, "User-Agent", uri); /* which has no part in it */
    ex->request.target = slice_of(uri);
    CU_ASSERT_TRUE(auth_request_key(&key, version, fields_for(ex, false), &c, &ex->arena));
    exchange_end(ex);
    return key;
}

static bool
are_equal(struct login_key a, struct login_key b)
{
    return login_key_equal(&a, &b);
}

static void
tells_keys_apart_by_all_that_counts(void)
{
    struct login_key key = key_for("a=1", NULL, "/x", 1);

    CU_ASSERT_TRUE(are_equal(key, key_for("a=1", NULL, "/x", 1)));
    CU_ASSERT_FALSE(are_equal(key, key_for("a=2", NULL, "/x", 1)));
    CU_ASSERT_FALSE(are_equal(key, key_for(NULL, NULL, "/x", 1)));
    CU_ASSERT_FALSE(are_equal(key, key_for("a=1", "b=2", "/x", 1)));
    CU_ASSERT_FALSE(are_equal(key, key_for("a=1", NULL, "/y", 1)));
    CU_ASSERT_FALSE(are_equal(key, key_for("a=1", NULL, "/x", 2)));
    /* Where one value ends and the next begins counts, too. */
    CU_ASSERT_FALSE(are_equal(key_for("a", "bc", "/x", 1), key_for("ab", "c", "/x", 1)));
    CU_ASSERT_FALSE(are_equal(key_for("", NULL, "/x", 1), key_for(NULL, NULL, "/x", 1)));
}

/* ---- the answer */

static enum auth_word
word_of(unsigned status)
{
    struct response response = { .status = (uint16_t)status };
    struct subrequest_answer answer = { .response = &response };

    return auth_word_of(&answer);
}

static void
lets_nobody_in_but_by_2xx(void)
{
    static const unsigned off[] = { 301, 302, 303, 307, 308, 401, 403, 407, 429 };
    static const unsigned none[] = { 300, 304, 400, 404, 500, 502, 503, 504, 599 };
    const struct subrequest_answer nothing = { 0 };

    CU_ASSERT_EQUAL(word_of(200), AUTH_LET_IN);
    CU_ASSERT_EQUAL(word_of(204), AUTH_LET_IN);
    for (size_t i = 0; i < ARRAY_COUNT(off); i++)
        CU_ASSERT_EQUAL(word_of(off[i]), AUTH_TURN_OFF);
    for (size_t i = 0; i < ARRAY_COUNT(none); i++)
        CU_ASSERT_EQUAL(word_of(none[i]), AUTH_NO_WORD);
    CU_ASSERT_EQUAL(auth_word_of(&nothing), AUTH_NO_WORD);
}

static void
finds_user_groups_and_fields(void)
{
    struct exchange *ex = exchange_begin();
    struct auth_request_conf c = conf();
    struct user user;

    respond(ex, "Remote-User", "alice");
    respond(ex, "Remote-Groups", "staff, admins");
    respond(ex, "Remote-Groups", "night");
    respond(ex, "x-role", "one");
    respond(ex, "X-Role", "two");
    respond(ex, "X-Other", "not asked for");
    CU_ASSERT_PTR_NULL(auth_answer_user(&c, &ex->response, &user, &ex->arena));
    CU_ASSERT_TRUE(is_text(user.name, "alice"));
    CU_ASSERT_EQUAL_FATAL(user.group_count, 3);
    CU_ASSERT_TRUE(is_text(user.groups[1], "admins"));
    CU_ASSERT_TRUE(is_text(user.groups[2], "night"));
    CU_ASSERT_EQUAL_FATAL(user.field_count, 1);
    CU_ASSERT_TRUE(is_text(user.fields[0].name, "X-Role"));
    CU_ASSERT_TRUE(is_text(user.fields[0].value, "one, two"));
    exchange_end(ex);
}

static void
calls_a_user_without_a_name_something(void)
{
    struct exchange *ex = exchange_begin();
    struct auth_request_conf c = conf();
    struct user user;

    CU_ASSERT_PTR_NULL(auth_answer_user(&c, &ex->response, &user, &ex->arena));
    CU_ASSERT_TRUE(is_text(user.name, AUTH_UNNAMED));
    CU_ASSERT_EQUAL(user.group_count, 0);
    exchange_end(ex);
}

static void
believes_no_names_that_cannot_be_any(void)
{
    struct exchange *ex = exchange_begin();
    struct auth_request_conf c = conf();
    struct user user;
    char many[4 * AUTH_GROUPS_MAX + 8], *at = many;

    respond(ex, "Remote-User", "a\tb");
    CU_ASSERT_PTR_NOT_NULL(auth_answer_user(&c, &ex->response, &user, &ex->arena));
    ex->response.fields = (struct fields){ 0 };
    respond(ex, "Remote-Groups", "good, \xff\xfe");
    CU_ASSERT_PTR_NOT_NULL(auth_answer_user(&c, &ex->response, &user, &ex->arena));
    ex->response.fields = (struct fields){ 0 };
    for (unsigned i = 0; i <= AUTH_GROUPS_MAX; i++)
        at = stpcpy(at, "g,");
    respond(ex, "Remote-Groups", many);
    CU_ASSERT_PTR_NOT_NULL(auth_answer_user(&c, &ex->response, &user, &ex->arena));
    exchange_end(ex);
}

/* RFC 9111 section 5.2.2. */
static uint32_t
life_with(const char *name, const char *value)
{
    struct exchange *ex = exchange_begin();
    uint32_t ms;

    respond(ex, name, value);
    ms = auth_answer_life_ms(&ex->response, 5000);
    exchange_end(ex);
    return ms;
}

static void
keeps_answers_no_longer_than_they_say(void)
{
    CU_ASSERT_EQUAL(life_with("X-Any", "thing"), 5000);
    CU_ASSERT_EQUAL(life_with("Cache-Control", "no-store"), 0);
    CU_ASSERT_EQUAL(life_with("Cache-Control", "private, no-cache"), 0);
    CU_ASSERT_EQUAL(life_with("Cache-Control", "private"), 5000);
    CU_ASSERT_EQUAL(life_with("Cache-Control", "max-age=2"), 2000);
    CU_ASSERT_EQUAL(life_with("Cache-Control", "max-age=0"), 0);
    CU_ASSERT_EQUAL(life_with("Cache-Control", "max-age=2147483648"), 5000);
    CU_ASSERT_EQUAL(life_with("Set-Cookie", "a=b"), 0);
}

/* ---- passed on */

static void
passes_a_refusal_on(void)
{
    struct exchange *ex = exchange_begin();
    struct exchange from = { 0 };
    struct subrequest_answer answer = { .response = &from.response,
                                        .content = SLICE_INIT("<p>no</p>") };

    from.response.status = 401;
    arena_init(&from.arena, NULL, 1 << 16);
    respond(&from, "Content-Type", "text/html");
    respond(&from, "WWW-Authenticate", "Basic realm=\"x\"");
    respond(&from, "Set-Cookie", "a=b");
    respond(&from, "Server", "secret/1.0");
    respond(&from, "Content-Length", "9");
    auth_answer_pass(ex, &answer, false);
    arena_fini(&from.arena); /* all of it was copied */
    CU_ASSERT_EQUAL(ex->response.status, 401);
    CU_ASSERT_EQUAL(ex->end, END_DENIED);
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Content-Type", "text/html"));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "WWW-Authenticate", "Basic realm=\"x\""));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Set-Cookie", "a=b"));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Cache-Control", "no-store"));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Server", NULL));
    CU_ASSERT_EQUAL(ex->response.length, 9);
    CU_ASSERT_TRUE(ex->response.has_body);
    exchange_end(ex);
}

static void
passes_a_redirect_on(void)
{
    struct exchange *ex = exchange_begin();
    struct exchange from = { 0 };
    struct subrequest_answer answer = { .response = &from.response };

    from.response.status = 302;
    arena_init(&from.arena, NULL, 1 << 16);
    respond(&from, "Location", "https://login.example/?rd=x");
    respond(&from, "Set-Cookie", "a=b");
    respond(&from, "Set-Cookie", "c=d");
    auth_answer_pass(ex, &answer, false);
    arena_fini(&from.arena);
    CU_ASSERT_EQUAL(ex->response.status, 302);
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Location", "https://login.example/?rd=x"));
    CU_ASSERT_FALSE(ex->response.has_body);
    CU_ASSERT_PTR_NOT_NULL(fields_next(&ex->response.fields, FIELD_SET_COOKIE,
                                       fields_find(&ex->response.fields, FIELD_SET_COOKIE)));
    exchange_end(ex);
}

/* RFC 9110 section 15.5.8. */
static void
asks_for_a_proxys_login_as_proxies_do(void)
{
    struct exchange *ex = exchange_begin();
    struct exchange from = { 0 };
    struct subrequest_answer answer = { .response = &from.response };

    from.response.status = 401;
    arena_init(&from.arena, NULL, 1 << 16);
    respond(&from, "WWW-Authenticate", "Basic realm=\"x\"");
    auth_answer_pass(ex, &answer, true);
    CU_ASSERT_EQUAL(ex->response.status, 407);
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Proxy-Authenticate", "Basic realm=\"x\""));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "WWW-Authenticate", NULL));
    arena_fini(&from.arena);
    exchange_end(ex);
}

/* Half a page is none. */
static void
replaces_content_that_was_cut(void)
{
    struct exchange *ex = exchange_begin();
    struct exchange from = { 0 };
    struct subrequest_answer answer = { .response = &from.response, .is_cut = true,
                                        .content = SLICE_INIT("half a pa") };

    from.response.status = 403;
    arena_init(&from.arena, NULL, 1 << 16);
    respond(&from, "Content-Encoding", "gzip");
    auth_answer_pass(ex, &answer, false);
    CU_ASSERT_EQUAL(ex->response.status, 403);
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Content-Encoding", NULL));
    CU_ASSERT_NOT_EQUAL(ex->response.length, 9);
    CU_ASSERT_TRUE(ex->response.has_body);
    arena_fini(&from.arena);
    exchange_end(ex);
}

static int
make_secrets(void)
{
    struct err err;

    return users_secrets_make(&err);
}

void
suite_auth_request(void)
{
    CU_pSuite s = CU_add_suite("auth_request", make_secrets, NULL);

    CU_add_test(s, "tells of the request", tells_of_the_request);
    CU_add_test(s, "tells of a tunnel that is asked for", tells_of_a_tunnel);
    CU_add_test(s, "sends what identifies, and nothing of content or hops",
                sends_what_identifies_and_nothing_of_content);
    CU_add_test(s, "sends only what is listed", sends_only_what_is_listed);
    CU_add_test(s, "shows a proxy's log-in, and not the origin's",
                shows_a_proxys_login_and_not_the_origins);
    CU_add_test(s, "believes no client about who it is", believes_no_client_about_who_it_is);
    CU_add_test(s, "believes a trusted proxy about the client",
                believes_a_trusted_proxy_about_the_client);
    CU_add_test(s, "tells keys apart by all that counts", tells_keys_apart_by_all_that_counts);
    CU_add_test(s, "lets nobody in but by 2xx", lets_nobody_in_but_by_2xx);
    CU_add_test(s, "finds user, groups and fields", finds_user_groups_and_fields);
    CU_add_test(s, "calls a user without a name something", calls_a_user_without_a_name_something);
    CU_add_test(s, "believes no names that cannot be any", believes_no_names_that_cannot_be_any);
    CU_add_test(s, "keeps answers no longer than they say", keeps_answers_no_longer_than_they_say);
    CU_add_test(s, "passes a refusal on, but not who the server is", passes_a_refusal_on);
    CU_add_test(s, "passes a redirect on, with its cookies", passes_a_redirect_on);
    CU_add_test(s, "asks for a proxy's log-in as proxies do",
                asks_for_a_proxys_login_as_proxies_do);
    CU_add_test(s, "replaces content that was cut", replaces_content_that_was_cut);
}
