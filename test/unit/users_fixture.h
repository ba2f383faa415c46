/* SPDX-License-Identifier: BSD-2-Clause */
/* users_fixture.h - users as an operator writes them, their files in a folder that is
 * removed, and exchanges without sockets that log in.
 */
#ifndef BASCULE_USERS_FIXTURE_H
#define BASCULE_USERS_FIXTURE_H

#include "server/config/reader.h"
#include "server/schema.h"
#include "server/users/lockout.h"
#include "server/users/login_cache.h"
#include "server/users/nonce.h"
#include "server/users/users.h"

#include <CUnit/CUnit.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

static char folder[64];
static struct arena users_arena;
static struct conf users_conf_whole;
static struct worker users_worker;
static struct client users_client;
static struct downstream users_down;
static struct listener_conf users_listener;

static const struct option users_rows[] = {
    { .name = "users", .type = OPTION_GROUPS, .offset = offsetof(struct conf, users),
      .options = users_options, .member_bytes = sizeof(struct users_conf), .family_key = "kind" },
    { .name = NULL },
};

/* ---- files */

static const char *
file_path(const char *name)
{
    static char paths[4][96];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* Takes the place of the file at once, with an inode of its own. */
static void
write_file(const char *name, const char *text)
{
    const char *path = file_path(name), *fresh = file_path("fresh");
    FILE *out = fopen(fresh, "w");

    if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0 || rename(fresh, path) != 0)
        CU_FAIL_FATAL("a file of a test cannot be written");
}

/* ---- the suite */

static int
users_set_up(void)
{
    struct err err;

    strcpy(folder, "/tmp/bascule-users-XXXXXX");
    if (mkdtemp(folder) == NULL || users_start(&err) < 0)
        return -1;
    users_worker = (struct worker){ .loop = loop_new(&err) };
    arena_init(&users_arena, NULL, 1 << 20);
    return users_worker.loop != NULL ? 0 : -1;
}

static int
users_tear_down(void)
{
    static const char *const names[] = { "users", "groups", "other" };

    users_stop();
    lockout_clear();
    nonces_clear();
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        (void)unlink(file_path(names[i]));
    arena_fini(&users_arena);
    loop_free_all(users_worker.loop);
    return rmdir(folder);
}

/* ---- users */

/* Reads and finishes "name = ...; kind = ...;" NULL with err. */
static struct users_conf *
users_read(const char *text, struct err *err)
{
    struct slice whole = arena_printf(&users_arena, "users = ( { %s } );\n", text);
    struct config_source source;
    int result;

    err->text[0] = '\0';
    users_conf_whole = (struct conf){ 0 };
    if (config_source_from_text("test.conf", whole, &source, err) < 0)
        return NULL;
    result = config_source_read(&source, users_rows, &users_conf_whole, &users_arena, err, NULL);
    config_source_fini(&source);
    if (result < 0 || users_finish(&users_conf_whole, &users_arena, err) < 0)
        return NULL;
    return users_conf_whole.users.items[0];
}

/* The same with what they need of the world; to be given back with users_gone(). */
static struct users_conf *
users_made(const char *text)
{
    struct users_conf *users;
    struct err err;

    users = users_read(text, &err);
    if (users == NULL || users_adopt(&users_conf_whole, &err) < 0) {
        printf("%s\n", err.text);
        CU_FAIL_FATAL("users of a test cannot be made");
    }
    return users;
}

/* Gives them back, and forgets who has logged in. */
static void
users_gone(void)
{
    users_release(&users_conf_whole);
    login_cache_clear();
    lockout_clear();
    nonces_clear();
}

static bool
is_refused(const char *text, const char *why)
{
    struct users_conf *users;
    struct err err;
    bool is_good;

    users = users_read(text, &err);
    is_good = users != NULL && users_adopt(&users_conf_whole, &err) == 0;
    if (users != NULL)
        users_release(&users_conf_whole);
    if (!is_good && strstr(err.text, why) != NULL)
        return true;
    printf("refused? %s\n", err.text);
    return false;
}

/* ---- exchanges */

struct visit {
    struct exchange ex;
    struct login login;
    bool is_resumed;
};

static void
on_visit_resume(struct exchange *ex)
{
    container_of(ex, struct visit, ex)->is_resumed = true;
}

static const struct road_ops visit_road = { .on_resume = on_visit_resume };

/* GET /a/b?c=d of 192.0.2.7. */
static void
visit_begin(struct visit *visit)
{
    users_client = (struct client){ .peer = { .family = 4, .bytes = { 192, 0, 2, 7 } } };
    users_down = (struct downstream){ .client = &users_client };
    users_listener = (struct listener_conf){ .name = "web" };
    *visit = (struct visit){
        .ex = { .worker = &users_worker, .road = &visit_road, .down = &users_down,
                .listener = &users_listener, .client_ip = users_client.peer,
                .request = {
                    .method = METHOD_GET, .method_name = SLICE("GET"), .form = TARGET_ORIGIN,
                    .target = SLICE("/a/b?c=d"), .scheme = SLICE("http"),
                    .authority = SLICE("www.example.com"), .host = SLICE("www.example.com"),
                    .path = SLICE("/a/b"), .query = SLICE("c=d"),
                } },
    };
    arena_init(&visit->ex.arena, NULL, 1 << 20);
}

static void
visit_end(struct visit *visit)
{
    arena_fini(&visit->ex.arena);
}

static void
ask(struct visit *visit, const char *name, const char *value)
{
    struct arena *arena = &visit->ex.arena;

    fields_add_name(&visit->ex.request.fields, arena,
                    arena_copy(arena, slice_of(name)), arena_copy(arena, slice_of(value)));
}

/* Authorization: Basic of "name:password". */
static void
ask_basic(struct visit *visit, const char *pair)
{
    char text[1024], value[1100];

    EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)pair, (int)strlen(pair));
    snprintf(value, sizeof(value), "Basic %s", text);
    ask(visit, visit->login.is_proxy ? "Proxy-Authorization" : "Authorization", value);
}

static void
visit_wait(struct visit *visit)
{
    for (unsigned i = 0; !visit->is_resumed && i < 1000; i++)
        loop_turn(users_worker.loop, 100);
    CU_ASSERT_FATAL(visit->is_resumed);
    visit->is_resumed = false;
}

/* Until there is an answer. */
static enum login_state
log_in(const struct users_conf *users, struct visit *visit)
{
    enum login_state state = users->ops->login(users, &visit->login, &visit->ex);

    while (state == LOGIN_WAIT) {
        visit_wait(visit);
        state = users->ops->login(users, &visit->login, &visit->ex);
    }
    return state;
}

/* One visit with "name:password", all of it. */
static enum login_state
try_basic(const struct users_conf *users, const char *pair)
{
    struct visit visit;
    enum login_state state;

    visit_begin(&visit);
    ask_basic(&visit, pair);
    state = log_in(users, &visit);
    visit_end(&visit);
    return state;
}

static bool
is_text(struct slice s, const char *text)
{
    return slice_equal(s, slice_of(text));
}

static bool
is_in_group(const struct user *user, const char *group)
{
    for (unsigned i = 0; i < user->group_count; i++)
        if (is_text(user->groups[i], group))
            return true;
    return false;
}

#endif
