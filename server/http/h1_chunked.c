/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_chunked.c - finds the content in a chunked body as it arrives.
 *
 *   SIZE --[EXTENSION]--> SIZE_LF --> DATA --> DATA_CR --> DATA_LF --> SIZE
 *                            '--(size 0)--> TRAILER --> TRAILER_LF -----> DONE
 *                                              '-----> TRAILER_LINES ---> DONE
 *
 * Each step takes from the input what it understands and names its successor.
 * All of them can go on in the middle, so a body in pieces of one byte means
 * what it means in one piece. Every CRLF has to be one, and nothing but an
 * extension may stand behind a size: what one reader forgives, another takes
 * for the end of a chunk.
 */
#include "config.h"

#include "server/http/h1_chunked.h"

#include "server/base/hex.h"
#include "server/http/scan.h"

enum state {
    READ_SIZE,
    READ_EXTENSION,
    READ_SIZE_LF,
    READ_DATA,
    READ_DATA_CR,
    READ_DATA_LF,
    READ_TRAILER,
    READ_TRAILER_LF,
    READ_TRAILER_LINES,
    IS_DONE,
    IS_BAD,
};

/* Places within chunk extensions: what the bytes so far were, or what is due. */
enum place {
    NOWHERE,
    SEMICOLON,
    NAME_START,
    NAME,
    NAME_END,
    VALUE_START,
    VALUE,
    QUOTED,
    ESCAPED,
    QUOTED_END,
    END,
};

enum {
    SIZE_DIGITS_MAX = 16,
    FIRST_TEXT_ROOM = 256,
};

/* A trailer section that has begun. The buffer is replaced as it grows. */
struct trailer_text {
    char *data;
    size_t bytes, room;
};

/* What a call works on. Steps find at < end. */
struct work {
    const char *at, *end;
    struct iovec *iov;
    unsigned room, slices;
};

/* Whether to go on: with the next step, or for more input. */
typedef bool step_fn(struct h1_chunked *c, struct work *work);

static bool
fail(struct h1_chunked *c)
{
    c->state = IS_BAD;
    return false;
}

static bool
read_byte(struct h1_chunked *c, struct work *work, char expected, enum state next)
{
    if (*work->at != expected)
        return fail(c);
    work->at++;
    c->state = (uint8_t)next;
    return true;
}

/* ---- SIZE */

/* Leading zeros count as digits, so that a size is never read for long. */
static bool
read_size(struct h1_chunked *c, struct work *work)
{
    for (; work->at < work->end; work->at++) {
        int digit = hex_value(*work->at);

        if (digit < 0)
            break;
        if (++c->digits > SIZE_DIGITS_MAX || c->left > INT64_MAX >> 4)
            return fail(c);
        c->left = c->left << 4 | (unsigned)digit;
    }
    if (work->at == work->end)
        return true;
    if (c->digits == 0)
        return fail(c);
    if (*work->at == '\r')
        return read_byte(c, work, '\r', READ_SIZE_LF);
    c->state = READ_EXTENSION;
    c->place = SEMICOLON;
    return true;
}

/* ---- EXTENSION: *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) */

enum byte_class {
    IS_CONTROL,
    IS_CR,
    IS_QUOTE,
    IS_BACKSLASH,
    IS_SPACE,
    IS_SEMICOLON,
    IS_EQUALS,
    IS_TOKEN,
    IS_OTHER,
    BYTE_CLASSES,
};

/* Where a byte leads to; NOWHERE when it is not named. */
static const uint8_t next_place[END][BYTE_CLASSES] = {
    [SEMICOLON] = { [IS_SPACE] = SEMICOLON, [IS_SEMICOLON] = NAME_START },
    [NAME_START] = { [IS_SPACE] = NAME_START, [IS_TOKEN] = NAME },
    [NAME] = { [IS_TOKEN] = NAME, [IS_SPACE] = NAME_END, [IS_SEMICOLON] = NAME_START,
               [IS_EQUALS] = VALUE_START, [IS_CR] = END },
    [NAME_END] = { [IS_SPACE] = NAME_END, [IS_SEMICOLON] = NAME_START, [IS_EQUALS] = VALUE_START },
    [VALUE_START] = { [IS_SPACE] = VALUE_START, [IS_TOKEN] = VALUE, [IS_QUOTE] = QUOTED },
    [VALUE] = { [IS_TOKEN] = VALUE, [IS_SPACE] = SEMICOLON, [IS_SEMICOLON] = NAME_START,
                [IS_CR] = END },
    [QUOTED] = { [IS_SPACE ... IS_OTHER] = QUOTED, [IS_BACKSLASH] = ESCAPED,
                 [IS_QUOTE] = QUOTED_END },
    [ESCAPED] = { [IS_QUOTE ... IS_OTHER] = QUOTED },
    [QUOTED_END] = { [IS_SPACE] = SEMICOLON, [IS_SEMICOLON] = NAME_START, [IS_CR] = END },
};

static enum byte_class
class_of(char c)
{
    switch (c) {
    case '\r':
        return IS_CR;
    case ' ':
    case '\t':
        return IS_SPACE;
    case ';':
        return IS_SEMICOLON;
    case '=':
        return IS_EQUALS;
    case '"':
        return IS_QUOTE;
    case '\\':
        return IS_BACKSLASH;
    default:
        return char_is(c, CHAR_TOKEN) ? IS_TOKEN : char_is(c, CHAR_TEXT) ? IS_OTHER : IS_CONTROL;
    }
}

static bool
read_extension(struct h1_chunked *c, struct work *work)
{
    while (work->at < work->end) {
        enum place place = next_place[c->place][class_of(*work->at)];

        if (place == NOWHERE || ++c->extension_bytes > H1_EXTENSION_BYTES_MAX)
            return fail(c);
        work->at++;
        c->place = (uint8_t)place;
        if (place == END) {
            c->state = READ_SIZE_LF;
            break;
        }
    }
    return true;
}

static bool
read_size_lf(struct h1_chunked *c, struct work *work)
{
    return read_byte(c, work, '\n', c->left > 0 ? READ_DATA : READ_TRAILER);
}

/* ---- DATA */

static bool
read_data(struct h1_chunked *c, struct work *work)
{
    size_t bytes = (size_t)(work->end - work->at);

    if (work->slices == work->room)
        return false;
    if (bytes > c->left)
        bytes = (size_t)c->left;
    work->iov[work->slices++] = (struct iovec){ (void *)work->at, bytes };
    work->at += bytes;
    c->left -= bytes;
    if (c->left == 0)
        c->state = READ_DATA_CR;
    return true;
}

static bool
read_data_cr(struct h1_chunked *c, struct work *work)
{
    return read_byte(c, work, '\r', READ_DATA_LF);
}

static bool
read_data_lf(struct h1_chunked *c, struct work *work)
{
    c->digits = 0;
    return read_byte(c, work, '\n', READ_SIZE);
}

/* ---- TRAILER: kept until it is whole, because its fields are slices of it */

static bool
read_trailer(struct h1_chunked *c, struct work *work)
{
    if (*work->at == '\r')
        return read_byte(c, work, '\r', READ_TRAILER_LF);
    c->text = arena_zalloc(c->arena, sizeof(*c->text));
    if (c->text == NULL)
        return fail(c);
    c->state = READ_TRAILER_LINES;
    return true;
}

static bool
read_trailer_lf(struct h1_chunked *c, struct work *work)
{
    return read_byte(c, work, '\n', IS_DONE);
}

/* Makes room for bytes more. */
static bool
grow(struct trailer_text *text, struct arena *arena, size_t bytes)
{
    size_t room = text->room > 0 ? text->room : FIRST_TEXT_ROOM;
    char *data;

    if (bytes <= text->room - text->bytes)
        return true;
    while (room - text->bytes < bytes)
        room *= 2;
    data = arena_alloc(arena, room);
    if (data == NULL)
        return false;
    if (text->bytes > 0)
        memcpy(data, text->data, text->bytes);
    text->data = data;
    text->room = room;
    return true;
}

static bool
keep(struct h1_chunked *c, const char *data, size_t bytes)
{
    struct trailer_text *text = c->text;

    if (bytes > c->limits->head_bytes - text->bytes || !grow(text, c->arena, bytes))
        return false;
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    return true;
}

static bool
is_unwelcome(const struct field *field, void *arg)
{
    (void)arg;
    return (field->flags & (FIELD_HOP | FIELD_FRAMING | FIELD_KEEP_NOMINATED)) != 0;
}

static bool
parse_trailers(struct h1_chunked *c)
{
    struct fields fields = { 0 };
    struct h1_refusal refusal;

    if (h1_parse_fields(slice_make(c->text->data, c->text->bytes), c->arena, c->limits, &fields,
                        &refusal) < 0)
        return fail(c);
    fields_remove_if(&fields, is_unwelcome, NULL);
    *c->trailers = fields;
    c->state = IS_DONE;
    return true;
}

/* A line at a time. The section is whole when a line of CRLF alone follows. */
static bool
read_trailer_lines(struct h1_chunked *c, struct work *work)
{
    size_t there = (size_t)(work->end - work->at);
    const char *feed = memchr(work->at, '\n', there);
    size_t bytes = feed != NULL ? (size_t)(feed - work->at) + 1 : there;
    struct slice text;

    if (!keep(c, work->at, bytes))
        return fail(c);
    work->at += bytes;
    if (feed == NULL)
        return true;
    text = slice_make(c->text->data, c->text->bytes);
    if (text.bytes < 2 || text.data[text.bytes - 2] != '\r')
        return fail(c);
    return text.bytes > 2 && text.data[text.bytes - 3] == '\n' ? parse_trailers(c) : true;
}

/* ---- the whole */

static step_fn *const steps[] = {
    [READ_SIZE] = read_size,
    [READ_EXTENSION] = read_extension,
    [READ_SIZE_LF] = read_size_lf,
    [READ_DATA] = read_data,
    [READ_DATA_CR] = read_data_cr,
    [READ_DATA_LF] = read_data_lf,
    [READ_TRAILER] = read_trailer,
    [READ_TRAILER_LF] = read_trailer_lf,
    [READ_TRAILER_LINES] = read_trailer_lines,
};

void
h1_chunked_init(struct h1_chunked *c, struct arena *arena, const struct h1_limits *limits,
                struct fields *trailers)
{
    *c = (struct h1_chunked){ .arena = arena, .limits = limits, .trailers = trailers };
}

enum chunked_progress
h1_chunked_decode(struct h1_chunked *c, struct slice input, struct iovec *iov, unsigned room,
                  unsigned *slices, size_t *consumed)
{
    struct work work = { input.data, input.data + input.bytes, iov, room, 0 };

    while (work.at < work.end && c->state < IS_DONE)
        if (!steps[c->state](c, &work))
            break;
    *slices = work.slices;
    *consumed = (size_t)(work.at - input.data);
    if (c->state == IS_DONE)
        return CHUNKED_DONE;
    if (c->state == IS_BAD)
        return CHUNKED_BAD;
    return work.at < work.end ? CHUNKED_ROOM : CHUNKED_NEED_INPUT;
}
