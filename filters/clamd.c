/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd.c - which content is scanned, and what its servers and clients are asked for.
 *
 * Parts of content (206) cannot be judged, so whole ones are asked for; and only codings
 * that can be taken off. HEAD, 204 and 304 have no content.
 */
#include "config.h"

#include "filters/clamd.h"

#include "filters/clamd_inside.h"
#include "filters/content_field.h"
#include "server/policy/rule.h"

#define PORT 3310

struct filter_counts clamd_counts = {
    .events = {
        [CLAMD_COUNT_SCANNED] = "scanned", [CLAMD_COUNT_CLEAN] = "clean",
        [CLAMD_COUNT_INFECTED] = "infected", [CLAMD_COUNT_FAILED] = "failed",
        [CLAMD_COUNT_SKIPPED] = "skipped", [CLAMD_COUNT_TOO_LARGE] = "too_large",
        [CLAMD_COUNT_UNREADABLE] = "unreadable", [CLAMD_COUNT_PARTIAL] = "partial",
    },
};

struct clamd_state {
    struct clamd_job *upload, *download;
};

/* ---- configuration */

static const char *const failure_words[] = {
    [CLAMD_CLOSED] = "closed", [CLAMD_OPEN] = "open", NULL,
};

static const char *const policy_words[] = {
    [CLAMD_REFUSE] = "refuse", [CLAMD_SCAN] = "scan", [CLAMD_PASS] = "pass", NULL,
};

#define AT(member_) offsetof(struct clamd_conf, member_)

static const struct option options[] = {
    SERVICE_OPTIONS(struct clamd_conf, service),
    { .name = "downloads", .type = OPTION_BOOL, .offset = AT(downloads), .fallback = "true",
      .text = "Scans the content of responses, before it is cached." },
    { .name = "uploads", .type = OPTION_BOOL, .offset = AT(uploads), .fallback = "true",
      .text = "Scans the content of requests; of forms (multipart/form-data), each file too." },
    { .name = "on_failure", .type = OPTION_ENUM, .offset = AT(on_failure),
      .words = failure_words, .fallback = "closed",
      .text = "When there is no verdict: closed (503, or the content is cut short) or open (it "
              "passes)." },
    { .name = "timeout", .type = OPTION_TIME, .offset = AT(timeout_ms), .fallback = "60s",
      .min = 1, .text = "How long clamd may take nothing of the content, or think about it." },
    { .name = "max_size", .type = OPTION_SIZE, .offset = AT(max_bytes), .fallback = "25M",
      .min = 1,
      .text = "How much of a content is scanned, decoded. No more than clamd's StreamMaxLength, "
              "or there is no verdict on what is longer than that; and no more than its "
              "MaxFileSize, beyond which it says that all is well." },
    { .name = "larger", .type = OPTION_ENUM, .offset = AT(larger), .words = policy_words,
      .fallback = "scan",
      .text = "What is longer than max_size: refuse, scan (its beginning) or pass (unscanned)." },
    { .name = "whole", .type = OPTION_SIZE, .offset = AT(whole_bytes), .fallback = "1M",
      .max = 1 << 30,
      .text = "Content up to this is held (held_content) until there is a verdict, so that "
              "clients get a page when it is bad, and servers nothing. What is longer passes "
              "while it is scanned, but for its last block, and is cut short." },
    { .name = "hold", .type = OPTION_SIZE, .offset = AT(block_bytes), .fallback = "64K",
      .min = 1, .max = 16 << 20, .text = "Length of the last block." },
    { .name = "patience", .type = OPTION_TIME, .offset = AT(patience_ms), .fallback = "10s",
      .text = "After so long a client that waits for a download gets its beginning, if it is "
              "held whole, and then a byte now and then, up to half of the last block. 0: it "
              "waits." },
    { .name = "undecodable", .type = OPTION_ENUM, .offset = AT(unreadable),
      .words = policy_words, .fallback = "refuse",
      .text = "Content with codings that cannot be taken off, and malformed forms: refuse, scan "
              "(as it comes) or pass (unscanned)." },
    { .name = "max_ratio", .type = OPTION_INT, .offset = AT(max_ratio), .fallback = "1000",
      .min = 1, .max = UINT32_MAX,
      .text = "Decoded content that is longer than so many times the coded one (and 1 MB) is "
              "undecodable." },
    { .name = "partial", .type = OPTION_ENUM, .offset = AT(partial),
      .words = policy_words,
      .fallback = "refuse",
      .text = "Parts of content (206), though the whole was asked for: refuse, scan (as if it "
              "were all) or pass (unscanned)." },
    { .name = "skip_types", .type = OPTION_STRINGS, .offset = AT(skip_types), .max = 64,
      .text = "Media types that pass unscanned: \"image/png\", \"video/*\". Servers and clients "
              "can say what they like there." },
    { .name = "skip_extensions", .type = OPTION_STRINGS, .offset = AT(skip_extensions),
      .max = 64, .text = "The same by the end of the path: \"mp4\"." },
    { .name = "log_only", .type = OPTION_BOOL, .offset = AT(is_trial), .fallback = "false",
      .text = "Everything passes; the log and the counters say what would not." },
    { .name = NULL },
};

#undef AT

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct clamd_conf *conf = arg;

    (void)all;
    for (size_t i = 0; i < conf->skip_types.count; i++)
        if (!content_type_pattern_is_valid(conf->skip_types.items[i]))
            return err_set(err, "skip_types: \"%s\" is no media type: expected \"image/png\" or "
                           "\"image/*\"", conf->skip_types.items[i].data);
    for (size_t i = 0; i < conf->skip_extensions.count; i++)
        if (slice_find(conf->skip_extensions.items[i], '.') >= 0)
            return err_set(err, "skip_extensions: \"%s\" has a dot: expected \"mp4\"",
                           conf->skip_extensions.items[i].data);
    return service_finish(&conf->service, PORT, arena, err);
}

/* ---- which content */

static bool
is_skipped_path(const struct clamd_conf *conf, const struct exchange *ex)
{
    struct slice extension = file_extension(ex->request.path);

    for (size_t i = 0; i < conf->skip_extensions.count && extension.bytes > 0; i++)
        if (slice_equal_nocase(extension, conf->skip_extensions.items[i]))
            return true;
    return false;
}

static bool
is_skipped_type(const struct clamd_conf *conf, const struct fields *fields)
{
    struct slice type = content_field_value(fields_get(fields, FIELD_CONTENT_TYPE));

    for (size_t i = 0; i < conf->skip_types.count; i++)
        if (content_type_is(type, conf->skip_types.items[i]))
            return true;
    return false;
}

/* By what a rule of a policy says, or the options. */
static bool
is_skipped(const struct clamd_conf *conf, const struct exchange *ex, const struct fields *fields)
{
    switch ((enum rule_scan)ex->scan) {
    case RULE_SCAN_AS_IS:
        return is_skipped_path(conf, ex) || (fields != NULL && is_skipped_type(conf, fields));
    case RULE_SCAN_ALWAYS:
        return false;
    case RULE_SCAN_NEVER:
        return true;
    }
    return false;
}

/* Its codings, and whether it is a form. Returns NULL, or what is wrong with them. */
static const char *
find_shape(struct clamd_shape *shape, const struct fields *fields, bool is_upload)
{
    struct slice type = fields_get(fields, FIELD_CONTENT_TYPE);

    *shape = (struct clamd_shape){ .is_form = is_upload && multipart_is_form(type) };
    if (!codings_read(fields, &shape->codings) || !codings_can_decode(&shape->codings)) {
        shape->codings.count = 0;
        shape->is_form = false;
        return "its content coding is unknown";
    }
    return shape->is_form ? multipart_boundary(type, shape->boundary, &shape->boundary_bytes)
                          : NULL;
}

/* ---- what is known before any of it is read */

static enum filter_verdict
begin(struct clamd_job **made, const struct clamd_conf *conf, struct exchange *ex,
      enum clamd_side side)
{
    bool is_upload = side == CLAMD_UPLOAD;
    const struct fields *fields = is_upload ? &ex->request.fields : &ex->response.fields;
    uint64_t length = is_upload ? ex->request.length : ex->response.length;
    struct clamd_shape shape;
    const char *error = find_shape(&shape, fields, is_upload);
    struct clamd_job *job;

    if (error != NULL && conf->unreadable == CLAMD_SCAN)
        shape.is_form = false;
    job = *made = clamd_job_new(conf, ex, side, &shape);
    if (job == NULL) {
        clamd_answer_instead(ex, 503, END_LIMIT, NULL);
        return FILTER_ANSWER;
    }
    if (error != NULL && conf->unreadable != CLAMD_SCAN)
        return clamd_job_say(job, CLAMD_UNREADABLE, error);
    if (length != LENGTH_UNKNOWN && length > conf->max_bytes && conf->larger != CLAMD_SCAN &&
        shape.codings.count == 0)
        return clamd_job_say(job, CLAMD_TOO_LONG, "the content is longer than max_size");
    return clamd_job_ask(job);
}

/* ---- requests */

/* Takes what stands before the next comma off *list. */
static struct slice
take_element(struct slice *list)
{
    ptrdiff_t comma = slice_find(*list, ',');
    size_t bytes = comma >= 0 ? (size_t)comma : list->bytes;
    struct slice element = slice_make(list->data, bytes);

    *list = slice_skip(*list, comma >= 0 ? bytes + 1 : bytes);
    return slice_trim(element);
}

static bool
is_readable(struct slice element)
{
    ptrdiff_t end = slice_find(element, ';');
    struct slice name = end >= 0 ? slice_make(element.data, (size_t)end) : element;

    return coding_can_decode(coding_of(slice_trim(name)));
}

/* No coding is asked for that cannot be taken off. */
static void
narrow_codings(struct exchange *ex)
{
    struct fields *fields = &ex->request.fields;
    const struct field *field = NULL;
    struct slice kept = slice_make("", 0);

    if (!fields_has(fields, FIELD_ACCEPT_ENCODING))
        return;
    while ((field = fields_next(fields, FIELD_ACCEPT_ENCODING, field)) != NULL) {
        struct slice rest = field->value;

        while (rest.bytes > 0) {
            struct slice element = take_element(&rest);

            if (is_readable(element))
                kept = kept.bytes == 0 ? element
                                       : arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARG(kept),
                                                      SLICE_ARG(element));
        }
    }
    if (kept.bytes == 0)
        kept = SLICE("identity");
    fields_set(fields, &ex->arena, FIELD_ACCEPT_ENCODING, kept);
}

static void
ask_for_whole(const struct clamd_conf *conf, struct exchange *ex)
{
    fields_remove(&ex->request.fields, FIELD_RANGE);
    fields_remove(&ex->request.fields, FIELD_IF_RANGE);
    if (conf->unreadable != CLAMD_PASS)
        narrow_codings(ex);
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct clamd_conf *conf = arg;
    struct clamd_state *state = memory;

    if (ex->request.method == METHOD_CONNECT)
        return FILTER_NEXT;
    if (state->upload != NULL)
        return clamd_job_ask(state->upload);
    if (conf->downloads && !is_skipped(conf, ex, NULL))
        ask_for_whole(conf, ex);
    if (!conf->uploads || ex->request.body == NULL || ex->request.length == 0)
        return FILTER_NEXT;
    if (is_skipped(conf, ex, &ex->request.fields)) {
        filter_count(ex, &clamd_counts, CLAMD_COUNT_SKIPPED, 1);
        return FILTER_NEXT;
    }
    return begin(&state->upload, conf, ex, CLAMD_UPLOAD);
}

static struct source *
request_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct clamd_state *state = memory;

    (void)arg;
    (void)ex;
    return state->upload != NULL ? clamd_job_content(state->upload, inner) : inner;
}

/* ---- responses */

/* RFC 9110 section 15.3.7. */
static enum filter_verdict
judge_part(const struct clamd_conf *conf, struct clamd_state *state, struct exchange *ex)
{
    filter_count(ex, &clamd_counts, CLAMD_COUNT_PARTIAL, 1);
    if (conf->partial == CLAMD_SCAN)
        return begin(&state->download, conf, ex, CLAMD_DOWNLOAD);
    if (conf->partial == CLAMD_PASS || conf->is_trial)
        return FILTER_NEXT;
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place,
                    "clamd: a part of content cannot be scanned");
    clamd_answer_instead(ex, 403, END_DENIED,
                         "The server sent a part only, which cannot be checked for malware.");
    return FILTER_ANSWER;
}

static enum filter_verdict
fetch_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct clamd_conf *conf = arg;
    struct clamd_state *state = memory;

    if (state->download != NULL)
        return clamd_job_ask(state->download);
    if (ex->response.body == NULL || ex->response.length == 0 ||
        ex->request.method == METHOD_HEAD || ex->request.method == METHOD_CONNECT ||
        ex->response.status == 101)
        return FILTER_NEXT;
    if (is_skipped(conf, ex, &ex->response.fields)) {
        filter_count(ex, &clamd_counts, CLAMD_COUNT_SKIPPED, 1);
        return FILTER_NEXT;
    }
    if (ex->response.status == 206)
        return judge_part(conf, state, ex);
    return begin(&state->download, conf, ex, CLAMD_DOWNLOAD);
}

static struct source *
fetch_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct clamd_state *state = memory;

    (void)arg;
    (void)ex;
    return state->download != NULL ? clamd_job_content(state->download, inner) : inner;
}

/* ---- the filter */

static void
end(const void *arg, void *memory, struct exchange *ex)
{
    struct clamd_state *state = memory;

    (void)arg;
    (void)ex;
    if (state->upload != NULL)
        clamd_job_end(state->upload);
    if (state->download != NULL)
        clamd_job_end(state->download);
}

static bool
works_on_fetch(const void *arg)
{
    return ((const struct clamd_conf *)arg)->downloads;
}

const struct filter_ops clamd_filter = {
    .name = "clamd",
    .text = "Scans content for malware by ClamAV's daemon clamd.",
    .options = options,
    .conf_bytes = sizeof(struct clamd_conf),
    .state_bytes = sizeof(struct clamd_state),
    .counts = &clamd_counts,
    .finish = finish,
    .works_on_fetch = works_on_fetch,
    .request_head = request_head,
    .request_body = request_body,
    .fetch_head = fetch_head,
    .fetch_body = fetch_body,
    .end = end,
};
