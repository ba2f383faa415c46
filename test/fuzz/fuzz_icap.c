/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_icap.c - any bytes as the answer of an ICAP server.
 *
 * They mean the same whole and byte by byte, and nothing that is said lies outside of them.
 */
#include "config.h"

#include "filters/icap_options.h"
#include "filters/icap_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct meaning {
    enum icap_progress progress;
    size_t consumed, content_bytes, head_bytes;
    uint64_t original_at, sum; /* of the content */
    unsigned status, heads;
};

static void
add(struct meaning *meaning, const struct iovec *iov, unsigned slices, struct slice input)
{
    for (unsigned i = 0; i < slices; i++) {
        const char *at = iov[i].iov_base;

        must(iov[i].iov_len > 0 && at >= input.data &&
             iov[i].iov_len <= input.bytes - (size_t)(at - input.data));
        meaning->content_bytes += iov[i].iov_len;
        for (size_t n = 0; n < iov[i].iov_len; n++)
            meaning->sum = meaning->sum * 31 + (unsigned char)at[n];
    }
}

static struct meaning
read_in(struct slice text, size_t step)
{
    struct meaning meaning = { .progress = ICAP_NEED_INPUT };
    struct icap_reader reader;
    struct arena arena;

    arena_init(&arena, NULL, 256 * 1024);
    icap_reader_init(&reader, &arena);
    do {
        size_t left = text.bytes - meaning.consumed, consumed;
        struct slice input = slice_make(text.data + meaning.consumed, left < step ? left : step);
        struct iovec iov[3];
        unsigned slices;

        meaning.progress = icap_read(&reader, input, iov, 3, &slices, &consumed);
        must(consumed <= input.bytes && slices <= 3);
        must(meaning.progress != ICAP_NEED_INPUT || consumed == input.bytes);
        add(&meaning, iov, slices, input);
        meaning.consumed += consumed;
        meaning.heads += meaning.progress == ICAP_HEAD;
    } while (meaning.progress == ICAP_HEAD || meaning.progress == ICAP_ROOM ||
             (meaning.progress == ICAP_NEED_INPUT && meaning.consumed < text.bytes));
    must(meaning.progress != ICAP_BAD || reader.why != NULL);
    must(meaning.progress != ICAP_DONE || meaning.heads == 1);
    if (meaning.heads == 1) {
        meaning.status = reader.reply.status;
        meaning.head_bytes = reader.reply.request_head.bytes + reader.reply.response_head.bytes;
        must(meaning.head_bytes <= ICAP_ENCAPSULATED_BYTES_MAX);
        must(icap_options_learn("u", "a", &reader.reply, 1) != NULL);
        (void)icap_options_transfer(icap_options_learn("u", "a", &reader.reply, 1), SLICE("exe"));
    }
    meaning.original_at = reader.original_at;
    icap_options_forget();
    icap_reader_fini(&reader);
    arena_fini(&arena);
    return meaning;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text = slice_make((const char *)data, bytes);
    struct meaning whole = read_in(text, bytes + 1), split = read_in(text, 1);

    must(whole.progress == split.progress && whole.consumed == split.consumed);
    must(whole.status == split.status && whole.heads == split.heads);
    must(whole.content_bytes == split.content_bytes && whole.sum == split.sum);
    must(whole.head_bytes == split.head_bytes && whole.original_at == split.original_at);
    return 0;
}
