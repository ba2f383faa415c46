/* SPDX-License-Identifier: BSD-2-Clause */
/* lexer.c - splits configuration text into tokens.
 *
 * Stricter than libconfig about numbers: it reads "10s" as 10 followed by a
 * name, and 010 as eight or ten depending on its version.
 */
#include "config.h"

#include "server/config/lexer.h"

#include "server/base/hex.h"

static const struct slice include_word = SLICE_INIT("@include");

void
lexer_init(struct lexer *lexer, struct slice text)
{
    *lexer = (struct lexer){ .text = text, .line = 1 };
}

static struct slice
rest_of(const struct lexer *lexer)
{
    return slice_skip(lexer->text, lexer->at);
}

static bool
is_letter(char c)
{
    c = ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Moves over n bytes, counting lines. */
static void
advance(struct lexer *lexer, size_t n)
{
    const char *at = lexer->text.data + lexer->at, *end = at + n;

    lexer->at += n;
    while (n > 0 && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        lexer->line++;
        at++;
    }
}

static struct token
make(struct lexer *lexer, enum token_kind kind, size_t bytes)
{
    struct token token = { kind, slice_make(rest_of(lexer).data, bytes), lexer->line };

    advance(lexer, bytes);
    return token;
}

static size_t
line_bytes(struct slice rest)
{
    ptrdiff_t end = slice_find(rest, '\n');

    return end < 0 ? rest.bytes : (size_t)end;
}

/* Length of a comment that begins here, 0 when none does. One that never ends
 * takes all there is and sets *is_open. */
static size_t
comment_bytes(struct slice rest, bool *is_open)
{
    if (rest.data[0] == '#' || slice_starts_with(rest, SLICE("//")))
        return line_bytes(rest);
    if (!slice_starts_with(rest, SLICE("/*")))
        return 0;
    for (size_t i = 2; i + 1 < rest.bytes; i++)
        if (rest.data[i] == '*' && rest.data[i + 1] == '/')
            return i + 2;
    *is_open = true;
    return rest.bytes;
}

/* Length of the string with its quotes, 0 when it never ends. */
static size_t
string_bytes(struct slice rest)
{
    for (size_t i = 1; i < rest.bytes; i++) {
        if (rest.data[i] == '"')
            return i + 1;
        /* libconfig knows these two escapes of one more byte; any other
         * backslash stands for itself or is followed by plain letters. */
        if (rest.data[i] == '\\' && i + 1 < rest.bytes &&
            (rest.data[i + 1] == '"' || rest.data[i + 1] == '\\'))
            i++;
    }
    return 0;
}

static bool
is_name_byte(char c)
{
    return is_letter(c) || ascii_is_digit(c) || c == '-' || c == '_' || c == '*';
}

static struct token
take_word(struct lexer *lexer)
{
    struct slice rest = rest_of(lexer), word = rest;
    size_t bytes = 0;

    while (bytes < rest.bytes && is_name_byte(rest.data[bytes]))
        bytes++;
    word.bytes = bytes;
    if (slice_equal_nocase(word, SLICE("true")) || slice_equal_nocase(word, SLICE("false")))
        return make(lexer, TOKEN_BOOL, bytes);
    return make(lexer, TOKEN_NAME, bytes);
}

static size_t
skip_digits(struct slice text, size_t at)
{
    while (at < text.bytes && ascii_is_digit(text.data[at]))
        at++;
    return at;
}

static size_t
skip_sign(struct slice text, size_t at)
{
    return at < text.bytes && (text.data[at] == '+' || text.data[at] == '-') ? at + 1 : at;
}

static bool
is_float(struct slice text)
{
    size_t start = skip_sign(text, 0), at = skip_digits(text, start);

    if (at == start)
        return false;
    if (at < text.bytes && text.data[at] == '.')
        at = skip_digits(text, at + 1);
    if (at < text.bytes && ascii_lower(text.data[at]) == 'e') {
        start = skip_sign(text, at + 1);
        at = skip_digits(text, start);
        if (at == start)
            return false;
    }
    return at == text.bytes;
}

static bool
is_hex(struct slice digits)
{
    for (size_t i = 0; i < digits.bytes; i++)
        if (hex_value(digits.data[i]) < 0)
            return false;
    return digits.bytes > 0;
}

/* Without the "L" or "LL" that libconfig wants behind 64-bit numbers. */
static struct slice
drop_suffix(struct slice text)
{
    for (int i = 0; i < 2 && text.bytes > 0 && text.data[text.bytes - 1] == 'L'; i++)
        text.bytes--;
    return text;
}

static bool
is_hex_number(struct slice text)
{
    return text.bytes > 2 && text.data[0] == '0' && ascii_lower(text.data[1]) == 'x';
}

static enum token_kind
number_kind(struct slice text)
{
    struct slice number = drop_suffix(text);
    size_t start = skip_sign(number, 0);

    if (is_hex_number(number))
        return is_hex(slice_skip(number, 2)) ? TOKEN_INTEGER : TOKEN_BAD_NUMBER;
    if (start < number.bytes && skip_digits(number, start) == number.bytes) {
        bool is_octal = number.data[start] == '0' && number.bytes > start + 1;

        return is_octal ? TOKEN_BAD_NUMBER : TOKEN_INTEGER;
    }
    return is_float(text) ? TOKEN_FLOAT : TOKEN_BAD_NUMBER;
}

static struct token
take_number(struct lexer *lexer)
{
    struct slice rest = rest_of(lexer), word = rest;
    size_t bytes = 1;

    while (bytes < rest.bytes &&
           (is_name_byte(rest.data[bytes]) || rest.data[bytes] == '.' || rest.data[bytes] == '+'))
        bytes++;
    word.bytes = bytes;
    return make(lexer, number_kind(word), bytes);
}

bool
token_integer(struct token token, int64_t *value)
{
    struct slice text = drop_suffix(token.text);
    size_t start = skip_sign(text, 0);
    bool is_negative = text.data[0] == '-';
    uint64_t n = 0, base = 10;

    if (is_hex_number(text)) {
        base = 16;
        start = 2;
    }
    for (size_t i = start; i < text.bytes; i++) {
        unsigned digit = (unsigned)hex_value(text.data[i]);

        if (n > (INT64_MAX - digit) / base)
            return false;
        n = n * base + digit;
    }
    *value = is_negative ? -(int64_t)n : (int64_t)n;
    return true;
}

/* An include begins its line, apart from blanks. */
static bool
is_include(const struct lexer *lexer)
{
    size_t before = lexer->at;

    if (!slice_starts_with(rest_of(lexer), include_word))
        return false;
    while (before > 0 && is_blank(lexer->text.data[before - 1]))
        before--;
    return before == 0 || lexer->text.data[before - 1] == '\n';
}

bool
token_include_name(struct token token, struct slice *name)
{
    struct slice rest = slice_trim(slice_skip(token.text, include_word.bytes));
    bool is_open = false;
    size_t bytes;

    if (rest.bytes == 0 || rest.data[0] != '"')
        return false;
    bytes = string_bytes(rest);
    if (bytes <= 2)
        return false;
    *name = slice_make(rest.data + 1, bytes - 2);
    rest = slice_trim(slice_skip(rest, bytes));
    if (rest.bytes > 0 && rest.data[rest.bytes - 1] == '\r')
        rest.bytes--;
    rest = slice_trim(rest);
    return rest.bytes == 0 || comment_bytes(rest, &is_open) == rest.bytes;
}

static enum token_kind
mark_kind(char c)
{
    switch (c) {
    case '=': case ':':
        return TOKEN_EQUALS;
    case ',':
        return TOKEN_COMMA;
    case ';':
        return TOKEN_SEMICOLON;
    case '{': case '(': case '[':
        return TOKEN_OPEN;
    case '}': case ')': case ']':
        return TOKEN_CLOSE;
    }
    return TOKEN_BAD_BYTE;
}

/* Passes over what means nothing. False, with *token set, at a comment that
 * never ends. */
static bool
skip_space(struct lexer *lexer, struct token *token)
{
    bool is_open = false;
    size_t bytes;

    while (lexer->at < lexer->text.bytes) {
        char c = lexer->text.data[lexer->at];

        if (is_blank(c) || c == '\n' || c == '\r' || c == '\f') {
            lexer->line += c == '\n';
            lexer->at++;
            continue;
        }
        bytes = comment_bytes(rest_of(lexer), &is_open);
        if (is_open) {
            *token = make(lexer, TOKEN_BAD_COMMENT, bytes);
            return false;
        }
        if (bytes == 0)
            break;
        advance(lexer, bytes);
    }
    return true;
}

struct token
lexer_next(struct lexer *lexer)
{
    struct token token;
    struct slice rest;
    size_t bytes;
    char c;

    if (!skip_space(lexer, &token))
        return token;
    rest = rest_of(lexer);
    if (rest.bytes == 0)
        return make(lexer, TOKEN_END, 0);
    c = rest.data[0];
    if (is_include(lexer))
        return make(lexer, TOKEN_INCLUDE, line_bytes(rest));
    if (c == '"') {
        bytes = string_bytes(rest);
        return bytes > 0 ? make(lexer, TOKEN_STRING, bytes)
                         : make(lexer, TOKEN_BAD_STRING, rest.bytes);
    }
    if (is_letter(c) || c == '*')
        return take_word(lexer);
    if (ascii_is_digit(c) || c == '+' || c == '-' || c == '.')
        return take_number(lexer);
    return make(lexer, mark_kind(c), 1);
}
