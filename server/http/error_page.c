/* SPDX-License-Identifier: BSD-2-Clause */
/* error_page.c - pages that say what went wrong, and for whom which form.
 *
 * Pages are put together of parts that were escaped into the arena before; the one
 * for programs without printf(), as a proxy that refuses much writes many of them.
 */
#include "config.h"

#include "server/http/error_page.h"

#include "server/http/html.h"
#include "server/http/status.h"
#include "server/log/escape.h"

#include <inttypes.h>

/* ---- words */

static const struct {
    unsigned status;
    const char *text;
} explanations[] = {
    { 400, "The request could not be understood." },
    { 401, "Log in to go on." },
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

const char *
error_page_meaning(unsigned status)
{
    for (size_t i = 0; i < ARRAY_COUNT(explanations); i++)
        if (explanations[i].status == status)
            return explanations[i].text;
    return status >= 500 ? "Something went wrong on the way. Trying again in a moment may help."
                         : "The request cannot be carried out.";
}

/* ---- whom to ask */

int
error_page_check_contact(const char *contact, struct err *err)
{
    static const struct slice schemes[] = {
        SLICE_INIT("mailto:"), SLICE_INIT("https://"), SLICE_INIT("http://"),
    };
    struct slice text = slice_of(contact);
    bool is_known = false;

    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++)
        is_known |= slice_starts_with(text, schemes[i]) && text.bytes > schemes[i].bytes;
    if (!is_known)
        return err_set(err, "\"%s\": write \"mailto:it@example.com\", or the URL of a form",
                       contact);
    for (size_t i = 0; i < text.bytes; i++)
        if ((unsigned char)text.data[i] <= ' ' || (unsigned char)text.data[i] >= 0x7f ||
            strchr("\"'<>#`\\", text.data[i]) != NULL)
            return err_set(err, "\"%s\" has a character at %zu that does not belong into such a "
                           "URI: write it as %%HH", contact, i + 1);
    return 0;
}

/* RFC 6068: a mail with a subject. A form gets the number as a parameter. */
struct slice
error_page_contact(struct arena *arena, const struct page_facts *facts)
{
    const char *contact = facts->contact;
    char joint;

    if (contact == NULL)
        return slice_make("", 0);
    joint = strchr(contact, '?') != NULL ? '&' : '?';
    if (strncmp(contact, "mailto:", 7) == 0)
        return arena_printf(arena, "%s%csubject=Please%%20review%%20%016" PRIx64, contact, joint,
                            facts->id);
    return arena_printf(arena, "%s%creference=%016" PRIx64, contact, joint, facts->id);
}

/* ---- HTML */

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
    "a { color: inherit; }\n"
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
    "%10$.*11$s"
    "</main>\n"
    "</body>\n"
    "</html>\n";

/* A row of the list; empty without a text. */
static struct slice
row(struct arena *arena, const char *name, struct slice text)
{
    if (slice_is_empty(text))
        return slice_make("", 0);
    text = html_escape(arena, text);
    return arena_printf(arena, "<dt>%s</dt><dd>%.*s</dd>\n", name, SLICE_ARG(text));
}

/* Whom to ask about a refusal; failures are known to whoever reads the logs. */
static struct slice
reviewer(struct arena *arena, const struct page_facts *facts)
{
    return facts->is_refusal ? error_page_contact(arena, facts) : slice_make("", 0);
}

/* A link to whom to ask; empty where nobody is. */
static struct slice
review_link(struct arena *arena, const struct page_facts *facts)
{
    struct slice uri = html_escape(arena, reviewer(arena, facts));

    if (slice_is_empty(uri))
        return uri;
    return arena_printf(arena, "<p><a href=\"%.*s\">Ask for a review</a></p>\n", SLICE_ARG(uri));
}

struct slice
error_page_html(struct arena *arena, const struct page_facts *facts)
{
    struct slice reason = status_reason(facts->status);
    struct slice why = row(arena, "Why", slice_of(facts->why));
    struct slice rule = row(arena, "Rule", facts->rule);
    struct slice link = review_link(arena, facts);

    return arena_printf(arena, page, facts->status, reason.data, (int)reason.bytes,
                        error_page_meaning(facts->status), why.data, (int)why.bytes, rule.data,
                        (int)rule.bytes, facts->id, link.data, (int)link.bytes);
}

/* ---- JSON: RFC 9457 section 3 */

/* ,"name":"text"; empty without a text. */
static struct slice
member(struct arena *arena, const char *name, struct slice text)
{
    struct slice parts[] = { SLICE(",\""), SLICE(""), SLICE("\":\""), SLICE(""), SLICE("\"") };
    size_t room = text.bytes * 6 + ESCAPE_ROOM_MIN; /* \u00HH at worst */
    bool is_cut = false;
    char *escaped, *end;

    if (slice_is_empty(text))
        return slice_make("", 0);
    escaped = arena_alloc(arena, room);
    if (escaped == NULL)
        return slice_make("", 0);
    end = escape_put(ESCAPE_JSON, escaped, escaped + room, text, &is_cut);
    parts[1] = slice_of(name);
    parts[3] = slice_make(escaped, (size_t)(end - escaped));
    return arena_join(arena, parts, ARRAY_COUNT(parts));
}

/* type is "about:blank", so the title is that of the status (section 4.2.1).
 * The instance, a reference relative to the request's own URI, names this
 * exchange; id, rule and contact are extension members. */
struct slice
error_page_json(struct arena *arena, const struct page_facts *facts)
{
    struct slice meaning = slice_of(error_page_meaning(facts->status));
    struct slice why = slice_of(facts->why);
    char number[20], hex[16];
    struct slice status = slice_make(number, (size_t)(text_u64(number, facts->status) - number));
    struct slice id = slice_make(hex, (size_t)(text_hex64(hex, facts->id) - hex));
    struct slice parts[] = {
        SLICE("{\"type\":\"about:blank\",\"title\":\""),
        status_reason(facts->status),
        SLICE("\",\"status\":"),
        status,
        member(arena, "detail", why.bytes > 0 ? why : meaning),
        member(arena, "rule", facts->rule),
        SLICE(",\"id\":\""),
        id,
        SLICE("\",\"instance\":\"#exchange-"),
        id,
        SLICE("\""),
        member(arena, "contact", reviewer(arena, facts)),
        SLICE("}\n"),
    };

    return arena_join(arena, parts, ARRAY_COUNT(parts));
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
