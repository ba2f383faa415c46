/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_list_rpz.c - any bytes as a response policy zone (list_target.h). */
#include "config.h"

#include "test/fuzz/list_target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    try_list(LIST_DOMAINS, LIST_RPZ, "file", data, bytes);
    return 0;
}
