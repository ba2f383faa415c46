/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_request_head.c - any bytes as the head of a request.
 *
 * However they arrive and whatever the CPU has, they mean the same; nothing
 * that is said lies outside the head; and what is accepted is accepted again
 * when it is written out, with the same meaning.
 */
#include "config.h"

#include "server/http/h1_parse.h"
#include "server/http/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Small, so that short inputs reach them. */
static const struct h1_limits limits = { 256, 1024, 12 };

static enum h1_progress
scan_bytewise(struct slice bytes, struct slice *head, struct h1_refusal *refusal)
{
    struct h1_scan scan = { 0 };
    enum h1_progress progress = H1_NEED_INPUT;

    for (size_t n = 0; n <= bytes.bytes && progress == H1_NEED_INPUT; n++)
        progress = h1_scan_head(&scan, slice_make(bytes.data, n), &limits, true, head, refusal);
    return progress;
}

static bool
is_within(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.bytes <= whole.bytes &&
           (size_t)(part.data - whole.data) <= whole.bytes - part.bytes;
}

static void
check_slices(const struct request *request, struct slice head)
{
    must(is_within(request->method_name, head) && request->method_name.bytes > 0);
    must(is_within(request->target, head) && request->target.bytes > 0);
    must(request->authority.bytes == 0 || is_within(request->authority, head));
    must(request->query.data == NULL || is_within(request->query, request->target));
    must(is_within(request->path, request->target) || request->path.bytes <= 1);
    must(request->host.bytes <= request->authority.bytes);
    for (uint32_t i = 0; i < request->fields.count; i++) {
        const struct field *field = &request->fields.items[i];

        must(field->id == field_id_of(field->name) && fields_has(&request->fields, field->id));
        must(is_within(field->value, head));
        must(is_within(field->name, head) || field->id == FIELD_HOST);
    }
}

static void
check_meaning(const struct request *request)
{
    const struct fields *fields = &request->fields;
    const struct field *host = fields_find(fields, FIELD_HOST);

    must(fields->count <= limits.field_count + 1); /* and a Host put in */
    must(host != NULL || request->minor_version == 0);
    must(host == NULL || fields_next(fields, FIELD_HOST, host) == NULL);
    must(host == NULL || slice_equal(host->value, request->authority));
    must(!fields_has(fields, FIELD_CONTENT_LENGTH) || !fields_has(fields, FIELD_TRANSFER_ENCODING));
    must(!request->is_chunked || (request->has_body && request->length == LENGTH_UNKNOWN));
    must(request->has_body || request->length == 0);
    must(request->form == TARGET_AUTHORITY || request->path.bytes > 0);
    for (size_t i = 0; i < request->host.bytes; i++)
        must(ascii_lower(request->host.data[i]) == request->host.data[i]);
}

static char *
put(char *at, struct slice text)
{
    return text.bytes > 0 ? mempcpy(at, text.data, text.bytes) : at;
}

static struct slice
write_out(const struct request *request, char *text)
{
    char *at = put(text, request->method_name);

    at = put(put(put(at, SLICE(" ")), request->target), SLICE(" HTTP/1."));
    *at++ = (char)('0' + request->minor_version);
    at = put(at, SLICE("\r\n"));
    for (uint32_t i = 0; i < request->fields.count; i++) {
        at = put(put(at, request->fields.items[i].name), SLICE(": "));
        at = put(put(at, request->fields.items[i].value), SLICE("\r\n"));
    }
    at = put(at, SLICE("\r\n"));
    return slice_make(text, (size_t)(at - text));
}

static void
check_round_trip(const struct request *request, struct arena *arena)
{
    const struct h1_limits wide = { 4096, 16384, 64 };
    struct h1_refusal refusal;
    struct request again;
    char text[8192];

    must(h1_parse_request(write_out(request, text), arena, &wide, &again, &refusal) == 0);
    must(again.method == request->method && again.form == request->form);
    must(again.port == request->port && slice_equal(again.host, request->host));
    must(slice_equal(again.path, request->path) && slice_equal(again.query, request->query));
    must(again.has_body == request->has_body && again.length == request->length);
    must(again.wants_close == request->wants_close);
    must(again.wants_upgrade == request->wants_upgrade);
    must(again.expects_continue == request->expects_continue);
    must(again.fields.count == request->fields.count);
}

static void
check_hop_by_hop(struct fields *fields)
{
    fields_remove_hop_by_hop(fields);
    for (uint32_t i = 0; i < fields->count; i++)
        must(!(fields->items[i].flags & FIELD_HOP));
    must(!fields_has(fields, FIELD_CONNECTION) && !fields_has(fields, FIELD_TRANSFER_ENCODING));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice input = { (const char *)data, bytes }, head = { NULL, 0 }, again = { NULL, 0 };
    struct h1_refusal refusal = { 0 }, again_refusal = { 0 };
    struct h1_scan scan = { 0 };
    struct request request, plain;
    struct arena arena;
    enum h1_progress progress = h1_scan_head(&scan, input, &limits, true, &head, &refusal);
    int rc;

    must(progress == scan_bytewise(input, &again, &again_refusal));
    must(refusal.status == again_refusal.status && refusal.reason == again_refusal.reason);
    must(head.data == again.data && head.bytes == again.bytes);
    if (progress != H1_DONE)
        return 0;
    must(is_within(head, input) && head.bytes <= limits.head_bytes);
    arena_init(&arena, NULL, 1 << 20);
    scan_limit(0);
    rc = h1_parse_request(head, &arena, &limits, &plain, &again_refusal);
    scan_limit(1);
    scan_limit(2);
    must(rc == h1_parse_request(head, &arena, &limits, &request, &refusal));
    if (rc == 0) {
        must(plain.fields.count == request.fields.count && plain.length == request.length);
        check_slices(&request, head);
        check_meaning(&request);
        check_round_trip(&request, &arena);
        check_hop_by_hop(&request.fields);
    } else {
        must(refusal.status >= 400 && refusal.status == again_refusal.status);
    }
    arena_fini(&arena);
    return 0;
}
