/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_parse.c - reads heads of HTTP/1 messages (RFC 9112).
 *
 *   request-line or status-line CRLF      parse_request_line, parse_status_line
 *   *( field-name ":" OWS value OWS CRLF )            h1_parse_fields
 *   CRLF
 *
 * and then says what they mean together: target, connection, framing.
 *
 * Parsing takes no copies and no memory but for the list of fields (and a host
 * name with capitals). Anything that the grammar does not have is refused:
 * bare CR, bare LF, NUL and other controls, folded lines, space before a colon.
 */
#include "config.h"

#include "server/http/h1_parse.h"

#include "server/http/scan.h"
#include "server/http/status.h"
#include "server/http/uri.h"

#define LENGTH_MAX INT64_MAX /* so that lengths can be added up without a thought */

static int
refuse(struct h1_refusal *refusal, unsigned status, const char *reason)
{
    refusal->status = (uint16_t)status;
    refusal->reason = reason;
    return -1;
}

/* ---- finding the end of a head */

static enum h1_progress
stop(struct h1_refusal *refusal, bool is_request, unsigned status, const char *reason)
{
    refuse(refusal, is_request ? status : 502, reason);
    return H1_REFUSED;
}

/* Passes over one empty line in front of a request. */
static enum h1_progress
skip_empty_line(struct h1_scan *scan, struct slice bytes, struct h1_refusal *refusal)
{
    if (bytes.data[0] != '\r')
        return H1_DONE;
    if (bytes.bytes < 2)
        return H1_NEED_INPUT;
    if (bytes.data[1] != '\n')
        return stop(refusal, true, 400, "bare CR before the request line");
    scan->at = scan->line_start = scan->skipped = 2;
    return H1_DONE;
}

/* Whether the first bytes can become a head. */
static bool
is_head_start(struct slice start, bool is_request)
{
    struct slice version = SLICE("HTTP/");

    if (is_request)
        return char_is(start.data[0], CHAR_TOKEN);
    if (start.bytes < version.bytes)
        version.bytes = start.bytes;
    return slice_starts_with(start, version);
}

/* Whether a request line ends in a version: others, such as the line of a PROXY
 * header, need not be waited for any longer. */
static bool
has_version(struct slice line)
{
    struct slice version = SLICE(" HTTP/");
    size_t bytes = version.bytes + 3;

    return line.bytes > bytes &&
           slice_starts_with(slice_skip(line, line.bytes - bytes), version);
}

/* Looks at the line that ends in the line feed. The limits come first: they
 * would have stopped a slower sender before the end of the line. */
static enum h1_progress
end_line(struct h1_scan *scan, const char *data, const char *feed, const struct h1_limits *limits,
         bool is_request, struct h1_refusal *refusal)
{
    struct slice line = { data + scan->line_start, (size_t)(feed - data) - scan->line_start };

    if (scan->lines == 0 && line.bytes > (size_t)limits->line_bytes + 1)
        return stop(refusal, is_request, 414, "first line too long");
    if ((size_t)(feed - data) >= (size_t)scan->skipped + limits->head_bytes)
        return stop(refusal, is_request, 431, "head too long");
    if (line.bytes == 0 || line.data[--line.bytes] != '\r')
        return stop(refusal, is_request, 400, "bare LF");
    if (scan->lines == 0 && is_request && !has_version(line))
        return stop(refusal, true, 400, "no HTTP version in the request line");
    scan->at = scan->line_start = (uint32_t)(feed - data) + 1;
    if (line.bytes == 0)
        return H1_DONE;
    if (scan->lines++ > limits->field_count)
        return stop(refusal, is_request, 431, "too many field lines");
    return H1_NEED_INPUT;
}

/* No line feed in what is left of all that has arrived. */
static enum h1_progress
wait_for_feed(struct h1_scan *scan, size_t bytes, const struct h1_limits *limits, bool is_request,
              struct h1_refusal *refusal)
{
    if (scan->lines == 0 && bytes - scan->line_start > (size_t)limits->line_bytes + 1)
        return stop(refusal, is_request, 414, "first line too long");
    if (bytes > (size_t)scan->skipped + limits->head_bytes)
        return stop(refusal, is_request, 431, "head too long");
    scan->at = (uint32_t)bytes;
    return H1_NEED_INPUT;
}

/* Line by line from where the search stands. Lines between the first and the
 * empty one are passed over here as long as nothing is wrong with them. */
static enum h1_progress
scan_lines(struct h1_scan *scan, struct slice bytes, const struct h1_limits *limits,
           bool is_request, struct h1_refusal *refusal)
{
    const char *data = bytes.data, *end = data + bytes.bytes, *line = data + scan->line_start;
    size_t feed_limit = (size_t)scan->skipped + limits->head_bytes;

    for (const char *at = data + scan->at; at < end; at += SCAN_FEEDS) {
        uint32_t feeds = scan_feeds(data, at, end);

        for (; feeds != 0; feeds &= feeds - 1) {
            const char *feed = at + __builtin_ctz(feeds);
            enum h1_progress progress;

            if (likely(feed - line > 1 && feed[-1] == '\r' && (size_t)(feed - data) < feed_limit &&
                       scan->lines - 1 < limits->field_count)) {
                scan->lines++;
                line = feed + 1;
                continue;
            }
            scan->line_start = (uint32_t)(line - data);
            progress = end_line(scan, data, feed, limits, is_request, refusal);
            if (progress != H1_NEED_INPUT)
                return progress;
            line = feed + 1;
        }
    }
    scan->line_start = (uint32_t)(line - data);
    return wait_for_feed(scan, bytes.bytes, limits, is_request, refusal);
}

enum h1_progress
h1_scan_head(struct h1_scan *scan, struct slice bytes, const struct h1_limits *limits,
             bool is_request, struct slice *head, struct h1_refusal *refusal)
{
    enum h1_progress progress = H1_NEED_INPUT;
    size_t window = (size_t)scan->skipped + limits->head_bytes + 3;

    if (bytes.bytes == 0)
        return H1_NEED_INPUT;
    if (is_request && scan->at == 0) {
        progress = skip_empty_line(scan, bytes, refusal);
        if (progress != H1_DONE)
            return progress;
    }
    if (bytes.bytes > window)
        bytes.bytes = window;
    if (bytes.bytes <= scan->at)
        return H1_NEED_INPUT;
    if (scan->lines == 0 && !is_head_start(slice_skip(bytes, scan->skipped), is_request))
        return stop(refusal, is_request, 400, "not HTTP");
    progress = scan_lines(scan, bytes, limits, is_request, refusal);
    if (progress == H1_DONE)
        *head = slice_make(bytes.data + scan->skipped, scan->at - scan->skipped);
    return progress;
}

/* ---- field lines */

/* Why no colon follows the token at the start of a line. */
static const char *
name_fault(const char *name, const char *after, const char *end)
{
    if (after == end)
        return "field line without end";
    if (after == name)
        return *name == ' ' || *name == '\t' ? "folded field line" : "field line without a name";
    if (*after == ' ' || *after == '\t')
        return "space before the colon of a field";
    return *after == '\r' ? "field line without a colon" : "invalid character in a field name";
}

static const char *
value_fault(const char *after, const char *end)
{
    if (end - after < 2)
        return "field line without end";
    return *after == '\r' ? "bare CR in a field value" : "control character in a field value";
}

static int
check_field(const struct fields *fields, uint32_t count_before, const struct h1_limits *limits,
            struct h1_refusal *refusal)
{
    const struct field *field;

    if (fields->count == count_before)
        return refuse(refusal, 431, "fields take too much memory");
    if (fields->count > limits->field_count)
        return refuse(refusal, 431, "too many field lines");
    field = &fields->items[count_before];
    if (unlikely(field->flags & FIELD_SINGLETON) && fields_find(fields, field->id) != field)
        return refuse(refusal, 400, "repeated field that may be there once");
    return 0;
}

/* Takes a line of the section that begins at start off *at. */
static inline int
parse_field(const char *start, const char **at, const char *end, struct arena *arena,
            const struct h1_limits *limits, struct fields *fields, struct h1_refusal *refusal)
{
    const char *name = *at, *colon, *value, *after = scan_field(start, name, end, &colon);
    uint32_t count = fields->count;

    if (colon == name || colon == end || *colon != ':')
        return refuse(refusal, 400, name_fault(name, colon, end));
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        ;
    if (end - after < 2 || after[0] != '\r' || after[1] != '\n')
        return refuse(refusal, 400, value_fault(after, end));
    *at = after + 2;
    while (after > value && (after[-1] == ' ' || after[-1] == '\t'))
        after--;
    fields_add_name(fields, arena, slice_make(name, (size_t)(colon - name)),
                    slice_make(value, (size_t)(after - value)));
    return check_field(fields, count, limits, refusal);
}

int
h1_parse_fields(struct slice section, struct arena *arena, const struct h1_limits *limits,
                struct fields *fields, struct h1_refusal *refusal)
{
    const char *at = section.data, *end = section.data + section.bytes;

    while (end - at != 2 || at[0] != '\r' || at[1] != '\n') {
        if (at == end)
            return refuse(refusal, 400, "no empty line at the end");
        if (parse_field(section.data, &at, end, arena, limits, fields, refusal) < 0)
            return -1;
    }
    return 0;
}

/* ---- the first line */

/* "HTTP/" DIGIT "." DIGIT. Any minor version is read as the highest that we
 * know of its major one (RFC 9110 section 2.5). */
static int
parse_version(const char *at, const char *end, uint8_t *minor, struct h1_refusal *refusal)
{
    if (end - at < 8 || memcmp(at, "HTTP/", 5) != 0 || !ascii_is_digit(at[5]) || at[6] != '.' ||
        !ascii_is_digit(at[7]))
        return refuse(refusal, 400, "malformed HTTP version");
    if (at[5] != '1')
        return refuse(refusal, 505, "HTTP version is not 1");
    *minor = at[7] > '0';
    return 0;
}

/* method SP request-target SP HTTP-version CRLF. Bytes beyond ASCII are refused
 * in targets: no URI has them, and what decodes them as one character set
 * or another sees another path than our rules did. */
static int
parse_request_line(const char **at, const char *end, struct request *request,
                   struct h1_refusal *refusal)
{
    const char *method = *at, *method_end = scan_token(method, end), *target, *target_end;

    if (method_end == method || method_end == end || *method_end != ' ')
        return refuse(refusal, 400, "malformed method");
    target = method_end + 1;
    target_end = scan_target(target, end);
    if (target_end == target || target_end == end || *target_end != ' ')
        return refuse(refusal, 400, "invalid character in the request target");
    if (parse_version(target_end + 1, end, &request->minor_version, refusal) < 0)
        return -1;
    *at = target_end + 9;
    if (end - *at < 2 || (*at)[0] != '\r' || (*at)[1] != '\n')
        return refuse(refusal, 400, "malformed request line");
    *at += 2;
    request->method_name = slice_make(method, (size_t)(method_end - method));
    request->method = method_of(request->method_name);
    request->target = slice_make(target, (size_t)(target_end - target));
    return 0;
}

/* 0: these are not three digits. */
static unsigned
status_of(const char *code)
{
    unsigned status = 0;

    for (int i = 0; i < 3; i++) {
        if (!ascii_is_digit(code[i]))
            return 0;
        status = status * 10 + (unsigned)(code[i] - '0');
    }
    return status;
}

/* HTTP-version SP status-code [ SP reason-phrase ] CRLF. The space behind the
 * code may be missing with the phrase: section 4 wants it, many leave it out. */
static int
parse_status_line(const char **at, const char *end, struct response *response,
                  struct h1_refusal *refusal)
{
    const char *code, *reason, *after;
    unsigned status;

    if (parse_version(*at, end, &response->minor_version, refusal) < 0)
        return -1;
    if (end - *at < 14) /* of the shortest line */
        return refuse(refusal, 502, "malformed status line");
    code = *at + 9;
    status = status_of(code);
    if (code[-1] != ' ' || status < 100 || status > 599 || (code[3] != ' ' && code[3] != '\r'))
        return refuse(refusal, 502, "malformed status code");
    reason = code + (code[3] == ' ' ? 4 : 3);
    after = scan_text(reason, end);
    if (end - after < 2 || after[0] != '\r' || after[1] != '\n')
        return refuse(refusal, 502, "invalid character in the status line");
    *at = after + 2;
    response->status = (uint16_t)status;
    response->reason = slice_make(reason, (size_t)(after - reason));
    return 0;
}

/* ---- the target (section 3.2) */

static int
parse_authority(struct slice authority, struct request *request, struct h1_refusal *refusal,
                const char *reason)
{
    int port;

    if (uri_parse_authority(authority, &request->host, &port) < 0)
        return refuse(refusal, 400, reason);
    request->authority = authority;
    if (port >= 0)
        request->port = (uint16_t)port;
    return 0;
}

static int
parse_absolute(struct request *request, struct h1_refusal *refusal)
{
    struct slice scheme, authority;

    if (uri_parse_absolute(request->target, &scheme, &authority, &request->path,
                           &request->query) < 0)
        return refuse(refusal, 400, "malformed request target");
    if (slice_equal_nocase(scheme, SLICE("https"))) {
        request->scheme = SLICE("https");
        request->port = 443;
    } else if (!slice_equal_nocase(scheme, SLICE("http"))) {
        return refuse(refusal, 400, "scheme of the target is neither http nor https");
    }
    request->form = TARGET_ABSOLUTE;
    if (request->path.bytes == 0)
        request->path = request->method == METHOD_OPTIONS && request->query.data == NULL
                            ? SLICE("*") : SLICE("/");
    return parse_authority(authority, request, refusal, "malformed authority in the target");
}

static int
parse_connect(struct request *request, struct h1_refusal *refusal)
{
    request->form = TARGET_AUTHORITY;
    request->scheme = SLICE("");
    request->path = SLICE("");
    request->port = 0;
    if (parse_authority(request->target, request, refusal, "CONNECT wants host:port") < 0)
        return -1;
    return request->port > 0 ? 0 : refuse(refusal, 400, "CONNECT without a port");
}

static int
parse_target(struct request *request, struct h1_refusal *refusal)
{
    request->scheme = SLICE("http");
    request->port = 80;
    if (request->method == METHOD_CONNECT)
        return parse_connect(request, refusal);
    if (request->target.data[0] == '/') {
        request->form = TARGET_ORIGIN;
        uri_split_query(request->target, &request->path, &request->query);
        return 0;
    }
    if (!slice_equal(request->target, SLICE("*")))
        return parse_absolute(request, refusal);
    if (request->method != METHOD_OPTIONS)
        return refuse(refusal, 400, "target * of a method other than OPTIONS");
    request->form = TARGET_ASTERISK;
    request->path = request->target;
    return 0;
}

/* Joins target and Host: an authority in the target counts and replaces Host
 * (section 3.2.2), which has to be valid nevertheless. */
static int
parse_host(struct request *request, struct arena *arena, struct h1_refusal *refusal)
{
    const struct field *field = fields_find(&request->fields, FIELD_HOST);
    bool has_authority = request->authority.bytes > 0;
    bool is_said_twice =
        has_authority && field != NULL && slice_equal(field->value, request->authority);
    struct slice host;
    int port;

    if (field == NULL && request->minor_version > 0)
        return refuse(refusal, 400, "no Host");
    if (field != NULL && has_authority && !is_said_twice &&
        uri_parse_authority(field->value, &host, &port) < 0)
        return refuse(refusal, 400, "malformed Host");
    if (field != NULL && !has_authority &&
        parse_authority(field->value, request, refusal, "malformed Host") < 0)
        return -1;
    if (has_authority && !is_said_twice)
        fields_set(&request->fields, arena, FIELD_HOST, request->authority);
    request->host = uri_normal_host(request->host, arena);
    if (arena_is_spent(arena))
        return refuse(refusal, 431, "fields take too much memory");
    return 0;
}

/* ---- the connection (section 9.3) */

struct options {
    bool close, keep_alive, upgrade;
};

static void
note_option(struct options *options, struct slice option)
{
    if (slice_equal_nocase(option, SLICE("close")))
        options->close = true;
    else if (slice_equal_nocase(option, SLICE("keep-alive")))
        options->keep_alive = true;
    else if (slice_equal_nocase(option, SLICE("upgrade")))
        options->upgrade = true;
}

static int
parse_connection(const struct fields *fields, struct options *options, struct h1_refusal *refusal)
{
    const struct field *field = fields_find(fields, FIELD_CONNECTION);
    unsigned count = 0;

    *options = (struct options){ 0 };
    for (; field != NULL; field = fields_next(fields, FIELD_CONNECTION, field)) {
        struct slice list = field->value, option;

        while (slice_next_element(&list, &option)) {
            if (++count > H1_CONNECTION_OPTIONS_MAX)
                return refuse(refusal, 400, "too many connection options");
            note_option(options, option);
        }
    }
    return 0;
}

/* ---- framing (section 6) */

struct framing {
    bool is_chunked, has_length;
    uint64_t length;
};

/* A status for what is not exactly one chunked: 501 where only codings that
 * we do not know are the matter, 400 where chunked is in the wrong place. */
static int
refuse_coding(struct slice codings, struct h1_refusal *refusal)
{
    struct slice coding, last = SLICE("");
    unsigned chunked = 0, others = 0;

    while (slice_next_element(&codings, &coding)) {
        last = coding;
        if (slice_equal_nocase(coding, SLICE("chunked")))
            chunked++;
        else
            others++;
    }
    if (others > 0 && (chunked == 0 ||
                       (chunked == 1 && slice_equal_nocase(last, SLICE("chunked")))))
        return refuse(refusal, 501, "unknown transfer coding");
    return refuse(refusal, 400, "chunked is not the one final transfer coding");
}

/* That neither field is repeated, even with equal values, h1_parse_fields() has
 * made sure: section 6.3 would allow equal lengths to be taken for one, but no
 * honest sender repeats them. A list in one line is not a number. */
static int
parse_framing(const struct fields *fields, unsigned minor_version, struct framing *framing,
              struct h1_refusal *refusal)
{
    const struct field *length = fields_find(fields, FIELD_CONTENT_LENGTH);
    const struct field *coding = fields_find(fields, FIELD_TRANSFER_ENCODING);

    *framing = (struct framing){ .is_chunked = coding != NULL, .has_length = length != NULL };
    if (length != NULL && coding != NULL)
        return refuse(refusal, 400, "Content-Length with Transfer-Encoding");
    if (length != NULL && !slice_to_u64(length->value, LENGTH_MAX, &framing->length))
        return refuse(refusal, 400, "malformed Content-Length");
    if (coding == NULL)
        return 0;
    if (minor_version == 0)
        return refuse(refusal, 400, "Transfer-Encoding in HTTP/1.0");
    if (!slice_equal_nocase(coding->value, SLICE("chunked")))
        return refuse_coding(coding->value, refusal);
    return 0;
}

static int
frame_request(struct request *request, struct h1_refusal *refusal)
{
    struct framing framing;

    if (parse_framing(&request->fields, request->minor_version, &framing, refusal) < 0)
        return -1;
    if (framing.is_chunked || framing.length > 0) {
        if (request->method == METHOD_TRACE)
            return refuse(refusal, 400, "TRACE with content");
        /* "Content-Length: 0" passes: it says nothing, and clients send it. */
        if (request->method == METHOD_CONNECT)
            return refuse(refusal, 400, "CONNECT with content");
    }
    if (request->method == METHOD_CONNECT)
        return 0;
    request->is_chunked = framing.is_chunked;
    request->has_body = framing.is_chunked || framing.has_length;
    request->length = framing.is_chunked ? LENGTH_UNKNOWN : framing.length;
    return 0;
}

/* Section 6.3: the first rule that fits decides. */
static int
frame_response(struct response *response, enum method request_method, struct h1_refusal *refusal)
{
    struct framing framing;

    /* RFC 9110 section 9.3.6: a tunnel begins, whatever the fields say. */
    if (request_method == METHOD_CONNECT && response->status / 100 == 2)
        return 0;
    if (parse_framing(&response->fields, response->minor_version, &framing, refusal) < 0)
        return -1;
    if (request_method == METHOD_HEAD || !status_may_have_content(response->status))
        return 0;
    response->has_body = true;
    response->is_chunked = framing.is_chunked;
    response->ends_by_close = !framing.is_chunked && !framing.has_length;
    response->length = framing.has_length ? framing.length : LENGTH_UNKNOWN;
    return 0;
}

/* ---- the whole */

/* RFC 9110 section 10.1.1: of no meaning in HTTP/1.0, nor without content. */
static bool
expects_continue(const struct request *request)
{
    struct slice expect = fields_get(&request->fields, FIELD_EXPECT);

    return expect.bytes > 0 && request->minor_version > 0 && request->length > 0 &&
           slice_list_has(expect, SLICE("100-continue"));
}

int
h1_parse_request(struct slice head, struct arena *arena, const struct h1_limits *limits,
                 struct request *request, struct h1_refusal *refusal)
{
    const char *at = head.data, *end = head.data + head.bytes;
    struct options options;

    *request = (struct request){ .method = METHOD_OTHER };
    if (parse_request_line(&at, end, request, refusal) < 0 ||
        parse_target(request, refusal) < 0 ||
        h1_parse_fields(slice_make(at, (size_t)(end - at)), arena, limits, &request->fields,
                        refusal) < 0 ||
        parse_host(request, arena, refusal) < 0 ||
        parse_connection(&request->fields, &options, refusal) < 0 ||
        frame_request(request, refusal) < 0)
        return -1;
    request->wants_close = options.close || (request->minor_version == 0 && !options.keep_alive);
    request->wants_upgrade = options.upgrade && request->minor_version > 0 &&
                             fields_has(&request->fields, FIELD_UPGRADE);
    request->expects_continue = expects_continue(request);
    return 0;
}

static int
parse_response(struct slice head, struct arena *arena, const struct h1_limits *limits,
               enum method request_method, struct response *response, struct h1_refusal *refusal)
{
    const char *at = head.data, *end = head.data + head.bytes;
    struct options options;

    *response = (struct response){ .status = 0 };
    if (parse_status_line(&at, end, response, refusal) < 0 ||
        h1_parse_fields(slice_make(at, (size_t)(end - at)), arena, limits, &response->fields,
                        refusal) < 0 ||
        parse_connection(&response->fields, &options, refusal) < 0 ||
        frame_response(response, request_method, refusal) < 0)
        return -1;
    response->wants_close = options.close || response->ends_by_close ||
                            (response->minor_version == 0 && !options.keep_alive);
    return 0;
}

int
h1_parse_response(struct slice head, struct arena *arena, const struct h1_limits *limits,
                  enum method request_method, struct response *response,
                  struct h1_refusal *refusal)
{
    int rc = parse_response(head, arena, limits, request_method, response, refusal);

    if (rc < 0)
        refusal->status = 502;
    return rc;
}
