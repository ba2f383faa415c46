/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_write.c - questions as ICAP writes them (RFC 3507 sections 4.3, 4.4, 4.5).
 *
 * Names and values come from a parser that lets no CR, LF or NUL through, or from
 * ourselves. Hop-by-hop fields are not encapsulated, nor those that frame the message: the
 * server is told the length of content where that is known.
 */
#include "config.h"

#include "filters/icap_inside.h"

#include "server/base/base64.h"
#include "server/http/status.h"
#include "server/users/user.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ROOM_MIN 1024u

void
icap_text_free(struct icap_text *text)
{
    free(text->data);
    *text = (struct icap_text){ 0 };
}

static bool
reserve(struct icap_text *text, size_t bytes)
{
    size_t room = text->room > 0 ? text->room : ROOM_MIN;
    char *data;

    if (text->room - text->bytes >= bytes)
        return true;
    while (room - text->bytes < bytes)
        room *= 2;
    data = realloc(text->data, room);
    if (data == NULL) {
        text->is_failed = true;
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

void
icap_put(struct icap_text *text, struct slice part)
{
    if (part.bytes == 0 || !reserve(text, part.bytes))
        return;
    memcpy(text->data + text->bytes, part.data, part.bytes);
    text->bytes += part.bytes;
}

#define PUT(text, literal) icap_put(text, SLICE(literal))

static void
put_number(struct icap_text *text, uint64_t number)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%" PRIu64, number);
    icap_put(text, slice_of(digits));
}

static void
put_field(struct icap_text *text, struct slice name, struct slice value)
{
    icap_put(text, name);
    PUT(text, ": ");
    icap_put(text, value);
    PUT(text, "\r\n");
}

/* ---- content */

void
icap_put_chunk(struct icap_text *text, const char *data, size_t bytes)
{
    char size[24];

    snprintf(size, sizeof(size), "%zx\r\n", bytes);
    icap_put(text, slice_of(size));
    icap_put(text, slice_make(data, bytes));
    PUT(text, "\r\n");
}

void
icap_put_end(struct icap_text *text, bool is_ieof)
{
    icap_put(text, is_ieof ? SLICE("0; ieof\r\n\r\n") : SLICE("0\r\n\r\n"));
}

/* ---- encapsulated heads */

struct slice
icap_url(struct exchange *ex)
{
    const struct request *request = &ex->request;
    struct slice parts[] = { request->scheme, SLICE("://"), request->authority, request->target };

    if (request->form != TARGET_ORIGIN || request->authority.bytes == 0 ||
        request->scheme.bytes == 0)
        return request->target;
    return arena_join(&ex->arena, parts, ARRAY_COUNT(parts));
}

static void
put_fields(struct icap_text *text, const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if ((fields->items[i].flags & (FIELD_HOP | FIELD_FRAMING)) == 0)
            put_field(text, fields->items[i].name, fields->items[i].value);
}

static void
put_length(struct icap_text *text, bool has_body, uint64_t length)
{
    if (!has_body || length == LENGTH_UNKNOWN)
        return;
    PUT(text, "Content-Length: ");
    put_number(text, length);
    PUT(text, "\r\n");
}

static void
put_request_head(struct icap_text *text, struct exchange *ex, bool has_body)
{
    const struct request *request = &ex->request;

    icap_put(text, request->method_name);
    PUT(text, " ");
    icap_put(text, icap_url(ex));
    if (request->authority.bytes > 0) {
        PUT(text, " HTTP/1.1\r\n");
        put_field(text, SLICE("Host"), request->authority);
    } else {
        PUT(text, " HTTP/1.0\r\n"); /* which needs no Host */
    }
    put_fields(text, &request->fields);
    put_length(text, has_body, request->length);
    PUT(text, "\r\n");
}

static void
put_response_head(struct icap_text *text, const struct exchange *ex)
{
    const struct response *response = &ex->response;

    PUT(text, "HTTP/1.1 ");
    put_number(text, response->status);
    PUT(text, " ");
    icap_put(text, response->reason.bytes > 0 ? response->reason
                                              : status_reason(response->status));
    PUT(text, "\r\n");
    put_fields(text, &response->fields);
    put_length(text, response->has_body, response->length);
    PUT(text, "\r\n");
}

/* ---- who asks */

static void
put_client(struct icap_text *text, const struct icap_job *job)
{
    struct exchange *ex = job->ex;
    struct ip ip = ex->client_ip;
    char address[IP_TEXT_BYTES];

    if (job->conf->sends_client_ip && ip.family != 0) {
        ip.scope = 0; /* means something on this machine only */
        ip_text(&ip, address);
        put_field(text, SLICE("X-Client-IP"), slice_of(address));
    }
    if (ex->user == NULL)
        return;
    if (job->conf->sends_username)
        put_field(text, SLICE("X-Client-Username"), ex->user->name);
    if (job->conf->sends_user) {
        struct slice parts[] = { SLICE("Local://"), ex->user->name };

        put_field(text, SLICE("X-Authenticated-User"),
                  base64_encode(&ex->arena, arena_join(&ex->arena, parts, ARRAY_COUNT(parts))));
    }
}

/* ---- ICAP heads */

static void
put_start(struct icap_text *text, const char *method, const struct icap_target *to)
{
    icap_put(text, slice_of(method));
    PUT(text, " ");
    icap_put(text, slice_of(to->uri));
    PUT(text, " ICAP/1.0\r\n");
    put_field(text, SLICE("Host"), slice_of(to->host));
}

void
icap_write_options(struct icap_text *text, const struct icap_target *to)
{
    put_start(text, "OPTIONS", to);
    PUT(text, "Encapsulated: null-body=0\r\n\r\n");
}

/* 204 and 206 outside of a preview are only for content that we still have then; 206 alone
 * means within the preview. */
static void
put_allow(struct icap_text *text, const struct icap_job *job)
{
    if (job->allows_204)
        icap_put(text, job->allows_206 ? SLICE("Allow: 204, 206\r\n") : SLICE("Allow: 204\r\n"));
    else if (job->allows_206)
        PUT(text, "Allow: 206\r\n");
}

/* The names of the parts and where they begin. */
static void
put_encapsulated(struct icap_text *text, const struct icap_job *job, size_t request_bytes,
                 size_t all_bytes)
{
    bool is_response = job->side == ICAP_RESPONSE;
    struct slice body = job->hold == NULL ? SLICE("null-body=")
                        : is_response     ? SLICE("res-body=")
                                          : SLICE("req-body=");

    PUT(text, "Encapsulated: req-hdr=0, ");
    if (is_response) {
        PUT(text, "res-hdr=");
        put_number(text, request_bytes);
        PUT(text, ", ");
    }
    icap_put(text, body);
    put_number(text, all_bytes);
    PUT(text, "\r\n\r\n");
}

void
icap_write_question(struct icap_text *text, const struct icap_job *job, uint64_t preview_bytes)
{
    bool is_response = job->side == ICAP_RESPONSE;
    struct icap_text heads = { 0 };
    size_t request_bytes;

    put_request_head(&heads, job->ex, !is_response && job->hold != NULL);
    request_bytes = heads.bytes;
    if (is_response)
        put_response_head(&heads, job->ex);
    put_start(text, is_response ? "RESPMOD" : "REQMOD", job->to);
    put_allow(text, job);
    if (preview_bytes != ICAP_NO_PREVIEW) {
        PUT(text, "Preview: ");
        put_number(text, preview_bytes);
        PUT(text, "\r\n");
    }
    put_client(text, job);
    put_encapsulated(text, job, request_bytes, heads.bytes);
    icap_put(text, slice_make(heads.data, heads.bytes));
    text->is_failed |= heads.is_failed;
    icap_text_free(&heads);
}
