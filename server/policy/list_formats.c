/* SPDX-License-Identifier: BSD-2-Clause */
/* list_formats.c - plain lists, hosts files, rules of filter lists; and which of
 * them a file is.
 */
#include "config.h"

#include "server/policy/list_formats.h"

#include "server/base/log.h"
#include "server/base/must.h"

#define GUESS_LINES_MAX 200u /* after so many that say nothing it is a plain list */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice
list_word_take(struct slice *rest)
{
    size_t at = 0, bytes = 0;
    struct slice word;

    while (at < rest->bytes && is_blank(rest->data[at]))
        at++;
    while (at + bytes < rest->bytes && !is_blank(rest->data[at + bytes]))
        bytes++;
    word = slice_make(rest->data + at, bytes);
    *rest = slice_skip(*rest, at + bytes);
    return word;
}

/* ---- plain */

/* A comment begins the line or follows a space. */
static struct slice
without_comment(struct slice line, char also)
{
    if (slice_find(line, '#') < 0 && (also == '#' || slice_find(line, also) < 0))
        return line; /* nearly always */
    for (size_t i = 0; i < line.bytes; i++)
        if ((line.data[i] == '#' || line.data[i] == also) &&
            (i == 0 || is_blank(line.data[i - 1])))
            return slice_make(line.data, i);
    return line;
}

/* Networks may have a remark behind a semicolon, as lists of them do. */
static int
take_plain(struct list_content *content, struct slice line, struct err *err)
{
    struct slice rest = without_comment(line, content->kind == LIST_NETWORKS ? ';' : '#');
    struct slice entry = list_word_take(&rest);

    if (entry.bytes == 0)
        return 0;
    if (list_word_take(&rest).bytes > 0)
        return err_set(err, "\"%s\" is more than one word; a plain list has one entry on a line",
                       log_escape(line));
    return list_content_add(content, entry, err);
}

/* Expressions have spaces and "#" in them. */
static int
take_expression(struct list_content *content, struct slice line, struct err *err)
{
    if (content->kind != LIST_URLS || line.bytes == 0 || line.data[0] == '#')
        return 0;
    return list_content_add_expression(content, line, err);
}

/* ---- hosts files */

/* Names without a dot are those of machines nearby: localhost, ip6-allnodes. */
static int
take_hosts(struct list_content *content, struct slice line, struct err *err)
{
    struct slice rest = without_comment(line, '#'), word = list_word_take(&rest);
    ptrdiff_t zone = slice_find(word, '%');
    struct ip ip;

    if (word.bytes == 0)
        return 0;
    if (zone >= 0)
        word.bytes = (size_t)zone;
    if (!ip_parse(word, &ip))
        return err_set(err, "\"%s\" is not an address; a line of a hosts file is an address and "
                       "names", log_escape(word));
    while (word = list_word_take(&rest), word.bytes > 0) {
        if (slice_find(word, '.') < 0 || slice_equal(word, SLICE("localhost.localdomain")) ||
            slice_equal(word, SLICE("0.0.0.0")))
            continue;
        if (list_content_add_domain(content, word, LIST_PUT, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- filter lists of browsers */

/* Options that leave a rule for a whole domain what it is. */
static bool
are_options_harmless(struct slice options)
{
    static const struct slice harmless[] = { SLICE_INIT("important"), SLICE_INIT("all"),
                                             SLICE_INIT("document"), SLICE_INIT("doc") };
    struct slice option;

    while (slice_next_element(&options, &option)) {
        size_t i = 0;

        while (i < ARRAY_COUNT(harmless) && !slice_equal(option, harmless[i]))
            i++;
        if (i == ARRAY_COUNT(harmless))
            return false;
    }
    return true;
}

/* Takes "$a,b" off the end: false when these make it a rule for something else. */
static bool
take_options(struct slice *rule)
{
    ptrdiff_t at = slice_find(*rule, '$');

    if (at < 0)
        return true;
    if (!are_options_harmless(slice_skip(*rule, (size_t)at + 1)))
        return false;
    rule->bytes = (size_t)at;
    return true;
}

/* "^" is the end of a name or of a part of a URL, "|" that of the URL, "*" is anything. */
static struct slice
without_end(struct slice rule)
{
    while (rule.bytes > 0 && strchr("^|*", rule.data[rule.bytes - 1]) != NULL)
        rule.bytes--;
    return rule;
}

static int
take_adblock(struct list_content *content, struct slice line, struct err *err)
{
    bool is_exception = slice_starts_with(line, SLICE("@@"));
    struct slice rule = slice_trim(slice_skip(line, is_exception ? 2 : 0)), end;
    ptrdiff_t slash;

    if (!slice_starts_with(rule, SLICE("||")))
        return 0;
    rule = slice_skip(rule, 2);
    if (!take_options(&rule))
        return 0;
    end = without_end(rule);
    if (end.bytes == rule.bytes && slice_find(end, '/') < 0)
        return 0; /* "||example." is the beginning of a name */
    slash = slice_find(end, '/');
    if (slice_starts_with(end, SLICE("*.")))
        end = slice_skip(end, 2);
    if (memchr(end.data, '*', end.bytes) != NULL || memchr(end.data, '^', end.bytes) != NULL)
        return 0;
    if (slash >= 0)
        return content->kind == LIST_URLS && !is_exception
                   ? list_content_add_url(content, end, err) : 0;
    return slice_find(end, ':') >= 0 ? 0
           : list_content_add_domain(content, end, is_exception ? LIST_SPARE : LIST_PUT, err);
}

/* ---- which it is */

static bool
guess_line(struct slice line, enum line_form *form)
{
    struct slice rest = line, first = list_word_take(&rest), second = list_word_take(&rest);
    struct ip ip;

    if (first.bytes == 0 || first.data[0] == '#' || first.data[0] == ';')
        return false;
    *form = LINE_PLAIN;
    if (slice_starts_with(line, SLICE("[Adblock")) || first.data[0] == '!' ||
        slice_starts_with(first, SLICE("||")) || slice_starts_with(first, SLICE("@@||")))
        *form = LINE_ADBLOCK;
    else if (slice_equal(first, SLICE("$TTL")) || slice_equal(first, SLICE("$ORIGIN")) ||
             memmem(line.data, line.bytes, " SOA ", 5) != NULL ||
             memmem(line.data, line.bytes, "\tSOA\t", 5) != NULL ||
             memmem(line.data, line.bytes, "CNAME", 5) != NULL)
        *form = LINE_ZONE;
    else if (second.bytes > 0 && second.data[0] != '#' && ip_parse(first, &ip))
        *form = LINE_HOSTS;
    return true;
}

enum line_form
list_lines_guess(struct slice text)
{
    enum line_form form = LINE_PLAIN;

    for (unsigned i = 0; i < GUESS_LINES_MAX && text.bytes > 0; i++) {
        ptrdiff_t at = slice_find(text, '\n');
        struct slice line = slice_make(text.data, at >= 0 ? (size_t)at : text.bytes);

        if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
            line.bytes--;
        if (guess_line(line, &form))
            return form;
        text = slice_skip(text, line.bytes + 1);
    }
    return form;
}

int
list_line_take(struct line_state *state, struct list_content *content, struct slice line,
               struct err *err)
{
    switch (state->form) {
    case LINE_PLAIN:
        return take_plain(content, line, err);
    case LINE_HOSTS:
        return take_hosts(content, line, err);
    case LINE_ADBLOCK:
        return take_adblock(content, line, err);
    case LINE_ZONE:
        return zone_line_take(&state->zone, content, line, err);
    case LINE_EXPRESSION:
        return take_expression(content, line, err);
    }
    return -1;
}
