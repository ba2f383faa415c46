/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_html.c - where head and body begin and end, in HTML as it passes.
 *
 *     TEXT --"<"--> OPEN --name--> tag: TAG_NAME, NAME ... --">"--> TEXT
 *                    |                                          '----> RAW (script, title ...)
 *                    '--"!"--> COMMENT, BOGUS --> TEXT
 *
 * Only the beginning of a tag is held back, until its name is known. Tags may be missing:
 * then those places are where a browser adds them.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

enum {
    TEXT, OPEN, TAG_NAME, BEFORE_NAME, NAME, AFTER_NAME, BEFORE_VALUE, VALUE, VALUE_DOUBLE,
    VALUE_SINGLE, COMMENT, BOGUS, RAW, PLAIN,
};

/* The "insertion modes" that matter. */
enum { BEFORE_HEAD, IN_HEAD, AFTER_HEAD, IN_BODY, IN_FRAMES };

#define BIT(place) (1u << (HTML_##place))

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* Of the mark of byte order that UTF-8 may begin with. */
static bool
is_mark(char c)
{
    return c == '\xef' || c == '\xbb' || c == '\xbf';
}

static bool
is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static bool
ends_name(char c)
{
    return is_space(c) || c == '/' || c == '>';
}

/* ---- where we are in the document: each returns the places that this passes */

static unsigned
begin_head(struct html_places *html)
{
    if (html->mode != BEFORE_HEAD)
        return 0;
    html->mode = IN_HEAD;
    return BIT(HEAD_BEGIN);
}

static unsigned
end_head(struct html_places *html)
{
    unsigned places = begin_head(html);

    if (html->mode != IN_HEAD)
        return places;
    html->mode = AFTER_HEAD;
    return places | BIT(HEAD_END);
}

static unsigned
begin_body(struct html_places *html)
{
    unsigned places = end_head(html);

    if (html->mode != AFTER_HEAD)
        return places;
    html->mode = IN_BODY;
    return places | BIT(BODY_BEGIN);
}

/* ---- tags */

/* Whose content is text up to their own end tag. noscript is, where scripts run. */
static const struct slice raw_names[] = {
    SLICE_INIT("script"), SLICE_INIT("style"), SLICE_INIT("textarea"), SLICE_INIT("title"),
    SLICE_INIT("xmp"), SLICE_INIT("iframe"), SLICE_INIT("noembed"), SLICE_INIT("noframes"),
    SLICE_INIT("noscript"), SLICE_INIT("plaintext"),
};
#define NO_RAW ARRAY_COUNT(raw_names)
#define RAW_SCRIPT 0u
#define RAW_PLAINTEXT (ARRAY_COUNT(raw_names) - 1)

static const struct slice names_in_head[] = {
    SLICE_INIT("base"), SLICE_INIT("basefont"), SLICE_INIT("bgsound"), SLICE_INIT("link"),
    SLICE_INIT("meta"), SLICE_INIT("title"), SLICE_INIT("script"), SLICE_INIT("style"),
    SLICE_INIT("noscript"), SLICE_INIT("noframes"), SLICE_INIT("template"),
};

static size_t
find_name(const struct slice *names, size_t count, struct slice name)
{
    size_t i = 0;

    while (i < count && !slice_equal_nocase(names[i], name))
        i++;
    return i;
}

static bool
is_name(struct slice name, const char *text)
{
    return slice_equal_nocase(name, slice_of(text));
}

static unsigned
start_tag(struct html_places *html, struct slice name)
{
    unsigned places = 0;

    if (is_name(name, "template") && html->depth++ > 0)
        return 0;
    if (html->depth > 1 || (html->depth == 1 && !is_name(name, "template")))
        return 0;
    if (is_name(name, "html"))
        return 0;
    if (is_name(name, "head")) {
        html->due_behind = begin_head(html);
        return 0;
    }
    if (find_name(names_in_head, ARRAY_COUNT(names_in_head), name) < ARRAY_COUNT(names_in_head))
        return begin_head(html);
    if (is_name(name, "body") && html->mode < IN_BODY) {
        places = end_head(html);
        html->due_behind = begin_body(html);
        return places;
    }
    if (is_name(name, "frameset") && html->mode < IN_BODY) {
        places = end_head(html);
        html->mode = IN_FRAMES; /* there is no body */
        html->done |= BIT(BODY_BEGIN) | BIT(BODY_END);
        return places;
    }
    return begin_body(html);
}

static unsigned
end_tag(struct html_places *html, struct slice name)
{
    if (is_name(name, "template") && html->depth > 0)
        html->depth--;
    if (html->depth > 0)
        return 0;
    if (is_name(name, "head"))
        return end_head(html);
    if (is_name(name, "body") || is_name(name, "html"))
        return begin_body(html) | BIT(BODY_END);
    return is_name(name, "br") ? begin_body(html) : 0;
}

/* Text other than spaces. */
static unsigned
text(struct html_places *html)
{
    return html->depth > 0 ? 0 : begin_body(html);
}

/* ---- stops */

/* Those of places that are wanted, and not done yet. */
static unsigned
take_places(struct html_places *html, unsigned places)
{
    places &= ~html->done;
    html->done |= places;
    return places;
}

/* Where nothing is inserted, and held has only what is still in the input, reading goes on. */
static void
stop(struct html_places *html, struct html_step *step, unsigned places)
{
    step->places = take_places(html, places);
    step->is_stop = step->places != 0 || html->held_bytes > step->held_more;
    if (step->is_stop)
        return;
    html->held_bytes = 0;
    step->held_more = 0;
}

/* The name of a tag is known. */
static void
name_known(struct html_places *html, struct html_step *step)
{
    size_t start = html->is_end_tag ? 2 : 1;
    struct slice name = slice_make(html->held + start, html->held_bytes - start);
    unsigned places = html->is_end_tag ? end_tag(html, name) : start_tag(html, name);

    html->raw = (uint8_t)(html->is_end_tag ? NO_RAW : find_name(raw_names, NO_RAW, name));
    html->state = TAG_NAME; /* of a long one, there is more */
    stop(html, step, places);
}

/* It turned out to be something else than a tag. */
static void
no_tag(struct html_places *html, struct html_step *step, unsigned state, unsigned places)
{
    html->state = (uint8_t)state;
    html->last = 0;
    stop(html, step, places);
}

/* ---- states: each reads from in, from *at on, and moves *at */

struct input {
    const char *data;
    size_t at, bytes;
};

static void
read_text(struct html_places *html, struct input *in, struct html_step *step)
{
    const char *open = memchr(in->data + in->at, '<', in->bytes - in->at);
    size_t end = open != NULL ? (size_t)(open - in->data) : in->bytes;

    while (html->mode < IN_BODY && in->at < end &&
           (is_space(in->data[in->at]) || (html->mode == BEFORE_HEAD && is_mark(in->data[in->at]))))
        in->at++;
    if (in->at < end && html->mode < IN_BODY) {
        unsigned places = text(html);

        if (places != 0) {
            stop(html, step, places);
            return;
        }
    }
    in->at = end;
    if (open != NULL)
        html->state = OPEN;
}

/* Takes the next byte into held. What it is may be known then, or by the byte behind. */
static void
read_open(struct html_places *html, struct input *in, struct html_step *step)
{
    char c = in->data[in->at];
    unsigned n = html->held_bytes;

    if (n == 0) {
        html->is_end_tag = false;
    } else if (n == 1 && c == '/') {
        html->is_end_tag = true;
    } else if (n == 1 && c == '?') {
        no_tag(html, step, BOGUS, 0);
        return;
    } else if (n == 1 && c != '!' && !is_letter(c)) {
        no_tag(html, step, TEXT, text(html));
        return;
    } else if (n == 2 && html->is_end_tag && !is_letter(c)) {
        no_tag(html, step, BOGUS, 0); /* "</>" is nothing, and ends there, too */
        return;
    } else if (n >= 2 && n < 4 && html->held[1] == '!') {
        if (c != '-') {
            no_tag(html, step, BOGUS, 0);
            return;
        }
    } else if (n == 4 && html->held[1] == '!') {
        no_tag(html, step, COMMENT, 0);
        html->last = 1 << 8 | 1;
        return;
    } else if (ends_name(c) || n == HTML_HELD_BYTES) {
        name_known(html, step);
        return;
    }
    html->held[html->held_bytes++] = c;
    in->at++;
    step->held_more++;
}

static void
end_of_tag(struct html_places *html, struct html_step *step)
{
    unsigned due = html->due_behind;

    html->due_behind = 0;
    html->matched = 0;
    html->last = 0;
    html->is_escaped = html->is_doubly_escaped = false;
    html->state = html->raw == NO_RAW ? TEXT : html->raw == RAW_PLAINTEXT ? PLAIN : RAW;
    if (due != 0)
        stop(html, step, due);
}

/* Attributes: section 13.2.5.32 and those that follow. */
static unsigned
next_in_tag(unsigned state, char c)
{
    switch (state) {
    case TAG_NAME:
        return is_space(c) || c == '/' ? BEFORE_NAME : TAG_NAME;
    case BEFORE_NAME: /* "=" begins a name here */
        return is_space(c) || c == '/' ? BEFORE_NAME : NAME;
    case NAME:
        return c == '=' ? BEFORE_VALUE : is_space(c) ? AFTER_NAME : c == '/' ? BEFORE_NAME : NAME;
    case AFTER_NAME:
        return c == '=' ? BEFORE_VALUE
               : is_space(c) ? AFTER_NAME : c == '/' ? BEFORE_NAME : NAME;
    case BEFORE_VALUE:
        return is_space(c) ? BEFORE_VALUE
               : c == '"' ? VALUE_DOUBLE : c == '\'' ? VALUE_SINGLE : VALUE;
    case VALUE:
        return is_space(c) ? BEFORE_NAME : VALUE;
    case VALUE_DOUBLE:
        return c == '"' ? BEFORE_NAME : VALUE_DOUBLE;
    }
    return c == '\'' ? BEFORE_NAME : VALUE_SINGLE;
}

/* To the other quote, or to the end of the input; *c is the last byte that was read. */
static void
skip_quoted(struct input *in, char quote, char *c)
{
    const char *end = memchr(in->data + in->at - 1, quote, in->bytes - in->at + 1);

    in->at = end != NULL ? (size_t)(end - in->data) + 1 : in->bytes;
    *c = in->data[in->at - 1];
}

static void
read_tag(struct html_places *html, struct input *in, struct html_step *step)
{
    while (in->at < in->bytes) {
        bool is_quoted = html->state == VALUE_DOUBLE || html->state == VALUE_SINGLE;
        char c = in->data[in->at++];

        if (c == '>' && !is_quoted) {
            end_of_tag(html, step);
            return;
        }
        if (is_quoted)
            skip_quoted(in, html->state == VALUE_DOUBLE ? '"' : '\'', &c);
        html->state = (uint8_t)next_in_tag(html->state, c);
    }
}

static void
keep_last(struct html_places *html, char c)
{
    html->last = html->last << 8 | (unsigned char)ascii_lower(c);
}

/* Whether the last bytes are these. */
static bool
ends_with(const struct html_places *html, const char *text)
{
    uint64_t last = html->last;

    for (size_t i = strlen(text); i > 0; i--, last >>= 8)
        if ((char)(last & 0xff) != text[i - 1])
            return false;
    return true;
}

/* "-->" and "--!>" end it, and "<!-->" and "<!--->" are whole ones: 1 stands for the hyphens
 * that it began with. */
static void
read_comment(struct html_places *html, struct input *in, struct html_step *step)
{
    (void)step;
    while (in->at < in->bytes) {
        char c = in->data[in->at++];

        keep_last(html, c);
        if (c == '>' && (ends_with(html, "-->") || ends_with(html, "--!>") ||
                         ends_with(html, "\1\1>") || ends_with(html, "\1\1->"))) {
            html->state = TEXT;
            return;
        }
    }
}

static void
read_bogus(struct html_places *html, struct input *in, struct html_step *step)
{
    const char *end = memchr(in->data + in->at, '>', in->bytes - in->at);

    (void)step;
    in->at = end != NULL ? (size_t)(end - in->data) + 1 : in->bytes;
    if (end != NULL)
        html->state = TEXT;
}

/* Within "<!--" a script may have another one, whose end tag is not its own. */
static bool
is_end_of_script(struct html_places *html, char c)
{
    bool is_end = false;

    if (ends_name(c) && ends_with(html, "</script")) {
        is_end = !html->is_doubly_escaped;
        html->is_doubly_escaped = false;
    } else if (ends_name(c) && html->is_escaped && ends_with(html, "<script")) {
        html->is_doubly_escaped = true;
    }
    keep_last(html, c);
    if (ends_with(html, "<!--"))
        html->is_escaped = true;
    if (ends_with(html, "-->"))
        html->is_escaped = html->is_doubly_escaped = false;
    return is_end;
}

static bool
is_end_of_raw(struct html_places *html, char c)
{
    struct slice name = raw_names[html->raw];
    size_t whole = name.bytes + 2;

    if (html->matched == whole && ends_name(c))
        return true;
    if (html->matched >= 2 && html->matched < whole &&
        ascii_lower(c) == name.data[html->matched - 2])
        html->matched++;
    else if (html->matched == 1 && c == '/')
        html->matched = 2;
    else
        html->matched = c == '<';
    return false;
}

static void
read_raw(struct html_places *html, struct input *in, struct html_step *step)
{
    (void)step;
    while (in->at < in->bytes) {
        char c = in->data[in->at];
        bool is_end = html->raw == RAW_SCRIPT ? is_end_of_script(html, c)
                                              : is_end_of_raw(html, c);

        if (is_end) {
            html->raw = NO_RAW;
            html->state = BEFORE_NAME; /* c is of the end tag */
            return;
        }
        in->at++;
    }
}

static void
read_plain(struct html_places *html, struct input *in, struct html_step *step)
{
    (void)html;
    (void)step;
    in->at = in->bytes;
}

typedef void read_fn(struct html_places *html, struct input *in, struct html_step *step);

static read_fn *const readers[] = {
    [TEXT] = read_text,         [OPEN] = read_open,         [TAG_NAME] = read_tag,
    [BEFORE_NAME] = read_tag,   [NAME] = read_tag,          [AFTER_NAME] = read_tag,
    [BEFORE_VALUE] = read_tag,  [VALUE] = read_tag,         [VALUE_DOUBLE] = read_tag,
    [VALUE_SINGLE] = read_tag,  [COMMENT] = read_comment,   [BOGUS] = read_bogus,
    [RAW] = read_raw,           [PLAIN] = read_plain,
};

struct html_step
html_places_read(struct html_places *html, const char *data, size_t bytes)
{
    struct input in = { data, 0, bytes };
    struct html_step step = { .pass = 0 };

    while (in.at < in.bytes && !step.is_stop)
        readers[html->state](html, &in, &step);
    step.pass = in.at - step.held_more;
    return step;
}

unsigned
html_places_end(struct html_places *html)
{
    if (html->state != TEXT && html->state != OPEN && html->state != RAW)
        return 0;
    return take_places(html, begin_body(html) | BIT(BODY_END));
}
