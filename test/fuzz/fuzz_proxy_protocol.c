/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_proxy_protocol.c - any bytes in front of a connection.
 *
 * The verdict must not depend on how the bytes were cut, and what is accepted
 * must be what our own writer writes for the same addresses.
 */
#include "config.h"

#include "server/net/proxy_protocol.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct verdict {
    enum proxy_protocol_result result;
    struct ip source, destination;
    size_t header_bytes;
};

static struct verdict
judge(const uint8_t *data, size_t bytes)
{
    struct verdict v = { .header_bytes = 0 };

    v.result = proxy_protocol_parse(slice_make((const char *)data, bytes), &v.source,
                                    &v.destination, &v.header_bytes);
    return v;
}

static bool
is_same(const struct verdict *a, const struct verdict *b)
{
    if (a->result != b->result)
        return false;
    return a->result != PROXY_PROTOCOL_OK ||
           (a->header_bytes == b->header_bytes && ip_equal(&a->source, &b->source) &&
            ip_equal(&a->destination, &b->destination));
}

static void
check_round_trip(const struct verdict *whole)
{
    for (int version = 1; version <= 2; version++) {
        char out[PROXY_PROTOCOL_MAX];
        size_t bytes = proxy_protocol_write(out, version, &whole->source, &whole->destination);
        struct verdict again = judge((const uint8_t *)out, bytes);

        must(again.result == PROXY_PROTOCOL_OK && again.header_bytes == bytes);
        must(ip_equal(&again.source, &whole->source));
        must(ip_equal(&again.destination, &whole->destination));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct verdict whole = judge(data, bytes);

    for (size_t n = 0; n < bytes && n <= PROXY_PROTOCOL_READ_MAX; n++) {
        struct verdict part = judge(data, n);

        must(part.result == PROXY_PROTOCOL_MORE || is_same(&part, &whole));
    }
    must(whole.result != PROXY_PROTOCOL_MORE || bytes < PROXY_PROTOCOL_READ_MAX);
    if (whole.result == PROXY_PROTOCOL_OK) {
        must(whole.header_bytes <= bytes && whole.header_bytes <= PROXY_PROTOCOL_READ_MAX);
        check_round_trip(&whole);
    }
    return 0;
}
