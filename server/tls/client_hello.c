/* SPDX-License-Identifier: BSD-2-Clause */
/* client_hello.c - reads the first message of a TLS connection for its name.
 *
 *   record: type 22 | version | length | a piece of the message
 *   message: type 1 | length | version | random | session | suites | compression | extensions
 *
 * A message may be spread over records as its sender likes, so it is put together
 * first, once its last byte is there. All lengths are checked, those of what is
 * passed over too: whoever reads the message after us must not find another name
 * in it.
 */
#include "config.h"

#include "server/tls/client_hello.h"

#include "server/host_map.h"

#define RECORD_HEADER_BYTES 5
#define RECORD_BYTES_MAX (16u * 1024) /* RFC 8446 section 5.1 */
#define RECORD_HANDSHAKE 22
#define MESSAGE_HEADER_BYTES 4
#define MESSAGE_CLIENT_HELLO 1
#define RANDOM_BYTES 32
#define SESSION_BYTES_MAX 32
#define EXTENSION_SERVER_NAME 0
#define NAME_HOST 0

/* ---- numbers and lengths, big-endian; false: there are not so many bytes */

static bool
take(struct slice *from, size_t bytes, struct slice *piece)
{
    if (from->bytes < bytes)
        return false;
    *piece = slice_make(from->data, bytes);
    *from = slice_skip(*from, bytes);
    return true;
}

static bool
take_number(struct slice *from, size_t bytes, size_t *value)
{
    struct slice digits;

    if (!take(from, bytes, &digits))
        return false;
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value = *value << 8 | (unsigned char)digits.data[i];
    return true;
}

/* A vector: its length in so many bytes, then that much. */
static bool
take_vector(struct slice *from, size_t length_bytes, struct slice *vector)
{
    size_t bytes;

    return take_number(from, length_bytes, &bytes) && take(from, bytes, vector);
}

/* ---- records */

/* Takes the next record off, with what has come of its piece of the message, of
 * which *missing bytes are still to come. */
static enum client_hello_result
take_record(struct slice *from, struct slice *piece, size_t *missing)
{
    const unsigned char *head = (const unsigned char *)from->data;
    size_t bytes;

    if ((from->bytes > 0 && head[0] != RECORD_HANDSHAKE) || (from->bytes > 1 && head[1] != 3))
        return CLIENT_HELLO_BAD;
    if (from->bytes < RECORD_HEADER_BYTES)
        return CLIENT_HELLO_MORE;
    bytes = (size_t)head[3] << 8 | head[4];
    if (bytes == 0 || bytes > RECORD_BYTES_MAX)
        return CLIENT_HELLO_BAD;
    *from = slice_skip(*from, RECORD_HEADER_BYTES);
    *piece = slice_make(from->data, bytes < from->bytes ? bytes : from->bytes);
    *missing = bytes - piece->bytes;
    *from = slice_skip(*from, bytes);
    return CLIENT_HELLO_OK;
}

/* The message's length as soon as its header is there, which must be a
 * ClientHello's. */
static enum client_hello_result
check_header(struct slice message, size_t *bytes)
{
    size_t type;

    if (message.bytes > 0 && message.data[0] != MESSAGE_CLIENT_HELLO)
        return CLIENT_HELLO_BAD;
    if (!take_number(&message, 1, &type) || !take_number(&message, 3, bytes))
        return CLIENT_HELLO_MORE;
    *bytes += MESSAGE_HEADER_BYTES;
    return *bytes <= CLIENT_HELLO_MAX ? CLIENT_HELLO_OK : CLIENT_HELLO_BAD;
}

/* Puts a piece behind what there is, which is left where it came as long as it is
 * the only one. */
static bool
append(struct slice *message, struct slice piece, char room[CLIENT_HELLO_MAX])
{
    if (message->bytes == 0) {
        *message = piece;
        return true;
    }
    if (piece.bytes > CLIENT_HELLO_MAX - message->bytes)
        return false;
    if (message->data != room)
        memcpy(room, message->data, message->bytes);
    memcpy(room + message->bytes, piece.data, piece.bytes);
    *message = slice_make(room, message->bytes + piece.bytes);
    return true;
}

/* Puts the message together. Its last record may have nothing else in it, as the
 * keys change behind it (RFC 8446 section 5.1). */
static enum client_hello_result
gather(struct slice from, char room[CLIENT_HELLO_MAX], struct slice *message)
{
    enum client_hello_result result;
    size_t whole = 0, missing;
    struct slice piece;

    *message = slice_make(NULL, 0);
    do {
        result = take_record(&from, &piece, &missing);
        if (result != CLIENT_HELLO_OK)
            return result;
        if (!append(message, piece, room))
            return CLIENT_HELLO_BAD;
        result = check_header(*message, &whole);
        if (result == CLIENT_HELLO_BAD)
            return result;
        if (result == CLIENT_HELLO_OK && message->bytes + missing > whole)
            return CLIENT_HELLO_BAD;
    } while (result == CLIENT_HELLO_MORE || message->bytes < whole);
    *message = slice_skip(*message, MESSAGE_HEADER_BYTES);
    return CLIENT_HELLO_OK;
}

/* ---- the message */

/* What is no host name is nobody's, as no name is. A dot at its end, which servers take
 * no notice of, is left out. */
static void
note_name(struct client_hello *hello, struct slice name)
{
    struct slice lower;

    if (name.bytes > 1 && name.data[name.bytes - 1] == '.')
        name.bytes--;
    if (name.bytes > sizeof(hello->name))
        return;
    lower = slice_make(hello->name, name.bytes);
    for (size_t i = 0; i < name.bytes; i++)
        hello->name[i] = ascii_lower(name.data[i]);
    if (host_is_name(lower))
        hello->server_name = lower;
}

/* RFC 6066 section 3: there may be one name of each type, and there is one type. */
static bool
read_server_name(struct client_hello *hello, struct slice extension)
{
    struct slice list, name;
    size_t type;

    if (!take_vector(&extension, 2, &list) || extension.bytes > 0 ||
        !take_number(&list, 1, &type) || type != NAME_HOST || !take_vector(&list, 2, &name) ||
        list.bytes > 0 || name.bytes == 0)
        return false;
    note_name(hello, name);
    return true;
}

static bool
read_extensions(struct client_hello *hello, struct slice extensions)
{
    bool has_name = false;

    while (extensions.bytes > 0) {
        struct slice extension;
        size_t type;

        if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, &extension))
            return false;
        if (type != EXTENSION_SERVER_NAME)
            continue;
        if (has_name || !read_server_name(hello, extension))
            return false; /* RFC 8446 section 4.2: no two of a type */
        has_name = true;
    }
    return true;
}

static bool
read_message(struct client_hello *hello, struct slice message)
{
    struct slice skipped, session, suites, compression, extensions;
    size_t version;

    if (!take_number(&message, 2, &version) || version >> 8 != 3 ||
        !take(&message, RANDOM_BYTES, &skipped) || !take_vector(&message, 1, &session) ||
        session.bytes > SESSION_BYTES_MAX || !take_vector(&message, 2, &suites) ||
        suites.bytes < 2 || suites.bytes % 2 != 0 || !take_vector(&message, 1, &compression) ||
        compression.bytes == 0)
        return false;
    if (message.bytes == 0)
        return true; /* RFC 5246 section 7.4.1.2: there need not be extensions */
    return take_vector(&message, 2, &extensions) && message.bytes == 0 &&
           read_extensions(hello, extensions);
}

enum client_hello_result
client_hello_parse(struct slice bytes, struct client_hello *hello)
{
    char room[CLIENT_HELLO_MAX];
    struct slice message;
    enum client_hello_result result = gather(bytes, room, &message);

    hello->server_name = slice_make(hello->name, 0);
    if (result != CLIENT_HELLO_OK)
        return result;
    return read_message(hello, message) ? CLIENT_HELLO_OK : CLIENT_HELLO_BAD;
}
