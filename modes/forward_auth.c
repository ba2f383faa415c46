/* SPDX-License-Identifier: BSD-2-Clause */
/* forward_auth.c - asks the authentication server, once for equal requests at a time.
 *
 *     login --> cached? --> OK
 *        '----> inquiry, begun or joined --> WAIT ... settle --> OK, ANSWER, BUSY
 *
 * An inquiry is one subrequest and all exchanges of this thread that wait for it. Where
 * answers are not kept, each exchange has its own.
 */
#include "config.h"

#include "modes/forward_auth.h"

#include "modes/auth_answer.h"
#include "modes/auth_request.h"
#include "modes/subrequest.h"
#include "server/http/http_url.h"
#include "server/http/uri.h"
#include "server/log/log_thread.h"
#include "server/tls/tls_context.h"
#include "server/users/secrets.h"

#include <stdlib.h>

#define IDLE_MS 60000u
#define BUCKETS 256u
#define USER_BYTES (256u * 1024) /* a head's fields, joined */

struct forward_auth_conf {
    struct users_conf users;
    const char *to;
    const char *group_name;
    int method; /* of methods[] */
    const char *ca;
    uint32_t timeout_ms;
    uint64_t answer_bytes;
    struct auth_request_conf request;
    /* what that means */
    struct destination where;
    struct slice target, authority;
    struct upstream_timeouts timeouts;
    uint64_t version; /* of this configuration, for the cache */
};

static const char *const methods[] = { "GET", "HEAD", NULL };

static const struct option options[] = {
    { .name = "to", .type = OPTION_STRING, .offset = offsetof(struct forward_auth_conf, to),
      .is_required = true,
      .text = "Whom to ask: \"http://auth.internal:9091/api/verify\"; with a group a path is "
              "enough, or the URL says which Host its endpoints are told." },
    { .name = "group", .type = OPTION_STRING,
      .offset = offsetof(struct forward_auth_conf, group_name),
      .text = "Group of endpoints that are asked; when not given, the host of the URL." },
    { .name = "method", .type = OPTION_ENUM, .offset = offsetof(struct forward_auth_conf, method),
      .words = methods, .fallback = "GET", .text = "Method of the question." },
    { .name = "tls_ca", .type = OPTION_STRING, .offset = offsetof(struct forward_auth_conf, ca),
      .text = "File of the CA certificates (PEM) that an https:// server is verified by; the "
              "system's when not given. A group has its own." },
    { .name = "timeout", .type = OPTION_TIME,
      .offset = offsetof(struct forward_auth_conf, timeout_ms), .fallback = "5s", .min = 10,
      .max = 60000, .text = "For the whole answer. Without it the client gets 503." },
    { .name = "max_answer", .type = OPTION_SIZE,
      .offset = offsetof(struct forward_auth_conf, answer_bytes), .fallback = "64K",
      .max = 4 * 1024 * 1024,
      .text = "Longest content of an answer that clients are given; a page of our own takes the "
              "place of longer ones." },
    { .name = "send_fields", .type = OPTION_STRINGS,
      .offset = offsetof(struct forward_auth_conf, request.send_fields),
      .text = "Header fields of the client's that the server is shown. All when not given, but "
              "for those of content, ranges and conditions; in forward mode no Cookie." },
    { .name = "user_header", .type = OPTION_STRING,
      .offset = offsetof(struct forward_auth_conf, request.user_field), .fallback = "Remote-User",
      .text = "Header field of its answer that names the user; who is not named is called \""
              AUTH_UNNAMED "\"." },
    { .name = "groups_header", .type = OPTION_STRING,
      .offset = offsetof(struct forward_auth_conf, request.groups_field),
      .fallback = "Remote-Groups",
      .text = "Header field of its answer that names the user's groups, separated by commas." },
    { .name = "copy_fields", .type = OPTION_STRINGS,
      .offset = offsetof(struct forward_auth_conf, request.copy_fields),
      .text = "Header fields of its answer that the origin is told. What clients send by these "
              "names, or in user_header and groups_header, is always taken out." },
    { .name = "cache_key", .type = OPTION_STRINGS,
      .offset = offsetof(struct forward_auth_conf, request.key_fields),
      .fallback = "Authorization, Cookie, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Method, "
                  "X-Forwarded-Proto, X-Forwarded-Uri",
      .text = "With cache: the header fields that the server's answer depends on. Requests that "
              "are equal in them are given the same one." },
    { .name = NULL },
};

static const struct forward_auth_conf *
conf_of(const struct users_conf *users)
{
    return (const struct forward_auth_conf *)(const void *)users;
}

/* ---- configuration */

static int
check_names(const char *option, const struct strings *names, struct err *err)
{
    for (size_t i = 0; i < names->count; i++)
        if (users_check_field(option, names->items[i], err) < 0)
            return -1;
    return 0;
}

static int
check_fields(const struct auth_request_conf *request, struct err *err)
{
    if (users_check_field("user_header", slice_of(request->user_field), err) < 0 ||
        users_check_field("groups_header", slice_of(request->groups_field), err) < 0 ||
        check_names("send_fields", &request->send_fields, err) < 0 ||
        check_names("copy_fields", &request->copy_fields, err) < 0)
        return -1;
    return check_names("cache_key", &request->key_fields, err);
}

/* Where it is: a path of a group, or a URL, whose host a group's endpoints are told. */
static int
read_url(struct forward_auth_conf *conf, struct arena *arena, struct err *err)
{
    struct http_url url;

    if (http_url_parse(&url, conf->to, err) < 0)
        return err_prefix(err, "to: ");
    conf->target = url.target;
    conf->authority = url.authority;
    conf->where = (struct destination){
        .host = uri_normal_host(url.host, arena),
        .port = url.port,
        .is_tls = url.is_tls,
        .timeouts = &conf->timeouts,
    };
    return 0;
}

static int
read_path(struct forward_auth_conf *conf, struct err *err)
{
    conf->target = slice_of(conf->to);
    if (!http_url_is_target(conf->target))
        return err_set(err, "to: \"%s\" is not a path as URLs have them", conf->to);
    if (conf->group_name == NULL)
        return err_set(err, "to: \"%s\" is a path, and no group says whose; a URL such as "
                            "\"http://auth.example:9091%s\" would do without", conf->to, conf->to);
    return 0;
}

static int
find_server(struct forward_auth_conf *conf, const struct conf *all, struct arena *arena,
            struct err *err)
{
    bool is_path = conf->to[0] == '/';

    if ((is_path ? read_path(conf, err) : read_url(conf, arena, err)) < 0)
        return -1;
    if (conf->group_name != NULL) {
        conf->where = (struct destination){ .group = conf_group(all, conf->group_name, err) };
        return conf->where.group != NULL ? 0 : err_prefix(err, "group: ");
    }
    if (!conf->where.is_tls)
        return 0;
    conf->where.tls = tls_context_new(arena, conf->ca, err);
    return conf->where.tls != NULL ? 0 : err_prefix(err, "tls_ca: ");
}

static int
finish(struct users_conf *users, struct conf *all, struct arena *arena, struct err *err)
{
    struct forward_auth_conf *conf = (struct forward_auth_conf *)(void *)users;

    if (users_check_path("tls_ca", conf->ca, err) < 0 || check_fields(&conf->request, err) < 0)
        return -1;
    if (!users->has_cache) /* who is let in by another server is its own to say, each time */
        users->cache_ms = 0;
    conf->version = users_version_new();
    conf->timeouts = (struct upstream_timeouts){
        .connect_ms = conf->timeout_ms,
        .head_ms = conf->timeout_ms,
        .body_ms = conf->timeout_ms,
        .write_ms = conf->timeout_ms,
        .idle_ms = IDLE_MS,
    };
    return find_server(conf, all, arena, err);
}

static const char *
file(const struct users_conf *users, unsigned i)
{
    return i == 0 ? conf_of(users)->ca : NULL;
}

/* ---- an inquiry, and who waits for it */

struct inquiry {
    struct subrequest subrequest;
    const struct forward_auth_conf *conf; /* of the subrequest's generation */
    struct list waits;                    /* of struct wait */
    struct list link;                     /* of its bucket; on none: it cannot be joined */
    struct login_key key;
    bool has_key;
    bool is_starting;                     /* subrequest_start() is on the stack */
    bool is_over;
};

/* Of one exchange, in its arena: login->state. */
struct wait {
    struct list link;
    struct inquiry *inquiry;  /* NULL: it is over */
    struct exchange *ex;
    struct login *login;
    enum login_state outcome; /* then */
};

static _Thread_local struct list buckets[BUCKETS]; /* next NULL: not used yet */

static struct list *
bucket_of(const struct login_key *key)
{
    struct list *bucket = &buckets[key->bytes[0] % BUCKETS];

    if (bucket->next == NULL)
        list_init(bucket);
    return bucket;
}

static struct inquiry *
find_inquiry(const struct login_key *key)
{
    list_each(link, bucket_of(key)) {
        struct inquiry *inquiry = container_of(link, struct inquiry, link);

        if (login_key_equal(&inquiry->key, key))
            return inquiry;
    }
    return NULL;
}

/* ---- what came of it */

static void
log_failure(const struct forward_auth_conf *conf, const char *why)
{
    static struct log_limit failed = LOG_LIMIT(5);

    log_limited(&failed, LEVEL_WARN, "users %s: %s: %s: requests are refused", conf->users.name,
                conf->to, why);
}

/* Who is let in: copied for each who waits. NULL: nobody. */
static const struct user *
read_user(struct inquiry *inquiry, const struct subrequest_answer *answer, struct user *user,
          struct arena *arena)
{
    const struct forward_auth_conf *conf = inquiry->conf;
    const char *why;

    if (auth_word_of(answer) != AUTH_LET_IN)
        return NULL;
    why = auth_answer_user(&conf->request, answer->response, user, arena);
    if (why != NULL) {
        log_failure(conf, why);
        return NULL;
    }
    if (inquiry->has_key)
        login_cache_put(&inquiry->key, user, loop_now_ms(this_worker->loop),
                        auth_answer_life_ms(answer->response, conf->users.cache_ms));
    return user;
}

static void
conclude(struct wait *wait, const struct subrequest_answer *answer, const struct user *user)
{
    struct login *login = wait->login;

    wait->inquiry = NULL;
    login->detail = "the authentication server does not answer as it should";
    if (user != NULL && user_copy(&login->user, user, &wait->ex->arena)) {
        wait->outcome = LOGIN_OK;
        login->detail = NULL;
    } else if (auth_word_of(answer) == AUTH_TURN_OFF) {
        auth_answer_pass(wait->ex, answer, login->is_proxy);
        wait->outcome = LOGIN_ANSWER;
        login->detail = "refused by the authentication server";
    }
}

static void
settle(struct inquiry *inquiry, const struct subrequest_answer *answer)
{
    const struct user *user;
    struct user found;
    struct arena arena;
    char text[SUBREQUEST_WORDS_BYTES];

    arena_init(&arena, NULL, USER_BYTES);
    user = read_user(inquiry, answer, &found, &arena);
    if (auth_word_of(answer) == AUTH_NO_WORD)
        log_failure(inquiry->conf, subrequest_words(answer, text));
    while (!list_is_empty(&inquiry->waits)) {
        struct wait *wait = container_of(inquiry->waits.next, struct wait, link);

        list_remove(&wait->link);
        conclude(wait, answer, user);
        if (!inquiry->is_starting)
            wait->ex->road->on_resume(wait->ex);
    }
    arena_fini(&arena);
}

static void
on_done(struct subrequest *subrequest, const struct subrequest_answer *answer)
{
    struct inquiry *inquiry = container_of(subrequest, struct inquiry, subrequest);

    list_remove(&inquiry->link);
    inquiry->is_over = true;
    settle(inquiry, answer);
    if (!inquiry->is_starting)
        free(inquiry);
}

/* ---- asking */

static void
join(struct wait *wait, struct inquiry *inquiry)
{
    wait->inquiry = inquiry;
    list_push_back(&inquiry->waits, &wait->link);
}

static bool
ask(struct inquiry *inquiry, struct exchange *ex, const struct fields *fields)
{
    const struct forward_auth_conf *conf = inquiry->conf;
    const struct subrequest_order order = {
        .worker = ex->worker,
        .generation = ex->generation,
        .to = conf->where,
        .method = conf->method == 0 ? METHOD_GET : METHOD_HEAD,
        .method_name = slice_of(methods[conf->method]),
        .target = conf->target,
        .authority = conf->authority,
        .fields = fields,
        .client = ex->down->client,
        .content_bytes = conf->answer_bytes,
        .deadline_ms = conf->timeout_ms,
    };

    return subrequest_start(&inquiry->subrequest, &order, on_done);
}

/* An inquiry of its own. False: there are too many, or memory is short. */
static bool
inquire(struct wait *wait, const struct forward_auth_conf *conf, const struct fields *fields,
        const struct login_key *key)
{
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
    bool is_asked;

    if (inquiry == NULL)
        return false;
    inquiry->conf = conf;
    list_init(&inquiry->waits);
    list_init(&inquiry->link);
    if (key != NULL) {
        inquiry->key = *key;
        inquiry->has_key = true;
        list_push_back(bucket_of(key), &inquiry->link);
    }
    join(wait, inquiry);
    inquiry->is_starting = true;
    is_asked = ask(inquiry, wait->ex, fields);
    inquiry->is_starting = false;
    if (is_asked && !inquiry->is_over)
        return true;
    list_remove(&inquiry->link);
    list_remove(&wait->link);
    wait->inquiry = NULL;
    free(inquiry);
    return is_asked;
}

static enum login_state
outcome_of(const struct wait *wait)
{
    return wait->inquiry != NULL ? LOGIN_WAIT : wait->outcome;
}

static enum login_state
begin(const struct forward_auth_conf *conf, struct login *login, struct exchange *ex)
{
    struct fields *fields = auth_request_fields(ex, &conf->request, login->is_proxy);
    struct wait *wait = arena_zalloc(&ex->arena, sizeof(*wait));
    struct login_key key;
    struct inquiry *inquiry = NULL;
    bool has_key;

    login->detail = "too much at a time for the authentication server, or for our memory";
    if (fields == NULL || wait == NULL)
        return LOGIN_BUSY;
    has_key = conf->users.cache_ms > 0 &&
              auth_request_key(&key, conf->version, fields, &conf->request, &ex->arena);
    if (has_key && login_cache_find(&key, loop_now_ms(ex->worker->loop), &login->user, &ex->arena))
        return LOGIN_OK;
    *wait = (struct wait){ .ex = ex, .login = login, .outcome = LOGIN_BUSY };
    list_init(&wait->link);
    login->state = wait;
    if (has_key)
        inquiry = find_inquiry(&key);
    if (inquiry != NULL)
        join(wait, inquiry);
    else if (!inquire(wait, conf, fields, has_key ? &key : NULL))
        return LOGIN_BUSY;
    return outcome_of(wait);
}

static enum login_state
login(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    return login->state == NULL ? begin(conf_of(users), login, ex) : outcome_of(login->state);
}

/* The last who waited ends it. */
static void
cancel(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    struct wait *wait = login->state;
    struct inquiry *inquiry = wait != NULL ? wait->inquiry : NULL;

    (void)users;
    (void)ex;
    if (inquiry == NULL)
        return;
    wait->inquiry = NULL;
    list_remove(&wait->link);
    if (!list_is_empty(&inquiry->waits) || inquiry->is_over)
        return;
    list_remove(&inquiry->link);
    subrequest_cancel(&inquiry->subrequest);
    free(inquiry);
}

/* Nobody's own word about who it is reaches the origin. */
static void
strip(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    (void)login;
    auth_request_remove_claims(&ex->request.fields, &conf_of(users)->request);
}

const struct users_ops forward_auth_users = {
    .name = "forward_auth",
    .text = "Another server is asked about each request, and decides: Authelia, oauth2-proxy.",
    .options = options,
    .conf_bytes = sizeof(struct forward_auth_conf),
    .finish = finish,
    .file = file,
    .login = login,
    .cancel = cancel,
    .strip = strip,
};
