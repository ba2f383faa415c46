/* SPDX-License-Identifier: BSD-2-Clause */
/* log_format.c - access log lines from compiled operations.
 *
 * An operation is the text in front of a value and the value's kind. Each knows
 * the most bytes that all later ones need at least (tail_bytes), so a value
 * may use the room up to there and no later operation has to look whether
 * it still fits: however long hostile values are, the line ends as it should.
 */
#include "config.h"

#include "server/log/log_format.h"

#include <stdint.h>
#include <stdio.h>

#include "server/base/log.h"
#include "server/config/option.h"
#include "server/http/header.h"
#include "server/log/access_log.h"
#include "server/log/escape.h"
#include "server/log/log_privacy.h"

/* Values in one format, and bytes of its own text. */
#define OPS_MAX 256
#define TEXT_MAX 4096

/* Most texts are short: copied as one block of this size, which is cheaper than
 * by their length. So much behind a format's text, and of a line's room, is not used. */
#define SHORT_TEXT 16

enum kind {
    KIND_NOTHING, /* the end of the line */

    /* Members of the record. */
    KIND_SLICE,
    KIND_WORD,
    KIND_COUNT,       /* uint64_t */
    KIND_STATUS,      /* uint16_t: three digits, "000" when none */
    KIND_PEER_STATUS, /* uint16_t: nothing when 0 */
    KIND_FLAG,
    KIND_US,
    KIND_MS,          /* from microseconds */
    KIND_ID,
    KIND_CLIENT,
    KIND_PEER_IP, /* nothing when it is none */
    KIND_PORT,

    /* Made of them. */
    KIND_TIME_LOCAL,
    KIND_TIME_ISO,
    KIND_TIME_MS,
    KIND_TIME_S, /* with milliseconds as fraction */
    KIND_REQUEST,
    KIND_PATH,
    KIND_CLF_BYTES, /* "-" rather than 0 */
    KIND_REQUEST_FIELD,
    KIND_RESPONSE_FIELD,
    KIND_SQUID_ELAPSED,
    KIND_SQUID_RESULT,
    KIND_SQUID_URL,
    KIND_SQUID_PEER,
    KIND_SQUID_TYPE,
};

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

/* Names for %{...}; those in_json are the keys of the json format, in this
 * order. */
struct name {
    const char *name;
    enum kind kind;
    uint16_t offset; /* of a member */
    bool in_json, is_text;
};

#define MEMBER(name_, kind_, member_, in_json_, is_text_) \
    { name_, kind_, offsetof(struct access_record, member_), in_json_, is_text_ }
#define MADE(name_, kind_, in_json_, is_text_) { name_, kind_, 0, in_json_, is_text_ }

static const struct name names[] = {
    MADE("time_iso", KIND_TIME_ISO, true, true),
    MADE("time_local", KIND_TIME_LOCAL, false, true),
    MADE("time_epoch", KIND_TIME_S, false, false),
    MADE("time_epoch_ms", KIND_TIME_MS, false, false),
    MEMBER("id", KIND_ID, id, true, true),
    MEMBER("listener", KIND_SLICE, listener, true, true),
    MEMBER("mode", KIND_SLICE, mode, true, true),
    MADE("client_ip", KIND_CLIENT, true, true),
    MEMBER("client_port", KIND_PORT, client, true, false),
    MEMBER("user", KIND_SLICE, user, true, true),
    MADE("request", KIND_REQUEST, false, true),
    MEMBER("method", KIND_SLICE, method, true, true),
    MEMBER("scheme", KIND_SLICE, scheme, true, true),
    MEMBER("host", KIND_SLICE, host, true, true),
    MEMBER("target", KIND_SLICE, target, true, true),
    MADE("path", KIND_PATH, false, true),
    MEMBER("version", KIND_SLICE, version, true, true),
    MEMBER("status", KIND_STATUS, status, true, false),
    MEMBER("end", KIND_WORD, end, true, true),
    MEMBER("bytes_out", KIND_COUNT, body_out_bytes, true, false),
    MEMBER("bytes_in", KIND_COUNT, body_in_bytes, true, false),
    MADE("bytes_out_clf", KIND_CLF_BYTES, false, false),
    MEMBER("total_bytes_out", KIND_COUNT, total_out_bytes, true, false),
    MEMBER("total_bytes_in", KIND_COUNT, total_in_bytes, true, false),
    MEMBER("duration_us", KIND_US, duration_us, true, false),
    MEMBER("duration_ms", KIND_MS, duration_us, false, false),
    MEMBER("dns_us", KIND_US, dns_us, true, false),
    MEMBER("dns_ms", KIND_MS, dns_us, false, false),
    MEMBER("connect_us", KIND_US, connect_us, true, false),
    MEMBER("connect_ms", KIND_MS, connect_us, false, false),
    MEMBER("first_byte_us", KIND_US, first_byte_us, true, false),
    MEMBER("first_byte_ms", KIND_MS, first_byte_us, false, false),
    MEMBER("referer", KIND_SLICE, referer, true, true),
    MEMBER("user_agent", KIND_SLICE, user_agent, true, true),
    MEMBER("site", KIND_SLICE, site, true, true),
    MEMBER("route", KIND_SLICE, route, true, true),
    MEMBER("group", KIND_SLICE, group, true, true),
    MEMBER("upstream", KIND_SLICE, endpoint, true, true),
    MEMBER("upstream_ip", KIND_PEER_IP, upstream_ip, false, true),
    MEMBER("upstream_status", KIND_PEER_STATUS, upstream_status, true, false),
    MEMBER("rule", KIND_SLICE, rule, true, true),
    MEMBER("tags", KIND_SLICE, tags, true, true),
    MEMBER("cache", KIND_WORD, cache, true, true),
    MEMBER("reused", KIND_FLAG, is_reused, true, false),
    MEMBER("upstream_reused", KIND_FLAG, is_upstream_reused, true, false),
    MEMBER("tls_version", KIND_SLICE, tls_version, true, true),
    MEMBER("tls_cipher", KIND_SLICE, tls_cipher, true, true),
    MEMBER("tls_name", KIND_SLICE, tls_name, true, true),
    MEMBER("client_cert_subject", KIND_SLICE, client_subject, true, true),
    MEMBER("client_cert_serial", KIND_SLICE, client_serial, false, true),
    MEMBER("client_cert_fingerprint", KIND_SLICE, client_fingerprint, true, true),
    MADE("squid_elapsed", KIND_SQUID_ELAPSED, false, false),
    MADE("squid_result", KIND_SQUID_RESULT, false, true),
    MADE("squid_url", KIND_SQUID_URL, false, true),
    MADE("squid_peer", KIND_SQUID_PEER, false, true),
    MADE("squid_type", KIND_SQUID_TYPE, false, true),
};

#define COMMON \
    "%{client_ip} - %{user} [%{time_local}] \"%{request}\" %{status} %{bytes_out_clf}"

/* Built-in formats are format strings, too; but json has its own compiler. */
static const struct preset {
    const char *name, *text;
} presets[] = {
    { "common", COMMON },
    { "combined", COMMON " \"%{referer}\" \"%{user_agent}\"" },
    { "squid", "%{time_epoch} %{squid_elapsed} %{client_ip} %{squid_result} %{total_bytes_out} "
               "%{method} %{squid_url} %{user} %{squid_peer} %{squid_type}" },
    { "json", NULL },
};

struct op {
    struct slice text; /* in front of the value */
    struct slice header;
    enum kind kind;
    enum escape escape;
    uint16_t offset;
    bool is_quoted;      /* JSON: a string */
    uint32_t tail_bytes; /* what must be left behind the value */
};

struct log_format {
    size_t least_bytes; /* room without which nothing is written */
    size_t count;
    bool is_json; /* what is not known is left out */
    struct op ops[];
};

/* ---- writing */

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

/* A request that could not be read has no line. */
static bool
put_request(struct writer *w, enum escape escape, const struct access_record *record)
{
    if (record->method.bytes == 0)
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
put_field(struct writer *w, const struct op *op, const struct fields *fields)
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
put_value(struct writer *w, const struct op *op, const struct access_record *record)
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
put_op(struct writer *w, const struct op *op, const struct access_record *record)
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

/* ---- compiling */

/* Fills in what depends on later operations, from the last one backwards. */
static struct log_format *
finish(struct log_format *format)
{
    size_t bytes = SHORT_TEXT;

    for (size_t i = format->count; i-- > 0;) {
        struct op *op = &format->ops[i];

        bytes += op->is_quoted;
        op->tail_bytes = (uint32_t)bytes;
        bytes += kind_bytes[op->kind] + op->is_quoted + op->text.bytes;
    }
    format->least_bytes = bytes;
    return format;
}

static struct log_format *
format_new(struct arena *arena, size_t ops, struct err *err)
{
    struct log_format *format = arena_zalloc(arena, sizeof(*format) + ops * sizeof(format->ops[0]));

    if (format == NULL)
        err_set(err, "log format: out of memory");
    return format;
}

#define JSON_TEXT_MAX 1024

/* {"key":"value","key":1,...} with the names of the table as keys. */
static struct log_format *
compile_json(struct arena *arena, struct err *err)
{
    struct log_format *format = format_new(arena, ARRAY_COUNT(names) + 1, err);
    char *text = arena_zalloc(arena, JSON_TEXT_MAX + SHORT_TEXT);
    size_t used = 0;

    if (format == NULL || text == NULL) {
        err_set(err, "log format: out of memory");
        return NULL;
    }
    format->is_json = true;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct op *op = &format->ops[format->count];
        int bytes;

        if (!names[i].in_json)
            continue;
        bytes = snprintf(text + used, JSON_TEXT_MAX - used, "%c\"%s\":", used == 0 ? '{' : ',',
                         names[i].name);
        op->text = slice_make(text + used, (size_t)bytes);
        op->kind = names[i].kind;
        op->offset = names[i].offset;
        op->escape = ESCAPE_JSON;
        op->is_quoted = names[i].is_text;
        format->count++;
        used += (size_t)bytes;
        must(used + 2 < JSON_TEXT_MAX);
    }
    text[used] = '}';
    format->ops[format->count++].text = slice_make(text + used, 1);
    return finish(format);
}

struct compiler {
    struct arena *arena;
    struct log_format *format;
    char *text;       /* room for the format's own text, without escapes */
    size_t bytes;     /* of it used */
    bool is_quoted;   /* within double quotes */
    struct err *err;
};

static const char *const credentials[] = {
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
};

static int
name_header(struct compiler *c, struct op *op, enum kind kind, struct slice name)
{
    if (name.bytes == 0)
        return err_set(c->err, "log format: write the name of a header field behind the dot");
    for (size_t i = 0; i < ARRAY_COUNT(credentials); i++)
        if (slice_equal_nocase(name, slice_of(credentials[i])))
            return err_set(c->err, "log format: %s holds credentials, which are never logged",
                           log_escape(name));
    op->kind = kind;
    op->header = arena_copy(c->arena, name);
    return 0;
}

static int
name_unknown(struct compiler *c, struct slice name)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        nearest_offer(&nearest, names[i].name);
    err_set(c->err, "log format: unknown name %%{%s}", log_escape(name));
    return nearest_hint(&nearest, c->err);
}

static int
name_op(struct compiler *c, struct op *op, struct slice name)
{
    if (slice_starts_with(name, SLICE("req.")))
        return name_header(c, op, KIND_REQUEST_FIELD, slice_skip(name, 4));
    if (slice_starts_with(name, SLICE("resp.")))
        return name_header(c, op, KIND_RESPONSE_FIELD, slice_skip(name, 5));
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_equal(name, slice_of(names[i].name))) {
            op->kind = names[i].kind;
            op->offset = names[i].offset;
            return 0;
        }
    }
    return name_unknown(c, name);
}

/* The operation whose text is being gathered. */
static struct op *
last_op(struct compiler *c)
{
    return &c->format->ops[c->format->count];
}

static int
add_char(struct compiler *c, char ch)
{
    if ((unsigned char)ch < ' ' && ch != '\t')
        return err_set(c->err, "log format: control character \\x%02X: a line must stay one line",
                       (unsigned char)ch);
    c->text[c->bytes++] = ch;
    last_op(c)->text.bytes++;
    if (ch == '"')
        c->is_quoted = !c->is_quoted;
    return 0;
}

/* Begins the operation that follows; its text continues where the last ended. */
static void
begin_op(struct compiler *c)
{
    last_op(c)->text.data = c->text + c->bytes;
}

/* Compiles what stands at "%". Returns how many bytes that is, or -1. */
static ptrdiff_t
compile_value(struct compiler *c, const char *text)
{
    const char *end = text[1] == '{' ? strchr(text, '}') : NULL;

    if (text[1] == '%')
        return add_char(c, '%') < 0 ? -1 : 2;
    if (end == NULL)
        return err_set(c->err, "log format: \"%.20s\": write %%{name}, or %%%% for \"%%\"",
                       log_escape(slice_of(text)));
    last_op(c)->escape = c->is_quoted ? ESCAPE_QUOTED : ESCAPE_TOKEN;
    if (name_op(c, last_op(c), slice_make(text + 2, (size_t)(end - text - 2))) < 0)
        return -1;
    c->format->count++;
    begin_op(c);
    return end + 1 - text;
}

static size_t
count_values(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += text[0] == '%' && text[1] == '{';
    return count;
}

static struct log_format *
compile(struct arena *arena, const char *text, struct err *err)
{
    size_t bytes = strlen(text), values = count_values(text);
    struct compiler c = { .arena = arena, .err = err };

    if (bytes > TEXT_MAX || values > OPS_MAX) {
        err_set(err, "log format: longer than %d bytes or %d values", TEXT_MAX, OPS_MAX);
        return NULL;
    }
    c.text = arena_zalloc(arena, bytes + SHORT_TEXT);
    c.format = format_new(arena, values + 1, err);
    if (c.text == NULL || c.format == NULL) {
        err_set(err, "log format: out of memory");
        return NULL;
    }
    begin_op(&c);
    while (*text != '\0') {
        ptrdiff_t used = *text == '%' ? compile_value(&c, text) : add_char(&c, *text) < 0 ? -1 : 1;

        if (used < 0)
            return NULL;
        text += used;
    }
    c.format->count++; /* the text behind the last value */
    if (arena_is_spent(arena)) {
        err_set(err, "log format: out of memory");
        return NULL;
    }
    return finish(c.format);
}

struct log_format *
log_format_new(struct arena *arena, const char *text, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(text));
    for (size_t i = 0; i < ARRAY_COUNT(presets); i++) {
        if (strcmp(text, presets[i].name) == 0)
            return presets[i].text != NULL ? compile(arena, presets[i].text, err)
                                           : compile_json(arena, err);
        nearest_offer(&nearest, presets[i].name);
    }
    if (strchr(text, '%') != NULL)
        return compile(arena, text, err);
    err_set(err, "log format \"%s\": use common, combined, squid, json or a text with %%{name}",
            log_escape(slice_of(text)));
    nearest_hint(&nearest, err);
    return NULL;
}

int
log_format_check_privacy(const struct log_format *format, const struct log_privacy *privacy,
                         struct err *err)
{
    for (size_t i = 0; i < format->count; i++) {
        const struct op *op = &format->ops[i];
        const char *why = log_privacy_objection(privacy, op->header);

        if (why != NULL)
            return err_set(err, "log format: the header field %s would undo %s",
                           log_escape(op->header), why);
    }
    return 0;
}

const char *
log_format_name(size_t i)
{
    return i < ARRAY_COUNT(names) ? names[i].name : NULL;
}

const char *
log_format_preset(size_t i, const char **text)
{
    if (i >= ARRAY_COUNT(presets))
        return NULL;
    *text = presets[i].text;
    return presets[i].name;
}
