/* SPDX-License-Identifier: BSD-2-Clause */
/* content_stream.c - content that comes bit by bit, and by what it is known. */
#include "config.h"

#include "filters/content_inside.h"

#include "filters/content_field.h"

/* Messages that come when there are some: nobody may wait for more of them than what the first
 * one has at least. What begins otherwise than these do is none of them. */
static const struct stream {
    struct slice type, start;
} streams[] = {
    { SLICE_INIT("text/event-stream"), SLICE_INIT("da") },
    { SLICE_INIT("text/event-stream"), SLICE_INIT("ev") },
    { SLICE_INIT("text/event-stream"), SLICE_INIT("id") },
    { SLICE_INIT("text/event-stream"), SLICE_INIT("re") },
    { SLICE_INIT("text/event-stream"), SLICE_INIT(":") },
    { SLICE_INIT("text/event-stream"), SLICE_INIT("\n") },
    { SLICE_INIT("text/event-stream"), SLICE_INIT("\r\n") },
    { SLICE_INIT("multipart/x-mixed-replace"), SLICE_INIT("--") },
    { SLICE_INIT("multipart/x-mixed-replace"), SLICE_INIT("\r\n") },
    { SLICE_INIT("application/grpc"), SLICE_INIT("\0") },
    { SLICE_INIT("application/grpc"), SLICE_INIT("\1") },
    { SLICE_INIT("application/grpc*"), SLICE_INIT("\0") },
    { SLICE_INIT("application/grpc*"), SLICE_INIT("\1") },
};

static bool
asks_in_grpc(const struct exchange *ex)
{
    static const struct slice grpc = SLICE_INIT("application/grpc");
    struct slice type = fields_get(&ex->request.fields, FIELD_CONTENT_TYPE);

    if (type.bytes > grpc.bytes)
        type.bytes = grpc.bytes;
    return slice_equal_nocase(type, grpc);
}

bool
content_is_stream(const struct exchange *ex, const struct slice *start)
{
    struct slice type = content_field_value(fields_get(&ex->response.fields, FIELD_CONTENT_TYPE));

    for (size_t i = 0; i < ARRAY_COUNT(streams); i++)
        if (content_type_is(type, streams[i].type) &&
            (start == NULL || slice_starts_with(*start, streams[i].start)))
            return !fields_has(&ex->response.fields, FIELD_CONTENT_ENCODING) &&
                   (!slice_starts_with(streams[i].type, SLICE("application/")) ||
                    asks_in_grpc(ex));
    return false;
}
