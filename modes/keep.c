/* SPDX-License-Identifier: BSD-2-Clause */
/* keep.c - from a response to an object, and what others make out of date. */
#include "config.h"

#include "modes/keep.h"

#include "cache/cache_conf.h"
#include "cache/invalidate.h"
#include "cache/update.h"
#include "cache/validate.h"
#include "server/http/date.h"

/* ---- judging */

static void
add_date(struct exchange *ex, int64_t now)
{
    char text[DATE_BYTES + 1];

    if (fields_has(&ex->response.fields, FIELD_DATE))
        return;
    date_format(text, now);
    fields_add(&ex->response.fields, &ex->arena, FIELD_DATE,
               arena_copy(&ex->arena, slice_make(text, DATE_BYTES)));
}

/* Who may read it by script: what names an origin was made for that one (the Fetch
 * standard, "CORS protocol and HTTP caches"), though many servers forget to say so. */
static bool
is_for_origin(const struct fields *fields)
{
    struct slice value = fields_get(fields, FIELD_ACCESS_CONTROL_ALLOW_ORIGIN);

    return value.bytes > 0 && !slice_equal(value, SLICE("*"));
}

/* A coding was chosen by what the client accepts, whether Vary says so or not; so was
 * none, where others were given one. */
static bool
is_for_encoding(const struct fields *fields, const struct cached *cached)
{
    return fields_has(fields, FIELD_CONTENT_ENCODING) ||
           (cached->vary.bytes > 0 && slice_list_has(cached->vary, SLICE("accept-encoding")));
}

/* The response's Vary, what it should have said there, and what the site always varies
 * on. */
static struct slice
vary_of(struct exchange *ex, const struct cached *cached)
{
    const struct strings *always = &cached->conf->vary_on;
    const struct fields *fields = &ex->response.fields;
    bool is_coded = is_for_encoding(fields, cached);
    bool has_origin = is_for_origin(fields);
    struct fields *copy;

    if (likely(always->count == 0 && !is_coded && !has_origin))
        return vary_names(fields, &ex->arena);
    copy = fields_copy(fields, &ex->arena);
    if (copy == NULL)
        return SLICE("*");
    if (is_coded)
        fields_add(copy, &ex->arena, FIELD_VARY, SLICE("accept-encoding"));
    if (has_origin)
        fields_add(copy, &ex->arena, FIELD_VARY, SLICE("origin"));
    for (size_t i = 0; i < always->count; i++)
        fields_add(copy, &ex->arena, FIELD_VARY, always->items[i]);
    return vary_names(copy, &ex->arena);
}

/* Content-Location says that what came is the target's own representation. */
static bool
is_of_target(struct exchange *ex, const struct cached *cached)
{
    struct slice location = fields_get(&ex->response.fields, FIELD_CONTENT_LOCATION);
    struct invalidate_target target = { cached->parts.scheme, cached->parts.host,
                                        cached->parts.port, cached->parts.url };

    if (location.data == NULL)
        return false;
    return slice_equal(invalidate_resolve(&ex->arena, &target, location), cached->parts.url);
}

static bool
has_valid_range(const struct exchange *ex)
{
    const struct field *field = fields_find(&ex->response.fields, FIELD_CONTENT_RANGE);
    struct byte_range range;
    uint64_t whole;

    return ex->response.status == 206 && field != NULL &&
           fields_next(&ex->response.fields, FIELD_CONTENT_RANGE, field) == NULL &&
           content_range_parse(field->value, &range, &whole) == CONTENT_RANGE_PART &&
           ex->response.length == byte_range_bytes(range);
}

/* A lifetime that only the configuration gives is for URLs that mean the same to
 * everybody: dot segments, escaped ASCII (slashes, NUL, '?'), backslashes and
 * parameters lead some origins to another page than the route was chosen by. */
static bool
is_plain_path(const struct exchange *ex)
{
    struct slice path = ex->request.path;

    if (ex->normal_path.data != NULL && !slice_equal(ex->normal_path, path))
        return false;
    for (size_t i = 0; i < path.bytes; i++) {
        char c = path.data[i];
        bool is_ascii = c == '%' && i + 1 < path.bytes && path.data[i + 1] < '8';

        if (c == ';' || c == '\\' ||
            (is_ascii && !slice_starts_with(slice_skip(path, i), SLICE("%20"))))
            return false;
    }
    return true;
}

void
keep_judge(struct keep *keep, struct exchange *ex, const struct cached *cached, int64_t request_s)
{
    const struct response *response = &ex->response;
    struct lifetime_conf conf = cached->conf->life;
    struct storable_question question;
    int64_t now = cached_now(ex);

    add_date(ex, now);
    if (!is_plain_path(ex))
        conf.default_s = conf.min_s = 0;
    keep->cached = cached;
    directives_of_response(&keep->directives, &response->fields);
    lifetime_of_response(&keep->life, response->status, &response->fields, &keep->directives,
                         &conf, request_s, now);
    question = (struct storable_question){ /* of HEAD: what GET was answered */
        .method = ex->request.method == METHOD_HEAD ? METHOD_GET : ex->request.method,
        .status = response->status,
        .request_fields = &ex->request.fields,
        .response_fields = &response->fields,
        .request = &cached->directives,
        .response = &keep->directives,
        .lifetime = &keep->life,
        .has_content = ex->request.has_body && ex->request.length > 0,
        .is_of_target = ex->request.method == METHOD_POST && is_of_target(ex, cached),
        .has_valid_range = has_valid_range(ex),
        .stores_cookies = cached->conf->stores_cookies,
    };
    keep->verdict = storable_judge(&question);
    keep->vary = slice_make("", 0);
    if (keep->verdict == STORABLE)
        keep->vary = vary_of(ex, cached);
}

/* ---- tags: what an object can be purged by */

/* False: no more fit. What cannot be purged by all of its tags is not stored. */
static bool
add_tag(const struct cached *cached, struct object_head *head, uint64_t *tags,
        enum purge_kind kind, struct slice text)
{
    if (head->tag_count == OBJECT_TAGS_MAX)
        return false;
    tags[head->tag_count++] = purge_tag(store_key(cached->store), kind, text);
    return true;
}

struct slice
keep_site_name(const struct exchange *ex)
{
    return slice_of(ex->site != NULL ? ex->site->name : ex->listener->name);
}

static bool
is_between_tags(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

bool
keep_next_tag(struct slice *list, struct slice *tag)
{
    size_t n = 0;

    while (list->bytes > 0 && is_between_tags(list->data[0]))
        *list = slice_skip(*list, 1);
    while (n < list->bytes && !is_between_tags(list->data[n]))
        n++;
    *tag = slice_make(list->data, n);
    *list = slice_skip(*list, n);
    return n > 0;
}

struct slice
keep_tag_text(struct arena *arena, struct slice site, struct slice tag)
{
    return arena_printf(arena, "%.*s%c%.*s", SLICE_ARG(site), 0, SLICE_ARG(tag));
}

static bool
add_response_tags(struct exchange *ex, const struct cached *cached, struct object_head *head,
                  uint64_t *tags, enum field_id id)
{
    struct slice site = keep_site_name(ex), list, tag;
    const struct field *field = NULL;

    if (!fields_has(&ex->response.fields, id))
        return true;
    while ((field = fields_next(&ex->response.fields, id, field)) != NULL) {
        list = field->value;
        while (keep_next_tag(&list, &tag))
            if (!add_tag(cached, head, tags, PURGE_TAG, keep_tag_text(&ex->arena, site, tag)))
                return false;
    }
    return true;
}

struct public_url
keep_public_url(struct exchange *ex)
{
    const struct request *request = &ex->request;

    return (struct public_url){
        .scheme = request->scheme,
        .host = request->host,
        .port = request->port,
        .resource = request->query.data == NULL
                        ? request->path
                        : arena_printf(&ex->arena, "%.*s?%.*s", SLICE_ARG(request->path),
                                       SLICE_ARG(request->query)),
    };
}

static bool
add_tags(struct exchange *ex, const struct cached *cached, struct object_head *head)
{
    uint64_t *tags = arena_alloc(&ex->arena, OBJECT_TAGS_MAX * sizeof(*tags));
    struct public_url url = keep_public_url(ex);

    head->url = public_url_text(&ex->arena, &url);
    if (tags == NULL)
        return false;
    head->tags = tags;
    return add_tag(cached, head, tags, PURGE_URL,
                   public_url_counting(&ex->arena, &cached->conf->key, &url)) &&
           add_tag(cached, head, tags, PURGE_SITE, keep_site_name(ex)) &&
           add_response_tags(ex, cached, head, tags, FIELD_CACHE_TAG) &&
           add_response_tags(ex, cached, head, tags, FIELD_SURROGATE_KEY);
}

/* ---- places */

struct slice
keep_variant_key(struct arena *arena, const struct cached *cached, struct slice names,
                 uint64_t generation, const struct fields *request)
{
    struct vary_conf vary = cached->conf->vary;
    struct slice values = vary_key(names, request, &vary, arena);
    struct slice device = cached->conf->device ? cache_key_device(request) : slice_make("", 0);
    size_t bytes = cached->key.bytes + 2 + sizeof(generation) + values.bytes + device.bytes + 1;
    char *key = arena_alloc(arena, bytes), *at = key;

    if (key == NULL)
        return slice_make("", 0);
    at = mempcpy(at, cached->key.data, cached->key.bytes);
    *at++ = '\0';
    *at++ = 'v';
    at = mempcpy(at, &generation, sizeof(generation));
    at = mempcpy(at, device.data, device.bytes);
    *at++ = '\0';
    if (values.bytes > 0)
        memcpy(at, values.data, values.bytes);
    return slice_make(key, bytes);
}

uint64_t
keep_variant_generation(const struct cached *cached, const struct object *object)
{
    uint64_t generation;

    if (object->key.bytes < cached->key.bytes + 2 + sizeof(generation))
        return 0;
    memcpy(&generation, object->key.data + cached->key.bytes + 2, sizeof(generation));
    return generation;
}

/* The object that says by what the responses to this URL are told apart. */
static void
put_primary(const struct keep *keep, struct exchange *ex, const struct object_head *response,
            uint64_t generation)
{
    const struct cached *cached = keep->cached;
    struct object_head head = *response;
    struct object *object;

    head.kind = OBJECT_VARIANTS;
    head.status = 0;
    head.hash = cached->hash;
    head.key = cached->key;
    head.generation = generation;
    head.fields = NULL;
    head.vary = keep->vary;
    head.first_byte = head.whole_bytes = 0;
    object = object_new(&head, 0);
    if (object != NULL)
        store_put(cached->store, object);
    object_unref(object);
    (void)ex;
}

/* Where the response belongs. */
static void
find_place(const struct keep *keep, struct exchange *ex, struct object_head *head)
{
    const struct cached *cached = keep->cached;
    bool is_known = cached->vary.data != NULL && slice_equal(cached->vary, keep->vary);

    head->key = cached->key;
    head->hash = cached->hash;
    if (keep->vary.bytes == 0 && !cached->conf->device)
        return;
    head->generation = is_known ? cached->generation : store_new_generation(cached->store);
    head->vary = keep->vary;
    head->key = keep_variant_key(&ex->arena, cached, keep->vary, head->generation,
                                 &ex->request.fields);
    head->hash = store_hash(cached->store, head->key);
    if (!is_known)
        put_primary(keep, ex, head, head->generation);
}

/* ---- objects */

/* Fields that are of this passage, not of the response. */
static bool
is_not_kept(const struct field *field, void *arg)
{
    bool keeps_cookies = *(const bool *)arg;

    return (field->flags & FIELD_HOP) || field->id == FIELD_AGE || field->id == FIELD_TRAILER ||
           (field->id == FIELD_SET_COOKIE && !keeps_cookies);
}

static struct fields *
kept_fields(struct exchange *ex, bool keeps_cookies)
{
    struct fields *fields = fields_copy(&ex->response.fields, &ex->arena);

    if (fields != NULL)
        fields_remove_if(fields, is_not_kept, &keeps_cookies);
    return fields;
}

static void
find_range(const struct exchange *ex, struct object_head *head)
{
    struct byte_range range;

    if (ex->response.status != 206 ||
        content_range_parse(fields_get(&ex->response.fields, FIELD_CONTENT_RANGE), &range,
                            &head->whole_bytes) != CONTENT_RANGE_PART)
        return;
    head->kind = OBJECT_PARTIAL;
    head->first_byte = range.first;
}

struct object *
keep_object(const struct keep *keep, struct exchange *ex, uint64_t seq, uint64_t body_room)
{
    const struct cached *cached = keep->cached;
    struct object_head head = {
        .kind = OBJECT_RESPONSE,
        .status = ex->response.status,
        .site = object_site_id(keep_site_name(ex)),
        .seq = seq,
        .life = keep->life,
        .fields = kept_fields(ex, !cached->conf->stores_cookies),
        .whole_bytes = ex->response.length,
    };

    if (head.fields == NULL)
        return NULL;
    find_range(ex, &head);
    if (!add_tags(ex, cached, &head))
        return NULL;
    find_place(keep, ex, &head);
    if (arena_is_spent(&ex->arena))
        return NULL;
    return object_new(&head, body_room);
}

struct object *
keep_private(struct exchange *ex)
{
    struct object_head head = {
        .kind = OBJECT_RESPONSE,
        .status = ex->response.status,
        .fields = kept_fields(ex, true),
        .key = slice_make("", 0),
        .whole_bytes = ex->response.length,
    };
    struct directives directives;
    struct lifetime_conf none = { 0 };

    if (head.fields == NULL)
        return NULL;
    directives_of_response(&directives, &ex->response.fields);
    lifetime_of_response(&head.life, head.status, &ex->response.fields, &directives, &none,
                         cached_now(ex), cached_now(ex));
    return object_new(&head, 0);
}

struct object *
keep_freshened(struct exchange *ex, const struct cached *cached, struct object *old, uint64_t seq,
               int64_t request_s)
{
    struct fields *fields = fields_copy(&old->fields, &ex->arena);
    struct response from = ex->response;
    struct object *object = NULL;
    struct object_head head;
    struct keep keep;
    bool is_moved = false;

    add_date(ex, cached_now(ex));
    if (fields == NULL)
        return NULL;
    update_fields(fields, &ex->arena, &ex->response.fields);
    from = ex->response;
    ex->response.status = old->status;
    ex->response.fields = *fields;
    keep_judge(&keep, ex, cached, request_s);
    if (keep.verdict == STORABLE) {
        object_head_of(old, &head);
        is_moved = !slice_equal(keep.vary, old->vary);
        head.vary = keep.vary;
        head.seq = seq;
        head.life = keep.life;
        head.fields = kept_fields(ex, true);
        object = head.fields != NULL ? object_freshened(old, &head) : NULL;
    } else if (keep.verdict == NOT_STORABLE_NO_STORE || keep.verdict == NOT_STORABLE_PRIVATE) {
        store_forget(cached->store, old->hash, old->key); /* it is nobody else's any more */
    }
    ex->response = from;
    if (is_moved)
        store_forget(cached->store, old->hash, old->key); /* it would be for too many */
    else if (object != NULL)
        store_put(cached->store, object);
    return object;
}

/* ---- out of date */

void
keep_invalidate(struct exchange *ex)
{
    struct cached *cached = ex->cached;
    struct invalidate_target target = { cached->parts.scheme, cached->parts.host,
                                        cached->parts.port, cached->parts.url };
    struct slice urls[INVALIDATE_MAX];
    unsigned count = invalidate_targets(&ex->arena, ex->request.method, ex->response.status,
                                        &target, &ex->response.fields, urls);

    for (unsigned i = 0; i < count; i++) {
        struct key_parts parts = cached->parts;
        struct slice key;

        parts.url = urls[i];
        key = cache_key_make(&ex->arena, &cached->conf->key, &parts);
        if (key.data != NULL)
            store_forget(cached->store, store_hash(cached->store, key), key);
    }
}
