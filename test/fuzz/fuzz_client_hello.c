/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_client_hello.c - any bytes where a TLS client should begin.
 *
 * The verdict must not depend on how the bytes were cut, nor on the records the
 * message came in: OpenSSL reads the same one after us.
 */
#include "config.h"

#include "server/host_map.h"
#include "server/tls/client_hello.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum client_hello_result
judge(const uint8_t *data, size_t bytes, struct client_hello *hello)
{
    enum client_hello_result result =
        client_hello_parse(slice_make((const char *)data, bytes), hello);

    must(hello->server_name.bytes == 0 ||
         (hello->server_name.data == hello->name && host_is_name(hello->server_name)));
    return result;
}

static void
expect_same(const struct client_hello *whole, enum client_hello_result result,
            const uint8_t *data, size_t bytes)
{
    struct client_hello again;

    must(judge(data, bytes, &again) == result);
    must(slice_equal(again.server_name, whole->server_name));
}

/* Every record becomes two, where there is room for another header. */
static void
check_split(const struct client_hello *whole, const uint8_t *data, size_t bytes)
{
    uint8_t *split = malloc(2 * bytes + 10);
    size_t at = 0, out = 0;

    must(split != NULL);
    while (bytes - at >= 5 && data[at] == 22) {
        size_t body = (size_t)data[at + 3] << 8 | data[at + 4], half = body / 2;

        if (half == 0 || body > bytes - at - 5)
            break;
        for (int i = 0; i < 2; i++) {
            size_t from = i == 0 ? 0 : half, n = i == 0 ? half : body - half;

            memcpy(split + out, data + at, 3);
            split[out + 3] = (uint8_t)(n >> 8);
            split[out + 4] = (uint8_t)n;
            memcpy(split + out + 5, data + at + 5 + from, n);
            out += 5 + n;
        }
        at += 5 + body;
    }
    memcpy(split + out, data + at, bytes - at);
    expect_same(whole, CLIENT_HELLO_OK, split, out + bytes - at);
    free(split);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct client_hello whole, part;
    enum client_hello_result result = judge(data, bytes, &whole);
    size_t step = bytes / 512 + 1;

    for (size_t n = 0; n < bytes; n += step) {
        enum client_hello_result early = judge(data, n, &part);

        if (early != CLIENT_HELLO_MORE) {
            must(early == result);
            must(slice_equal(part.server_name, whole.server_name));
        }
    }
    if (result == CLIENT_HELLO_OK)
        check_split(&whole, data, bytes);
    return 0;
}
