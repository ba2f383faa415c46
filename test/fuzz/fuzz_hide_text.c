/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_hide_text.c - any bytes as text in which servers are named.
 *
 * In pieces it becomes what it becomes as a whole, whatever their lengths, and what is held
 * back between two of them is short. An endpoint with its scheme is never left.
 */
#include "config.h"

#include "filters/hide_server_inside.h"
#include "server/policy/prefix_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct endpoint_conf endpoints[] = {
    { .to = "127.0.0.1:9000", .host = SLICE_INIT("127.0.0.1"), .port = 9000 },
    { .to = "app.internal:80", .host = SLICE_INIT("app.internal"), .port = 80 },
    { .to = "[fd00::7]:9001", .host = SLICE_INIT("fd00::7"), .port = 9001 },
    { .to = "app:8080", .host = SLICE_INIT("app"), .port = 8080 },
};
static void *items[] = { &endpoints[0], &endpoints[1], &endpoints[2], &endpoints[3] };
static const struct config_list list = { items, ARRAY_COUNT(items) };

struct stream {
    const struct hide_text *hidden;
    char *text;   /* held back, then the next piece */
    size_t bytes;
    char *out;
    size_t made;
    char before;
};

static void
put(struct stream *stream, struct slice text)
{
    if (text.bytes > 0)
        memcpy(stream->out + stream->made, text.data, text.bytes);
    stream->made += text.bytes;
}

static void
take(struct stream *stream, bool is_end)
{
    struct slice text = { stream->text, stream->bytes };
    struct hide_found found;
    size_t done = 0;
    bool is_found;

    do {
        is_found = hide_text_find(stream->hidden, text, done, stream->before, is_end, &found);
        must(found.start >= done && found.start <= text.bytes);
        put(stream, slice_make(text.data + done, found.start - done));
        done = found.start;
        for (size_t i = 0; is_found && i < ARRAY_COUNT(found.parts); i++)
            put(stream, found.parts[i]);
        if (is_found) {
            must(found.end > found.start && found.end <= text.bytes);
            must(found.end - found.start <= HIDE_TEXT_BYTES_MAX);
            done = found.end;
        }
    } while (is_found);
    must(text.bytes - done <= (is_end ? 0 : HIDE_TEXT_BYTES_MAX));
    if (done > 0)
        stream->before = text.data[done - 1];
    memmove(stream->text, stream->text + done, text.bytes - done);
    stream->bytes = text.bytes - done;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char site[] = "www.example.com";
    struct hide_text hidden = { .endpoints = &list, .host = slice_of(site),
                                .authority = slice_of(site), .port = 80 };
    size_t step = bytes > 0 ? data[0] % 64 + 1u : 1;
    struct slice text = { (const char *)data + (bytes > 0), bytes - (bytes > 0) };
    struct stream stream = { .hidden = &hidden };
    struct prefix_set *masked;
    struct arena arena;
    struct slice whole;
    struct err err;

    if (bytes > 16384)
        return 0;
    arena_init(&arena, NULL, bytes * 24 + 64 * BLOCK_BYTES);
    masked = prefix_set_new(&arena);
    must(masked != NULL && prefix_set_add(masked, SLICE("private"), &err) == 0);
    prefix_set_seal(masked);
    hidden.masked = masked;
    stream.text = arena_alloc(&arena, bytes + 1);
    stream.out = arena_alloc(&arena, bytes * 8 + 64);
    whole = hide_text_map(&hidden, text, &arena);
    must(stream.text != NULL && stream.out != NULL && whole.data != NULL);
    for (size_t at = 0; at < text.bytes; at += step) {
        size_t piece = text.bytes - at < step ? text.bytes - at : step;

        memcpy(stream.text + stream.bytes, text.data + at, piece);
        stream.bytes += piece;
        take(&stream, false);
    }
    take(&stream, true);
    must(slice_equal(whole, slice_make(stream.out, stream.made)));
    must(memmem(whole.data, whole.bytes, " http://app.internal ", 21) == NULL);
    arena_fini(&arena);
    return 0;
}
