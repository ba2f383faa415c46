/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite.c - replaces and inserts text in content as it passes.
 *
 *     inner --decode--> --replace--> --insert--> reader
 *
 * On the side of fetch it is done once, and what is stored is what was made: for sites. On
 * that of delivery, for each client: listeners that share a cache do not see what another one
 * makes of content.
 */
#include "config.h"

#include "filters/rewrite.h"

#include "filters/content_field.h"
#include "filters/field_set.h"
#include "filters/rewrite_options.h"

#define BUFFER_BYTES 16384u
#define AGAIN_MS 20u     /* what is unsure is looked at again when nothing more comes */
#define RATIO_MAX 1000u  /* decoded by coded */
#define VALUE_MORE 1024u /* bytes that a field's value may grow by */

enum { CONTENTS, REPLACED, INSERTED, FIELDS, UNREADABLE, TOO_LONG, LIMITS };

static struct filter_counts counts = {
    .events = { [CONTENTS] = "contents", [REPLACED] = "replaced", [INSERTED] = "inserted",
                [FIELDS] = "fields", [UNREADABLE] = "unreadable", [TOO_LONG] = "too_long",
                [LIMITS] = "limits" },
};

/* What happens to the content of one direction. */
struct plan {
    struct codings codings;
    bool is_wanted, is_html;
};

struct state {
    struct plan request, response;
};

/* ---- layers */

struct replace_layer {
    struct transform transform;
    struct rewrite_replacer replacer;
    const struct rewrite_conf *conf;
    struct exchange *ex;
    bool is_request, is_told;
};

static void
tell_limit(struct replace_layer *layer)
{
    bool refuses = layer->conf->on_limit == ON_LIMIT_REFUSE;

    if (!layer->replacer.has_limit || layer->is_told)
        return;
    layer->is_told = true;
    filter_count(layer->ex, &counts, LIMITS, 1);
    exchange_decide(layer->ex, DECISION_FILTER, &layer->conf->filter.place,
                    "rewrite: a limit was hit: the rest %s", refuses ? "is cut" : "passes");
    if (refuses && layer->is_request)
        exchange_refuse(layer->ex, 413, END_LIMIT, "The content is too much to look through.");
}

static enum transform_result
replace(struct transform *transform, struct transform_step *step)
{
    struct replace_layer *layer = container_of(transform, struct replace_layer, transform);
    uint64_t before = layer->replacer.replaced;
    enum transform_result result = rewrite_replacer_work(
        &layer->replacer, layer->conf->on_limit == ON_LIMIT_REFUSE, step);

    if (layer->replacer.replaced > before)
        filter_count(layer->ex, &counts, REPLACED, layer->replacer.replaced - before);
    tell_limit(layer);
    return result;
}

static void
release_replace(struct transform *transform)
{
    rewrite_replacer_fini(&container_of(transform, struct replace_layer, transform)->replacer);
}

static struct source *
add_replace(const struct rewrite_conf *conf, struct exchange *ex, struct source *inner,
            bool is_request)
{
    static const struct transform_ops ops = { .work = replace, .release = release_replace };
    struct replace_layer *layer = arena_zalloc(&ex->arena, sizeof(*layer));
    uint64_t most = conf->max_bytes > 0 ? conf->max_bytes : UINT64_MAX;

    if (layer == NULL || rewrite_replacer_init(&layer->replacer, conf->rules, most,
                                               &ex->arena) < 0)
        return inner; /* the arena remembers: the exchange is answered 503 */
    layer->conf = conf;
    layer->ex = ex;
    layer->is_request = is_request;
    return transform_begin(&layer->transform, ex, inner, &ops, BUFFER_BYTES, AGAIN_MS);
}

struct insert_layer {
    struct transform transform;
    struct rewrite_inserter inserter;
    struct exchange *ex;
};

static enum transform_result
insert(struct transform *transform, struct transform_step *step)
{
    struct insert_layer *layer = container_of(transform, struct insert_layer, transform);
    unsigned before = layer->inserter.inserted;
    enum transform_result result = rewrite_inserter_work(&layer->inserter, step);

    if (layer->inserter.inserted > before)
        filter_count(layer->ex, &counts, INSERTED, layer->inserter.inserted - before);
    return result;
}

static struct source *
add_insert(const struct rewrite_conf *conf, struct exchange *ex, struct source *inner)
{
    static const struct transform_ops ops = { .work = insert };
    struct insert_layer *layer = arena_zalloc(&ex->arena, sizeof(*layer));

    if (layer == NULL)
        return inner;
    rewrite_inserter_init(&layer->inserter, conf->texts);
    layer->ex = ex;
    return transform_begin(&layer->transform, ex, inner, &ops, BUFFER_BYTES, TRANSFORM_NO_FLUSH);
}

/* NULL never: what has no memory stays as it is, and the exchange is refused. */
static struct source *
add_layers(const struct rewrite_conf *conf, const struct plan *plan, struct exchange *ex,
           struct source *inner, bool is_request)
{
    const struct decode_plan decoding = {
        .codings = plan->codings, .max_ratio = RATIO_MAX, .is_request = is_request,
        .max_bytes = is_request ? ex->body_limit_bytes : 0,
    };
    struct source *source = decode_begin(ex, inner, &decoding);

    if (source != NULL && conf->rules != NULL)
        source = add_replace(conf, ex, source, is_request);
    if (source != NULL && plan->is_html && conf->inserts)
        source = add_insert(conf, ex, source);
    return source != NULL ? source : inner;
}

/* ---- which content */

/* Of encodings in which ASCII is ASCII. None is said: it is one of them. */
static bool
is_readable(struct slice type)
{
    static const struct slice families[] = {
        SLICE_INIT("utf-8"), SLICE_INIT("utf8"), SLICE_INIT("us-ascii"), SLICE_INIT("ascii"),
        SLICE_INIT("iso-8859-"), SLICE_INIT("windows-"), SLICE_INIT("koi8-"), SLICE_INIT("euc-"),
        SLICE_INIT("latin"), SLICE_INIT("macintosh"),
    };
    struct parameter p;

    content_field_take_value(&type);
    while (parameter_next(&type, &p) == PARAMETER_FOUND) {
        if (!slice_equal_nocase(p.name, SLICE("charset")))
            continue;
        for (size_t i = 0; i < ARRAY_COUNT(families); i++)
            if (p.value.bytes >= families[i].bytes &&
                slice_equal_nocase(slice_make(p.value.data, families[i].bytes), families[i]))
                return true;
        return false;
    }
    return true;
}

static bool
is_of_types(const struct rewrite_conf *conf, struct slice type)
{
    struct slice essence = content_field_value(type);

    for (size_t i = 0; i < conf->types.count; i++)
        if (content_type_is(essence, conf->types.items[i]))
            return is_readable(type);
    return false;
}

/* Reads the codings of a message whose content is of interest. */
static bool
plan_for(const struct rewrite_conf *conf, struct plan *plan, struct exchange *ex,
         const struct fields *fields)
{
    struct slice type = fields_get(fields, FIELD_CONTENT_TYPE);

    if (!is_of_types(conf, type))
        return false;
    plan->is_html = slice_equal_nocase(content_field_value(type), SLICE("text/html"));
    if (conf->rules == NULL && !plan->is_html)
        return false;
    if (!codings_read(fields, &plan->codings) || !codings_can_decode(&plan->codings)) {
        filter_count(ex, &counts, UNREADABLE, 1);
        return false;
    }
    plan->is_wanted = true;
    return true;
}

/* Of HEAD, the length that GET would tell. */
static bool
is_too_long(const struct rewrite_conf *conf, const struct exchange *ex)
{
    uint64_t bytes = ex->response.length;

    if (ex->request.method == METHOD_HEAD &&
        !slice_to_u64(fields_get(&ex->response.fields, FIELD_CONTENT_LENGTH), UINT64_MAX - 1,
                      &bytes))
        return false;
    return conf->max_bytes > 0 && bytes != LENGTH_UNKNOWN && bytes > conf->max_bytes;
}

static bool
is_of_interest(const struct exchange *ex)
{
    const struct response *response = &ex->response;

    return response->status >= 200 && response->status != 204 && response->status != 304 &&
           ex->request.method != METHOD_CONNECT && response->body != &ex->made_up.source &&
           (response->body != NULL || ex->request.method == METHOD_HEAD) &&
           content_may_change_response(ex);
}

static enum filter_verdict
plan_response(const struct rewrite_conf *conf, struct plan *plan, struct exchange *ex)
{
    if (!is_of_interest(ex) || !plan_for(conf, plan, ex, &ex->response.fields))
        return FILTER_NEXT;
    if (is_too_long(conf, ex)) {
        plan->is_wanted = false;
        filter_count(ex, &counts, TOO_LONG, 1);
        if (conf->on_limit == ON_LIMIT_PASS)
            return FILTER_NEXT;
        exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "rewrite: over max_size");
        exchange_answer(ex, 502, END_LIMIT, "The content is too much to look through.");
        return FILTER_ANSWER;
    }
    filter_count(ex, &counts, CONTENTS, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "rewrite: looks through %s",
                    plan->is_html ? "HTML" : "text");
    if (plan->codings.count > 0)
        decode_response_head(ex);
    else
        content_changes_response(ex);
    return FILTER_NEXT;
}

/* ---- fields */

/* The value with its replacements, or itself: when there are none, when it would grow beyond
 * bounds, or be no value any more. */
static struct slice
rewrite_value(const struct rewrite_conf *conf, struct exchange *ex, struct slice value)
{
    struct transform_step step = { .in = value.data, .in_bytes = value.bytes,
                                   .out_bytes = value.bytes + VALUE_MORE };
    struct rewrite_replacer replacer;
    bool is_whole;

    step.out = arena_alloc(&ex->arena, step.out_bytes);
    if (step.out == NULL ||
        rewrite_replacer_init(&replacer, conf->rules, UINT64_MAX, &ex->arena) < 0)
        return value;
    is_whole = rewrite_replacer_work(&replacer, true, &step) != TRANSFORM_FAILED &&
               step.taken == step.in_bytes;
    step.in_bytes = step.taken = 0;
    step.is_end = true;
    is_whole = is_whole && rewrite_replacer_work(&replacer, true, &step) == TRANSFORM_DONE;
    rewrite_replacer_fini(&replacer);
    if (!is_whole || replacer.replaced == 0 ||
        field_check_value(slice_make(step.out, step.made), NULL) < 0)
        return value;
    filter_count(ex, &counts, FIELDS, 1);
    return slice_make(step.out, step.made);
}

static void
rewrite_fields(const struct rewrite_conf *conf, struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;

    for (uint32_t i = 0; i < fields->count; i++)
        for (size_t j = 0; j < conf->fields.count; j++)
            if (slice_equal_nocase(fields->items[i].name, conf->fields.items[j]) &&
                fields->items[i].value.bytes > 0)
                fields->items[i].value = rewrite_value(conf, ex, fields->items[i].value);
}

static enum filter_verdict
response_head(const struct rewrite_conf *conf, struct state *state, struct exchange *ex)
{
    if (ex->response.status == 304)
        content_not_modified(ex);
    if (conf->rules != NULL && ex->response.body != &ex->made_up.source)
        rewrite_fields(conf, ex);
    return plan_response(conf, &state->response, ex);
}

/* ---- hooks */

/* Of the codings that the client takes, those that can be taken off. */
static void
narrow_codings(struct exchange *ex)
{
    struct fields *fields = &ex->request.fields;
    struct slice list = fields_joined(fields, FIELD_ACCEPT_ENCODING, &ex->arena), element, kept;

    if (!fields_has(fields, FIELD_ACCEPT_ENCODING))
        return;
    kept = slice_make("", 0);
    while (slice_next_element(&list, &element)) {
        struct slice name = content_field_value(element);
        enum coding coding = coding_of(name);

        if (coding == CODING_UNKNOWN || !coding_can_decode(coding))
            continue;
        kept = arena_join(&ex->arena, (struct slice[]){ kept, kept.bytes > 0 ? SLICE(", ") : kept,
                                                        element }, 3);
    }
    fields_set(fields, &ex->arena, FIELD_ACCEPT_ENCODING,
               kept.bytes > 0 ? kept : SLICE("identity"));
}

/* Parts are never changed, so whole contents are asked for. */
static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct rewrite_conf *conf = arg;
    struct state *state = memory;

    fields_remove(&ex->request.fields, FIELD_RANGE);
    fields_remove(&ex->request.fields, FIELD_IF_RANGE);
    narrow_codings(ex);
    if (!conf->requests || conf->rules == NULL || ex->request.body == NULL ||
        !content_may_change_request(ex) ||
        !plan_for(conf, &state->request, ex, &ex->request.fields))
        return FILTER_NEXT;
    filter_count(ex, &counts, CONTENTS, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "rewrite: looks through the request");
    if (state->request.codings.count > 0)
        decode_request_head(ex);
    else
        content_changes_request(ex);
    state->request.is_html = false;
    return FILTER_NEXT;
}

static struct source *
request_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    const struct state *state = memory;

    return state->request.is_wanted ? add_layers(arg, &state->request, ex, inner, true) : inner;
}

static enum filter_verdict
fetch_head(const void *arg, void *memory, struct exchange *ex)
{
    return response_head(arg, memory, ex);
}

static struct source *
fetch_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    const struct state *state = memory;

    return state->response.is_wanted ? add_layers(arg, &state->response, ex, inner, false) : inner;
}

static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct rewrite_conf *conf = arg;

    return conf->side == SIDE_DELIVER ? response_head(conf, memory, ex) : FILTER_NEXT;
}

static struct source *
deliver_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    const struct rewrite_conf *conf = arg;
    const struct state *state = memory;

    return conf->side == SIDE_DELIVER && state->response.is_wanted
               ? add_layers(conf, &state->response, ex, inner, false) : inner;
}

static bool
works_on_fetch(const void *arg)
{
    return ((const struct rewrite_conf *)arg)->side == SIDE_FETCH;
}

const struct filter_ops rewrite_filter = {
    .name = "rewrite",
    .text = "Replaces and inserts text in content, and in response fields.",
    .options = rewrite_options,
    .conf_bytes = sizeof(struct rewrite_conf),
    .state_bytes = sizeof(struct state),
    .counts = &counts,
    .finish = rewrite_finish,
    .works_on_fetch = works_on_fetch,
    .request_head = request_head,
    .request_body = request_body,
    .fetch_head = fetch_head,
    .fetch_body = fetch_body,
    .deliver_head = deliver_head,
    .deliver_body = deliver_body,
};
