/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_list_adblock.c - any bytes as a list of rules of a browser's filter (list_target.h). */
#include "config.h"

#include "test/fuzz/list_target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    try_list(LIST_DOMAINS, LIST_ADBLOCK, "file", data, bytes);
    try_list(LIST_URLS, LIST_ADBLOCK, "file", data, bytes);
    return 0;
}
