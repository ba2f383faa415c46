/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_response_head.c - any bytes as the head of a response.
 *
 * The first byte chooses the method of the request; the others mean the same
 * however they arrive, and nothing that is said lies outside the head.
 */
#include "config.h"

#include "server/http/h1_parse.h"
#include "server/http/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Small, so that short inputs reach them. */
static const struct h1_limits limits = { 256, 1024, 12 };

static enum h1_progress
scan_bytewise(struct slice bytes, struct slice *head, struct h1_refusal *refusal)
{
    struct h1_scan scan = { 0 };
    enum h1_progress progress = H1_NEED_INPUT;

    for (size_t n = 0; n <= bytes.bytes && progress == H1_NEED_INPUT; n++)
        progress = h1_scan_head(&scan, slice_make(bytes.data, n), &limits, false, head, refusal);
    return progress;
}

static bool
is_within(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.bytes <= whole.bytes &&
           (size_t)(part.data - whole.data) <= whole.bytes - part.bytes;
}

static void
check_slices(const struct response *response, struct slice head)
{
    must(is_within(response->reason, head));
    for (uint32_t i = 0; i < response->fields.count; i++) {
        const struct field *field = &response->fields.items[i];

        must(is_within(field->name, head) && field->name.bytes > 0);
        must(is_within(field->value, head));
        must(field->id == field_id_of(field->name) && fields_has(&response->fields, field->id));
    }
}

static void
check_meaning(const struct response *response, enum method method)
{
    must(response->status >= 100 && response->status <= 599);
    must(!response->is_chunked || response->length == LENGTH_UNKNOWN);
    must(!response->ends_by_close || (response->wants_close && !response->is_chunked));
    must(response->length != LENGTH_UNKNOWN || response->is_chunked || response->ends_by_close);
    must(response->has_body || (response->length == 0 && !response->ends_by_close));
    if (method == METHOD_HEAD || !status_may_have_content(response->status))
        must(!response->has_body);
    if (response->has_body)
        must(!fields_has(&response->fields, FIELD_CONTENT_LENGTH) ||
             !fields_has(&response->fields, FIELD_TRANSFER_ENCODING));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const enum method methods[] = { METHOD_GET, METHOD_HEAD, METHOD_CONNECT };
    enum method method = methods[bytes > 0 ? data[0] % ARRAY_COUNT(methods) : 0];
    struct slice input = slice_skip(slice_make((const char *)data, bytes), 1);
    struct slice head = { NULL, 0 }, again = { NULL, 0 };
    struct h1_refusal refusal = { 0 }, again_refusal = { 0 };
    struct h1_scan scan = { 0 };
    struct response response;
    struct arena arena;
    enum h1_progress progress = h1_scan_head(&scan, input, &limits, false, &head, &refusal);

    must(progress == scan_bytewise(input, &again, &again_refusal));
    must(refusal.status == again_refusal.status && refusal.reason == again_refusal.reason);
    must(head.data == again.data && head.bytes == again.bytes);
    if (progress != H1_DONE)
        return 0;
    must(is_within(head, input) && head.bytes <= limits.head_bytes);
    arena_init(&arena, NULL, 1 << 20);
    if (h1_parse_response(head, &arena, &limits, method, &response, &refusal) == 0) {
        check_slices(&response, head);
        check_meaning(&response, method);
    } else {
        must(refusal.status == 502);
    }
    arena_fini(&arena);
    return 0;
}
