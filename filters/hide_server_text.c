/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server_text.c - finds names and addresses of servers in any text.
 *
 * Text is read once, as runs of what names are made of (letters, digits, ".", "-", "_"):
 *
 *     [scheme ":" "//"] name [":" port]       "http://app.internal:8080", "app.internal"
 *     [scheme ":" "//"] "[" IPv6 "]" [...]    and IPv6 alone, with two colons or more
 *
 * so a name is found whole and never inside another. JSON may write slashes as "\/", and
 * queries "://" as "%3A%2F%2F"; the digits of an escape are no part of a name.
 * A name of one label ("app") is a word of every language: it counts only with a scheme
 * or a port. Where a port is not an endpoint's, the name is still nobody's business. An
 * address counts with an endpoint's port only: many things are said of 127.0.0.1.
 *
 * Endpoints give way to the host the client asked, addresses that are masked by option to
 * "hidden", as they lead nowhere through us.
 */
#include "config.h"

#include "filters/hide_server_inside.h"

#include "filters/template.h"
#include "server/base/hex.h"
#include "server/policy/prefix_set.h"

#define NAME_BYTES_MAX 255
#define IPV6_BYTES_MAX 46

static const struct slice mask = SLICE_INIT("hidden");

/* ---- characters */

enum { NAME = 1, IPV6 = 2 };

static const unsigned char kinds[256] = {
    ['0' ... '9'] = NAME | IPV6,
    ['A' ... 'F'] = NAME | IPV6,
    ['a' ... 'f'] = NAME | IPV6,
    ['G' ... 'Z'] = NAME,
    ['g' ... 'z'] = NAME,
    ['.'] = NAME | IPV6,
    ['-'] = NAME,
    ['_'] = NAME,
    [':'] = IPV6,
};

/* Where a run of such characters that begins at from ends, max bytes on at most. */
static size_t
run_end(struct slice text, size_t from, unsigned kind, size_t max)
{
    size_t end = text.bytes - from > max ? from + max : text.bytes;

    while (from < end && kinds[(unsigned char)text.data[from]] & kind)
        from++;
    return from;
}

/* ---- what is hidden */

void
hide_text_init(struct hide_text *hidden, const struct hide_server_conf *conf,
               const struct exchange *ex)
{
    struct place_on_net asked;
    bool is_known = hide_take_apart(ex->out.authority, &asked);

    *hidden = (struct hide_text){
        .endpoints = ex->to.group != NULL ? &ex->to.group->endpoints : NULL,
        .host = ex->request.host,
        .authority = ex->request.authority,
        .port = ex->request.port,
        .is_tls = slice_equal(template_scheme(ex), SLICE("https")),
        .masked = conf->masked,
    };
    if (is_known && !slice_equal_nocase(asked.host, hidden->host))
        hidden->asked = asked.host;
}

/* Something that looks like a place on the net. */
struct candidate {
    size_t start, end;      /* in the text */
    struct slice scheme;    /* empty: none */
    struct slice separator; /* "://" behind it */
    struct slice host;
    int port;               /* -1: not said */
};

static bool
is_endpoint_port(const struct hide_text *hidden, int port)
{
    for (size_t i = 0; i < hidden->endpoints->count; i++)
        if (((const struct endpoint_conf *)hidden->endpoints->items[i])->port == port)
            return true;
    return false;
}

/* -1: it is not known. */
static int
port_of(const struct candidate *found)
{
    if (found->port >= 0 || found->scheme.bytes == 0)
        return found->port;
    return ascii_lower(found->scheme.data[found->scheme.bytes - 1]) == 's' &&
                   !slice_equal_nocase(found->scheme, SLICE("ws"))
               ? 443
               : 80;
}

/* The client's own host is no secret, the port that endpoints listen on behind it is. */
static bool
is_endpoint(const struct hide_text *hidden, const struct candidate *found)
{
    struct ip ip;
    bool is_name = !ip_parse(found->host, &ip);

    if (hidden->endpoints == NULL)
        return false;
    if (slice_equal_nocase(found->host, hidden->host))
        return found->port > 0 && found->port != hidden->port &&
               is_endpoint_port(hidden, found->port);
    if (hidden->asked.bytes > 0 && slice_equal_nocase(found->host, hidden->asked))
        return true;
    for (size_t i = 0; i < hidden->endpoints->count; i++) {
        const struct endpoint_conf *endpoint = hidden->endpoints->items[i];

        if (endpoint->host.bytes > 0 && slice_equal_nocase(endpoint->host, found->host) &&
            (is_name || endpoint->port == port_of(found)))
            return true;
    }
    return false;
}

static bool
is_masked(const struct hide_text *hidden, const struct candidate *found)
{
    struct ip ip;

    return hidden->masked != NULL && found->host.bytes <= IPV6_BYTES_MAX &&
           ip_parse(found->host, &ip) && prefix_set_has_embedded(hidden->masked, &ip) &&
           !slice_equal_nocase(found->host, hidden->host);
}

/* "ws" stays what it is, but for its encryption. */
static struct slice
scheme_for(const struct hide_text *hidden, struct slice scheme)
{
    if (ascii_lower(scheme.data[0]) == 'w')
        return hidden->is_tls ? SLICE("wss") : SLICE("ws");
    return hidden->is_tls ? SLICE("https") : SLICE("http");
}

static bool
judge(const struct hide_text *hidden, const struct candidate *is, struct hide_found *found)
{
    bool is_place = is->scheme.bytes > 0 || is->port >= 0;

    *found = (struct hide_found){ .start = is->start, .end = is->end };
    if ((is_place || slice_find(is->host, '.') >= 0 || slice_find(is->host, ':') >= 0) &&
        is_endpoint(hidden, is)) {
        if (is->scheme.bytes > 0)
            found->parts[0] = scheme_for(hidden, is->scheme);
        found->parts[1] = is->separator;
        found->parts[2] = is_place ? hidden->authority : hidden->host;
        return true;
    }
    if (!is_masked(hidden, is))
        return false;
    found->parts[0] = is->scheme;
    found->parts[1] = is->separator;
    found->parts[2] = mask;
    return true;
}

/* ---- reading */

enum reading {
    READ_PLACE,  /* a candidate */
    READ_WORD,   /* a run of characters, and nothing else */
    READ_UNSURE, /* what follows decides */
};

/* Whether the text from at on begins with word; unsure: it ends too early to know. */
static enum reading
read_literal(struct slice text, size_t at, struct slice word)
{
    struct slice rest = slice_skip(text, at);

    if (slice_starts_with(rest, word))
        return READ_PLACE;
    return slice_starts_with(word, rest) ? READ_UNSURE : READ_WORD;
}

static bool
is_scheme(struct slice word)
{
    return (word.bytes == 4 && slice_equal_nocase(word, SLICE("http"))) ||
           (word.bytes == 5 && slice_equal_nocase(word, SLICE("https"))) ||
           (word.bytes == 2 && slice_equal_nocase(word, SLICE("ws"))) ||
           (word.bytes == 3 && slice_equal_nocase(word, SLICE("wss")));
}

/* "http://" at the start; *at moves behind it. Without one it stays. */
static enum reading
read_scheme(struct slice text, size_t end, struct candidate *is, size_t *at)
{
    static const struct slice separators[] = {
        SLICE_INIT("://"), SLICE_INIT(":\\/\\/"), SLICE_INIT("%3A%2F%2F"),
        SLICE_INIT("%3a%2f%2f"),
    };
    struct slice word = slice_make(text.data + is->start, end - is->start);
    enum reading reading = READ_WORD;

    if (!is_scheme(word))
        return READ_PLACE;
    for (size_t i = 0; i < ARRAY_COUNT(separators); i++) {
        enum reading its = read_literal(text, end, separators[i]);

        if (its == READ_PLACE) {
            is->scheme = word;
            is->separator = slice_make(text.data + end, separators[i].bytes);
            *at = end + separators[i].bytes;
            return READ_PLACE;
        }
        if (its == READ_UNSURE)
            reading = READ_UNSURE;
    }
    return reading == READ_UNSURE ? READ_UNSURE : READ_PLACE;
}

static bool
has_two_colons(struct slice text)
{
    ptrdiff_t first = slice_find(text, ':');

    return first >= 0 && slice_find(slice_skip(text, (size_t)first + 1), ':') >= 0;
}

/* Host at *at, which moves behind it. */
static enum reading
read_host(struct slice text, struct candidate *is, size_t *at)
{
    bool is_bracketed = *at < text.bytes && text.data[*at] == '[';
    size_t start = *at + is_bracketed;
    size_t end = run_end(text, start, IPV6, IPV6_BYTES_MAX);
    struct slice run = slice_make(text.data + start, end - start);

    if (is_bracketed && end == text.bytes)
        return READ_UNSURE;
    if (is_bracketed && (text.data[end] != ']' || !has_two_colons(run)))
        return READ_WORD;
    if (is_bracketed || has_two_colons(run)) {
        is->host = run;
        *at = end + is_bracketed;
        return *at == text.bytes ? READ_UNSURE : READ_PLACE;
    }
    if (end == text.bytes)
        return READ_UNSURE;
    end = run_end(text, start, NAME, NAME_BYTES_MAX + 1);
    if (end == text.bytes)
        return READ_UNSURE;
    if (end - start > NAME_BYTES_MAX)
        return READ_WORD;
    while (end > start && strchr(".-", text.data[end - 1]) != NULL)
        end--; /* of the sentence */
    is->host = slice_make(text.data + start, end - start);
    *at = end;
    return end > start ? READ_PLACE : READ_WORD;
}

/* ":8080" at *at, if there is one. */
static enum reading
read_port(struct slice text, struct candidate *is, size_t *at)
{
    struct slice rest = slice_skip(text, *at), digits;
    uint64_t port;

    if (rest.bytes == 0 || rest.data[0] != ':')
        return READ_PLACE;
    rest = slice_skip(rest, 1);
    digits = slice_take_digits(&rest, 6);
    if (rest.bytes == 0 && digits.bytes < 6)
        return READ_UNSURE;
    if (!slice_to_u64(digits, UINT16_MAX, &port))
        return READ_PLACE;
    is->port = (int)port;
    *at += 1 + digits.bytes;
    return READ_PLACE;
}

/* What begins at is->start; the run there ends at end. */
static enum reading
read_candidate(struct slice text, size_t end, struct candidate *is)
{
    size_t at = is->start;
    enum reading reading = READ_PLACE;

    is->port = -1;
    is->scheme = is->separator = slice_make(NULL, 0);
    if (text.data[is->start] != '[')
        reading = read_scheme(text, end, is, &at);
    if (reading == READ_PLACE)
        reading = read_host(text, is, &at);
    if (reading == READ_PLACE)
        reading = read_port(text, is, &at);
    is->end = at;
    return reading;
}

/* At the end of all text, nothing is unsure: as if a line ended there. */
static bool
find_at_end(const struct hide_text *hidden, struct slice text, size_t start,
            struct hide_found *found)
{
    char copy[HIDE_TEXT_BYTES_MAX + 1];
    struct candidate is = { .start = 0 };
    struct slice rest = slice_skip(text, start);

    if (rest.bytes > HIDE_TEXT_BYTES_MAX)
        return false;
    memcpy(copy, rest.data, rest.bytes);
    copy[rest.bytes] = '\n';
    if (read_candidate(slice_make(copy, rest.bytes + 1), run_end(rest, 0, NAME, SIZE_MAX), &is) !=
            READ_PLACE ||
        !judge(hidden, &is, found))
        return false;
    for (size_t i = 0; i < 2; i++) /* from the copy to the text it is of */
        if (found->parts[i].data >= copy && found->parts[i].data < copy + sizeof(copy))
            found->parts[i].data = rest.data + (found->parts[i].data - copy);
    found->start += start;
    found->end += start;
    return true;
}

/* Whether a run of this kind may be, or begin, something hidden: most words are not. */
static inline bool
is_worth_reading(struct slice text, size_t start, size_t end, bool has_dot)
{
    return has_dot || end == text.bytes || text.data[end] == ':' || text.data[end] == '%' ||
           text.data[start] == '[';
}

/* What an escape leaves at the start of a run, as in "%2Fapp.internal", "\\napp.internal". */
static size_t
escape_bytes(struct slice run, char before)
{
    if (before == '%' && run.bytes > 2 && hex_byte(run.data) >= 0)
        return 2;
    return before == '\\' && run.bytes > 1 ? 1 : 0;
}

/* Looks at the run from start to end. */
static enum reading
read_run(const struct hide_text *hidden, struct slice text, size_t start, size_t end, bool is_end,
         struct hide_found *found)
{
    struct candidate is = { .start = start };
    enum reading reading = read_candidate(text, end, &is);

    if (reading == READ_PLACE && judge(hidden, &is, found))
        return READ_PLACE;
    if (reading == READ_UNSURE && is_end && find_at_end(hidden, text, start, found))
        return READ_PLACE;
    return reading == READ_UNSURE && !is_end && text.bytes - start <= HIDE_TEXT_BYTES_MAX
               ? READ_UNSURE
               : READ_WORD;
}

bool
hide_text_find(const struct hide_text *hidden, struct slice text, size_t from, char before,
               bool is_end, struct hide_found *found)
{
    size_t at = from;

    if (at > 0)
        before = text.data[at - 1];
    if (kinds[(unsigned char)before] & NAME)
        at = run_end(text, at, NAME, SIZE_MAX);
    while (at < text.bytes) {
        bool has_dot = false;
        size_t end = at;

        for (; end < text.bytes && kinds[(unsigned char)text.data[end]] & NAME; end++)
            has_dot |= text.data[end] == '.';
        if ((end > at || text.data[at] == '[') && is_worth_reading(text, at, end, has_dot)) {
            char last = at > 0 ? text.data[at - 1] : before;
            size_t escape = escape_bytes(slice_make(text.data + at, end - at), last);
            enum reading reading = read_run(hidden, text, at, end, is_end, found);

            if (reading == READ_WORD && escape > 0)
                reading = read_run(hidden, text, at + escape, end, is_end, found);
            if (reading == READ_PLACE)
                return true;
            if (reading == READ_UNSURE)
                break;
        }
        at = end > at ? end : at + 1;
    }
    found->start = at;
    return false;
}

/* Writes the text for clients to out, unless that is NULL. Returns its length. */
static size_t
render(const struct hide_text *hidden, struct slice text, char *out)
{
    struct hide_found found;
    size_t from = 0, bytes = 0;
    bool is_found;

    do {
        struct slice pieces[4] = { { text.data + from, 0 } };

        is_found = hide_text_find(hidden, text, from, 0, true, &found);
        pieces[0].bytes = (is_found ? found.start : text.bytes) - from;
        if (is_found)
            memcpy(pieces + 1, found.parts, sizeof(found.parts));
        for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
            if (out != NULL && pieces[i].bytes > 0)
                memcpy(out + bytes, pieces[i].data, pieces[i].bytes);
            bytes += pieces[i].bytes;
        }
        from = found.end;
    } while (is_found);
    return bytes;
}

struct slice
hide_text_map(const struct hide_text *hidden, struct slice text, struct arena *arena)
{
    struct hide_found found;
    char *out;

    if (!hide_text_find(hidden, text, 0, 0, true, &found))
        return text;
    out = arena_alloc(arena, render(hidden, text, NULL) + 1);
    if (out == NULL)
        return slice_make("", 0);
    return slice_make(out, render(hidden, text, out));
}
