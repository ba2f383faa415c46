/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_fields.c - what a field section says, and whether it may say so.
 *
 * A malformed section (RFC 9113 section 8.1.1) is refused with 400 and the stream
 * reset; one that is only too large or asks for what we do not do is answered.
 * HTTP/2 frames values by their length, HTTP/1.1 by characters: so a character
 * that means something there never gets as far (section 10.3).
 */
#include "config.h"

#include "server/http/h2_fields.h"

#include "server/base/base64.h"
#include "server/http/exchange.h"
#include "server/http/scan.h"
#include "server/http/status.h"
#include "server/http/uri.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#define LINE_OVERHEAD_BYTES 32 /* RFC 9113 section 6.5.2 */
#define LENGTH_MAX ((uint64_t)INT64_MAX)
#define OWN_LINES 8 /* besides the fields: pseudo-fields, date, length ... */

/* ---- faults */

static void
refuse(struct h2_head *head, unsigned status, const char *reason)
{
    if (head->fault.status == 0)
        head->fault = (struct h1_refusal){ (uint16_t)status, reason };
}

static void
refuse_malformed(struct h2_head *head, const char *reason)
{
    if (head->fault.status == 0)
        head->is_malformed = true;
    refuse(head, 400, reason);
}

/* ---- lines */

void
h2_head_begin(struct h2_head *head, enum h2_section section, struct arena *arena,
              const struct h1_limits *limits)
{
    *head = (struct h2_head){ .arena = arena, .limits = limits, .section = (uint8_t)section };
}

static void
set_pseudo(struct h2_head *head, struct slice *pseudo, struct slice value)
{
    if (pseudo->data != NULL) {
        refuse_malformed(head, "repeated pseudo-field");
        return;
    }
    *pseudo = arena_copy(head->arena, value);
    if (pseudo->data == NULL)
        refuse(head, 431, "fields take too much memory");
}

/* What would be too long as HTTP/1's request line is so here. */
static void
add_path(struct h2_head *head, struct slice value)
{
    if (value.bytes > head->limits->line_bytes)
        refuse(head, 414, ":path too long");
    else
        set_pseudo(head, &head->path, value);
}

static void
add_status(struct h2_head *head, struct slice value)
{
    uint64_t status;

    if (head->status != 0)
        refuse_malformed(head, "repeated pseudo-field");
    else if (value.bytes != 3 || !slice_to_u64(value, 599, &status) || status < 100)
        refuse_malformed(head, "malformed :status");
    else
        head->status = (uint16_t)status;
}

/* RFC 9113 section 8.3: known ones of this kind of message, in front, once. */
static void
add_pseudo(struct h2_head *head, struct slice name, struct slice value)
{
    bool is_request = head->section == H2_REQUEST;

    if (head->saw_field)
        refuse_malformed(head, "pseudo-field behind a field");
    else if (is_request && slice_equal(name, SLICE(":method")))
        set_pseudo(head, &head->method, value);
    else if (is_request && slice_equal(name, SLICE(":path")))
        add_path(head, value);
    else if (is_request && slice_equal(name, SLICE(":scheme")))
        set_pseudo(head, &head->scheme, value);
    else if (is_request && slice_equal(name, SLICE(":authority")))
        set_pseudo(head, &head->authority, value);
    else if (is_request && slice_equal(name, SLICE(":protocol")))
        set_pseudo(head, &head->protocol, value);
    else if (head->section == H2_RESPONSE && slice_equal(name, SLICE(":status")))
        add_status(head, value);
    else
        refuse_malformed(head, "unknown pseudo-field");
}

/* RFC 9113 section 8.2.1: a token without upper case. */
static bool
is_name(struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++)
        if ((char_classes[(unsigned char)name.data[i]] & (CHAR_TOKEN | CHAR_UPPER)) != CHAR_TOKEN)
            return false;
    return name.bytes > 0;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool
is_value(struct slice value)
{
    const char *end;

    if (value.bytes == 0)
        return true;
    end = value.data + value.bytes;
    return !is_blank(value.data[0]) && !is_blank(end[-1]) && scan_text(value.data, end) == end;
}

/* RFC 9113 section 8.2.2: what belongs to a connection of HTTP/1. */
static bool
is_of_connection(enum field_id id, struct slice value)
{
    switch ((int)id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
        return true;
    case FIELD_TE:
        return !slice_equal_nocase(value, SLICE("trailers"));
    default:
        return false;
    }
}

static void
add_field(struct h2_head *head, struct slice name, struct slice value)
{
    struct fields *fields = &head->fields;
    enum field_id id = field_id_of(name);
    uint32_t count = fields->count;

    head->saw_field = true;
    if (!is_name(name)) {
        refuse_malformed(head, "invalid character in a field name");
    } else if (!is_value(value)) {
        refuse_malformed(head, "invalid character in a field value");
    } else if (is_of_connection(id, value)) {
        refuse_malformed(head, "field of an HTTP/1 connection");
    } else if (id != FIELD_OTHER && (field_flags(id) & FIELD_SINGLETON) && fields_has(fields, id)) {
        refuse_malformed(head, "repeated field that may be there once");
    } else if (count >= head->limits->field_count) {
        refuse(head, 431, "too many field lines");
    } else {
        value = arena_copy(head->arena, value);
        if (id != FIELD_OTHER)
            fields_add(fields, head->arena, id, value);
        else
            fields_add_name(fields, head->arena, arena_copy(head->arena, name), value);
        if (fields->count == count || arena_is_spent(head->arena))
            refuse(head, 431, "fields take too much memory");
        head->cookies += id == FIELD_COOKIE;
    }
}

void
h2_head_add(struct h2_head *head, struct slice name, struct slice value)
{
    head->bytes += name.bytes + value.bytes + LINE_OVERHEAD_BYTES;
    if (head->fault.status != 0)
        return;
    if (head->bytes > head->limits->head_bytes)
        refuse(head, 431, "head too long");
    else if (name.bytes > 0 && name.data[0] == ':')
        add_pseudo(head, name, value);
    else
        add_field(head, name, value);
}

/* ---- requests: target */

/* Section 8.2.3: crumbs become one line again. */
static void
join_cookies(struct h2_head *head)
{
    const struct field *field = NULL;
    size_t bytes = 0;
    char *joined, *at;

    if (head->cookies < 2)
        return;
    while ((field = fields_next(&head->fields, FIELD_COOKIE, field)) != NULL)
        bytes += field->value.bytes + 2;
    joined = at = arena_alloc(head->arena, bytes);
    if (joined == NULL) {
        refuse(head, 431, "fields take too much memory");
        return;
    }
    while ((field = fields_next(&head->fields, FIELD_COOKIE, field)) != NULL) {
        if (at != joined)
            at = mempcpy(at, "; ", 2);
        at = mempcpy(at, field->value.data, field->value.bytes);
    }
    fields_set(&head->fields, head->arena, FIELD_COOKIE, slice_make(joined, (size_t)(at - joined)));
}

/* :authority and Host name the same, or one of them is missing (section 8.3.1). */
static void
find_authority(struct h2_head *head, struct request *request)
{
    struct slice host = fields_get(&head->fields, FIELD_HOST);
    int port;

    if (head->authority.data == NULL && host.data == NULL) {
        refuse(head, 400, "no :authority");
        return;
    }
    if (head->authority.data == NULL)
        head->authority = host;
    if (host.data != NULL && !slice_equal_nocase(host, head->authority)) {
        refuse_malformed(head, "Host differs from :authority");
        return;
    }
    if (uri_parse_authority(head->authority, &request->host, &port) < 0) {
        refuse(head, 400, "malformed :authority");
        return;
    }
    if (port >= 0)
        request->port = (uint16_t)port;
    request->authority = head->authority;
    request->host = uri_normal_host(request->host, head->arena);
    if (!slice_equal(host, head->authority))
        fields_set(&head->fields, head->arena, FIELD_HOST, head->authority);
}

static void
find_scheme(struct h2_head *head, const struct h2_request_context *context,
            struct request *request)
{
    bool is_https = slice_equal_nocase(head->scheme, SLICE("https"));

    if (!is_https && !slice_equal_nocase(head->scheme, SLICE("http"))) {
        refuse(head, 400, "scheme of the target is neither http nor https");
        return;
    }
    if (!context->is_proxied)
        is_https = context->is_tls;
    request->scheme = is_https ? SLICE("https") : SLICE("http");
    request->port = is_https ? 443 : 80;
}

/* What HTTP/1.1 sends to a proxy. */
static void
make_absolute(struct h2_head *head, struct request *request)
{
    size_t skip = request->scheme.bytes + 3 + request->authority.bytes;

    request->form = TARGET_ABSOLUTE;
    if (slice_equal(head->path, SLICE("*"))) {
        request->target = arena_printf(head->arena, "%.*s://%.*s", SLICE_ARG(request->scheme),
                                       SLICE_ARG(request->authority));
        request->path = SLICE("*");
        return;
    }
    request->target = arena_printf(head->arena, "%.*s://%.*s%.*s", SLICE_ARG(request->scheme),
                                   SLICE_ARG(request->authority), SLICE_ARG(head->path));
    uri_split_query(slice_skip(request->target, skip), &request->path, &request->query);
}

static void
find_target(struct h2_head *head, const struct h2_request_context *context,
            struct request *request)
{
    struct slice path = head->path;
    const char *end = path.data + path.bytes;

    if (path.data[0] == '*' ? path.bytes > 1 || request->method != METHOD_OPTIONS
                            : path.data[0] != '/') {
        refuse_malformed(head, ":path is not a path");
    } else if (scan_target(path.data, end) != end) {
        refuse_malformed(head, "invalid character in :path");
    } else if (context->is_proxied) {
        make_absolute(head, request);
    } else if (path.data[0] == '*') {
        request->form = TARGET_ASTERISK;
        request->path = path;
    } else {
        request->form = TARGET_ORIGIN;
        uri_split_query(path, &request->path, &request->query);
    }
}

/* Section 8.5. */
static void
find_destination(struct h2_head *head, struct request *request)
{
    request->form = TARGET_AUTHORITY;
    request->scheme = SLICE("");
    request->path = SLICE("");
    request->target = head->authority;
    find_authority(head, request);
    if (head->fault.status == 0 && request->port == 0)
        refuse(head, 400, "CONNECT without a port");
    if (fields_has(&head->fields, FIELD_CONTENT_LENGTH))
        refuse_malformed(head, "CONNECT with content");
}

/* ---- requests: an upgrade in HTTP/1.1's words (RFC 8441) */

/* RFC 6455 section 4.2.2: what proves that the origin has understood. */
static void
hash_key(struct arena *arena, struct slice key, char accept[H2_ACCEPT_BYTES])
{
    struct slice text = arena_printf(arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                                     SLICE_ARG(key));
    unsigned char digest[SHA_DIGEST_LENGTH];
    struct slice encoded;

    SHA1((const unsigned char *)text.data, text.bytes, digest);
    encoded = base64_encode(arena, slice_make((const char *)digest, sizeof(digest)));
    if (encoded.bytes == H2_ACCEPT_BYTES - 1)
        memcpy(accept, encoded.data, H2_ACCEPT_BYTES);
}

static void
ask_for_websocket(struct h2_head *head, struct request *request, char accept[H2_ACCEPT_BYTES])
{
    struct fields *fields = &head->fields;
    char nonce[16];
    struct slice key;

    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce)) {
        refuse(head, 503, "no random bytes");
        return;
    }
    key = base64_encode(head->arena, slice_make(nonce, sizeof(nonce)));
    hash_key(head->arena, key, accept);
    request->method = METHOD_GET;
    request->method_name = SLICE("GET");
    request->wants_upgrade = true;
    request->upgrade = SLICE("websocket");
    fields_add(fields, head->arena, FIELD_UPGRADE, request->upgrade);
    fields_set(fields, head->arena, FIELD_SEC_WEBSOCKET_KEY, key);
    if (!fields_has(fields, FIELD_SEC_WEBSOCKET_VERSION))
        fields_add(fields, head->arena, FIELD_SEC_WEBSOCKET_VERSION, SLICE("13"));
}

/* ---- requests: content */

static bool
expects_answer_of_length(enum method method)
{
    return method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;
}

static void
frame_request(struct h2_head *head, bool is_end, struct request *request)
{
    const struct field *length = fields_find(&head->fields, FIELD_CONTENT_LENGTH);
    struct slice expect = fields_get(&head->fields, FIELD_EXPECT);

    request->length = is_end ? 0 : LENGTH_UNKNOWN;
    if (length != NULL && !slice_to_u64(length->value, LENGTH_MAX, &request->length)) {
        refuse_malformed(head, "malformed Content-Length");
        return;
    }
    if (is_end && request->length > 0) {
        refuse_malformed(head, "Content-Length without content");
        return;
    }
    if (request->method == METHOD_TRACE && request->length > 0) {
        refuse(head, 400, "TRACE with content");
        return;
    }
    /* Origins of HTTP/1.1 may insist on a length, even of nothing. */
    request->has_body = !is_end || length != NULL || expects_answer_of_length(request->method);
    request->is_chunked = request->length == LENGTH_UNKNOWN;
    request->expects_continue = expect.bytes > 0 && request->length > 0 &&
                                slice_list_has(expect, SLICE("100-continue"));
}

/* Which pseudo-fields have to be there, and which must not (sections 8.3.1, 8.5;
 * RFC 8441 section 4). */
static void
check_pseudo(struct h2_head *head, bool is_connect)
{
    struct slice method = head->method;

    if (!scan_is_token(method))
        refuse_malformed(head, "no valid :method");
    else if (head->protocol.data != NULL && !slice_equal(method, SLICE("CONNECT")))
        refuse_malformed(head, ":protocol of another method than CONNECT");
    else if (is_connect && (head->scheme.data != NULL || head->path.data != NULL))
        refuse_malformed(head, "CONNECT with :scheme or :path");
    else if (!is_connect && (head->scheme.bytes == 0 || head->path.bytes == 0))
        refuse_malformed(head, "no :scheme or no :path");
    else if ((is_connect || head->protocol.data != NULL) && head->authority.data == NULL)
        refuse_malformed(head, "CONNECT without :authority");
}

static void
read_request(struct h2_head *head, const struct h2_request_context *context,
             struct request *request, char accept[H2_ACCEPT_BYTES])
{
    bool is_connect = request->method == METHOD_CONNECT && head->protocol.data == NULL;

    check_pseudo(head, is_connect);
    if (head->fault.status != 0)
        return;
    join_cookies(head);
    if (is_connect) {
        find_destination(head, request);
        return;
    }
    if (head->protocol.data != NULL && !slice_equal(head->protocol, SLICE("websocket"))) {
        refuse(head, 501, ":protocol is not websocket");
        return;
    }
    find_scheme(head, context, request);
    find_authority(head, request);
    if (head->fault.status != 0)
        return;
    find_target(head, context, request);
    if (head->protocol.data != NULL)
        ask_for_websocket(head, request, accept);
    else
        frame_request(head, context->is_end, request);
}

int
h2_head_to_request(struct h2_head *head, const struct h2_request_context *context,
                   struct request *request, char key_accept[H2_ACCEPT_BYTES],
                   struct h1_refusal *refusal)
{
    *request = (struct request){ .minor_version = 1, .method_name = head->method,
                                 .target = head->path, .scheme = SLICE("") };
    request->method = method_of(head->method);
    key_accept[0] = '\0';
    if (head->fault.status == 0)
        read_request(head, context, request, key_accept);
    if (head->fault.status == 0 && arena_is_spent(head->arena))
        refuse(head, 431, "fields take too much memory");
    request->fields = head->fields;
    if (head->fault.status == 0)
        return 0;
    *refusal = head->fault;
    return -1;
}

/* ---- responses, trailers */

static void
frame_response(struct h2_head *head, enum method method, bool is_end, struct response *response)
{
    const struct field *length = fields_find(&head->fields, FIELD_CONTENT_LENGTH);
    uint64_t bytes = LENGTH_UNKNOWN;
    bool has_content = method != METHOD_HEAD && status_may_have_content(response->status);

    if (method == METHOD_CONNECT && response->status / 100 == 2)
        return;
    if (length != NULL && !slice_to_u64(length->value, LENGTH_MAX, &bytes)) {
        refuse_malformed(head, "malformed Content-Length");
        return;
    }
    if (!has_content)
        return;
    if (is_end && length != NULL && bytes > 0) {
        refuse_malformed(head, "Content-Length without content");
        return;
    }
    response->has_body = !is_end;
    response->length = is_end ? 0 : bytes;
}

int
h2_head_to_response(struct h2_head *head, enum method request_method, bool is_end,
                    struct response *response, struct h1_refusal *refusal)
{
    *response = (struct response){ .status = head->status, .minor_version = 1 };
    if (head->status == 0)
        refuse_malformed(head, "no :status");
    else if (head->status == 101)
        refuse_malformed(head, "101 in HTTP/2"); /* section 8.6 */
    else if (head->status < 200 && is_end)
        refuse_malformed(head, "an interim response ends the stream");
    if (head->fault.status == 0)
        frame_response(head, request_method, is_end, response);
    response->fields = head->fields;
    if (head->fault.status == 0)
        return 0;
    *refusal = (struct h1_refusal){ 502, head->fault.reason };
    return -1;
}

static bool
is_not_for_trailers(const struct field *field, void *arg)
{
    (void)arg;
    return (field->flags & (FIELD_HOP | FIELD_FRAMING | FIELD_KEEP_NOMINATED)) != 0;
}

int
h2_head_to_trailers(struct h2_head *head, const struct fields **trailers)
{
    *trailers = NULL;
    if (head->fault.status != 0)
        return -1;
    fields_remove_if(&head->fields, is_not_for_trailers, NULL);
    if (head->fields.count > 0)
        *trailers = &head->fields;
    return 0;
}

/* ---- to the wire */

/* The well-known names in lower case, made once. */
static struct slice lower_names[FIELD_ID_COUNT];

static void
make_lower_names(void)
{
    static char text[FIELD_ID_COUNT * 48];
    char *at = text;

    for (int id = 1; id < FIELD_ID_COUNT; id++) {
        struct slice name = field_name((enum field_id)id);

        must(at + name.bytes <= text + sizeof(text));
        lower_names[id] = slice_make(at, name.bytes);
        for (size_t i = 0; i < name.bytes; i++)
            *at++ = ascii_lower(name.data[i]);
    }
}

static struct slice
lower_name(const struct field *field, struct arena *arena)
{
    char *lower;

    if (field->id != FIELD_OTHER)
        return lower_names[field->id];
    for (size_t i = 0; i < field->name.bytes; i++) {
        if (!char_is(field->name.data[i], CHAR_UPPER))
            continue;
        lower = arena_alloc(arena, field->name.bytes);
        for (i = 0; lower != NULL && i < field->name.bytes; i++)
            lower[i] = ascii_lower(field->name.data[i]);
        return slice_make(lower, lower != NULL ? field->name.bytes : 0);
    }
    return field->name;
}

static void
add_line(struct h2_lines *lines, struct slice name, struct slice value)
{
    lines->items[lines->count++] = (nghttp2_nv){
        .name = (uint8_t *)name.data,
        .value = (uint8_t *)value.data,
        .namelen = name.bytes,
        .valuelen = value.bytes,
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

/* Room for so many fields and a few lines of ours. nghttp2 copies the array as
 * soon as it gets it: most fit into one that all share. */
static struct h2_lines
new_lines(struct arena *arena, size_t fields)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local nghttp2_nv shared[64];
    nghttp2_nv *items = shared;

    pthread_once(&once, make_lower_names);
    if (fields + OWN_LINES > ARRAY_COUNT(shared))
        items = arena_alloc(arena, (fields + OWN_LINES) * sizeof(*items));
    return (struct h2_lines){ items, 0 };
}

/* All but what belongs to HTTP/1's connections and framing. */
static void
add_fields(struct h2_lines *lines, const struct fields *fields, struct arena *arena)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];

        if (!(field->flags & (FIELD_FRAMING | FIELD_HOP)))
            add_line(lines, lower_name(field, arena), slice_trim(field->value));
    }
}

static struct slice
decimal(struct arena *arena, uint64_t n)
{
    char digits[20], *copy;
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    copy = arena_alloc(arena, sizeof(digits) - at);
    if (copy == NULL)
        return slice_make(NULL, 0);
    memcpy(copy, digits + at, sizeof(digits) - at);
    return slice_make(copy, sizeof(digits) - at);
}

static void
add_length(struct h2_lines *lines, uint64_t length, struct arena *arena)
{
    add_line(lines, lower_names[FIELD_CONTENT_LENGTH], decimal(arena, length));
}

/* As h1_write.c has it: of content that is not on the wire, to HEAD and in a 304. */
static void
add_response_length(struct h2_lines *lines, const struct exchange *ex, struct arena *arena)
{
    const struct response *response = &ex->response;
    struct slice value = fields_get(&response->fields, FIELD_CONTENT_LENGTH);

    if (!ex->is_head_only && response->length != LENGTH_UNKNOWN)
        add_length(lines, response->length, arena);
    else if (ex->is_head_only && value.data != NULL && response->status >= 200 &&
             response->status != 204)
        add_line(lines, lower_names[FIELD_CONTENT_LENGTH], value);
}

static struct h2_lines
checked(struct h2_lines lines, const struct arena *arena)
{
    return arena_is_spent(arena) ? (struct h2_lines){ NULL, 0 } : lines;
}

struct h2_lines
h2_lines_of_response(struct exchange *ex, unsigned status)
{
    struct fields *fields = &ex->response.fields;
    struct h2_lines lines = new_lines(&ex->arena, fields->count);

    if (lines.items == NULL)
        return lines;
    add_line(&lines, SLICE(":status"), decimal(&ex->arena, status));
    add_fields(&lines, fields, &ex->arena);
    if (!fields_has(fields, FIELD_DATE))
        add_line(&lines, lower_names[FIELD_DATE],
                 date_cached(&ex->worker->date,
                             (int64_t)(loop_wall_ms(ex->worker->loop) / 1000)));
    if (status == ex->response.status)
        add_response_length(&lines, ex, &ex->arena);
    return checked(lines, &ex->arena);
}

struct h2_lines
h2_lines_of_interim(struct exchange *ex, unsigned status, const struct fields *fields)
{
    struct h2_lines lines = new_lines(&ex->arena, fields != NULL ? fields->count : 0);

    if (lines.items == NULL)
        return lines;
    add_line(&lines, SLICE(":status"), decimal(&ex->arena, status));
    if (fields != NULL)
        add_fields(&lines, fields, &ex->arena);
    return checked(lines, &ex->arena);
}

struct h2_lines
h2_lines_of_request(struct exchange *ex, bool is_tls)
{
    const struct request *request = &ex->request;
    struct h2_lines lines = new_lines(&ex->arena, request->fields.count);

    if (lines.items == NULL)
        return lines;
    add_line(&lines, SLICE(":method"), request->method_name);
    add_line(&lines, SLICE(":scheme"), is_tls ? SLICE("https") : SLICE("http"));
    add_line(&lines, SLICE(":authority"), ex->out.authority);
    add_line(&lines, SLICE(":path"), ex->out.target);
    add_fields(&lines, &request->fields, &ex->arena);
    if (slice_list_has(fields_get(&request->fields, FIELD_TE), SLICE("trailers")))
        add_line(&lines, lower_names[FIELD_TE], SLICE("trailers"));
    if (ex->out.proxy_authorization.bytes > 0)
        add_line(&lines, lower_names[FIELD_PROXY_AUTHORIZATION], ex->out.proxy_authorization);
    if (request->has_body && request->length != LENGTH_UNKNOWN)
        add_length(&lines, request->length, &ex->arena);
    return checked(lines, &ex->arena);
}

struct h2_lines
h2_lines_of_trailers(struct arena *arena, const struct fields *trailers)
{
    struct h2_lines lines = new_lines(arena, trailers->count);

    if (lines.items == NULL)
        return lines;
    add_fields(&lines, trailers, arena);
    return checked(lines, arena);
}

/* ---- priorities: two members of a dictionary (RFC 8941 section 3.2) */

void
h2_priority_parse(struct slice value, struct h2_priority *priority)
{
    struct slice member;

    while (slice_next_element(&value, &member)) {
        if (member.bytes == 3 && member.data[0] == 'u' && member.data[1] == '=' &&
            member.data[2] >= '0' && member.data[2] <= '7')
            priority->urgency = (uint8_t)(member.data[2] - '0');
        else if (slice_equal(member, SLICE("i")) || slice_equal(member, SLICE("i=?1")))
            priority->is_incremental = true;
        else if (slice_equal(member, SLICE("i=?0")))
            priority->is_incremental = false;
    }
}
