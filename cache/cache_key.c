/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_key.c - writes keys in one pass into one piece of memory.
 *
 * The longest that a key can become is known beforehand, as rules only take
 * away from the query. Additions begin with a letter that tells their kind:
 * "q" the name of the query rules, "h" a request field, "d" the device.
 */
#include "config.h"

#include "cache/cache_key.h"

enum {
    SORT_MAX = 64, /* parameters; a query with more keeps its order */
    PORT_BYTES = 6, /* ":65535" */
    DEVICE_BYTES = 7,
    AGENT_BYTES = 1024, /* of User-Agent that are looked at: no device has more to say */
};

/* ---- patterns */

bool
cache_key_matches(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;

    while (t < text.bytes) {
        if (p < pattern.bytes && pattern.data[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.bytes && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1; /* the last star takes one byte more */
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.bytes && pattern.data[p] == '*')
        p++;
    return p == pattern.bytes;
}

static bool
matches_any(const struct slice *patterns, unsigned count, struct slice name)
{
    for (unsigned i = 0; i < count; i++)
        if (cache_key_matches(patterns[i], name))
            return true;
    return false;
}

/* ---- the query */

static bool
has_query_rules(const struct key_conf *conf)
{
    return conf->ignored_count > 0 || conf->only_count > 0 || conf->sorts_query ||
           conf->ignores_query;
}

static struct slice
name_of(struct slice parameter)
{
    const char *end = parameter.bytes > 0 ? memchr(parameter.data, '=', parameter.bytes) : NULL;

    if (end != NULL)
        parameter.bytes = (size_t)(end - parameter.data);
    return parameter;
}

static bool
counts(const struct key_conf *conf, struct slice parameter)
{
    struct slice name = name_of(parameter);

    if (conf->only_count > 0 && !matches_any(conf->only, conf->only_count, name))
        return false;
    return !matches_any(conf->ignored, conf->ignored_count, name);
}

static int
compare_names(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* By name alone and stable: parameters of one name may be a list. */
static void
sort(struct slice *parameters, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct slice moved = parameters[i];
        unsigned at = i;

        for (; at > 0 && compare_names(name_of(parameters[at - 1]), name_of(moved)) > 0; at--)
            parameters[at] = parameters[at - 1];
        parameters[at] = moved;
    }
}

static char *
put(char *at, struct slice s)
{
    return s.bytes > 0 ? mempcpy(at, s.data, s.bytes) : at;
}

static char *
put_parameter(char *at, struct slice parameter, bool is_first)
{
    *at++ = is_first ? '?' : '&';
    return put(at, parameter);
}

static bool
next_parameter(const char **at, const char *end, struct slice *parameter)
{
    const char *amp;

    if (*at == NULL)
        return false;
    amp = *at < end ? memchr(*at, '&', (size_t)(end - *at)) : NULL;
    *parameter = slice_make(*at, (size_t)((amp != NULL ? amp : end) - *at));
    *at = amp != NULL ? amp + 1 : NULL;
    return true;
}

/* The parameters that count; in the order of their names if that is the rule and
 * there are not too many. */
static char *
put_query(char *out, struct slice query, const struct key_conf *conf)
{
    const char *at = query.data, *end = query.data + query.bytes;
    struct slice sorted[SORT_MAX], parameter;
    char *start = out;
    unsigned count = 0;

    while (next_parameter(&at, end, &parameter)) {
        if (!counts(conf, parameter))
            continue;
        if (count < SORT_MAX)
            sorted[count] = parameter;
        count++;
        out = put_parameter(out, parameter, count == 1);
    }
    if (!conf->sorts_query || count > SORT_MAX)
        return out;
    sort(sorted, count);
    out = start;
    for (unsigned i = 0; i < count; i++)
        out = put_parameter(out, sorted[i], i == 0);
    return out;
}

static char *
put_url(char *at, struct slice url, const struct key_conf *conf)
{
    ptrdiff_t mark = has_query_rules(conf) ? slice_find(url, '?') : -1;

    if (mark < 0)
        return put(at, url);
    at = put(at, slice_make(url.data, (size_t)mark));
    return conf->ignores_query ? at : put_query(at, slice_skip(url, (size_t)mark + 1), conf);
}

/* ---- scheme and authority */

static bool
is_default_port(struct slice scheme, uint16_t port)
{
    return port == (slice_equal(scheme, SLICE("https")) ? 443 : 80);
}

static char *
put_port(char *at, uint16_t port)
{
    char digits[5];
    unsigned count = 0;

    *at++ = ':';
    do {
        digits[count++] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *
put_origin(char *at, const struct key_parts *parts)
{
    bool is_ipv6 = slice_find(parts->host, ':') >= 0;

    at = put(at, parts->scheme);
    at = mempcpy(at, "://", 3);
    if (is_ipv6)
        *at++ = '[';
    at = put(at, parts->host);
    if (is_ipv6)
        *at++ = ']';
    return is_default_port(parts->scheme, parts->port) ? at : put_port(at, parts->port);
}

/* ---- additions */

static const struct field *
next_line(const struct fields *fields, struct slice name, const struct field *previous)
{
    const struct field *field;

    if (previous == NULL)
        return fields != NULL ? fields_find_name(fields, name) : NULL;
    for (field = previous + 1; field < fields->items + fields->count; field++)
        if (field->id == previous->id && slice_equal_nocase(field->name, name))
            return field;
    return NULL;
}

static size_t
header_bytes(const struct fields *fields, struct slice name)
{
    const struct field *line = NULL;
    size_t bytes = 2 + name.bytes;

    while ((line = next_line(fields, name, line)) != NULL)
        bytes += 1 + line->value.bytes;
    return bytes;
}

/* "name" when it is absent, "name=value" otherwise. Further lines are marked by a
 * line feed, which no value can have. */
static char *
put_header(char *at, const struct fields *fields, struct slice name)
{
    const struct field *line = NULL;
    char mark = '=';

    *at++ = '\0';
    *at++ = 'h';
    at = put(at, name);
    while ((line = next_line(fields, name, line)) != NULL) {
        *at++ = mark;
        at = put(at, line->value);
        mark = '\n';
    }
    return at;
}

static char *
put_addition(char *at, char kind, struct slice text)
{
    *at++ = '\0';
    *at++ = kind;
    return put(at, text);
}

static size_t
most_bytes(const struct key_conf *conf, const struct key_parts *parts)
{
    size_t bytes = parts->source.bytes + 1 + parts->scheme.bytes + 3 + parts->host.bytes + 2 +
                   PORT_BYTES + parts->url.bytes + 2 + conf->rules.bytes + 2 + DEVICE_BYTES;

    for (unsigned i = 0; i < conf->header_count; i++)
        bytes += header_bytes(parts->request, conf->headers[i]);
    return bytes;
}

/* ---- the whole */

struct slice
cache_key_make(struct arena *arena, const struct key_conf *conf, const struct key_parts *parts)
{
    char *key = arena_alloc(arena, most_bytes(conf, parts));
    char *at = key;

    if (key == NULL)
        return slice_make(NULL, 0);
    at = put(at, parts->source);
    *at++ = '\0';
    at = put_origin(at, parts);
    at = put_url(at, parts->url, conf);
    if (has_query_rules(conf))
        at = put_addition(at, 'q', conf->rules);
    for (unsigned i = 0; i < conf->header_count; i++)
        at = put_header(at, parts->request, conf->headers[i]);
    if (conf->adds_device && parts->request != NULL)
        at = put_addition(at, 'd', cache_key_device(parts->request));
    return slice_make(key, (size_t)(at - key));
}

static struct slice
before_nul(struct slice s)
{
    ptrdiff_t nul = slice_find(s, '\0');

    return nul >= 0 ? slice_make(s.data, (size_t)nul) : s;
}

struct slice
cache_key_source(struct slice key)
{
    return before_nul(key);
}

struct slice
cache_key_url(struct slice key)
{
    return before_nul(slice_skip(key, cache_key_source(key).bytes + 1));
}

/* ---- devices */

enum { SAYS_BOT = 1, SAYS_TABLET = 2, SAYS_PHONE = 4, SAYS_ANDROID = 8 };

static const struct {
    struct slice word;
    unsigned says;
} words[] = {
    { SLICE_INIT("android"), SAYS_ANDROID },     { SLICE_INIT("bot"), SAYS_BOT },
    { SLICE_INIT("crawl"), SAYS_BOT },           { SLICE_INIT("ipad"), SAYS_TABLET },
    { SLICE_INIT("iphone"), SAYS_PHONE },        { SLICE_INIT("ipod"), SAYS_PHONE },
    { SLICE_INIT("kindle"), SAYS_TABLET },       { SLICE_INIT("mobi"), SAYS_PHONE },
    { SLICE_INIT("silk/"), SAYS_TABLET },        { SLICE_INIT("slurp"), SAYS_BOT },
    { SLICE_INIT("spider"), SAYS_BOT },          { SLICE_INIT("tablet"), SAYS_TABLET },
    { SLICE_INIT("windows phone"), SAYS_PHONE },
};

/* Of any of the words. */
static bool
is_first_letter(char c)
{
    static const uint32_t letters = 1u << ('a' - 'a') | 1u << ('b' - 'a') | 1u << ('c' - 'a') |
                                    1u << ('i' - 'a') | 1u << ('k' - 'a') | 1u << ('m' - 'a') |
                                    1u << ('s' - 'a') | 1u << ('t' - 'a') | 1u << ('w' - 'a');
    unsigned letter = (unsigned char)ascii_lower(c) - 'a';

    return letter < 26 && (letters >> letter & 1);
}

static unsigned
word_at(struct slice text)
{
    char first = ascii_lower(text.data[0]);

    for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
        if (words[i].word.data[0] == first && text.bytes >= words[i].word.bytes &&
            slice_equal_nocase(slice_make(text.data, words[i].word.bytes), words[i].word))
            return words[i].says;
    return 0;
}

static unsigned
words_in(struct slice text)
{
    unsigned found = 0;

    for (; text.bytes > 0; text = slice_skip(text, 1))
        if (is_first_letter(text.data[0]))
            found |= word_at(text);
    return found;
}

/* Android says Mobile on phones only; iPads and robots say more than one word, so
 * the order matters. */
struct slice
cache_key_device(const struct fields *request)
{
    struct slice agent = fields_get(request, FIELD_USER_AGENT);
    unsigned found;

    if (agent.bytes > AGENT_BYTES)
        agent.bytes = AGENT_BYTES;
    found = words_in(agent);
    if (found & SAYS_BOT)
        return SLICE("bot");
    if (slice_equal(fields_get(request, FIELD_SEC_CH_UA_MOBILE), SLICE("?1")))
        return SLICE("phone");
    if (found & SAYS_TABLET)
        return SLICE("tablet");
    if (found & SAYS_PHONE)
        return SLICE("phone");
    return found & SAYS_ANDROID ? SLICE("tablet") : SLICE("desktop");
}
