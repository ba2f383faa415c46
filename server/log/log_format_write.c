/* SPDX-License-Identifier: BSD-2-Clause */
/* log_format_write.c - access log lines: runs the operations of a format. */
#include "config.h"

#include "server/log/log_format_inside.h"

#include "server/http/header.h"
#include "server/log/access_log.h"

/* Room that must be there for a value of each kind. */
static const uint8_t kind_bytes[] = {
    [KIND_NOTHING] = 0,
    [KIND_SLICE] = ESCAPE_ROOM_MIN,
    [KIND_WORD] = ESCAPE_ROOM_MIN,
    [KIND_COUNT] = 20,
    [KIND_STATUS] = 5,
    [KIND_PEER_STATUS] = 5,
    [KIND_FLAG] = 5,
    [KIND_US] = 20,
    [KIND_MS] = 20,
    [KIND_ID] = 16,
    [KIND_CLIENT] = IP_TEXT_BYTES,
    [KIND_PEER_IP] = IP_TEXT_BYTES,
    [KIND_PORT] = 5,
    [KIND_TIME_LOCAL] = 26,
    [KIND_TIME_ISO] = 24,
    [KIND_TIME_MS] = 20,
    [KIND_TIME_S] = 24,
    [KIND_REQUEST] = 3 * ESCAPE_ROOM_MIN + 2,
    [KIND_PATH] = ESCAPE_ROOM_MIN,
    [KIND_CLF_BYTES] = 20,
    [KIND_REQUEST_FIELD] = ESCAPE_ROOM_MIN,
    [KIND_RESPONSE_FIELD] = ESCAPE_ROOM_MIN,
    [KIND_SQUID_ELAPSED] = 20,
    [KIND_SQUID_RESULT] = ESCAPE_ROOM_MIN + 6,
    [KIND_SQUID_URL] = 3 * ESCAPE_ROOM_MIN + 3,
    [KIND_SQUID_PEER] = 2 * ESCAPE_ROOM_MIN + IP_TEXT_BYTES,
    [KIND_SQUID_TYPE] = ESCAPE_ROOM_MIN,
};

size_t
log_kind_bytes(enum log_kind kind)
{
    return kind_bytes[kind];
}

/* ---- values */

struct writer {
    char *at, *limit; /* limit: of the present value */
    bool is_json, is_cut;
};

/* Each put_ function returns whether there was a value. */
static bool
put_slice(struct writer *w, enum escape escape, struct slice s)
{
    w->at = escape_put(escape, w->at, w->limit, s, &w->is_cut);
    return s.bytes > 0;
}

/* The same with room for what follows it. */
static void
put_part(struct writer *w, enum escape escape, struct slice s, size_t kept_bytes)
{
    w->at = escape_put(escape, w->at, w->limit - kept_bytes, s, &w->is_cut);
}

static bool
put_u64(struct writer *w, uint64_t value)
{
    w->at = text_u64(w->at, value);
    return true;
}

static bool
put_time(struct writer *w, int64_t us, unsigned divisor)
{
    return us >= 0 && put_u64(w, (uint64_t)us / divisor);
}

static bool
put_status(struct writer *w, unsigned status)
{
    if (status < 100) {
        memcpy(w->at, "000", 3);
        w->at += 3;
        return !w->is_json || status > 0;
    }
    return put_u64(w, status);
}

static bool
put_flag(struct writer *w, bool flag)
{
    struct slice word = flag ? SLICE("true") : SLICE("false");

    if (!w->is_json)
        return put_u64(w, flag);
    memcpy(w->at, word.data, word.bytes);
    w->at += word.bytes;
    return true;
}

static bool
put_id(struct writer *w, uint64_t id)
{
    w->at = text_hex64(w->at, id);
    return true;
}

static bool
put_ip(struct writer *w, const struct ip *ip)
{
    if (ip->family != 4) {
        w->at += ip_text(ip, w->at);
        return true;
    }
    for (int i = 0; i < 4; i++) { /* most lines have one */
        w->at = text_u64(w->at, ip->bytes[i]);
        *w->at++ = '.';
    }
    w->at--;
    return true;
}

static bool
put_client(struct writer *w, const struct access_record *record)
{
    struct slice alias = record->client_alias;

    if (likely(alias.bytes == 0))
        return put_ip(w, &record->client);
    w->at = mempcpy(w->at, alias.data, alias.bytes);
    return true;
}

static bool
put_epoch(struct writer *w, uint64_t wall_ms)
{
    unsigned ms = (unsigned)(wall_ms % 1000);

    w->at = text_u64(w->at, wall_ms / 1000);
    *w->at++ = '.';
    *w->at++ = (char)('0' + ms / 100);
    *w->at++ = (char)('0' + ms / 10 % 10);
    *w->at++ = (char)('0' + ms % 10);
    return true;
}

/* A request that could not be read has no line: "-" stands for its parts, too. */
static bool
put_request(struct writer *w, enum escape escape, const struct access_record *record)
{
    if (record->method.bytes == 0 || slice_equal(record->target, SLICE("-")))
        return false;
    put_part(w, escape, record->method, 2 * ESCAPE_ROOM_MIN + 2);
    *w->at++ = ' ';
    put_part(w, escape, record->target, ESCAPE_ROOM_MIN + 1);
    *w->at++ = ' ';
    put_part(w, escape, record->version, 0);
    return true;
}

/* The target without scheme, authority and query. */
static struct slice
path_of(struct slice target)
{
    const char *end = target.data + target.bytes;
    const char *at = target.bytes > 3 && target.data[0] != '/'
                         ? memmem(target.data, target.bytes, "://", 3) : NULL;
    ptrdiff_t query;

    if (at != NULL) {
        at = memchr(at + 3, '/', (size_t)(end - at - 3));
        if (at == NULL)
            return SLICE("/");
        target = slice_make(at, (size_t)(end - at));
    }
    query = slice_find(target, '?');
    return query >= 0 ? slice_make(target.data, (size_t)query) : target;
}

static bool
put_field(struct writer *w, const struct log_op *op, const struct fields *fields)
{
    const struct field *field = fields != NULL ? fields_find_name(fields, op->header) : NULL;

    return field != NULL && put_slice(w, op->escape, field->value);
}

/* ---- as squid writes it */

/* Milliseconds, right-aligned in six columns. */
static bool
put_squid_elapsed(struct writer *w, int64_t us)
{
    char digits[20];
    size_t bytes = (size_t)(text_u64(digits, us > 0 ? (uint64_t)us / 1000 : 0) - digits);

    for (size_t column = bytes; column < 6; column++)
        *w->at++ = ' ';
    memcpy(w->at, digits, bytes);
    w->at += bytes;
    return true;
}

static bool
put_squid_result(struct writer *w, enum escape escape, const struct access_record *record)
{
    put_part(w, escape, slice_of(record->cache != NULL ? record->cache : "NONE"), 6);
    *w->at++ = '/';
    return put_status(w, record->status);
}

/* The whole URL, also of requests in origin form. */
static bool
put_squid_url(struct writer *w, const struct access_record *record)
{
    bool is_whole = record->target.bytes == 0 || record->target.data[0] != '/' ||
                    record->host.bytes == 0;

    if (!is_whole) {
        put_part(w, ESCAPE_URL, record->scheme.bytes > 0 ? record->scheme : SLICE("http"),
                 2 * ESCAPE_ROOM_MIN + 3);
        memcpy(w->at, "://", 3);
        w->at += 3;
        put_part(w, ESCAPE_URL, record->host, ESCAPE_ROOM_MIN);
    }
    return put_slice(w, ESCAPE_URL, record->target);
}

/* Hierarchy code and the address of the next hop. */
static bool
put_squid_peer(struct writer *w, const struct access_record *record)
{
    bool has_peer = record->upstream_ip.family != 0 || record->endpoint.bytes > 0;
    const char *word = record->hierarchy != NULL ? record->hierarchy
                       : has_peer                ? "HIER_DIRECT"
                                                 : "HIER_NONE";

    put_part(w, ESCAPE_TOKEN, slice_of(word), ESCAPE_ROOM_MIN + IP_TEXT_BYTES);
    *w->at++ = '/';
    if (record->upstream_ip.family != 0)
        return put_ip(w, &record->upstream_ip);
    return put_slice(w, ESCAPE_TOKEN, has_peer ? record->endpoint : SLICE("-"));
}

/* Content-Type without parameters. */
static bool
put_squid_type(struct writer *w, const struct access_record *record)
{
    struct slice type = { NULL, 0 };
    ptrdiff_t end;

    if (record->response != NULL)
        type = fields_get(record->response, FIELD_CONTENT_TYPE);
    end = slice_find(type, ';');
    if (end >= 0)
        type.bytes = (size_t)end;
    return put_slice(w, ESCAPE_TOKEN, slice_trim(type));
}

/* ---- lines */

static bool
put_value(struct writer *w, const struct log_op *op, const struct access_record *record)
{
    const void *member = (const char *)record + op->offset;
    const struct ip *ip = member;

    switch (op->kind) {
    case KIND_NOTHING:
        return true;
    case KIND_SLICE:
        return put_slice(w, op->escape, *(const struct slice *)member);
    case KIND_WORD:
        return put_slice(w, op->escape, slice_of(*(const char *const *)member));
    case KIND_COUNT:
        return put_u64(w, *(const uint64_t *)member);
    case KIND_STATUS:
        return put_status(w, *(const uint16_t *)member);
    case KIND_PEER_STATUS:
        return *(const uint16_t *)member != 0 && put_u64(w, *(const uint16_t *)member);
    case KIND_FLAG:
        return put_flag(w, *(const bool *)member);
    case KIND_US:
        return put_time(w, *(const int64_t *)member, 1);
    case KIND_MS:
        return put_time(w, *(const int64_t *)member, 1000);
    case KIND_ID:
        return put_id(w, *(const uint64_t *)member);
    case KIND_CLIENT:
        return put_client(w, record);
    case KIND_PEER_IP:
        return ip->family != 0 && put_ip(w, ip);
    case KIND_PORT:
        return ip->port != 0 && put_u64(w, ip->port);
    case KIND_TIME_LOCAL:
        w->at = text_time_local(w->at, record->wall_ms);
        return true;
    case KIND_TIME_ISO:
        w->at = text_time_iso(w->at, record->wall_ms);
        return true;
    case KIND_TIME_MS:
        return put_u64(w, record->wall_ms);
    case KIND_TIME_S:
        return put_epoch(w, record->wall_ms);
    case KIND_REQUEST:
        return put_request(w, op->escape, record);
    case KIND_PATH:
        return put_slice(w, op->escape, path_of(record->target));
    case KIND_CLF_BYTES:
        return record->body_out_bytes > 0 && put_u64(w, record->body_out_bytes);
    case KIND_REQUEST_FIELD:
        return put_field(w, op, record->request);
    case KIND_RESPONSE_FIELD:
        return put_field(w, op, record->response);
    case KIND_SQUID_ELAPSED:
        return put_squid_elapsed(w, record->duration_us);
    case KIND_SQUID_RESULT:
        return put_squid_result(w, op->escape, record);
    case KIND_SQUID_URL:
        return put_squid_url(w, record);
    case KIND_SQUID_PEER:
        return put_squid_peer(w, record);
    case KIND_SQUID_TYPE:
        return put_squid_type(w, record);
    }
    return false;
}

static inline void
put_text(struct writer *w, struct slice text)
{
    memcpy(w->at, text.data, SHORT_TEXT);
    if (unlikely(text.bytes > SHORT_TEXT))
        memcpy(w->at, text.data, text.bytes);
    w->at += text.bytes;
}

static inline void
put_op(struct writer *w, const struct log_op *op, const struct access_record *record)
{
    char *start = w->at;

    put_text(w, op->text);
    if (op->is_quoted)
        *w->at++ = '"';
    if (!put_value(w, op, record)) {
        if (w->is_json)
            w->at = start;
        else
            *w->at++ = '-';
        return;
    }
    if (op->is_quoted)
        *w->at++ = '"';
}

size_t
log_format_write(const struct log_format *format, const struct access_record *record, char *out,
                 size_t room, bool *is_cut)
{
    struct writer w = { .at = out, .is_json = format->is_json };

    if (room < format->least_bytes)
        return 0;
    for (size_t i = 0; i < format->count; i++) {
        w.limit = out + room - format->ops[i].tail_bytes;
        put_op(&w, &format->ops[i], record);
    }
    *is_cut = *is_cut || w.is_cut;
    return (size_t)(w.at - out);
}
