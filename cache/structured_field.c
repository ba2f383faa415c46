/* SPDX-License-Identifier: BSD-2-Clause */
/* structured_field.c - the parser of RFC 9651 section 4.2, one function for
 * each of its algorithms.
 *
 * Each take_ function takes what it understands off the front of *in, or fails
 * and leaves *in anywhere. What was handed out once has been checked to its
 * end, so walking its parts again cannot fail.
 */
#include "config.h"

#include "cache/structured_field.h"

#include "server/base/hex.h"

/* ---- characters */

enum {
    KEY_FIRST = 1, /* "*", lower case */
    KEY_NEXT = 2,
    TOKEN_FIRST = 4, /* "*", letters */
    TOKEN_NEXT = 8,  /* tchar, ":", "/" */
    BASE64 = 16,     /* without "=" */
    TEXT = 32,       /* printable ASCII: strings */
};

static const uint8_t classes[256] = {
    [' '] = TEXT, ['"'] = TEXT, ['('] = TEXT, [')'] = TEXT, [','] = TEXT, [';'] = TEXT,
    ['<'] = TEXT, ['='] = TEXT, ['>'] = TEXT, ['?'] = TEXT, ['@'] = TEXT, ['['] = TEXT,
    ['\\'] = TEXT, [']'] = TEXT, ['{'] = TEXT, ['}'] = TEXT,
    ['!'] = TEXT | TOKEN_NEXT, ['#'] = TEXT | TOKEN_NEXT, ['$'] = TEXT | TOKEN_NEXT,
    ['%'] = TEXT | TOKEN_NEXT, ['&'] = TEXT | TOKEN_NEXT, ['\''] = TEXT | TOKEN_NEXT,
    ['^'] = TEXT | TOKEN_NEXT, ['`'] = TEXT | TOKEN_NEXT, ['|'] = TEXT | TOKEN_NEXT,
    ['~'] = TEXT | TOKEN_NEXT, [':'] = TEXT | TOKEN_NEXT,
    ['+'] = TEXT | TOKEN_NEXT | BASE64, ['/'] = TEXT | TOKEN_NEXT | BASE64,
    ['-'] = TEXT | TOKEN_NEXT | KEY_NEXT, ['.'] = TEXT | TOKEN_NEXT | KEY_NEXT,
    ['_'] = TEXT | TOKEN_NEXT | KEY_NEXT,
    ['*'] = TEXT | TOKEN_FIRST | TOKEN_NEXT | KEY_FIRST | KEY_NEXT,
    ['0' ... '9'] = TEXT | TOKEN_NEXT | KEY_NEXT | BASE64,
    ['A' ... 'Z'] = TEXT | TOKEN_FIRST | TOKEN_NEXT | BASE64,
    ['a' ... 'z'] = TEXT | TOKEN_FIRST | TOKEN_NEXT | KEY_FIRST | KEY_NEXT | BASE64,
};

static bool
is_of(char c, unsigned class)
{
    return (classes[(unsigned char)c] & class) != 0;
}

/* The first character, or NUL at the end: no class has NUL. */
static char
peek(const struct slice *in)
{
    return in->bytes > 0 ? in->data[0] : '\0';
}

/* How many characters of the class lead. */
static size_t
count_of(struct slice in, unsigned class)
{
    size_t count = 0;

    while (count < in.bytes && is_of(in.data[count], class))
        count++;
    return count;
}

static struct slice
take_bytes(struct slice *in, size_t count)
{
    struct slice taken = slice_make(in->data, count);

    *in = slice_skip(*in, count);
    return taken;
}

static void
skip_spaces(struct slice *in)
{
    while (slice_take_char(in, ' '))
        ;
}

static void
skip_ows(struct slice *in)
{
    while (slice_take_char(in, ' ') || slice_take_char(in, '\t'))
        ;
}

/* ---- bare items */

static int64_t
number_of(struct slice digits)
{
    int64_t number = 0;

    for (size_t i = 0; i < digits.bytes; i++)
        number = number * 10 + (digits.data[i] - '0');
    return number;
}

/* Section 4.2.4: up to 15 digits, or up to 12 with up to 3 behind a point. */
static bool
take_number(struct slice *in, struct sf_item *item)
{
    bool is_negative = slice_take_char(in, '-');
    struct slice whole = slice_take_digits(in, SIZE_MAX), fraction;

    if (whole.bytes == 0 || whole.bytes > 15)
        return false;
    item->type = SF_INTEGER;
    item->number = number_of(whole);
    if (slice_take_char(in, '.')) {
        int64_t scale = 1;

        fraction = slice_take_digits(in, SIZE_MAX);
        if (whole.bytes > 12 || fraction.bytes == 0 || fraction.bytes > 3)
            return false;
        item->type = SF_DECIMAL;
        for (size_t i = fraction.bytes; i < 3; i++)
            scale *= 10;
        item->number = item->number * 1000 + number_of(fraction) * scale;
    }
    if (is_negative)
        item->number = -item->number;
    return true;
}

/* Section 4.2.5; the opening quote is gone. */
static bool
take_string(struct slice *in, struct sf_item *item)
{
    size_t i = 0;

    for (; i < in->bytes && in->data[i] != '"'; i++) {
        if (!is_of(in->data[i], TEXT))
            return false;
        if (in->data[i] == '\\' &&
            (++i == in->bytes || (in->data[i] != '"' && in->data[i] != '\\')))
            return false;
    }
    item->type = SF_STRING;
    item->text = take_bytes(in, i);
    return slice_take_char(in, '"');
}

/* Section 4.2.6. */
static void
take_token(struct slice *in, struct sf_item *item)
{
    item->type = SF_TOKEN;
    item->text = take_bytes(in, count_of(*in, TOKEN_NEXT));
}

/* Section 4.2.7; the opening colon is gone. Padding may lack, and bits left over
 * may be anything, as that section wishes; what no bytes can mean is refused. */
static bool
take_byte_sequence(struct slice *in, struct sf_item *item)
{
    size_t data = count_of(*in, BASE64), all = data;

    while (all < in->bytes && in->data[all] == '=')
        all++;
    if (data % 4 == 1 || (all > data && (all % 4 != 0 || all - data > 2)))
        return false;
    item->type = SF_BYTES;
    item->text = take_bytes(in, all);
    return slice_take_char(in, ':');
}

/* Section 4.2.8; "?" is gone. */
static bool
take_boolean(struct slice *in, struct sf_item *item)
{
    item->type = SF_BOOLEAN;
    item->number = peek(in) == '1';
    return slice_take_char(in, '0') || slice_take_char(in, '1');
}

/* Section 4.2.9; "@" is gone. */
static bool
take_date(struct slice *in, struct sf_item *item)
{
    if (!take_number(in, item) || item->type != SF_INTEGER)
        return false;
    item->type = SF_DATE;
    return true;
}

/* What an escape at the head of text stands for, whose digits are of lower case here; -1:
 * it is none. */
static int
unescape(struct slice text)
{
    int byte = hex_unescape(text);

    return byte >= 0 && ascii_lower(text.data[1]) == text.data[1] &&
                   ascii_lower(text.data[2]) == text.data[2] ? byte : -1;
}

/* UTF-8 as it comes (RFC 3629 section 4). */
struct utf8 {
    unsigned left;     /* bytes that still belong to the character */
    uint8_t low, high; /* between which the next one lies */
};

static bool
feed_utf8(struct utf8 *utf8, uint8_t byte)
{
    if (utf8->left > 0) {
        bool is_right = byte >= utf8->low && byte <= utf8->high;

        utf8->left--;
        utf8->low = 0x80;
        utf8->high = 0xbf;
        return is_right;
    }
    utf8->left = byte < 0x80 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    utf8->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;  /* no longer than needed */
    utf8->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf; /* no surrogates, no more */
    return byte < 0x80 || (byte >= 0xc2 && byte <= 0xf4);
}

/* Section 4.2.10; "%" is gone. */
static bool
take_display_string(struct slice *in, struct sf_item *item)
{
    struct utf8 utf8 = { 0 };
    size_t i;

    if (!slice_take_char(in, '"'))
        return false;
    for (i = 0; i < in->bytes && in->data[i] != '"'; i++) {
        int byte = (unsigned char)in->data[i];

        if (!is_of(in->data[i], TEXT))
            return false;
        if (byte == '%') {
            byte = unescape(slice_skip(*in, i));
            if (byte < 0)
                return false;
            i += 2;
        }
        if (!feed_utf8(&utf8, (uint8_t)byte))
            return false;
    }
    item->type = SF_DISPLAY_STRING;
    item->text = take_bytes(in, i);
    return utf8.left == 0 && slice_take_char(in, '"');
}

/* Section 4.2.3.1: the first character tells the type. */
static bool
take_bare_item(struct slice *in, struct sf_item *item)
{
    *item = (struct sf_item){ .type = SF_BOOLEAN };
    if (ascii_is_digit(peek(in)) || peek(in) == '-')
        return take_number(in, item);
    if (is_of(peek(in), TOKEN_FIRST)) {
        take_token(in, item);
        return true;
    }
    if (slice_take_char(in, '"'))
        return take_string(in, item);
    if (slice_take_char(in, ':'))
        return take_byte_sequence(in, item);
    if (slice_take_char(in, '?'))
        return take_boolean(in, item);
    if (slice_take_char(in, '@'))
        return take_date(in, item);
    return slice_take_char(in, '%') && take_display_string(in, item);
}

/* ---- parameters, items, inner lists */

/* Section 4.2.3.3. */
static bool
take_key(struct slice *in, struct slice *key)
{
    if (!is_of(peek(in), KEY_FIRST))
        return false;
    *key = take_bytes(in, count_of(*in, KEY_NEXT));
    return true;
}

/* One of section 4.2.3.2; the semicolon is gone. */
static bool
take_parameter(struct slice *in, struct slice *key, struct sf_item *value)
{
    skip_spaces(in);
    if (!take_key(in, key))
        return false;
    *value = (struct sf_item){ .type = SF_BOOLEAN, .number = 1 };
    return !slice_take_char(in, '=') || take_bare_item(in, value);
}

static bool
take_parameters(struct slice *in, struct sf_item *item)
{
    const char *start = in->data;
    struct sf_item value;
    struct slice key;

    for (unsigned count = 0; slice_take_char(in, ';'); count++)
        if (count == SF_INNER_MAX || !take_parameter(in, &key, &value))
            return false;
    item->parameters = slice_make(start, (size_t)(in->data - start));
    return true;
}

static bool
take_item(struct slice *in, struct sf_item *item)
{
    return take_bare_item(in, item) && take_parameters(in, item);
}

/* Section 4.2.1.2; the opening parenthesis is gone. */
static bool
take_inner_list(struct slice *in, struct sf_item *list)
{
    const char *start = in->data;
    struct sf_item item;

    for (unsigned count = 0;; count++) {
        skip_spaces(in);
        if (peek(in) == ')')
            break;
        if (count == SF_INNER_MAX || !take_item(in, &item) ||
            (peek(in) != ' ' && peek(in) != ')'))
            return false;
    }
    *list = (struct sf_item){ .type = SF_INNER_LIST,
                              .text = slice_make(start, (size_t)(in->data - start)) };
    return slice_take_char(in, ')') && take_parameters(in, list);
}

/* Section 4.2.1.1. */
static bool
take_item_or_inner_list(struct slice *in, struct sf_item *item)
{
    return slice_take_char(in, '(') ? take_inner_list(in, item) : take_item(in, item);
}

/* ---- whole fields */

static bool
fail(struct sf_reader *reader)
{
    reader->is_wrong = true;
    return false;
}

void
sf_reader_init(struct sf_reader *reader, struct slice text)
{
    *reader = (struct sf_reader){ .rest = text, .is_wrong = text.bytes > SF_BYTES_MAX };
    skip_spaces(&reader->rest);
}

/* Whether there is a member to read; passes the comma before it. */
static bool
begin_member(struct sf_reader *reader)
{
    if (reader->is_wrong || reader->rest.bytes == 0)
        return false;
    if (reader->members == SF_MEMBERS_MAX)
        return fail(reader);
    if (reader->members++ > 0) {
        if (!slice_take_char(&reader->rest, ','))
            return fail(reader);
        skip_ows(&reader->rest);
    }
    return true;
}

/* What may follow a member is looked at now, so that the end is seen. */
static bool
end_member(struct sf_reader *reader)
{
    skip_ows(&reader->rest);
    return reader->rest.bytes == 0 || peek(&reader->rest) == ',' || fail(reader);
}

bool
sf_next_member(struct sf_reader *reader, struct slice *key, struct sf_item *item)
{
    bool is_right;

    if (!begin_member(reader))
        return false;
    if (!take_key(&reader->rest, key))
        return fail(reader);
    if (slice_take_char(&reader->rest, '=')) {
        is_right = take_item_or_inner_list(&reader->rest, item);
    } else {
        *item = (struct sf_item){ .type = SF_BOOLEAN, .number = 1 };
        is_right = take_parameters(&reader->rest, item);
    }
    return is_right ? end_member(reader) : fail(reader);
}

bool
sf_next_element(struct sf_reader *reader, struct sf_item *item)
{
    if (!begin_member(reader))
        return false;
    return take_item_or_inner_list(&reader->rest, item) ? end_member(reader) : fail(reader);
}

bool
sf_only_item(struct sf_reader *reader, struct sf_item *item)
{
    if (reader->is_wrong || !take_item(&reader->rest, item))
        return fail(reader);
    skip_spaces(&reader->rest);
    return reader->rest.bytes == 0 || fail(reader);
}

bool
sf_reader_is_done(const struct sf_reader *reader)
{
    return !reader->is_wrong && reader->rest.bytes == 0;
}

bool
sf_next_parameter(struct slice *parameters, struct slice *key, struct sf_item *value)
{
    return slice_take_char(parameters, ';') && take_parameter(parameters, key, value);
}

bool
sf_next_inner(struct slice *inner, struct sf_item *item)
{
    skip_spaces(inner);
    return inner->bytes > 0 && take_item(inner, item);
}
