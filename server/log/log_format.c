/* SPDX-License-Identifier: BSD-2-Clause */
/* log_format.c - compiles formats of access logs into operations, which log_format_write.c
 * runs for every line.
 */
#include "config.h"

#include "server/log/log_format_inside.h"

#include <stdio.h>

#include "server/base/log.h"
#include "server/config/option.h"
#include "server/log/access_log.h"
#include "server/log/log_privacy.h"

/* Values in one format, and bytes of its own text. */
#define OPS_MAX 256
#define TEXT_MAX 4096

/* ---- names */

/* Names for %{...}; those in_json are the keys of the json format, in this
 * order. */
struct name {
    const char *name;
    enum log_kind kind;
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
    MEMBER("filters", KIND_SLICE, filters, true, true),
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

/* ---- compiling */

/* Fills in what depends on later operations, from the last one backwards. */
static struct log_format *
finish(struct log_format *format)
{
    size_t bytes = SHORT_TEXT;

    for (size_t i = format->count; i-- > 0;) {
        struct log_op *op = &format->ops[i];

        bytes += op->is_quoted;
        op->tail_bytes = (uint32_t)bytes;
        bytes += log_kind_bytes(op->kind) + op->is_quoted + op->text.bytes;
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
        struct log_op *op = &format->ops[format->count];
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
name_header(struct compiler *c, struct log_op *op, enum log_kind kind, struct slice name)
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
name_op(struct compiler *c, struct log_op *op, struct slice name)
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
static struct log_op *
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
        const struct log_op *op = &format->ops[i];
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
