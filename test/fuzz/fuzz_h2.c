/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_h2.c - frames of a client in, exchange events and frames out.
 *
 * The input is what follows the preface, but for its first byte, which says into
 * how many parts it is cut, with a turn of the loop (and an answer to what waits
 * for one) in between. What reaches the road must be a request that HTTP/1.1
 * could carry; nothing may be left when the connection is gone.
 */
#include "config.h"

#include "server/base/log.h"
#include "server/http/scan.h"
#include "test/unit/h2_fixture.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void
check_line(struct slice name, struct slice value)
{
    const char *end = name.data + name.bytes;

    must(name.bytes > 0 && scan_token(name.data, end) == end);
    if (value.bytes == 0)
        return;
    end = value.data + value.bytes;
    must(scan_text(value.data, end) == end);
}

static void
check_request(struct exchange *ex)
{
    const struct request *request = &ex->request;

    if (!ex->is_answered) {
        const char *end = request->target.data + request->target.bytes;

        must(request->target.bytes > 0 && scan_target(request->target.data, end) == end);
        must(request->host.bytes > 0 && fields_has(&request->fields, FIELD_HOST));
        must(!fields_has(&request->fields, FIELD_TRANSFER_ENCODING) &&
             !fields_has(&request->fields, FIELD_CONNECTION));
        must(request->has_body == (request->body != NULL));
        must(request->method == METHOD_CONNECT || request->path.bytes > 0);
    }
    for (uint32_t i = 0; i < request->fields.count; i++)
        check_line(request->fields.items[i].name, request->fields.items[i].value);
    on_request(ex);
}

static void
answer_held(struct h2_fixture *f)
{
    turn(f);
    if (f->held != NULL)
        answer(f->held, 200, "late", 4);
    if (f->tunnel_fd >= 0)
        (void)!send(f->tunnel_fd, "down", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct h2_fixture *f;
    size_t part;

    if (bytes == 0)
        return 0;
    log_level = LEVEL_ERROR;
    part = 1 + (bytes - 1) / (1 + data[0] % 4);
    data++;
    bytes--;
    f = fixture_new();
    f->mode.on_request = check_request;
    f->listener.limits.h1.head_bytes = 2048;
    f->listener.limits.h1.field_count = 16;
    f->mode.is_proxy = (part & 1) != 0;
    fixture_connect(f);
    send_bytes(f, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    send_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    while (bytes > 0 && fixture_client_conn(f) != NULL) {
        size_t here = bytes < part ? bytes : part;

        send_bytes(f, data, here);
        data += here;
        bytes -= here;
        answer_held(f);
    }
    fixture_free(f);
    return 0;
}
