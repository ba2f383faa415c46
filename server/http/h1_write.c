/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_write.c - heads are built here and nowhere else.
 *
 * Names and values come from a parser that lets no CR, LF or NUL through, or
 * from ourselves, so what is written is one head and not two.
 */
#include "config.h"

#include "server/http/h1_write.h"

#include "server/http/date.h"
#include "server/http/status.h"

/* A cursor over the output that remembers when something did not fit. */
struct out {
    char *at, *end;
    bool is_short;
};

static inline void
put(struct out *out, const char *data, size_t bytes)
{
    if (unlikely((size_t)(out->end - out->at) < bytes)) {
        out->is_short = true;
        return;
    }
    memcpy(out->at, data, bytes);
    out->at += bytes;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static void
put_u64(struct out *out, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(out, digits + at, sizeof(digits) - at);
}

static inline void
put_field(struct out *out, struct slice name, struct slice value)
{
    size_t bytes = name.bytes + value.bytes + 4;
    char *at = out->at;

    if (unlikely((size_t)(out->end - at) < bytes)) {
        out->is_short = true;
        return;
    }
    memcpy(at, name.data, name.bytes);
    at += name.bytes;
    *at++ = ':';
    *at++ = ' ';
    if (value.bytes > 0)
        memcpy(at, value.data, value.bytes);
    at += value.bytes;
    *at++ = '\r';
    *at++ = '\n';
    out->at = at;
}

/* Whether b lies behind a with just these two characters in between. */
static inline bool
are_joined(struct slice a, const char *b, const char *by)
{
    const char *end = a.data + a.bytes;

    return b == end + 2 && end[0] == by[0] && end[1] == by[1];
}

static inline bool
is_ours(const struct field *field)
{
    return (field->flags & (FIELD_FRAMING | FIELD_HOP)) != 0;
}

/* All but what frames the message or belongs to the connection: we write that.
 * Lines that lie in memory as they are to be written, which is how most senders
 * wrote them, go in one run. */
static void
put_fields(struct out *out, const struct fields *fields)
{
    const struct field *field = fields->items, *end = field + fields->count;

    while (field < end) {
        const struct field *first = field++, *last = first;

        if (is_ours(first))
            continue;
        if (!are_joined(first->name, first->value.data, ": ")) {
            put_field(out, first->name, first->value);
            continue;
        }
        while (field < end && are_joined(last->value, field->name.data, "\r\n") &&
               are_joined(field->name, field->value.data, ": ") && !is_ours(field))
            last = field++;
        put(out, first->name.data,
            (size_t)(last->value.data + last->value.bytes - first->name.data));
        PUT(out, "\r\n");
    }
}

static void
put_length(struct out *out, uint64_t length)
{
    PUT(out, "Content-Length: ");
    put_u64(out, length);
    PUT(out, "\r\n");
}

static void
put_framing(struct out *out, enum h1_framing framing, uint64_t length)
{
    switch (framing) {
    case H1_NO_BODY:
    case H1_UNTIL_CLOSE:
        return;
    case H1_LENGTH:
        put_length(out, length);
        return;
    case H1_CHUNKED:
        PUT(out, "Transfer-Encoding: chunked\r\n");
        return;
    }
}

static size_t
done(const struct out *out, const char *start)
{
    return out->is_short ? 0 : (size_t)(out->at - start);
}

/* ---- responses */

enum h1_framing
h1_response_framing(const struct exchange *ex, uint64_t *length, bool *is_kept)
{
    const struct response *response = &ex->response;

    *length = 0;
    *is_kept = true;
    if (ex->is_head_only)
        return H1_NO_BODY;
    *length = response->length;
    if (response->length != LENGTH_UNKNOWN)
        return H1_LENGTH;
    if (ex->request.minor_version >= 1)
        return H1_CHUNKED;
    *is_kept = false;
    return H1_UNTIL_CLOSE;
}

static void
put_status_line(struct out *out, unsigned status, struct slice reason)
{
    char line[] = "HTTP/1.1 000 ";

    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    put(out, line, sizeof(line) - 1);
    put(out, reason.data, reason.bytes);
    PUT(out, "\r\n");
}

static struct slice
date_now(struct worker *worker)
{
    return date_cached(&worker->date, (int64_t)(loop_wall_ms(worker->loop) / 1000));
}

/* Content-Length of an answer whose content is not on the wire: to HEAD and in
 * a 304 it says what GET would have had (RFC 9110 section 8.6). */
static void
put_length_of_absent(struct out *out, const struct exchange *ex)
{
    struct slice value = fields_get(&ex->response.fields, FIELD_CONTENT_LENGTH);

    if (value.data != NULL && ex->response.status >= 200 && ex->response.status != 204)
        put_field(out, SLICE("Content-Length"), value);
}

static bool
is_upgrade(const struct exchange *ex)
{
    return ex->response.status == 101;
}

size_t
h1_write_response(char *start, size_t room, const struct exchange *ex, enum h1_framing framing,
                  uint64_t length, bool is_kept)
{
    const struct response *response = &ex->response;
    struct out out = { start, start + room, false };

    put_status_line(&out, response->status,
                    response->reason.bytes > 0 ? response->reason
                                               : status_reason(response->status));
    put_fields(&out, &response->fields);
    if (!fields_has(&response->fields, FIELD_DATE) && !is_upgrade(ex))
        put_field(&out, SLICE("Date"), date_now(ex->worker));
    if (ex->is_head_only)
        put_length_of_absent(&out, ex);
    else
        put_framing(&out, framing, length);
    if (is_upgrade(ex)) {
        PUT(&out, "Connection: upgrade\r\n");
        put_field(&out, SLICE("Upgrade"), response->upgrade);
    } else if (!is_kept) {
        PUT(&out, "Connection: close\r\n");
    } else if (ex->request.minor_version == 0) {
        PUT(&out, "Connection: keep-alive\r\n");
    }
    PUT(&out, "\r\n");
    return done(&out, start);
}

size_t
h1_write_interim(char *start, size_t room, unsigned status, const struct fields *fields)
{
    struct out out = { start, start + room, false };

    put_status_line(&out, status, status_reason(status));
    if (fields != NULL)
        put_fields(&out, fields);
    PUT(&out, "\r\n");
    return done(&out, start);
}

/* ---- requests */

size_t
h1_write_request(char *start, size_t room, const struct exchange *ex, enum h1_framing framing)
{
    const struct request *request = &ex->request;
    struct out out = { start, start + room, false };

    put(&out, request->method_name.data, request->method_name.bytes);
    PUT(&out, " ");
    put(&out, ex->out.target.data, ex->out.target.bytes);
    PUT(&out, " HTTP/1.1\r\nHost: ");
    put(&out, ex->out.authority.data, ex->out.authority.bytes);
    PUT(&out, "\r\n");
    put_fields(&out, &request->fields);
    if (ex->out.proxy_authorization.bytes > 0)
        put_field(&out, SLICE("Proxy-Authorization"), ex->out.proxy_authorization);
    /* A request that had content keeps its framing even when it is empty. */
    if (framing != H1_NO_BODY)
        put_framing(&out, framing, request->length);
    if (request->wants_upgrade) {
        PUT(&out, "Connection: upgrade\r\n");
        put_field(&out, SLICE("Upgrade"), request->upgrade);
    }
    PUT(&out, "\r\n");
    return done(&out, start);
}
