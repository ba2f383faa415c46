/* SPDX-License-Identifier: BSD-2-Clause */
/* error_page.c - pages that say what went wrong, and for whom which form.
 *
 * Pages are written with one arena_printf() each, from parts that were escaped
 * into the arena before.
 */
#include "config.h"

#include "server/http/error_page.h"

#include "server/http/status.h"
#include "server/log/escape.h"

#include <inttypes.h>

/* ---- words */

/* What a status means for whoever sees the page, and what they can do. */
static const struct {
    unsigned status;
    const char *text;
} explanations[] = {
    { 400, "The request could not be understood." },
    { 403, "This request is not allowed here. If you think that it should be, ask whoever runs "
           "this service, and tell them the reference below." },
    { 404, "There is nothing at this address." },
    { 405, "The address exists, but not for this method." },
    { 407, "Log in to the proxy to go on." },
    { 408, "The request took too long to arrive. Please try again." },
    { 413, "The request carries more than is accepted here." },
    { 414, "The address is longer than is accepted here." },
    { 421, "This server does not serve that address." },
    { 429, "That was more than is allowed at a time. Please wait a little, then try again." },
    { 431, "The request has more header fields than are accepted here. Deleting the cookies of "
           "this site may help." },
    { 501, "The request asks for something that is not supported here." },
    { 502, "The server behind this address could not be reached, or its answer was not usable. "
           "Trying again in a moment may help." },
    { 503, "The service is not available just now. Trying again in a moment may help." },
    { 504, "The server behind this address did not answer in time. Trying again in a moment may "
           "help." },
    { 508, "The request came back to where it had been before: two proxies send it to each "
           "other." },
};

static const char *
explanation(unsigned status)
{
    for (size_t i = 0; i < ARRAY_COUNT(explanations); i++)
        if (explanations[i].status == status)
            return explanations[i].text;
    return status >= 500 ? "Something went wrong on the way. Trying again in a moment may help."
                         : "The request cannot be carried out.";
}

/* "bascule.conf:14", without the folder, which is nobody's business. */
static struct slice
rule_text(struct arena *arena, const struct place *rule)
{
    const char *slash;

    if (rule == NULL || rule->file == NULL)
        return slice_make("", 0);
    slash = strrchr(rule->file, '/');
    return arena_printf(arena, "%s:%u", slash != NULL ? slash + 1 : rule->file, rule->line);
}

/* ---- HTML */

/* Anything but printable ASCII becomes U+FFFD: what comes from peers needs no
 * more, and nothing can then change how the rest is read. */
static const char *
html_of(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    return c < ' ' || c >= 0x7f ? "&#xfffd;" : NULL;
}

static struct slice
escape_html(struct arena *arena, struct slice s)
{
    size_t bytes = 0;
    char *text, *at;

    for (size_t i = 0; i < s.bytes; i++) {
        const char *entity = html_of((unsigned char)s.data[i]);

        bytes += entity != NULL ? strlen(entity) : 1;
    }
    text = at = arena_alloc(arena, bytes + 1);
    if (text == NULL)
        return slice_make("", 0);
    for (size_t i = 0; i < s.bytes; i++) {
        const char *entity = html_of((unsigned char)s.data[i]);

        if (entity != NULL)
            at = stpcpy(at, entity);
        else
            *at++ = s.data[i];
    }
    return slice_make(text, bytes);
}

static const char page[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"robots\" content=\"noindex\">\n"
    "<title>%1$u %2$.*3$s</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #d8dde5;\n"
    "  --paper: #fff; --desk: #f3f5f8; --mark: #b3401f; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "  :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #343b46; --paper: #1b2028;\n"
    "    --desk: #12151a; --mark: #ff9a76; } }\n"
    "* { box-sizing: border-box; }\n"
    "body { margin: 0; padding: 1rem; min-height: 100vh; display: grid; place-items: center;\n"
    "  grid-template-columns: minmax(0, 36rem); justify-content: center;\n"
    "  background: var(--desk); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }\n"
    "main { width: 100%%; padding: 2rem 2.25rem;\n"
    "  background: var(--paper); border: 1px solid var(--line); border-radius: .75rem; }\n"
    "h1 { margin: 0; font-size: 1.6rem; line-height: 1.3; }\n"
    "h1 span { color: var(--mark); font-variant-numeric: tabular-nums; }\n"
    "dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1.25rem;\n"
    "  margin: 1.5rem 0 0; padding-top: 1rem; border-top: 1px solid var(--line);\n"
    "  font-size: .925rem; }\n"
    "dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }\n"
    "</style>\n"
    "</head>\n"
    "<body>\n"
    "<main>\n"
    "<h1><span>%1$u</span> %2$.*3$s</h1>\n"
    "<p>%4$s</p>\n"
    "<dl>\n"
    "%5$.*6$s"
    "%7$.*8$s"
    "<dt>Reference</dt><dd>%9$016" PRIx64 "</dd>\n"
    "</dl>\n"
    "</main>\n"
    "</body>\n"
    "</html>\n";

/* A row of the list; empty without a text. */
static struct slice
row(struct arena *arena, const char *name, struct slice text)
{
    if (slice_is_empty(text))
        return slice_make("", 0);
    text = escape_html(arena, text);
    return arena_printf(arena, "<dt>%s</dt><dd>%.*s</dd>\n", name, SLICE_ARG(text));
}

struct slice
error_page_html(struct arena *arena, unsigned status, const char *why, const struct place *rule,
                uint64_t exchange_id)
{
    struct slice reason = status_reason(status);
    struct slice why_row = row(arena, "Why", slice_of(why));
    struct slice rule_row = row(arena, "Rule", rule_text(arena, rule));

    return arena_printf(arena, page, status, reason.data, (int)reason.bytes, explanation(status),
                        why_row.data, (int)why_row.bytes, rule_row.data, (int)rule_row.bytes,
                        exchange_id);
}

/* ---- JSON: RFC 9457 section 3 */

/* ,"name":"text"; empty without a text. */
static struct slice
member(struct arena *arena, const char *name, struct slice text)
{
    size_t room = text.bytes * 6 + ESCAPE_ROOM_MIN; /* \u00HH at worst */
    bool is_cut = false;
    char *escaped, *end;

    if (slice_is_empty(text))
        return slice_make("", 0);
    escaped = arena_alloc(arena, room);
    if (escaped == NULL)
        return slice_make("", 0);
    end = escape_put(ESCAPE_JSON, escaped, escaped + room, text, &is_cut);
    return arena_printf(arena, ",\"%s\":\"%.*s\"", name, (int)(end - escaped), escaped);
}

/* type is "about:blank", so the title is that of the status (section 4.2.1).
 * The instance, a reference relative to the request's own URI, names this
 * exchange; rule is an extension member. */
struct slice
error_page_json(struct arena *arena, unsigned status, const char *why, const struct place *rule,
                uint64_t exchange_id)
{
    struct slice reason = status_reason(status);
    struct slice detail = member(arena, "detail", slice_of(why != NULL ? why
                                                                        : explanation(status)));
    struct slice rule_member = member(arena, "rule", rule_text(arena, rule));

    return arena_printf(arena,
                        "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%u%.*s%.*s,"
                        "\"instance\":\"#exchange-%016" PRIx64 "\"}\n",
                        SLICE_ARG(reason), status, SLICE_ARG(detail), SLICE_ARG(rule_member),
                        exchange_id);
}

/* ---- which of them: RFC 9110 section 12.5.1 */

enum form { FORM_NONE, FORM_ANY, FORM_HTML, FORM_JSON };

static enum form
form_of(struct slice range)
{
    static const struct {
        struct slice name;
        enum form form;
    } forms[] = {
        { SLICE_INIT("text/html"), FORM_HTML },
        { SLICE_INIT("application/xhtml+xml"), FORM_HTML },
        { SLICE_INIT("text/*"), FORM_HTML },
        { SLICE_INIT("application/problem+json"), FORM_JSON },
        { SLICE_INIT("application/json"), FORM_JSON },
        { SLICE_INIT("application/*"), FORM_JSON },
        { SLICE_INIT("*/*"), FORM_ANY },
    };

    for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
        if (slice_equal_nocase(range, forms[i].name))
            return forms[i].form;
    return FORM_NONE;
}

/* A weight (RFC 9110 section 12.4.2) in thousandths; 0 when it is malformed. */
static unsigned
parse_weight(struct slice text)
{
    unsigned value = 0, place = 1000;

    if (text.bytes == 0 || text.bytes > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.bytes > 1 && text.data[1] != '.'))
        return 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (i == 1)
            continue;
        if (!ascii_is_digit(text.data[i]))
            return 0;
        value += (unsigned)(text.data[i] - '0') * place;
        place /= 10;
    }
    return value <= 1000 ? value : 0;
}

/* Takes what precedes the next semicolon off the element, trimmed. */
static struct slice
take_parameter(struct slice *element)
{
    ptrdiff_t end = slice_find(*element, ';');
    struct slice parameter = slice_make(element->data, end < 0 ? element->bytes : (size_t)end);

    *element = slice_skip(*element, parameter.bytes + 1);
    return slice_trim(parameter);
}

static unsigned
weight_of(struct slice parameters)
{
    while (parameters.bytes > 0) {
        struct slice parameter = take_parameter(&parameters);

        if (parameter.bytes >= 2 && ascii_lower(parameter.data[0]) == 'q' &&
            parameter.data[1] == '=')
            return parse_weight(slice_skip(parameter, 2));
    }
    return 1000;
}

bool
error_page_wants_html(struct slice accept)
{
    unsigned best[FORM_JSON + 1] = { 0 };
    struct slice element;

    while (slice_next_element(&accept, &element)) {
        enum form form = form_of(take_parameter(&element));
        unsigned weight = weight_of(element);

        if (weight > best[form])
            best[form] = weight;
    }
    return best[FORM_HTML] > 0 && best[FORM_HTML] > best[FORM_JSON] &&
           best[FORM_HTML] >= best[FORM_ANY];
}
