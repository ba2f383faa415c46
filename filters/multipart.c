/* SPDX-License-Identifier: BSD-2-Clause */
/* multipart.c - from boundary to boundary.
 *
 *     START --> AFTER_BOUNDARY --> HEAD --> CONTENT --.
 *                  | ^                                |
 *                  | '--------------------------------'
 *                  '--("--")--> EPILOGUE
 *
 * What may be the beginning of a boundary is held back by counting how much of it was seen,
 * since those bytes are known.
 */
#include "config.h"

#include "filters/multipart.h"

#include "filters/content_field.h"
#include "server/base/must.h"

#define HEADER_BYTES 4096u
#define HEADERS 16u
#define PARTS 1000u

enum { START, AFTER_BOUNDARY, HEAD, CONTENT, EPILOGUE, FAILED };

static enum multipart_event
fail(struct multipart *form, const char *error)
{
    form->error = error;
    form->state = FAILED;
    return MULTIPART_ERROR;
}

/* ---- the boundary */

bool
multipart_is_form(struct slice content_type)
{
    static const struct slice form = SLICE_INIT("multipart/form-data");
    struct slice type = content_field_value(content_type);
    char next = type.bytes > form.bytes ? type.data[form.bytes] : ' ';

    return type.bytes >= form.bytes && strchr(" \t,;", next) != NULL &&
           slice_equal_nocase(slice_make(type.data, form.bytes), form);
}

/* RFC 2046 section 5.1.1: bcharsnospace, and space but at the end. */
static bool
is_boundary(struct slice text)
{
    static const char marks[] = "'()+_,-./:=? ";

    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.data[i];

        if (!(ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') && !ascii_is_digit(c) &&
            (c == '\0' || strchr(marks, c) == NULL))
            return false;
    }
    return text.bytes > 0 && text.data[text.bytes - 1] != ' ';
}

/* The first place of word in text, in either case, and what follows. */
static void
find_word(struct slice text, struct slice word, struct slice *found)
{
    while (text.bytes >= word.bytes &&
           !slice_equal_nocase(slice_make(text.data, word.bytes), word))
        text = slice_skip(text, 1);
    *found = text;
}

const char *
multipart_boundary(struct slice field, char *boundary, size_t *bytes)
{
    enum parameter_result result;
    struct parameter p;
    struct slice first = { NULL, 0 };
    bool is_found = false;

    if (content_field_take_value(&field).bytes != sizeof("multipart/form-data") - 1)
        return "the Content-Type of a form is malformed";
    find_word(field, SLICE("boundary"), &first);
    while ((result = parameter_next(&field, &p)) == PARAMETER_FOUND) {
        if (!slice_equal_nocase(p.name, SLICE("boundary")))
            continue;
        if (is_found || p.is_extended || p.name.data != first.data) /* PHP takes the first */
            return "the boundary is given in more than one way";
        if (p.value.bytes > MULTIPART_BOUNDARY_MAX)
            return "the boundary is longer than 70 bytes";
        if (!is_boundary(p.value))
            return "the boundary has other characters than a boundary may have";
        memcpy(boundary, p.value.data, p.value.bytes);
        *bytes = p.value.bytes;
        is_found = true;
    }
    if (result == PARAMETER_BAD)
        return "a parameter of Content-Type is malformed";
    return is_found ? NULL : "there is no boundary";
}

/* ---- between parts */

/* Before the first boundary there is nothing, or an empty line: of a preamble, receivers
 * that take a bare line feed for the end of a line could make parts. */
static enum multipart_event
read_start(struct multipart *form, struct slice *in, struct slice *data)
{
    (void)data;
    while (in->bytes > 0 && form->matched < form->delimiter_bytes) {
        if (form->matched == 2 && form->from == 2 && in->data[0] == '\r')
            form->matched = form->from = 0;
        if (in->data[0] != form->delimiter[form->matched])
            return fail(form, "the content does not begin with the boundary");
        form->matched++;
        *in = slice_skip(*in, 1);
    }
    if (form->matched == form->delimiter_bytes) {
        form->state = AFTER_BOUNDARY;
        form->matched = 0;
    }
    return MULTIPART_MORE;
}

/* A line end, or the two hyphens of the last boundary. matched counts. */
static enum multipart_event
read_after_boundary(struct multipart *form, struct slice *in, struct slice *data)
{
    char c = in->data[0];

    (void)data;
    *in = slice_skip(*in, 1);
    if (form->matched == 0 && (c == '\r' || c == '-')) {
        form->matched = c == '\r' ? 1 : 2;
        return MULTIPART_MORE;
    }
    if ((form->matched == 1 && c != '\n') || (form->matched == 2 && c != '-') ||
        form->matched == 0)
        return fail(form, "something stands behind a boundary, on its line");
    form->state = form->matched == 1 ? HEAD : EPILOGUE;
    form->matched = 0;
    form->part = (struct multipart_part){ .name = { NULL, 0 } };
    form->head_bytes = form->line_start = form->lines = 0;
    form->has_type = form->has_disposition = false;
    if (form->state == HEAD && form->parts++ == form->limits.parts)
        return fail(form, "there are too many parts");
    return MULTIPART_MORE;
}

static enum multipart_event
read_epilogue(struct multipart *form, struct slice *in, struct slice *data)
{
    (void)data;
    for (size_t i = 0; i < in->bytes; i++)
        if (in->data[i] != '\r' && in->data[i] != '\n')
            return fail(form, "something follows the last boundary");
    *in = slice_skip(*in, in->bytes);
    return MULTIPART_MORE;
}

/* ---- the header of a part */

/* Where the parameter's value lies is our own memory. */
static struct slice
decode_in_place(struct multipart *form, const struct parameter *p)
{
    return parameter_decode(p, form->head + (p->value.data - form->head));
}

static const char *
read_parameter(struct multipart *form, const struct parameter *p)
{
    struct multipart_part *part = &form->part;
    struct slice *to = NULL;

    if (slice_equal_nocase(p->name, SLICE("filename")))
        to = p->is_extended ? &part->filename_star : &part->filename;
    else if (slice_equal_nocase(p->name, SLICE("name")) && !p->is_extended)
        to = &part->name;
    else if (slice_find(p->name, '*') >= 0 || p->is_extended) /* RFC 2231: filename*0= */
        return "a parameter of Content-Disposition is in parts";
    if (to == NULL)
        return NULL;
    if (to->data != NULL)
        return "a parameter of Content-Disposition stands there twice";
    if (memchr(p->value.data, '"', p->value.bytes) != NULL) /* some end there, some go on */
        return "a name has a quote in it";
    *to = decode_in_place(form, p);
    if (memchr(to->data, '\0', to->bytes) != NULL)
        return "a file name has a NUL in it";
    return NULL;
}

/* RFC 7578 section 4.2. */
static const char *
read_disposition(struct multipart *form, struct slice value)
{
    enum parameter_result result;
    const char *error = NULL;
    struct parameter p;

    if (form->has_disposition)
        return "a part has two fields Content-Disposition";
    form->has_disposition = true;
    if (!slice_equal_nocase(content_field_take_value(&value), SLICE("form-data")))
        return "the Content-Disposition of a part is not form-data";
    while (error == NULL && (result = parameter_next(&value, &p)) != PARAMETER_END)
        error = result == PARAMETER_BAD ? "a Content-Disposition is malformed"
                                        : read_parameter(form, &p);
    if (error == NULL && form->part.name.data == NULL)
        error = "a part has no name";
    return error;
}

/* Receivers would have to decode others, and most do not: RFC 7578 section 4.7. */
static bool
is_plain_encoding(struct slice value)
{
    return slice_equal_nocase(value, SLICE("binary")) ||
           slice_equal_nocase(value, SLICE("8bit")) || slice_equal_nocase(value, SLICE("7bit"));
}

static bool
is_multipart(struct slice type)
{
    static const struct slice start = SLICE_INIT("multipart/");

    if (type.bytes > start.bytes)
        type.bytes = start.bytes;
    return slice_equal_nocase(type, start);
}

static bool
is_name(struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++)
        if (!(ascii_lower(name.data[i]) >= 'a' && ascii_lower(name.data[i]) <= 'z') &&
            !ascii_is_digit(name.data[i]) && name.data[i] != '-' && name.data[i] != '_')
            return false;
    return name.bytes > 0;
}

static const char *
read_line(struct multipart *form, struct slice line)
{
    ptrdiff_t colon = slice_find(line, ':');
    struct slice name, value;

    for (size_t i = 0; i < line.bytes; i++)
        if (((unsigned char)line.data[i] < ' ' && line.data[i] != '\t') || line.data[i] == 0x7f)
            return "a control character stands in the header of a part";
    if (form->lines++ == form->limits.headers)
        return "the header of a part has too many lines";
    if (colon < 0 || !is_name(slice_make(line.data, (size_t)colon)))
        return "a line in the header of a part is no field";
    name = slice_make(line.data, (size_t)colon);
    value = slice_trim(slice_skip(line, (size_t)colon + 1));
    if (slice_equal_nocase(name, SLICE("Content-Disposition")))
        return read_disposition(form, value);
    if (slice_equal_nocase(name, SLICE("Content-Transfer-Encoding")))
        return is_plain_encoding(value) ? NULL : "a part has a transfer encoding";
    if (!slice_equal_nocase(name, SLICE("Content-Type")))
        return NULL;
    if (form->has_type)
        return "a part has two fields Content-Type";
    form->has_type = true;
    form->part.content_type = value;
    if (is_multipart(value)) /* RFC 7578 section 4.3: a few read the files in there */
        return "a part has parts itself";
    return NULL;
}

static enum multipart_event
begin_content(struct multipart *form)
{
    if (!form->has_disposition)
        return fail(form, "a part has no Content-Disposition");
    form->state = CONTENT;
    /* A boundary that comes at once would share its line end with the header. */
    form->matched = form->from = 2;
    return MULTIPART_PART;
}

/* Lines end with CR LF: a line feed alone would be one for some receivers only. */
static enum multipart_event
read_head(struct multipart *form, struct slice *in, struct slice *data)
{
    (void)data;
    while (in->bytes > 0) {
        const char *feed = memchr(in->data, '\n', in->bytes), *error;
        size_t bytes = feed != NULL ? (size_t)(feed - in->data) + 1 : in->bytes;
        struct slice line;

        if (bytes > form->limits.header_bytes - form->head_bytes)
            return fail(form, "the header of a part is too long");
        memcpy(form->head + form->head_bytes, in->data, bytes);
        form->head_bytes += (unsigned)bytes;
        *in = slice_skip(*in, bytes);
        if (feed == NULL)
            break;
        line = slice_make(form->head + form->line_start, form->head_bytes - form->line_start - 1);
        form->line_start = form->head_bytes;
        if (line.bytes == 0 || line.data[line.bytes - 1] != '\r')
            return fail(form, "a line in the header of a part ends without CR");
        if (--line.bytes == 0)
            return begin_content(form);
        error = read_line(form, line);
        if (error != NULL)
            return fail(form, error);
    }
    return MULTIPART_MORE;
}

/* ---- the content of a part */

/* What was held back is no boundary. */
static enum multipart_event
give_back(struct multipart *form, struct slice *data)
{
    *data = slice_make(form->delimiter + form->from, (size_t)(form->matched - form->from));
    form->matched = form->from = 0;
    return data->bytes > 0 ? MULTIPART_DATA : MULTIPART_MORE;
}

static enum multipart_event
end_part(struct multipart *form)
{
    if (form->from == 1)
        return fail(form, "a boundary stands behind a bare line feed");
    if (form->from == 2)
        return fail(form, "a boundary stands right behind the header of a part");
    form->matched = form->from = 0;
    form->state = AFTER_BOUNDARY;
    return MULTIPART_PART_END;
}

/* Within what may be a boundary. */
static enum multipart_event
match_on(struct multipart *form, struct slice *in, struct slice *data)
{
    while (in->bytes > 0 && form->matched < form->delimiter_bytes) {
        if (in->data[0] != form->delimiter[form->matched])
            return give_back(form, data);
        form->matched++;
        *in = slice_skip(*in, 1);
    }
    return form->matched == form->delimiter_bytes ? end_part(form) : MULTIPART_MORE;
}

/* How many bytes at the end of text may be the beginning of a boundary. */
static size_t
tail_to_hold(const struct multipart *form, struct slice text)
{
    size_t most = form->delimiter_bytes - 1, start = text.bytes > most ? text.bytes - most : 0;
    const char *feed = memrchr(text.data + start, '\n', text.bytes - start);
    size_t bytes;

    if (text.data[text.bytes - 1] == '\r')
        return 1;
    if (feed == NULL)
        return 0;
    bytes = (size_t)(text.data + text.bytes - feed);
    if (memcmp(feed, form->delimiter + 1, bytes) != 0)
        return 0;
    return feed > text.data && feed[-1] == '\r' ? bytes + 1 : bytes;
}

static enum multipart_event
read_content(struct multipart *form, struct slice *in, struct slice *data)
{
    const char *found;
    size_t hold;

    if (form->matched > 0)
        return match_on(form, in, data);
    found = memmem(in->data, in->bytes, form->delimiter + 1, form->delimiter_bytes - 1);
    if (found != NULL) {
        bool has_return = found > in->data && found[-1] == '\r';

        *data = slice_make(in->data, (size_t)(found - in->data) - has_return);
        hold = form->delimiter_bytes - !has_return;
    } else {
        hold = tail_to_hold(form, *in);
        *data = slice_make(in->data, in->bytes - hold);
    }
    if (hold > 0) {
        form->from = in->data[data->bytes] == '\n';
        form->matched = (uint8_t)(form->from + hold);
    }
    *in = slice_skip(*in, data->bytes + hold);
    return data->bytes > 0 ? MULTIPART_DATA : MULTIPART_MORE;
}

/* ---- the whole */

typedef enum multipart_event read_fn(struct multipart *form, struct slice *in,
                                     struct slice *data);

static read_fn *const readers[] = {
    [START] = read_start,     [AFTER_BOUNDARY] = read_after_boundary,
    [HEAD] = read_head,       [CONTENT] = read_content,
    [EPILOGUE] = read_epilogue,
};

int
multipart_init(struct multipart *form, struct slice boundary,
               const struct multipart_limits *limits, struct arena *arena)
{
    must(boundary.bytes > 0 && boundary.bytes <= MULTIPART_BOUNDARY_MAX);
    *form = (struct multipart){ .matched = 2, .from = 2 };
    if (limits != NULL)
        form->limits = *limits;
    if (form->limits.header_bytes == 0)
        form->limits.header_bytes = HEADER_BYTES;
    if (form->limits.headers == 0)
        form->limits.headers = HEADERS;
    if (form->limits.parts == 0)
        form->limits.parts = PARTS;
    memcpy(form->delimiter, "\r\n--", 4);
    memcpy(form->delimiter + 4, boundary.data, boundary.bytes);
    form->delimiter_bytes = (unsigned)boundary.bytes + 4;
    form->head = arena_alloc(arena, form->limits.header_bytes);
    return form->head != NULL ? 0 : -1;
}

enum multipart_event
multipart_next(struct multipart *form, struct slice *in, struct slice *data)
{
    enum multipart_event event = MULTIPART_MORE;

    if (form->state == FAILED)
        return MULTIPART_ERROR;
    /* A whole boundary that was found in one look is acted on without further input. */
    if (form->state == CONTENT && form->matched == form->delimiter_bytes)
        return end_part(form);
    while (event == MULTIPART_MORE && in->bytes > 0) {
        event = readers[form->state](form, in, data);
        if (event == MULTIPART_MORE && form->state == CONTENT &&
            form->matched == form->delimiter_bytes)
            event = end_part(form);
    }
    return event;
}

const char *
multipart_finish(const struct multipart *form)
{
    if (form->state == FAILED)
        return form->error;
    return form->state == EPILOGUE ? NULL : "the form ends before its last boundary";
}
