/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_clamd.c - any bytes as clamd's answer.
 *
 * Whole and bytewise they mean the same, and a name is short and can be seen.
 */
#include "config.h"

#include "filters/clamd_answer.h"
#include "server/base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum clamd_reply
read_bytewise(struct clamd_answer *answer, const char *data, size_t bytes)
{
    enum clamd_reply reply = CLAMD_REPLY_MORE;

    for (size_t i = 0; i < bytes && reply == CLAMD_REPLY_MORE; i++)
        reply = clamd_answer_read(answer, data + i, 1);
    return reply;
}

static void
check_name(struct slice name)
{
    must(name.bytes > 0 && name.bytes <= CLAMD_NAME_BYTES);
    for (size_t i = 0; i < name.bytes; i++)
        must(name.data[i] > ' ' && name.data[i] < 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct clamd_answer whole = { .bytes = 0 }, bytewise = { .bytes = 0 };
    enum clamd_reply reply = clamd_answer_read(&whole, (const char *)data, bytes);

    must(read_bytewise(&bytewise, (const char *)data, bytes) == reply);
    must(slice_equal(whole.name, bytewise.name));
    if (reply == CLAMD_REPLY_FOUND)
        check_name(whole.name);
    return 0;
}
