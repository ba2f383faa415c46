/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_multipart.c - any bytes as a form: in one piece and cut at places that the input
 * itself says, it means the same.
 */
#include "config.h"

#include "filters/multipart.h"

#include "server/base/must.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What was read: parts, their content bytes, and a sum of all of it in order. */
struct reading {
    unsigned parts, ends;
    size_t content_bytes;
    uint64_t sum;
    const char *error;
};

static void
add(struct reading *reading, struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        reading->sum = (reading->sum ^ (unsigned char)text.data[i]) * 0x100000001b3;
}

static void
add_part(struct reading *reading, const struct multipart_part *part)
{
    must(part->name.data != NULL);
    reading->parts++;
    add(reading, part->name);
    add(reading, part->filename);
    add(reading, part->filename_star);
    add(reading, part->content_type);
}

static void
feed(struct multipart *form, const uint8_t *data, size_t bytes, struct reading *reading)
{
    char *copy = malloc(bytes + 1);
    struct slice in = slice_make(copy, bytes), content;
    enum multipart_event event;

    must(copy != NULL);
    memcpy(copy, data, bytes);
    while ((event = multipart_next(form, &in, &content)) != MULTIPART_MORE &&
           event != MULTIPART_ERROR) {
        if (event == MULTIPART_PART)
            add_part(reading, &form->part);
        if (event == MULTIPART_PART_END)
            reading->ends++;
        if (event != MULTIPART_DATA)
            continue;
        must(content.bytes > 0 && reading->parts == reading->ends + 1);
        reading->content_bytes += content.bytes;
        add(reading, content);
    }
    must(event == MULTIPART_ERROR || in.bytes == 0);
    free(copy);
}

static struct reading
read_all(const uint8_t *data, size_t bytes, unsigned seed)
{
    static const struct multipart_limits limits = { .header_bytes = 200, .headers = 4,
                                                    .parts = 5 };
    struct reading reading = { .sum = 1 };
    struct multipart form;
    struct arena arena;

    arena_init(&arena, NULL, 4096);
    must(multipart_init(&form, SLICE("b"), &limits, &arena) == 0);
    for (size_t at = 0; at < bytes;) {
        size_t part = bytes - at;

        if (seed > 0) {
            seed = seed * 1103515245 + 12345;
            part = 1 + (seed >> 16) % 9 < part ? 1 + (seed >> 16) % 9 : part;
        }
        feed(&form, data + at, part, &reading);
        at += part;
    }
    reading.error = multipart_finish(&form);
    arena_fini(&arena);
    must(reading.parts <= 5 && reading.ends <= reading.parts);
    must(reading.error != NULL || reading.ends == reading.parts);
    return reading;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct reading whole, cut;
    char boundary[MULTIPART_BOUNDARY_MAX];
    size_t boundary_bytes = 0;

    if (bytes == 0)
        return 0;
    if (multipart_boundary(slice_make((const char *)data, bytes), boundary,
                           &boundary_bytes) == NULL)
        must(boundary_bytes > 0 && boundary_bytes <= sizeof(boundary));
    whole = read_all(data + 1, bytes - 1, 0);
    cut = read_all(data + 1, bytes - 1, data[0] + 1u);
    must(whole.parts == cut.parts && whole.sum == cut.sum && whole.error == cut.error);
    must(whole.content_bytes == cut.content_bytes && whole.content_bytes < bytes);
    return 0;
}
