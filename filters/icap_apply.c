/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_apply.c - heads that an ICAP server gives back.
 *
 * They are read by the parsers that read those of clients and origins, with the same
 * limits. What they say of framing, of connections and of the next hop counts for nothing:
 * how long the content is, ICAP says. A request still goes where it was judged to go.
 */
#include "config.h"

#include "filters/icap_inside.h"

#include "server/http/h1_parse.h"
#include "server/http/status.h"
#include "server/http/upstream_failure.h"
#include "server/http/uri.h"

static bool
is_of_hop(const struct field *field, void *arg)
{
    (void)arg;
    return (field->flags & (FIELD_HOP | FIELD_FRAMING)) != 0 || field->id == FIELD_EXPECT;
}

static void
clean(struct fields *fields)
{
    fields_remove_hop_by_hop(fields);
    fields_remove_if(fields, is_of_hop, NULL);
}

/* ---- requests */

/* What the server was not shown, it cannot have wanted to remove. */
static void
keep_hop_fields(struct fields *fields, const struct fields *before, struct arena *arena)
{
    for (uint32_t i = 0; i < before->count; i++) {
        const struct field *field = &before->items[i];

        if ((field->flags & (FIELD_HOP | FIELD_FRAMING)) == 0 ||
            field->id == FIELD_CONTENT_LENGTH || field->id == FIELD_TRANSFER_ENCODING)
            continue;
        if (field->id != FIELD_OTHER)
            fields_add(fields, arena, (enum field_id)field->id, field->value);
        else
            fields_add_name(fields, arena, field->name, field->value);
    }
}

/* The path and query of a URL, as sent to an origin. NULL data: it leads elsewhere. */
static struct slice
origin_form(const struct request *request, struct slice scheme, struct slice authority)
{
    struct slice target_scheme, target_authority, path, query;

    if (request->form == TARGET_ORIGIN || request->form == TARGET_ASTERISK)
        return request->target;
    if (uri_parse_absolute(request->target, &target_scheme, &target_authority, &path,
                           &query) < 0 ||
        !slice_equal_nocase(target_scheme, scheme) ||
        !slice_equal_nocase(target_authority, authority))
        return slice_make(NULL, 0);
    return slice_skip(request->target, target_scheme.bytes + 3 + target_authority.bytes);
}

/* Another path or query goes upstream in place of the client's. NULL, or what is wrong. */
static const char *
retarget(struct exchange *ex, const struct request *changed)
{
    const struct request *request = &ex->request;
    struct slice now = origin_form(changed, request->scheme, request->authority);
    struct slice before = origin_form(request, request->scheme, request->authority);
    size_t front = ex->out.target.bytes - before.bytes;
    struct slice parts[] = { slice_make(ex->out.target.data, front), now };

    if (!slice_equal(changed->method_name, request->method_name))
        return "it changes the method of the request";
    if (now.data == NULL || now.bytes == 0 || now.data[0] != '/')
        return slice_equal(now, before) && now.data != NULL
                   ? NULL : "it sends the request elsewhere";
    if (slice_equal(now, before))
        return NULL;
    if (ex->out.target.bytes < before.bytes ||
        !slice_equal(slice_skip(ex->out.target, front), before))
        return "it changes a URL that the route changes, too";
    ex->out.target = arena_join(&ex->arena, parts, ARRAY_COUNT(parts));
    return NULL;
}

const char *
icap_apply_request(struct icap_job *job)
{
    struct exchange *ex = job->ex;
    struct request *request = &ex->request;
    struct request changed = { 0 };
    struct h1_refusal refusal = { 0 };
    bool has_content;
    const char *why;

    if (h1_parse_request(job->reader.reply.request_head, &ex->arena, &upstream_response_limits,
                         &changed, &refusal) < 0)
        return refusal.reason;
    if (request->method == METHOD_CONNECT || request->wants_upgrade)
        return NULL; /* whether it may pass is all that is asked */
    why = retarget(ex, &changed);
    if (why != NULL)
        return why;
    clean(&changed.fields);
    keep_hop_fields(&changed.fields, &request->fields, &ex->arena);
    request->fields = changed.fields;
    request->expects_continue = false;
    has_content = job->reader.reply.body == ICAP_REQUEST_BODY;
    request->has_body |= has_content; /* one that had some keeps its framing */
    request->is_chunked = has_content;
    request->length = has_content ? LENGTH_UNKNOWN : 0;
    request->body = has_content ? icap_content(job) : NULL;
    return NULL;
}

/* ---- responses */

static bool
was_there(const struct fields *before, const struct field *field)
{
    const struct field *old = fields_find_name(before, field->name);

    return old != NULL && slice_equal(old->value, field->value);
}

static bool
is_old_digest(const struct field *field, void *before)
{
    static const struct slice names[] = {
        SLICE_INIT("Content-MD5"), SLICE_INIT("Digest"), SLICE_INIT("Content-Digest"),
        SLICE_INIT("Repr-Digest"),
    };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(field->name, names[i]))
            return was_there(before, field);
    return false;
}

/* What said something exact of the content that the origin sent, and was not renewed. */
static void
renounce(struct fields *fields, struct fields *before, struct arena *arena)
{
    const struct field *etag = fields_find(fields, FIELD_ETAG);

    fields_remove(fields, FIELD_ACCEPT_RANGES);
    fields_remove_if(fields, is_old_digest, before);
    if (etag != NULL && was_there(before, etag) && !slice_starts_with(etag->value, SLICE("W/")))
        fields_set(fields, arena, FIELD_ETAG,
                   arena_printf(arena, "W/%.*s", SLICE_ARG(etag->value)));
}

const char *
icap_apply_response(struct icap_job *job, bool is_made_up)
{
    const struct icap_reply *reply = &job->reader.reply;
    struct exchange *ex = job->ex;
    struct response *response = &ex->response, changed = { 0 };
    struct h1_refusal refusal = { 0 };

    if (h1_parse_response(reply->response_head, &ex->arena, &upstream_response_limits,
                          ex->request.method, &changed, &refusal) < 0)
        return refusal.reason;
    if (changed.status < 200)
        return "it gives an interim response";
    if (ex->request.method == METHOD_CONNECT && changed.status < 300)
        return "it says that there is a tunnel"; /* what the client sent then were requests */
    clean(&changed.fields);
    if (!is_made_up)
        renounce(&changed.fields, &response->fields, &ex->arena);
    else
        exchange_answer_with(ex, changed.status,
                             changed.status >= 400 ? END_DENIED : END_ANSWERED, NULL,
                             slice_make(NULL, 0));
    response->status = changed.status;
    response->reason = changed.reason;
    response->fields = changed.fields;
    response->has_body = reply->body == ICAP_RESPONSE_BODY &&
                         ex->request.method != METHOD_HEAD &&
                         status_may_have_content(changed.status);
    response->is_chunked = response->has_body;
    response->ends_by_close = false;
    response->length = response->has_body ? LENGTH_UNKNOWN : 0;
    response->body = response->has_body ? icap_content(job) : NULL;
    return NULL;
}
