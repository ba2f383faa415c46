/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_decompress.c - coded content in any coding, cut into steps of any length.
 *
 * First byte: the coding. Second: the length of each step, and of the room. The rest is the
 * content. However it is cut, the same comes out of it.
 */
#include "config.h"

#include "filters/decompress_engine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define OUT_BYTES (64u * 1024)

struct outcome {
    enum decompress_result result;
    size_t made;
    bool is_whole;
    char out[OUT_BYTES];
};

static struct outcome at_once, in_steps;

/* Steps of in_step bytes with room for room. Stops when OUT_BYTES are made. */
static void
run(struct outcome *outcome, enum coding coding, const char *in, size_t left, size_t in_step,
    size_t room)
{
    struct decompress_engine engine = { 0 };
    bool is_moving = true;

    outcome->result = DECOMPRESS_WELL;
    outcome->made = 0;
    decompress_engine_init(&engine, coding);
    while (outcome->result == DECOMPRESS_WELL && is_moving && outcome->made < OUT_BYTES) {
        struct transform_step step = { .in = in, .in_bytes = left < in_step ? left : in_step,
                                       .out = outcome->out + outcome->made };

        step.out_bytes = OUT_BYTES - outcome->made < room ? OUT_BYTES - outcome->made : room;
        outcome->result = decompress_engine_step(&engine, &step);
        must(step.taken <= step.in_bytes && step.made <= step.out_bytes);
        in += step.taken;
        left -= step.taken;
        outcome->made += step.made;
        is_moving = left > 0 || step.made > 0;
    }
    outcome->is_whole = decompress_engine_is_whole(&engine);
    decompress_engine_fini(&engine);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const enum coding codings[] = { CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD };
    enum coding coding;
    const char *in;
    size_t step;

    if (bytes < 2)
        return 0;
    coding = codings[data[0] % ARRAY_COUNT(codings)];
    step = data[1] + 1u;
    in = (const char *)data + 2;
    if (!coding_can_decode(coding))
        return 0;
    run(&at_once, coding, in, bytes - 2, bytes, OUT_BYTES);
    run(&in_steps, coding, in, bytes - 2, step, step * 16);
    if (at_once.made < OUT_BYTES && in_steps.made < OUT_BYTES) {
        must((at_once.result == DECOMPRESS_WELL) == (in_steps.result == DECOMPRESS_WELL));
        if (at_once.result == DECOMPRESS_WELL)
            must(at_once.made == in_steps.made && at_once.is_whole == in_steps.is_whole &&
                 memcmp(at_once.out, in_steps.out, at_once.made) == 0);
    }
    return 0;
}
