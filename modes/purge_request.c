/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_request.c - the method PURGE.
 *
 *     may it? --> what? --> in effect, being written down (waits) --> answer
 *
 * What is being written down outlives an exchange that vanishes.
 */
#include "config.h"

#include "modes/purge_request.h"

#include "cache/cache_conf.h"
#include "modes/keep.h"
#include "modes/purge_places.h"
#include "modes/road.h"
#include "server/log/escape.h"
#include "server/policy/prefix_set.h"

#include <stdlib.h>

#define TAGS_MAX 256 /* in one request */

struct purge_request {
    struct worker *worker;
    struct exchange *ex; /* NULL: gone */
    struct purge_job *job;
    bool is_done;
};

bool
purge_request_is(const struct exchange *ex)
{
    return ex->request.method == METHOD_OTHER &&
           slice_equal(ex->request.method_name, SLICE("PURGE"));
}

bool
purge_request_is_let(const struct exchange *ex)
{
    const struct cache_conf *conf = ex->route != NULL ? &ex->route->cache : &ex->listener->cache;

    return purge_request_is(ex) && conf->store != NULL &&
           prefix_set_has(conf->purge_from, &ex->client_ip);
}

enum step
purge_request_refuse(struct exchange *ex)
{
    exchange_answer(ex, 403, END_DENIED, "A rule keeps this out of the cache.");
    return STEP_ANSWER;
}

/* ---- what is asked for */

static struct slice
field_named(const struct exchange *ex, struct slice name)
{
    const struct field *field = fields_find_name(&ex->request.fields, name);

    return field != NULL ? slice_trim(field->value) : slice_make(NULL, 0);
}

static bool
is_soft(const struct exchange *ex)
{
    return slice_equal(field_named(ex, SLICE("Purge-Soft")), SLICE("1")) ||
           slice_equal(field_named(ex, SLICE("Fastly-Soft-Purge")), SLICE("1"));
}

static bool
has_tags(const struct exchange *ex)
{
    return fields_has(&ex->request.fields, FIELD_CACHE_TAG) ||
           fields_has(&ex->request.fields, FIELD_SURROGATE_KEY);
}

/* False: there is no such kind. */
static bool
find_kind(const struct exchange *ex, enum purge_kind *kind)
{
    struct slice word = field_named(ex, SLICE("Purge-Kind"));

    *kind = has_tags(ex) ? PURGE_TAG : PURGE_URL;
    if (word.data == NULL)
        return true;
    if (slice_equal_nocase(word, SLICE("site")))
        *kind = PURGE_SITE;
    else if (slice_equal_nocase(word, SLICE("prefix")))
        *kind = PURGE_PREFIX;
    else if (slice_equal_nocase(word, SLICE("url")))
        *kind = PURGE_URL;
    else if (!slice_equal_nocase(word, SLICE("tag")))
        return false;
    return true;
}

/* ---- purges */

static void
add(struct purge_job *job, struct exchange *ex, const struct purge_wish *wish)
{
    if (ex->site != NULL)
        purge_site(job, &ex->arena, ex->site, wish);
    else
        purge_listener(job, &ex->arena, ex->listener, wish);
}

/* The number of tags in a field; no more than TAGS_MAX + 1 are counted. */
static unsigned
add_tags(struct purge_job *job, struct exchange *ex, struct purge_wish *wish, enum field_id id)
{
    const struct field *field = NULL;
    unsigned count = 0;

    while ((field = fields_next(&ex->request.fields, id, field)) != NULL) {
        struct slice list = field->value, tag;

        while (count <= TAGS_MAX && keep_next_tag(&list, &tag)) {
            wish->text = keep_tag_text(&ex->arena, keep_site_name(ex), tag);
            add(job, ex, wish);
            count++;
        }
    }
    return count;
}

static bool
add_all_tags(struct purge_job *job, struct exchange *ex, struct purge_wish *wish)
{
    unsigned count = 0;

    if (fields_has(&ex->request.fields, FIELD_CACHE_TAG))
        count += add_tags(job, ex, wish, FIELD_CACHE_TAG);
    if (fields_has(&ex->request.fields, FIELD_SURROGATE_KEY))
        count += add_tags(job, ex, wish, FIELD_SURROGATE_KEY);
    return count > 0 && count <= TAGS_MAX;
}

/* False: that cannot be done. */
static bool
add_wishes(struct purge_job *job, struct exchange *ex)
{
    struct public_url url = keep_public_url(ex);
    struct purge_wish wish = { .is_soft = is_soft(ex), .url = &url };

    if (!find_kind(ex, &wish.kind))
        return false;
    if (wish.kind == PURGE_TAG)
        return add_all_tags(job, ex, &wish);
    wish.text = keep_site_name(ex);
    add(job, ex, &wish);
    return true;
}

/* ---- the answer */

static struct slice
json_text(struct exchange *ex, struct slice text)
{
    size_t room = text.bytes * 6 + ESCAPE_ROOM_MIN;
    char *out = arena_alloc(&ex->arena, room);
    bool is_cut = false;

    if (out == NULL)
        return slice_make("", 0);
    return slice_make(out, (size_t)(escape_put(ESCAPE_JSON, out, out + room, text, &is_cut) - out));
}

static struct slice
what(struct exchange *ex, enum purge_kind kind)
{
    struct public_url url = keep_public_url(ex);
    bool has_cache_tag = fields_has(&ex->request.fields, FIELD_CACHE_TAG);
    enum field_id id = has_cache_tag ? FIELD_CACHE_TAG : FIELD_SURROGATE_KEY;

    switch (kind) {
    case PURGE_URL:
    case PURGE_PREFIX:
        return public_url_text(&ex->arena, &url);
    case PURGE_TAG:
        return fields_joined(&ex->request.fields, id, &ex->arena);
    case PURGE_SITE:
        break;
    }
    return keep_site_name(ex);
}

static enum step
answer(struct exchange *ex, struct purge_job *job)
{
    static const char *const words[] = { "url", "tag", "site", "prefix" };
    enum purge_kind kind;
    struct slice body;

    if (!purge_job_is_good(job)) {
        exchange_answer(ex, job->error != 0 ? 500 : 503, END_LIMIT,
                        arena_strdup(&ex->arena, job->err.text));
        return STEP_ANSWER;
    }
    find_kind(ex, &kind);
    body = arena_printf(&ex->arena, "{\"purged\":\"%s\",\"soft\":%s,\"what\":\"%.*s\"}\n",
                        words[kind], is_soft(ex) ? "true" : "false",
                        SLICE_ARG(json_text(ex, what(ex, kind))));
    exchange_answer_with(ex, 200, END_ANSWERED, "application/json", body);
    fields_add(&ex->response.fields, &ex->arena, FIELD_CACHE_CONTROL, SLICE("no-store"));
    return STEP_ANSWER;
}

/* ---- the way */

static void
free_request(struct purge_request *request)
{
    purge_job_free(request->job);
    free(request);
}

static void
on_done(struct purge_job *job)
{
    struct purge_request *request = job->arg;

    request->worker->errands--;
    request->is_done = true;
    if (request->ex != NULL)
        road_resume(request->ex);
    else
        free_request(request);
}

static enum step
refuse(struct exchange *ex)
{
    exchange_decide(ex, DECISION_DENY, &ex->cached->conf->place, "client is not in purge_from");
    exchange_answer(ex, 403, END_DENIED, "Your address may not purge anything here.");
    return STEP_ANSWER;
}

static struct purge_request *
new_request(struct exchange *ex)
{
    struct purge_request *request = calloc(1, sizeof(*request));

    if (request == NULL)
        return NULL;
    *request = (struct purge_request){ .worker = ex->worker, .ex = ex };
    request->job = purge_job_new(ex->worker->loop, on_done, request);
    if (request->job != NULL)
        return request;
    free(request);
    return NULL;
}

static enum step
begin(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct purge_request *request;

    cached->state = CACHED_PURGE;
    if (!prefix_set_has(cached->conf->purge_from, &ex->client_ip))
        return refuse(ex);
    request = cached->purge = new_request(ex);
    if (request == NULL) {
        exchange_answer(ex, 503, END_LIMIT, "There is no memory for it.");
        return STEP_ANSWER;
    }
    if (!add_wishes(request->job, ex)) {
        exchange_answer(ex, 400, END_BAD_REQUEST,
                        "Purge-Kind is url, tag, prefix or site; 1 to 256 tags can be purged at "
                        "a time.");
        return STEP_ANSWER;
    }
    request->job->is_short |= arena_is_spent(&ex->arena);
    if (!purge_job_start(request->job)) {
        request->is_done = true;
        return answer(ex, request->job);
    }
    ex->worker->errands++;
    return STEP_WAIT;
}

enum step
purge_request(struct exchange *ex)
{
    struct purge_request *request = ex->cached->purge;

    if (request == NULL)
        return begin(ex);
    return request->is_done ? answer(ex, request->job) : STEP_WAIT;
}

void
purge_request_end(struct exchange *ex)
{
    struct purge_request *request = ex->cached->purge;

    if (request == NULL)
        return;
    ex->cached->purge = NULL;
    if (request->is_done || request->job->waiting == 0)
        free_request(request);
    else
        request->ex = NULL;
}
