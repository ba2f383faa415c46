/* SPDX-License-Identifier: BSD-2-Clause */
/* keys_fetch.c - a timer, and a subrequest for each set of keys that is due. */
#include "config.h"

#include "modes/keys_fetch.h"

#include "modes/subrequest.h"
#include "server/http/http_url.h"
#include "server/log/log_thread.h"
#include "server/snapshot.h"
#include "server/users/jwt_user.h"

#include <stdlib.h>

#define LOOK_MS 1000u
#define FETCH_MS 10000u

struct keys_fetch {
    struct subrequest subrequest;
    struct list link;      /* fetches */
    struct jwt_keys *keys; /* counted */
};

/* Of this thread. */
static _Thread_local struct timer look; /* on_due NULL: not begun */
static _Thread_local struct list fetches;

static struct log_limit failed = LOG_LIMIT(2);

static void
log_failure(const struct jwt_keys *keys, const char *why)
{
    log_limited(&failed, LEVEL_WARN, "keys of tokens: %s: %s: those of before stay, if any",
                jwt_keys_url(keys), why);
}

static void
free_fetch(struct keys_fetch *fetch)
{
    list_remove(&fetch->link);
    jwt_keys_unref(fetch->keys);
    free(fetch);
}

/* ---- what came */

static void
fail(struct keys_fetch *fetch, const char *why)
{
    log_failure(fetch->keys, why);
    jwt_keys_fail(fetch->keys);
}

static void
take(struct keys_fetch *fetch, struct slice content)
{
    struct err err;
    int result = jwt_keys_replace(fetch->keys, content, &err);

    if (result < 0)
        log_failure(fetch->keys, err.text);
    else if (result > 0)
        log_info("keys of tokens: %s: there are new ones", jwt_keys_url(fetch->keys));
}

static void
on_done(struct subrequest *subrequest, const struct subrequest_answer *answer)
{
    struct keys_fetch *fetch = container_of(subrequest, struct keys_fetch, subrequest);
    char text[SUBREQUEST_WORDS_BYTES];

    if (answer->response == NULL || answer->response->status != 200)
        fail(fetch, subrequest_words(answer, text));
    else if (answer->is_cut)
        fail(fetch, "there are too many of them");
    else
        take(fetch, answer->content);
    free_fetch(fetch);
}

/* ---- asking */

static bool
ask(struct keys_fetch *fetch, struct worker *worker, const struct jwt_users_conf *users)
{
    static const struct upstream_timeouts timeouts = {
        .connect_ms = FETCH_MS, .head_ms = FETCH_MS, .body_ms = FETCH_MS, .write_ms = FETCH_MS,
        .idle_ms = FETCH_MS,
    };
    struct field accept = { SLICE_INIT("Accept"),
                            SLICE_INIT("application/jwk-set+json, application/json"),
                            FIELD_ACCEPT, 0 };
    struct fields fields = { .items = &accept, .count = 1, .room = 1 };
    struct http_url url;
    struct subrequest_order order = {
        .worker = worker,
        .method = METHOD_GET,
        .method_name = SLICE("GET"),
        .fields = &fields,
        .content_bytes = JWKS_BYTES_MAX,
        .deadline_ms = FETCH_MS,
    };

    if (http_url_parse(&url, users->keys_url, NULL) < 0)
        return false; /* it was checked */
    order.target = url.target;
    order.authority = url.authority;
    if (users->keys_group != NULL)
        order.to = (struct destination){ .group = users->keys_group };
    else
        order.to = (struct destination){ .host = url.host, .port = url.port,
                                         .is_tls = url.is_tls, .tls = users->keys_tls,
                                         .timeouts = &timeouts };
    return subrequest_start(&fetch->subrequest, &order, on_done);
}

static void
begin(struct worker *worker, const struct jwt_users_conf *users)
{
    struct keys_fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL) {
        jwt_keys_fail(users->keys);
        return;
    }
    fetch->keys = jwt_keys_ref(users->keys);
    list_init(&fetch->link);
    list_push_back(&fetches, &fetch->link);
    if (ask(fetch, worker, users))
        return; /* it may be over already */
    fail(fetch, "too much is under way, or memory is short");
    free_fetch(fetch);
}

/* True: there are some to look after. */
static bool
look_at_all(struct worker *worker)
{
    const struct config_list *users = &worker->snapshot->conf.users;
    uint64_t now_ms = loop_now_ms(worker->loop);
    bool has_any = false;

    for (size_t i = 0; i < users->count; i++) {
        const struct jwt_users_conf *with_url = jwt_users_with_url(users->items[i]);

        if (with_url == NULL)
            continue;
        has_any = true;
        if (jwt_keys_begin_fetch(with_url->keys, &with_url->keys_pace, now_ms))
            begin(worker, with_url);
    }
    return has_any;
}

static void
on_look(struct timer *timer)
{
    if (look_at_all(this_worker))
        timer_arm(this_worker->loop, timer, LOOK_MS);
}

void
keys_fetch_follow(struct worker *worker)
{
    if (worker->is_retiring || worker->is_draining)
        return;
    if (look.on_due == NULL) {
        timer_init(&look, on_look);
        list_init(&fetches);
    }
    timer_disarm(&look);
    on_look(&look);
}

void
keys_fetch_stop(void)
{
    if (look.on_due == NULL)
        return;
    timer_disarm(&look);
    while (!list_is_empty(&fetches)) {
        struct keys_fetch *fetch = container_of(fetches.next, struct keys_fetch, link);

        subrequest_cancel(&fetch->subrequest);
        jwt_keys_fail(fetch->keys);
        free_fetch(fetch);
    }
}
