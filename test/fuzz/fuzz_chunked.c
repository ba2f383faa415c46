/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_chunked.c - any bytes as a chunked body.
 *
 * Whole, bytewise and with little room, they have the same content, trailers
 * and end; and every slice lies within the input, behind the one before.
 */
#include "config.h"

#include "server/http/h1_chunked.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ROOM = 8 };

/* Small, so that short inputs reach them. */
static const struct h1_limits limits = { 256, 512, 8 };

struct outcome {
    struct arena arena;
    struct fields trailers;
    char *content;
    size_t content_bytes, consumed;
    enum chunked_progress progress;
};

static void
collect(struct outcome *out, const struct iovec *iov, unsigned slices, struct slice taken)
{
    const char *behind = taken.data;

    for (unsigned i = 0; i < slices; i++) {
        const char *base = iov[i].iov_base;

        must(iov[i].iov_len > 0 && base >= behind);
        behind = base + iov[i].iov_len;
        must(behind <= taken.data + taken.bytes);
        memcpy(out->content + out->content_bytes, base, iov[i].iov_len);
        out->content_bytes += iov[i].iov_len;
    }
}

static void
decode(struct outcome *out, struct slice input, size_t step, unsigned room)
{
    struct h1_chunked c;

    *out = (struct outcome){ .progress = CHUNKED_NEED_INPUT, .content = malloc(input.bytes + 1) };
    must(out->content != NULL);
    arena_init(&out->arena, NULL, 1 << 20);
    h1_chunked_init(&c, &out->arena, &limits, &out->trailers);
    while (out->consumed < input.bytes && out->progress != CHUNKED_DONE &&
           out->progress != CHUNKED_BAD) {
        struct slice part = slice_skip(input, out->consumed);
        struct iovec iov[ROOM];
        unsigned slices;
        size_t consumed;

        if (part.bytes > step)
            part.bytes = step;
        out->progress = h1_chunked_decode(&c, part, iov, room, &slices, &consumed);
        must(slices <= room && consumed <= part.bytes);
        must(out->progress != CHUNKED_NEED_INPUT || consumed == part.bytes);
        must(out->progress != CHUNKED_ROOM || (slices == room && consumed > 0));
        part.bytes = consumed;
        collect(out, iov, slices, part);
        out->consumed += consumed;
    }
}

static void
check_trailers(const struct fields *a, const struct fields *b)
{
    must(a->count == b->count && a->count <= limits.field_count);
    for (uint32_t i = 0; i < a->count; i++) {
        must(slice_equal(a->items[i].name, b->items[i].name));
        must(slice_equal(a->items[i].value, b->items[i].value));
        must(!(a->items[i].flags & (FIELD_HOP | FIELD_FRAMING | FIELD_KEEP_NOMINATED)));
    }
}

static void
release(struct outcome *out)
{
    arena_fini(&out->arena);
    free(out->content);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice input = { (const char *)data, bytes };
    struct outcome whole;

    decode(&whole, input, SIZE_MAX, ROOM);
    for (size_t step = 1; step <= 16; step *= 4) {
        struct outcome again;

        decode(&again, input, step, step == 1 ? ROOM : 1);
        must(again.progress == whole.progress);
        must(slice_equal(slice_make(again.content, again.content_bytes),
                         slice_make(whole.content, whole.content_bytes)));
        must(whole.progress != CHUNKED_DONE || again.consumed == whole.consumed);
        check_trailers(&whole.trailers, &again.trailers);
        release(&again);
    }
    release(&whole);
    return 0;
}
