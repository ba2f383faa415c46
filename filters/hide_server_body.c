/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server_body.c - names and addresses in content that is text.
 *
 * On the side of delivery, as what stands there instead is the host that the client
 * asked. What cannot be judged before more comes (the beginning of a name, at most
 * HIDE_TEXT_BYTES_MAX) is held back; nothing else is.
 */
#include "config.h"

#include "filters/hide_server_inside.h"

#define BUFFER_BYTES 16384u

struct hide_body {
    struct transform transform;
    struct hide_text hidden;
    char before; /* last byte that was done */
    size_t held_bytes;
    char held[2 * HIDE_TEXT_BYTES_MAX];
};

/* ---- looking through */

static bool
put_parts(struct transform_step *step, const struct hide_found *found)
{
    size_t bytes = 0;

    for (size_t i = 0; i < ARRAY_COUNT(found->parts); i++)
        bytes += found->parts[i].bytes;
    if (bytes > step->out_bytes - step->made)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(found->parts); i++)
        transform_put(step, found->parts[i]);
    return true;
}

/* Returns how much of text is done; *is_unsure: what is left needs more behind it,
 * otherwise it needs room. */
static size_t
look_through(struct hide_body *body, struct slice text, bool is_end, struct transform_step *step,
             bool *is_unsure)
{
    struct hide_found found;
    size_t done = 0;
    bool is_found = true;

    *is_unsure = false;
    while (is_found && done < text.bytes) {
        is_found = hide_text_find(&body->hidden, text, done, body->before, is_end, &found);
        done += transform_put(step, slice_make(text.data + done, found.start - done));
        if (done < found.start || (is_found && !put_parts(step, &found)))
            break;
        if (is_found)
            done = found.end;
        else
            *is_unsure = done < text.bytes;
    }
    if (done > 0)
        body->before = text.data[done - 1];
    return done;
}

/* Input as it comes; what is unsure at its end is kept. */
static void
work_directly(struct hide_body *body, struct transform_step *step)
{
    bool is_unsure;
    size_t left;

    step->taken = look_through(body, slice_make(step->in, step->in_bytes), false, step,
                               &is_unsure);
    left = step->in_bytes - step->taken;
    if (!is_unsure)
        return;
    memcpy(body->held, step->in + step->taken, left);
    body->held_bytes = left;
    step->taken = step->in_bytes;
}

/* What was kept, with what follows it: as soon as that is done, the rest of the input is
 * looked through where it lies. */
static void
work_on_held(struct hide_body *body, struct transform_step *step)
{
    size_t kept = body->held_bytes, room = sizeof(body->held) - kept, done;
    size_t added = step->in_bytes < room ? step->in_bytes : room;
    bool is_unsure;

    memcpy(body->held + kept, step->in, added);
    done = look_through(body, slice_make(body->held, kept + added), step->is_end, step,
                        &is_unsure);
    if (done >= kept) {
        step->taken = done - kept;
        body->held_bytes = 0;
        return;
    }
    step->taken = added;
    body->held_bytes = kept + added - done;
    memmove(body->held, body->held + done, body->held_bytes);
}

static enum transform_result
work(struct transform *transform, struct transform_step *step)
{
    struct hide_body *body = container_of(transform, struct hide_body, transform);

    if (step->is_flush)
        return TRANSFORM_DONE; /* half a name is not for anyone */
    if (body->held_bytes > 0)
        work_on_held(body, step);
    else if (step->in_bytes > 0)
        work_directly(body, step);
    return step->is_end && body->held_bytes == 0 ? TRANSFORM_DONE : TRANSFORM_MORE;
}

static const struct transform_ops body_ops = { .work = work };

/* ---- which content */

/* Media types that are text: RFC 6838 section 4.2.8, and what browsers run. */
static bool
is_text(struct slice type)
{
    static const struct slice suffixes[] = {
        SLICE_INIT("json"), SLICE_INIT("xml"), SLICE_INIT("javascript"), SLICE_INIT("ecmascript"),
        SLICE_INIT("yaml"), SLICE_INIT("x-www-form-urlencoded"), SLICE_INIT("x-ndjson"),
    };
    ptrdiff_t end = slice_find(type, ';');

    if (end >= 0)
        type.bytes = (size_t)end;
    type = slice_trim(type);
    if (type.bytes > 5 && slice_equal_nocase(slice_make(type.data, 5), SLICE("text/")))
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++)
        if (type.bytes > suffixes[i].bytes &&
            slice_equal_nocase(slice_skip(type, type.bytes - suffixes[i].bytes), suffixes[i]))
            return true;
    return false;
}

/* RFC 9110 section 7.7, RFC 9111 section 5.2.2.6. */
static bool
may_change(const struct fields *fields)
{
    const struct field *field = NULL;

    while ((field = fields_next(fields, FIELD_CACHE_CONTROL, field)) != NULL)
        if (slice_list_has(field->value, SLICE("no-transform")))
            return false;
    field = fields_find(fields, FIELD_CONTENT_ENCODING);
    return field == NULL || slice_equal_nocase(field->value, SLICE("identity"));
}

/* Of other bytes than those that will be sent (RFC 9530, RFC 1864). */
static bool
is_about_bytes(const struct field *field, void *arg)
{
    static const struct slice names[] = {
        SLICE_INIT("Content-Digest"), SLICE_INIT("Repr-Digest"), SLICE_INIT("Digest"),
        SLICE_INIT("Content-MD5"),
    };

    (void)arg;
    if (field->id != FIELD_OTHER)
        return field->id == FIELD_CONTENT_LENGTH || field->id == FIELD_ACCEPT_RANGES;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equal_nocase(field->name, names[i]))
            return true;
    return false;
}

/* RFC 9110 section 8.8.3: as a strong one it would promise these very bytes. */
static void
weaken(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    struct slice tag = fields_get(fields, FIELD_ETAG);

    if (tag.bytes > 0 && !slice_starts_with(tag, SLICE("W/")))
        fields_set(fields, &ex->arena, FIELD_ETAG,
                   arena_join(&ex->arena, (struct slice[]){ SLICE("W/"), tag }, 2));
}

void
hide_body_ask(struct exchange *ex)
{
    struct fields *fields = &ex->request.fields;

    fields_remove(fields, FIELD_ACCEPT_ENCODING);
    fields_remove(fields, FIELD_RANGE);
    fields_remove(fields, FIELD_IF_RANGE);
}

bool
hide_body_is_wanted(const struct exchange *ex)
{
    const struct response *response = &ex->response;

    return response->status >= 200 && response->status != 204 && response->status != 206 &&
           response->status != 304 && ex->request.method != METHOD_CONNECT &&
           response->body != &ex->made_up.source &&
           is_text(fields_get(&response->fields, FIELD_CONTENT_TYPE)) &&
           may_change(&response->fields);
}

struct hide_body *
hide_body_new(const struct hide_server_conf *conf, struct exchange *ex)
{
    struct hide_body *body = arena_zalloc(&ex->arena, sizeof(*body));

    if (body == NULL)
        return NULL;
    hide_text_init(&body->hidden, conf, ex);
    fields_remove_if(&ex->response.fields, is_about_bytes, NULL);
    weaken(ex);
    ex->response.length = LENGTH_UNKNOWN;
    return body;
}

struct source *
hide_body_source(struct hide_body *body, struct exchange *ex, struct source *inner)
{
    return transform_begin(&body->transform, ex, inner, &body_ops, BUFFER_BYTES,
                           TRANSFORM_NO_FLUSH);
}
