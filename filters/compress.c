/* SPDX-License-Identifier: BSD-2-Clause */
/* compress.c - codes content for clients that accept it, on the side of delivery.
 *
 * What is stored stays as it came; each client gets the coding that it likes best. Whether a
 * response may be coded at all does not depend on who asks, and where it may be, Vary says
 * so to caches behind us, whether it was coded or not (RFC 9110 section 12.5.5).
 *
 * Coded content is another representation, so its strong entity tag becomes a weak one
 * (RFC 9110 section 8.8.1). A client that comes back with that one is answered alike:
 * - If-None-Match compares weakly anyway; a 304 then has the tag that the client knows;
 * - If-Match means this very version of the resource, whatever it was coded with: the origin
 *   is asked for the strong one.
 * If-Range stays, and does not match: parts are of other bytes.
 */
#include "config.h"

#include "filters/compress_inside.h"

/* What the client accepts is read on the way in: the cache and other filters ask upstream for
 * something else. An answer from before that is to the request as it came. */
struct state {
    struct compress_content content;
    struct coding_wishes wishes;
    bool has_range;
    bool is_read; /* both of them */
};

static void
read_request(struct state *state, const struct exchange *ex)
{
    if (state->is_read)
        return;
    coding_wishes_read(&state->wishes, &ex->request.fields);
    state->has_range = fields_has(&ex->request.fields, FIELD_RANGE);
    state->is_read = true;
}

/* ---- which content */

/* LENGTH_UNKNOWN: nobody says. */
static uint64_t
length_of(const struct response *response)
{
    struct slice said;
    uint64_t length;

    if (response->body != NULL)
        return response->length;
    said = fields_get(&response->fields, FIELD_CONTENT_LENGTH); /* to HEAD: of GET's */
    if (said.data == NULL || !slice_to_u64(said, LENGTH_UNKNOWN - 1, &length))
        return LENGTH_UNKNOWN;
    return length;
}

static bool
is_coded(const struct fields *fields)
{
    struct codings codings;

    return fields_has(fields, FIELD_CONTENT_ENCODING) &&
           (!codings_read(fields, &codings) || codings.count > 0);
}

/* Whether some client may get this response coded, or, of a part (206), the whole of it:
 * a part has the fields of the whole (RFC 9110 section 15.3.7). */
static bool
is_for_coding(const struct compress_conf *conf, const struct exchange *ex)
{
    const struct response *response = &ex->response;
    bool is_part = response->status == 206;

    return compress_has_status(conf, is_part ? 200 : response->status) &&
           response->status != 204 && response->status != 304 &&
           ex->request.method != METHOD_CONNECT &&
           (response->body != NULL || ex->request.method == METHOD_HEAD) &&
           compress_type_is_in(&conf->types, fields_get(&response->fields, FIELD_CONTENT_TYPE)) &&
           (is_part || length_of(response) >= conf->min_bytes) && !is_coded(&response->fields) &&
           !content_forbids_transform(&response->fields);
}

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    (void)arg;
    read_request(state, ex);
    content_matches_strongly(ex);
    return FILTER_NEXT;
}

/* ---- the response */

static enum coding
choose(const struct compress_conf *conf, struct state *state, const struct exchange *ex)
{
    read_request(state, ex);
    if (state->has_range) /* who asks for parts counts bytes */
        return CODING_IDENTITY;
    if (!content_may_change_response(ex))
        return CODING_IDENTITY;
    return coding_choose(&state->wishes, conf->order, conf->order_count);
}

static bool
is_wanted_at_once(const struct compress_conf *conf, const struct exchange *ex)
{
    return conf->flush_ms == 0 ||
           compress_type_is_in(&conf->flush_types,
                               fields_get(&ex->response.fields, FIELD_CONTENT_TYPE));
}

/* Sets memory aside for it; HEAD takes none. */
static bool
prepare(const struct compress_conf *conf, struct compress_content *content, struct exchange *ex,
        enum coding coding)
{
    struct compress_plan plan = {
        .coding = coding,
        .level = (int)conf->levels[coding],
        .length = ex->response.length,
        .whole_bytes = is_wanted_at_once(conf, ex) ? 0 : (size_t)conf->whole_bytes,
    };

    return ex->response.body == NULL ||
           compress_content_reserve(content, ex, &plan, conf->memory_bytes);
}

static void
count(struct exchange *ex, enum coding coding)
{
    filter_count(ex, &compress_counts,
                 coding == CODING_ZSTD ? COMPRESS_ZSTD
                 : coding == CODING_BR ? COMPRESS_BR
                                       : COMPRESS_GZIP, 1);
}

static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct compress_conf *conf = arg;
    struct state *state = memory;
    enum coding coding;

    if (ex->response.status == 304) {
        content_varies(ex, FIELD_ACCEPT_ENCODING);
        content_not_modified(ex);
        return FILTER_NEXT;
    }
    if (!is_for_coding(conf, ex))
        return FILTER_NEXT;
    content_varies(ex, FIELD_ACCEPT_ENCODING);
    coding = choose(conf, state, ex);
    if (coding == CODING_IDENTITY) {
        filter_count(ex, &compress_counts, COMPRESS_NOT_ACCEPTED, 1);
        return FILTER_NEXT;
    }
    if (!prepare(conf, &state->content, ex, coding)) {
        filter_count(ex, &compress_counts, COMPRESS_NO_MEMORY, 1);
        return FILTER_NEXT;
    }
    content_changes_response(ex);
    fields_set(&ex->response.fields, &ex->arena, FIELD_CONTENT_ENCODING, coding_name(coding));
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "compress: %.*s",
                    SLICE_ARG(coding_name(coding)));
    count(ex, coding);
    return FILTER_NEXT;
}

static struct source *
deliver_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    const struct compress_conf *conf = arg;
    struct state *state = memory;
    struct compress_content *content = &state->content;

    if (content->ops == NULL)
        return inner;
    return compress_content_begin(content, inner, is_wanted_at_once(conf, ex) ? 0 : conf->flush_ms);
}

const struct filter_ops compress_filter = {
    .name = "compress",
    .text = "Compresses content for clients that accept it: gzip, br, zstd.",
    .options = compress_options,
    .conf_bytes = sizeof(struct compress_conf),
    .state_bytes = sizeof(struct state),
    .counts = &compress_counts,
    .finish = compress_options_finish,
    .request_head = request_head,
    .deliver_head = deliver_head,
    .deliver_body = deliver_body,
};
