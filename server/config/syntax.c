/* SPDX-License-Identifier: BSD-2-Clause */
/* syntax.c - checks and rewrites configuration text by recursive descent.
 *
 *     settings = { NAME ("=" | ":") value [";" | ","] }
 *     value    = STRING+ | INTEGER | FLOAT | BOOL | group | list | array
 *     group    = "{" settings "}"
 *     list     = "(" [ value { "," value } [","] ] ")"
 *     array    = "[" [ scalar { "," scalar } [","] ] "]"
 *
 * libconfig would do, but says no more than "syntax error", cuts numbers to 32
 * bits without a word, knows no comma behind the last element, joins strings
 * between which a comma was forgotten, and places a string on the line of the
 * token behind it. So its input is written anew: commas and brackets stay on
 * the line of what stands before them, numbers are decimal and carry the "L"
 * that makes them 64 bits wide, and arrays become lists, whose elements may
 * differ in type.
 */
#include "config.h"

#include "server/config/syntax.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/config/lexer.h"

#define SHOWN_MAX 40

/* A name given in a group that is still open. */
struct given {
    struct slice name;
    unsigned line;
};

struct parser {
    const struct config_source *source;
    struct err *err;
    struct lexer lexer;
    struct token now;
    struct token long_string; /* the last string that ran over several lines */
    unsigned since_long;      /* tokens read behind it */
    char *out, *out_end;
    unsigned out_line;
    struct given *given;
    size_t given_count, given_room;
    unsigned depth;
};

/* ---- saying what is wrong */

static struct slice
shown(struct token token)
{
    struct slice text = token.text;
    ptrdiff_t line_end = slice_find(text, '\n');

    if (line_end >= 0)
        text.bytes = (size_t)line_end;
    if (text.bytes > SHOWN_MAX)
        text.bytes = SHOWN_MAX;
    return text;
}

/* What was found, as part of a sentence. */
static const char *
found(struct token token, char *text, size_t bytes)
{
    struct slice s = shown(token);

    switch (token.kind) {
    case TOKEN_NAME:
        snprintf(text, bytes, "the word \"%.*s\"", SLICE_ARG(s));
        break;
    case TOKEN_STRING:
    case TOKEN_BAD_STRING:
        snprintf(text, bytes, "the text %.*s", SLICE_ARG(s));
        break;
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
    case TOKEN_BAD_NUMBER:
    case TOKEN_BOOL:
    case TOKEN_INCLUDE:
        snprintf(text, bytes, "%.*s", SLICE_ARG(s));
        break;
    case TOKEN_EQUALS:
    case TOKEN_COMMA:
    case TOKEN_SEMICOLON:
    case TOKEN_OPEN:
    case TOKEN_CLOSE:
    case TOKEN_BAD_BYTE:
        snprintf(text, bytes, "\"%.*s\"", SLICE_ARG(s));
        break;
    case TOKEN_BAD_COMMENT:
        return "a comment that is never closed";
    case TOKEN_END:
        return "the end of the file";
    }
    return text;
}

/* A word where a value should be is mostly text without quotes. */
static const char *
word_hint(struct token token)
{
    if (token.kind != TOKEN_NAME)
        return "";
    if (slice_list_has(SLICE("yes,no,on,off"), token.text))
        return "; write true or false";
    return "; text goes in quotes";
}

/* Refuses the token at hand. Odd tokens explain themselves. */
static int
refuse(struct parser *parser, const char *wanted)
{
    struct token token = parser->now;
    struct slice s = shown(token);
    char what[128];

    /* A missing quote shows late: where the next string seems to begin. */
    if (parser->long_string.line > 0 && parser->since_long <= 2)
        return config_source_fail(parser->source, parser->long_string.line, parser->err,
                                  "a string runs over the end of the line; is its closing quote "
                                  "missing? (found %s behind it)",
                                  found(token, what, sizeof(what)));
    if (token.kind == TOKEN_BAD_NUMBER && s.bytes > 1 && s.data[0] == '0' &&
        ascii_is_digit(s.data[1]))
        return config_source_fail(parser->source, token.line, parser->err,
                                  "%.*s begins with a zero; write it without, or in quotes",
                                  SLICE_ARG(s));
    if (token.kind == TOKEN_BAD_NUMBER)
        return config_source_fail(parser->source, token.line, parser->err,
                                  "%.*s is not a number; text goes in quotes: \"%.*s\"",
                                  SLICE_ARG(s), SLICE_ARG(s));
    if (token.kind == TOKEN_BAD_BYTE && s.data[0] == '@')
        return config_source_fail(parser->source, token.line, parser->err,
                                  "found \"@\"; @include \"FILE\" has a line of its own");
    if (token.kind == TOKEN_BAD_BYTE && s.data[0] == '\'')
        return config_source_fail(parser->source, token.line, parser->err,
                                  "found a single quote; text goes in double quotes");
    if (token.kind == TOKEN_BAD_BYTE && (s.data[0] < ' ' || s.data[0] > '~'))
        return config_source_fail(parser->source, token.line, parser->err,
                                  "found the byte 0x%02x where %s is wanted",
                                  (unsigned)(unsigned char)s.data[0], wanted);
    return config_source_fail(parser->source, token.line, parser->err,
                              "found %s where %s is wanted%s", found(token, what, sizeof(what)),
                              wanted, word_hint(token));
}

/* ---- reading and writing tokens */

static void
next(struct parser *parser)
{
    unsigned last_line = parser->now.line;

    parser->now = lexer_next(&parser->lexer);
    if (parser->now.kind == TOKEN_END) /* what it should have is missing there */
        parser->now.line = last_line;
    parser->since_long++;
    if (parser->now.kind == TOKEN_STRING && slice_find(parser->now.text, '\n') >= 0) {
        parser->long_string = parser->now;
        parser->since_long = 0;
    }
}

static void
write_slice(struct parser *parser, struct slice s)
{
    must(s.bytes <= (size_t)(parser->out_end - parser->out));
    parser->out = mempcpy(parser->out, s.data, s.bytes);
    for (size_t i = 0; i < s.bytes; i++)
        parser->out_line += s.data[i] == '\n';
}

static void
write_text(struct parser *parser, const char *text)
{
    write_slice(parser, slice_of(text));
}

/* Moves on to the line of the token at hand. */
static void
write_newlines(struct parser *parser)
{
    while (parser->out_line < parser->now.line)
        write_slice(parser, SLICE("\n"));
}

/* ---- the grammar */

static int parse_value(struct parser *parser, const char *wanted, bool in_list);

static int
parse_integer(struct parser *parser)
{
    char text[32];
    int64_t value;

    if (!token_integer(parser->now, &value))
        return config_source_fail(parser->source, parser->now.line, parser->err,
                                  "%.*s is larger than a number can be",
                                  SLICE_ARG(shown(parser->now)));
    snprintf(text, sizeof(text), "%" PRId64 "%s", value,
             value > INT32_MAX || value < INT32_MIN ? "L" : "");
    write_text(parser, text);
    next(parser);
    return 0;
}

/* Strings that follow each other are one, for long texts; in a list it is a
 * comma that was forgotten. */
static int
parse_strings(struct parser *parser, bool in_list)
{
    do {
        write_slice(parser, parser->now.text);
        next(parser);
        if (in_list && parser->now.kind == TOKEN_STRING)
            return refuse(parser, "\",\"");
    } while (parser->now.kind == TOKEN_STRING);
    return 0;
}

static int
never_closed(struct parser *parser, struct token open)
{
    return config_source_fail(parser->source, open.line, parser->err,
                              "the \"%c\" that begins here is never closed", open.text.data[0]);
}

static char
closing(char open)
{
    return open == '{' ? '}' : open == '(' ? ')' : ']';
}

static bool
is_close(struct token token, struct token open)
{
    return token.kind == TOKEN_CLOSE && token.text.data[0] == closing(open.text.data[0]);
}

static int
refuse_close(struct parser *parser, struct token open)
{
    struct place place = config_source_place(parser->source, open.line);

    return config_source_fail(parser->source, parser->now.line, parser->err,
                              "found \"%c\" while the \"%c\" of %s:%u is open; \"%c\" is wanted",
                              parser->now.text.data[0], open.text.data[0], place.file, place.line,
                              closing(open.text.data[0]));
}

/* Behind an element: a comma, or the end. */
static int
parse_comma(struct parser *parser, struct token open)
{
    char wanted[32];

    if (parser->now.kind == TOKEN_COMMA) {
        next(parser);
        return 0;
    }
    if (is_close(parser->now, open))
        return 0;
    if (parser->now.kind == TOKEN_END)
        return never_closed(parser, open);
    if (parser->now.kind == TOKEN_CLOSE)
        return refuse_close(parser, open);
    snprintf(wanted, sizeof(wanted), "\",\" or \"%c\"", closing(open.text.data[0]));
    return refuse(parser, wanted);
}

static int
parse_elements(struct parser *parser, struct token open)
{
    bool is_array = open.text.data[0] == '[';

    write_text(parser, "(");
    for (bool is_first = true; !is_close(parser->now, open); is_first = false) {
        if (!is_first)
            write_text(parser, ",");
        if (parser->now.kind == TOKEN_END)
            return never_closed(parser, open);
        if (parser->now.kind == TOKEN_CLOSE)
            return refuse_close(parser, open);
        if (is_array && parser->now.kind == TOKEN_OPEN)
            return refuse(parser, "a plain value (groups and lists go in \"(\" and \")\")");
        if (parse_value(parser, "an element", true) < 0 || parse_comma(parser, open) < 0)
            return -1;
    }
    write_text(parser, ")");
    next(parser);
    return 0;
}

/* Remembers the name; refuses one that its group has already. */
static int
add_name(struct parser *parser, size_t base)
{
    struct given *given = parser->given;

    for (size_t i = base; i < parser->given_count; i++) {
        struct place first;

        if (!slice_equal(given[i].name, parser->now.text))
            continue;
        first = config_source_place(parser->source, given[i].line);
        return config_source_fail(parser->source, parser->now.line, parser->err,
                                  "\"%.*s\" is set twice, first at %s:%u",
                                  SLICE_ARG(shown(parser->now)), first.file, first.line);
    }
    if (parser->given_count - base >= SYNTAX_NAMES_MAX)
        return config_source_fail(parser->source, parser->now.line, parser->err,
                                  "a group has more than %d settings", SYNTAX_NAMES_MAX);
    if (parser->given_count == parser->given_room) {
        size_t room = parser->given_room * 2 + 64;

        given = realloc(given, room * sizeof(*given));
        if (given == NULL)
            return err_set(parser->err, "memory is short for the configuration");
        parser->given = given;
        parser->given_room = room;
    }
    given[parser->given_count++] = (struct given){ parser->now.text, parser->now.line };
    return 0;
}

static int
parse_setting(struct parser *parser, size_t base)
{
    struct slice name = shown(parser->now);
    char wanted[128];

    if (parser->now.kind != TOKEN_NAME)
        return refuse(parser, "the name of a setting");
    if (add_name(parser, base) < 0)
        return -1;
    write_newlines(parser);
    write_slice(parser, parser->now.text);
    next(parser);
    if (parser->now.kind != TOKEN_EQUALS) {
        snprintf(wanted, sizeof(wanted), "\"=\" behind \"%.*s\"", SLICE_ARG(name));
        return refuse(parser, wanted);
    }
    write_text(parser, "=");
    next(parser);
    snprintf(wanted, sizeof(wanted), "a value for \"%.*s\"", SLICE_ARG(name));
    if (parse_value(parser, wanted, false) < 0)
        return -1;
    write_text(parser, ";");
    if (parser->now.kind == TOKEN_SEMICOLON || parser->now.kind == TOKEN_COMMA)
        next(parser);
    return 0;
}

static int
parse_group(struct parser *parser, struct token open)
{
    size_t base = parser->given_count;

    write_text(parser, "{");
    while (!is_close(parser->now, open)) {
        if (parser->now.kind == TOKEN_END)
            return never_closed(parser, open);
        if (parser->now.kind == TOKEN_CLOSE)
            return refuse_close(parser, open);
        if (parse_setting(parser, base) < 0)
            return -1;
    }
    parser->given_count = base;
    write_text(parser, "}");
    next(parser);
    return 0;
}

static int
parse_nested(struct parser *parser)
{
    struct token open = parser->now;
    int result;

    if (parser->depth >= SYNTAX_DEPTH_MAX)
        return config_source_fail(parser->source, open.line, parser->err,
                                  "settings are nested more than %d deep", SYNTAX_DEPTH_MAX);
    parser->depth++;
    next(parser);
    result = open.text.data[0] == '{' ? parse_group(parser, open) : parse_elements(parser, open);
    parser->depth--;
    return result;
}

static int
parse_value(struct parser *parser, const char *wanted, bool in_list)
{
    write_newlines(parser);
    switch (parser->now.kind) {
    case TOKEN_STRING:
        return parse_strings(parser, in_list);
    case TOKEN_INTEGER:
        return parse_integer(parser);
    case TOKEN_FLOAT:
    case TOKEN_BOOL:
        write_slice(parser, parser->now.text);
        next(parser);
        return 0;
    case TOKEN_OPEN:
        return parse_nested(parser);
    case TOKEN_NAME:
    case TOKEN_EQUALS:
    case TOKEN_COMMA:
    case TOKEN_SEMICOLON:
    case TOKEN_CLOSE:
    case TOKEN_INCLUDE:
    case TOKEN_END:
    case TOKEN_BAD_STRING:
    case TOKEN_BAD_COMMENT:
    case TOKEN_BAD_NUMBER:
    case TOKEN_BAD_BYTE:
        break;
    }
    return refuse(parser, wanted);
}

static int
parse_all(struct parser *parser)
{
    next(parser);
    while (parser->now.kind != TOKEN_END)
        if (parse_setting(parser, 0) < 0)
            return -1;
    write_slice(parser, slice_make("\n", 2)); /* with the NUL that ends it */
    return 0;
}

char *
config_syntax_rewrite(const struct config_source *source, struct err *err)
{
    struct slice text = slice_make(source->text, source->text_bytes);
    struct parser parser = { .source = source, .err = err, .out_line = 1 };
    /* Each setting of three bytes or more grows by a ";", each number of ten
     * digits or more by an "L"; nothing else grows. */
    size_t room = text.bytes * 2 + 16;
    char *out = malloc(room);
    int result;

    if (out == NULL) {
        err_set(err, "memory is short for the configuration");
        return NULL;
    }
    parser.out = out;
    parser.out_end = out + room;
    lexer_init(&parser.lexer, text);
    result = parse_all(&parser);
    free(parser.given);
    if (result == 0)
        return out;
    free(out);
    return NULL;
}
