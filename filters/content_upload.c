/* SPDX-License-Identifier: BSD-2-Clause */
/* content_upload.c - looks at the content of a request as it passes.
 *
 * Nothing is held up: the server gets the beginning of what is refused then, but never the
 * whole of it. Of a form every file is judged by its own name, type and first bytes.
 */
#include "config.h"

#include "filters/content_inside.h"

#include "filters/content_field.h"
#include "filters/multipart.h"

#define START_BYTES 4096u

struct upload {
    struct source source;
    const struct content_conf *conf;
    struct exchange *ex;
    struct multipart form;
    struct content_facts facts; /* of the file that is passing */
    struct codings codings;     /* of content that is no form */
    uint64_t left_bytes;        /* LENGTH_UNKNOWN: the end will tell */
    size_t scanned;             /* of what inner offers: seen, and not taken yet */
    unsigned start_bytes, start_room;
    char *start;
    bool is_form;
    bool is_fields;             /* says so: those of a form without files are no file */
    bool is_file;               /* it is judged */
    bool is_said, is_seen;      /* ... by what it says, by its first bytes: done */
    bool is_finished;
    bool has_failed;
};

/* ---- one file */

static void
fail(struct upload *upload, unsigned status, const struct content_verdict *verdict)
{
    if (!content_rule(upload->conf, upload->ex, verdict))
        return;
    upload->has_failed = true;
    exchange_refuse(upload->ex, status, status == 403 ? END_DENIED : END_BAD_REQUEST,
                    verdict->why);
}

static void
begin_file(struct upload *upload)
{
    upload->is_file = true;
    upload->is_said = false;
    upload->is_seen = !upload->conf->looks;
    upload->start_bytes = 0;
}

static void
judge_said(struct upload *upload)
{
    struct content_verdict verdict;

    upload->is_said = true;
    verdict = content_judge_said(upload->conf, &upload->ex->arena, &upload->facts);
    if (verdict.why == NULL)
        return;
    upload->is_seen = true;
    fail(upload, 403, &verdict);
}

/* Of names and values nothing else is left unescaped (WHATWG URL section 5.2). */
static bool
are_fields(struct slice start)
{
    for (size_t i = 0; i < start.bytes; i++)
        if (start.data[i] <= ' ' || start.data[i] > '~')
            return false;
    return true;
}

static void
judge_start(struct upload *upload, bool is_whole)
{
    char room[CONTENT_DECODED_BYTES];
    struct content_verdict verdict;
    bool is_mismatch;

    upload->is_seen = true;
    upload->facts.start = slice_make(upload->start, upload->start_bytes);
    if (upload->is_fields && are_fields(upload->facts.start))
        return;
    if (!codings_can_decode(&upload->codings))
        upload->facts.is_unreadable = true;
    else if (upload->codings.count > 0 &&
             !content_decode_start(&upload->codings, upload->facts.start, is_whole, room,
                                   &upload->facts.start))
        upload->facts.is_unreadable = true;
    verdict = content_judge_start(upload->conf, &upload->ex->arena, &upload->facts, &is_mismatch);
    if (is_mismatch && verdict.why == NULL) {
        filter_count(upload->ex, &content_counts, CONTENT_MISMATCH, 1);
        exchange_decide(upload->ex, DECISION_FILTER, &upload->conf->filter.place,
                        "content: an upload is not what it is said to be");
    }
    fail(upload, 403, &verdict);
}

static void
add_content(struct upload *upload, struct slice data)
{
    size_t room = upload->start_room - upload->start_bytes;
    size_t bytes = data.bytes < room ? data.bytes : room;

    if (!upload->is_file)
        return;
    if (!upload->is_said)
        judge_said(upload);
    if (upload->is_seen)
        return;
    memcpy(upload->start + upload->start_bytes, data.data, bytes);
    upload->start_bytes += (unsigned)bytes;
    if (upload->start_bytes == upload->start_room)
        judge_start(upload, false);
}

static void
end_file(struct upload *upload)
{
    if (upload->is_file && !upload->is_seen && upload->start_bytes > 0)
        judge_start(upload, true);
    upload->is_file = false;
}

/* ---- forms */

/* What a browser sends for a file that nobody chose has neither name nor content. */
static void
begin_part(struct upload *upload)
{
    const struct multipart_part *part = &upload->form.part;
    struct content_facts *facts = &upload->facts;

    *facts = (struct content_facts){ .type = content_field_value(part->content_type),
                                     .is_upload = true };
    if (part->filename.data == NULL && part->filename_star.data == NULL)
        return; /* a field */
    content_add_name(facts, part->filename, &upload->ex->arena);
    content_add_name(facts, part->filename_star, &upload->ex->arena);
    begin_file(upload);
    if (facts->name_count > 0)
        judge_said(upload);
}

static void
fail_form(struct upload *upload, const char *why)
{
    const struct content_verdict verdict = { CONTENT_UNREADABLE, why };

    upload->is_finished = true;
    fail(upload, 400, &verdict);
}

static void
read_form(struct upload *upload, struct slice in)
{
    struct slice data;

    while (!upload->has_failed) {
        switch (multipart_next(&upload->form, &in, &data)) {
        case MULTIPART_MORE:
            return;
        case MULTIPART_PART:
            begin_part(upload);
            break;
        case MULTIPART_DATA:
            add_content(upload, data);
            break;
        case MULTIPART_PART_END:
            end_file(upload);
            break;
        case MULTIPART_ERROR:
            fail_form(upload, upload->form.error);
            return;
        }
    }
}

/* ---- the source */

static void
finish(struct upload *upload)
{
    if (upload->is_finished || upload->has_failed)
        return;
    upload->is_finished = true;
    if (!upload->is_form)
        end_file(upload);
    else if (multipart_finish(&upload->form) != NULL)
        fail_form(upload, multipart_finish(&upload->form));
}

static void
scan(struct upload *upload, const struct piece *piece)
{
    size_t skip = upload->scanned;

    for (unsigned i = 0; i < piece->count && !upload->is_finished && !upload->has_failed; i++) {
        struct slice data = slice_make(piece->iov[i].iov_base, piece->iov[i].iov_len);
        size_t seen = skip < data.bytes ? skip : data.bytes;

        skip -= seen;
        data = slice_skip(data, seen);
        if (data.bytes == 0)
            continue;
        if (upload->left_bytes != LENGTH_UNKNOWN)
            upload->left_bytes -= data.bytes < upload->left_bytes ? data.bytes : upload->left_bytes;
        if (upload->is_form)
            read_form(upload, data);
        else
            add_content(upload, data);
    }
    upload->scanned = piece->bytes;
    /* A server that counts has all of it with the last byte. */
    if (piece->is_last || upload->left_bytes == 0)
        finish(upload);
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct upload *upload = container_of(source, struct upload, source);
    enum flow flow;

    (void)forms;
    if (upload->has_failed)
        return FLOW_FAILED;
    flow = source->inner->ops->offer(source->inner, FORM_SLICES, piece);
    if (flow == FLOW_MORE)
        scan(upload, piece);
    if (flow == FLOW_END) {
        finish(upload);
        source->trailers = source->inner->trailers;
    }
    return upload->has_failed ? FLOW_FAILED : flow;
}

static void
take(struct source *source, size_t bytes)
{
    struct upload *upload = container_of(source, struct upload, source);

    upload->scanned -= bytes;
    source->inner->ops->take(source->inner, bytes);
}

static const struct source_ops ops = {
    .offer = offer,
    .take = take,
    .cancel = source_cancel_inner,
};

/* ---- the beginning */

/* The error is told once content comes: there is no response to make one of before. */
static void
begin_form(struct upload *upload, struct slice type)
{
    char boundary[MULTIPART_BOUNDARY_MAX];
    size_t bytes = 0;
    const char *error = multipart_boundary(type, boundary, &bytes);

    if (error == NULL && upload->codings.count > 0)
        error = "a form with a content coding is not looked into";
    if (error != NULL) {
        fail_form(upload, error);
        return;
    }
    upload->is_form = true;
    if (multipart_init(&upload->form, slice_make(boundary, bytes), NULL, &upload->ex->arena) < 0)
        upload->has_failed = true;
}

/* Of what is stored in parts (RFC 9110 section 14.5), the first tells what it is. */
static bool
is_later_part(const struct fields *fields)
{
    struct slice range = fields_get(fields, FIELD_CONTENT_RANGE);

    return range.data != NULL && !slice_starts_with(range, SLICE("bytes 0-"));
}

/* PUT /a.jsp/ made files of that name in some servers. */
static struct slice
path_of_file(struct slice path)
{
    while (path.bytes > 1 && path.data[path.bytes - 1] == '/')
        path.bytes--;
    return path;
}

static void
begin_plain(struct upload *upload, struct slice type)
{
    struct exchange *ex = upload->ex;
    struct content_facts *facts = &upload->facts;

    *facts = (struct content_facts){ .type = content_field_value(type), .is_upload = true };
    upload->is_fields = slice_equal_nocase(facts->type,
                                           SLICE("application/x-www-form-urlencoded"));
    if (ex->request.method == METHOD_PUT)
        content_add_name(facts, path_of_file(ex->request.path), &ex->arena);
    content_add_dispositions(facts, &ex->request.fields, &ex->arena);
    begin_file(upload);
    if (!upload->is_fields || facts->name_count > 0)
        judge_said(upload);
    facts->is_unreadable = is_later_part(&ex->request.fields);
    upload->is_said = true; /* of the type of fields nobody means to say anything */
}

static bool
has_types(const struct fields *fields)
{
    const struct field *first = fields_find(fields, FIELD_CONTENT_TYPE);

    return first != NULL && fields_next(fields, FIELD_CONTENT_TYPE, first) != NULL;
}

struct source *
content_watch_upload(const struct content_conf *conf, struct exchange *ex, struct source *inner)
{
    struct upload *upload = arena_zalloc(&ex->arena, sizeof(*upload));
    struct slice type = fields_get(&ex->request.fields, FIELD_CONTENT_TYPE);

    if (upload == NULL)
        return inner; /* the arena remembers: the exchange is refused before it is sent */
    upload->source = (struct source){ .ops = &ops, .inner = inner };
    upload->conf = conf;
    upload->ex = ex;
    upload->left_bytes = ex->request.length;
    upload->start_room = (unsigned)(conf->look_bytes < START_BYTES ? conf->look_bytes
                                                                  : START_BYTES);
    upload->start = arena_alloc(&ex->arena, upload->start_room);
    if (upload->start == NULL)
        return inner;
    if (!codings_read(&ex->request.fields, &upload->codings))
        upload->codings = (struct codings){ .items = { CODING_UNKNOWN }, .count = 1 };
    if (has_types(&ex->request.fields))
        fail_form(upload, "Content-Type is given more than once");
    else if (multipart_is_form(type))
        begin_form(upload, type);
    else
        begin_plain(upload, type);
    return &upload->source;
}
