/* SPDX-License-Identifier: BSD-2-Clause */
/* decompress.c - takes content codings off: for clients that do not accept them, for filters
 * that look into content, and for servers that cannot read coded requests.
 *
 * Decoding is where little input makes much work, so it is bounded: by length, and by how
 * much more comes out than went in. A response that goes over is cut short, as its length is
 * not known before; a request gets 413, and the server does not take what it has for the
 * whole.
 */
#include "config.h"

#include "filters/decompress.h"

#include "filters/coding.h"

enum responses { UNACCEPTED, DELIVERED, FETCHED, OFF };

static const char *const response_words[] = {
    [UNACCEPTED] = "unaccepted",
    [DELIVERED] = "delivered",
    [FETCHED] = "fetched",
    [OFF] = "off",
    NULL,
};

struct decompress_conf {
    struct filter_conf filter;
    int responses; /* enum responses */
    bool requests;
    uint64_t max_bytes;
    int64_t max_ratio;
};

struct state {
    struct codings request, response; /* what is taken off; none: nothing is */
    struct coding_wishes wishes;      /* of the client, before the cache or a filter asks
                                       * upstream for something else */
    bool is_read;                     /* the wishes are */
};

static const struct option options[] = {
    { .name = "responses", .type = OPTION_ENUM, .words = response_words, .fallback = "unaccepted",
      .offset = offsetof(struct decompress_conf, responses),
      .text = "Which responses are decoded. unaccepted: on delivery, those whose coding the "
              "client does not accept. delivered: on delivery, all. fetched: all, before they "
              "are stored and before filters of that side look at them. off: none." },
    { .name = "requests", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct decompress_conf, requests),
      .text = "Requests with Content-Encoding are decoded, for servers and for the filters "
              "behind this one; codings that are not known get 415." },
    { .name = "max", .type = OPTION_SIZE, .fallback = "256M",
      .offset = offsetof(struct decompress_conf, max_bytes),
      .text = "Longest decoded content; 0: any. For requests, the limit of their content counts "
              "as well. Longer gets 413; a response is cut short. What decoders have in memory, "
              "all together, is bounded by held_content: 503." },
    { .name = "max_ratio", .type = OPTION_INT, .fallback = "200", .min = 0, .max = 100000,
      .offset = offsetof(struct decompress_conf, max_ratio),
      .text = "So many times as long as it came may content become, beyond the first megabyte; "
              "0: any." },
    { .name = NULL },
};

/* ---- counted */

enum { RESPONSES, REQUESTS, REFUSED, STOPPED, BROKEN };

static struct filter_counts counts = { .events = {
    [RESPONSES] = "responses",
    [REQUESTS] = "requests",
    [REFUSED] = "refused",
    [STOPPED] = "stopped",
    [BROKEN] = "broken",
} };

static void
on_failed(struct exchange *ex, void *arg, enum decode_failure failure)
{
    (void)arg;
    switch (failure) {
    case DECODE_TOO_LONG:
    case DECODE_TOO_DENSE:
    case DECODE_NO_MEMORY:
        filter_count(ex, &counts, STOPPED, 1);
        return;
    case DECODE_BROKEN:
    case DECODE_CUT_SHORT:
        filter_count(ex, &counts, BROKEN, 1);
        return;
    }
}

static struct decode_plan
plan_of(const struct decompress_conf *conf, const struct codings *codings)
{
    return (struct decode_plan){
        .codings = *codings,
        .max_bytes = conf->max_bytes,
        .max_ratio = (uint32_t)conf->max_ratio,
        .on_failed = on_failed,
    };
}

static void
decide(struct exchange *ex, const struct decompress_conf *conf, const struct codings *codings,
       const char *what)
{
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "decompress: %s, %.*s%s", what,
                    SLICE_ARG(coding_name(codings->items[0])), codings->count > 1 ? " ..." : "");
}

static void
read_wishes(struct state *state, const struct exchange *ex)
{
    if (!state->is_read)
        coding_wishes_read(&state->wishes, &ex->request.fields);
    state->is_read = true;
}

/* ---- requests */

/* RFC 9110 sections 15.5.16 and 12.5.3. */
static enum filter_verdict
refuse(const struct decompress_conf *conf, struct exchange *ex)
{
    struct slice accepted = SLICE("");

    exchange_decide(ex, DECISION_FILTER, &conf->filter.place,
                    "decompress: the request's coding is not known");
    exchange_answer(ex, 415, END_BAD_REQUEST, "The coding of the request's content is not known.");
    for (enum coding coding = CODING_GZIP; coding < CODING_UNKNOWN; coding++)
        if (coding_can_decode(coding))
            accepted = arena_printf(&ex->arena, "%.*s%s%.*s", SLICE_ARG(accepted),
                                    accepted.bytes > 0 ? ", " : "",
                                    SLICE_ARG(coding_name(coding)));
    fields_set(&ex->response.fields, &ex->arena, FIELD_ACCEPT_ENCODING, accepted);
    filter_count(ex, &counts, REFUSED, 1);
    return FILTER_ANSWER;
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct decompress_conf *conf = arg;
    struct state *state = memory;
    struct codings codings;

    if (conf->responses == UNACCEPTED)
        read_wishes(state, ex);
    if (conf->responses != OFF)
        content_matches_strongly(ex);
    if (!conf->requests || ex->request.body == NULL || !content_may_change_request(ex))
        return FILTER_NEXT;
    if (!codings_read(&ex->request.fields, &codings) || !codings_can_decode(&codings))
        return refuse(conf, ex);
    if (codings.count == 0)
        return FILTER_NEXT;
    state->request = codings;
    decode_request_head(ex);
    filter_count(ex, &counts, REQUESTS, 1);
    decide(ex, conf, &codings, "request");
    return FILTER_NEXT;
}

static struct source *
request_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct state *state = memory;
    struct decode_plan plan = plan_of(arg, &state->request);

    plan.is_request = true;
    if (ex->body_limit_bytes > 0 &&
        (plan.max_bytes == 0 || plan.max_bytes > ex->body_limit_bytes))
        plan.max_bytes = ex->body_limit_bytes;
    return decode_begin(ex, inner, &plan);
}

/* ---- responses */

static bool
accepts(struct state *state, const struct exchange *ex, const struct codings *codings)
{
    read_wishes(state, ex);
    for (unsigned i = 0; i < codings->count; i++)
        if (!coding_is_accepted(&state->wishes, codings->items[i]))
            return false;
    return true;
}

/* Fills codings. False: there is nothing that can be taken off. */
static bool
is_decodable(const struct exchange *ex, struct codings *codings)
{
    return fields_has(&ex->response.fields, FIELD_CONTENT_ENCODING) &&
           codings_read(&ex->response.fields, codings) && codings->count > 0 &&
           codings_can_decode(codings) && content_may_change_response(ex);
}

static void
decode(const struct decompress_conf *conf, struct state *state, struct exchange *ex,
       const struct codings *codings)
{
    decode_response_head(ex);
    if (ex->response.body == NULL)
        return;
    state->response = *codings;
    filter_count(ex, &counts, RESPONSES, 1);
    decide(ex, conf, codings, "response");
}

static enum filter_verdict
fetch_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct decompress_conf *conf = arg;
    struct codings codings;

    if (ex->response.status == 304)
        content_not_modified(ex);
    else if (is_decodable(ex, &codings))
        decode(conf, memory, ex, &codings);
    return FILTER_NEXT;
}

static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct decompress_conf *conf = arg;
    struct codings codings;

    if (conf->responses != UNACCEPTED && conf->responses != DELIVERED)
        return FILTER_NEXT;
    if (ex->response.status == 304) {
        if (conf->responses == UNACCEPTED)
            content_varies(ex, FIELD_ACCEPT_ENCODING); /* as 200 would (section 15.4.5) */
        content_not_modified(ex);
        return FILTER_NEXT;
    }
    if (!is_decodable(ex, &codings))
        return FILTER_NEXT;
    if (conf->responses == UNACCEPTED)
        content_varies(ex, FIELD_ACCEPT_ENCODING);
    if (conf->responses == DELIVERED || !accepts(memory, ex, &codings))
        decode(conf, memory, ex, &codings);
    return FILTER_NEXT;
}

static struct source *
response_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct state *state = memory;
    struct decode_plan plan = plan_of(arg, &state->response);

    state->response.count = 0; /* the other side's hook finds nothing to take off */
    return decode_begin(ex, inner, &plan);
}

static bool
works_on_fetch(const void *arg)
{
    return ((const struct decompress_conf *)arg)->responses == FETCHED;
}

const struct filter_ops decompress_filter = {
    .name = "decompress",
    .text = "Decodes content, within bounds: for clients that do not accept its coding, for "
            "filters, and of requests.",
    .options = options,
    .conf_bytes = sizeof(struct decompress_conf),
    .state_bytes = sizeof(struct state),
    .counts = &counts,
    .works_on_fetch = works_on_fetch,
    .request_head = request_head,
    .request_body = request_body,
    .fetch_head = fetch_head,
    .fetch_body = response_body,
    .deliver_head = deliver_head,
    .deliver_body = response_body,
};
