/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_reader.c - ICAP answers (RFC 3507 sections 4.3.2, 4.4), with the partial content of
 * draft-icap-ext-partial-content.
 *
 *   HEAD --> HEADS --> (ICAP_HEAD) --> SIZE --> EXTENSION --> SIZE_LF --> DATA --> DATA_CR
 *     |        ^            |           ^                        |                    |
 *     '--------'            |           '-------- DATA_LF <------|--------------------'
 *                           '--> END <-- TRAILER_LF <-- TRAILER <'  (size zero)
 */
#include "config.h"

#include "filters/icap_reader.h"

#include "server/base/hex.h"
#include "server/http/h1_parse.h"

#include <stdlib.h>

enum state {
    HEAD, HEADS, TOLD, SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, END,
    BAD,
};

#define TEXT_ROOM_MIN 512u
#define SIZE_DIGITS_MAX 15

static const struct h1_limits limits = { 8 * 1024, ICAP_HEAD_BYTES_MAX, 128 };

/* What a step works on. */
struct work {
    const char *at, *end;
    struct iovec *iov;
    unsigned room, count;
};

void
icap_reader_init(struct icap_reader *reader, struct arena *arena)
{
    *reader = (struct icap_reader){
        .arena = arena, .original_at = ICAP_NO_ORIGINAL, .request_at = SIZE_MAX,
        .response_at = SIZE_MAX,
    };
}

void
icap_reader_fini(struct icap_reader *reader)
{
    free(reader->text);
    reader->text = NULL;
    reader->text_bytes = reader->text_room = 0;
}

static bool
refuse(struct icap_reader *reader, const char *why)
{
    reader->state = BAD;
    reader->why = why;
    return false;
}

/* ---- the ICAP head */

/* "ICAP/1.0 204 No Content": three digits, and a phrase that may be missing. */
static bool
parse_status_line(struct icap_reader *reader, struct slice line)
{
    uint64_t status;

    if (!slice_starts_with(line, SLICE("ICAP/1.0 ")) || line.bytes < 12 ||
        (line.bytes > 12 && line.data[12] != ' ') ||
        !slice_to_u64(slice_make(line.data + 9, 3), 599, &status) || status < 100)
        return refuse(reader, "its answer does not begin with an ICAP status line");
    reader->reply.status = (unsigned)status;
    return true;
}

/* One element of Encapsulated: a name and where that part begins. Offsets grow; the body
 * is the last part (RFC 3507 section 4.4.1). */
static bool
parse_part(struct icap_reader *reader, struct slice element, bool *has_body)
{
    static const struct {
        struct slice name;
        enum icap_body body;
    } bodies[] = {
        { SLICE_INIT("null-body"), ICAP_NULL_BODY },
        { SLICE_INIT("req-body"), ICAP_REQUEST_BODY },
        { SLICE_INIT("res-body"), ICAP_RESPONSE_BODY },
        { SLICE_INIT("opt-body"), ICAP_OPTIONS_BODY },
    };
    ptrdiff_t equals = slice_find(element, '=');
    struct slice name = slice_make(element.data, equals > 0 ? (size_t)equals : 0);
    uint64_t at;

    if (equals <= 0 || *has_body ||
        !slice_to_u64(slice_skip(element, (size_t)equals + 1), ICAP_ENCAPSULATED_BYTES_MAX, &at))
        return false;
    if (slice_equal_nocase(name, SLICE("req-hdr"))) {
        if (reader->request_at != SIZE_MAX || reader->response_at != SIZE_MAX)
            return false;
        reader->request_at = at;
        return at == 0;
    }
    if (slice_equal_nocase(name, SLICE("res-hdr"))) {
        bool is_second = reader->request_at != SIZE_MAX;

        if (reader->response_at != SIZE_MAX || is_second != (at > 0))
            return false;
        reader->response_at = at;
        return true;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(bodies); i++)
        if (slice_equal_nocase(name, bodies[i].name)) {
            reader->reply.body = bodies[i].body;
            reader->heads_end = at;
            *has_body = true;
            return true;
        }
    return false;
}

/* Whether the parts suit each other: none is empty, the content is that of the last head. */
static bool
parts_agree(const struct icap_reader *reader)
{
    size_t last = reader->response_at != SIZE_MAX ? reader->response_at : reader->request_at;
    bool has_head = last != SIZE_MAX;

    if (has_head ? reader->heads_end <= last : reader->heads_end > 0)
        return false;
    switch (reader->reply.body) {
    case ICAP_NULL_BODY:
        return true;
    case ICAP_REQUEST_BODY:
        return reader->request_at != SIZE_MAX && reader->response_at == SIZE_MAX;
    case ICAP_RESPONSE_BODY:
        return reader->response_at != SIZE_MAX;
    case ICAP_OPTIONS_BODY:
        return !has_head;
    }
    return false;
}

static bool
has_several_encapsulated(const struct fields *fields)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < fields->count; i++)
        count += slice_equal_nocase(fields->items[i].name, SLICE("Encapsulated"));
    return count > 1;
}

static bool
parse_encapsulated(struct icap_reader *reader)
{
    const struct field *field = fields_find_name(&reader->reply.fields, SLICE("Encapsulated"));
    bool has_body = false;
    struct slice list, element;

    if (has_several_encapsulated(&reader->reply.fields))
        return refuse(reader, "its answer has several Encapsulated fields");
    if (field == NULL) {
        if (reader->reply.status == 200 || reader->reply.status == 206)
            reader->reply.is_last = true; /* nothing can be known of what follows */
        return true;
    }
    list = field->value;
    while (slice_next_element(&list, &element))
        if (!parse_part(reader, element, &has_body))
            return refuse(reader, "its answer has an Encapsulated field that makes no sense");
    if (!has_body || !parts_agree(reader))
        return refuse(reader, "its answer has an Encapsulated field that makes no sense");
    return true;
}

static bool
parse_head(struct icap_reader *reader)
{
    struct slice head = arena_copy(reader->arena,
                                   slice_make(reader->text, reader->text_bytes));
    ptrdiff_t end = slice_find(head, '\r');
    const struct field *connection;
    struct h1_refusal refusal;

    icap_reader_fini(reader);
    if (head.bytes == 0)
        return refuse(reader, "its answer does not fit into the exchange's memory");
    if (!parse_status_line(reader, slice_make(head.data, (size_t)end)))
        return false;
    if (head.data[end + 1] != '\n' ||
        h1_parse_fields(slice_skip(head, (size_t)end + 2), reader->arena, &limits,
                        &reader->reply.fields, &refusal) < 0)
        return refuse(reader, "its answer has a malformed field");
    connection = fields_find(&reader->reply.fields, FIELD_CONNECTION);
    reader->reply.is_last = connection != NULL &&
                            slice_list_has(connection->value, SLICE("close"));
    return parse_encapsulated(reader);
}

static bool
keep_byte(struct icap_reader *reader, char c)
{
    if (reader->text_bytes == reader->text_room) {
        size_t room = reader->text_room > 0 ? reader->text_room * 2 : TEXT_ROOM_MIN;
        char *text = room <= ICAP_HEAD_BYTES_MAX ? realloc(reader->text, room) : NULL;

        if (text == NULL)
            return refuse(reader, "the head of its answer is too long");
        reader->text = text;
        reader->text_room = room;
    }
    reader->text[reader->text_bytes++] = c;
    return true;
}

static bool
read_head(struct icap_reader *reader, struct work *work)
{
    while (work->at < work->end) {
        char c = *work->at++;

        if (!keep_byte(reader, c))
            return false;
        if (c != '\n' || reader->text_bytes < 4 ||
            memcmp(reader->text + reader->text_bytes - 4, "\r\n\r\n", 4) != 0)
            continue;
        if (!parse_head(reader))
            return false;
        reader->state = HEADS;
        return true;
    }
    return false;
}

/* ---- the encapsulated heads */

static struct slice
part(const struct icap_reader *reader, size_t at, size_t end)
{
    return at != SIZE_MAX ? slice_make(reader->heads + at, end - at) : slice_make(NULL, 0);
}

static bool
read_heads(struct icap_reader *reader, struct work *work)
{
    size_t left = reader->heads_end - reader->heads_bytes, here = (size_t)(work->end - work->at);
    bool has_both = reader->response_at != SIZE_MAX;

    if (reader->heads == NULL && left > 0) {
        reader->heads = arena_alloc(reader->arena, left);
        if (reader->heads == NULL)
            return refuse(reader, "its answer does not fit into the exchange's memory");
    }
    if (here > left)
        here = left;
    if (here > 0)
        memcpy(reader->heads + reader->heads_bytes, work->at, here);
    reader->heads_bytes += here;
    work->at += here;
    if (here < left)
        return false;
    reader->reply.request_head = part(reader, reader->request_at,
                                      has_both ? reader->response_at : reader->heads_end);
    reader->reply.response_head = part(reader, reader->response_at, reader->heads_end);
    reader->state = TOLD;
    return false;
}

/* ---- the content */

static bool
read_size(struct icap_reader *reader, struct work *work)
{
    while (work->at < work->end) {
        int digit = hex_value(*work->at);

        if (digit < 0)
            break;
        if (++reader->digits > SIZE_DIGITS_MAX)
            return refuse(reader, "its content has a chunk that is too long");
        reader->left = reader->left << 4 | (unsigned)digit;
        work->at++;
    }
    if (work->at == work->end)
        return false;
    if (reader->digits == 0)
        return refuse(reader, "its content has a malformed chunk size");
    reader->extension_bytes = 0;
    reader->state = EXTENSION;
    return true;
}

/* "; use-original-body=123" of the last chunk. Others mean nothing to us. */
static bool
parse_extension(struct icap_reader *reader)
{
    static const struct slice name = SLICE_INIT("use-original-body");
    struct slice rest = slice_trim(slice_make(reader->extension, reader->extension_bytes));

    if (rest.bytes > 0 && rest.data[0] != ';')
        return refuse(reader, "its content has a malformed chunk size");
    if (rest.bytes == 0 || reader->left > 0 || reader->reply.status != 206)
        return true;
    rest = slice_trim(slice_skip(rest, 1));
    if (rest.bytes <= name.bytes || rest.data[name.bytes] != '=' ||
        !slice_equal_nocase(slice_make(rest.data, name.bytes), name))
        return true;
    if (!slice_to_u64(slice_skip(rest, name.bytes + 1), INT64_MAX, &reader->original_at))
        return refuse(reader, "its use-original-body makes no sense");
    return true;
}

static bool
read_extension(struct icap_reader *reader, struct work *work)
{
    for (; work->at < work->end && *work->at != '\r'; work->at++) {
        if (*work->at == '\n' || reader->extension_bytes == ICAP_EXTENSION_BYTES_MAX)
            return refuse(reader, "its content has a malformed chunk size");
        reader->extension[reader->extension_bytes++] = *work->at;
    }
    if (work->at == work->end)
        return false;
    work->at++;
    if (!parse_extension(reader))
        return false;
    reader->state = SIZE_LF;
    return true;
}

/* True: it is there, and next is to come. */
static bool
read_byte(struct icap_reader *reader, struct work *work, char byte, enum state next)
{
    if (work->at == work->end)
        return false;
    if (*work->at != byte)
        return refuse(reader, "its content has a malformed chunk");
    work->at++;
    reader->state = (uint8_t)next;
    return true;
}

static bool
read_size_lf(struct icap_reader *reader, struct work *work)
{
    reader->is_line_empty = true;
    return read_byte(reader, work, '\n', reader->left > 0 ? DATA : TRAILER);
}

static bool
read_data(struct icap_reader *reader, struct work *work)
{
    size_t bytes = (size_t)(work->end - work->at);

    if (bytes == 0 || work->count == work->room)
        return false;
    if (bytes > reader->left)
        bytes = (size_t)reader->left;
    work->iov[work->count++] = (struct iovec){ (void *)work->at, bytes };
    work->at += bytes;
    reader->left -= bytes;
    if (reader->left > 0)
        return false;
    reader->state = DATA_CR;
    return true;
}

static bool
read_data_cr(struct icap_reader *reader, struct work *work)
{
    return read_byte(reader, work, '\r', DATA_LF);
}

static bool
read_data_lf(struct icap_reader *reader, struct work *work)
{
    reader->digits = 0;
    return read_byte(reader, work, '\n', SIZE);
}

/* Trailers are read past: they say nothing that is needed. */
static bool
read_trailer(struct icap_reader *reader, struct work *work)
{
    for (; work->at < work->end && *work->at != '\r'; work->at++) {
        if (*work->at == '\n' || ++reader->trailer_bytes > ICAP_TRAILER_BYTES_MAX)
            return refuse(reader, "its content has malformed trailers");
        reader->is_line_empty = false;
    }
    return read_byte(reader, work, '\r', TRAILER_LF);
}

static bool
read_trailer_lf(struct icap_reader *reader, struct work *work)
{
    if (!read_byte(reader, work, '\n', reader->is_line_empty ? END : TRAILER))
        return false;
    reader->is_line_empty = true;
    return true;
}

/* Each returns whether to go on with the state that it has set. */
static bool (*const steps[])(struct icap_reader *, struct work *) = {
    [HEAD] = read_head,
    [HEADS] = read_heads,
    [SIZE] = read_size,
    [EXTENSION] = read_extension,
    [SIZE_LF] = read_size_lf,
    [DATA] = read_data,
    [DATA_CR] = read_data_cr,
    [DATA_LF] = read_data_lf,
    [TRAILER] = read_trailer,
    [TRAILER_LF] = read_trailer_lf,
};

static enum icap_progress
progress_of(const struct icap_reader *reader, const struct work *work)
{
    if (reader->state == BAD)
        return ICAP_BAD;
    if (reader->state == END)
        return ICAP_DONE;
    return work->at < work->end ? ICAP_ROOM : ICAP_NEED_INPUT;
}

enum icap_progress
icap_read(struct icap_reader *reader, struct slice input, struct iovec *iov, unsigned room,
          unsigned *slices, size_t *consumed)
{
    struct work work = { input.data, input.data + input.bytes, iov, room, 0 };
    bool was_told = reader->state == TOLD;

    if (was_told)
        reader->state = reader->reply.body == ICAP_NULL_BODY ? END : SIZE;
    while (reader->state != END && reader->state != BAD && reader->state != TOLD &&
           steps[reader->state](reader, &work))
        ;
    *slices = work.count;
    *consumed = (size_t)(work.at - input.data);
    return reader->state == TOLD ? ICAP_HEAD : progress_of(reader, &work);
}
