/* SPDX-License-Identifier: BSD-2-Clause */
/* content.c - refuses responses and uploads by media type, extension, first bytes and size.
 *
 * Responses are judged on the side of delivery, for each client: what came into a cache by
 * way of a listener without these rules, or under earlier ones, is judged like what comes
 * now, and nothing that one listener denies is missing from another's cache. It takes a look
 * at some hundred bytes that are about to be sent anyway.
 *
 * A part of a file tells nothing of what it is. So, while some rule looks at bytes, clients
 * get whole contents, or parts that begin at the beginning.
 */
#include "config.h"

#include "filters/content.h"

#include "filters/content_field.h"
#include "filters/content_inside.h"
#include "filters/hold.h"

#include <stdlib.h>

#define PART_BYTES 4096u /* of the shortest first part that tells enough */
#define STREAM_BYTES 1u /* and one more */
#define ZSTD_BLOCK_BYTES (132u * 1024) /* the largest, and headers */

struct content_state {
    struct hold stream; /* the beginning of what says that it is one */
    struct hold hold;
    bool is_begun;       /* what is said was judged */
    bool is_stream_seen;
    bool is_judged;
    bool is_bounded;
};

struct filter_counts content_counts = {
    .events = { [CONTENT_PASSED] = "passed", [CONTENT_TYPE] = "type",
                [CONTENT_EXTENSION] = "extension", [CONTENT_TRUE_TYPE] = "true_type",
                [CONTENT_MISMATCH] = "mismatch", [CONTENT_SIZE] = "size",
                [CONTENT_UNREADABLE] = "unreadable", [CONTENT_LOGGED] = "logged" },
};

static const char *const mismatch_words[] = {
    [MISMATCH_OFF] = "off", [MISMATCH_LOG] = "log", [MISMATCH_DENY] = "deny", NULL,
};

static const struct option options[] = {
    { .name = "deny_types", .type = OPTION_STRINGS,
      .offset = offsetof(struct content_conf, deny_types),
      .text = "Media types to refuse, as Content-Type says them: \"application/x-msdownload\", "
              "\"video/*\", \"*+zip\"." },
    { .name = "allow_types", .type = OPTION_STRINGS,
      .offset = offsetof(struct content_conf, allow_types),
      .text = "If given, content of other media types is refused, and what does not say its "
              "type." },
    { .name = "deny_extensions", .type = OPTION_STRINGS,
      .offset = offsetof(struct content_conf, deny_extensions),
      .text = "File name extensions to refuse, of the path and of the name in "
              "Content-Disposition: \"exe\", \"scr\". Inner ones count: \"x.exe.txt\"." },
    { .name = "deny_true_types", .type = OPTION_STRINGS,
      .offset = offsetof(struct content_conf, deny_true_types),
      .text = "Refuses what the first bytes show to be such, whatever it is called: executable, "
              "archive, document, image, audio, video, font, or types such as pe, elf, script, "
              "zip, docx, pdf. Ranges then begin at the first byte or are not served." },
    { .name = "on_mismatch", .type = OPTION_ENUM, .words = mismatch_words, .fallback = "off",
      .offset = offsetof(struct content_conf, on_mismatch),
      .text = "What to do when the first bytes are of another kind than type or extension say, "
              "such as a program called an image: off, log or deny." },
    { .name = "min_size", .type = OPTION_SIZE, .fallback = "0",
      .offset = offsetof(struct content_conf, min_bytes),
      .text = "Responses known to be shorter are refused." },
    { .name = "max_size", .type = OPTION_SIZE, .fallback = "0",
      .offset = offsetof(struct content_conf, max_bytes),
      .text = "Longer responses are refused; when the length is not known before, they are cut "
              "there. 0: any length. For requests there is body_limit." },
    { .name = "look_at", .type = OPTION_SIZE, .fallback = "1K", .min = 512, .max = 64 * 1024,
      .offset = offsetof(struct content_conf, look_bytes),
      .text = "How much of the beginning is looked at, before anything is passed on: 4K tell more "
              "of what is in zip files, 36K find ISO images." },
    { .name = "uploads", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct content_conf, uploads),
      .text = "Judges the content of requests too, of forms (multipart/form-data) each file." },
    { .name = "log_only", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct content_conf, log_only),
      .text = "Refuses nothing: counts and writes down what would be." },
    { .name = NULL },
};

/* ---- options */

static int
check_patterns(const char *name, const struct strings *patterns, struct err *err)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (!content_type_pattern_is_valid(patterns->items[i]))
            return err_set(err, "%s: \"%.*s\" is no media type; expected one such as "
                                "\"image/png\", \"image/*\" or \"*+json\"",
                           name, SLICE_ARG(patterns->items[i]));
    return 0;
}

static int
check_extensions(const struct strings *extensions, struct err *err)
{
    for (size_t i = 0; i < extensions->count; i++) {
        struct slice extension = extensions->items[i];

        if (extension.bytes == 0 || slice_find(extension, '.') >= 0 ||
            slice_find(extension, '/') >= 0)
            return err_set(err, "deny_extensions: \"%.*s\" is no extension; expected one without "
                                "a dot, such as \"exe\"", SLICE_ARG(extension));
    }
    return 0;
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct content_conf *conf = arg;

    (void)all;
    (void)arena;
    if (check_patterns("deny_types", &conf->deny_types, err) < 0 ||
        check_patterns("allow_types", &conf->allow_types, err) < 0 ||
        check_extensions(&conf->deny_extensions, err) < 0)
        return -1;
    for (size_t i = 0; i < conf->deny_true_types.count; i++)
        if (true_types_add(&conf->denied, conf->deny_true_types.items[i], err) < 0)
            return err_prefix(err, "deny_true_types: ");
    if (conf->max_bytes > 0 && conf->min_bytes > conf->max_bytes)
        return err_set(err, "min_size is greater than max_size");
    conf->looks = conf->deny_true_types.count > 0 || conf->on_mismatch != MISMATCH_OFF;
    return 0;
}

/* ---- the request */

/* "bytes=0-", or a first part that is long enough. */
static bool
is_first_part(struct slice range)
{
    uint64_t last;

    if (!slice_starts_with(range, SLICE("bytes=0-")))
        return false;
    range = slice_skip(range, 8);
    return range.bytes == 0 || (slice_to_u64(range, UINT64_MAX, &last) && last >= PART_BYTES);
}

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    const struct content_conf *conf = arg;
    struct fields *fields = &ex->request.fields;

    (void)state;
    if (conf->looks && !conf->log_only && fields_has(fields, FIELD_RANGE) &&
        !is_first_part(fields_get(fields, FIELD_RANGE))) {
        fields_remove(fields, FIELD_RANGE);
        fields_remove(fields, FIELD_IF_RANGE);
    }
    return FILTER_NEXT;
}

static struct source *
request_body(const void *arg, void *state, struct exchange *ex, struct source *inner)
{
    const struct content_conf *conf = arg;

    (void)state;
    return conf->uploads ? content_watch_upload(conf, ex, inner) : inner;
}

/* ---- what a response says */

/* What it says of its content, a line of text at most, is of no interest to anyone. What its
 * content is may be. */
static bool
is_redirect(const struct response *response)
{
    return (response->status == 301 || response->status == 302 || response->status == 303 ||
            response->status == 307 || response->status == 308) &&
           fields_has(&response->fields, FIELD_LOCATION);
}

/* Not what we made ourselves. */
static bool
is_of_interest(const struct exchange *ex)
{
    const struct response *response = &ex->response;

    return response->status >= 200 && response->status != 204 && response->status != 304 &&
           ex->request.method != METHOD_CONNECT && response->body != &ex->made_up.source &&
           (response->body != NULL || ex->request.method == METHOD_HEAD);
}

/* The path says what is there only where something is. Of several types browsers take the
 * last one (WHATWG Fetch section 2.2.2). */
static void
gather(struct content_facts *facts, struct exchange *ex)
{
    const struct field *field = NULL;
    struct slice type = { NULL, 0 };

    while ((field = fields_next(&ex->response.fields, FIELD_CONTENT_TYPE, field)) != NULL)
        for (struct slice list = field->value; slice_next_element(&list, &type);)
            continue;
    *facts = (struct content_facts){ .type = content_field_value(type) };
    if (ex->response.status < 300)
        content_add_name(facts, ex->request.path, &ex->arena);
    content_add_dispositions(facts, &ex->response.fields, &ex->arena);
}

/* Bytes of all of it, however much of it this response has. */
static uint64_t
whole_bytes(const struct exchange *ex)
{
    struct slice range = fields_get(&ex->response.fields, FIELD_CONTENT_RANGE);
    ptrdiff_t slash = slice_find(range, '/');
    uint64_t bytes;

    if (ex->response.status == 206 && slash >= 0 &&
        slice_to_u64(slice_skip(range, (size_t)slash + 1), UINT64_MAX - 1, &bytes))
        return bytes;
    if (ex->request.method == METHOD_HEAD &&
        slice_to_u64(fields_get(&ex->response.fields, FIELD_CONTENT_LENGTH), UINT64_MAX - 1,
                     &bytes))
        return bytes;
    return ex->response.length;
}

static struct content_verdict
judge_size(const struct content_conf *conf, struct content_state *state, struct exchange *ex)
{
    uint64_t bytes = whole_bytes(ex);

    if (bytes == LENGTH_UNKNOWN)
        state->is_bounded = conf->max_bytes > 0;
    else if (conf->max_bytes > 0 && bytes > conf->max_bytes)
        return (struct content_verdict){ CONTENT_SIZE, "The content is longer than is allowed "
                                                       "here." };
    else if (bytes < conf->min_bytes && !is_redirect(&ex->response))
        return (struct content_verdict){ CONTENT_SIZE, "The content is shorter than is allowed "
                                                       "here." };
    return (struct content_verdict){ CONTENT_PASSED, NULL };
}

static enum filter_verdict
answer(struct exchange *ex, const struct content_verdict *verdict)
{
    exchange_answer(ex, 403, END_DENIED, verdict->why);
    return FILTER_ANSWER;
}

static struct content_verdict
judge_head(const struct content_conf *conf, struct content_state *state, struct exchange *ex)
{
    struct content_verdict verdict;
    const struct field *field = NULL;
    struct content_facts facts;

    if (is_redirect(&ex->response))
        return judge_size(conf, state, ex);
    gather(&facts, ex);
    verdict = content_judge_said(conf, &ex->arena, &facts);
    while ((field = fields_next(&ex->response.fields, FIELD_CONTENT_TYPE, field)) != NULL)
        for (struct slice list = field->value;
             verdict.why == NULL && slice_next_element(&list, &facts.type);) {
            facts.type = content_field_value(facts.type);
            verdict = content_judge_said(conf, &ex->arena, &facts);
        }
    return verdict.why == NULL ? judge_size(conf, state, ex) : verdict;
}

/* ---- what a response is */

/* Parts that do not begin at the beginning: nobody was asked for them. */
static bool
is_later_part(const struct exchange *ex)
{
    return ex->response.status == 206 &&
           !slice_starts_with(fields_get(&ex->response.fields, FIELD_CONTENT_RANGE),
                              SLICE("bytes 0-"));
}

/* How much to look at. zstd tells nothing before the end of a block (RFC 8878 section
 * 3.1.1.2). */
static size_t
bytes_to_hold(const struct content_conf *conf, const struct exchange *ex)
{
    struct codings codings;

    if (!codings_read(&ex->response.fields, &codings))
        return conf->look_bytes;
    for (unsigned i = 0; i < codings.count; i++)
        if (codings.items[i] == CODING_ZSTD)
            return ZSTD_BLOCK_BYTES;
    return conf->look_bytes;
}

/* All that is held, in one piece. *copy is to be freed, unless it is NULL. */
static struct slice
held_bytes(const struct hold *hold, char **copy)
{
    struct slice start = hold_start(hold);
    const struct hold_chunk *chunk = NULL;
    size_t bytes = 0;

    *copy = start.bytes < hold->bytes ? malloc(hold->bytes) : NULL;
    if (*copy == NULL)
        return start;
    while ((chunk = hold_next(hold, chunk)) != NULL) {
        memcpy(*copy + bytes, chunk->data, chunk->bytes);
        bytes += chunk->bytes;
    }
    return slice_make(*copy, bytes);
}

static struct content_verdict
judge_start(const struct content_conf *conf, const struct content_state *state,
            struct exchange *ex)
{
    const struct hold *hold = &state->hold;
    char room[CONTENT_DECODED_BYTES], *copy;
    struct content_verdict verdict;
    struct content_facts facts;
    struct codings codings;
    bool is_mismatch;

    if (hold->bytes == 0)
        return (struct content_verdict){ CONTENT_PASSED, NULL };
    gather(&facts, ex);
    facts.start = held_bytes(hold, &copy);
    if (!codings_read(&ex->response.fields, &codings) || !codings_can_decode(&codings))
        facts.is_unreadable = true;
    else if (codings.count > 0)
        facts.is_unreadable = !content_decode_start(&codings, facts.start,
                                                    hold->state == HOLD_WHOLE, room,
                                                    &facts.start);
    if (is_later_part(ex))
        facts.is_unreadable = true;
    verdict = content_judge_start(conf, &ex->arena, &facts, &is_mismatch);
    free(copy);
    if (is_mismatch && verdict.why == NULL) {
        filter_count(ex, &content_counts, CONTENT_MISMATCH, 1);
        exchange_decide(ex, DECISION_FILTER, &conf->filter.place,
                        "content: not what it is said to be");
    }
    return verdict;
}

/* Without memory to look at all of it, log_only passes content, as it does all. */
static bool
has_failed(const struct content_conf *conf, const struct hold *hold)
{
    return hold->state == HOLD_FAILED || (hold->state == HOLD_REFUSED && !conf->log_only);
}

static enum filter_verdict
look(const struct content_conf *conf, struct content_state *state, struct exchange *ex)
{
    struct content_verdict verdict;

    if (!hold_response(&state->hold, ex, bytes_to_hold(conf, ex)))
        return FILTER_WAIT;
    state->is_judged = true;
    if (has_failed(conf, &state->hold)) {
        hold_answer(ex, &state->hold);
        return FILTER_ANSWER;
    }
    verdict = judge_start(conf, state, ex);
    if (!content_rule(conf, ex, &verdict))
        return FILTER_NEXT;
    hold_drop(&state->hold);
    return answer(ex, &verdict);
}

/* The beginning of what says that it is a stream; what is none is looked at like all. */
static enum filter_verdict
look_at_stream(const struct content_conf *conf, struct content_state *state, struct exchange *ex)
{
    static const struct content_verdict fine = { CONTENT_PASSED, NULL };
    struct slice start;

    if (!hold_response(&state->stream, ex, STREAM_BYTES))
        return FILTER_WAIT;
    state->is_stream_seen = true;
    if (has_failed(conf, &state->stream)) {
        hold_answer(ex, &state->stream);
        return FILTER_ANSWER;
    }
    start = hold_start(&state->stream);
    ex->response.body = hold_source(&state->stream);
    if (!content_is_stream(ex, &start))
        return look(conf, state, ex);
    state->is_judged = true;
    (void)content_rule(conf, ex, &fine);
    return FILTER_NEXT;
}

static enum filter_verdict
deliver_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct content_conf *conf = arg;
    struct content_state *state = memory;
    bool looks;

    if (state->is_judged || !is_of_interest(ex))
        return FILTER_NEXT;
    looks = conf->looks && ex->response.body != NULL && ex->request.method != METHOD_HEAD &&
            !(conf->log_only && is_later_part(ex)); /* which it may ask for then */
    if (!state->is_begun) {
        struct content_verdict verdict = judge_head(conf, state, ex);

        state->is_begun = true;
        state->is_judged = !looks;
        if ((verdict.why != NULL || !looks) && content_rule(conf, ex, &verdict))
            return answer(ex, &verdict);
    }
    if (!looks)
        return FILTER_NEXT;
    return content_is_stream(ex, NULL) && !state->is_stream_seen ? look_at_stream(conf, state, ex)
                                                         : look(conf, state, ex);
}

static struct source *
deliver_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct content_state *state = memory;

    if (inner == &ex->made_up.source)
        return inner;
    if (state->hold.state == HOLD_WHOLE || state->hold.state == HOLD_PART ||
        state->hold.state == HOLD_REFUSED)
        inner = hold_source(&state->hold);
    if (state->is_bounded)
        inner = content_bound(arg, ex, inner);
    return inner;
}

const struct filter_ops content_filter = {
    .name = "content",
    .text = "Refuses content by media type, extension, first bytes and size.",
    .options = options,
    .conf_bytes = sizeof(struct content_conf),
    .state_bytes = sizeof(struct content_state),
    .counts = &content_counts,
    .finish = finish,
    .request_head = request_head,
    .request_body = request_body,
    .deliver_head = deliver_head,
    .deliver_body = deliver_body,
};
