/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_list_squidguard.c - any bytes as a file in a folder of squidGuard
 * (list_target.h).
 */
#include "config.h"

#include "test/fuzz/list_target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const names[] = { "/domains", "/urls", "/expressions" };
    const char *name = names[bytes > 0 ? data[0] % ARRAY_COUNT(names) : 0];

    try_list(LIST_URLS, LIST_SQUIDGUARD, name, data + (bytes > 0), bytes - (bytes > 0));
    return 0;
}
