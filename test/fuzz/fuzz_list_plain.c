/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_list_plain.c - any bytes as a plain list of each kind (list_target.h). */
#include "config.h"

#include "test/fuzz/list_target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    try_list(LIST_DOMAINS, LIST_AUTO, "file", data, bytes);
    try_list(LIST_NETWORKS, LIST_PLAIN, "file", data, bytes);
    try_list(LIST_URLS, LIST_PLAIN, "file", data, bytes);
    return 0;
}
